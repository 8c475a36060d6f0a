"""Line ends that only keep a paragraph narrow: where the network reads a space, as in a text that has none of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from textdiff.text.style import HOLE

_WRAP = re.compile(rf"(?<=[\w{HOLE}])(?P<comma>[,;]?)[ \t]*\r?\n[ \t]*(?=(?P<next>[^\W\d_]|{HOLE}))")
_NARROW = 45
_WIDE = 160
"""Characters of a line that somebody wrapped; a shorter one was ended for a reason, a longer one is a whole paragraph."""
_HOLE_WIDTH = 10


@dataclass(frozen=True)
class Wrap:
    """White space, at characters start … stop - 1 of a text, that stands for a single space."""

    start: int
    stop: int


def wraps_of(text: str) -> Iterator[Wrap]:
    """Where the lines of a text go on as if nothing had been between them: no sentence ends, and none begins.

    Args:
        text: gaps in it are written as `HOLE`.
    """
    for match in _WRAP.finditer(text):
        goes_on = match["next"] == HOLE or match["next"].islower()
        if goes_on and _NARROW <= _width(text, match.start()) <= _WIDE:
            yield Wrap(match.end("comma"), match.end())


def ends_in_wrap(text: str) -> bool:
    """Whether a gap after this text begins a line that goes on."""
    line = text[-3 * _WIDE :] + HOLE
    return any(wrap.stop == len(line) - 1 for wrap in wraps_of(line))


def _width(text: str, end: int) -> int:
    """Characters of the line up to a place without its indentation, as if its gaps were filled."""
    line = text[text.rfind("\n", 0, end) + 1 : end].lstrip()
    return len(line) + _HOLE_WIDTH * line.count(HOLE)


def unwrap(text: str, wraps: list[Wrap]) -> tuple[str, list[int]]:
    """A text with a space for each of some wraps.

    Returns:
        It, and for each number of its characters how many of the text they stand for.
    """
    parts: list[str] = []
    origins: list[int] = [0]
    position = 0
    for wrap in wraps:
        parts += [text[position : wrap.start], " "]
        origins += [*range(position + 1, wrap.start + 1), wrap.stop]
        position = wrap.stop
    return "".join([*parts, text[position:]]), [*origins, *range(position + 1, len(text) + 1)]
