"""Documents: byte-exact parsing and printing, and every way in which the markup can be wrong."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textdiff.errors import DataError, UsageError
from textdiff.text.document import Document, Gap, GapLength, Text

GAPS = [
    "[MASK]",
    "[MASK: 5]",
    "[MASK: 5 words]",
    "[MASK:3-8 words]",
    "[MASK: 12 tokens]",
    "[MASK#a.b-c: 1 word]",
    "[MASK#é]",
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
    """The source, and the texts between its gaps, made without the parser."""
    source, texts = "", [""]
    for kind, content in parts:
        if kind == "plain":
            source, texts[-1] = source + content, texts[-1] + content
        elif kind == "escaped":
            source, texts[-1] = source + "\\" + content, texts[-1] + content
        elif source.endswith("\\"):
            # the backslash that happens to stand before this gap makes it a literal
            source, texts[-1] = source + content, texts[-1][:-1] + content
        else:
            source, texts = source + content, [*texts, ""]
    return source, texts


def between(data: bytes, spans: tuple[tuple[int, int], ...]) -> list[bytes]:
    """The bytes outside the spans."""
    cuts = [0, *(edge for span in spans for edge in span), len(data)]
    return [data[a:b] for a, b in zip(cuts[::2], cuts[1::2], strict=True)]


@settings(max_examples=1000, deadline=None, derandomize=True)
@given(parts=documents, fills=st.lists(st.text(max_size=8), min_size=12, max_size=12))
def test_i1_bytes_outside_the_gaps_are_identical(parts: list[tuple[str, str]], fills: list[str]) -> None:
    source, texts = compose(parts)
    document = Document.parse(source.encode())
    assert document.source == source.encode()
    assert len(document.gaps) == len(texts) - 1
    filled = document.fill(fills[: len(document.gaps)])
    assert between(filled.data, filled.spans) == [text.encode() for text in texts]
    assert [filled.data[a:b].decode() for a, b in filled.spans] == fills[: len(document.gaps)]


@settings(max_examples=300, deadline=None, derandomize=True)
@given(parts=documents)
def test_i1_a_document_without_backslashes_comes_out_as_it_went_in(parts: list[tuple[str, str]]) -> None:
    source = compose([part for part in parts if part[0] != "escaped"])[0].replace("\\", "")
    document = Document.parse(source.encode())
    assert document.fill([g.markup for g in document.gaps]).data == source.encode()


@pytest.mark.parametrize(
    ("markup", "length"),
    [
        ("[MASK]", None),
        ("[MASK: 5]", GapLength(5, 5, "words")),
        ("[MASK: 1 word]", GapLength(1, 1, "words")),
        ("[MASK:3-8 words]", GapLength(3, 8, "words")),
        ("[MASK: 12 tokens ]", GapLength(12, 12, "tokens")),
        ("[MASK: 4 - 9 tokens]", GapLength(4, 9, "tokens")),
        ("[MASK#n: 2 tokens]", GapLength(2, 2, "tokens")),
    ],
)
def test_lengths(markup: str, length: GapLength | None) -> None:
    (found,) = Document.parse(markup.encode()).parts
    assert isinstance(found, Gap)
    assert (found.length, found.markup) == (length, markup)


def test_names() -> None:
    assert [g.name for g in Document.parse(b"[MASK#date] [MASK] [MASK#who.1: 2 words]").gaps] == ["date", None, "who.1"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("ab\r\nc [MASK: 5 words", "line 2, column 3: this gap is not closed"),
        ("x\n\n[MASK: 5\n]", "line 3, column 1: this gap is not closed"),
        ("[MASK", "line 1, column 1: this gap is not closed"),
        ("😀 [MASK: [MASK: 2]]", "line 1, column 3: '[MASK: 2' is not a length"),
        ("[MASK: 5 chars]", "unit of a gap's length must be words or tokens, got 'chars'"),
        ("[MASK: yes|no]", "'yes|no' is not a length"),
        ("[MASK: -3 words]", "is not a length"),
        ("[MASK: ٣ words]", "is not a length"),
        ("[MASK: 99999999999 words]", "is not a length"),
        ("[MASK: ]", "is not a length"),
        ("[MASK: 0 words]", "must be at least 1, got 0"),
        ("[MASK: 0-3]", "must be at least 1, got 0"),
        ("[MASK: 8-3 words]", "the shortest length of a gap, 8, is above its longest, 3"),
        ("[MASK 5 words]", "'[MASK 5 words]' is not a gap"),
        ("[MASK#]", "is not a gap"),
        ("[MASK#a b]", "is not a gap"),
    ],
)
def test_i1_wrong_markup_is_named_with_its_place(source: str, message: str) -> None:
    with pytest.raises(DataError) as caught:
        Document.parse(source.encode())
    assert message in str(caught.value)
    assert str(caught.value).startswith("line ")


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


@pytest.mark.parametrize("literal", ["____", "<mask>", "{{blank}}", "[X", "(.*)", "\\gap"])
def test_i1_another_mask_token_is_a_plain_literal(literal: str) -> None:
    source = f"a {literal} [MASK: ?] \\{literal} {literal}{literal}\r\n"
    document = Document.parse(source.encode(), literal)
    assert document.source == source.encode()
    assert [g.markup for g in document.gaps] == [literal] * 3
    assert document.fill(["1", "2", "3"]).text == f"a 1 [MASK: ?] {literal} 23\r\n"


def test_an_empty_mask_token_is_refused() -> None:
    with pytest.raises(UsageError, match="must not be empty"):
        Document.parse(b"x", "")


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
