#!/usr/bin/env python
"""Times a training step against the same step done the way others do it: alternating, in one process, on equal weights.

    python scripts/bench_training.py --shapes S,C,BERT --precisions fp32,bf16 --rounds 5
    python scripts/bench_training.py --memory S32
    python scripts/bench_training.py --device cuda --shapes S,H100 --precisions bf16 --rounds 20 --compile --compile-peer

The peers' methods are in scripts/peer_training.py, written from their papers. Before anything is timed, both ways must
give the same loss and the same gradients for the same corruption (relative error below 1e-5 in single precision, 1e-4 on a
GPU, where sums have no fixed order). Printed are the ratio of the median times, the range of the ratios of the single
rounds, our tokens per second, and the figures that do not move with the machine's load: rows through the output layer,
and the largest memory beyond what stood before (fresh processes). Rounds begin with the peer and with ours in turn.
--compile compiles our layers as training.torch_compile does, --compile-peer the peer's blocks; which of them were is told
with the times.
"""

from __future__ import annotations

from typing import Any

import torch
from bench_memory import compare_memory, peak_bytes
from bench_options import machine, memory_line, parsed, parser, show, timing_line, where
from bench_shapes import Shape, make_canvas, make_model, shape_named
from bench_timing import alternate, by_default
from peer_training import PeerBert, PeerDiT
from torch import Tensor

from textdiff.draws import Draws
from textdiff.objectives import NelboObjective, estimator_for, stratified
from textdiff.training import TrainingConfig
from textdiff.training.ema import ExponentialMovingAverage
from textdiff.training.optimizers import make_optimizers
from textdiff.training.step import TrainingStep


def level_of(shape: Shape, number: int, device: str) -> Tensor:
    return stratified(Draws.seeded(number, device), 0, shape.rows, shape.rows)


class Ours:
    """A step as `textdiff train` does it."""

    def __init__(self, shape: Shape, bf16: bool, device: str, compiled: bool = False) -> None:
        self.shape, self.device, config = shape, device, TrainingConfig()
        self.model = make_model(shape, device)
        self.step = TrainingStep(self.model, NelboObjective(), bf16)
        self.optimizers = make_optimizers(self.model, config)
        self.average = ExponentialMovingAverage(self.model)
        if compiled:
            self.model.backbone.compile_layers()

    def loss(self, number: int) -> Tensor:
        canvas = make_canvas(self.shape, number, self.device)
        report = self.step(canvas, level_of(self.shape, number, self.device))
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

    def __init__(self, shape: Shape, bf16: bool, device: str, compiled: bool = False) -> None:
        self.shape, self.bf16, self.device = shape, bf16, device
        self.model = make_model(shape, device)
        self.peer: Any = PeerBert(self.model) if shape.bert else PeerDiT(self.model, compiled)
        self.optimizer = self.peer.optimizer()

    def loss(self, number: int) -> Tensor:
        """On the very corruption that ours draws."""
        canvas = make_canvas(self.shape, number, self.device)
        found = estimator_for(self.model.process).corrupt(
            canvas, level_of(self.shape, number, self.device), Draws.seeded(canvas.seeds)
        )
        with torch.autocast(canvas.ids.device.type, dtype=torch.bfloat16, enabled=self.bf16):
            loss: Tensor = self.peer.loss(canvas.ids, found.x_t, found.t.float(), found.weight.float())
        return loss

    def __call__(self, number: int) -> None:
        self.loss(number).backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.peer.after_step()


def require_equal(shape: Shape, device: str) -> float:
    """How far loss and gradient differ, relatively; the two ways must agree before they are compared.

    Two rows are enough, so that both sides fit in memory at once.
    """
    shape = shape.with_rows(min(2, shape.rows))
    ours, theirs = Ours(shape, False, device), Theirs(shape, False, device)
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
    if worst > (1e-4 if device.startswith("cuda") else 1e-5):
        raise SystemExit(f"the two ways differ by {worst:.1e}: they do not do the same work")
    return worst


def compare(
    name: str, shape: Shape, bf16: bool, rounds: int, device: str, compiled: bool, peer_compiled: bool
) -> dict[str, Any]:
    if peer_compiled and shape.bert:
        raise SystemExit("--compile-peer is for our own network; leave the BERT shapes out")
    worst = require_equal(shape, device)
    ours, theirs = Ours(shape, bf16, device, compiled), Theirs(shape, bf16, device, peer_compiled)
    pairs = alternate(by_default(theirs), ours, rounds, warm_up=2, device=device).plain
    canvas = make_canvas(shape, 2, device)
    corruption = estimator_for(ours.model.process).corrupt(
        canvas, level_of(shape, 2, device), Draws.seeded(canvas.seeds)
    )
    return {
        "bench": "training",
        "shape": name,
        "precision": "bf16" if bf16 else "fp32",
        "peer": theirs.peer.name,
        "our_compiled": compiled,
        "peer_compiled": peer_compiled,
        **pairs,
        "our_tokens_per_second": shape.tokens / pairs["our_seconds"],
        "peer_tokens_per_second": shape.tokens / pairs["peer_seconds"],
        "peer_rows": shape.tokens,
        "our_rows": int(corruption.where.sum()),
        "gradients_differ_by": worst,
    }


def main() -> None:
    options = parsed(parser(__doc__, shapes="S,C,BERT", memory="S32"))
    device, as_json = options.device, options.json
    if options.peak:
        shape = shape_named(options.shapes, options.rows)
        make = (
            (lambda: Ours(shape, False, device))
            if options.peak == "ours"
            else (lambda: by_default(Theirs(shape, False, device)))
        )
        print(peak_bytes(make, device))
        return
    if options.memory:
        shape = shape_named(options.memory, options.rows)
        asked = ["--shapes", options.memory, "--rows", str(shape.rows), *where(options)]
        row = {"bench": "training-memory", "shape": options.memory, **compare_memory(__file__, asked)}
        show(row, memory_line(row), as_json)
        return
    if not as_json:
        print(machine(device, options.threads))
        print(
            "shape  precision  peer   ratio  (lowest - highest)   seconds: peer, ours   rows: peer, ours   our tokens/s"
        )
    for name in options.shapes.split(","):
        for precision in options.precisions.split(","):
            shape = shape_named(name, options.rows)
            compiled = options.compile, options.compile_peer
            row = compare(name, shape, precision == "bf16", options.rounds, device, *compiled)
            line = (
                f"{name:6} {precision:10} {row['peer']:6} {timing_line(row)}  "
                f"{row['peer_rows']}, {row['our_rows']}  {row['our_tokens_per_second']:,.0f}"
            )
            show(row, line, as_json)


if __name__ == "__main__":
    main()
