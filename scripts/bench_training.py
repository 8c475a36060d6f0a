"""Times a training step against the same step done the way others do it: alternating, in one process, on equal weights.

    python scripts/bench_training.py --shapes S,C,BERT --precisions fp32,bf16 --rounds 5
    python scripts/bench_training.py --memory S32

The peers' methods are in scripts/peer_training.py, written from their papers. Before anything is timed, both ways must
give the same loss and the same gradients for the same corruption (relative error below 1e-5 in single precision).
Printed are the ratio of the median times, the range of the ratios of the single rounds, and the figures that do not move
with the machine's load: rows through the output layer, and the largest memory beyond what stood before (fresh processes).
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
from peer_training import PeerBert, PeerDiT
from torch import Tensor

from textdiff.backbones import BackboneConfig, DiTConfig, PretrainedBackboneConfig
from textdiff.draws import Draws
from textdiff.model import DiffusionModel
from textdiff.objectives import NelboObjective, estimator_for, stratified
from textdiff.processes import AbsorbingProcess
from textdiff.text.canvas import Canvas
from textdiff.training import TrainingConfig
from textdiff.training.ema import ExponentialMovingAverage
from textdiff.training.optimizers import make_optimizers
from textdiff.training.step import TrainingStep
from textdiff.vocabulary import Vocabulary


@dataclass(frozen=True)
class Shape:
    """A network and a batch."""

    layers: int
    width: int
    heads: int
    ids: int
    length: int
    rows: int
    bert: bool = False

    def backbone(self) -> BackboneConfig:
        if not self.bert:
            return DiTConfig(
                self.width,
                self.layers,
                self.heads,
                time_embedding="sinusoidal",
                given_embedding=False,
                tie_word_embeddings=False,
            )
        network = {
            "model_type": "bert", "vocab_size": self.ids, "hidden_size": self.width, "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads, "intermediate_size": 4 * self.width, "hidden_dropout_prob": 0.0,
            "attention_probs_dropout_prob": 0.0,
        }  # fmt: skip
        return PretrainedBackboneConfig(network=network)


SHAPES = {
    "S": Shape(6, 384, 6, 50_258, 128, 8),
    "S32": Shape(6, 384, 6, 50_258, 128, 32),
    "M": Shape(12, 768, 12, 50_258, 256, 8),
    "C": Shape(6, 384, 6, 28, 128, 8),
    "BERT": Shape(6, 384, 12, 30_522, 128, 8, bert=True),
    "toy": Shape(2, 32, 2, 61, 16, 4),
    "toy-BERT": Shape(2, 32, 2, 61, 16, 4, bert=True),
}


def make_model(shape: Shape) -> DiffusionModel:
    torch.manual_seed(0)
    vocabulary = Vocabulary(size=shape.ids, special_ids=(0,), mask_id=0, pad_id=0)
    model = DiffusionModel.of(shape.backbone(), AbsorbingProcess(vocabulary), shape.length)
    with torch.no_grad():  # what starts at zero would hide errors
        for parameter in model.parameters():
            if not parameter.any():
                parameter.normal_(std=0.02)
    return model.train()


def make_canvas(shape: Shape, number: int) -> Canvas:
    ids = torch.randint(1, shape.ids, (shape.rows, shape.length), generator=torch.Generator().manual_seed(number))
    nothing = torch.zeros_like(ids, dtype=torch.bool)
    return Canvas(ids, nothing, ~nothing, torch.arange(shape.rows) + 1_000 * number)


def level_of(shape: Shape, number: int) -> Tensor:
    return stratified(Draws.seeded(number), 0, shape.rows, shape.rows)


class Ours:
    """A step as `textdiff train` does it."""

    def __init__(self, shape: Shape, bf16: bool) -> None:
        self.shape, self.model, config = shape, make_model(shape), TrainingConfig()
        self.step = TrainingStep(self.model, NelboObjective(), bf16)
        self.optimizers = make_optimizers(self.model, config)
        self.average = ExponentialMovingAverage(self.model)

    def loss(self, number: int) -> Tensor:
        report = self.step(make_canvas(self.shape, number), level_of(self.shape, number))
        return report.loss / report.tokens

    def __call__(self, number: int) -> None:
        self.loss(number).backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.average.update(0.9999)


class Theirs:
    """A step by a peer's method, on a copy of the same weights."""

    def __init__(self, shape: Shape, bf16: bool) -> None:
        self.shape, self.bf16 = shape, bf16
        self.model = make_model(shape)
        self.peer: Any = (PeerBert if shape.bert else PeerDiT)(self.model)
        self.optimizer = self.peer.optimizer()

    def loss(self, number: int) -> Tensor:
        """On the very corruption that ours draws."""
        canvas = make_canvas(self.shape, number)
        found = estimator_for(self.model.process).corrupt(
            canvas, level_of(self.shape, number), Draws.seeded(canvas.seeds)
        )
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.bf16):
            loss: Tensor = self.peer.loss(canvas.ids, found.x_t, found.t.float(), found.weight.float())
        return loss

    def __call__(self, number: int) -> None:
        self.loss(number).backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.peer.after_step()


