#!/usr/bin/env python
"""What samplers themselves get wrong, by network calls: the network is replaced by one that knows the truth.

    python scripts/bench_samplers.py [--presets NAMES] [--processes absorbing,uniform] [--rows 40000] [--output FOLDER]

Texts come from a hidden Markov chain, and the denoiser answers with that chain's exact conditional laws: no training, so
all that is left between what is written and the source is the sampler's own doing. Two lengths are measured:

- short texts, whose law can be written down in full: total variation and KL divergence of the written texts' frequencies
  from it. So many rows drawn from the source itself are not at 0 either; the last line says where they are: the floor.
- long texts: nats per token under the source, and the entropy of the written ids. The last line says what the source
  itself has. Fewer nats than that is no merit: a sampler that writes the likeliest text over and over has the fewest.

Samplers draw from the laws as they are where a preset does not say otherwise; `klass`, `mask_predict` and `rdm`, which write
the likeliest tokens, draw here too, since all their texts would be one. A preset stands for several numbers of
steps, or where it chooses by itself how many tokens settle, for several values of what it goes by; once for each number of
network calls that it really needs. With --output FOLDER the table is also written as samplers.json and, where matplotlib
is installed, drawn as samplers.png.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from oracle_source import Source
from torch import Tensor

from textdiff.curves.pictures import COLOURS, DASHES, new_figure, plain_axes
from textdiff.errors import ConfigError, TextdiffError
from textdiff.processes import ForwardProcess, InterpolatingProcess
from textdiff.registry import build
from textdiff.sampling import Sampler, preset, preset_names
from textdiff.sampling.accept import Accept, EntropyBoundAccept, FactorAccept, KlassAccept, ThresholdAccept
from textdiff.sampling.grids import AdaptiveGrid
from textdiff.text.canvas import Canvas

SHORT, LONG = Source.random(3, 4, seed=2), Source.random(16, 8, seed=2)
FLOOR = "the source itself"
BATCH = 20_000
MARKERS = "osx^"
"""Another one each time that colours and dashes are used up."""
ADAPTIVE: dict[str, list[Accept]] = {
    "entropy_bound": [EntropyBoundAccept(gamma) for gamma in (0.01, 0.1, 0.3, 1.0, 3.0)],
    "factor": [FactorAccept(factor) for factor in (0.3, 1.0, 2.0, 4.0)],
    "klass": [KlassAccept(share, kl) for share, kl in ((0.9, 0.01), (0.8, 0.03), (0.7, 0.1), (0.5, 0.3))],
    "threshold": [ThresholdAccept(share) for share in (0.99, 0.9, 0.7, 0.5, 0.3)],
}
"""Presets that choose how many tokens settle, by falling care."""
DRAWN = ("klass", "mask_predict", "rdm")
"""Presets that are measured without the temperature 0 that they have."""
ANY_NOISE = ("posterior", "euler", "tau_leaping", "psi")
OTHER_NOISE = ("diffusion_gemma", "duo", "gibbs")
"""Presets for noise that does not show."""


@dataclass(frozen=True)
class Row:
    """A sampler at a number of network calls.

    total_variation, kl: of the short texts from their law, nats; nats: per token of the long texts under the source;
    entropy: of their ids, nats; calls, long_calls: network calls a text, short and long.
    """

    process: str
    sampler: str
    calls: float
    total_variation: float
    kl: float
    long_calls: float
    nats: float
    entropy: float


def written(
    sampler: Sampler, source: Source, process: InterpolatingProcess, rows: int, length: int
) -> tuple[Tensor, float]:
    """Texts, Long [rows, length], and network calls for each."""
    parts, calls = [], 0
    for first in range(0, rows, BATCH):
        seeds = torch.arange(first, min(first + BATCH, rows))
        nothing = torch.zeros(len(seeds), length, dtype=torch.bool)
        canvas = Canvas(torch.zeros_like(nothing, dtype=torch.long), nothing, ~nothing, seeds)
        samples = sampler.sample(source.denoiser(process), process, canvas)
        parts.append(samples.ids)
        calls += int(samples.nfe.sum())
    return torch.cat(parts), calls / rows


def distances(source: Source, ids: Tensor) -> tuple[float, float]:
    """Total variation, and KL(frequencies || law) in nats, of the texts' frequencies from the law of their length."""
    law = source.law(ids.shape[1])
    found = torch.bincount(source.place(ids), minlength=len(law)) / len(ids)
    return float((found - law).abs().sum() / 2), float(torch.special.xlogy(found, found / law).sum())


def unigram_entropy(ids: Tensor) -> float:
    """Nats of the ids of each text, mean over texts."""
    counts = torch.nn.functional.one_hot(ids).sum(1) / ids.shape[1]
    return float(-torch.special.xlogy(counts, counts).sum(-1).mean())


def described(process: str, name: str, short: Tensor, calls: float, long: Tensor, long_calls: float) -> Row:
    """The row of what was written."""
    variation, kl = distances(SHORT, short)
    nats = float(-LONG.log_p(long).mean() / long.shape[1])
    return Row(process, name, calls, variation, kl, long_calls, nats, unigram_entropy(long))


def numbers_of_steps(length: int) -> list[int]:
    """1, 2, 4 … and the length itself."""
    return sorted({length, *(1 << k for k in range(length.bit_length()) if 1 << k < length)})


def versions(name: str, most: int) -> Iterator[tuple[Sampler, int]]:
    """A preset from many network calls to few, and its steps for each `most` tokens of a text."""
    sampler = replace(preset(name), warps=()) if name in DRAWN else preset(name)
    for accept in ADAPTIVE.get(name, ()):
        yield replace(sampler, accept=accept, grid=AdaptiveGrid()), most
    for steps in () if name in ADAPTIVE else numbers_of_steps(most)[::-1]:
        yield sampler, steps


