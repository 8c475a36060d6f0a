#!/usr/bin/env python
"""Times texts of a model that reads block by block against BD3-LM's way without a cache: alternating, on equal weights.

    python scripts/bench_block_models.py --shapes S --rows 1 --block-size 16 --rounds 3

Both write one token in each network call (first hitting), from nothing, the whole length of the shape. The peer's method
is in scripts/peer_blocks.py, written from its paper. Before anything is timed, both must read the same probabilities off
the network. Printed are the ratio of the median times, its range over the rounds, and the positions that went through the
network. Single precision.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from bench_options import machine, parsed, parser, show
from bench_shapes import MASK, Shape, make_model, shape_named
from bench_timing import alternate
from peer_blocks import PeerBlocks
from torch import Tensor

from textdiff.infiller.blocks import write_blocks
from textdiff.infiller.cutting import Blocks
from textdiff.model import DiffusionModel
from textdiff.processes import BlockProcess
from textdiff.sampling import TokenClasses, preset
from textdiff.text.canvas import Canvas


def network(shape: Shape, block_size: int) -> DiffusionModel:
    ordinary = make_model(replace(shape, times=False))
    process = BlockProcess(ordinary.vocabulary, block_size=block_size)
    model = DiffusionModel.of(ordinary.backbone.config, process, shape.length)
    model.load_state_dict(ordinary.state_dict())
    return model.eval().requires_grad_(False)


def ours(model: DiffusionModel, shape: Shape, seed: int) -> Tensor:
    """Text from nothing: Long [rows, length]."""
    nothing = torch.zeros(shape.rows, shape.length, dtype=torch.bool)
    ids = torch.full((shape.rows, shape.length), MASK)
    canvas = Canvas(ids, nothing, ~nothing, torch.arange(shape.rows) + (seed << 20))
    blocks = Blocks.of(model, None, shape.length)
    assert blocks is not None
    table = model.vocabulary.writable().unsqueeze(0)
    every = lambda part: TokenClasses(table, torch.zeros_like(part.ids))  # noqa: E731
    return write_blocks(model, preset("first_hitting"), canvas, blocks, every).ids


@torch.no_grad()
def require_equal(model: DiffusionModel, shape: Shape) -> float:
    """How far the log-probabilities of the last block differ, at most."""
    size = model.process.causal_blocks or 1
    start = (shape.length - 1) // size * size
    ids = torch.randint(1, shape.ids, (1, shape.length), generator=torch.Generator().manual_seed(1))
    place = torch.arange(shape.length).unsqueeze(0)
    x_t = ids.masked_fill(place >= start, MASK)
    canvas = Canvas(x_t, place < start, place >= 0, torch.zeros(1, dtype=torch.long))
    mine = model.denoise(x_t, torch.ones(1), canvas, place >= start).log_softmax(-1)
    theirs = PeerBlocks(model).log_p(x_t, start)[0]
    worst = float((mine[:, 1:] - theirs[:, 1:]).abs().max())
    if worst > 1e-3:
        raise SystemExit(f"the two ways read the network differently, by {worst:.1e}: they do not do the same work")
    return worst


def row(name: str, shape: Shape, block_size: int, rounds: int) -> dict[str, Any]:
    model = network(shape, block_size)
    worst, peer, read = require_equal(model, shape), PeerBlocks(model), 0

    def count(module: object, inputs: object, output: Tensor) -> None:
        nonlocal read
        read += output.shape[0] * output.shape[1]

    watch = model.backbone.blocks[0].attention.qkv.register_forward_hook(count)  # type: ignore[union-attr, index]
    ours(model, shape, 0)
    watch.remove()
    pairs = alternate(
        lambda number: peer.sample(shape.rows, shape.length, number),
        lambda number: ours(model, shape, number),
        rounds,
        warm_up=0,
    ).plain
    return {
        "bench": "block-models",
        "shape": name,
        "rows": shape.rows,
        "length": shape.length,
        "block_size": block_size,
        "peer": peer.name,
        **pairs,
        "peer_positions": peer.positions // rounds,
        "our_positions": read,
        "log_p_differ_by": worst,
    }


def main() -> None:
    made = parser(__doc__, shapes="S", memory="S")
    made.add_argument("--block-size", type=int, default=16)
    options = parsed(made)
    if not options.json:
        print(machine("cpu", options.threads))
        print("shape  rows x length  block   ratio  (lowest - highest)   seconds: peer, ours   positions: peer, ours")
    for name in options.shapes.split(","):
        shape = shape_named(name, options.rows)
        if shape.bert:
            made.error(f"{name}: our own network only")
        found = row(name, shape, options.block_size, options.rounds)
        line = (
            f"{name:6} {shape.rows:3} x {shape.length:5}  {options.block_size:5}  {found['ratio']:6.2f}  "
            f"({found['lowest']:.2f} - {found['highest']:.2f})  {found['peer_seconds']:.3f}, {found['our_seconds']:.3f}  "
            f"{found['peer_positions']}, {found['our_positions']}"
        )
        show(found, line, options.json)


if __name__ == "__main__":
    main()
