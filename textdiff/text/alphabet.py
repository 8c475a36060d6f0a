"""Characters as automata see them: a few symbols, each for all the characters that are never told apart.

Which characters a set such as `[^\\W_]` holds is asked of `re` itself, so that Unicode classes and the folding of upper
and lower case are exactly Python's. It is asked about one character of each stretch in which the answer cannot change.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

Symbols = NDArray[np.uint16]
"""The symbol of each character (code point), [0x110000]."""
IntArray = NDArray[np.int64]

CHARACTERS = 0x110000
_ASCII = np.arange(0x81)
_BLOCK = 256


@dataclass(frozen=True)
class CharacterSet:
    """A set of characters.

    Attributes:
        pattern: a regular expression that matches the set's characters one by one.
        flags: of re: IGNORECASE, ASCII, DOTALL.
        edges: the code points that the pattern names, and for a range the one after its end: only there, where a
            class such as \\w begins or ends, and at letters that have a case can membership change.
    """

    pattern: str
    flags: int
    edges: tuple[int, ...]


def partition(sets: Sequence[CharacterSet]) -> tuple[Symbols, list[IntArray]]:
    """The coarsest partition of all characters that tells the sets apart; returns the symbols of each set too."""
    edges = [np.zeros(1, np.int64), _ASCII, *(np.array(s.edges, np.int64) for s in sets), _class_edges()]
    if any(s.flags & re.IGNORECASE for s in sets):
        edges.append(_case_edges())
    starts = np.unique(np.concatenate(edges))
    starts = starts[starts < CHARACTERS]
    text = _text(starts)
    inside = np.zeros((len(starts), len(sets)), np.bool_)
    for i, characters in enumerate(sets):
        inside[:, i] = _membership(characters, text)
    symbols, rows = numbered(row.tobytes() for row in inside)
    members = [np.flatnonzero(column) for column in np.array([np.frombuffer(row, np.bool_) for row in rows]).T]
    return spread(starts, symbols), members


def joint(first: Symbols, second: Symbols) -> tuple[Symbols, IntArray, IntArray]:
    """The partition that tells apart what either does; returns the symbol in the first and second of each symbol."""
    starts = np.union1d(run_starts(first), run_starts(second))
    size = int(second.max()) + 1
    pairs, symbols = np.unique(first[starts].astype(np.int64) * size + second[starts], return_inverse=True)
    return spread(starts, symbols), pairs // size, pairs % size


def run_starts(symbols: Symbols) -> IntArray:
    """Where a symbol differs from that of the character before it."""
    return np.append(0, np.flatnonzero(symbols[1:] != symbols[:-1]) + 1)


def spread(starts: IntArray, symbols: IntArray | Symbols) -> Symbols:
    """The symbol of each character from those of the runs that begin at `starts`."""
    return np.repeat(symbols.astype(np.uint16), np.diff(starts, append=CHARACTERS))


def numbered(keys: Iterable[bytes]) -> tuple[IntArray, list[bytes]]:
    """Numbers keys in the order in which they first come; returns the number of each and the distinct keys."""
    number: dict[bytes, int] = {}
    numbers = np.array([number.setdefault(key, len(number)) for key in keys])
    return numbers, list(number)


def _membership(characters: CharacterSet, text: str) -> NDArray[np.bool_]:
    """Which characters of a text are in the set."""
    inside = np.zeros(len(text) + 1, np.int8)
    spans = [match.span() for match in re.finditer(f"{characters.pattern}+", text, characters.flags)]
    if spans:  # runs never touch, so that no index stands twice
        inside[np.array(spans)[:, 0]] = 1
        inside[np.array(spans)[:, 1]] = -1
    return np.cumsum(inside[:-1]).astype(np.bool_)


def _text(code_points: IntArray) -> str:
    return code_points.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")


@cache
def _class_edges() -> IntArray:
    """Where \\w, \\d or \\s begin or end."""
    text = _text(np.arange(CHARACTERS))
    runs = (match.span() for name in (r"\w+", r"\d+", r"\s+") for match in re.finditer(name, text))
    return np.unique([edge for run in runs for edge in run])


@cache
def _case_edges() -> IntArray:
    """All characters that have an upper or lower case, and those after them."""
    cased: list[int] = []
    for start in range(0, CHARACTERS, _BLOCK):  # most blocks hold none
        block = _text(np.arange(start, start + _BLOCK))
        if block != block.lower() or block != block.upper():
            cased += [start + i for i, c in enumerate(block) if c != c.lower() or c != c.upper()]
    return np.union1d(cased, np.array(cased) + 1)
