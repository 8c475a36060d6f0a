"""`textdiff infill` on many documents: what is found, what is written where, and what does not go together."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import pytest
from batches import FILLED, LETTERS, expected, read_all, summary, write_all
from folders import names_in
from stubs import StubInfiller
from tiny import Stream, run, save_tiny

from textdiff.cli import batch
from textdiff.cli.sources import find_sources
from textdiff.errors import DataError, UsageError


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a folder `letters`."""
    monkeypatch.chdir(tmp_path)
    write_all(tmp_path / "letters", LETTERS)
    return tmp_path


@pytest.fixture
def stub() -> Iterator[StubInfiller]:
    """The model that commands get."""
    infiller = StubInfiller()
    with patch("textdiff.cli.infill.load_infiller", lambda *_: infiller):
        yield infiller


def test_a_folder_is_filled_as_its_documents_one_by_one(desk: Path, model: Path) -> None:
    (desk / "letters/ann.md").chmod(0o750)
    (desk / "letters/.hidden").write_bytes(b"[MASK]")
    (desk / "letters/.git").mkdir()
    (desk / "letters/.git/x.md").write_bytes(b"[MASK]")
    ended = run("infill", "letters", "-m", model, "--seed", 3, "--output", "new/filled")
    assert (ended.code, ended.out) == (0, b"")
    assert summary(ended) == "textdiff: 3 documents filled (4 gaps), 2 without a gap copied"
    found = read_all(desk / "new/filled")
    assert found.keys() == LETTERS.keys()
    for name, data in LETTERS.items():
        alone = run("infill", desk / "letters" / name, "-m", model, "--seed", 3).out if name in FILLED else data
        assert found[name] == alone
    assert (desk / "new/filled/ann.md").stat().st_mode & 0o777 == 0o750 & ~umask()
    assert read_all(desk / "letters") == {**LETTERS, ".hidden": b"[MASK]", ".git/x.md": b"[MASK]"}


def umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_only_what_changed_is_done_again(desk: Path, model: Path, stub: StubInfiller) -> None:
    words = ["infill", "letters", "-m", model, "-o", "filled"]
    assert run(*words).code == 0
    assert read_all(desk / "filled") == expected(LETTERS)
    before = {path: path.stat().st_mtime_ns for path in (desk / "filled").rglob("*")}
    again = run(*words, "--json")
    assert again.out == b""
    assert summary(again) == "textdiff: 0 documents filled (0 gaps), 5 done before"
    assert before == {path: path.stat().st_mtime_ns for path in (desk / "filled").rglob("*")}
    assert len(stub.filled) == 3
    (desk / "letters/ann.md").write_bytes(b"Ann [MASK]")
    (desk / "filled/sub/bob.txt").unlink()
    run(*words)
    assert stub.filled[3:] == ["Ann [MASK]", LETTERS["sub/bob.txt"].decode()]
    run(*words, "--seed", 1)
    assert len(stub.filled) == 8
    assert read_all(desk / "filled") == expected({**LETTERS, "ann.md": b"Ann [MASK]"}, seed=1)
    other = save_tiny(desk / "other", process="uniform")
    assert summary(run("infill", "letters", "-m", other, "-o", "filled", "--seed", 1)).startswith(
        "textdiff: 3 documents filled"
    )
    shutil.rmtree(other)
    save_tiny(other, process="hybrid")
    run("infill", "letters", "-m", other, "-o", "filled", "--seed", 1)
    assert len(stub.filled) == 14, "the folder has the same name, but another model is in it"