def measured(process: str, name: str, options: argparse.Namespace) -> Iterator[Row]:
    """The rows of a preset, one for each number of network calls."""
    sides = [(source, build(ForwardProcess, process, vocabulary=source.vocabulary)) for source in (SHORT, LONG)]
    seen = set()
    for sampler, share in versions(name, options.short * options.calls_per_token):
        texts, calls = [], []
        for (source, noise), length, rows in zip(
            sides, (options.short, options.long), (options.rows, options.long_rows), strict=True
        ):
            steps = max(1, share * length // options.short)
            ids, count = written(replace(sampler, steps=steps), source, noise, rows, length)
            texts.append(ids)
            calls.append(count)
        if tuple(calls) not in seen:
            seen.add(tuple(calls))
            yield described(process, name, texts[0], calls[0], texts[1], calls[1])


def floor(options: argparse.Namespace) -> Row:
    """What as many texts of the source itself have."""
    short, long = SHORT.sample(options.rows, options.short, 1), LONG.sample(options.long_rows, options.long, 1)
    return described("", FLOOR, short, 0, long, 0)


def line(row: Row) -> str:
    """A row of the table in Markdown."""
    calls = ("", "") if row.sampler == FLOOR else (f"{row.calls:.1f}", f"{row.long_calls:.1f}")
    return (
        f"| {row.process} | {row.sampler} | {calls[0]} | {row.total_variation:.3f} | {row.kl:.4f} "
        f"| {calls[1]} | {row.nats:.3f} | {row.entropy:.3f} |"
    )


def draw(rows: list[Row], file: Path) -> None:
    """Total variation by network calls, and nats against entropy, a line for each sampler."""
    figure = new_figure(14, 6.5)
    left, right = figure.subplots(1, 2)
    *found, source = rows
    names = list(dict.fromkeys((row.process, row.sampler) for row in found))
    for i, (process, sampler) in enumerate(names):
        its = [row for row in found if (row.process, row.sampler) == (process, sampler)]
        style = {
            "color": COLOURS[i % len(COLOURS)],
            "linestyle": DASHES[i // len(COLOURS) % len(DASHES)],
            "marker": MARKERS[i // len(COLOURS) // len(DASHES) % len(MARKERS)],
            "markersize": 3.5,
        }
        left.plot(
            [row.calls for row in its], [row.total_variation for row in its], label=f"{sampler}, {process}", **style
        )
        right.plot([row.entropy for row in its], [row.nats for row in its], **style)
    left.axhline(source.total_variation, color="black", linewidth=0.8, label=f"floor: {FLOOR}")
    right.plot(source.entropy, source.nats, "*", color="black", markersize=12)
    left.set(xlabel="network calls for a text", ylabel="total variation from the source", yscale="log")
    left.yaxis.set_major_formatter("{x:.2g}")
    left.yaxis.set_minor_formatter("{x:.2g}")
    right.set(xlabel="entropy of the ids of a text (nats)", ylabel="nats per token under the source")
    right.set_title("the star is the source itself", fontsize=9)
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", fontsize=8, ncols=5, frameon=False)
    for axes in (left, right):
        plain_axes(axes)
    figure.suptitle("What samplers get wrong when the network is right")
    figure.savefig(file)


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--presets", help="names, parted by commas; every one that can write with the noise, by default")
    made.add_argument("--processes", default="absorbing,uniform")
    made.add_argument("--rows", type=int, default=40_000, help="short texts of each sampler")
    made.add_argument("--short", type=int, default=8, help="tokens of a short text")
    made.add_argument("--calls-per-token", type=int, default=1, help="up to how many steps for each token of a text")
    made.add_argument("--long-rows", type=int, default=256, help="long texts of each sampler")
    made.add_argument("--long", type=int, default=128, help="tokens of a long text")
    made.add_argument("--output", type=Path, metavar="FOLDER", help="for samplers.json and samplers.png")
    return made


def presets_for(process: str, asked: str | None) -> list[str]:
    """The asked ones; else all that draw at random, once each; without absorbing noise, what fits any noise."""
    if asked is not None:
        return asked.split(",")
    if process != "absorbing":
        return [*ANY_NOISE, *OTHER_NOISE]
    distinct = {preset(name): name for name in sorted(preset_names(), reverse=True)}
    greedy = {name for sampler, name in distinct.items() if any(warp.greedy for warp in sampler.warps)}
    return sorted(set(distinct.values()) - (greedy - set(DRAWN)) - set(OTHER_NOISE))


def main() -> None:
    options = parser().parse_args()
    if min(options.rows, options.long_rows, options.short, options.long, options.calls_per_token) < 1:
        raise SystemExit("--rows, --short, --long-rows, --long and --calls-per-token must be at least 1")
    print("| noise | sampler | calls | total variation | KL, nats | calls, long | nats/token | entropy |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    rows = []
    for process in options.processes.split(","):
        for name in presets_for(process, options.presets):
            for row in measured(process, name, options):
                print(line(row), flush=True)
                rows.append(row)
    rows.append(floor(options))
    print(line(rows[-1]))
    if options.output is not None:
        options.output.mkdir(parents=True, exist_ok=True)
        (options.output / "samplers.json").write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
        try:
            draw(rows, options.output / "samplers.png")
        except ConfigError as missing:
            print(f"no picture: {missing}")


if __name__ == "__main__":
    try:
        main()
    except TextdiffError as error:
        raise SystemExit(f"{error}") from None
