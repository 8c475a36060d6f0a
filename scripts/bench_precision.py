#!/usr/bin/env python
"""What bfloat16 does to filling gaps on this machine: time, and how many greedy fills stay the same.

    python scripts/bench_precision.py TEXT [-m MODEL] [--cases 60] [--rounds 5] [--threads 1] [--json]

Gaps of 1 to 4 words are cut out of the text by seed; the infiller is told their true lengths, at temperature 0. All of them are
filled in float32 and in bfloat16 in turn, in one process; printed are the ratio of the median times, the range of the ratios of
the single rounds, and the share of gaps whose text is the same.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from bench_timing import alternate

import textdiff
from textdiff.evaluation.infilling import case_sets
from textdiff.evaluation.infilling.cases import GapCase
from textdiff.evaluation.infilling.methods import answer
from textdiff.evaluation.infilling.ways import Way
from textdiff.infiller import Infiller


def fills(infiller: Infiller, cases: Sequence[GapCase]) -> list[str]:
    """The text of every gap."""
    answers = answer(infiller, cases, Way("joint", "true"), options={"temperature": 0.0})
    return [text for one in answers for text in one.texts]


def compared(model: str, text: Path, cases: int, rounds: int) -> dict[str, Any]:
    """A row of the table."""
    full, half = (textdiff.load(model, "cpu", dtype) for dtype in ("float32", "bfloat16"))
    (found,) = case_sets(full, [text], ("words",), cases, 0, words=(1, 4))
    pairs = alternate(lambda _: fills(full, found.cases), lambda _: fills(half, found.cases), rounds, warm_up=1).plain
    same = [a == b for a, b in zip(fills(full, found.cases), fills(half, found.cases), strict=True)]
    return {"bench": "precision", "model": model, "gaps": len(same), "same": sum(same) / len(same), **pairs}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", type=Path)
    parser.add_argument("-m", "--model", default="default")
    parser.add_argument("--cases", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    row = compared(options.model, options.text, options.cases, options.rounds)
    if options.json:
        print(json.dumps(row))
        return
    print(
        f"{row['gaps']} gaps: bfloat16 is {row['ratio']:.2f} times as fast ({row['lowest']:.2f} to {row['highest']:.2f}), "
        f"{row['same']:.0%} of the fills are the same"
    )


if __name__ == "__main__":
    main()
