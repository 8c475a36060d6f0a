"""What marks a gap in a document: `[MASK…]`, the marks of other tools, or any literal.

A backslash before a mark makes it text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from textdiff.errors import DataError, UsageError, nearest
from textdiff.text.gap_markup import OPENER, SYNTAX, read_gap
from textdiff.text.gaps import MAX_GAPS, Gap
from textdiff.text.utf8 import place, touches_word

STANDARD = "[MASK]"


@dataclass(frozen=True)
class MaskToken:
    """What marks a gap.

    Attributes:
        mark: what to look for: the whole mark, or the "[MASK" that `read_gap` goes on from. What the group `name` matches
            is the gap's name; where the group `open` matches, the end of the mark is missing.
        syntax: a sentence that shows it.
        standard: whether it is the markup `[MASK…]`.
        apart: whether a mark that touches a letter, a digit or an underscore is text.
    """

    mark: re.Pattern[bytes]
    syntax: str
    standard: bool = False
    apart: bool = False

    def find(self, data: bytes, position: int) -> re.Match[bytes] | None:
        """The first mark at or after a position."""
        while match := self.mark.search(data, position):
            if not (self.apart and touches_word(data, *match.span())):
                return match
            position = match.end()
        return None

    def read(self, data: bytes, match: re.Match[bytes], index: int) -> tuple[Gap, int]:
        """The gap at a mark, and where it ends.

        Raises:
            DataError: with line and column: what begins there is not a whole gap.
        """
        if self.standard:
            return read_gap(data, match.start(), index)
        groups = match.groupdict()
        if groups.get("open") is not None:
            raise DataError(f"{place(data, match.start())}: this gap is not closed. {self.syntax}")
        name = groups.get("name")
        return Gap(index, name.decode() if name else None, None, match[0].decode()), match.end()


_WORDS = rb"(?:BLANK|FILL|FILL_HERE|FILL_IN|FILL_ME|INFILL|blank|fill|fill_here|fill_in|fill_me|infill)"
_FILL = rb"<%b>|\[%b\]|\{\{ ?%b(?: ?\}\}|(?P<open>(?!\w)))" % (_WORDS, _WORDS, _WORDS)
_ESCAPE = "A backslash before it makes it text."

PRESETS = {
    # "[MASKED]" and "[MASK_2]" are text; "[MASK 5]" is an error rather than a gap that nobody fills
    "bert": MaskToken(re.compile(re.escape(OPENER) + rb"(?!\w)"), SYNTAX, standard=True),
    "roberta": MaskToken(re.compile(rb"<mask>"), f"A gap is written <mask>. {_ESCAPE}"),
    "t5": MaskToken(
        re.compile(rb"<extra_id_(?:(?P<name>[0-9]{1,6})>|(?P<open>))"),
        f"Gaps are written <extra_id_0>, <extra_id_1> and so on, each once. {_ESCAPE}",
    ),
    "underscores": MaskToken(
        # the neighbours that are ASCII are looked at here already, which is faster
        re.compile(rb"___(?<!\w___)_*+(?!\w)"),
        f"A gap is written as three or more underscores that touch no letter and no digit. {_ESCAPE}",
        apart=True,
    ),
    "fill": MaskToken(
        re.compile(_FILL),
        f"A gap is written <FILL>, [BLANK], {{{{fill_me}}}} or the like, see the list of mask tokens. {_ESCAPE}",
    ),
}
HELP = r"""Mask tokens:
  [MASK], bert   [MASK…], which alone can say what the gap asks for
  roberta        <mask>
  t5             <extra_id_0>, <extra_id_1>, … each once; the number is a name
  underscores    three or more that touch no letter and no digit: ____
  fill           <FILL>, [FILL], {{FILL}} or {{ FILL }}; or, instead of FILL,
                 BLANK, FILL_HERE, FILL_IN, FILL_ME or INFILL, or lower case
  anything else  is what stands for a gap, as it is: '???', '<X>', '\gap{}'
With a mask token other than bert, [MASK] is text. A backslash before a mark
makes it text.
"""


@lru_cache(maxsize=64)
def mask_token_of(name: str) -> MaskToken:
    """The mask token that a preset's name, or else a literal, stands for.

    Raises:
        UsageError: it is empty, cannot be encoded, or a backslash before it could not be told from its own.
    """
    if name == STANDARD:
        return PRESETS["bert"]
    if name in PRESETS:
        return PRESETS[name]
    if not name:
        raise UsageError("the mask token must not be empty")
    if "\\" in name[1:] or name == "\\":
        raise UsageError(f"a backslash can only begin a mask token and not be all of it, got {name!r}")
    try:
        literal = name.encode()
    except UnicodeEncodeError:
        raise UsageError(f"the mask token {name!r} holds a lone surrogate, which is not a character") from None
    hint = nearest(name, PRESETS)
    return MaskToken(re.compile(re.escape(literal)), f"The mask token is {name!r}, as it stands.{hint}")


def find_gaps(data: bytes, token: MaskToken) -> Iterator[tuple[Gap | None, int, int, list[int]]]:
    """Finds the gaps from left to right.

    Yields:
        (gap, start, stop, escapes): the bytes of its markup, and where the backslashes of the escaped marks in the
        text before it stand. The last item has no gap and stands for the text that is left.

    Raises:
        DataError: with line and column: markup that does not parse, a name that is taken, or more gaps than `MAX_GAPS`.
    """
    escapes: list[int] = []
    names: dict[str, int] = {}
    index = position = 0
    while match := token.find(data, position):
        start = match.start()
        if data[start - 1 : start] == b"\\":
            escapes.append(start - 1)
            position = match.end()
            continue
        if index == MAX_GAPS:
            raise DataError(f"{place(data, start)}: a document can have at most {MAX_GAPS} gaps")
        gap, position = token.read(data, match, index)
        if gap.name is not None and names.setdefault(gap.name, start) != start:
            first = place(data, names[gap.name])
            raise DataError(f"{place(data, start)}: the gap at {first} has the name {gap.name!r} already")
        yield gap, start, position, escapes
        index, escapes = index + 1, []
    yield None, len(data), len(data), escapes


def escape(text: str, mask_token: str = STANDARD) -> str:
    r"""The markup of a text: read with the same mask token, it has no gap and is this text again.

    It cannot stand right before a gap where it ends with a backslash: that would escape the gap.

    Raises:
        DataError: the text holds a lone surrogate.
        UsageError: the mask token cannot be used.
    """
    token = mask_token_of(mask_token)
    try:
        data = text.encode()
    except UnicodeEncodeError:
        raise DataError("the text to escape holds a lone surrogate, which is not a character") from None
    pieces: list[bytes] = []
    position = 0
    while match := token.find(data, position):
        pieces += [data[position : match.start()], b"\\", match[0]]
        position = match.end()
    return b"".join([*pieces, data[position:]]).decode()


def find_other(data: bytes, token: MaskToken) -> str:
    """Which preset finds a gap where the token finds none, as a sentence with line and column; "" if no one does."""
    for name, preset in PRESETS.items():
        if preset is not token and (match := preset.find(data, 0)):
            return f" {match[0].decode()!r} at {place(data, match.start())} is one with the mask token {name}."
    return ""
