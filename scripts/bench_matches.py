"""Which of our samplers is compared with which peer's, and what shows that both do the same work."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from bench_laws import SMALL, STEPS, ancestral_law, confidence_law, require_law, sharpened
from bench_shapes import MASK, Shape, make_canvas, make_model
from our_sampling import Ours
from peer_duo import DuoSampler
from peer_gpt2 import Gpt2Sampler, LeanSampler, make_gpt2, require_equal_loops
from peer_llada import LladaSampler
from peer_network import PeerNetwork
from peer_sampling import PeerSampler
from torch import Tensor
from transformers import GPT2LMHeadModel

from textdiff.backbones import DiT
from textdiff.model import DiffusionModel
from textdiff.processes import AbsorbingProcess, ForwardProcess, UniformProcess
from textdiff.vocabulary import Vocabulary


@dataclass(frozen=True)
class Ways:
    """How the networks run: with compiled blocks or without, ours with its layers as CUDA graphs or without."""

    compiled: bool = False
    peer_compiled: bool = False
    graphs: bool = False


@dataclass(frozen=True)
class Match:
    """A sampler of a peer and ours, on the same weights.

    Attributes:
        theirs: makes the peer's of a model, with compiled blocks or without.
        ours: makes ours of a model.
        process: whose noise it is.
        times: whether the network is told the time. With mdlm it is not, as caching needs it.
        prompted: whether the first quarter of each row is given.
        law: of what both write in so many steps on a small model; None where they draw nothing, and write the same tokens.
    """

    theirs: Callable[[DiffusionModel, bool], Any]
    ours: Callable[[DiffusionModel], Ours]
    process: Callable[[Vocabulary], ForwardProcess] = AbsorbingProcess
    times: bool = False
    prompted: bool = False
    law: Callable[[DiffusionModel, int], Tensor] | None = ancestral_law

    def network(self, shape: Shape, bf16: bool, device: str) -> DiffusionModel:
        """Its weights are cast once, for both."""
        model = make_model(replace(shape, times=self.times), device, self.process).eval().requires_grad_(False)
        return model.to(torch.bfloat16) if bf16 else model

    def sides(self, shape: Shape, bf16: bool, device: str, ways: Ways) -> tuple[Any, Any]:
        """Both samplers."""
        model = self.network(shape, bf16, device)
        own = ways.compiled or ways.graphs  # what is done to our network must not be done to the peer's
        ours = self.ours(self.network(shape, bf16, device) if own else model)
        if ways.compiled:
            compile_blocks(ours.model)
        if ways.graphs:
            ours.model.backbone.use_graphs()
        return self.theirs(model, ways.peer_compiled), ours

    def prompt(self, shape: Shape, device: str) -> Tensor:
        """Long [B, P]."""
        return make_canvas(shape, 1, device).ids[:, : shape.length // 4 if self.prompted else 0]

    def check(self, shape: Shape, steps: int, device: str) -> dict[str, Any]:
        """What shows that both do the same work; ends the script where they do not."""
        model = self.network(shape, False, device)
        read = {"probabilities_differ_by": require_equal_networks(model, shape)}
        if self.law is None:
            return {**read, "same_tokens": self._require_equal_tokens(model, shape, steps)}
        return {**read, **self.laws(device)}

    def laws(self, device: str) -> dict[str, float]:
        """The p-values of both on the small model."""
        assert self.law is not None
        model = sharpened(self.network(SMALL, False, device))
        steps = 2 if self.law is confidence_law else STEPS
        nothing = torch.empty(SMALL.rows, 0, dtype=torch.long, device=device)
        sides = {"peer_p_value": self.theirs(model, False), "our_p_value": self.ours(model)}
        return require_law(
            {name: partial(side.sample, nothing, SMALL.length, steps) for name, side in sides.items()},
            self.law(model, steps),
        )

    def _require_equal_tokens(self, model: DiffusionModel, shape: Shape, steps: int) -> float:
        """The share of tokens that are the same, which must be nearly all."""
        model, prompt = sharpened(model), self.prompt(shape, str(model.device))
        texts = [side.sample(prompt, shape.length, steps, 1) for side in (self.theirs(model, False), self.ours(model))]
        same = (texts[0] == texts[1])[:, prompt.shape[1] :].double().mean().item()
        if same < 1:
            raise SystemExit(f"{same:.4f} of the tokens are the same: the two do not do the same work")
        return same


@dataclass(frozen=True)
class Gpt2Match(Match):
    """Text from left to right by GPT-2, and ours: networks of one size, each with random weights of its own.

    Attributes:
        left_to_right: makes the peer's sampler of a network.
    """

    left_to_right: Callable[[GPT2LMHeadModel], Gpt2Sampler] = Gpt2Sampler

    def sides(self, shape: Shape, bf16: bool, device: str, ways: Ways) -> tuple[Any, Any]:
        _, ours = super().sides(shape, bf16, device, replace(ways, peer_compiled=False))
        network = make_gpt2(shape, bf16, device)
        if ways.peer_compiled:
            network.compile()
        return self.left_to_right(network), ours

    def check(self, shape: Shape, steps: int, device: str) -> dict[str, Any]:
        """That the lean loop reads the network as the library does."""
        return {"probabilities_differ_by": require_equal_loops(make_gpt2(shape, False, device), shape.length)}


@torch.no_grad()
def require_equal_networks(model: DiffusionModel, shape: Shape) -> float:
    """How far the probabilities differ that both read off the network, at most; single precision, two half-masked rows."""
    shape = shape.with_rows(min(2, shape.rows))
    canvas = make_canvas(shape, 1, str(model.device))
    x_t = canvas.ids.clone()
    if isinstance(model.process, AbsorbingProcess):
        x_t[:, ::2] = MASK
    time = torch.full((shape.rows,), 0.5, device=model.device)
    ours = model.denoise(x_t, time, canvas, canvas.free).softmax(-1)
    scores = PeerNetwork(model).scores(x_t, time).flatten(0, 1)
    scores[:, MASK] = -torch.inf
    worst = float((ours - scores.softmax(-1)).abs().amax() / ours.amax())
    if worst > 1e-4:
        raise SystemExit(f"the two ways read the network differently, by {worst:.1e}: they do not do the same work")
    return worst


def compile_blocks(model: DiffusionModel) -> None:
    """Compiles all Transformer blocks but the last, which runs on another number of rows in each step."""
    assert isinstance(model.backbone, DiT)
    for block in model.backbone.blocks[:-1]:
        block.compile()


def _llada(temperature: float, preset: str, law: Callable[[DiffusionModel, int], Tensor] | None) -> Match:
    """In four blocks, of which one is the prompt."""
    return Match(
        lambda model, compiled: LladaSampler(model, _block(model), temperature, compiled),
        lambda model: Ours(model, preset, _block(model)),
        prompted=True,
        law=law,
    )


def _block(model: DiffusionModel) -> int:
    return max(2, model.config.context_length // 4)


MATCHES = {
    "mdlm": Match(PeerSampler, Ours),
    "duo": Match(DuoSampler, lambda model: Ours(model, "posterior"), UniformProcess, times=True),
    "llada": _llada(0.0, "llada", None),
    "llada-drawn": _llada(1.0, "confidence", confidence_law),
    "gpt2": Gpt2Match(PeerSampler, Ours),
    "gpt2-lean": Gpt2Match(PeerSampler, Ours, left_to_right=LeanSampler),
}
