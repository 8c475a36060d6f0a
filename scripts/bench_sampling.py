#!/usr/bin/env python
"""Times ancestral sampling against the way others do it: alternating, in one process, on equal weights.

    python scripts/bench_sampling.py --shapes S --steps 8,32 --precisions fp32,bf16 --rounds 5
    python scripts/bench_sampling.py --memory S16
    python scripts/bench_sampling.py --device cuda --shapes H100 --rows 1 --steps 1000 --precisions bf16 --rounds 3

The peer's method is in scripts/peer_sampling.py, written from its paper. Before anything is timed, both ways must draw from
the law of the chain on a model so small that it can be worked out (chi-square, 20,000 rows, error rate 1e-4), and the two
must read the same probabilities off the network of the shape. The weights are cast to bfloat16 once for both; the law and
its draws never are. Printed are the ratio of the median times, the range of the ratios of the single rounds, the figures
that do not move with the machine's load (rows through the output layer, and rows of the batch through the network), and
the largest memory (fresh processes).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from bench_laws import SMALL, require_law, sharpened
from bench_memory import compare_memory, peak_bytes
from bench_options import machine, memory_line, parsed, parser, show, timing_line, where
from bench_shapes import MASK, Shape, make_canvas, make_model, shape_named
from bench_timing import alternate
from peer_network import PeerNetwork
from peer_sampling import PeerSampler
from torch import Tensor

from textdiff.backbones import DiT
from textdiff.model import DiffusionModel
from textdiff.sampling import preset
from textdiff.text.canvas import Canvas

MEMORY_STEPS = 8


@dataclass
class Ours:
    """Sampling as `textdiff generate` does it. `calls` counts rows of the batch, `rows` positions that were scored."""

    model: DiffusionModel
    calls: int = 0
    rows: int = 0

    def denoise(self, x_t: Tensor, t: Tensor, canvas: Canvas, where: Tensor) -> Tensor:
        logits = self.model.denoise(x_t, t, canvas, where)
        self.calls, self.rows = self.calls + len(x_t), self.rows + len(logits)
        return logits

    def sample(self, rows: int, length: int, steps: int, seed: int) -> Tensor:
        """Text from nothing: Long [rows, length]."""
        sampler = replace(preset("ancestral"), steps=steps)
        nothing = torch.zeros(rows, length, dtype=torch.bool)
        seeds = torch.arange(rows) + (seed << 20)
        canvas = Canvas(torch.full((rows, length), MASK), nothing, ~nothing, seeds).to(self.model.device)
        return sampler.sample(self.denoise, self.model.process, canvas).ids


def network(shape: Shape, bf16: bool, device: str) -> DiffusionModel:
    """Not told the time, as caching needs it."""
    model = make_model(replace(shape, times=False), device).eval().requires_grad_(False)
    return model.to(torch.bfloat16) if bf16 else model


@torch.no_grad()
def require_equal(shape: Shape, device: str) -> float:
    """How far the probabilities differ that both read off the network, at most; single precision, two half-masked rows."""
    shape = shape.with_rows(min(2, shape.rows))
    model = network(shape, False, device)
    canvas = make_canvas(shape, 1, device)
    x_t = canvas.ids.clone()
    x_t[:, ::2] = MASK
    time = torch.full((shape.rows,), 0.5, device=device)
    masked = x_t == MASK
    ours = model.denoise(x_t, time, canvas, masked).softmax(-1)
    worst = float((ours - PeerNetwork(model).log_p(x_t, time)[masked].exp()).abs().amax() / ours.amax())
    if worst > 1e-4:
        raise SystemExit(f"the two ways read the network differently, by {worst:.1e}: they do not do the same work")
    return worst


def laws(device: str) -> dict[str, float]:
    """The p-values of both ways on the small model."""
    sides = {
        "the peer's method": lambda model, shape, steps, seed: PeerSampler(model).sample(
            shape.rows, shape.length, steps, seed
        ),
        "our sampler": lambda model, shape, steps, seed: Ours(model).sample(shape.rows, shape.length, steps, seed),
    }
    return require_law(sides, sharpened(network(SMALL, False, device)))


def compare(
    name: str,
    shape: Shape,
    steps: int,
    bf16: bool,
    rounds: int,
    device: str,
    compiled: bool,
    peer_compiled: bool,
) -> dict[str, Any]:
    worst, (peer_p, our_p) = require_equal(shape, device), laws(device).values()
    model = network(shape, bf16, device)
    theirs, ours = PeerSampler(model, peer_compiled), Ours(network(shape, bf16, device) if compiled else model)
    if compiled:
        compile_blocks(ours.model)
    warm_up = 1
    pairs = alternate(
        lambda number: theirs.sample(shape.rows, shape.length, steps, number),
        lambda number: ours.sample(shape.rows, shape.length, steps, number),
        rounds,
        warm_up,
        device,
    ).plain
    runs = rounds + warm_up
    return {
        "bench": "sampling",
        "shape": name,
        "rows": shape.rows,
        "steps": steps,
        "precision": "bf16" if bf16 else "fp32",
        "peer": theirs.name,
        "our_compiled": compiled,
        "peer_compiled": peer_compiled,
        **pairs,
        "our_tokens_per_second": shape.tokens / pairs["our_seconds"],
        "peer_tokens_per_second": shape.tokens / pairs["peer_seconds"],
        "peer_rows": theirs.rows // runs,
        "our_rows": ours.rows // runs,
        "peer_calls": theirs.calls * shape.rows // runs,
        "our_calls": ours.calls // runs,
        "probabilities_differ_by": worst,
        "peer_p_value": peer_p,
        "our_p_value": our_p,
    }


def peak(shape: Shape, side: str, device: str) -> int:
    def work(number: int) -> Tensor:
        return made.sample(shape.rows, shape.length, MEMORY_STEPS, number)

    def make() -> Any:
        nonlocal made
        made = (Ours if side == "ours" else PeerSampler)(network(shape, False, device))
        return work

    made: Any = None
    return peak_bytes(make, device)


def compile_blocks(model: DiffusionModel) -> None:
    """Compiles all Transformer blocks but the last, which runs on another number of rows in each step."""
    if not isinstance(model.backbone, DiT):
        raise SystemExit("--compile is for our own network; leave the BERT shapes out")
    for block in model.backbone.blocks[:-1]:
        block.compile()


def main() -> None:
    made = parser(__doc__, shapes="S", memory="S16")
    made.add_argument("--steps", default="8,32", help="numbers of steps, parted by commas")
    options = parsed(made)
    device, as_json = options.device, options.json
    if options.peak:
        print(peak(shape_named(options.shapes, options.rows), options.peak, device))
        return
    if options.memory:
        shape = shape_named(options.memory, options.rows)
        asked = ["--shapes", options.memory, "--rows", str(shape.rows), *where(options)]
        row = {"bench": "sampling-memory", "shape": options.memory, **compare_memory(__file__, asked)}
        show(row, memory_line(row), as_json)
        return
    if not as_json:
        print(machine(device, options.threads))
        print(
            "shape  rows x length  steps  precision   ratio  (lowest - highest)   seconds: peer, ours   "
            "scored: peer, ours   rows through the network: peer, ours"
        )
    for name in options.shapes.split(","):
        shape = shape_named(name, options.rows)
        if shape.bert:
            made.error(f"{name}: sampling is compared on our own network only")
        for steps in map(int, options.steps.split(",")):
            for precision in options.precisions.split(","):
                compiled = options.compile, options.compile_peer
                row = compare(name, shape, steps, precision == "bf16", options.rounds, device, *compiled)
                line = (
                    f"{name:6} {shape.rows:3} x {shape.length:5}  {steps:7}  {precision:8} {timing_line(row)}  "
                    f"{row['peer_rows']}, {row['our_rows']}  {row['peer_calls']}, {row['our_calls']}"
                )
                show(row, line, as_json)


if __name__ == "__main__":
    main()
