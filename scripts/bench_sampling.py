#!/usr/bin/env python
"""Times sampling against the ways others do it: alternating, in one process.

    python scripts/bench_sampling.py --shapes S --steps 8,32 --precisions fp32,bf16 --rounds 5
    python scripts/bench_sampling.py --peer duo --shapes S --steps 8
    python scripts/bench_sampling.py --peer llada --shapes S --steps 24
    python scripts/bench_sampling.py --peer gpt2 --shapes S256 --rows 1 --steps 16
    python scripts/bench_sampling.py --peer duo --memory S16
    python scripts/bench_sampling.py --device cuda --shapes H100 --rows 1 --steps 1000 --precisions bf16 --rounds 3 --graphs

--peer is whose method it is, written from its paper over the weights of our own network (scripts/peer_*.py):

- mdlm: ancestral sampling of masks, with its cache; duo: the same of uniform noise;
- llada: the surest tokens first, in four blocks of which one is the prompt, at temperature 0; llada-drawn: at temperature 1;
- gpt2: text from left to right with a cache, by Hugging Face's `generate`; gpt2-lean: by a loop with nothing but the work.

Before anything is timed, both ways must draw from a law that is worked out in full on a small model (chi-square, 20,000
rows, error rate 1e-4), or at temperature 0 write the same tokens, and read the same probabilities off the network of the
shape. Text from left to right is another network of the same size. The weights are cast to bfloat16 once for both; the law
and its draws never are. Printed are the ratio of the median times, the range of the ratios of the single rounds, the
figures that do not move with the machine's load (rows through the output layer, and rows of the batch through the
network), and the largest memory (fresh processes), without that of the weights.
"""

from __future__ import annotations

from typing import Any

from bench_matches import MATCHES, Match, Ways
from bench_memory import compare_memory, peak_bytes
from bench_options import machine, memory_line, parsed, parser, show, timing_line, where
from bench_shapes import Shape, shape_named
from bench_timing import alternate, by_default
from torch import Tensor

MEMORY_STEPS = 8
WARM_UP_STEPS = 8


def compare(match: Match, shape: Shape, steps: int, bf16: bool, rounds: int, device: str, ways: Ways) -> dict[str, Any]:
    checked = match.check(shape, steps, device)
    theirs, ours = match.sides(shape, bf16, device, ways)
    prompt = match.prompt(shape, device)
    for side in (theirs, ours):
        side.sample(prompt, shape.length, min(steps, WARM_UP_STEPS), rounds)
        side.calls = side.rows = 0
    pairs = alternate(
        by_default(lambda number: theirs.sample(prompt, shape.length, steps, number)),
        lambda number: ours.sample(prompt, shape.length, steps, number),
        rounds,
        0,
        device,
    ).plain
    written = shape.rows * (shape.length - prompt.shape[1])
    return {
        "bench": "sampling",
        "rows": shape.rows,
        "steps": steps,
        "precision": "bf16" if bf16 else "fp32",
        "peer": theirs.name,
        "our_compiled": ways.compiled,
        "peer_compiled": ways.peer_compiled,
        "our_graphs": ways.graphs,
        **pairs,
        "our_tokens_per_second": written / pairs["our_seconds"],
        "peer_tokens_per_second": written / pairs["peer_seconds"],
        "peer_rows": theirs.rows // rounds,
        "our_rows": ours.rows // rounds,
        "peer_calls": theirs.calls * shape.rows // rounds,
        "our_calls": ours.calls // rounds,
        **checked,
    }


def peak(match: Match, shape: Shape, side: str, device: str) -> int:
    """Bytes at most while a side writes, beyond those of the network."""
    theirs, ours = match.sides(shape, False, device, Ways())
    prompt, sampler = match.prompt(shape, device), ours if side == "ours" else theirs

    def work(number: int) -> Tensor:
        return sampler.sample(prompt, shape.length, MEMORY_STEPS, number)

    return peak_bytes(lambda: work, device)


def main() -> None:
    made = parser(__doc__, shapes="S", memory="S16")
    made.add_argument("--peer", choices=MATCHES, default="mdlm", help="whose method")
    made.add_argument(
        "--graphs", action="store_true", help="our side's layers run as CUDA graphs, as with --graphs in textdiff"
    )
    made.add_argument("--steps", default="8,32", help="numbers of steps, parted by commas")
    options = parsed(made)
    device, as_json, match = options.device, options.json, MATCHES[options.peer]
    if options.peak:
        print(peak(match, shape_named(options.shapes, options.rows), options.peak, device))
        return
    if options.memory:
        shape = shape_named(options.memory, options.rows)
        asked = ["--peer", options.peer, "--shapes", options.memory, "--rows", str(shape.rows), *where(options)]
        row = {
            "bench": "sampling-memory",
            "peer": options.peer,
            "shape": options.memory,
            **compare_memory(__file__, asked),
        }
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
                ways = Ways(options.compile, options.compile_peer, options.graphs)
                row = {
                    "shape": name,
                    **compare(match, shape, steps, precision == "bf16", options.rounds, device, ways),
                }
                line = (
                    f"{name:6} {shape.rows:3} x {shape.length:5}  {steps:7}  {precision:8} {timing_line(row)}  "
                    f"{row['peer_rows']}, {row['our_rows']}  {row['peer_calls']}, {row['our_calls']}"
                    f"{'  our layers as CUDA graphs' * row['our_graphs']}"
                )
                show(row, line, as_json)


if __name__ == "__main__":
    main()
