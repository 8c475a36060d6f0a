"""Models whose every answer is known, as an `Infiller` has them: enough of one for scores and revisions."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import Any, cast

import torch
from oracles import ToyLanguage
from torch import Tensor

from textdiff.infiller import DefaultSamplers, Infiller
from textdiff.processes import AbsorbingProcess, ForwardProcess
from textdiff.text.canvas import Canvas
from textdiff.text.tokenizers import Tokenizer, train_tokenizer


class Exact:
    """Knows a toy language exactly, and says it as a network of its process would."""

    def __init__(self, language: ToyLanguage, process: ForwardProcess, prediction: str) -> None:
        self.process, self.vocabulary, self.device = process, process.vocabulary, torch.device("cpu")
        self.config = SimpleNamespace(context_length=100, target_length=None, prediction=prediction)
        self._raw = language.denoiser(process, leave_one_out=prediction == "leave_one_out")

    def denoise(self, x_t: Tensor, t: Tensor, canvas: Canvas, where: Tensor) -> Tensor:
        logits = self._raw(x_t, t, canvas, where)
        if self.config.prediction == "leave_one_out":
            return logits
        return self.process.to_leave_one_out(logits, x_t[where], t.unsqueeze(-1).expand(x_t.shape)[where])


class Local:
    """Logits are a fixed random function of the tokens at most `radius` away; a token's own does not count."""

    def __init__(self, tokenizer: Tokenizer, context_length: int, radius: int) -> None:
        self.process = AbsorbingProcess(vocabulary=tokenizer.vocabulary)
        self.vocabulary, self.device, self.radius = tokenizer.vocabulary, torch.device("cpu"), radius
        self.config = SimpleNamespace(context_length=context_length, target_length=None, prediction="leave_one_out")
        self._table = 2 * torch.randn(997, self.vocabulary.size, generator=torch.Generator().manual_seed(0))
        self._table[:, ~self.vocabulary.writable()] = -torch.inf

    def denoise(self, x_t: Tensor, t: Tensor, canvas: Canvas, where: Tensor) -> Tensor:
        seen = torch.where(canvas.valid, x_t + 1, 0)
        around = torch.nn.functional.pad(seen, (self.radius, self.radius)).unfold(-1, 2 * self.radius + 1, 1)
        weight = torch.arange(2 * self.radius + 1) * 7 + 3
        weight[self.radius] = 0
        return self._table[((around * weight).sum(-1) * 31 % 997)[where]]


def letters() -> Tokenizer:
    """A token for each of " ", "a" and "b"."""
    return train_tokenizer("characters", ["ab ab"], 8)


def toy_language(length: int, seed: int = 0) -> ToyLanguage:
    """A law of the texts of this length over " ", "a" and "b", between the ends of a document."""
    tokenizer = letters()
    texts = ["".join(text) for text in itertools.product(" ab", repeat=length)]
    framed = [[*tokenizer.prefix_ids, *tokenizer.encode(text), *tokenizer.suffix_ids] for text in texts]
    weights = torch.randn(len(texts), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return ToyLanguage(tokenizer.vocabulary, torch.tensor(framed), (2 * weights).softmax(0))


def infiller_of(model: Exact | Local, tokenizer: Tokenizer) -> Infiller:
    return Infiller(cast(Any, model), tokenizer, DefaultSamplers.of(model.process), "oracle")
