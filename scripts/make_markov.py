#!/usr/bin/env python
"""Writes a text from a Markov chain over letters, and prints the chain's entropy rate in nats per character.

    python scripts/make_markov.py FILE [--states 2] [--length 200000] [--stay 0.9] [--seed 0]

With two states, `stay` is the probability of the same letter again; with more, each row of transition probabilities is drawn
from a Dirichlet distribution.
"""

from __future__ import annotations

import argparse
import string
from pathlib import Path

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float64]


def transitions(states: int, stay: float, generator: np.random.Generator) -> Matrix:
    """Row-stochastic matrix [S, S]."""
    if states == 2:
        return np.array([[stay, 1 - stay], [1 - stay, stay]])
    return generator.dirichlet(np.full(states, 0.3), size=states) * 0.98 + 0.02 / states


def entropy_rate(matrix: Matrix) -> float:
    """sum_i pi_i H(row i) for the stationary distribution pi, nats."""
    values, vectors = np.linalg.eig(matrix.T)
    stationary = np.real(vectors[:, np.argmax(np.real(values))])
    stationary /= stationary.sum()
    return float(-(stationary[:, None] * matrix * np.log(matrix)).sum())


def walk(matrix: Matrix, length: int, generator: np.random.Generator) -> str:
    """A text of `length` letters."""
    cumulative = matrix.cumsum(-1)
    state, letters = 0, []
    for u in generator.random(length):
        state = min(int(np.searchsorted(cumulative[state], u, side="right")), len(matrix) - 1)
        letters.append(string.ascii_lowercase[state])
    return "".join(letters)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--states", type=int, default=2, choices=range(2, 27), metavar="2-26")
    parser.add_argument("--length", type=int, default=200_000)
    parser.add_argument("--stay", type=float, default=0.9)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    generator = np.random.default_rng(options.seed)
    matrix = transitions(options.states, options.stay, generator)
    options.file.parent.mkdir(parents=True, exist_ok=True)
    options.file.write_text(walk(matrix, options.length, generator), encoding="utf8")
    print(f"{entropy_rate(matrix):.6f}")


if __name__ == "__main__":
    main()
