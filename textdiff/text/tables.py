"""Transition tables of automata as arrays: equal rows, and the smallest table that does the same."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]


def number_rows(rows: NDArray[np.integer]) -> tuple[IntArray, IntArray]:
    """Numbers rows so that equal ones, and only they, have one number; the numbers rise with their first rows.

    Args:
        rows: [N, M], any integers.

    Returns:
        the number of each row, [N]; and where each number stands first, [K].
    """
    # equality is looked at below: random weights only make it unlikely that different rows meet
    weights = np.random.default_rng(0).integers(1 << 63, size=rows.shape[1], dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    hashes = rows.astype(np.uint64) @ weights
    _, firsts, numbers = np.unique(hashes, return_index=True, return_inverse=True)
    if not np.array_equal(rows, rows[firsts[numbers]]):
        _, firsts, numbers = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    rank = np.argsort(np.argsort(firsts))
    return rank[numbers.reshape(-1)], np.sort(firsts)


def edges(table: NDArray[np.integer]) -> tuple[IntArray, IntArray]:
    """The pairs (source, target) of states of a table [S, C] of next states, -1 for none; sorted by source."""
    codes = np.arange(len(table))[:, None] * len(table) + table
    pairs = np.unique(codes[table >= 0])
    return pairs // len(table), pairs % len(table)


def smallest(table: NDArray[np.integer], final: NDArray[np.bool_]) -> tuple[IntArray, NDArray[np.bool_]]:
    """The table with the fewest states for the same sequences; state 0 is the start.

    Args:
        table: next states, [S, C], -1 for none. Every state can be reached from state 0.
        final: whether a sequence may end in each state, [S].

    Returns:
        the two without states from which no sequence ends, and one state for all that do the same; none at all where
        there is no sequence.
    """
    left = _steps_left(table, final)
    if left[0] < 0:
        return np.zeros((0, table.shape[1]), np.int64), np.zeros(0, np.bool_)
    # equal states have equal distances to an end: a start from which few refinements are left
    blocks, firsts = number_rows(left[:, None])
    while True:
        named = np.where((table < 0) | (left[table] < 0), -1, blocks[table])
        blocks, finer = number_rows(np.column_stack([blocks, named]))
        if len(finer) == len(firsts):
            break
        firsts = finer
    keep = left[firsts] >= 0
    names = np.append(np.cumsum(keep) - 1, -1)
    return names[named[firsts[keep]]], final[firsts[keep]]


def _steps_left(table: NDArray[np.integer], final: NDArray[np.bool_]) -> IntArray:
    """The fewest steps from each state to one where a sequence may end, -1 where there is none, [S]."""
    sources, targets = edges(table)
    order = np.argsort(targets, kind="stable")
    sources = sources[order]
    bounds = np.searchsorted(targets[order], np.arange(len(table) + 1))
    left = np.full(len(table), -1)
    front, steps = np.flatnonzero(final), 0
    while len(front):
        left[front] = steps
        counts = bounds[front + 1] - bounds[front]
        places = np.repeat(bounds[front] - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())
        front = np.unique(sources[places])
        front, steps = front[left[front] < 0], steps + 1
    return left
