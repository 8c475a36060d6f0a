#!/usr/bin/env python
"""What each choice in training is worth: small runs that differ from one setting in one thing, over several seeds.

    TEXTDIFF_DATA=FOLDER python scripts/sample_efficiency.py run runs/efficiency [--only muon,adamw] [--seeds 0,1,2]
    python scripts/sample_efficiency.py report runs/efficiency

The text is novels.small of the novels-pd corpus, scored on a part of its three held-out novels by the NELBO, with the same
windows and noise for all runs of a seed. `run` does what the folder does not hold yet and may be stopped at any time. What a
step costs is measured as processor time of its own thread, which other work on the machine disturbs little. A variant whose
steps cost more or less than those of the base is trained again for as many steps as the base's time allows.
"""

from __future__ import annotations

import argparse
import json
import lzma
import math
import os
import shutil
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch
from scipy import stats
from torch import Tensor
from torch.nn import functional

from textdiff.backbones import BackboneConfig, DiTConfig
from textdiff.backbones.dit import DiT
from textdiff.backbones.layers import Attention, rotate
from textdiff.denoiser import Reader
from textdiff.draws import Draws
from textdiff.errors import TextdiffError
from textdiff.objectives import CountForm, CrossEntropyObjective, Estimator, LossReport, Objective, TimeForm
from textdiff.objectives.estimators import Corruption
from textdiff.processes import ForwardProcess
from textdiff.recipe import load_recipe, run_recipe
from textdiff.registry import register
from textdiff.text.canvas import Canvas
from textdiff.text.tokenizers import train_tokenizer
from textdiff.vocabulary import Vocabulary

SIZES = "hidden_size: 128, num_hidden_layers: 4, num_attention_heads: 4"
BASE = """\
description: A small network for comparisons.
context_length: 128
data: {train: train.txt, validation: valid.txt, unit: file}
tokenizer: {path: tokenizer}
process: absorbing
backbone: {name: dit, SIZES}
objective: cross_entropy
training:
  max_steps: 500
  per_device_train_batch_size: 16
  learning_rate: 1e-2
  warmup_steps: 25
  lr_scheduler_type: cosine
  optim: muon
  bf16: false
  eval_steps: 10000
  save_steps: 10000
""".replace("SIZES", SIZES)
STEPS = 500
SAME = 0.03
"""Costs of a step that lie so near to the base's count as the same."""

VARIANTS: dict[str, tuple[str, list[str]]] = {
    "base": ("Muon 1e-2, cross-entropy, count form, no time embedding, QK-norm, EMA, no dropout", []),
    "nelbo": ("NELBO weight", ["objective=nelbo"]),
    "sampled_t": ("t drawn evenly, each token masked by itself", ["objective=cross_entropy_sampled_t"]),
    "nelbo_sampled_t": ("the same with the NELBO weight", ["objective=nelbo_sampled_t"]),
    "complementary": ("half as many texts, each twice with complementary masks", ["objective=complementary"]),
    "muon_3e-3": ("Muon, 3e-3", ["training.learning_rate=3e-3"]),
    "muon_2e-2": ("Muon, 2e-2", ["training.learning_rate=2e-2"]),
    "adamw_1e-3": ("AdamW, 1e-3", ["training.optim=adamw", "training.learning_rate=1e-3"]),
    "adamw_3e-3": ("AdamW, 3e-3", ["training.optim=adamw", "training.learning_rate=3e-3"]),
    "adamw_6e-3": ("AdamW, 6e-3", ["training.optim=adamw", "training.learning_rate=6e-3"]),
    "time": ("time embedding, sinusoidal, adaptive norm", ["backbone.time_embedding=sinusoidal"]),
    "no_qk_norm": ("no QK-norm", [f"backbone={{name: dit_without_qk_norm, {SIZES}}}"]),
    "no_ema": ("no EMA: the last weights", ["training.ema_decay=0"]),
    "dropout": ("dropout 0.1", ["backbone.dropout=0.1"]),
    "few": ("a thirtieth of the text, some 25 epochs", ["data.train=few.txt"]),
    "few_dropout": ("the same, dropout 0.1", ["data.train=few.txt", "backbone.dropout=0.1"]),
}
COMPARED_WITH = {"few_dropout": "few"}


