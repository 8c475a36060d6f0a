"""Pairs of sources and targets, as a recipe trains and scores on them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

from textdiff.corpus import Pair, Problem
from textdiff.data import PairCorpus, PairLoader, encode_pairs, pair_batches
from textdiff.errors import DataError
from textdiff.evaluation import HeldOutReport, score_held_out_pairs
from textdiff.model import DiffusionModel
from textdiff.recipe.material import Material
from textdiff.recipe.recipe import PairsConfig
from textdiff.recipe.texts import say_skipped
from textdiff.text.canvas import Canvas
from textdiff.text.pairs import PairLayout
from textdiff.training import is_main_process


@dataclass(frozen=True)
class Pairs(Material):
    """Pairs of a source and its target.

    Attributes:
        config: what the recipe says of them.
    """

    config: PairsConfig

    @cached_property
    def layout(self) -> PairLayout:
        """Where they stand.

        Raises:
            ConfigError: the tokenizer does not do for pairs, or there is no room.
        """
        left_to_right = self.recipe.make_process(self.tokenizer.vocabulary).left_to_right
        return PairLayout(self.tokenizer, self.config.target_length, self.recipe.context_length, left_to_right)

    @cached_property
    def split(self) -> tuple[PairCorpus, PairCorpus | None]:
        """The pairs for training and those that are held out."""
        data = self.recipe.data
        pairs = self._read(data.train)
        if data.validation:
            return self._encoded(pairs), self._encoded(self._read(data.validation))
        cut = len(pairs) - int(len(pairs) * data.validation_share)
        return self._encoded(pairs[:cut]), self._encoded(pairs[cut:]) if cut < len(pairs) else None

    @property
    def sha256(self) -> str:
        digest = hashlib.sha256()
        for ids in chain.from_iterable(zip(self.split[0].sources, self.split[0].targets, strict=True)):
            digest.update(f"{len(ids)} ".encode() + ids.tobytes())
        return digest.hexdigest()

    @property
    def holds_out(self) -> bool:
        return self.split[1] is not None

    def loader(self) -> PairLoader:
        known = self.config.known_length
        return PairLoader(self.split[0], self.layout, self.recipe.seed, self.recipe.condition_dropout, known)

    def validation(self, rows: int, windows: int | None) -> Iterator[Canvas]:
        return pair_batches(self._held_out, self.layout, rows, self.recipe.seed, windows)

    def score(self, model: DiffusionModel) -> HeldOutReport:
        return score_held_out_pairs(model, self._held_out, self.layout, self.recipe.seed)

    @property
    def _held_out(self) -> PairCorpus:
        found = self.split[1]
        assert found is not None
        return found

    def _read(self, names: str | Sequence[str]) -> list[Pair]:
        skipped: list[Problem] = []
        found = list(self.texts.pairs(names, skipped))
        _say(skipped)
        return found

    def _encoded(self, pairs: Sequence[Pair]) -> PairCorpus:
        skipped: list[Problem] = []
        allowed = self.recipe.data.skip_bad

        def leave_out(message: str) -> None:
            skipped.append(Problem("long", message, of_row=True))
            if allowed is not True and len(skipped) > allowed:
                raise DataError(f"{message} (such pairs so far: {len(skipped)}; skip_bad allows {allowed})")

        corpus = encode_pairs(pairs, self.layout, None if allowed is False else leave_out)
        _say(skipped)
        return corpus


def _say(skipped: Sequence[Problem]) -> None:
    if skipped and is_main_process():
        say_skipped(skipped)
