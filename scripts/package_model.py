#!/usr/bin/env python
"""Puts a trained model into the package, its weights in bfloat16, its confidences fitted on held-out text.

python scripts/package_model.py runs/default textdiff/packaged/default [HELD_OUT_FILE]
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch

from textdiff.evaluation.infilling import calibrate, case_sets
from textdiff.files import load_yaml
from textdiff.infiller import Calibration, find_model, load, open_checkpoint

GAPS = 150
"""Of each kind."""


def fitted(model: Path, text: Path) -> Calibration:
    """The calibration on gaps of unknown length: a word, some words, several near each other."""
    infiller = load(model)
    sets = case_sets(infiller, [text], ("word", "words", "several"), GAPS)
    calibration = calibrate(infiller, [case for each in sets for case in each.cases])
    print(
        f"logit(confidence) = {calibration.intercept:.3f} + {calibration.slope:.3f} logit(p), {calibration.gaps} gaps"
    )
    return calibration


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a run's folder or a checkpoint")
    parser.add_argument("output", type=Path)
    parser.add_argument("text", type=Path, nargs="?", help="held-out text that confidences are fitted on")
    options = parser.parse_args()
    source, target = find_model(options.model), options.output
    checkpoint = open_checkpoint(source)
    calibration = checkpoint.calibration if options.text is None else fitted(source, options.text)
    checkpoint.model.to(torch.bfloat16)
    replace(checkpoint, recipe=load_yaml(source / "recipe.yaml"), calibration=calibration).save(target)
    size = sum(file.stat().st_size for file in target.iterdir())
    print(f"{target}: {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
