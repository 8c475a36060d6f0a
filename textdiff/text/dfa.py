"""A language, a set of texts, as a deterministic automaton over characters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from textdiff.errors import DataError
from textdiff.text.alphabet import IntArray, Symbols, joint
from textdiff.text.minimal import Final, Table, smallest

MAX_STATES = 10_000
"""Of an automaton: more could not be joined with a vocabulary in time."""
MAX_CELLS = 1 << 24
"""Of its table: 64 MB."""


@dataclass(frozen=True, eq=False)
class Language:
    """A set of texts. What `&`, `|` and `~` give is the smallest automaton, and so are all that `language_of` gives.

    Attributes:
        symbols: the symbol of each character, uint16 [0x110000]; characters of one symbol are never told apart.
        table: the next state for each state and symbol, int32 [S, A]; -1 where nothing can follow. State 0 is the start.
        final: whether a text may end in each state, bool [S].
    """

    symbols: Symbols
    table: Table
    final: Final

    @staticmethod
    def smallest(symbols: Symbols, table: Table, final: Final) -> Language:
        """The smallest automaton of the same texts; equal languages give equal arrays, which cannot be written to."""
        arrays = smallest(symbols, table, final)
        for array in arrays:
            array.flags.writeable = False
        return Language(*arrays)

    @property
    def is_empty(self) -> bool:
        """Whether it holds no text at all. For automata without useless states only."""
        return not self.final.any()

    def accepts(self, text: str) -> bool:
        """Whether it holds a text."""
        state = 0
        for character in text:
            state = int(self.table[state, self.symbols[ord(character)]])
            if state < 0:
                return False
        return bool(self.final[state])

    def __invert__(self) -> Language:
        """All other texts."""
        dead = len(self.table)
        table = np.full((dead + 1, int(self.symbols.max()) + 1), dead, np.int32)
        table[:dead, : self.table.shape[1]] = np.where(self.table < 0, dead, self.table)
        return Language.smallest(self.symbols, table, ~np.append(self.final, False))

    def __and__(self, other: Language) -> Language:
        """The texts that both hold.

        Raises:
            DataError: that takes more than `MAX_STATES` states.
        """
        symbols, *columns = joint(self.symbols, other.symbols)
        states, targets = _reachable_pairs((self.table, columns[0]), (other.table, columns[1]))
        order = np.argsort(states)
        table = order[np.searchsorted(states, targets, sorter=order).clip(max=len(states) - 1)]
        size = len(other.table)
        final = self.final[states // size] & other.final[states % size]
        return Language.smallest(symbols, np.where(targets < 0, -1, table).astype(np.int32), final)

    def __or__(self, other: Language) -> Language:
        """The texts that either holds."""
        return ~(~self & ~other)


def _reachable_pairs(left: tuple[Table, IntArray], right: tuple[Table, IntArray]) -> tuple[IntArray, IntArray]:
    """Walks through two tables at once from their starts.

    Args:
        left, right: a table, and its column for each symbol.

    Returns:
        the pairs of states met, each as one number, [P]; and where each symbol leads from them, -1 for nowhere, [P, A].
    """
    size, symbols = len(right[0]), len(right[1])
    met = np.zeros(len(left[0]) * size, np.bool_)
    met[0] = True
    count, pairs, targets = 1, [np.zeros(1, np.int64)], []
    while len(pairs[-1]):
        a, b = left[0][pairs[-1] // size][:, left[1]], right[0][pairs[-1] % size][:, right[1]]
        targets.append(np.where((a < 0) | (b < 0), -1, a.astype(np.int64) * size + b))
        new = np.unique(targets[-1])
        new = new[(new >= 0) & ~met[new]]
        met[new] = True
        pairs.append(new)
        count += len(new)
        if count > MAX_STATES or count * symbols > MAX_CELLS:
            raise DataError("what is asked for takes too large an automaton: ask for less at once")
    return np.concatenate(pairs), np.concatenate(targets)