def test_what_is_not_from_here_is_left_alone(desk: Path, model: Path, stub: StubInfiller) -> None:
    write_all(desk / "filled", {"ann.md": b"mine", "else.md": b"mine too"})
    words = ["infill", "letters", "-m", model, "-o", "filled"]
    ended = run(*words)
    assert ended.code == 4
    assert "textdiff: letters/ann.md: filled/ann.md is there already and not from an earlier run; --overw" in ended.err
    assert summary(ended) == "textdiff: 2 documents filled (3 gaps), 2 without a gap copied, 1 failed"
    assert ended.err.endswith("textdiff: error: 1 document of 5 could not be filled\n")
    assert read_all(desk / "filled") == {**expected(LETTERS), "ann.md": b"mine", "else.md": b"mine too"}
    (desk / "filled/sub/bob.txt").write_bytes(b"edited since")
    assert "sub/bob.txt is there already" in run(*words).err
    assert (desk / "filled/sub/bob.txt").read_bytes() == b"edited since"
    assert run(*words, "--overwrite").code == 0
    assert read_all(desk / "filled") == {**expected(LETTERS), "else.md": b"mine too"}


def test_an_output_folder_may_lie_in_the_folder(desk: Path, model: Path, stub: StubInfiller) -> None:
    for _ in range(2):
        assert run("infill", "letters", "-m", model, "-o", "letters/filled").code == 0
    assert read_all(desk / "letters/filled") == expected(LETTERS)
    assert run("infill", "letters/sub", "-m", model, "-o", "letters").code == 0
    assert (desk / "letters/bob.txt").read_bytes() == expected(LETTERS)["sub/bob.txt"]


def test_one_document_goes_into_a_folder_that_is_there_or_is_written_like_one(
    desk: Path, model: Path, stub: StubInfiller
) -> None:
    assert run("infill", "letters/ann.md", "-m", model, "-o", "new/").code == 0
    (desk / "old").mkdir()
    assert run("infill", "letters/ann.md", "-m", model, "-o", "old").code == 0
    for folder in ("new", "old"):
        assert read_all(desk / folder) == {"ann.md": expected(LETTERS)["ann.md"]}


def test_files_are_replaced_in_place(desk: Path, model: Path, stub: StubInfiller) -> None:
    (desk / "letters/link.md").symlink_to("ann.md")
    ended = run("infill", "letters", "letters/sub/bob.txt", "-m", model, "--in-place")
    assert (ended.code, ended.out) == (0, b"")
    assert summary(ended) == "textdiff: 3 documents filled (4 gaps), 2 without a gap left as they are"
    assert (desk / "letters/link.md").is_symlink()
    (desk / "letters/link.md").unlink()
    assert read_all(desk / "letters") == expected(LETTERS)
    assert names_in(desk / "letters/sub") == ["bob.txt", "deep"], "no trace is left"


def test_i5_one_file_that_changed_or_is_read_only_costs_no_other(desk: Path, model: Path, stub: StubInfiller) -> None:
    (desk / "letters/sub/bob.txt").chmod(0o444)
    fill = StubInfiller.infill

    def meddle(self: StubInfiller, *documents: object, **options: object) -> object:
        (desk / "letters/ann.md").write_bytes(b"newer")
        return fill(self, *documents, **options)  # type: ignore[arg-type]

    with patch.object(StubInfiller, "infill", meddle):
        ended = run("infill", "letters", "-m", model, "--in-place")
    assert ended.code == 4
    assert re.search(r"letters/ann\.md: .* was changed meanwhile and has been left as it is", ended.err)
    assert re.search(r"letters/sub/bob\.txt: .* is read-only and has been left as it is", ended.err)
    assert LETTERS["sub/bob.txt"].decode() not in stub.filled, "that was known before"
    found = read_all(desk / "letters")
    assert found == {**expected(LETTERS), "ann.md": b"newer", "sub/bob.txt": LETTERS["sub/bob.txt"]}


