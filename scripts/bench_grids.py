#!/usr/bin/env python
"""Grids of times at equal numbers of steps: even, cosine, and fitted to texts; the network knows the truth.

    python scripts/bench_grids.py [--processes absorbing,uniform] [--sharpness 4,12] [--steps 2,4,8,16] [--rows 160000]

Texts are those of bench_samplers.py, short ones of a hidden Markov chain; the sharper it is, the more does one token tell of
the others. The fitted grid (`profile`, see fit_grid.py) is chosen by what steps cost on other texts of the source. Network
calls are counted too: where nothing settles in a step none is made. So many rows of the source itself are as far from its
law as the last line says.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace

import torch
from bench_samplers import distances, written
from oracle_source import Source

from textdiff.errors import TextdiffError
from textdiff.evaluation.step_costs import cheapest, levels, step_costs
from textdiff.processes import ForwardProcess
from textdiff.registry import build
from textdiff.sampling import Sampler, TimeGrid, preset, preset_for
from textdiff.sampling.grids import CosineGrid, ProfileGrid, UniformGrid
from textdiff.text.canvas import Canvas

LENGTH, FITTED_ON, LEVELS = 8, 2000, 48


def fitted(source: Source, process: ForwardProcess, steps: list[int]) -> dict[int, ProfileGrid]:
    """The grid for each number of steps, from texts that no sampler wrote."""
    ids = source.sample(FITTED_ON, LENGTH, seed=5)
    nothing = torch.zeros_like(ids, dtype=torch.bool)
    canvas = Canvas(ids, nothing, ~nothing, torch.arange(len(ids)))
    alphas = levels(LEVELS)
    costs = step_costs(source.denoiser(process), process, [canvas], alphas)
    return {n: ProfileGrid(tuple(float(alphas[k]) for k in cheapest(costs, n)[1:-1])) for n in steps}


def rows(source: Source, name: str, steps: list[int], count: int) -> Iterator[str]:
    """The lines of a table in Markdown."""
    process = build(ForwardProcess, name, vocabulary=source.vocabulary)
    sampler, profiles = preset(preset_for(process)), fitted(source, process, steps)
    for n in steps:
        grids: dict[str, TimeGrid] = {"even": UniformGrid(), "cosine": CosineGrid(), "fitted": profiles[n]}
        for grid in grids:
            made: Sampler = replace(sampler, steps=n, grid=grids[grid])
            ids, calls = written(made, source, process, count, LENGTH)
            variation, kl = distances(source, ids)
            yield f"| {name} | {n} | {grid} | {calls:.2f} | {variation:.4f} | {kl:.4f} |"


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--processes", default="absorbing,uniform")
    made.add_argument("--sharpness", default="4,12", help="of the source")
    made.add_argument("--steps", default="2,4,8,16")
    made.add_argument("--rows", type=int, default=160_000)
    return made


def main() -> None:
    options = parser().parse_args()
    for sharpness in map(float, options.sharpness.split(",")):
        source = Source.random(3, 4, seed=2, sharpness=sharpness)
        print(f"\nsharpness {sharpness:g}\n")
        print("| noise | steps | grid | calls | total variation | KL, nats |")
        print("| --- | --- | --- | --- | --- | --- |")
        for process in options.processes.split(","):
            for line in rows(source, process, [*map(int, options.steps.split(","))], options.rows):
                print(line, flush=True)
        variation, kl = distances(source, source.sample(options.rows, LENGTH, seed=1))
        print(f"|  |  | the source itself |  | {variation:.4f} | {kl:.4f} |")


if __name__ == "__main__":
    try:
        main()
    except TextdiffError as error:
        raise SystemExit(f"{error}") from None
