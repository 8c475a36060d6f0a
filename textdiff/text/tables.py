"""Transition tables of automata as arrays: which rows and which states do the same, which lead to an end."""

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
    hashes = rows.astype(np.uint64) @ _weights(rows.shape[1])
    _, firsts, numbers = np.unique(hashes, return_index=True, return_inverse=True)
    if not np.array_equal(rows, rows[firsts[numbers]]):  # different rows met in one hash: as good as never
        _, firsts, numbers = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    rank = np.argsort(np.argsort(firsts))
    return rank[numbers.reshape(-1)], np.sort(firsts)


def _weights(count: int) -> NDArray[np.uint64]:
    return np.random.default_rng(0).integers(1 << 63, size=count, dtype=np.uint64) | np.uint64(1)


def edges(table: NDArray[np.integer]) -> tuple[IntArray, IntArray]:
    """The pairs (source, target) of states of a table [S, C] of next states, -1 for none; sorted by source."""
    pairs = np.sort((np.arange(len(table))[:, None] * len(table) + table)[table >= 0])
    pairs = pairs[np.diff(pairs, prepend=-1) > 0]
    return pairs // len(table), pairs % len(table)


def refine(blocks: IntArray, table: NDArray[np.integer]) -> tuple[IntArray, IntArray]:
    """Splits blocks of states until all states of a block lead to the same blocks.

    Args:
        blocks: the block that each state is in to begin with, [S].
        table: next states, [S, C], -1 for none.

    Returns:
        the block of each state, and the first state of each block, rising.
    """
    blocks, firsts = number_rows(blocks[:, None])
    while True:
        blocks, finer = number_rows(np.column_stack([blocks, np.append(blocks, -1)[table]]))
        if len(finer) == len(firsts):
            return blocks, firsts
        firsts = finer


def ending(table: NDArray[np.integer], final: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which states lead to one where a sequence may end, [S].

    Args:
        table: next states, [S, C], -1 for none.
        final: whether a sequence may end in each state, [S].
    """
    sources, targets = edges(table)
    order = np.argsort(targets, kind="stable")
    sources, bounds = sources[order], np.searchsorted(targets[order], np.arange(len(table) + 1))
    found = np.zeros(len(table), np.bool_)
    front = np.flatnonzero(final)
    while len(front):
        found[front] = True
        counts = bounds[front + 1] - bounds[front]
        places = np.repeat(bounds[front] - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())
        front = np.unique(sources[places])
        front = front[~found[front]]
    return found