def test_errors_are_listed_and_cost_no_other_document(desk: Path, model: Path, stub: StubInfiller) -> None:
    bad = {
        "bad/latin1.md": b"h\xe9 [MASK]",
        "bad/open.md": b"one\ntwo [MASK: 5 words",
        "bad/no.md": b"IMPOSSIBLE [MASK]",
        "bad/x/too.md": b"IMPOSSIBLE too [MASK]",
    }
    write_all(desk / "letters", bad)
    ended = run("infill", "letters", "missing.md", "-m", model, "-o", "filled", "--json")
    assert ended.code == 4
    lines = ended.err.splitlines()
    assert [line.removeprefix("textdiff: ").partition(": ")[0] for line in lines[:5]] == [
        "letters/bad/latin1.md", "letters/bad/no.md", "letters/bad/open.md", "letters/bad/x/too.md", "missing.md"
    ]  # fmt: skip
    assert "byte 1 is 0xe9" in lines[0]
    assert "gap 1 cannot be had" in lines[1]
    assert "line 2, column 5" in lines[2]
    assert "no such file" in lines[4]
    assert lines[-1] == "textdiff: error: 5 documents of 10 could not be filled"
    assert read_all(desk / "filled") == expected(LETTERS)
    objects = [json.loads(line) for line in ended.text.splitlines()]
    assert [item["path"] for item in objects if "error" in item] == [line.split(": ")[1] for line in lines[:5]]
    assert {item["path"]: item["document"].encode() for item in objects if "error" not in item} == {
        f"letters/{name}": data for name, data in expected(LETTERS).items() if name in FILLED
    }
    assert stub.calls[0] == 5
    assert sum(stub.calls) < 5 + 5 + 5 + 5, "the two that are to blame are found by halving"


def test_json_of_several_is_that_of_each(desk: Path, model: Path) -> None:
    names = ["letters/sub/bob.txt", "letters/ann.md"]
    ended = run("infill", *names, "-m", model, "--json")
    assert ended.code == 0
    for line, name in zip(ended.out.splitlines(), names, strict=True):
        many, alone = json.loads(line), json.loads(run("infill", name, "-m", model, "--json").out)
        assert many.pop("path") == name
        del many["stats"]["seconds"], alone["stats"]["seconds"]
        many["stats"]["steps"] = alone["stats"]["steps"]  # of the longest row of the call
        for found in (many, alone):
            for gap in found["gaps"]:
                gap["score"] = pytest.approx(gap["score"], abs=1e-4) if found is alone else gap["score"]
        assert many == alone


@pytest.mark.skipif(not shutil.which("patch"), reason="the program patch is not here")
def test_a_diff_of_several_is_one_patch(desk: Path, model: Path, stub: StubInfiller) -> None:
    ended = run("infill", "letters", "-m", model, "--diff")
    assert ended.code == 0
    subprocess.run(["patch", "--silent", "-p0"], input=ended.out, check=True, timeout=20)
    assert read_all(desk / "letters") == expected(LETTERS)


def test_without_any_gap_it_says_how_one_is_written(desk: Path, model: Path, stub: StubInfiller) -> None:
    write_all(desk / "none", {"a.md": b"x ____", "b.md": b""})
    ended = run("infill", "none", "-m", model, "--in-place")
    assert ended.code == 4
    assert "none of the 2 documents has a gap to fill. A gap is written [MASK]" in ended.err
    assert run("infill", "none", "-m", model, "--in-place", "--mask-token", "underscores").code == 0
    assert (desk / "none/a.md").read_bytes() == b"x filled 0"


@pytest.mark.parametrize(
    ("patterns", "found"),
    [
        ([], ["ann.md", "photo.jpg", "plain.md", "sub/bob.txt", "sub/deep/cid.md"]),
        (["*.md"], ["ann.md", "plain.md", "sub/deep/cid.md"]),
        (["sub/*"], ["sub/bob.txt"]),
        (["sub/**/*.md", "a*"], ["ann.md", "sub/deep/cid.md"]),
        (["**/*.txt"], ["sub/bob.txt"]),
    ],
    ids=str,
)
def test_a_pattern_chooses_files_of_a_folder(desk: Path, patterns: list[str], found: list[str]) -> None:
    assert [source.place for source in find_sources(["letters"], patterns, None)] == found


