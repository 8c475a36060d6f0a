#!/usr/bin/env python
"""Times of steps that cost a model least on texts: a sampler for --sampler, as YAML.

    python scripts/fit_grid.py --data TEXT… [--model MODEL] [--steps 16] [--sampler NAME] > mine.yaml
    textdiff generate --sampler mine.yaml

What a step from one noise level to another costs is measured on windows of the texts, for all pairs of levels, and the steps
that cost least together are found among all there are. On standard error stands what they cost beyond as many steps as there
are levels, beside the even and the cosine grid, in nats per token: what writing several tokens at once costs.
"""

from __future__ import annotations

import argparse
import math
import sys
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

import textdiff
from textdiff.corpus import load_corpus
from textdiff.data import encode_corpus, evaluation_batches
from textdiff.errors import TextdiffError
from textdiff.evaluation.step_costs import cheapest, levels, price, step_costs
from textdiff.files import dump_yaml
from textdiff.infiller.samplers import sampler_of
from textdiff.registry import to_config
from textdiff.sampling import preset_for
from textdiff.sampling.grids import ProfileGrid

ROWS = 16


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument(
        "--data", type=Path, nargs="+", required=True, metavar="TEXT", help="texts of the kind to be written"
    )
    made.add_argument("--model", default="default", help="a checkpoint folder")
    made.add_argument("--steps", type=int, default=16, help="of the sampler")
    made.add_argument("--sampler", help="whose other options are kept; by default what suits the model's noise")
    made.add_argument("--windows", type=int, default=32, help="windows of text to measure on")
    made.add_argument(
        "--levels", type=int, default=48, help="noise levels to choose from; a network call each, for a window"
    )
    made.add_argument("--seed", type=int, default=0)
    return made


def nearest(alphas: Tensor, wanted: Tensor) -> list[int]:
    """The levels nearest to some numbers, each once."""
    return sorted(set((wanted.unsqueeze(-1) - alphas).abs().argmin(-1).tolist()))


def main() -> None:
    options = parser().parse_args()
    if options.windows < 1:
        raise SystemExit("--windows must be at least 1")
    infiller = textdiff.load(options.model)
    model, tokenizer = infiller.model.eval(), infiller.tokenizer
    sampler = sampler_of(options.sampler or preset_for(model.process))
    ids = encode_corpus(load_corpus(options.data), tokenizer)
    batches = evaluation_batches(
        ids, model.config.context_length, ROWS, tokenizer.vocabulary, options.seed, options.windows
    )
    alphas = levels(options.levels)
    costs = step_costs(model.denoise, model.process, (canvas.to(model.device) for canvas in batches), alphas)
    way = cheapest(costs, options.steps)
    least = price(costs, list(range(len(alphas))))
    parts = torch.arange(options.steps + 1, dtype=torch.float64) / options.steps
    ways = {
        "this grid": way,
        "even steps": nearest(alphas, parts),
        "cosine steps": nearest(alphas, 1 - torch.cos(math.pi / 2 * parts)),
    }
    for name, levels_of in ways.items():
        print(f"{name}: {price(costs, levels_of) - least:.4f} nats/token", file=sys.stderr)
    grid = ProfileGrid(tuple(round(float(alphas[k]), 6) for k in way[1:-1]))
    print(dump_yaml(to_config(replace(sampler, steps=options.steps, grid=grid))), end="")


if __name__ == "__main__":
    try:
        main()
    except TextdiffError as error:
        raise SystemExit(f"{error}") from None
