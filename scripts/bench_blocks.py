#!/usr/bin/env python
"""What a cache of keys and values saves while texts are written block after block, and what it costs in quality.

    python scripts/bench_blocks.py FILE… [-m MODEL] [--sizes 16,32] [--caches prefix,dual] [--rounds 3]

FILE: held-out texts (.gz and .xz too). Each row goes on from a passage of theirs. Both ways run in turn, with and without
cache, on the same weights. Printed for each size of block and each cache are

- the ratio of the median times of `llada` (the surest token first, one in each network call, temperature 0), its range over
  the rounds, and the positions that went through the network;
- the part of the tokens that are the same with and without cache, at temperature 0;
- what true blocks cost under the law that they are drawn from: nats per token without cache, and what the cache adds, with
  its standard error (the same noise for both);
- nats per token, under the model without cache, of texts drawn at temperature 1 with and without cache.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from bench_options import machine
from bench_timing import alternate
from torch import Tensor

import textdiff
from textdiff.corpus import load_corpus
from textdiff.evaluation.generation.excerpts import Excerpt, take_excerpts
from textdiff.infiller import Infiller
from textdiff.infiller.blocks import block_denoiser
from textdiff.infiller.caching import Cache
from textdiff.infiller.cutting import Block, Blocks
from textdiff.infiller.going_on import go_on
from textdiff.infiller.ranking import written_nats
from textdiff.objectives import position_nats, spread_levels
from textdiff.sampling import Sampler, preset
from textdiff.text.canvas import Canvas

SEED = 5


@dataclass(frozen=True)
class Bench:
    """What all rows of the table have in common."""

    infiller: Infiller
    excerpts: list[Excerpt]
    held_out: list[Excerpt]
    new: int
    repeats: int

    def written(self, sampler: Sampler, size: int, cache: Cache | None, seed: int = SEED) -> Tensor:
        """The texts, prompts and all: Long [B, L]."""
        model, tokenizer = self.infiller.model, self.infiller.tokenizer
        given = [[*tokenizer.prefix_ids, *excerpt.prompt] for excerpt in self.excerpts]
        blocks = Blocks.of(model, size, len(given[0]) + self.new, cache)
        return go_on(model, tokenizer, sampler, given, self.new, seed, blocks=blocks).ids

    def nats_of(self, ids: Tensor) -> tuple[float, float]:
        """Per token that was written, under the model as it is, with the standard error over rows."""
        frozen = torch.arange(ids.shape[1]).expand(ids.shape) < ids.shape[1] - self.new
        canvas = Canvas(ids, frozen, torch.ones_like(frozen), torch.arange(len(ids)))
        return mean_of(written_nats(self.infiller.model, canvas).sum(-1) / self.new)

    def block_nats(self, size: int, cache: Cache | None) -> Tensor:
        """Of the first true block behind each prompt: nats per token, float64 [B]."""
        model, tokenizer = self.infiller.model, self.infiller.tokenizer
        rows = [[*tokenizer.prefix_ids, *excerpt.prompt, *excerpt.rest[:size]] for excerpt in self.held_out]
        blocks = Blocks.of(model, size, len(rows[0]) + self.new - size, cache)
        assert blocks is not None
        block = next(blocks.cut(len(rows[0]) - size, len(rows[0]) + self.new - size))
        ids = torch.tensor(rows)[:, block.first :]
        frozen = torch.arange(ids.shape[1]).expand(ids.shape) < ids.shape[1] - size
        canvas = Canvas(ids, frozen, torch.ones_like(frozen), torch.arange(len(ids)))

        def denoise(x_t: Tensor, t: Tensor, canvas: Canvas, where: Tensor) -> Tensor:
            return self._second_look(block, cache, x_t, t, canvas, where)

        levels = spread_levels(0, len(ids), self.repeats, SEED)
        return position_nats(denoise, model.process, canvas, levels, SEED).sum(-1) / size

    def _second_look(
        self, block: Block, cache: Cache | None, x_t: Tensor, t: Tensor, canvas: Canvas, where: Tensor
    ) -> Tensor:
        """What is said of a block after its surroundings were read with nothing but noise in it."""
        denoise, canvas = block_denoiser(block, cache, None, self.infiller.model, canvas)
        if cache is not None:
            denoise(
                torch.where(canvas.free, self.infiller.model.vocabulary.mask_id, x_t),
                torch.ones_like(t),
                canvas,
                canvas.free,
            )
        return denoise(x_t, t, canvas, where)

    @contextmanager
    def positions(self) -> Iterator[list[int]]:
        """A list to which the positions of every network call are added."""
        seen: list[int] = []
        first = self.infiller.model.backbone.repeated()[0]
        watch = first.attention.qkv.register_forward_hook(  # type: ignore[union-attr, operator]
            lambda module, inputs, output: seen.append(output.shape[0] * output.shape[1])
        )
        try:
            yield seen
        finally:
            watch.remove()

    def row(self, size: int, cache: Cache, rounds: int) -> dict[str, Any]:
        greedy, free = (replace(preset(name), steps=size) for name in ("llada", "ancestral"))
        pairs = alternate(
            lambda number: self.written(greedy, size, None, number),
            lambda number: self.written(greedy, size, cache, number),
            rounds,
            warm_up=0,
        ).plain
        counts, texts = [], []
        for kept in (None, cache):
            with self.positions() as seen:
                texts.append(self.written(greedy, size, kept)[:, -self.new :])
            counts.append(sum(seen))
        exact = self.block_nats(size, None)
        lost = mean_of(self.block_nats(size, cache) - exact)
        drawn = [self.nats_of(self.written(free, size, kept)) for kept in (None, cache)]
        return {
            "bench": "blocks-cache",
            "cache": cache,
            "block_size": size,
            "rows": len(self.excerpts),
            "new_tokens": self.new,
            "prompt_tokens": len(self.excerpts[0].prompt),
            **pairs,
            "positions": counts[1],
            "positions_without": counts[0],
            "same_tokens": float((texts[0] == texts[1]).double().mean()),
            "held_out_nats": mean_of(exact),
            "cache_adds": lost,
            "drawn_nats_without": drawn[0],
            "drawn_nats": drawn[1],
        }


def mean_of(values: Tensor) -> tuple[float, float]:
    """The mean of independent values and its standard error."""
    return float(values.mean()), float(values.std() / len(values) ** 0.5)


def line(row: dict[str, Any]) -> str:
    pair = "{:.3f} ± {:.3f}".format
    return (
        f"{row['cache']:6}  {row['block_size']:5}  {row['ratio']:5.2f} ({row['lowest']:.2f} - {row['highest']:.2f})  "
        f"{row['positions_without']}, {row['positions']}  {row['same_tokens']:.3f}  "
        f"{pair(*row['held_out_nats'])}  {row['cache_adds'][0]:+.4f} ± {row['cache_adds'][1]:.4f}  "
        f"{pair(*row['drawn_nats_without'])}  {pair(*row['drawn_nats'])}"
    )


def main() -> None:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("files", type=Path, nargs="+", metavar="FILE")
    made.add_argument("-m", "--model", default="default")
    made.add_argument("--sizes", default="16,32", help="of blocks, parted by commas")
    made.add_argument("--caches", default="prefix,dual")
    made.add_argument("--rows", type=int, default=8, help="texts that are written (8)")
    made.add_argument("--prompt", type=int, default=128, help="tokens before them (128)")
    made.add_argument("--new", type=int, default=96, help="tokens that are written (96)")
    made.add_argument("--cases", type=int, default=64, help="true blocks whose cost is measured (64)")
    made.add_argument("--repeats", type=int, default=8, help="noise levels for the cost of a true block (8)")
    made.add_argument("--rounds", type=int, default=3)
    made.add_argument("--json", action="store_true", help="a line of JSON for each row of the table")
    options = made.parse_args()
    infiller = textdiff.load(options.model)
    texts = [*load_corpus(options.files, "file", "text")]
    excerpts, held_out = (
        take_excerpts(texts, infiller.tokenizer, count, options.prompt, options.new)
        for count in (options.rows, options.cases)
    )
    bench = Bench(infiller, excerpts, held_out, options.new, options.repeats)
    if not options.json:
        print(machine("cpu", torch.get_num_threads()))
        print(
            "cache   block   faster (range)   positions: without, with   same tokens   true blocks, nats per token   "
            "the cache adds   drawn texts, nats per token: without, with"
        )
    for cache in options.caches.split(","):
        for size in map(int, options.sizes.split(",")):
            row = bench.row(size, cache, options.rounds)
            print(json.dumps(row) if options.json else line(row), flush=True)


if __name__ == "__main__":
    main()
