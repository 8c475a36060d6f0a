"""The smallest automaton of a language: no useless state, no two states or symbols that do the same."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from numpy.typing import NDArray

from textdiff.text.alphabet import IntArray, Symbols, numbered, run_starts, spread

Table = NDArray[np.int32]
"""The next state for each state and symbol, [S, A]; -1 where nothing can follow. State 0 is the start."""
Final = NDArray[np.bool_]
"""Whether a text may end in each state, [S]."""


def smallest(symbols: Symbols, table: Table, final: Final) -> tuple[Symbols, Table, Final]:
    """The one smallest automaton of the same language: two automata of one language give equal arrays."""
    starts = run_starts(symbols)
    runs = symbols[starts]
    table, final = _trim(table, final)
    runs, table = _merge_symbols(runs, table)
    blocks = _blocks(table, final)
    firsts = np.unique(blocks, return_index=True)[1]
    runs, table = _merge_symbols(runs, _renamed(table[firsts], blocks))
    order = _first_visits(table, int(blocks[0]))
    table = _renamed(table[order], np.argsort(order))
    return spread(starts, runs), table, final[firsts][order]


def _renamed(table: Table, names: IntArray) -> Table:
    """The table with other names of its states."""
    return np.append(names, -1)[table].astype(np.int32)


def _trim(table: Table, final: Final) -> tuple[Table, Final]:
    """Keeps the states that can be reached and from which a text can end."""
    size = len(table)
    sources, _ = np.nonzero(table >= 0)
    targets = table[table >= 0].astype(np.int64)
    keep = _reached(sources, targets, [0], size) & _reached(targets, sources, np.flatnonzero(final).tolist(), size)
    if not keep[0]:
        return np.full((1, table.shape[1]), -1, np.int32), np.zeros(1, np.bool_)
    return _renamed(table[keep], np.where(keep, np.cumsum(keep) - 1, -1)), final[keep]


def _reached(sources: IntArray, targets: IntArray, starts: list[int], size: int) -> NDArray[np.bool_]:
    """Which of `size` states can be reached from the starts."""
    edges = np.unique(sources * size + targets)
    bounds = np.searchsorted(edges, np.arange(size + 1) * size).tolist()
    ends = (edges % size).tolist()
    reached, open_states = set(starts), list(starts)
    while open_states:
        state = open_states.pop()
        new = set(ends[bounds[state] : bounds[state + 1]]) - reached
        reached |= new
        open_states.extend(new)
    result = np.zeros(size, np.bool_)
    result[list(reached)] = True
    return result


def _merge_symbols(runs: Symbols, table: Table) -> tuple[Symbols, Table]:
    """Makes one of symbols that do the same; numbers them in the order of their first runs of characters."""
    columns = [column.tobytes() for column in np.ascontiguousarray(table.T)]
    merged, columns = numbered(columns[symbol] for symbol in runs.tolist())
    return merged.astype(np.uint16), np.stack([np.frombuffer(column, np.int32) for column in columns], axis=1)


def _blocks(table: Table, final: Final) -> IntArray:
    """The block of equivalent states that each state of a trimmed automaton is in.

    Source: Hopcroft (1971), An n log n algorithm for minimizing states in a finite automaton; with missing transitions
    as in Valmari and Lehtinen (2008), arXiv 0802.2826: each first block must split the others once.
    """
    before: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
    sources, letters = np.nonzero(table >= 0)
    for source, letter, target in zip(sources.tolist(), letters.tolist(), table[table >= 0].tolist(), strict=True):
        before[target].append((letter, source))
    members = [set(states) for ends in (True, False) if (states := np.flatnonzero(final == ends).tolist())]
    block_of = {state: block for block, states in enumerate(members) for state in states}
    waiting = list(range(len(members)))
    while waiting:
        into: defaultdict[int, list[int]] = defaultdict(list)
        for target in members[waiting.pop()]:
            for letter, source in before[target]:
                into[letter].append(source)
        for arriving in into.values():
            parts: defaultdict[int, set[int]] = defaultdict(set)
            for state in arriving:
                parts[block_of[state]].add(state)
            for block, part in parts.items():
                if len(part) == len(members[block]):
                    continue
                if 2 * len(part) > len(members[block]):
                    members[block], part = part, members[block] - part
                else:
                    members[block] -= part
                # the smaller half suffices: the block that it leaves has split the others before, or is waiting
                waiting.append(len(members))
                block_of.update(dict.fromkeys(part, len(members)))
                members.append(part)
    return np.array([block_of[state] for state in range(len(table))])


def _first_visits(table: Table, start: int) -> IntArray:
    """The states in the order in which a breadth-first walk from the start meets them."""
    order = dict.fromkeys([start])
    rows = table.tolist()
    for state in (queue := [start]):
        new = [s for s in dict.fromkeys(rows[state]) if s >= 0 and s not in order]
        order.update(dict.fromkeys(new))
        queue.extend(new)
    return np.array(list(order))
