"""`textdiff infill`, from the bytes that go in to the bytes that come out."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import Ended, Stream, run, save_tiny

import textdiff
from textdiff.cli import main
from textdiff.cli.diff import unified_diff
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
    assert [set(gap) for gap in found["gaps"]] == [{"index", "name", "start_byte", "end_byte", "text", "score"}] * 3
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
    def meddle(name: str) -> textdiff.Infiller:
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
    assert found["stats"]["tokens"] == 7
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
