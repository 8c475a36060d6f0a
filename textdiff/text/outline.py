"""Documents in tokens, with holes of no size yet where their gaps are."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

from textdiff.text.document import Document, Gap
from textdiff.text.style import HOLE
from textdiff.text.tokenizer import Tokenizer
from textdiff.text.wrapping import Wrap, unwrap, wraps_of

_CHARACTERS_A_TOKEN = 8
"""Given text is encoded this far from a gap for each token of the context: no tokenizer writes longer ones on average."""


@dataclass(frozen=True)
class Run:
    """Given tokens between two holes.

    Attributes:
        ids: the tokens.
        bytes: for each of them the byte of the source document after it.
    """

    ids: list[int]
    bytes: list[int]

    def give(self, ids: Iterable[int], places: Iterable[int]) -> None:
        self.ids.extend(ids)
        self.bytes.extend(places)


@dataclass(frozen=True)
class Outline:
    """A stretch of a document that no gap outside of it can see, and whose gaps see nothing outside of it.

    Attributes:
        runs: the given tokens before, between and after the holes: one more than there are gaps.
        gaps: numbers of the document's gaps.
        start_byte: where the stretch begins in the source document.
        stops: for each gap the byte of the source after its markup.
    """

    runs: tuple[Run, ...]
    gaps: tuple[int, ...]
    start_byte: int
    stops: tuple[int, ...]


def outlines_of(document: Document, tokenizer: Tokenizer, context_length: int) -> list[Outline]:
    """The stretches of a document that matter for its gaps.

    Text that is too far from any gap to be seen is not encoded: the work is that of the gaps, not of the document.
    """
    return [
        part
        for pieces in _stretches(document, context_length * _CHARACTERS_A_TOKEN)
        for part in _split(_outline(pieces, tokenizer), context_length)
    ]


@dataclass(frozen=True)
class _Piece:
    """A gap, or given text that may be a part of a longer one.

    Attributes:
        content: what it is.
        start_byte, stop_byte: where it stands in the source.
        first, last: whether the document begins or ends with it.
    """

    content: str | Gap
    start_byte: int
    stop_byte: int
    first: bool
    last: bool


def _stretches(document: Document, reach: int) -> Iterator[list[_Piece]]:
    """Runs of pieces with at most 2 * reach characters between two gaps, and reach at either end."""
    pieces: list[_Piece] = []
    position, final = 0, len(document.parts) - 1
    for i, part in enumerate(document.parts):
        start, position = position, position + len(part.markup.encode())
        if isinstance(part, Gap):
            pieces.append(_Piece(part, start, position, i == 0, i == final))
        elif 0 < i < final and len(part.text) <= 2 * reach:
            pieces.append(_Piece(part.text, start, position, False, False))
        else:
            if i > 0:
                head = part.text[:reach]
                stop = start + len(head.encode())
                yield [*pieces, _Piece(head, start, stop, False, i == final and len(head) == len(part.text))]
                pieces = []
            if i < final:
                cut = _word_start(part.text, len(part.text) - reach)
                place = start + len(part.text[:cut].encode())
                pieces = [_Piece(part.text[cut:], place, position, i == 0 and cut == 0, False)]
    if any(isinstance(piece.content, Gap) for piece in pieces):
        yield pieces


def _outline(pieces: Sequence[_Piece], tokenizer: Tokenizer) -> Outline:
    runs: list[Run] = []
    gaps: list[int] = []
    stops: list[int] = []
    run = Run([], [])
    wraps = _wraps(pieces) if tokenizer.carries_spaces else [[] for _ in pieces]
    for piece, after, mine in zip(pieces, [*pieces[1:], None], wraps, strict=True):
        prefix = tokenizer.prefix_ids if piece.first else []
        suffix = tokenizer.suffix_ids if piece.last else []
        run.give(prefix, [piece.start_byte] * len(prefix))
        if isinstance(piece.content, Gap):
            runs.append(run)
            gaps.append(piece.content.index)
            stops.append(piece.stop_byte)
            run = Run([], [])
        else:
            # A word's piece usually holds the space before it: that space comes from the gap, not from the given text.
            text, origins = unwrap(piece.content, mine)
            shared = after is not None and tokenizer.carries_spaces and text.endswith(" ")
            ids, ends = tokenizer.encode_with_ends(text[:-1] if shared else text, piece.first)
            places = [origins[end] for end in ends]
            run.give(ids, [piece.start_byte + count for count in _byte_counts(piece.content, places)])
        run.give(suffix, [piece.stop_byte] * len(suffix))
    return Outline((*runs, run), tuple(gaps), pieces[0].start_byte, tuple(stops))


def _wraps(pieces: Sequence[_Piece]) -> list[list[Wrap]]:
    """The wraps in each piece, counted from its beginning; a gap has none."""
    texts = [HOLE if isinstance(piece.content, Gap) else piece.content for piece in pieces]
    starts = list(accumulate(map(len, texts), initial=0))
    found: list[list[Wrap]] = [[] for _ in pieces]
    for wrap in wraps_of("".join(texts)):
        number = bisect_right(starts, wrap.start) - 1
        found[number].append(Wrap(wrap.start - starts[number], wrap.stop - starts[number]))
    return found


def _split(outline: Outline, reach: int) -> Iterator[Outline]:
    """Cuts an outline where a run is so long that no window holds the gaps on both sides of it.

    Args:
        reach: tokens that a window holds.
    """
    first, start_byte, head = 0, outline.start_byte, outline.runs[0]
    for number in range(1, len(outline.gaps)):
        run = outline.runs[number]
        if len(run.ids) >= reach:
            tail = Run(run.ids[:reach], run.bytes[:reach])
            stops = outline.stops[first:number]
            yield Outline(
                (head, *outline.runs[first + 1 : number], tail), outline.gaps[first:number], start_byte, stops
            )
            before = len(run.ids) - reach
            first, start_byte = number, run.bytes[before - 1] if before else outline.stops[number - 1]
            head = Run(run.ids[before:], run.bytes[before:])
    yield Outline((head, *outline.runs[first + 1 :]), outline.gaps[first:], start_byte, outline.stops[first:])


def _word_start(text: str, position: int) -> int:
    """The next place where a word may begin, some characters on at most; 0 where the position is before the text."""
    for i in range(max(position, 0), min(position + 200, len(text)) if position > 0 else 0):
        if text[i].isspace() and not text[i - 1].isspace():
            return i
    return max(position, 0)


def _byte_counts(text: str, ends: Sequence[int]) -> Iterable[int]:
    """The number of bytes before each of some places in a text (characters, rising)."""
    return ends if text.isascii() else (len(text[:end].encode()) for end in ends)