@pytest.mark.parametrize("pattern", ["", "/x", "../*", "a/../*", "x\0", "**x"])
def test_a_pattern_stays_in_its_folder(desk: Path, pattern: str) -> None:
    with pytest.raises(UsageError, match="pattern"):
        find_sources(["letters"], [pattern], None)


def test_files_are_found_once_and_never_on_one_place(desk: Path) -> None:
    twice = ["letters", "letters/ann.md", "letters/./ann.md"]
    assert [s.name for s in find_sources(twice, ["ann.md"], None)] == ["letters/ann.md"]
    assert len(find_sources(["letters/ann.md", "letters/ann.md"], [], Path("out"))) == 1
    write_all(desk, {"more/ann.md": b"x"})
    with pytest.raises(UsageError, match=r"letters/ann\.md and more/ann\.md would both be written to ann\.md"):
        find_sources(["letters", "more"], [], Path("out"))
    with pytest.raises(UsageError, match=r"letters/ann\.md would be written over itself"):
        find_sources(["letters"], [], Path("letters"))
    with pytest.raises(DataError, match=r"letters has no file called \*\.html"):
        find_sources(["letters"], ["*.html"], None)


def test_a_chunk_is_read_only_when_it_is_its_turn() -> None:
    sizes = [1] * 200 + [batch.CHUNK_BYTES + 1, 1, 1]
    taken: list[int] = []

    def items() -> Iterator[int]:
        for size in sizes:
            taken.append(size)
            yield size

    seen = 0
    for chunk in batch.chunks(items(), lambda size: size):
        seen += len(chunk)
        assert len(taken) == seen, "no document of the next chunk is in memory"
        assert len(chunk) <= batch.CHUNK_DOCUMENTS
        assert sum(chunk[:-1]) < batch.CHUNK_BYTES
    assert taken == sizes


