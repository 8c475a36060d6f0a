"""Gaps given as ranges of bytes: any order, no overlap, nothing of what they replace is seen."""

from __future__ import annotations

import json
import re
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textdiff.errors import DataError, UsageError
from textdiff.text.document import Document, Gap, GapLength, Span, Text
from textdiff.text.spans import load_spans, parse_span, spans_of

characters = st.sampled_from([*"ab \n\r\\\0é中😀\ufeff", "[MASK]", "\\[MASK]", "[MASK: ?", "____", "e\u0301"])
texts = st.lists(characters, max_size=12).map("".join)


@st.composite
def documents(draw: st.DrawFn) -> tuple[bytes, list[Span]]:
    """A text, and spans that do not overlap, shuffled."""
    source = draw(texts)
    offsets = [len(source[:i].encode()) for i in range(len(source) + 1)]
    edges = sorted(draw(st.lists(st.sampled_from(offsets), max_size=8)))
    pairs = dict.fromkeys(zip(edges[::2], edges[1::2], strict=False))
    spans = [Span(start, end, name=f"n{start}:{end}") for start, end in pairs]
    return source.encode(), draw(st.permutations(spans))


@settings(max_examples=400, deadline=None, derandomize=True)
@given(given_document=documents(), data=st.data())
def test_i1_bytes_outside_the_spans_are_identical(
    given_document: tuple[bytes, list[Span]], data: st.DataObject
) -> None:
    source, spans = given_document
    document = Document.with_spans(source, spans)
    assert document.source == source
    ordered = sorted(spans, key=lambda span: (span.start_byte, span.end_byte))
    assert [(gap.index, gap.name) for gap in document.gaps] == [(i, span.name) for i, span in enumerate(ordered)]
    fills = data.draw(st.lists(st.none() | st.text(max_size=4), min_size=len(spans), max_size=len(spans)))
    expected = source
    for span, fill in reversed([*zip(ordered, fills, strict=True)]):
        kept = source[span.start_byte : span.end_byte]
        expected = expected[: span.start_byte] + (kept if fill is None else fill.encode()) + expected[span.end_byte :]
    filled = document.fill(fills)
    assert filled.data == expected
    for gap, (start, end), fill in zip(document.gaps, filled.spans, fills, strict=True):
        assert filled.data[start:end].decode() == (gap.markup if fill is None else fill)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(given_document=documents())
def test_what_stands_in_a_span_is_not_in_the_given_text(given_document: tuple[bytes, list[Span]]) -> None:
    source, spans = given_document
    document = Document.with_spans(source, spans)
    inside = {i for span in spans for i in range(span.start_byte, span.end_byte)}
    outside = bytes(byte for i, byte in enumerate(source) if i not in inside)
    given_texts = [part for part in document.parts if isinstance(part, Text)]
    assert b"".join(part.text.encode() for part in given_texts) == outside
    assert all(part.text == part.markup != "" for part in given_texts)
    kinds = [isinstance(part, Text) for part in document.parts]
    assert (True, True) not in pairwise(kinds)


def test_a_document_with_spans_is_laid_out_like_one_with_marks() -> None:
    marked = Document.parse(b"The [MASK: 2 words] of[MASK] the sea.")
    spanned = Document.with_spans(
        b"The old house of the sea.", [Span(16, 16), Span(4, 13, length=GapLength(2, 2, "words"))]
    )
    assert spanned.fill(["X", "Y"]).data == marked.fill(["X", "Y"]).data
    assert [gap.markup for gap in spanned.gaps] == ["old house", ""]
    for ours, theirs in zip(spanned.parts, marked.parts, strict=True):
        if isinstance(ours, Gap) and isinstance(theirs, Gap):
            assert (ours.index, ours.length) == (theirs.index, theirs.length)
        else:
            assert ours == theirs


def overlap(a: tuple[int, int], b: tuple[int, int]) -> bool:
    """Whether two ranges share a byte, are the same, or one is a point within the other."""
    shared = {*range(*a)} & {*range(*b)}
    return bool(shared) or a == b or a[0] < b[0] == b[1] < a[1] or b[0] < a[0] == a[1] < b[1]


@settings(max_examples=400, deadline=None, derandomize=True)
@given(pairs=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 4)).map(lambda p: (p[0], p[0] + p[1])), max_size=4))
def test_overlaps_are_found_whatever_the_order(pairs: list[tuple[int, int]]) -> None:
    spans = [Span(*pair) for pair in pairs]
    if any(overlap(a, b) for a, b in combinations(pairs, 2)):
        with pytest.raises(DataError, match=r"the span \d+:\d+ overlaps the span \d+:\d+"):
            Document.with_spans(b"0123456789abc", spans)
    else:
        assert len(Document.with_spans(b"0123456789abc", spans).gaps) == len(pairs)


