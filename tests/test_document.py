"""Documents: byte-exact parsing and printing. What gaps ask for, other mask tokens and spans have their own tests."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textdiff.errors import DataError, UsageError
from textdiff.text.document import Document, Text

GAPS = [
    "[MASK]",
    "[MASK: 5]",
    "[MASK: 5 words]",
    "[MASK:3-8 words]",
    "[MASK: 12 tokens]",
    "[MASK#: 1 word]",
    "[MASK#]",
    r"[MASK: a\]|\[MASK\]|/]",
    r"[MASK: /[]\/;]+/; must: sea]",
]
PLAIN = [
    "\r\n", "\n", "\r", "\ufeff", "\0", "😀", "é", "e\u0301", "\u2028", " ", "  ", "\t", "\\", "\\\\",
    "[", "]", "[]", "#", "<mask>", "<pad>", "<eos>", "</s>", "[PAD]", "[mask]", "[MASKED]", "\\[MASKED]",
    "{{blank}}", "{{blank", "____", "\x1b[2J", "\U0010ffff", "word", "Two words.",
]  # fmt: skip

plain = st.tuples(
    st.just("plain"), st.one_of(st.sampled_from(PLAIN), st.text(max_size=6).filter(lambda s: "MASK" not in s))
)
escaped = st.tuples(st.just("escaped"), st.sampled_from(["[MASK]", "[MASK: 5 words]", "[MASK ", "[MASK#x", "[MASK: ?"]))
gap = st.tuples(st.just("gap"), st.sampled_from(GAPS))
documents = st.lists(st.one_of(plain, plain, escaped, gap), max_size=12)


def compose(parts: list[tuple[str, str]]) -> tuple[str, list[str]]:
    """The source, and the texts between its gaps, made without the parser. No two gaps have the same name."""
    source, texts = "", [""]
    for kind, part in parts:
        content = part.replace("#", f"#é{len(texts)}") if kind == "gap" else part
        if kind == "plain":
            source, texts[-1] = source + content, texts[-1] + content
        elif kind == "escaped":
            source, texts[-1] = source + "\\" + content, texts[-1] + content
        elif source.endswith("\\"):
            # the backslash that happens to stand before this gap makes it a literal; there may be another one inside it
            source, texts[-1] = source + content, texts[-1][:-1] + content.replace("\\[MASK", "[MASK")
        else:
            source, texts = source + content, [*texts, ""]
    return source, texts


def between(data: bytes, spans: tuple[tuple[int, int], ...]) -> list[bytes]:
    """The bytes outside the spans."""
    cuts = [0, *(edge for span in spans for edge in span), len(data)]
    return [data[a:b] for a, b in zip(cuts[::2], cuts[1::2], strict=True)]


@settings(max_examples=800, deadline=None, derandomize=True)
@given(parts=documents, fills=st.lists(st.text(max_size=8), min_size=12, max_size=12))
def test_i1_bytes_outside_the_gaps_are_identical(parts: list[tuple[str, str]], fills: list[str]) -> None:
    source, texts = compose(parts)
    document = Document.parse(source.encode())
    assert document.source == source.encode()
    assert len(document.gaps) == len(texts) - 1
    filled = document.fill(fills[: len(document.gaps)])
    assert between(filled.data, filled.spans) == [text.encode() for text in texts]
    assert [filled.data[a:b].decode() for a, b in filled.spans] == fills[: len(document.gaps)]


@settings(max_examples=400, deadline=None, derandomize=True)
@given(parts=documents, data=st.data())
def test_i1_filling_some_gaps_and_then_the_others_is_filling_all(
    parts: list[tuple[str, str]], data: st.DataObject
) -> None:
    document = Document.parse(compose(parts)[0].encode())
    fills = [f"fill {gap.index}" for gap in document.gaps]
    later = data.draw(st.lists(st.booleans(), min_size=len(fills), max_size=len(fills)))
    some = document.fill([None if wait else text for text, wait in zip(fills, later, strict=True)])
    for gap, (start, end), wait in zip(document.gaps, some.spans, later, strict=True):
        assert some.data[start:end].decode() == (gap.markup if wait else fills[gap.index])
    if any(later):
        again = Document.parse(some.data)
        assert [gap.markup for gap in again.gaps] == [
            g.markup for g, wait in zip(document.gaps, later, strict=True) if wait
        ]
        some = again.fill([text for text, wait in zip(fills, later, strict=True) if wait])
    assert some.data == document.fill(fills).data


@settings(max_examples=200, deadline=None, derandomize=True)
@given(parts=documents)
def test_i1_with_all_gaps_open_it_is_the_source(parts: list[tuple[str, str]]) -> None:
    document = Document.parse(compose(parts)[0].encode())
    if document.gaps:
        assert document.fill([None] * len(document.gaps)).data == document.source
        assert [text for _, text in document.written([None] * len(document.gaps))] == [p.markup for p in document.parts]


@settings(max_examples=200, deadline=None, derandomize=True)
@given(parts=documents)
def test_i1_a_document_without_backslashes_comes_out_as_it_went_in(parts: list[tuple[str, str]]) -> None:
    kept = [
        (kind, part.replace("\\", ""))
        for kind, part in parts
        if kind == "plain" or (kind, "\\" in part) == ("gap", False)
    ]
    source = compose(kept)[0]
    document = Document.parse(source.encode())
    assert document.fill([g.markup for g in document.gaps]).data == source.encode()


def test_i1_escaped_literals_lose_one_backslash_and_no_more() -> None:
    document = Document.parse(rb"\[MASK] \\[MASK: x] \[MASKED] \n")
    assert document.gaps == ()
    assert document.parts == (Text(r"[MASK] \[MASK: x] \[MASKED] \n", r"\[MASK] \\[MASK: x] \[MASKED] \n"),)
    assert document.fill([]).data == rb"[MASK] \[MASK: x] \[MASKED] \n"


@pytest.mark.parametrize("source", ["[MASK]", "[MASK][MASK]", "[MASK] a", "a [MASK]", "[MASK]a[MASK]"])
def test_i1_adjacent_first_last_and_lone_gaps(source: str) -> None:
    document = Document.parse(source.encode())
    fills = [str(g.index) for g in document.gaps]
    filled = document.fill(fills)
    assert filled.text == source.replace("[MASK]", "{}").format(*fills)
    assert [filled.data[a:b].decode() for a, b in filled.spans] == fills


def test_i1_ten_thousand_gaps_and_not_one_more() -> None:
    document = Document.parse(b"[MASK: 2 words] " * 10_000)
    assert len(document.gaps) == 10_000
    with pytest.raises(DataError, match="line 10001, column 1: a document can have at most 10000 gaps"):
        Document.parse(b"[MASK]\n" * 10_001)


def test_no_gap_shows_the_syntax() -> None:
    with pytest.raises(DataError, match=r"no gap to fill\. A gap is written \[MASK\]"):
        Document.parse(b"nothing here").require_gaps()
    Document.parse(b"[MASK]").require_gaps()


@pytest.mark.parametrize(
    ("data", "offset"),
    [(b"caf\xe9 ", 3), ("é".encode("utf-16"), 0), (b"ok\xed\xa0\x80", 2), (b"a\xc0\x80", 1), (b"\xf0\x9f", 0)],
)
def test_d2_bytes_that_are_not_utf8_are_named_with_their_offset(data: bytes, offset: int) -> None:
    with pytest.raises(DataError, match=f"not UTF-8: byte {offset} is 0x{data[offset]:02x}"):
        Document.parse(data)


def test_fills_that_cannot_be_used() -> None:
    document = Document.parse(b"[MASK]")
    with pytest.raises(UsageError, match="has 1 gaps, got 2 texts"):
        document.fill(["a", "b"])
    with pytest.raises(DataError, match="lone surrogate"):
        document.fill(["\ud800"])


def test_the_text_of_a_fill_is_not_markup() -> None:
    assert Document.parse(b"[MASK] [MASK]").fill(["[MASK]", "\\[MASK: 3]"]).data == b"[MASK] \\[MASK: 3]"


def test_large_documents_need_little_more_memory_than_their_text() -> None:
    line = "The quick brown fox [1] jumps over the lazy dog; <b>said_he</b>. "
    for mark in ("[MASK: 3-8 words; must: fire]", "\\[MASK]"):
        data = ((line * 60 + mark) * 1000).encode()
        tracemalloc.start()
        document = Document.parse(data)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert len(document.gaps) == (0 if "\\" in mark else 1000)
        assert document.source == data
        assert peak < 3.2 * len(data)
