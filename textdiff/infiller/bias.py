"""How sure a model is of k masks whatever the text around them: the bias that a search for lengths takes out."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from textdiff.draws import Draws
from textdiff.infiller.forward import noisy_log_p
from textdiff.infiller.search import confidence
from textdiff.infiller.shelf import Shelf
from textdiff.infiller.writing import text_constraint, write
from textdiff.model import DiffusionModel
from textdiff.sampling import preset, preset_for
from textdiff.text.canvas import Canvas
from textdiff.text.tokenizers import Tokenizer

_TEXTS = 16
_TOKENS = 48
_SEED = 0xB1A5


@dataclass
class LengthBias:
    """The mean first-step confidence of k masks in texts that the model wrote itself, measured when it is first needed.

    In such texts any number of tokens may be missing: what is left is what depends on k alone.

    Attributes:
        model, tokenizer: whose.
        shelf: where it is kept for the next time, or None.
    """

    model: DiffusionModel
    tokenizer: Tokenizer
    shelf: Shelf | None = None

    def __call__(self, tokens: int) -> float:
        if tokens not in self._known:
            self._known[tokens] = self._measure(tokens)
            if self.shelf is not None:
                self.shelf.put({str(k): value for k, value in self._known.items()})
        return self._known[tokens]

    @cached_property
    def _known(self) -> dict[int, float]:
        kept = {} if self.shelf is None else self.shelf.get()
        return {int(k): float(value) for k, value in kept.items()}

    def _measure(self, tokens: int) -> float:
        """Cuts spans of random lengths out of the model's texts and puts so many masks in their place."""
        texts = self._texts
        length = texts.shape[1]
        draws = Draws.seeded([_SEED + i for i in range(len(texts))]).uniform(2)
        rows, frozen = [], []
        prefix, suffix = self.tokenizer.prefix_ids, self.tokenizer.suffix_ids
        room = self.model.config.context_length - len(prefix) - len(suffix) - tokens
        hole = self.tokenizer.vocabulary.mask_id
        for text, (u, v) in zip(texts.tolist(), draws.tolist(), strict=True):
            cut = 1 + int(u * (length // 3))
            start = int(v * (length - cut))
            left, right = text[:start], text[start + cut :]
            over = max(0, len(left) + len(right) - room)
            left, right = left[over // 2 :], right[: max(0, len(right) - (over - over // 2))]
            rows.append([*prefix, *left, *[hole if hole is not None else 0] * tokens, *right, *suffix])
            given = len(prefix) + len(left)
            frozen.append([True] * given + [False] * tokens + [True] * (len(right) + len(suffix)))
        canvas = Canvas.of_rows(rows, frozen, [_SEED] * len(rows), self.tokenizer.vocabulary).to(self.model.device)
        log_p = noisy_log_p(self.model, canvas, canvas.free)
        return sum([confidence(part) for part in torch.split(log_p, tokens)]) / len(rows)

    @cached_property
    def _texts(self) -> Tensor:
        """Texts of the model's own, Long [_TEXTS, n]."""
        vocabulary = self.tokenizer.vocabulary
        prefix, suffix = self.tokenizer.prefix_ids, self.tokenizer.suffix_ids
        count = max(4, min(_TOKENS, self.model.config.context_length // 2))
        rows = [[*prefix, *[vocabulary.pad_id] * count, *suffix]] * _TEXTS
        frozen = [[True] * len(prefix) + [False] * count + [True] * len(suffix)] * _TEXTS
        canvas = Canvas.of_rows(rows, frozen, [_SEED + i for i in range(_TEXTS)], vocabulary)
        sampler = preset(preset_for(self.model.process))
        written = write(self.model, sampler, canvas, text_constraint(canvas, self.tokenizer))
        return written.ids[:, len(prefix) : len(prefix) + count]
