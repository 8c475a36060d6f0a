"""Lines that only keep a paragraph narrow are read as one, and stay as they are."""

from __future__ import annotations

import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny import senseless_checkpoint, tiny_checkpoint

from textdiff.infiller import Infiller
from textdiff.text.document import Document
from textdiff.text.outline import Outline, outlines_of
from textdiff.text.style import HOLE
from textdiff.text.wrapping import ends_in_wrap, unwrap, wraps_of

LONG = "The house stood on a hill above the river, and from its windows"
GAP = "[MASK: 1 word]"


def joined(text: str) -> str:
    return unwrap(text, list(wraps_of(text)))[0]


@pytest.mark.parametrize("between", ["\n", "\r\n", " \n", "\n     ", "\n\t"])
@pytest.mark.parametrize("after", ["one could see", f"{HOLE} could see", "éclairs were to be had"])
def test_a_sentence_goes_on_in_the_next_line(between: str, after: str) -> None:
    assert joined(f"{LONG}{between}{after}") == f"{LONG} {after}"
    assert joined(f"{LONG},{between}{after}") == f"{LONG}, {after}"
    assert joined(f"{LONG} {HOLE}{between}{after}") == f"{LONG} {HOLE} {after}"


@pytest.mark.parametrize(
    "text",
    [
        f"{LONG}.\none could see",  # the sentence ends
        f"{LONG}\nOne could see",  # or another begins
        f"{LONG}\n\none could see",
        f"{LONG}\n- one could see",
        f"{LONG}\n7 could be seen",
        f"{LONG}|\n|one could see",
        "a pound of tea\na loaf of bread",  # too short to have been wrapped
        f"{LONG * 3}\none could see",  # too long
        f"{' ' * 60}a pound of tea\na loaf of bread",
        f'"{LONG}",no\n"one could see",yes',
    ],
)
def test_lines_that_end_for_a_reason_stay(text: str) -> None:
    assert joined(text) == text


@given(st.text(st.sampled_from(f"ab.,;\r\n \t{HOLE}É"), max_size=200))
def test_each_character_knows_how_much_of_the_text_it_ends(text: str) -> None:
    text = LONG + text
    view, origins = unwrap(text, list(wraps_of(text)))
    assert (len(origins), origins[0], origins[-1]) == (len(view) + 1, 0, len(text))
    for here, begin, end in zip(view, origins, origins[1:], strict=False):
        assert begin < end
        assert text[begin:end] == here or (here == " " and text[begin:end].isspace())


def outline(text: str) -> Outline:
    checkpoint = tiny_checkpoint()
    (found,) = outlines_of(Document.parse(text.encode()), checkpoint.tokenizer, 400)
    return found


@pytest.mark.parametrize("width", [60, 72, 80])
def test_the_network_reads_a_wrapped_text_as_the_whole_one(width: int) -> None:
    plain = f"{LONG} {GAP} could see the {GAP} and the road."
    held = plain.replace(GAP, HOLE)
    wrapped = textwrap.fill(held, width).replace(HOLE, GAP)
    assert "\n" in wrapped
    alike, narrow = outline(plain), outline(wrapped)
    assert [run.ids for run in narrow.runs] == [run.ids for run in alike.runs]
    assert [run.bytes for run in narrow.runs] == [run.bytes for run in alike.runs]  # a line end takes a space's place


def test_a_wide_wrap_is_counted_in_the_bytes_that_it_has() -> None:
    plain, indented = outline(f"{LONG} one é {GAP}"), outline(f"{LONG}\r\n    one é {GAP}")
    assert indented.runs[0].ids == plain.runs[0].ids
    wide = [byte + 5 if byte > len(LONG) else byte for byte in plain.runs[0].bytes]
    assert indented.runs[0].bytes == wide


@pytest.mark.parametrize("between", ["\n", "\r\n   "])
def test_a_gap_at_the_beginning_of_a_line_is_filled_as_if_within_one(between: str) -> None:
    checkpoint = senseless_checkpoint()
    infiller = Infiller(checkpoint.model, checkpoint.tokenizer, checkpoint.samplers, "tiny")
    whole = infiller.infill(f"{LONG} {GAP} could see.", seed=3)
    wrapped = infiller.infill(f"{LONG}{between}{GAP} could see.", seed=3)
    assert wrapped.gaps[0].text == whole.gaps[0].text
    assert wrapped.document == f"{LONG}{between}{whole.gaps[0].text} could see."


def test_a_gap_knows_its_line_from_far_away() -> None:
    assert ends_in_wrap("x" * 9_000 + "\n" + f"{LONG}\n  ")
    assert ends_in_wrap(f"{HOLE} {LONG[:40]}\n")
    assert not ends_in_wrap(f"{LONG[:40]}\n")
    assert not ends_in_wrap(f"{LONG}\n\n")
    assert not ends_in_wrap(f"{LONG} ")
    assert not ends_in_wrap("")
