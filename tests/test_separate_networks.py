"""Networks in which the documents of a row do not see each other."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from test_backbones import SMALL, shaken
from test_backbones import VOCABULARY as OWN
from test_pretrained import EXTRA, LEAKING, SIZES, VOCABULARY, random_network
from torch import Tensor

from textdiff.backbones import (
    Backbone,
    DiT,
    PretrainedBackbone,
    PretrainedBackboneConfig,
    require_separable,
)
from textdiff.backbones.documents import positions_within, same_document
from textdiff.errors import CheckpointError, ConfigError
from textdiff.model import DiffusionConfig, DiffusionModel
from textdiff.processes import AbsorbingProcess
from textdiff.text.canvas import Canvas

LENGTHS = ((4, 1, 7), (2, 6))
TIMES = [("none", "input"), ("sinusoidal", "input"), ("sinusoidal", "adaptive_norm"), ("learned", "adaptive_norm")]
REFUSED = {"deberta", "deberta-v2", "esm", "flaubert", "layoutlm", "longformer", "modernbert", "xlm", *LEAKING}
FRESH = {"roformer"}  # its table of positions is a parameter, which `random_network` spoils


def packed(size: int, first: int = 0) -> tuple[dict[str, Tensor], Tensor]:
    """Two rows of documents of different lengths, the second one with padding."""
    torch.manual_seed(3)
    numbers = [torch.arange(len(row)).repeat_interleave(torch.tensor(row)) for row in LENGTHS]
    documents = torch.nn.utils.rnn.pad_sequence(numbers, batch_first=True, padding_value=1)
    shape = documents.shape
    inputs = {
        "x_t": torch.randint(first, size, shape),
        "t": torch.tensor([0.3, 0.8]),
        "given": torch.rand(shape) < 0.5,
        "valid": torch.arange(shape[1]) < torch.tensor([[sum(row)] for row in LENGTHS]),
    }
    return inputs, documents


def each_alone(network: Backbone, inputs: dict[str, Tensor], documents: Tensor) -> Tensor:
    """What the network gives for every document by itself, in the order of the rows."""
    found = []
    for row, lengths in enumerate(LENGTHS):
        for number in range(len(lengths)):
            here = (documents[row] == number) & inputs["valid"][row]
            part = {name: x[row : row + 1] if name == "t" else x[row : row + 1, here] for name, x in inputs.items()}
            found.append(network(**part, where=part["valid"]))
    return torch.cat(found)


def close(a: Tensor, b: Tensor) -> bool:
    return torch.allclose(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("again", [False, True], ids=["plain", "checkpointed"])
@pytest.mark.parametrize(("time", "injection"), TIMES)
def test_a_document_in_a_row_is_as_it_is_alone(time: str, injection: str, again: bool) -> None:
    network = shaken(replace(SMALL, time_embedding=time, time_injection=injection))
    assert isinstance(network, DiT)
    inputs, documents = packed(OWN.size)
    if again:
        network.enable_gradient_checkpointing()
        network.train()
    alone = each_alone(network, inputs, documents)
    apart = network(**inputs, where=inputs["valid"], documents=documents)
    assert close(apart, alone)
    assert not close(network(**inputs, where=inputs["valid"]), alone)
    wanted = inputs["valid"] & (torch.rand(documents.shape) < 0.5)
    some = network(**inputs, where=wanted, documents=documents)
    assert close(some, apart[wanted[inputs["valid"]]])
    gradients = []
    for value in (apart, alone):
        network.zero_grad()
        value.square().sum().backward()
        gradients.append(torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None]))
    assert bool(gradients[0].isfinite().all())
    torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-3 * float(gradients[1].abs().max()))


@pytest.mark.parametrize("kind", sorted(EXTRA.keys() - REFUSED - FRESH))
def test_so_it_is_in_networks_of_hugging_face(kind: str) -> None:
    network = PretrainedBackbone(random_network(kind, **EXTRA[kind]), VOCABULARY).eval()
    inputs, documents = packed(VOCABULARY.size)
    with torch.no_grad():
        alone = each_alone(network, inputs, documents)
        scale = float(alone.abs().max())
        apart, together = (network(**inputs, where=inputs["valid"], documents=numbers) for numbers in (documents, None))
    torch.testing.assert_close(apart, alone, rtol=0, atol=1e-5 * scale)
    assert float((together - alone).abs().max()) > 1e-3 * scale
    require_separable(network, VOCABULARY, 38)


@pytest.mark.parametrize("kind", sorted(REFUSED))
def test_others_are_refused(kind: str) -> None:
    network = PretrainedBackbone(random_network(kind, **(EXTRA | LEAKING)[kind]), VOCABULARY).train()
    with pytest.raises(ConfigError, match="this network cannot keep the documents of a sample apart"):
        require_separable(network, VOCABULARY, 32)
    assert network.training


def test_fresh_weights_hide_nothing() -> None:
    """The weights that a network starts from are small, and what documents tell each other is small with them."""
    for kind, extra in {"roformer": {}, "esm": EXTRA["esm"], "modernbert": EXTRA["modernbert"]}.items():
        torch.manual_seed(0)
        network = PretrainedBackboneConfig(network={"model_type": kind} | SIZES | extra).make(VOCABULARY, 32)
        if kind == "roformer":
            require_separable(network, VOCABULARY, 32)
            continue
        with pytest.raises(ConfigError):
            require_separable(network, VOCABULARY, 32)


def test_our_own_network_passes_with_any_weights() -> None:
    for length in (2, 3, 12):
        require_separable(shaken(SMALL), OWN, length)


class Deaf(DiT):
    """Does not heed the documents."""

    def forward(self, x_t: Tensor, *rest: Tensor | None) -> Tensor:  # type: ignore[override]
        return super().forward(x_t, *rest[:4])  # type: ignore[arg-type]


class Counting(DiT):
    """Looks at how many positions of a row are masked, as ESM does."""

    def forward(self, x_t: Tensor, *rest: Tensor | None) -> Tensor:  # type: ignore[override]
        share = (x_t == OWN.mask_id).float().mean()
        return super().forward(x_t, *rest) * (1 + share)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [Deaf, Counting])
def test_a_network_that_lets_something_through_is_found_out(kind: type[DiT]) -> None:
    network = kind(SMALL.resolved(False), OWN.size)
    network.load_state_dict(shaken(SMALL.resolved(False)).state_dict())
    with pytest.raises(ConfigError):
        require_separable(network, OWN, 12)


def test_masks_and_positions() -> None:
    documents, valid = torch.tensor([[0, 0, 1, 1, 1]]), torch.tensor([[True, True, True, True, False]])
    mask = same_document(documents, valid)[0, 0].int().tolist()
    assert mask == [[1, 1, 0, 0, 0], [1, 1, 0, 0, 0], [0, 0, 1, 1, 0], [0, 0, 1, 1, 0], [0, 0, 0, 0, 1]]
    assert positions_within(documents, valid).tolist() == [[0, 1, 0, 1, 0]]


def test_a_model_hands_the_documents_of_a_canvas_on() -> None:
    torch.manual_seed(0)
    model = DiffusionModel.of(SMALL, AbsorbingProcess(OWN), 12).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    inputs, documents = packed(OWN.size)
    ids, valid, times = inputs["x_t"], inputs["valid"], inputs["t"].double()
    canvas = Canvas(ids, inputs["given"], valid, torch.arange(2), documents=documents)
    whole = model.denoise(ids, times, canvas, valid)
    parts = [model.denoise(i[None], t[None], canvas.rows(torch.tensor([n])).cut(len(i)), torch.ones(1, len(i)).bool())
             for n, (i, t) in enumerate(zip((ids[0], ids[1, :8]), times, strict=True))]  # fmt: skip
    torch.testing.assert_close(torch.cat(parts), whole, rtol=1e-5, atol=1e-5)
    first = model.denoise(
        ids[:1, :4], times[:1], replace(canvas.rows(torch.tensor([0])).cut(4), documents=None), valid[:1, :4]
    )
    torch.testing.assert_close(first, whole[:4], rtol=1e-5, atol=1e-5)
    together = model.denoise(ids, times, replace(canvas, documents=None), valid)
    assert not torch.allclose(together[:, 2:], whole[:, 2:], atol=1e-3)


def test_a_model_says_how_it_was_trained() -> None:
    config = DiffusionConfig.of(SMALL, AbsorbingProcess(OWN), 12)
    assert not config.separate_documents
    config.separate_documents = "yes"  # type: ignore[assignment]
    with pytest.raises(CheckpointError, match="separate_documents must be true or false, got 'yes'"):
        DiffusionModel(config)
