"""What a recipe trains and scores on, and the usual kind of it: documents, one behind the other."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from textdiff.data import DocumentEnds, Loader, PackedCorpus, TrainingLoader, evaluation_batches, word_joins
from textdiff.data.packing import Ids
from textdiff.errors import ConfigError, DataError
from textdiff.evaluation import HeldOutReport, can_be_scored, score_held_out
from textdiff.model import DiffusionModel
from textdiff.recipe.recipe import Recipe
from textdiff.recipe.texts import Texts
from textdiff.text.canvas import Canvas
from textdiff.text.tokenizers import Tokenizer
from textdiff.training import is_main_process


@dataclass(frozen=True)
class Material(ABC):
    """The text of a recipe in tokens.

    Attributes:
        recipe: what says how it is used.
        texts: where it is.
        tokenizer: how it is cut.
    """

    recipe: Recipe
    texts: Texts
    tokenizer: Tokenizer

    @property
    @abstractmethod
    def sha256(self) -> str:
        """Of all that is trained on."""

    @property
    @abstractmethod
    def holds_out(self) -> bool:
        """Whether anything that can be scored is held out.

        Raises:
            DataError: a text was named for it, and nothing of it can be scored.
        """

    @abstractmethod
    def loader(self) -> Loader:
        """The samples for training."""

    @abstractmethod
    def validation(self, rows: int, windows: int | None) -> Iterator[Canvas]:
        """What is held out, in batches of so many rows: all, or so many windows or pairs."""

    @abstractmethod
    def score(self, model: DiffusionModel) -> HeldOutReport:
        """All figures of a model on what is held out."""


_SLACK = 4
"""So many times more or less than the asked share may be held out, for the sake of whole documents."""


def _parted(ids: Ids, share: float, tokenizer: Tokenizer) -> tuple[int, int]:
    """Where the text for training stops and the held-out text starts: between documents, if one ends near there."""
    held = int(len(ids) * share)
    cut = len(ids) - held
    try:
        ends = DocumentEnds.of(tokenizer)
    except ConfigError:
        return cut, cut
    low, high = len(ids) - min(_SLACK * held, len(ids) // 2), len(ids) - max(held // _SLACK, 1) + 1
    return (ends.cut(ids, cut, low, high) if held else None) or (cut, cut)


@dataclass(frozen=True)
class Stream(Material):
    """Documents, one behind the other."""

    @cached_property
    def split(self) -> tuple[Ids, Ids]:
        """The ids for training and those that are held out."""
        data = self.recipe.data
        ids = self.texts.ids(data.train, self.tokenizer, is_main_process())
        if data.validation:
            return ids, self.texts.ids(data.validation, self.tokenizer, is_main_process())
        stop, start = _parted(ids, data.validation_share, self.tokenizer)
        return ids[:stop], ids[start:]

    @cached_property
    def ends(self) -> DocumentEnds | None:
        """How the documents are told apart that are not to see each other.

        Raises:
            ConfigError: the tokenizer puts nothing between them.
        """
        return DocumentEnds.of(self.tokenizer) if self.recipe.data.separate_documents else None

    @property
    def sha256(self) -> str:
        whole = self.texts.prepared(self.recipe.data.train)
        return hashlib.sha256(self.split[0].data).hexdigest() if whole is None else whole.sha256

    @cached_property
    def holds_out(self) -> bool:
        ids = self.split[1]
        found = len(ids) > 1 and can_be_scored(ids, self.tokenizer)
        if self.recipe.data.validation and not found:
            raise DataError("data.validation holds nothing that the tokenizer can express; name another text")
        return found

    def loader(self) -> TrainingLoader:
        recipe = self.recipe
        corpus = PackedCorpus(self.split[0], recipe.context_length, recipe.seed)
        vocabulary, joins = self.tokenizer.vocabulary, word_joins(self.tokenizer)
        return TrainingLoader(corpus, vocabulary, recipe.tasks, recipe.condition_dropout, joins, self.ends)

    def validation(self, rows: int, windows: int | None) -> Iterator[Canvas]:
        length, seed = self.recipe.context_length, self.recipe.seed
        return evaluation_batches(self.split[1], length, rows, self.tokenizer.vocabulary, seed, windows, self.ends)

    def score(self, model: DiffusionModel) -> HeldOutReport:
        return score_held_out(model, self.tokenizer, self.split[1], self.recipe.seed, length=self.recipe.context_length)