class _PlainAttention(Attention):
    """Queries and keys as they come."""

    def mix(self, x: Tensor, table: tuple[Tensor, Tensor], attendable: Tensor | None, dropout: float) -> Tensor:
        both, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).split((2, 1), dim=-3)
        q, k = rotate(both, table).unbind(-3)
        q, k, v = (part.transpose(1, 2) for part in (q, k, v.squeeze(-3).contiguous()))
        mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=attendable, dropout_p=dropout)
        return mixed.transpose(1, 2).flatten(-2)


@register(BackboneConfig, "dit_without_qk_norm")
@dataclass(frozen=True)
class PlainConfig(DiTConfig):
    """The network without normalised queries and keys."""

    def make(self, vocabulary: Vocabulary, context_length: int) -> DiT:
        network = super().make(vocabulary, context_length)
        for block in network.blocks:
            block.attention.__class__ = _PlainAttention
            block.attention.query_norm.requires_grad_(False)
            block.attention.key_norm.requires_grad_(False)
        return network


@dataclass(frozen=True)
class EvenTimes(TimeForm):
    """t even on (0, 1), as MDLM and LLaDA draw it."""

    def corrupt(self, canvas: Canvas, level: Tensor, draws: Draws) -> Corruption:
        noisy = self.process.sample(canvas.ids, level[:, None], draws)
        x_t = torch.where(canvas.free, noisy, canvas.ids)
        return Corruption(x_t, level, self.process.scored(x_t, canvas.free), torch.ones_like(level).unsqueeze(-1))


@register(Objective, "cross_entropy_sampled_t")
@dataclass(frozen=True)
class SampledTime(CrossEntropyObjective):
    """Plain cross-entropy at times that are drawn."""

    def estimator(self, process: ForwardProcess) -> Estimator:
        return EvenTimes(process)


@register(Objective, "nelbo_sampled_t")
@dataclass(frozen=True)
class SampledTimeNelbo(SampledTime):
    """MDLM's loss."""

    def loss(
        self, process: ForwardProcess, canvas: Canvas, corruption: Corruption, log_p_x0: Tensor, nats: Tensor
    ) -> Tensor:
        return nats


@dataclass(frozen=True)
class ComplementOfPairs(CountForm):
    """Rows 2i + 1 hide what rows 2i show."""

    def corrupt(self, canvas: Canvas, level: Tensor, draws: Draws) -> Corruption:
        found = super().corrupt(canvas, level, draws)
        hidden = found.where[::2]
        where = torch.stack((hidden, canvas.free[::2] & ~hidden), 1).flatten(0, 1)
        share = where.sum(-1) / canvas.free.sum(-1).clamp(min=1)
        weight = 1 / share.double().clamp(min=torch.finfo(torch.float64).tiny)
        x_t = torch.where(where, self.process.mask_id, canvas.ids)
        return replace(found, x_t=x_t, where=where, weight=weight, t=self.process.schedule.inverse(1 - share.double()))


