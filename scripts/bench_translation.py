#!/usr/bin/env python
"""Sequence to sequence by absorbing noise, by uniform noise and from left to right: BLEU, chrF and network calls.

    python scripts/bench_translation.py recipes/multi30k.yaml FOLDER --data runs/multi30k/test.jsonl [--steps 4,10,20]
        [--processes absorbing,uniform,autoregressive] [--samplers uniform=posterior …] [--limit PAIRS] [--set KEY=VALUE …]

Each is trained in FOLDER/PROCESS by the recipe with only `process` changed (`textdiff train`): the same raw pairs in the same
order, network, steps and optimiser, and no other model's output. A run that is finished is not trained again, one that was
stopped goes on. Then each writes a target for every source of --data, at temperature 0, once for each number of steps; the
left-to-right twin takes as many network calls as it writes tokens, the end included. Errors are standard errors over pairs;
they say nothing of how another seed of training would come out. BLEU and chrF are sacrebleu's, of raw text; the signatures
stand below. nats/token is the likelihood of the recipe's held-out targets: exact for the twin, and a bound for the others.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from textdiff.errors import ConfigError, TextdiffError
from textdiff.evaluation import TranslationRow, evaluate_translation
from textdiff.infiller import SamplerOptions, load
from textdiff.recipe import load_recipe, run_recipe

NAMES = "absorbing,uniform,autoregressive"
COLUMNS = ("process", "weights", "nats/token", "steps", "BLEU", "chrF", "network calls", "words/word")


@dataclass(frozen=True)
class Trained:
    """What became of a process.

    Attributes:
        process: its name.
        weights: numbers in the network.
        nats: a held-out token's likelihood, and its standard error.
        rows: translations, by the number of steps.
    """

    process: str
    weights: int
    nats: tuple[float, float]
    rows: list[TranslationRow]

    def lines(self) -> Iterator[str]:
        """Its lines in the table."""
        for row in self.rows:
            scores = " | ".join(f"{s.value:.2f} ± {s.standard_error:.2f}" for s in row.scores)
            nats = "{:.3f} ± {:.3f}".format(*self.nats)
            yield f"| {self.process} | {self.weights:,} | {nats} | {row.steps or ''} | {scores} |"


def measured(options: argparse.Namespace, process: str, sampler: str | None) -> Trained:
    """Trains where that is still to do, and translates."""
    recipe = load_recipe(options.recipe, [*options.settings, f"process={process}"])
    if recipe.data.pairs is None:
        raise ConfigError(f"{options.recipe} does not train on pairs: give it data.pairs")
    checkpoint = run_recipe(recipe, options.recipe.parent, options.folder / process)
    infiller = load(options.folder / process)
    rows = evaluate_translation(
        infiller,
        [options.data],
        [int(steps) for steps in options.steps.split(",")],
        limit=options.limit,
        options=SamplerOptions(sampler, temperature=0.0),
        seed=recipe.seed,
    )
    scores = (checkpoint.metrics or {}).get("scores")
    if not scores:
        raise ConfigError(
            f"{options.recipe} holds no pairs out: give data.validation, or a data.validation_share above 0"
        )
    nats = scores[0]["value"], scores[0]["standard_error"]
    return Trained(process, sum(p.numel() for p in checkpoint.model.parameters()), nats, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="pairs to be translated, a .jsonl")
    parser.add_argument("--processes", default=NAMES, metavar="NAMES")
    parser.add_argument("--steps", default="4,10,20", metavar="NUMBERS")
    parser.add_argument("--samplers", nargs="*", default=[], metavar="PROCESS=PRESET", help="by default the recipe's")
    parser.add_argument("--limit", type=int, metavar="PAIRS", help="so many pairs of --data, spread evenly")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", dest="settings")
    options = parser.parse_args()
    samplers = dict(one.split("=", 1) for one in options.samplers)
    try:
        found = [measured(options, process, samplers.get(process)) for process in options.processes.split(",")]
    except TextdiffError as error:
        sys.exit(str(error))
    print(f"| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|")
    print("\n".join(line for trained in found for line in trained.lines()))
    print()
    print("\n".join(trained.rows[0].scores[0].signature for trained in found))


if __name__ == "__main__":
    main()