@pytest.mark.parametrize("size", [1, 2, 100])
def test_chunks_change_no_result(desk: Path, model: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    whole = run("infill", "letters", "-m", model, "--diff").out
    monkeypatch.setattr(batch, "CHUNK_DOCUMENTS", size)
    assert run("infill", "letters", "-m", model, "--diff").out == whole


def test_an_interrupt_says_how_to_go_on(desk: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "CHUNK_DOCUMENTS", 1)
    stub = StubInfiller()
    fill, calls = stub.infill, iter([False, True])

    def interrupt(*documents: object, **options: object) -> object:
        if next(calls):
            raise KeyboardInterrupt
        return fill(*documents, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(stub, "infill", interrupt)
    words = ["infill", "letters", "-m", model, "-o", "filled"]
    with patch("textdiff.cli.infill.load_infiller", lambda *_: stub):
        ended = run(*words)
    assert ended.code == 130
    assert ended.err.startswith("textdiff: interrupted; 1 document filled (1 gap)")
    assert ended.err.endswith("What is filled is kept: the same command goes on from here\n")
    rest = StubInfiller()
    with patch("textdiff.cli.infill.load_infiller", lambda *_: rest):
        assert run(*words).code == 0
    assert len(rest.filled) == 2
    assert read_all(desk / "filled") == expected(LETTERS)


def test_progress_is_for_a_terminal_and_the_summary_for_all(
    desk: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    unseen = run("infill", "letters", "-m", model, "-o", "one")
    assert re.fullmatch(r"textdiff: 3 documents filled [^\n]+ s, [\d.,]+ gaps/s\n", unseen.err)
    seen = run("infill", "letters", "-m", model, "-o", "two", watched=True)
    assert "documents, " in seen.err
    assert "gaps/s" in seen.err.replace(summary(seen), "")
    assert seen.err.count("\x1b[?25l") == seen.err.count("\x1b[?25h") == 1
    assert read_all(desk / "one") == read_all(desk / "two")


class Gone(Stream):
    """A stdout whose reader has left."""

    def __init__(self) -> None:
        super().__init__()

    @property
    def buffer(self) -> Gone:  # type: ignore[override]
        return self

    def write(self, data: object) -> int:
        raise BrokenPipeError


def test_i5_a_reader_who_leaves_ends_what_is_only_printed(desk: Path, model: Path, stub: StubInfiller) -> None:
    from textdiff.cli import main

    with patch.object(sys, "stdout", Gone()):
        assert main(["infill", "letters", "-m", str(model), "--json"]) == 0
        assert main(["infill", "letters", "-m", str(model), "--json", "-o", "filled"]) == 0
    assert read_all(desk / "filled") == expected(LETTERS), "the documents are written all the same"


MISUSE = [
    ("letters", "several documents need a place to go"),
    ("letters/ann.md letters/plain.md", "several documents need a place to go"),
    ("letters -o -", "several documents need a place to go"),
    ("letters -o out --in-place", "only one of"),
    ("letters -o out --diff", "only one of"),
    ("letters -o ''", "--output must name"),
    ("- letters -o out", "standard input (-) cannot be read among other files"),
    ("- -o letters", "standard input has no name"),
    ("- --in-place --field text", "--in-place needs a file"),
    ("letters/ann.md --glob '*.md'", "--glob needs a folder"),
    ("letters --glob '../*' -o out", "a pattern stays in its folder"),
    ("letters -o letters", "would be written over itself"),
    ("letters/ann.md --overwrite", "--overwrite is for files in a folder"),
    ("letters/ann.md -o new.md --overwrite", "--overwrite is for files in a folder"),
    ("letters --in-place --watch", "--watch is for one document"),
    ("letters --in-place --trace t.html", "--trace is for one document"),
    ("letters --in-place --span 1:2", "--span is for one document"),
    ("letters --in-place --spans s.json", "--spans is for one document"),
    ("letters/ann.md --field text --watch", "--watch is for one document"),
    ("letters/ann.md --field text --diff", "--diff cannot be had of lines"),
    ("letters/ann.md --skip-errors", "--skip-errors is for lines of JSON"),
    ("letters/ann.md --span 1:2 --mask-token x", "--mask-token cannot mark gaps where --span"),
    ("letters --in-place --mask-token ''", "must not be empty"),
]


@pytest.mark.parametrize(("line", "why"), MISUSE, ids=[line for line, _ in MISUSE])
def test_misuse_is_one_sentence_before_anything_is_done(desk: Path, line: str, why: str) -> None:
    with patch("textdiff.infiller.load", side_effect=AssertionError("the model was loaded")):
        ended = run("infill", *shlex.split(line))
    assert (ended.code, ended.out) == (2, b"")
    assert re.fullmatch(r"textdiff: error: [^\n]+ \(help: textdiff infill --help\)\n", ended.err)
    assert why in ended.err
    assert read_all(desk) == {f"letters/{name}": data for name, data in LETTERS.items()}


@pytest.mark.parametrize(
    ("rank", "world", "words", "code", "why"),
    [
        ("0", "2", ["letters", "--json"], 2, "several processes cannot print"),
        ("1", "2", ["letters/ann.md", "--field", "text"], 2, "several processes need --output"),
        ("2", "2", ["letters", "-o", "out"], 3, "RANK is '2' and WORLD_SIZE is '2'"),
        ("x", "2", ["letters", "-o", "out"], 3, "RANK is 'x'"),
        ("1", "2", ["letters", "-o", "out"], 3, "process 1 of 2 finds no other"),
    ],
)
def test_processes_that_cannot_work_together_are_told(
    desk: Path, monkeypatch: pytest.MonkeyPatch, rank: str, world: str, words: list[str], code: int, why: str
) -> None:
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("WORLD_SIZE", world)
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    ended = run("infill", *words)
    assert (ended.code, why in ended.err) == (code, True), ended.err


def test_of_several_processes_one_fills_a_single_document(
    desk: Path, model: Path, monkeypatch: pytest.MonkeyPatch, stub: StubInfiller
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank, out in (("1", b""), ("0", expected(LETTERS)["ann.md"])):
        monkeypatch.setenv("RANK", rank)
        assert run("infill", "letters/ann.md", "-m", model).out == out
