"""Text as a terminal or a page may safely show it."""

from __future__ import annotations

import re
from collections.abc import Sequence

# Control characters other than tab and line end; marks that reorder what one sees; characters that have no width and
# could hide text; line ends that are none to a terminal; the byte order mark; halves of characters. Joiners (U+200C,
# U+200D) stay: scripts and emoji need them.
_HIDDEN = re.compile(
    "\r(?!\n)|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)
_RESET = "\x1b[0m"
_CODES = {"fill": "\x1b[1;32m", "added": "\x1b[32m", "removed": "\x1b[31m", "place": "\x1b[36m", "doubt": "\x1b[33m"}


def visible(text: str) -> str:
    """The text with signs in place of what a terminal would obey or hide; CR LF counts as a plain line end."""
    return _HIDDEN.sub(_sign, text)


def painted(text: str, style: str) -> str:
    """The text, made visible, in a colour: fill, added, removed, place or doubt."""
    return f"{_CODES[style]}{visible(text)}{_RESET}" if text else ""


def painted_spans(data: bytes, spans: Sequence[tuple[int, int]], colours: bool) -> str:
    """UTF-8 bytes, made visible, with the bytes of the spans coloured."""
    shown, end = [], 0
    for start, stop in spans:
        shown.append(visible(data[end:start].decode()))
        fill = data[start:stop].decode()
        shown.append(painted(fill, "fill") if colours else visible(fill))
        end = stop
    return "".join([*shown, visible(data[end:].decode())])


def _sign(found: re.Match[str]) -> str:
    code = ord(found[0])
    if code < 0x20:
        return chr(0x2400 + code)
    return "␡" if code == 0x7F else f"<U+{code:04X}>"
