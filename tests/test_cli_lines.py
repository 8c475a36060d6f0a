"""`textdiff infill` on lines of JSON: one field is filled, and nothing else changes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import pytest
from batches import read_all, summary, write_all
from folders import names_in
from hypothesis import given, settings
from hypothesis import strategies as st
from stubs import StubInfiller
from tiny import run, save_tiny

from textdiff.cli import batch
from textdiff.cli.jsonl import Line
from textdiff.text.document import Document


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def stub() -> Iterator[StubInfiller]:
    """The model that commands get."""
    infiller = StubInfiller()
    with patch("textdiff.cli.infill.load_infiller", lambda *_: infiller):
        yield infiller


ROWS = [
    {"id": 1, "text": "A [MASK] b", "z": None},
    {"text": "c [MASK] and [MASK]", "more": {"text": "[MASK]", "list": [1, 2.50, "\u00e9"]}},
    {"text": "[MASK: 2 tokens]"},
]
DATA = b"".join(json.dumps(row).encode() + b"\n" for row in ROWS)


def fields(data: bytes, name: str = "text") -> list[str]:
    return [json.loads(line)[name] for line in data.splitlines() if line.strip()]


def test_a_field_of_each_line_is_filled(desk: Path, model: Path) -> None:
    (desk / "data.jsonl").write_bytes(DATA)
    ended = run("infill", "data.jsonl", "--field", "text", "-m", model, "--seed", 2)
    assert (ended.code, summary(ended)) == (0, "textdiff: 3 lines filled (4 gaps)")
    alone = [run("infill", "-", "-m", model, "--seed", 2, stdin=str(row["text"]).encode()).text for row in ROWS]
    assert fields(ended.out) == alone
    same = ["infill", "-", "--field", "text", "-m", model, "--seed", 2]
    assert run(*same, stdin=DATA).out == ended.out
    assert run(*same, "-o", "piped.jsonl", stdin=DATA).code == 0
    assert run("infill", "data.jsonl", "--field", "text", "-m", model, "--seed", 2, "-o", "out.jsonl").code == 0
    assert run("infill", "data.jsonl", "--field", "text", "-m", model, "--seed", 2, "-o", "folder/").code == 0
    assert run("infill", "data.jsonl", "--field", "text", "-m", model, "--seed", 2, "--in-place").code == 0
    for path in ("piped.jsonl", "out.jsonl", "folder/data.jsonl", "data.jsonl"):
        assert (desk / path).read_bytes() == ended.out
    assert names_in(desk) == ["data.jsonl", "folder", "out.jsonl", "piped.jsonl"]
    reports = run("infill", "-", "--field", "text", "-m", model, "--json", stdin=b"\n" + DATA).out.splitlines()
    assert [json.loads(line)["line"] for line in reports] == [2, 3, 4]


AWKWARD = {
    "numbers and blanks": b'{ "n":1.50,"e" : 1E400, "big":123456789012345678901234567890, "text":"a [MASK] b" , "k":-0 }\r\n',
    "escapes": rb'{"a":"\u00e9\/","text":"\u00e9 \/ \ud83d\ude00 \" \\ [MASK] \n\u005bx\u005d","b":"\t"}',
    "twice elsewhere": b'{"a":1,"a":2,"t":{"text":"[MASK]"},"text":"[MASK]"}\n',
    "raw": '{"ключ":"ü😀\u2028", "text":"ü😀 [MASK] \u2028é"}\n'.encode(),
    "byte order mark": b'\xef\xbb\xbf{"text":"[MASK]"}\n',
    "an escaped key": b'{"te\\u0078t":"[MASK]"}\n',
    "no number": b'{"x":NaN,"text":"[MASK]"}\n',
}


@pytest.mark.parametrize("name", AWKWARD)
def test_all_other_bytes_of_a_line_stay(name: str, desk: Path, model: Path, stub: StubInfiller) -> None:
    lines = b"\n" + AWKWARD[name]
    ended = run("infill", "-", "--field", "text", "-m", model, stdin=lines)
    assert ended.code == 0, ended.err
    before, _, after = lines.rpartition(b"[MASK]")
    assert ended.out == before + b"filled 0" + after


@pytest.mark.parametrize(("given", "spelled"), [(rb"\u00e9", rb"\u2019\""), ("é".encode(), '’\\"'.encode())])
def test_a_fill_is_spelled_as_the_text_around_it(given: bytes, spelled: bytes) -> None:
    found = Line.parse(b'{"text": "%s [MASK]"}' % given, "text")
    filled = found.fill(Document.parse(found.text.encode()), ['’"'])
    assert filled == b'{"text": "%s %s"}' % (given, spelled)


values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=4)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)),
    max_leaves=6,
)
texts = st.text(st.one_of(st.sampled_from('ab"\\/\n\t😀é\u2028[]'), st.characters(codec="utf-8")), max_size=8)


@settings(max_examples=300)
@given(
    st.lists(st.tuples(st.text(max_size=3), values), max_size=4),
    st.integers(0, 4),
    st.lists(st.one_of(texts, st.sampled_from(["[MASK]", "[MASK: 3 words]", "\\[MASK]"])), min_size=1, max_size=6),
    st.lists(st.one_of(texts, st.none()), min_size=6, max_size=6),
    st.booleans(),
    st.sampled_from([(",", ":"), (", ", ": "), (" ,", " : ")]),
)
def test_any_object_keeps_everything_but_its_gaps(
    members: list[tuple[str, object]],
    place: int,
    pieces: list[str],
    fills: list[str | None],
    ascii_only: bool,
    separators: tuple[str, str],
) -> None:
    text = "".join(pieces)
    document = Document.parse(text.encode())
    others = {key: value for key, value in members if key != "text"}
    items = list(others.items())
    items.insert(place, ("text", text))
    line = json.dumps(dict(items), ensure_ascii=ascii_only, separators=separators).encode()
    found = Line.parse(line + b"\r\n", "text")
    assert found.text == text
    chosen = fills[: len(document.gaps)]
    filled = found.fill(document, chosen)
    again = json.loads(filled)
    assert list(again) == [key for key, _ in items]
    assert again.pop("text") == document.fill(chosen).text
    assert again == others
    assert filled.endswith(found.after.encode())
    assert filled.startswith(found.before.encode())
    assert found.fill(Document.parse(b"".join(p.markup.encode() for p in document.parts)), [None] * len(chosen)) == (
        line + b"\r\n" if chosen else filled
    )


WRONG_LINES = {
    b'{"text": 1}': "the field 'text' holds 1, and not a text",
    b'{"text": ["[MASK]"]}': 'holds ["[MASK]"], and not a text',
    b'{"other": "[MASK]"}': "the object has no field 'text'",
    b'{"text": "[MASK]", "text": "[MASK]"}': "two fields 'text'",
    b'{"text": "nothing"}': "in the field 'text': the document has no gap to fill",
    b'{"text": "a\\n [MASK: 5 parsecs]"}': "in the field 'text': line 2, column",
    b'{"text": "\\ud800 [MASK]"}': "half of a surrogate pair",
    b'{"text": "IMPOSSIBLE [MASK]"}': "gap 1 cannot be had",
    b'["text"]': "this is no JSON object: it does not begin with {",
    b'{"text": "[MASK]"': "this is no JSON object: it does not end with }",
    b'{"text": "[MASK]"} {}': "something stands after it",
    b'{"text": "[MASK]",}': "a key is missing",
    b'{"text" "[MASK]"}': "the key 'text' has no value",
    b'{"a": tru, "text": "[MASK]"}': "expecting value at column 7",
    b'{"a": "\xff", "text": "[MASK]"}': "byte 7 of the line is not UTF-8",
    b'{"a": ' + b"[" * 100_000: "this is no JSON object",
}


@pytest.mark.parametrize("line", WRONG_LINES, ids=lambda line: line[:30].decode(errors="replace"))
def test_d1_a_wrong_line_is_named_or_passed_on(line: bytes, desk: Path, model: Path, stub: StubInfiller) -> None:
    first, *others = DATA.splitlines(keepends=True)
    (desk / "data.jsonl").write_bytes(b"".join([first, line + b"\n", *others, b"\n"]))
    words = ["infill", "data.jsonl", "--field", "text", "-m", model]
    ended = run(*words)
    assert (ended.code, ended.out) == (4, b"")
    assert re.fullmatch(r"textdiff: error: [^\n]+\n", ended.err)
    assert ended.err.startswith("textdiff: error: data.jsonl:2: ")
    assert WRONG_LINES[line] in ended.err
    assert run(*words, "-o", "out.jsonl").code == 4
    assert not (desk / "out.jsonl").exists()
    skipped = run(*words, "--skip-errors", "-o", "out.jsonl")
    assert (skipped.code, summary(skipped)) == (0, "textdiff: 3 lines filled (4 gaps), 1 passed on as they are")
    assert (desk / "out.jsonl").read_bytes().splitlines()[1] == line
    reports = [json.loads(found) for found in run(*words, "--json").out.splitlines()]
    assert [report["line"] for report in reports if "error" in report] == [2]


def test_after_an_error_only_its_stretch_is_done_again(
    desk: Path, model: Path, stub: StubInfiller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "CHUNK_DOCUMENTS", 2)
    lines = [b'{"text": "%d [MASK]"}\n' % number for number in range(6)]
    (desk / "data.jsonl").write_bytes(b"".join(lines[:3]) + b"wrong\n" + b"".join(lines[3:]))
    words = ["infill", "data.jsonl", "--field", "text", "-m", model, "-o", "out.jsonl"]
    ended = run(*words)
    assert ended.code == 4
    assert "data.jsonl:4: this is no JSON object" in ended.err
    assert ended.err.endswith("1 line of 7 could not be filled\n")
    assert len(stub.filled) == 6
    assert run(*words, "--seed", 1).code == 4
    assert len(stub.filled) == 12, "what another seed gave is of no use"
    ended = run(*words, "--skip-errors")
    assert ended.code == 0
    assert stub.filled[12:] == ["2 [MASK]"], "the others were kept"
    assert summary(ended) == "textdiff: 1 line filled (1 gap), 5 done before, 1 passed on as they are"
    assert fields((desk / "out.jsonl").read_bytes().replace(b"wrong\n", b"")) == [f"{i} filled 0" for i in range(6)]
    assert names_in(desk) == ["data.jsonl", "out.jsonl"]


def test_a_folder_of_lines(desk: Path, model: Path, stub: StubInfiller) -> None:
    write_all(desk / "tables", {"a.jsonl": DATA, "sub/b.jsonl": DATA, "bad.jsonl": b"{}\n", "notes.txt": b"[MASK]"})
    words = ["infill", "tables", "--glob", "*.jsonl", "--field", "text", "-m", model, "-o", "out"]
    ended = run(*words)
    assert ended.code == 4
    assert "tables/bad.jsonl:1: the object has no field 'text'" in ended.err
    assert read_all(desk / "out").keys() == {"a.jsonl", "sub/b.jsonl"}
    again = run(*words)
    assert summary(again) == "textdiff: 0 lines filled (0 gaps), 6 done before, 1 failed"
    assert len(stub.filled) == 6


def test_the_parts_of_others_are_left_alone(desk: Path, model: Path, stub: StubInfiller) -> None:
    write_all(desk, {"data.jsonl": DATA, ".out.jsonl.parts/notes.txt": b"mine", f".out.jsonl.parts/{'0' * 64}": b"old"})
    assert run("infill", "data.jsonl", "--field", "text", "-m", model, "-o", "out.jsonl").code == 0
    assert names_in(desk / ".out.jsonl.parts") == ["notes.txt"]
