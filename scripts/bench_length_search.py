#!/usr/bin/env python
"""How well the length of a gap is found by trying, with a masked language model that knows no filler.

    TEXTDIFF_DATA=FOLDER python scripts/bench_length_search.py [--gaps 300] [--most 12]

The model is `rxn-albert-mlm`, of chemical reactions. Its texts are made here: amides, esters, ethers and sulfonamides from
lists of building blocks, so that what is hidden in a product can be read off the rest. In each, a run of 1 to `most`
tokens of the product is hidden, every length equally often. The search is compared with every fixed length, on the same gaps.
"""

from __future__ import annotations

import argparse
import itertools
import math
import os
import random
from dataclasses import dataclass, replace
from pathlib import Path

import textdiff
from textdiff.infiller import Infiller
from textdiff.text.document import Document
from textdiff.text.spans import Span
from textdiff.text.tokenizers import Tokenizer

GROUPS = (
    "C", "CC", "CCC", "CC(C)", "CCCC", "CC(C)C", "CCCCCC", "C1CCCC1", "C1CCCCC1", "COCC", "CCOC(=O)CC", "CSCC",
    "c1ccccc1", "Cc1ccccc1", "COc1ccccc1", "Fc1ccccc1", "Clc1ccccc1", "c1ccncc1", "c1ccc2ccccc2c1", "c1ccsc1",
)  # fmt: skip
RIGHT = (
    "C", "CC", "CCC", "C(C)C", "CCCC", "CC(C)C", "C1CCCC1", "C1CCCCC1", "CCOC", "Cc1ccccc1", "Cc1ccc(F)cc1",
    "CCc1ccccc1", "c1ccccc1", "c1ccc(C)cc1", "c1ccc(OC)cc1", "c1ccc(Cl)cc1", "c1cccnc1", "c1ccc(C#N)cc1",
)  # fmt: skip
KINDS = (
    "{0}C(=O)O.N{1}>>{0}C(=O)N{1}",
    "{0}C(=O)Cl.O{1}>>{0}C(=O)O{1}",
    "{0}CBr.O{1}>>{0}CO{1}",
    "{0}S(=O)(=O)Cl.N{1}>>{0}S(=O)(=O)N{1}",
)


@dataclass(frozen=True)
class Case:
    """A reaction with a hidden run of tokens."""

    document: Document
    text: str
    tokens: int


def cases(tokenizer: Tokenizer, count: int, most: int, seed: int) -> list[Case]:
    chance = random.Random(seed)
    reactions = [kind.format(a, b) for kind, a, b in itertools.product(KINDS, GROUPS, RIGHT)]
    chance.shuffle(reactions)
    made: list[Case] = []
    for reaction in itertools.cycle(reactions):
        if len(made) == count:
            return made
        before, product = reaction.rsplit(">", 1)
        parts = [tokenizer.decode([i]) for i in tokenizer.encode(product)]
        tokens = 1 + len(made) % most
        if "".join(parts) != product or len(parts) < tokens + 2:
            continue
        start = chance.randint(0, len(parts) - tokens)
        left = f"{before}>" + "".join(parts[:start])
        hidden = "".join(parts[start : start + tokens])
        first = len(left.encode())
        document = Document.with_spans(reaction.encode(), [Span(first, first + len(hidden.encode()))])
        made.append(Case(document, hidden, tokens))
    raise AssertionError


def measure(infiller: Infiller, made: list[Case], most: int, length: str | int) -> tuple[float, float, float, float]:
    """Mean absolute error in tokens and the share of exact texts, each with its standard error."""
    results = infiller.infill([case.document for case in made], length=length, room=most, score=False, temperature=0.0)
    texts = [result.gaps[0].text for result in results]
    errors = [abs(len(infiller.tokenizer.encode(t)) - case.tokens) for t, case in zip(texts, made, strict=True)]
    hits = [float(text == case.text) for text, case in zip(texts, made, strict=True)]
    return (*mean(errors), *mean(hits))


def mean(values: list[int] | list[float]) -> tuple[float, float]:
    centre = sum(values) / len(values)
    return centre, math.sqrt(sum((v - centre) ** 2 for v in values) / len(values) / max(1, len(values) - 1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gaps", type=int, default=300)
    parser.add_argument("--most", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    # the bias is measured anew, and nothing is kept in a folder that is not ours
    infiller = replace(textdiff.load(Path(os.environ["TEXTDIFF_DATA"]) / "rxn-albert-mlm"), shelf=None)
    made = cases(infiller.tokenizer, asked.gaps, asked.most, asked.seed)
    print("| length | mean absolute error, tokens | exact match |\n| --- | --- | --- |")
    for length in ("search", *range(1, asked.most + 1)):
        error, spread, hits, uncertain = measure(infiller, made, asked.most, length)
        print(f"| {length} | {error:.2f} ± {spread:.2f} | {hits:.3f} ± {uncertain:.3f} |", flush=True)


if __name__ == "__main__":
    main()
