"""The networks and batches that the benches take, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from textdiff.backbones import BackboneConfig, DiTConfig, PretrainedBackboneConfig
from textdiff.model import DiffusionModel
from textdiff.processes import AbsorbingProcess, ForwardProcess
from textdiff.text.canvas import Canvas
from textdiff.vocabulary import Vocabulary

MASK = 0


@dataclass(frozen=True)
class Shape:
    """A network and a batch.

    Attributes:
        layers, width, heads: of the Transformer.
        ids: V, the mask included.
        length: L, positions of a row.
        rows: B.
        bert: a Hugging Face BERT instead of our own network.
        times: whether our own network is told the time.
    """

    layers: int
    width: int
    heads: int
    ids: int
    length: int
    rows: int
    bert: bool = False
    times: bool = True

    def with_rows(self, rows: int | None) -> Shape:
        """The same with another batch, where one is asked for."""
        return self if rows is None else replace(self, rows=rows)

    @property
    def tokens(self) -> int:
        """Of a batch."""
        return self.rows * self.length

    def backbone(self) -> BackboneConfig:
        """What makes the network."""
        if not self.bert:
            return DiTConfig(
                self.width,
                self.layers,
                self.heads,
                time_embedding="sinusoidal" if self.times else "none",
                given_embedding=False,
                tie_word_embeddings=False,
            )
        network = {
            "model_type": "bert", "vocab_size": self.ids, "hidden_size": self.width, "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads, "intermediate_size": 4 * self.width, "hidden_dropout_prob": 0.0,
            "attention_probs_dropout_prob": 0.0, "max_position_embeddings": max(512, self.length),
        }  # fmt: skip
        return PretrainedBackboneConfig(network=network)


SHAPES = {
    "S": Shape(6, 384, 6, 50_258, 128, 8),
    "S16": Shape(6, 384, 6, 50_258, 128, 16),
    "S32": Shape(6, 384, 6, 50_258, 128, 32),
    "S256": Shape(6, 384, 6, 50_258, 256, 8),
    "M": Shape(12, 768, 12, 50_258, 256, 8),
    "C": Shape(6, 384, 6, 28, 128, 8),
    "H100": Shape(12, 768, 12, 50_258, 1_024, 16),
    "BERT": Shape(6, 384, 12, 30_522, 128, 8, bert=True),
    "toy": Shape(2, 32, 2, 61, 16, 4),
    "toy-BERT": Shape(2, 32, 2, 61, 16, 4, bert=True),
}


def shape_named(name: str, rows: int | None = None) -> Shape:
    """A shape, with another batch where one is asked for; ends the script where there is none of the name."""
    if name not in SHAPES:
        raise SystemExit(f"no shape is named {name!r}. Known: {', '.join(SHAPES)}")
    return SHAPES[name].with_rows(rows)


def make_model(
    shape: Shape, device: str = "cpu", process: Callable[[Vocabulary], ForwardProcess] = AbsorbingProcess
) -> DiffusionModel:
    """The same weights each time, on any device."""
    torch.manual_seed(0)
    vocabulary = Vocabulary(size=shape.ids, special_ids=(MASK,), mask_id=MASK, pad_id=MASK)
    model = DiffusionModel.of(shape.backbone(), process(vocabulary), shape.length)
    with torch.no_grad():  # what starts at zero would hide errors
        for parameter in model.parameters():
            if not parameter.any():
                parameter.normal_(std=0.02)
    return model.train().to(device)


def make_canvas(shape: Shape, number: int, device: str = "cpu") -> Canvas:
    """Random text, all of it free."""
    ids = torch.randint(1, shape.ids, (shape.rows, shape.length), generator=torch.Generator().manual_seed(number))
    nothing = torch.zeros_like(ids, dtype=torch.bool)
    return Canvas(ids, nothing, ~nothing, torch.arange(shape.rows) + 1_000 * number).to(device)