@register(Objective, "complementary")
@dataclass(frozen=True)
class Complementary(CrossEntropyObjective):
    """Every token of half of the batch is scored exactly once."""

    def __call__(
        self, reader: Reader, process: ForwardProcess, canvas: Canvas, level: Tensor, draws: Draws
    ) -> LossReport:
        twice = torch.arange(len(canvas.ids) // 2).repeat_interleave(2)
        return super().__call__(reader, process, canvas.rows(twice), level[::2].repeat_interleave(2), draws)

    def estimator(self, process: ForwardProcess) -> Estimator:
        return ComplementOfPairs(process)


def prepare(folder: Path) -> None:
    """The texts beside the recipe."""
    novels = Path(os.environ["TEXTDIFF_DATA"]) / "novels-pd"
    train = lzma.decompress((novels / "novels.small.train.txt.xz").read_bytes()).decode()
    valid = lzma.decompress((novels / "novels.valid.txt.xz").read_bytes()).decode()
    paragraphs = valid.split("\n")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "train.txt").write_text(train)
    (folder / "few.txt").write_text(train[: len(train) // 30].rpartition("\n")[0])
    (folder / "valid.txt").write_text("\n".join(paragraphs[:: max(1, len(paragraphs) // 900)]))
    (folder / "base.yaml").write_text(BASE)
    if not (folder / "tokenizer").is_dir():
        train_tokenizer("byte_bpe", [train], 2048).save(folder / "tokenizer")


def run_once(folder: Path, name: str, seed: int, steps: int) -> dict[str, Any]:
    """One training, and what came out."""
    settings = [*VARIANTS[name][1], f"seed={seed}", f"training.max_steps={steps}"]
    output = folder / "now"
    shutil.rmtree(output, ignore_errors=True)
    before = time.thread_time()
    result = run_recipe(load_recipe(folder / "base.yaml", settings), folder, output)
    took = time.thread_time() - before
    assert result.metrics is not None
    scores = {score["name"]: score["value"] for score in result.metrics["scores"]}
    return {"name": name, "seed": seed, "steps": steps, "nelbo": scores["nelbo"], "seconds": took}


def runs_of(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def cost(done: list[dict[str, Any]], name: str) -> float:
    """Processor seconds of a run of STEPS steps: the least of all seeds, as other work can only add to it."""
    return min(run["seconds"] for run in done if run["name"] == name and run["steps"] == STEPS)


def run(folder: Path, names: list[str], seeds: list[int]) -> None:
    """All that is still to do, first at equal steps and then at equal time."""
    torch.set_num_threads(1)
    prepare(folder)
    file = folder / "runs.jsonl"
    for seed in seeds:
        for name in names:
            once(file, name, seed, STEPS)
    for seed in seeds:
        for name in names:
            done = runs_of(file)
            ratio = cost(done, COMPARED_WITH.get(name, "base")) / cost(done, name)
            if abs(ratio - 1) > SAME:
                once(file, name, seed, round(STEPS * ratio))


def once(file: Path, name: str, seed: int, steps: int) -> None:
    known = [r for r in runs_of(file) if (r["name"], r["seed"]) == (name, seed)]
    if any(r["steps"] == steps or (r["steps"] != STEPS and steps != STEPS) for r in known):
        return
    found = run_once(file.parent, name, seed, steps)
    with file.open("a") as lines:
        lines.write(json.dumps(found) + "\n")


def report(folder: Path) -> None:
    """The differences from the base, seed by seed, with a 95 % interval of Student's t."""
    done = runs_of(folder / "runs.jsonl")
    print("| variant | NELBO, nats/token | against the base, equal steps | cost of a step | equal time |")
    print("|---|---|---|---|---|")
    for name, (what, _) in VARIANTS.items():
        equal = {r["seed"]: r["nelbo"] for r in done if r["name"] == name and r["steps"] == STEPS}
        if not equal:
            continue
        timed = {r["seed"]: r["nelbo"] for r in done if r["name"] == name and r["steps"] != STEPS}
        against = COMPARED_WITH.get(name, "base")
        base = {r["seed"]: r["nelbo"] for r in done if r["name"] == against and r["steps"] == STEPS}
        ratio = cost(done, name) / cost(done, against)
        cells = [what, f"{mean(equal.values()):.3f}"]
        if name == against:
            print("|", " | ".join([*cells, "", "1", ""]), "|")
            continue
        cells += [difference(equal, base), f"{ratio:.2f}", difference(timed, base) if timed else "the same"]
        print("|", " | ".join(cells), "|")


def difference(these: dict[int, float], those: dict[int, float]) -> str:
    values = [these[seed] - those[seed] for seed in these.keys() & those.keys()]
    if len(values) < 2:
        return f"{values[0]:+.3f}" if values else "?"
    half = stats.t.ppf(0.975, len(values) - 1) * stdev(values) / math.sqrt(len(values))
    return f"{mean(values):+.3f} ± {half:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["run", "report"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", default=",".join(VARIANTS), metavar="NAMES")
    parser.add_argument("--seeds", default="0,1,2")
    options = parser.parse_args()
    if options.action == "report":
        return report(options.folder)
    try:
        run(options.folder, options.only.split(","), [int(seed) for seed in options.seeds.split(",")])
    except TextdiffError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
