"""What texts do to a language's automaton: where it is after each of many texts, from each of its states."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from textdiff.errors import DataError
from textdiff.text.dfa import Language
from textdiff.text.tables import IntArray, number_rows

States = NDArray[np.int32]
MAX_CELLS = 40_000_000
"""Entries of a table that is looked at: a few hundred megabytes."""
TOO_LARGE = "what the gap asks for takes too large an automaton with this model's tokens: ask for less at once"


@dataclass(frozen=True, eq=False)
class Texts:
    """Texts side by side: the code points of all, and where each one begins and ends."""

    codes: NDArray[np.uint32]
    starts: IntArray
    ends: IntArray

    @staticmethod
    def of(texts: Sequence[str]) -> Texts:
        codes = np.frombuffer("".join(texts).encode("utf-32-le"), np.uint32)
        ends = np.cumsum([len(text) for text in texts])
        return Texts(codes, np.append(0, ends[:-1]), ends)


@dataclass(frozen=True, eq=False)
class Outcomes:
    """Where texts lead.

    Attributes:
        groups: [T], the group of each text; those of one group lead from every state to the same one.
        states: [G, S + 1], where the texts of a group lead from each state; S is nowhere, and leads nowhere.
    """

    groups: IntArray
    states: States

    @staticmethod
    def of(language: Language, texts: Texts) -> Outcomes:
        """Reads all texts at once, letter by letter, each beginning that they share only once.

        Raises:
            DataError: the table would be too large.
        """
        table = _ahead(language)
        nowhere, symbols = len(table) - 1, table.shape[1]
        read = np.arange(nowhere + 1, dtype=np.int32)[None]  # where each beginning leads, [beginnings, S + 1]
        found = [read, np.full_like(read, nowhere)]
        groups = np.where(texts.ends > texts.starts, 1, 0)
        active, beginnings, count, place = np.flatnonzero(groups), np.zeros(int(groups.sum()), np.int64), 2, 0
        while len(active):
            letters = language.symbols[texts.codes[texts.starts[active] + place]].astype(np.int64)
            longer, beginnings = np.unique(beginnings * symbols + letters, return_inverse=True)
            if len(longer) * (nowhere + 1) > MAX_CELLS:
                raise DataError(TOO_LARGE)
            read = table[read[longer // symbols], (longer % symbols)[:, None]]
            alive = (read != nowhere).any(1)
            names, read = np.cumsum(alive) - 1, read[alive]
            active, beginnings = active[alive[beginnings]], names[beginnings[alive[beginnings]]]
            place += 1
            ended = texts.ends[active] - texts.starts[active] == place
            used, inverse = np.unique(beginnings[ended], return_inverse=True)
            groups[active[ended]] = count + inverse
            found.append(read[used])
            count += len(used)
            active, beginnings = active[~ended], beginnings[~ended]
        numbers, firsts = number_rows(states := np.concatenate(found))
        return Outcomes(numbers[groups], states[firsts])


def after_space(language: Language) -> States:
    """Where a space leads from each state, and from nowhere, [S + 1]."""
    return _ahead(language)[:, language.symbols[ord(" ")]]


def _ahead(language: Language) -> States:
    """The table of a language with one more state, nowhere, from which nothing leads away: [S + 1, A]."""
    table = np.pad(language.table, ((0, 1), (0, 0)), constant_values=-1)
    return np.where(table < 0, len(language.table), table).astype(np.int32)
