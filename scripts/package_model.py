#!/usr/bin/env python
"""Puts a trained model into the package, its weights in bfloat16.

python scripts/package_model.py runs/default textdiff/packaged/default
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import torch

from textdiff.files import load_yaml
from textdiff.infiller import find_model, open_checkpoint


def main() -> None:
    source, target = find_model(sys.argv[1]), Path(sys.argv[2])
    checkpoint = open_checkpoint(source)
    checkpoint.model.to(torch.bfloat16)
    replace(checkpoint, recipe=load_yaml(source / "recipe.yaml")).save(target)
    size = sum(file.stat().st_size for file in target.iterdir())
    print(f"{target}: {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
