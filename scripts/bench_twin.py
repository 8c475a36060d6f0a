#!/usr/bin/env python
"""Absorbing noise, uniform noise and the left-to-right twin, trained by one recipe: bits per byte of held-out text.

    python scripts/bench_twin.py RECIPE FOLDER [--processes absorbing,uniform,autoregressive] [--repeats 4] [--set KEY=VALUE …]

Each is trained in FOLDER/PROCESS by the recipe with only `process` changed (`textdiff train`), on whole texts: the same
tokens, network, steps and optimiser. A run that is finished is not trained again, one that was stopped goes on. Then all
are scored on the recipe's held-out text: the likelihood of the twin is exact, those of the others are bounds, and so their
true figures may be lower than what stands in the table. Intervals are 95 %, over windows of the text; they say
nothing of how another seed of training would come out.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from textdiff.errors import ConfigError, TextdiffError
from textdiff.evaluation import likelihood_scores, measure_nelbo
from textdiff.evaluation.held_out import text_of_ids
from textdiff.infiller import Checkpoint
from textdiff.metrics import Score
from textdiff.recipe import load_recipe, run_recipe
from textdiff.recipe.material import Stream
from textdiff.recipe.running import PreparedRun

NAMES = "absorbing,uniform,autoregressive"


def scored(
    recipe_file: Path, settings: list[str], folder: Path, process: str, repeats: int
) -> tuple[Checkpoint, Score, bool]:
    """Trains where that is still to do. The model, its bits per byte, and whether these are exact."""
    recipe = load_recipe(recipe_file, [*settings, f"process={process}", "tasks=[whole]"])
    checkpoint = run_recipe(recipe, recipe_file.parent, folder / process)
    run = PreparedRun(recipe, recipe_file.parent, checkpoint)
    if not isinstance(run.material, Stream):
        raise ConfigError(f"{recipe_file} trains on pairs: take scripts/bench_translation.py")
    if not run.material.holds_out:
        raise ConfigError(f"{recipe_file} holds no text out: give data.validation, or a data.validation_share above 0")
    text, digest = text_of_ids(run.material.split[1], run.tokenizer)
    model = checkpoint.model.eval()
    found = measure_nelbo(model, run.tokenizer, text, repeats, None, recipe.seed, ends=run.material.ends)
    scores = likelihood_scores(found, text, run.tokenizer, f"data:{digest[:12]}|process:{process}|repeats:{repeats}")
    return checkpoint, next(score for score in scores if score.name == "bits_per_byte"), found.exact


def row(process: str, checkpoint: Checkpoint, score: Score, exact: bool) -> str:
    """A line of the table."""
    low, high = score.interval or (score.value, score.value)
    weights = sum(p.numel() for p in checkpoint.model.parameters())
    kind = "exact" if exact else "at most"
    return f"| {process} | {weights:,} | {score.value:.4f} | {low:.4f} to {high:.4f} | {kind} | {score.n:,} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--processes", default=NAMES, metavar="NAMES")
    parser.add_argument("--repeats", type=int, default=4, help="noise draws of each window; the twin needs one")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", dest="settings")
    options = parser.parse_args()
    lines = []
    try:
        for process in options.processes.split(","):
            found = scored(options.recipe, options.settings, options.folder, process, options.repeats)
            lines.append(row(process, *found))
    except TextdiffError as error:
        sys.exit(str(error))
    print("| process | weights | bits/byte | 95 % interval | likelihood | bytes |")
    print("|---|---|---|---|---|---|")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
