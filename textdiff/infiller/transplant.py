"""A trained network for another tokenizer: the body stays, the rows of the vocabulary are made from the old ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from textdiff.errors import ConfigError
from textdiff.infiller.checkpoint import Checkpoint
from textdiff.model import DiffusionConfig, DiffusionModel
from textdiff.processes import ForwardProcess
from textdiff.registry import build, to_config
from textdiff.text.inheritance import ancestors
from textdiff.text.tokenizers import Tokenizer
from textdiff.vocabulary import Vocabulary

_NOISE = 0.1
"""Of the spread of the old rows: tokens that nothing is known of would else be one and the same to the network."""


@torch.no_grad()
def transplanted(start: Checkpoint, tokenizer: Tokenizer, seed: int = 0) -> Checkpoint:
    """The same network for another tokenizer, to be trained.

    The row of a token that the old tokenizer has too is kept, wherever the network has one for each id (embedding, output
    layer, biases). That of any other token is the mean of those that spell it; see `ancestors`. Where there are none, it is
    the mean of all, with some noise. Source: FOCUS (arXiv 2305.14481) for the overlap; the mean of the old pieces is that of
    Gee et al. (fast vocabulary transfer, arXiv 2402.09977).

    Args:
        start: the network with its tokenizer.
        tokenizer: the other one.
        seed: of the noise.

    Raises:
        ConfigError: the process of the network has no place for the vocabulary.
    """
    old = start.model
    model = _empty(old, tokenizer.vocabulary)
    mixer = _Mixer(ancestors(tokenizer, start.tokenizer), _ordinary(start.tokenizer), seed)
    grown = _rows_of_ids(old)
    state = old.state_dict()
    model.load_state_dict({name: mixer.mix(t) if name in grown else t for name, t in state.items()})
    return Checkpoint(model.eval(), tokenizer, start.samplers)


def _empty(old: DiffusionModel, vocabulary: Vocabulary) -> DiffusionModel:
    """The same model with a place for each id of another vocabulary."""
    if old.config.target_length is not None:
        raise ConfigError("a model of pairs of sources and targets cannot change its tokenizer")
    process = build(ForwardProcess, to_config(old.process), "process", vocabulary=vocabulary)
    backbone = old.backbone.config.for_vocabulary(vocabulary)
    config = DiffusionConfig.of(backbone, process, old.config.context_length, old.config.prediction)
    config.separate_documents = old.config.separate_documents
    return DiffusionModel(config)


def _rows_of_ids(old: DiffusionModel) -> set[str]:
    """The names of the tensors that have a row for each id: those that are longer where there is one id more."""
    with torch.device("meta"):
        longer = _empty(old, replace(old.vocabulary, size=_rows(old) + 1)).state_dict()
    return {name for name, tensor in old.state_dict().items() if tensor.shape != longer[name].shape}


def _rows(old: DiffusionModel) -> int:
    weight = old.get_input_embeddings().weight
    assert isinstance(weight, Tensor)
    return len(weight)


def _ordinary(tokenizer: Tokenizer) -> list[int]:
    """The ids that stand for text."""
    return [i for i, piece in enumerate(tokenizer.pieces) if piece]


class _Mixer:
    """Makes new rows of old ones."""

    def __init__(self, parents: Sequence[Sequence[int]], ordinary: Sequence[int], seed: int) -> None:
        self._parents = parents
        self._ordinary = torch.tensor(ordinary)
        self._seed = seed

    def mix(self, rows: Tensor) -> Tensor:
        """New rows [V new, …] of old ones [V old, …]."""
        usual = rows[self._ordinary]
        noise = torch.randn(len(self._parents), *rows.shape[1:], generator=torch.Generator().manual_seed(self._seed))
        unknown = usual.mean(0) + _NOISE * usual.std(0) * noise
        made = [rows[list(ids)].mean(0) if ids else unknown[i] for i, ids in enumerate(self._parents)]
        return torch.stack(made).to(rows.dtype)
