"""Text with gaps: parsed from bytes and printed back to the same bytes.

Gaps are marked in the text (`mask_tokens`, `gap_markup`) or given as ranges of bytes (`spans`). They are carried as
parts, never looked up in the text again: what a text says cannot make or move a gap.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from textdiff.errors import DataError, UsageError
from textdiff.text.gaps import Gap, GapLength
from textdiff.text.mask_tokens import STANDARD, escape, find_gaps, find_other, mask_token_of
from textdiff.text.spans import Span, cut
from textdiff.text.utf8 import decode

__all__ = ["Document", "Filled", "Gap", "GapLength", "Span", "Text", "escape"]


@dataclass(frozen=True)
class Text:
    """Given text.

    Attributes:
        text: as it is meant and as it comes out: without the backslash of an escaped literal.
        markup: as the source writes it.
    """

    text: str
    markup: str


@dataclass(frozen=True)
class Filled:
    """A document whose gaps are filled.

    Attributes:
        data: the bytes.
        spans: for each gap the first byte of its text in `data` and the one after its last; of its markup if it is open.
    """

    data: bytes
    spans: tuple[tuple[int, int], ...]

    @property
    def text(self) -> str:
        return self.data.decode("utf-8")


@dataclass(frozen=True)
class Document:
    """Text and gaps in turn; no two texts are adjacent and none is empty.

    Attributes:
        parts: texts and gaps.
        mask_token: what marked the gaps, or None where they were given as spans.
    """

    parts: tuple[Text | Gap, ...]
    mask_token: str | None = STANDARD

    @staticmethod
    def parse(data: bytes, mask_token: str = STANDARD) -> Document:
        """Reads a document.

        Args:
            data: UTF-8; a byte order mark, any line ends and NUL are text like any other.
            mask_token: what marks a gap: "[MASK]", whose gaps may have names and wishes, the name of a preset
                (`mask_tokens.PRESETS`), or any other literal.

        Raises:
            DataError: the bytes are not UTF-8, or the markup is wrong (with line and column).
            UsageError: the mask token is empty or cannot be one.
        """
        parts: list[Text | Gap] = []
        end = 0
        for gap, start, stop, escapes in find_gaps(data, mask_token_of(mask_token)):
            _add_text(parts, data, end, start, escapes)
            if gap is not None:
                parts.append(gap)
            end = stop
        return Document(tuple(parts), mask_token)

    @staticmethod
    def with_spans(data: bytes, spans: Sequence[Span]) -> Document:
        """A document in which the spans are the gaps, whatever its text says: no markup is looked for.

        Args:
            data: UTF-8, as for `parse`.
            spans: in any order; the gaps are numbered from left to right. What stands in a span is never looked at, and
                stays where its gap stays open.

        Raises:
            DataError: the bytes are not UTF-8; a span is reversed, overlaps another, leaves the document or cuts a
                character; a name is taken.
        """
        parts: list[Text | Gap] = []
        end = 0
        for gap, start, stop in cut(data, spans):
            _add_text(parts, data, end, start, ())
            parts.append(gap)
            end = stop
        _add_text(parts, data, end, len(data), ())
        return Document(tuple(parts), None)

    @cached_property
    def gaps(self) -> tuple[Gap, ...]:
        """The gaps in their order."""
        return tuple(part for part in self.parts if isinstance(part, Gap))

    @property
    def source(self) -> bytes:
        """The bytes that this document was read from."""
        return b"".join(part.markup.encode() for part in self.parts)

    def require_gaps(self) -> None:
        """Raises a DataError that shows the syntax if there is nothing to fill."""
        if self.gaps:
            return
        if self.mask_token is None:
            raise DataError("the document has no gap to fill: no span is given")
        token = mask_token_of(self.mask_token)
        raise DataError(f"the document has no gap to fill. {token.syntax}{find_other(self.source, token)}")

    def written(self, texts: Sequence[str | None]) -> Iterator[tuple[Text | Gap, str]]:
        """The parts, each with what stands in its place when the gaps hold these texts.

        Args:
            texts: one for each gap; None leaves it open. While a gap is open this is a document with gaps: marks that
                are escaped keep their backslashes, so that it can be read again.

        Raises:
            UsageError: the number of texts is not the number of gaps.
        """
        if len(texts) != len(self.gaps):
            raise UsageError(f"the document has {len(self.gaps)} gaps, got {len(texts)} texts")
        finished = all(text is not None for text in texts)
        for part in self.parts:
            if isinstance(part, Gap):
                text = texts[part.index]
                yield part, part.markup if text is None else text
            else:
                yield part, part.text if finished else part.markup

    def fill(self, texts: Sequence[str | None]) -> Filled:
        """Puts a text into each gap; all other bytes stay. See `written`.

        Raises:
            UsageError: the number of texts is not the number of gaps.
            DataError: a text holds a lone surrogate.
        """
        pieces: list[bytes] = []
        spans: list[tuple[int, int]] = []
        size = 0
        for part, text in self.written(texts):
            try:
                piece = text.encode()
            except UnicodeEncodeError:
                raise DataError("a text to fill in holds a lone surrogate, which is not a character") from None
            if isinstance(part, Gap):
                spans.append((size, size + len(piece)))
            pieces.append(piece)
            size += len(piece)
        return Filled(b"".join(pieces), tuple(spans))


def _add_text(parts: list[Text | Gap], data: bytes, start: int, stop: int, escapes: Sequence[int]) -> None:
    """Adds data[start:stop] without the backslashes at `escapes`, if there is any."""
    if start == stop:
        return
    markup = decode(data, start, stop)
    cuts = [start, *(cut for escape in escapes for cut in (escape, escape + 1)), stop]
    kept = b"".join(data[a:b] for a, b in zip(cuts[::2], cuts[1::2], strict=True)) if escapes else b""
    parts.append(Text(kept.decode() if escapes else markup, markup))
