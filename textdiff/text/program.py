"""A regular expression as a small graph of steps: read a character, fork, or look ahead or behind."""

from __future__ import annotations

from dataclasses import dataclass, field

from textdiff.text.alphabet import CharacterSet

END = 0
"""The node of a match that is complete: it ends here."""
REST = 1
"""The node of a look ahead that is satisfied: whatever follows, it is right."""


class TooComplexError(Exception):
    """A pattern takes more nodes, states or work than it may."""


@dataclass(frozen=True)
class Read:
    """Reads one character of a set, given by its index in `Program.sets`."""

    characters: int
    next: int


@dataclass(frozen=True)
class Fork:
    """Goes on at any of these nodes."""

    ways: tuple[int, ...]


@dataclass(frozen=True)
class Look:
    """Goes on if something matches, or does not match, around here.

    Attributes:
        ahead: what follows is to match; otherwise what stands before.
        positive: whether it is to match.
        at: ahead: the node at which the match begins. Behind: its index in `Program.behind`.
        next: where to go on.
    """

    ahead: bool
    positive: bool
    at: int
    next: int


Node = Read | Fork | Look | None


@dataclass
class Program:
    """The graph. Nodes END and REST are the first two.

    Attributes:
        nodes: all nodes.
        sets: the sets of characters that are read.
        behind: the start of each look behind; those that another one needs stand before it.
        start: the start of the whole.
    """

    nodes: list[Node] = field(default_factory=lambda: [None, None])
    sets: list[CharacterSet] = field(default_factory=list)
    behind: list[int] = field(default_factory=list)
    start: int = END
