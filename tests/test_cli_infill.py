"""`textdiff infill`, from the bytes that go in to the bytes that come out."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, fields
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stubs import stub_result
from tiny import Ended, Stream, run, save_tiny

import textdiff
from textdiff.cli import main
from textdiff.cli.diff import unified_diff
from textdiff.infiller import GapFill, InfillResult
from textdiff.text.document import Document, Gap

LETTER = b"Dear Ann,\r\nI was at [MASK: 2 words] on [MASK#day: 1 word].\nYours,\n[MASK]\n"
AWKWARD = {
    "crlf": b"one\r\ntwo [MASK: 3 tokens] three\r\nfour\r\n",
    "bom": b"\xef\xbb\xbfThe [MASK: 2 tokens] end",
    "nul and emoji": "a\0b \N{GRINNING FACE} [MASK: 4 tokens]\x1b[31m\n\n\n".encode(),
    "only a gap": b"[MASK: 3 tokens]",
    "neighbours": b"[MASK: 1 token][MASK: 2 tokens]\n\n\n\n\n\n\n\nfar [MASK: 2 tokens]\n",
    "escaped": b"\\[MASK] stays\nand \\[MASK] too, [MASK: 2 tokens]\n" + b"line\n" * 9 + b"\\[MASK: 3]",
}


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture
def letter(tmp_path: Path) -> Path:
    path = tmp_path / "letter.md"
    path.write_bytes(LETTER)
    return path


def filled(document: bytes, model: Path, *options: object) -> Ended:
    ended = run("infill", "-", "-m", model, *options, stdin=document)
    assert (ended.code, ended.err) == (0, "")
    return ended


def outside(document: bytes) -> re.Pattern[bytes]:
    """What a filled document must look like: the given bytes, and anything in the gaps."""
    parts = Document.parse(document).parts
    return re.compile(b"".join(b"(.*)" if isinstance(p, Gap) else re.escape(p.text.encode()) for p in parts), re.DOTALL)


def test_the_json_object_is_the_one_that_was_promised(letter: Path, model: Path) -> None:
    ended = run("infill", letter, "-m", model, "--seed", -3, "--json")
    assert (ended.code, ended.err, ended.out.count(b"\n")) == (0, "", 1)
    found = json.loads(ended.out)
    assert list(found) == ["schema", "model", "seed", "document", "gaps", "stats"]
    assert (found["schema"], found["model"], found["seed"]) == ("textdiff.infill/1", str(model), -3)
    assert set(found["stats"]) == {"steps", "nfe", "tokens", "seconds"}
    assert [set(gap) for gap in found["gaps"]] == [{field.name for field in fields(GapFill)}] * 3
    assert {"index", "name", "start_byte", "end_byte", "text", "score"} <= set(found["gaps"][0])
    assert [(gap["index"], gap["name"]) for gap in found["gaps"]] == [(0, None), (1, "day"), (2, None)]
    data = found["document"].encode()
    assert [data[gap["start_byte"] : gap["end_byte"]].decode() for gap in found["gaps"]] == [
        gap["text"] for gap in found["gaps"]
    ]
    api = textdiff.load(model).infill(LETTER, seed=-3)
    assert found["document"] == api.document


def test_a_seed_gives_its_result_again_and_another_gives_another(model: Path) -> None:
    assert filled(LETTER, model, "--seed", 1, "--temperature", 1).out == filled(LETTER, model, "--seed", 1).out
    assert filled(LETTER, model, "--seed", 1).out != filled(LETTER, model, "--seed", 2).out


@pytest.mark.parametrize("name", AWKWARD)
def test_bytes_outside_the_gaps_come_out_as_they_went_in(name: str, model: Path) -> None:
    assert outside(AWKWARD[name]).fullmatch(filled(AWKWARD[name], model).out)


def test_the_document_goes_where_it_is_sent(letter: Path, model: Path, tmp_path: Path) -> None:
    expected = filled(LETTER, model).out
    other = tmp_path / "out.md"
    ended = run("infill", letter, "-m", model, "-o", other)
    assert (ended.code, ended.out, other.read_bytes()) == (0, b"", expected)
    other.write_bytes(b"")
    both = run("infill", letter, "-m", model, "-o", other, "--json")
    assert json.loads(both.out)["document"].encode() == other.read_bytes() == expected
    assert run("infill", letter, "-m", model, "-o", "-").out == expected
    letter.chmod(0o640)
    ended = run("infill", letter, "-m", model, "--in-place")
    assert (ended.code, ended.out, letter.read_bytes()) == (0, b"", expected)
    assert letter.stat().st_mode & 0o777 == 0o640


def test_a_file_that_changed_meanwhile_is_left_alone(letter: Path, model: Path) -> None:
    def meddle(name: str, *_: object) -> textdiff.Infiller:
        letter.write_bytes(b"something newer")
        return textdiff.load(name)

    with patch("textdiff.cli.infill.load_infiller", meddle):
        ended = run("infill", letter, "-m", model, "--in-place")
    assert (ended.code, letter.read_bytes()) == (4, b"something newer")
    assert "was changed meanwhile" in ended.err


def test_options_reach_the_sampler(model: Path) -> None:
    document = b"a [MASK: 9 tokens] b"
    stats = [json.loads(filled(document, model, "--steps", steps, "--json").out)["stats"] for steps in (1, 3)]
    assert [(s["steps"], s["nfe"]) for s in stats] == [(1, 1), (3, 3)]
    found = json.loads(filled(b"a [MASK] b", model, "--room", 7, "--json").out)
    assert [odds["tokens"] for odds in found["gaps"][0]["length_considered"]] == list(range(1, 8))
    by_one = json.loads(filled(document, model, "--sampler", "first_hitting", "--json").out)
    assert by_one["stats"]["nfe"] == 9
    greedy = {filled(document, model, "--temperature", 0, "--seed", seed).out for seed in range(3)}
    assert greedy == {filled(document, model, "--top-k", 1).out} == {filled(document, model, "--top-p", 1e-9).out}


def test_another_literal_can_mark_the_gaps(model: Path) -> None:
    ended = filled(b"a ____ b [MASK] c", model, "--mask-token", "____", "--room", 3)
    assert re.fullmatch(rb"a .* b \[MASK\] c", ended.out, re.DOTALL)
    assert b"____" not in ended.out


def test_a_terminal_shows_fills_in_colour_and_hides_nothing(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    document = b"\xef\xbb\xbfa\x1b[2J \xe2\x80\xaeb\r\nc\rd [MASK: 2 tokens] e"
    found = json.loads(filled(document, model, "--json").out)
    ended = run("infill", "-", "-m", model, stdin=document, terminal=True)
    fill = found["gaps"][0]["text"]
    assert fill.isprintable()
    assert ended.text == f"<U+FEFF>a␛[2J <U+202E>b\r\nc␍d \x1b[1;32m{fill}\x1b[0m e\n"
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in run("infill", "-", "-m", model, stdin=document, terminal=True).text
    assert b"\x1b[2J" in filled(document, model).out


@pytest.mark.skipif(not shutil.which("patch"), reason="the program patch is not here")
@pytest.mark.parametrize("name", AWKWARD)
def test_patch_applies_the_diff(name: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path("some file.txt")
    path.write_bytes(AWKWARD[name])
    expected = filled(AWKWARD[name], model).out
    ended = run("infill", path.absolute(), "-m", model, "--diff")
    assert (ended.code, ended.err, path.read_bytes()) == (0, "", AWKWARD[name])
    subprocess.run(["patch", "--silent", "--posix"], input=ended.out, check=True, timeout=20)
    assert path.read_bytes() == expected


def test_a_terminal_shows_the_diff_in_colour(letter: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    plain = run("infill", letter, "-m", model, "--diff").text
    shown = run("infill", letter, "-m", model, "--diff", terminal=True).text
    assert "\x1b[31m-I was at [MASK: 2 words]" in shown
    assert re.sub(r"\x1b\[\d*m", "", shown) == plain.replace("\r", "")
    nothing = run("infill", "-", "-m", model, "--diff", "--mask-token", "x", stdin=b"a\x07\nx", terminal=True).text
    assert " a␇\n" in nothing


texts = st.text(st.sampled_from("ab \n\r"), max_size=6)
pieces = st.lists(st.one_of(texts, st.sampled_from(["[MASK]", "\\[MASK]", "\n", "\n\n\n\n\n\n\n\n"])), max_size=12)


@settings(max_examples=150)
@given(pieces.map("".join), st.lists(texts, min_size=12, max_size=12))
def test_a_diff_turns_the_source_into_the_filled_document(source: str, fills: list[str]) -> None:
    document = Document.parse(source.encode())
    chosen = fills[: len(document.gaps)]
    expected = document.fill(chosen).data
    diff = unified_diff(document, chosen, "x")
    assert apply(diff, source.encode()) == expected
    assert (diff == b"") == (source.encode() == expected)


@pytest.mark.parametrize("distance", range(1, 12))
def test_changes_that_are_near_share_a_hunk(distance: int) -> None:
    source = b"[MASK]\n" + b"".join(b"%d\n" % i for i in range(distance - 1)) + b"[MASK]\nend"
    document = Document.parse(source)
    diff = unified_diff(document, ["a", "b"], "x")
    assert apply(diff, source) == document.fill(["a", "b"]).data
    assert diff.count(b"\n@@") == (1 if distance <= 7 else 2)


def apply(diff: bytes, source: bytes) -> bytes:
    """A small `patch` that trusts nothing: contexts, removed lines and counts have to be right."""
    old = re.findall(rb"[^\n]*\n|[^\n]+", source)
    lines = re.findall(rb"[^\n]*\n", diff)[2:]
    result: list[bytes] = []
    at = 0
    while lines:
        header = re.fullmatch(rb"@@ -(\d+),(\d+) \+(\d+),(\d+) @@\n", lines.pop(0))
        assert header
        start, count, new_start, new_count = map(int, header.groups())
        first = start - (count > 0)
        result += old[at:first]
        assert len(result) == new_start - (new_count > 0)
        before, at = len(result), first
        while lines and not lines[0].startswith(b"@@"):
            sign, line = lines[0][:1], lines.pop(0)[1:]
            if lines and lines[0].startswith(b"\\"):
                lines.pop(0)
                line = line.removesuffix(b"\n")
            if sign in b" -":
                assert old[at] == line
                at += 1
            if sign in b" +":
                result.append(line)
        assert (at - first, len(result) - before) == (count, new_count)
    return b"".join(result + old[at:])


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_a_reader_who_has_left_is_no_error(option: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "textdiff", option]
    ended = subprocess.run(command, check=False, stdout=writer, stderr=subprocess.PIPE, timeout=60)
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (0, b"")


def test_i5_what_is_read_only_is_said_before_the_model_is_asked(letter: Path, model: Path, tmp_path: Path) -> None:
    (tmp_path / "out.md").touch()
    for path in (letter, tmp_path / "out.md"):
        path.chmod(0o444)
    with patch("textdiff.cli.infill.load_infiller", side_effect=AssertionError("the model was loaded")):
        for words in (["--in-place"], ["-o", tmp_path / "out.md"]):
            ended = run("infill", letter, "-m", model, *words)
            assert (ended.code, "is read-only and has been left as it is" in ended.err) == (4, True)
    assert letter.read_bytes() == LETTER


def test_i5_in_place_follows_a_link(letter: Path, model: Path, tmp_path: Path) -> None:
    (tmp_path / "link.md").symlink_to("letter.md")
    assert run("infill", tmp_path / "link.md", "-m", model, "--in-place").code == 0
    assert (tmp_path / "link.md").is_symlink()
    assert letter.read_bytes() == filled(LETTER, model).out


@pytest.mark.parametrize(
    "literal", ["<mask>", "<pad>", "<eos>", "[PAD]", "[FILL]", "{{blank}}", "{{blank", "____", "\\[MASK]"]
)
def test_i1_text_that_looks_like_markup_stays(literal: str, model: Path) -> None:
    out = filled(f"{literal} a [MASK: 2 tokens]{literal}\n".encode(), model).text
    plain = literal.removeprefix("\\")
    assert out.startswith(f"{plain} a ")
    assert out.endswith(f"{plain}\n")


@pytest.mark.parametrize(
    ("document", "why"),
    [
        (b"one\ntwo [MASK: 5 words", "line 2, column 5"),
        (b"[MASK: [MASK]]", "line 1, column"),
        (b"[MASK: 0 words]", "line 1, column"),
        (b"[MASK]" * 10_001, "line 1, column 60001: a document can have at most 10000 gaps"),
    ],
)
def test_i1_markup_that_is_wrong_is_found_before_the_model_is_loaded(document: bytes, why: str) -> None:
    with patch("textdiff.cli.infill.load_infiller", side_effect=AssertionError("the model was loaded")):
        ended = run("infill", "-", stdin=document)
    assert (ended.code, ended.out, why in ended.err) == (4, b"", True), ended.err


def test_i2_a_document_longer_than_the_context_is_filled_or_refused(model: Path) -> None:
    around = b"It was a long way from the old house to the garden, and she went slowly.\n" * 30
    document = around + b"One [MASK: 2 tokens].\n" + around + b"Two [MASK: 3 tokens].\n" + around
    assert outside(document).fullmatch(filled(document, model).out)
    assert filled(document, model).out == filled(document, model).out
    ended = run("infill", "-", "-m", model, stdin=around + b"[MASK: 5000 tokens]")
    assert (ended.code, ended.out) == (4, b"")
    assert "gap 1, '[MASK: 5000 tokens]': needs 5000 positions" in ended.err


@pytest.mark.parametrize("seed", [0, -1, 2**63, -(2**200)])
def test_g1_any_integer_is_a_seed(seed: int, model: Path) -> None:
    words = ["--seed", seed, "--temperature", 1]
    assert filled(LETTER, model, *words).out == filled(LETTER, model, *words).out


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("-n 0", "'-n'"),
        ("-n 1000000000", "'-n'"),
        ("--min-confidence nan", "nan is not between 0 and 1"),
        ("--min-confidence 1.01", "1.01 is not between 0 and 1"),
        ("--length 0", "--length begins at 1 token"),
        ("--length 5-3", "--length begins at 1 token"),
        ("--length long", "--length is auto, model, search"),
        ("--must ''", "--must wants words with commas"),
        ("--forbid sea,,sand", "--forbid wants words with commas between them, got 'sea,,sand'"),
        ("--span 5", "a span is written START:END"),
    ],
)
def test_g1_options_out_of_range(words: str, why: str, letter: Path) -> None:
    with patch("textdiff.infiller.load", side_effect=AssertionError("the model was loaded")):
        ended = run("infill", letter, *shlex.split(words))
    assert (ended.code, ended.out, why in ended.err) == (2, b"", True), ended.err


class Recorder:
    """A model that notes its options, and gives each gap a text, or leaves it open."""

    tokenizer = None

    def __init__(self, *texts: str | None, **facts: object) -> None:
        self.texts, self.facts = [*texts], facts
        self.options: dict[str, object] = {}

    def infill(
        self,
        documents: Document,
        *,
        length: object = "auto",
        n: int = 1,
        min_confidence: float | None = None,
        must: tuple[str, ...] = (),
        forbid: tuple[str, ...] = (),
        **others: object,
    ) -> InfillResult:
        self.options = {"length": length, "n": n, "min_confidence": min_confidence, "must": must, "forbid": forbid}
        self.options |= others
        return stub_result(documents, self.texts, **self.facts)

    def run(self, *words: object, document: bytes = LETTER, terminal: bool = False) -> Ended:
        with patch("textdiff.cli.infill.load_infiller", lambda *_: self):
            return run("infill", "-", *words, stdin=document, terminal=terminal)


@pytest.mark.parametrize(
    ("words", "given"),
    [
        ("", {"length": "auto", "n": 1, "min_confidence": None, "must": (), "forbid": ()}),
        ("--length model", {"length": "model"}),
        ("--length search", {"length": "search"}),
        ("--length 3", {"length": 3}),
        ("--length 2-6", {"length": (2, 6)}),
        ("-n 4 --min-confidence 0.5", {"n": 4, "min_confidence": 0.5}),
        ("--must fire,'the sea' --must sand", {"must": ("fire", "the sea", "sand")}),
        ("--forbid fire --room 7 --seed 3", {"forbid": ("fire",), "room": 7, "seed": 3}),
        (
            "--steps 2 --top-k 3 --top-p 0.5 --sampler margin",
            {"steps": 2, "top_k": 3, "top_p": 0.5, "sampler": "margin"},
        ),
    ],
)
def test_what_is_asked_for_reaches_the_model(words: str, given: dict[str, object]) -> None:
    model = Recorder("a", "b", "c")
    assert model.run(*shlex.split(words)).code == 0
    assert model.options.items() >= given.items()


@dataclass(frozen=True)
class Other:
    """An alternative."""

    text: str
    score: float
    confidence: float


def test_alternatives_are_a_table_beside_the_best_document() -> None:
    others = (Other("home", -1.234, 0.5), Other("in\nbed\x1b", -10.0, 0.25), Other("", -11.0, 0.125))
    model = Recorder("home", "home", "home", alternatives=others)
    ended = model.run("-n", 3)
    assert ended.out == LETTER.replace(b"[MASK: 2 words]", b"home").replace(b"[MASK#day: 1 word]", b"home").replace(
        b"[MASK]", b"home"
    )
    table = ended.err.splitlines()
    assert table[:5] == [
        "gap         score   confidence  text",
        "1        1  -1.23   0.50        home",
        "         2  -10.00  0.25        in␊bed␛",
        "         3  -11.00  0.12",
        "2 (day)  1  -1.23   0.50        home",
    ]
    assert len(table) == 1 + 9
    assert model.run("-n", 3, "--json").err == ""


def test_gaps_that_stay_open_are_named_and_keep_their_markup() -> None:
    model = Recorder("home", None, "Bob", confidence=0.125)
    document = LETTER + b"\\[MASK]"
    for words in ([], ["--json"], ["--diff"]):
        ended = model.run("--min-confidence", 0.5, *words, document=document)
        assert ended.code == 0
        said = "textdiff: document: gap 2, [MASK#day: 1 word], is left open: its best text has a confidence of 0.12\n"
        assert ended.err == said
    rest = document.replace(b"[MASK: 2 words]", b"home").replace(b"\n[MASK]", b"\nBob")
    assert apply(model.run("--min-confidence", 0.5, "--diff", document=document).out, document) == rest
    assert model.run("--min-confidence", 0.5, document=document).out == rest, "it can be filled again"


def test_a_terminal_colours_only_what_was_filled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    shown = Recorder("home", None).run(document=b"a [MASK] b [MASK] c", terminal=True).text
    assert shown == "a \x1b[1;32mhome\x1b[0m b [MASK] c\n"


def test_spans_mark_gaps_out_of_band(model: Path, tmp_path: Path) -> None:
    document = b"one two three [MASK]"
    spans = tmp_path / "spans.json"
    gaps = [{"start_byte": 8, "end_byte": 13, "length": "3 tokens", "name": "last"}]
    spans.write_text(json.dumps({"schema": "textdiff.spans/1", "gaps": gaps}))
    found = json.loads(filled(document, model, "--span", "4:7", "--spans", spans, "--json").out)
    assert [gap["name"] for gap in found["gaps"]] == [None, "last"]
    assert re.fullmatch(r"one .* \[MASK\]", found["document"], re.DOTALL)
    ended = run("infill", "-", "-m", model, "--span", "4:70", stdin=document)
    assert (ended.code, "the span 4:70 leaves the document" in ended.err) == (4, True)
    assert run("infill", "-", "-m", model, "--spans", tmp_path / "none.json", stdin=document).code == 4


@pytest.mark.parametrize(
    ("token", "document"),
    [("roberta", b"a <mask> b"), ("t5", b"a <extra_id_0> b"), ("underscores", b"a ____ b"), ("fill", b"a <FILL> b")],
)
def test_the_marks_of_others_are_known(token: str, document: bytes, model: Path) -> None:
    assert re.fullmatch(rb"a [^<_]* b", filled(document, model, "--mask-token", token).out, re.DOTALL)


def test_a_trace_is_written_beside_the_result(letter: Path, model: Path, tmp_path: Path) -> None:
    page = tmp_path / "trace.html"
    ended = run("infill", letter, "-m", model, "--trace", page, "--watch", "--watch-delay", 0, watched=True)
    assert (ended.code, ended.out) == (0, filled(LETTER, model).out)
    assert "still noisy" in ended.err
    assert page.read_text().lower().startswith("<!doctype html>")
    assert "letter.md" in page.read_text()


def test_progress_of_a_document_with_many_gaps_is_for_a_terminal(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    document = b"a [MASK: 1 token] b\n" * 60
    seen = run("infill", "-", "-m", model, stdin=document, watched=True)
    assert "60 gaps, " in seen.err
    assert seen.out == filled(document, model).out


def test_a_full_disk_behind_stdout_is_said(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class Full(io.RawIOBase):
        def writable(self) -> bool:
            return True

        def write(self, data: object) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    full = io.TextIOWrapper(io.BufferedWriter(Full()))
    with patch.object(sys, "stdin", Stream(LETTER)), patch.object(sys, "stdout", full):
        assert main(["infill", "-", "-m", str(model)]) == 6
    assert capsys.readouterr().err == "textdiff: error: standard output cannot be written: no space left on device\n"
    with pytest.raises(OSError, match="No space"):
        full.detach()
