#!/usr/bin/env python
"""Infilling against simple methods, as Markdown tables: what `textdiff evaluate --metrics infill --baselines` measures.

    python scripts/bench_infilling.py FILE… [--cases 200] [--kinds word,words] [--lengths true,auto] [--baselines]
    python scripts/bench_infilling.py FILE --kinds several --lengths true --baselines --score-fills --show 5
    python scripts/bench_infilling.py FILE --lengths auto --option steps=8 --option temperature=0

FILE: texts (.gz and .xz too), or JSON with cases (before, middle, after; aNLG's obs1, gold_labels, obs2). The protocol
stands in `textdiff/evaluation/infilling/running.py`.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import textdiff
from textdiff.cli.infill_tables import plain, report_tables
from textdiff.errors import TextdiffError
from textdiff.evaluation import InfillReport, case_sets, evaluate_infilling
from textdiff.evaluation.infilling import BASELINES, CONTEXT, KINDS, joint_way, way_of


def value_of(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE")
    parser.add_argument("-m", "--model", default="default")
    parser.add_argument("--cases", type=int, default=200, help="of each kind (200)")
    parser.add_argument("--kinds", default=",".join(KINDS), help=f"of {', '.join(KINDS)}")
    parser.add_argument("--words", default="2-12", metavar="LOW-HIGH", help="words of the kind words (2-12)")
    parser.add_argument(
        "--lengths", default="true,auto", help="of the joint method: true, words, auto, model, search, 1, 2, …"
    )
    parser.add_argument("--baselines", action="store_true", help="fixed lengths, and all simple methods")
    parser.add_argument("--methods", default="", help="some of them, such as masks_in_turn/true,left_only/true")
    parser.add_argument("--unit", choices=["file", "blank_line", "line"], default="file")
    parser.add_argument("--context", type=int, default=CONTEXT, help=f"characters on either side ({CONTEXT})")
    parser.add_argument("--repeats", type=int, default=4, help="noise draws for likelihoods (4)")
    parser.add_argument("--score-fills", action="store_true", help="also the likelihood of what was written")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--option", action="append", default=[], metavar="NAME=VALUE", help="of Infiller.infill")
    parser.add_argument("--show", type=int, default=0, metavar="N", help="the first N gaps of each kind and method")
    parser.add_argument("--json", type=Path, metavar="FILE", help="all scores with their signatures")
    return parser.parse_args()


def progress(what: str, done: int, total: int) -> None:
    if sys.stderr.isatty() or done == total:
        print(f"\r{what}: {done}/{total}   ", end="" if done < total else "\n", file=sys.stderr, flush=True)


def markdown(report: InfillReport) -> None:
    for title, (header, *rows) in report_tables(report):
        print(f"\n{title}\n")
        for row in (header, ["---"] * len(header), *rows):
            print("| " + " | ".join(row) + " |")


def show(report: InfillReport, count: int) -> None:
    for (kind, way), gaps in report.filled.items():
        print(f"\n{kind}, {way}")
        for gap in gaps[:count]:
            print(f"  {'=' if gap.hit else ' '} {gap.references[0]!r}  ->  {gap.text!r}")


def main() -> None:
    asked = arguments()
    infiller = textdiff.load(asked.model)
    ways = [joint_way(length) for length in asked.lengths.split(",") if length]
    ways += [way_of(name) for name in asked.methods.split(",") if name]
    ways += BASELINES if asked.baselines else []
    options = {name: value_of(value) for name, _, value in (word.partition("=") for word in asked.option)}
    low, high = map(int, asked.words.split("-"))
    kinds = asked.kinds.split(",")
    sets = case_sets(
        infiller, asked.files, kinds, asked.cases, asked.seed, asked.context, words=(low, high), unit=asked.unit
    )
    report = evaluate_infilling(
        infiller,
        sets,
        ways,
        seed=asked.seed,
        repeats=asked.repeats,
        options=options,
        score_fills=asked.score_fills,
        on_progress=progress,
    )
    markdown(report)
    show(report, asked.show)
    if asked.json:
        asked.json.write_text(json.dumps(plain(report), indent=1) + "\n", encoding="utf8")


if __name__ == "__main__":
    try:
        main()
    except TextdiffError as error:
        sys.exit(f"{Path(sys.argv[0]).name}: error: {error}")