@pytest.mark.parametrize(
    ("spans", "message"),
    [
        ([Span(0, 1), Span(3, 2, name="x")], "the span 3:2 (x) ends before it starts"),
        ([Span(2, 8)], "the span 2:8 leaves the document, which has 7 bytes"),
        ([Span(9, 9)], "the span 9:9 leaves the document, which has 7 bytes"),
        ([Span(-1, 2)], "the span -1:2 leaves the document"),
        ([Span(0, 2)], "the span 0:2 cuts a character in two: byte 2 is inside one"),
        ([Span(2, 2)], "the span 2:2 cuts a character in two: byte 2 is inside one"),
        ([Span(4, 6)], "the span 4:6 cuts a character in two: byte 6 is inside one"),
        ([Span(3, 7), Span(0, 4)], "the span 3:7 overlaps the span 0:4"),
        ([Span(0, 0), Span(0, 0)], "the span 0:0 overlaps the span 0:0"),
        (
            [Span(4, 4, name="n"), Span(0, 1, name="n")],
            "the span 4:4 (n) has the name 'n', which the span 0:1 (n) has too",
        ),
        ([Span(0, 1, must=("a b",))], "the span 0:1: 'a b' in must is not a word"),
        ([Span(0, 1, choices=("a", ""))], "the span 0:1: a choice is empty"),
        ([Span(0, 1, pattern="(")], "the span 0:1: the pattern '(' is not a regular expression"),
        ([Span(0, 1, must=("a",), forbid=("A",))], "the span 0:1: the word 'a' stands both in must and in forbid"),
        ([Span(0, 0)] * 10_001, "a document can have at most 10000 gaps, got 10001 spans"),
    ],
)
def test_spans_that_cannot_be_gaps_are_named(spans: list[Span], message: str) -> None:
    with pytest.raises(DataError) as caught:
        Document.with_spans("aé\n中".encode(), spans)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("spans", [[], [Span(0, 1)], [Span(3, 5)], [Span(5, 6)]])
def test_d2_documents_with_spans_are_utf8_too(spans: list[Span]) -> None:
    with pytest.raises(DataError, match="not UTF-8: byte 4 is 0xff"):
        Document.with_spans(b"abc \xff d", spans)


def test_without_spans_there_is_nothing_to_fill() -> None:
    document = Document.with_spans(b"[MASK]", [])
    assert document.gaps == ()
    with pytest.raises(DataError, match="no gap to fill: no span is given"):
        document.require_gaps()


@pytest.mark.parametrize(("text", "span"), [("120:135", Span(120, 135)), (" 7 : 7 ", Span(7, 7)), ("5:2", Span(5, 2))])
def test_a_span_on_a_command_line(text: str, span: Span) -> None:
    assert parse_span(text) == span


@pytest.mark.parametrize(
    "text", ["", "5", "5-7", ":7", "5:", "-1:7", "5:7:9", "٣:5", "0x1:5", "5:7\n8", "1" * 30 + ":5"]
)
def test_a_span_that_is_not_one(text: str) -> None:
    with pytest.raises(UsageError, match="a span is written START:END, two numbers of bytes such as 120:135, got"):
        parse_span(text)


# --- the JSON file

FULL = {
    "start_byte": 4,
    "end_byte": 9,
    "name": "what it is",
    "length": "3-8 words",
    "choices": ["a b", "[c; |]"],
    "pattern": "[a-z/ ]+",
    "must": ["b"],
    "forbid": ["water", "sea"],
}


def spans_file(tmp_path: Path, value: Any) -> Path:
    path = tmp_path / "spans.json"
    path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    return path


def test_a_file_of_spans(tmp_path: Path) -> None:
    nulls = {"start_byte": 0, "end_byte": 0} | dict.fromkeys(["name", "length", "choices", "pattern", "must", "forbid"])
    path = spans_file(tmp_path, {"schema": "textdiff.spans/1", "gaps": [FULL, nulls]})
    first, second = load_spans(path)
    assert first == Span(
        4, 9, "what it is", GapLength(3, 8, "words"), ("a b", "[c; |]"), "[a-z/ ]+", ("b",), ("water", "sea")
    )
    assert second == Span(0, 0)
    gap = Document.with_spans(b"the house [MASK]", [first]).gaps[0]
    assert gap == Gap(0, first.name, first.length, "house", first.choices, first.pattern, first.must, first.forbid)


