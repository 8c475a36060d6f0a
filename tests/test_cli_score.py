"""`textdiff score` and `textdiff revise`, from the bytes that go in to the bytes that come out."""

from __future__ import annotations

import json
import math
import re
import shlex
import subprocess
from pathlib import Path
from unittest.mock import patch

import pytest
from tiny import Ended, run, senseless_checkpoint

import textdiff
from textdiff.cli.app import make_command
from textdiff.cli.places import Places
from textdiff.cli.score import cell
from textdiff.infiller.scoring import score

TEXT = "The old house,\r\nby the river — é.\n\n\tRain fell\x1b[31m on [MASK: 2 words] and `the code`.\n".encode()
SLIP = b"He opened the dore and went out into the garden, where the rain fell on the old house."
LOOSE = ("--margin", 0, "--edits", 2)
"""What makes an untrained model change something."""


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "tiny"
    senseless_checkpoint().save(folder)
    return folder


@pytest.fixture
def letter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "letter.md"
    path.write_bytes(TEXT)
    return path


def done(*words: object, stdin: bytes = b"", terminal: bool = False) -> Ended:
    ended = run(*words, stdin=stdin, terminal=terminal)
    assert (ended.code, ended.err) == (0, "")
    return ended


@pytest.mark.parametrize("by", ["word", "token", "line"])
def test_the_scores_are_those_of_the_library(letter: Path, model: Path, by: str) -> None:
    found = json.loads(done("score", letter, "-m", model, "--by", by, "--json").out)
    assert list(found) == [
        "schema", "model", "by", "log_likelihood", "log_likelihood_per_byte", "bytes", "stride", "units", "stats",
    ]  # fmt: skip
    assert (found["schema"], found["by"], found["bytes"], found["stride"]) == ("textdiff.score/1", by, len(TEXT), 16)
    assert set(found["stats"]) == {"scored", "unscored", "seconds"}
    expected = score(textdiff.load(model), TEXT, by)  # type: ignore[arg-type]
    assert found["log_likelihood"] == pytest.approx(expected.log_likelihood)
    inside = {"word": {"tokens", "first_choice"}, "token": {"first_choice"}, "line": {"words"}}[by]
    for unit, known in zip(found["units"], expected.units, strict=True):
        assert set(unit) == inside | {
            "text", "start_byte", "end_byte", "log_likelihood", "probability", "suspicion", "rank",
        }  # fmt: skip
        assert TEXT[unit["start_byte"] : unit["end_byte"]].decode(errors="replace") == unit["text"]
        if known.known:
            assert unit["probability"] == pytest.approx(math.exp(unit["log_likelihood"]))
            assert (unit["rank"], unit["suspicion"]) == (known.rank, pytest.approx(known.suspicion))
        else:
            assert [unit[key] for key in ("log_likelihood", "probability", "suspicion", "rank")] == [None] * 4


def test_exact_scores_and_strides(letter: Path, model: Path) -> None:
    found = {
        option: json.loads(done("score", letter, "-m", model, "--json", *option.split()).out)
        for option in ("--exact", "--stride 2", "--stride 16")
    }
    assert [found[option]["stride"] for option in found] == [None, 2, 16]
    assert len({found[option]["log_likelihood"] for option in found}) == 3


def test_the_table_names_places_and_shows_what_hides(letter: Path, model: Path) -> None:
    rows = [re.split("  +", line) for line in done("score", letter, "-m", model, "--by", "token").text.splitlines()]
    assert rows[0] == ["place", "token", "nats", "probability", "doubt", "rank", "first choice"]
    assert "\x1b" not in str(rows) and any("␊" in row[1] for row in rows if len(row) > 1)
    assert rows[1][0] == "1:1" and all(re.fullmatch(r"\d+:\d+", row[0]) for row in rows[1:-2])
    assert re.fullmatch(r"-[\d.,]+ nats, -[\d.]+ nats a byte; \d+ tokens scored, at a stride of 16", rows[-1][0])
    words = done("score", letter, "-m", model).text
    assert re.search(r"^2:16 +é ", words, re.MULTILINE) and re.search(r"^4:2 +Rain ", words, re.MULTILINE)
    lines = done("score", letter, "-m", model, "--by", "line", "--exact").text
    assert re.search(r"^3:1    +- +- +- +- +-$", lines, re.MULTILINE) and lines.endswith("exact\n")


def test_the_worst_come_first(letter: Path, model: Path) -> None:
    whole = json.loads(done("score", letter, "-m", model, "--json").out)
    worst = json.loads(done("score", letter, "-m", model, "--json", "--worst", 3).out)
    order = sorted(whole["units"], key=lambda unit: -unit["suspicion"])
    assert worst["units"] == order[:3] and worst["log_likelihood"] == whole["log_likelihood"]
    rows = done("score", letter, "-m", model, "--worst", 3).text.splitlines()
    assert [row.split()[1] for row in rows[1:4]] == [unit["text"] for unit in order[:3]]


