#!/usr/bin/env python
"""Puts a trained model into the package, its weights in bfloat16, its confidences fitted on held-out text.

python scripts/package_model.py runs/default textdiff/packaged/default [HELD_OUT_FILE]
"""

from __future__ import annotations

import sys
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
    source, target = find_model(sys.argv[1]), Path(sys.argv[2])
    checkpoint = open_checkpoint(source)
    calibration = fitted(source, Path(sys.argv[3])) if len(sys.argv) > 3 else checkpoint.calibration
    checkpoint.model.to(torch.bfloat16)
    replace(checkpoint, recipe=load_yaml(source / "recipe.yaml"), calibration=calibration).save(target)
    size = sum(file.stat().st_size for file in target.iterdir())
    print(f"{target}: {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