@pytest.mark.parametrize(
    ("gap", "message"),
    [
        ({"start_byte": 1}, "gaps[0] lacks the key 'end_byte'"),
        ({"end_byte": 1}, "gaps[0] lacks the key 'start_byte'"),
        (
            FULL | {"lenght": "5"},
            "gaps[0] has the unknown key 'lenght'. Did you mean 'length'? Known: start_byte, end_byte,",
        ),
        (FULL | {"start_byte": "1"}, "gaps[0].start_byte must be a whole number of bytes, got '1'"),
        (FULL | {"start_byte": 1.0}, "gaps[0].start_byte must be a whole number of bytes, got 1.0"),
        (FULL | {"end_byte": True}, "gaps[0].end_byte must be a whole number of bytes, got True"),
        (FULL | {"end_byte": None}, "gaps[0].end_byte must be a whole number of bytes, got None"),
        (FULL | {"name": 5}, "gaps[0].name must be a text, got 5"),
        (FULL | {"length": 5}, 'gaps[0].length must be a text such as "3-8 words", got 5'),
        (FULL | {"choices": "yes"}, "gaps[0].choices must be a list of texts, got 'yes'"),
        (FULL | {"choices": ["yes", 1]}, "gaps[0].choices must be a list of texts, got ['yes', 1]"),
        (FULL | {"choices": []}, "gaps[0].choices is empty: nothing could be chosen"),
        (FULL | {"must": {"a": 1}}, "gaps[0].must must be a list of texts, got {'a': 1}"),
        (FULL | {"pattern": ["a"]}, "gaps[0].pattern must be a text, got ['a']"),
        (
            FULL | {"length": "5 wrds"},
            "gaps[0]: 'wrds' is not a unit of a length: use words, tokens, chars or sentences. Did",
        ),
        (FULL | {"length": "0"}, "gaps[0]: the length of a gap must be at least 1, got 0"),
        (FULL | {"choices": ["a", "a"]}, "gaps[0]: the choice 'a' stands twice"),
        (FULL | {"pattern": "("}, "gaps[0]: the pattern '(' is not a regular expression"),
        (FULL | {"pattern": ""}, "gaps[0]: a pattern is empty"),
        (FULL | {"must": ["sea"]}, "gaps[0]: the word 'sea' stands both in must and in forbid"),
        (FULL | {"forbid": [""]}, "gaps[0]: a word in forbid is empty"),
        (FULL | {"name": "a\nb"}, "gaps[0]: the name of a gap must be one line"),
        (FULL | {"choices": ["\ud800"]}, "gaps[0]: the choice '\\ud800' holds the control code U+D800"),
        ([4, 9], "gaps[0] must be a mapping with start_byte and end_byte, got [4, 9]"),
    ],
)
def test_what_is_wrong_with_an_entry_is_named(tmp_path: Path, gap: Any, message: str) -> None:
    path = spans_file(tmp_path, {"schema": "textdiff.spans/1", "gaps": [gap]})
    with pytest.raises(DataError) as caught:
        load_spans(path)
    assert str(caught.value).startswith(f"{path}: {message}")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], 'expected {"schema": "textdiff.spans/1", "gaps": […]}, got []'),
        ({"gaps": []}, "lacks the key 'schema'"),
        ({"schema": "textdiff.spans/1"}, "lacks the key 'gaps'"),
        ({"schema": "textdiff.spans/2", "gaps": []}, "the schema must be 'textdiff.spans/1', got 'textdiff.spans/2'"),
        ({"schema": "textdiff.spans/1", "gaps": {}}, "gaps must be a list, got {}"),
        (
            {"schema": "textdiff.spans/1", "gap": []},
            "has the unknown key 'gap'. Did you mean 'gaps'? Known: schema, gaps",
        ),
        ('{"schema": 1, "schema": 2}', "the key 'schema' stands twice"),
        ('{"schema": NaN}', "NaN is not a number"),
        ("{", "is not usable JSON"),
        ("[" * 100_000, "is not usable JSON"),
        ("\ufeff{}", "is not usable JSON"),
    ],
)
def test_what_is_wrong_with_a_file_is_named(tmp_path: Path, value: Any, message: str) -> None:
    path = spans_file(tmp_path, value)
    with pytest.raises(DataError, match=re.escape(message)) as caught:
        load_spans(path)
    assert str(path) in str(caught.value)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        load_spans(tmp_path / "none.json")


def test_spans_from_plain_data() -> None:
    assert spans_of({"schema": "textdiff.spans/1", "gaps": [{"start_byte": 1, "end_byte": 2}]}) == [Span(1, 2)]