def require_equal(shape: Shape) -> float:
    """How far loss and gradient differ, relatively; the two ways must agree before they are compared."""
    ours, theirs = Ours(shape, bf16=False), Theirs(shape, bf16=False)
    losses = [side.loss(1) for side in (ours, theirs)]
    for loss in losses:
        loss.backward()
    square = difference = 0.0
    for (name, a), b in zip(ours.model.named_parameters(), theirs.model.parameters(), strict=True):
        if (a.grad is None) != (b.grad is None):
            raise SystemExit(f"only one of the two ways has a gradient of {name}")
        if a.grad is not None and b.grad is not None:
            square, difference = square + float(b.grad.norm()) ** 2, difference + float((a.grad - b.grad).norm()) ** 2
    worst = max(abs(losses[0].item() / losses[1].item() - 1), (difference / square) ** 0.5)
    if worst > 1e-5:
        raise SystemExit(f"the two ways differ by {worst:.1e}: they do not do the same work")
    return worst


def timed(step: Callable[[int], None], number: int) -> float:
    began = time.perf_counter()
    step(number)
    return time.perf_counter() - began


def compare(name: str, bf16: bool, rounds: int) -> dict[str, Any]:
    shape = SHAPES[name]
    worst = require_equal(shape)
    ours, theirs = Ours(shape, bf16), Theirs(shape, bf16)
    for number in range(2):
        ours(number), theirs(number)
    pairs = [(timed(theirs, n), timed(ours, n)) for n in range(2, 2 + rounds)]
    ratios = sorted(a / b for a, b in pairs)
    canvas = make_canvas(shape, 2)
    scored = estimator_for(ours.model.process).corrupt(canvas, level_of(shape, 2), Draws.seeded(canvas.seeds)).where
    return {
        "shape": name,
        "precision": "bf16" if bf16 else "fp32",
        "peer": theirs.peer.name,
        "ratio": median(a for a, _ in pairs) / median(b for _, b in pairs),
        "lowest": ratios[0],
        "highest": ratios[-1],
        "peer_seconds": median(a for a, _ in pairs),
        "our_seconds": median(b for _, b in pairs),
        "peer_rows": shape.rows * shape.length,
        "our_rows": int(scored.sum()),
        "gradients_differ_by": worst,
    }


def peak(name: str, side: str) -> int:
    """Bytes at most of a process that does two steps, beyond those of one that only imported."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    step: Callable[[int], None] = Ours(SHAPES[name], False) if side == "ours" else Theirs(SHAPES[name], False)
    for number in range(2):
        step(number)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024


def memory(name: str) -> dict[str, Any]:
    sides = {}
    for side in ("ours", "theirs"):
        command = [sys.executable, __file__, "--peak", side, "--shapes", name]
        sides[side] = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return {"shape": name, "peak_bytes": sides, "ratio": sides["theirs"] / sides["ours"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", default="S,C,BERT")
    parser.add_argument("--precisions", default="fp32,bf16")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument(
        "--memory", metavar="SHAPE", help="compare the memory of a step of this shape, and nothing else"
    )
    parser.add_argument("--peak", choices=("ours", "theirs"), help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.peak:
        print(peak(options.shapes, options.peak))
        return
    if options.memory:
        found = memory(options.memory)
        text = f"{found['shape']}: memory {found['ratio']:.2f} times less ({found['peak_bytes']})"
        print(json.dumps(found) if options.json else text)
        return
    if not options.json:
        print(f"{platform.machine()}, {options.threads} threads, torch {torch.__version__}")
        print("shape  precision  peer   ratio  (lowest - highest)   seconds: peer, ours   rows: peer, ours")
    for name in options.shapes.split(","):
        for precision in options.precisions.split(","):
            row = compare(name, precision == "bf16", options.rounds)
            line = (
                f"{row['shape']:6} {row['precision']:10} {row['peer']:6} {row['ratio']:5.2f}  ({row['lowest']:.2f} - "
                f"{row['highest']:.2f})  {row['peer_seconds']:.3f}, {row['our_seconds']:.3f}  "
                f"{row['peer_rows']}, {row['our_rows']}"
            )
            print(json.dumps(row) if options.json else line, flush=True)


if __name__ == "__main__":
    main()