def test_a_terminal_gets_the_text_in_colour(letter: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    letter.write_bytes(SLIP + b"\x1b[2J\n")
    shown = done("score", letter, terminal=True).text
    assert re.search("opened the \x1b\\[3[13]mdore\x1b\\[0m and went", shown) and "␛[" in shown
    assert re.sub("\x1b\\[[0-9;]*m", "", shown).startswith(SLIP.decode())
    assert re.search(r"\d red\S* and \S*\d yellow\S* of 21\. ", shown)
    assert "place " in done("score", letter, "--table", terminal=True).text
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in done("score", letter, terminal=True).text
    assert "\x1b[31m" in done("score", "-", "--paint", stdin=SLIP).text or "\x1b[33m" in shown


def test_a_revision_goes_where_it_is_sent(letter: Path, model: Path, tmp_path: Path) -> None:
    revised = done("revise", letter, "-m", model, *LOOSE).out
    assert revised != TEXT and letter.read_bytes() == TEXT
    assert len(revised.decode().split()) == len(TEXT.decode().split()) and b"[MASK: 2 words]" in revised
    assert done("revise", "-", "-m", model, *LOOSE, stdin=TEXT).out == revised
    assert done("revise", letter, "-m", model, *LOOSE, "-o", "-").out == revised
    other = tmp_path / "out.md"
    assert done("revise", letter, "-m", model, *LOOSE, "-o", other).out == b"" and other.read_bytes() == revised
    diff = done("revise", letter, "-m", model, *LOOSE, "--diff").out
    patched = subprocess.run(
        ["patch", "--binary", "-o", "-", "letter.md"], input=diff, capture_output=True, cwd=tmp_path, check=True
    )
    assert patched.stdout == revised
    shown = done("revise", letter, "-m", model, *LOOSE, terminal=True).text
    assert "@@" in shown and "␛[31m" in shown
    letter.chmod(0o640)
    assert done("revise", letter, "-m", model, *LOOSE, "--in-place").out == b""
    assert letter.read_bytes() == revised and letter.stat().st_mode & 0o777 == 0o640


def test_the_revision_as_json(letter: Path, model: Path) -> None:
    found = json.loads(done("revise", letter, "-m", model, *LOOSE, "--seed", 3, "--json").out)
    assert list(found) == ["schema", "model", "seed", "document", "places", "stats"]
    assert (found["schema"], found["seed"], found["stats"]["edits"]) == ("textdiff.revise/1", 3, 2)
    assert set(found["stats"]) == {"edits", "words", "doubtful", "seconds"}
    for place in found["places"]:
        assert set(place) == {
            "start_byte", "end_byte", "text", "log_likelihood", "suspicion", "replacement", "gain", "relief", "kept",
            "probability",
        }  # fmt: skip
        assert TEXT[place["start_byte"] : place["end_byte"]].decode() == place["text"]
    kept = [place for place in found["places"] if place["kept"]]
    rebuilt, end = b"", 0
    for place in kept:
        rebuilt += TEXT[end : place["start_byte"]] + place["replacement"].encode()
        end = place["end_byte"]
    assert found["document"].encode() == rebuilt + TEXT[end:]


def test_a_check_changes_nothing_and_may_fail(letter: Path) -> None:
    letter.write_bytes(SLIP)
    ended = done("revise", letter, "--check")
    assert re.search(r"^1:15 +dore +\S+ +\S+ +door ", ended.text, re.MULTILINE) and letter.read_bytes() == SLIP
    assert len(ended.text.splitlines()) >= 9
    ended = run("revise", letter, "--check", "--fail-below", "1e-4")
    assert ended.code == 8 and [line.split()[1] for line in ended.text.splitlines()[1:]] == ["dore"]
    assert re.fullmatch(
        r"textdiff: error: 1 word has a probability below 0\.0001, among them 'dore' at 1:15 with [\d.e-]+\n", ended.err
    )
    assert done("revise", letter, "--check", "--fail-below", "1e-30").text.count("\n") == 1
    ended = run("revise", letter, "--check", "--fail-below", "1e-4", "--protect-regex", "dore")
    assert ended.code == 0 and letter.read_bytes() == SLIP


def test_what_is_protected_stays(letter: Path, model: Path) -> None:
    every = ("revise", letter, "-m", model, "--margin", 0, "--edits", 50, "--json")
    looked = {place["text"] for place in json.loads(done(*every).out)["places"]}
    assert looked == {"The", "old", "house", "by", "the", "river", "é", "Rain", "fell", "m", "on", "and"} - {
        "m"
    } | looked & {"m"}
    looked = {place["text"] for place in json.loads(done(*every, "--protect", "none").out)["places"]}
    assert {"code", "31m"} <= looked and "MASK" not in looked
    spans = ("--protect-span", f"0:{len(TEXT) - 12}", "--protect", "numbers")
    looked = {place["text"] for place in json.loads(done(*every, *spans).out)["places"]}
    assert looked == {"the", "code"}


def test_nothing_better_is_said_and_the_text_comes_out(letter: Path, model: Path) -> None:
    before = letter.stat().st_mtime_ns
    for option in ((), ("--in-place",)):
        ended = run("revise", letter, "-m", model, "--margin", 1000, *option)
        assert (ended.code, ended.out) == (0, b"" if option else TEXT)
        assert ended.err == "textdiff: nothing was changed: no other word makes the text likelier\n"
    assert letter.read_bytes() == TEXT and letter.stat().st_mtime_ns == before


def test_a_file_that_changed_meanwhile_is_left_alone(letter: Path, model: Path) -> None:
    def meddle(name: str, device: str | None) -> textdiff.Infiller:
        letter.write_bytes(b"something newer")
        return textdiff.load(name)

    with patch("textdiff.cli.revise.load_infiller", meddle):
        ended = run("revise", letter, "-m", model, *LOOSE, "--in-place")
    assert (ended.code, letter.read_bytes()) == (4, b"something newer")
    assert "was changed meanwhile" in ended.err


WRONG = [
    ("score letter.md --stride 1", "--stride"),
    ("score letter.md --worst 0", "--worst"),
    ("score letter.md --by page", "--by"),
    ("score letter.md --paint --json", "--paint shows the whole text"),
    ("score letter.md --paint --worst 3", "--paint shows the whole text"),
    ("revise letter.md --edits 0", "--edits"),
    ("revise letter.md --below 0", "above 0 and at most 1, got 0.0"),
    ("revise letter.md --below nan", "above 0 and at most 1, got nan"),
    ("revise letter.md --margin -1", "of at least 0, got -1.0"),
    ("revise letter.md --fail-below 0.1", "--fail-below goes with --check"),
    ("revise letter.md --check --fail-below 2", "above 0 and at most 1, got 2.0"),
    ("revise letter.md --check --fail-below 0.1 --below 0.1", "without --below"),
    ("revise letter.md --check --diff", "only one of"),
    ("revise letter.md -o x --in-place", "only one of"),
    ("revise letter.md --diff --json", "--diff and --json"),
    ("revise - --in-place", "--in-place needs a file"),
    ("revise letter.md --protect markup", "nothing is protected as 'markup'"),
    ("revise letter.md --protect-regex (", "is not a regular expression"),
    ("revise letter.md --protect-span 3-4", "START:END"),
]


@pytest.mark.parametrize(("line", "why"), WRONG, ids=[line for line, _ in WRONG])
def test_wrong_usage_is_said_before_anything_is_loaded(letter: Path, line: str, why: str) -> None:
    with patch("textdiff.infiller.load", side_effect=AssertionError("the model was loaded")):
        ended = run(*shlex.split(line))
    assert (ended.code, ended.out, ended.err.count("\n")) == (2, b"", 1)
    assert why in ended.err and f"(help: textdiff {line.split()[0]} --help)" in ended.err


@pytest.mark.parametrize("command", ["score", "revise"])
@pytest.mark.parametrize(
    ("data", "code", "why"),
    [
        (b"", 4, "there is no text to"),
        (b"h\xe9llo", 4, "not UTF-8: byte 1 is 0xe9"),
        (b"\x1f\x8b\x08\0", 4, "not UTF-8"),
    ],
)
def test_what_is_no_text_is_one_sentence(model: Path, command: str, data: bytes, code: int, why: str) -> None:
    ended = run(command, "-", "-m", model, stdin=data)
    assert (ended.code, ended.out) == (code, b"") and why in ended.err
    assert re.fullmatch(r"textdiff: error: [^\n]+\n", ended.err)


def test_other_ends(letter: Path, model: Path) -> None:
    assert run("score", "missing.md").code == run("revise", "missing.md").code == 4
    assert run("score", letter, "-m", "nowhere").code == 5
    ended = run("revise", "-", "-m", model, stdin=b"12, 13; 14")
    assert ended.code == 4 and "no word that is not protected" in ended.err
    ended = run("revise", letter, "-m", model, "--protect-span", "0:999")
    assert ended.code == 4 and "0:999 is not within" in ended.err


@pytest.mark.parametrize("name", ["score", "revise"])
def test_help_has_examples_that_parse_and_fits(name: str) -> None:
    ended = done(name, "--help")
    examples = re.findall(r"^ +(?:.*\| )?(textdiff [^|<\n]*)", ended.text.partition("Examples:\n")[2], re.MULTILINE)
    assert len(examples) >= 4 and all(len(line) <= 80 for line in ended.text.splitlines())
    for example in examples:
        words = shlex.split(example)[1:]
        make_command().commands[words[0]].make_context("x", words[1:]).close()
    for parameter in make_command().commands[name].params:
        assert getattr(parameter, "help", None), parameter.name


def test_places_count_characters() -> None:
    places = Places("é—a\r\n\nb\n".encode())
    assert [places.of(offset) for offset in (0, 2, 5, 6, 8, 9, 10, 11)] == [
        "1:1", "1:2", "1:3", "1:4", "2:1", "3:1", "3:2", "4:1",
    ]  # fmt: skip


def test_cells_are_one_line() -> None:
    assert cell(" a\r\n\tb\x1b") == "␠a␍␊␉b␛"
