"""Pairs of a source and its target as tokens, and the batches made of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from textdiff.corpus import Pair
from textdiff.data.packing import Ids, epoch_order, keyed_generator
from textdiff.errors import DataError
from textdiff.text.canvas import Canvas
from textdiff.text.pairs import PairLayout
from textdiff.vocabulary import Vocabulary

_BATCH = 1 << 12


@dataclass(frozen=True)
class PairCorpus:
    """Pairs as tokens, with the sizes of their targets.

    Attributes:
        sources, targets: ids of each pair.
        bytes, words: of all targets together.
        sha256: of all texts in their order.
    """

    sources: Sequence[Ids]
    targets: Sequence[Ids]
    bytes: int
    words: int
    sha256: str

    def __len__(self) -> int:
        return len(self.sources)


def encode_pairs(pairs: Iterable[Pair], layout: PairLayout, on_long: Callable[[str], None] | None = None) -> PairCorpus:
    """Tokenises pairs.

    Args:
        pairs: see `read_pairs`.
        layout: what they must fit into.
        on_long: called with a sentence for every pair that is left out because it does not fit.

    Raises:
        DataError: a pair does not fit and `on_long` is None, or there are no pairs.
    """
    sources, targets, digest = list[Ids](), list[Ids](), hashlib.sha256()
    size = words = 0
    for part in _batches(pairs):
        both = [layout.tokenizer.encode_many([pair[side] for pair in part]) for side in (0, 1)]
        for pair, source, target in zip(part, *both, strict=True):
            if problem := _too_long(pair.place, source, target, layout):
                if on_long is None:
                    raise DataError(problem)
                on_long(problem)
                continue
            sources.append(np.asarray(source, dtype=np.int32))
            targets.append(np.asarray(target, dtype=np.int32))
            digest.update(f"{pair.source}\x1f{pair.target}\x1e".encode())
            size += len(pair.target.encode())
            words += len(pair.target.split())
    if not sources:
        raise DataError("there is no pair of a source and a target that can be used")
    return PairCorpus(sources, targets, size, words, digest.hexdigest())


def _batches(pairs: Iterable[Pair]) -> Iterator[list[Pair]]:
    batch = list[Pair]()
    for pair in pairs:
        batch.append(pair)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _too_long(place: str, source: Sequence[int], target: Sequence[int], layout: PairLayout) -> str:
    if len(target) > layout.target_length:
        return (
            f"{place}: the target has {len(target)} tokens, and there is room for {layout.target_length}; "
            "leave such pairs out (data.skip_bad in a recipe), or train with a larger data.pairs.target_length"
        )
    if len(source) > layout.longest_source:
        return (
            f"{place}: the source has {len(source)} tokens, and there is room for {layout.longest_source}; "
            "leave such pairs out (data.skip_bad in a recipe), or train with a larger context_length"
        )
    return ""


@dataclass(frozen=True)
class PairLoader:
    """Samples for training, a pair each. Sample `number` depends on (seed, number) alone; an epoch has each pair once.

    Attributes:
        corpus: the pairs.
        layout: where they stand.
        seed: of the order.
        condition_dropout: how often all that is given is hidden from the network, for guidance later.
        known_length: how often the fillers behind a target are given, as they are once its length has been chosen. From left to
            right never: there the end of a target is always written.
    """

    corpus: PairCorpus
    layout: PairLayout
    seed: int = 0
    condition_dropout: float = 0.0
    known_length: float = 0.0

    @property
    def vocabulary(self) -> Vocabulary:
        return self.layout.tokenizer.vocabulary

    def batch(self, first: int, rows: int) -> Canvas:
        """The canvas of the samples first … first + rows - 1, as long as the longest of them."""
        generators = [keyed_generator(self.seed, 2**63 + number) for number in range(first, first + rows)]
        seeds = [int(generator.integers(2**63)) for generator in generators]
        hide = [bool(generator.random() < self.condition_dropout) for generator in generators]
        known = torch.tensor([generator.random() < self.known_length for generator in generators])
        canvas = pair_canvas(self.corpus, [self._place(first + row) for row in range(rows)], self.layout, seeds)
        if not self.layout.one_end and bool(known.any()):
            canvas = replace(canvas, frozen=canvas.frozen | (known[:, None] & (canvas.ids == self.layout.filler)))
        if any(hide):
            canvas = replace(canvas, hidden=torch.tensor(hide)[:, None] & canvas.frozen & canvas.valid)
        return canvas

    def _place(self, number: int) -> int:
        epoch, index = divmod(number, len(self.corpus))
        return int(epoch_order(self.seed, epoch, len(self.corpus), 0)[1][index])


def pair_canvas(corpus: PairCorpus, places: Sequence[int], layout: PairLayout, seeds: Sequence[int]) -> Canvas:
    """Some pairs on a canvas. What the tokenizer cannot write in a target is given, and not scored."""
    writable = layout.tokenizer.vocabulary.writable().numpy()
    rows, frozen = list[list[int]](), list[list[bool]]()
    for place in places:
        given, room = layout.given(corpus.sources[place].tolist()), layout.room(corpus.targets[place].tolist())
        rows.append(given + room)
        frozen.append([True] * len(given) + (~writable[room]).tolist())
    return Canvas.of_rows(rows, frozen, seeds, layout.tokenizer.vocabulary)


def pair_batches(
    corpus: PairCorpus, layout: PairLayout, rows: int, seed: int, limit: int | None = None
) -> Iterator[Canvas]:
    """All pairs in batches, or so many, spread evenly; pair i is seeded with (seed, i)."""
    count = len(corpus)
    chosen = range(count) if limit is None or limit >= count else np.linspace(0, count - 1, limit).round().astype(int)
    for start in range(0, len(chosen), rows):
        part = [int(place) for place in chosen[start : start + rows]]
        yield pair_canvas(corpus, part, layout, [seed * 1_000_003 + place for place in part])
