"""Text with gaps: parsed from bytes and printed back to the same bytes.

    [MASK]   [MASK: 5]   [MASK: 5 words]   [MASK: 3-8 words]   [MASK: 12 tokens]   [MASK: 4-9 tokens]
    [MASK#name]   [MASK#name: 5 words]   \\[MASK] is literal text

Gaps are carried as parts, never looked up in the text again: what a text says cannot make or move a gap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from textdiff.errors import DataError, UsageError
from textdiff.text.gaps import SYNTAX, Gap, GapLength, find_gaps

__all__ = ["Document", "Filled", "Gap", "GapLength", "Text"]


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
        spans: for each gap the first byte of its text in `data` and the one after its last.
    """

    data: bytes
    spans: tuple[tuple[int, int], ...]

    @property
    def text(self) -> str:
        return self.data.decode("utf-8")


@dataclass(frozen=True)
class Document:
    """Text and gaps in turn; no two texts are adjacent and none is empty."""

    parts: tuple[Text | Gap, ...]

    @staticmethod
    def parse(data: bytes, mask_token: str = "[MASK]") -> Document:
        """Reads a document.

        Args:
            data: UTF-8; a byte order mark, any line ends and NUL are text like any other.
            mask_token: the literal that marks a gap. Only "[MASK]" takes a name and a length.

        Raises:
            DataError: the bytes are not UTF-8, or the markup is wrong (with line and column).
            UsageError: the mask token is empty.
        """
        if not mask_token:
            raise UsageError("the mask token must not be empty")
        source = _decode(data)
        parts: list[Text | Gap] = []
        end = 0
        for gap, start, stop, escapes in find_gaps(source, mask_token):
            _add_text(parts, source, end, start, escapes)
            if gap is not None:
                parts.append(gap)
            end = stop
        return Document(tuple(parts))

    @cached_property
    def gaps(self) -> tuple[Gap, ...]:
        """The gaps in their order."""
        return tuple(part for part in self.parts if isinstance(part, Gap))

    @property
    def source(self) -> bytes:
        """The bytes that this document was read from."""
        return "".join(part.markup for part in self.parts).encode()

    def require_gaps(self) -> None:
        """Raises a DataError that shows the syntax if there is nothing to fill."""
        if not self.gaps:
            raise DataError(f"the document has no gap to fill. {SYNTAX}")

    def fill(self, texts: Sequence[str]) -> Filled:
        """Puts a text into each gap; all other bytes stay.

        Raises:
            UsageError: the number of texts is not the number of gaps.
            DataError: a text holds a lone surrogate.
        """
        if len(texts) != len(self.gaps):
            raise UsageError(f"the document has {len(self.gaps)} gaps, got {len(texts)} texts")
        pieces: list[bytes] = []
        spans: list[tuple[int, int]] = []
        size = 0
        for part in self.parts:
            try:
                piece = (texts[part.index] if isinstance(part, Gap) else part.text).encode()
            except UnicodeEncodeError:
                raise DataError("a text to fill in holds a lone surrogate, which is not a character") from None
            if isinstance(part, Gap):
                spans.append((size, size + len(piece)))
            pieces.append(piece)
            size += len(piece)
        return Filled(b"".join(pieces), tuple(spans))


def _decode(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"the document is not UTF-8: byte {error.start} is 0x{data[error.start]:02x} ({error.reason}). "
            "Convert it first, for example with iconv"
        ) from None


def _add_text(parts: list[Text | Gap], source: str, start: int, stop: int, escapes: Sequence[int]) -> None:
    """Adds source[start:stop] without the backslashes at `escapes`, if there is any."""
    if start == stop:
        return
    markup = source[start:stop]
    cuts = [start, *(cut for escape in escapes for cut in (escape, escape + 1)), stop]
    text = "".join(source[a:b] for a, b in zip(cuts[::2], cuts[1::2], strict=True)) if escapes else markup
    parts.append(Text(text, markup))
