#!/usr/bin/env python
"""How much a NELBO varies from one draw of the noise to the next: our estimate against times that are drawn one by one.

    python scripts/bench_estimators.py [--texts toy,garden] [--windows 64] [--repetitions 200] [--json]

The usual estimate (MDLM, LLaDA, UDLM) draws a time t from (0.001, 1) for each window, corrupts every token by itself, and
takes the integrand of the bound: for absorbing noise, the cross-entropy of the masked tokens times 1 / t. Ours spreads how many
tokens are hit evenly over the windows. Both corrupt each window once, so their network calls are equal; the texts are the
same in all repetitions, and what varies is the noise alone.

- toy: texts of a hidden Markov chain, with a network that knows it. The exact bound of a text is its -log p, and the mean of
  our estimates must lie within five of its standard errors.
- garden, shakespeare: windows of data/corpus under the packaged model.

The errors of the ratios are jackknife errors. The usual estimate has a heavy tail, so with few repetitions they are too small.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from oracle_source import Source

import textdiff
from textdiff.data import encode_corpus, evaluation_batches
from textdiff.denoiser import Denoiser
from textdiff.draws import Draws
from textdiff.metrics import estimate_nelbo, jackknife
from textdiff.metrics.jackknife import Parts
from textdiff.objectives import Corruption, TimeForm
from textdiff.processes import ForwardProcess, InterpolatingProcess
from textdiff.registry import build
from textdiff.text.canvas import Canvas

CORPUS = Path(__file__).resolve().parent.parent / "data" / "corpus"
TEXTS, NOISES = ("toy", "garden", "shakespeare"), ("absorbing", "uniform", "hybrid")
TOY, TOY_LENGTH = Source.random(8, 4, seed=2, sharpness=2.0), 16
FIRST = 1e-3
"""The least time that the usual estimate draws: from 0 on its weights have no finite variance."""
_TIME, _NOISE = 1, 2


@dataclass(frozen=True)
class Case:
    """Windows, and who predicts them.

    Attributes:
        bound: exact nats of all windows, where they are known.
    """

    text: str
    noise: str
    process: ForwardProcess
    denoise: Denoiser
    canvas: Canvas
    bound: float | None


@dataclass(frozen=True)
class Row:
    """What came out. Means and deviations are of the nats a token of all windows, over repetitions.

    calls: windows through the network in a repetition, the same for both.
    """

    text: str
    noise: str
    windows: int
    tokens: int
    calls: int
    repetitions: int
    exact: float | None
    our_mean: float
    our_deviation: float
    usual_mean: float
    usual_deviation: float
    ratio: float
    ratio_error: float


def usual(case: Case, seed: int) -> float:
    """Nats of all windows by a time drawn for each of them."""
    canvas, form = case.canvas, TimeForm(case.process)
    draws = Draws.seeded(canvas.seeds).fold(seed)
    t = FIRST + (1 - FIRST) * draws.fold(_TIME).uniform().squeeze(-1)
    noisy = case.process.sample(canvas.ids, t[:, None], draws.fold(_NOISE))
    x_t = torch.where(canvas.free, noisy, canvas.ids)
    corruption = Corruption(x_t, t, case.process.scored(x_t, canvas.free), torch.ones_like(t)[:, None])
    logits = case.denoise(x_t, t, canvas, corruption.where)
    return float(form.nats(canvas, corruption, logits.log_softmax(-1)).sum())


@torch.no_grad()
def measured(case: Case, repetitions: int) -> Row:
    """Both estimates of one case, so often."""
    ours, theirs, tokens = [], [], int(case.canvas.free.sum())
    for seed in range(repetitions):
        ours.append(estimate_nelbo(case.denoise, case.process, [case.canvas], 1, seed).nats / tokens)
        theirs.append(usual(case, seed) / tokens)
    a, b = np.array(ours), np.array(theirs)
    exact = None if case.bound is None else case.bound / tokens
    if exact is not None and abs(a.mean() - exact) > 5 * a.std(ddof=1) / math.sqrt(repetitions):
        sys.exit(f"{case.noise}: the mean of the estimates is {a.mean():.5f}, the exact bound is {exact:.5f}")
    x, y = a - a.mean(), b - b.mean()
    ratio, error = jackknife(np.stack([x, x**2, y, y**2, np.ones_like(x)], -1), ratio_of_deviations)
    windows = len(case.canvas.ids)
    return Row(
        case.text,
        case.noise,
        windows,
        tokens,
        windows,
        repetitions,
        exact,
        float(a.mean()),
        float(a.std(ddof=1)),
        float(b.mean()),
        float(b.std(ddof=1)),
        ratio,
        error,
    )


def ratio_of_deviations(total: Parts) -> float:
    """From the sums of x, x^2, y, y^2 and 1."""
    x, xx, y, yy, count = total
    return math.sqrt((xx - x * x / count) / (yy - y * y / count))


def cases(texts: list[str], noises: list[str], windows: int) -> Iterator[Case]:
    for text in texts:
        yield from toys(noises, windows) if text == "toy" else [packaged(text, windows)]


def toys(noises: list[str], windows: int) -> Iterator[Case]:
    ids = TOY.sample(windows, TOY_LENGTH, seed=1)
    given = torch.zeros_like(ids, dtype=torch.bool)
    canvas = Canvas(ids, given, ~given, torch.arange(windows))
    for noise in noises:
        process = build(ForwardProcess, noise, vocabulary=TOY.vocabulary)
        assert isinstance(process, InterpolatingProcess)
        yield Case("toy", noise, process, TOY.denoiser(process), canvas, -float(TOY.log_p(ids).sum()))


def packaged(text: str, windows: int) -> Case:
    infiller = textdiff.load()
    model, tokenizer = infiller.model.eval(), infiller.tokenizer
    ids = encode_corpus([(CORPUS / f"{text}.txt").read_text(encoding="utf8")], tokenizer)
    (canvas,) = evaluation_batches(ids, model.config.context_length, windows, tokenizer.vocabulary, 0, windows)
    return Case(text, "absorbing", model.process, model.denoise, canvas, None)


def named(known: tuple[str, ...], given: str, parser: argparse.ArgumentParser) -> list[str]:
    for name in given.split(","):
        if name not in known:
            parser.error(f"no {name!r} is known. Known: {', '.join(known)}")
    return given.split(",")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", default="toy,garden", metavar="NAMES")
    parser.add_argument("--noises", default=",".join(NOISES), metavar="NAMES", help="of the toy")
    parser.add_argument("--windows", type=int, default=64)
    parser.add_argument("--repetitions", type=int, default=200)
    parser.add_argument("--json", action="store_true", help="a row a line instead of a table")
    options = parser.parse_args()
    if options.windows < 2 or options.repetitions < 3:
        parser.error("--windows must be at least 2, and --repetitions at least 3")
    texts, noises = named(TEXTS, options.texts, parser), named(NOISES, options.noises, parser)
    if not options.json:
        print("| text | noise | windows, tokens | exact | our mean, deviation | usual mean, deviation | ratio |")
        print("|---|---|---|---|---|---|---|")
    for case in cases(texts, noises, options.windows):
        row = measured(case, options.repetitions)
        print(json.dumps(asdict(row)) if options.json else line(row), flush=True)


def line(row: Row) -> str:
    """A line of the table."""
    exact = "" if row.exact is None else f"{row.exact:.4f}"
    ours, theirs = f"{row.our_mean:.4f}, {row.our_deviation:.4f}", f"{row.usual_mean:.4f}, {row.usual_deviation:.4f}"
    ratio = f"{row.ratio:.3f} ± {row.ratio_error:.3f}"
    return f"| {row.text} | {row.noise} | {row.windows}, {row.tokens} | {exact} | {ours} | {theirs} | {ratio} |"


if __name__ == "__main__":
    main()
