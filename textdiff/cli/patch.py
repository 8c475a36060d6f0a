"""A diff on standard output."""

from __future__ import annotations

import re
import sys

from textdiff.cli.output import is_terminal, put, shows_colours
from textdiff.cli.visible import painted, visible


def put_diff(diff: bytes) -> None:
    """Writes a diff: to a terminal in colours and made visible, elsewhere as it is."""
    if not is_terminal(sys.stdout):
        put(diff)
        return
    styles = {"+": "added", "-": "removed", "@": "place"} if shows_colours(sys.stdout) else {}
    for line in re.split("\r?\n", diff.decode(errors="replace").removesuffix("\n")):
        style = styles.get(line[:1])
        put((painted(line, style) if style else visible(line)) + "\n")
