"""Samplers under the names that the papers gave them."""

from __future__ import annotations

from dataclasses import replace
from functools import singledispatch

from textdiff.errors import ConfigError, nearest
from textdiff.processes import AbsorbingProcess, AutoregressiveProcess, ForwardProcess
from textdiff.sampling.accept import (
    DilatedAccept,
    EntropyAccept,
    EntropyBoundAccept,
    FactorAccept,
    FirstHittingAccept,
    KlassAccept,
    LeftToRightAccept,
    MarginAccept,
    RandomAccept,
    ThresholdAccept,
    TopKAccept,
    TopProbabilityAccept,
)
from textdiff.sampling.grids import (
    AdaptiveGrid,
    CosineGrid,
    EqualAlphaGrid,
    FirstHittingGrid,
    LoopGrid,
    RestingGrid,
    TailGrid,
)
from textdiff.sampling.renoise import (
    DfmRenoise,
    ForwardBackwardRenoise,
    NeverRenoise,
    RemdmCapRenoise,
    RemdmConfidenceRenoise,
    RemdmLoopRenoise,
    RemdmRescaleRenoise,
)
from textdiff.sampling.sampler import Sampler
from textdiff.sampling.stops import StableAndConfidentStop
from textdiff.sampling.transitions import (
    AcceptTransition,
    EulerTransition,
    FreshNoiseTransition,
    GibbsTransition,
    MaskPredictTransition,
    P2Transition,
    PosteriorTransition,
    PsiTransition,
    RdmTransition,
    TauLeapingTransition,
)
from textdiff.sampling.warps import CoolingWarp, GreedyTailWarp, TemperatureWarp

_COLD = (TemperatureWarp(0.0),)
_PRESETS = {
    "mdlm": Sampler(steps=128, accept=RandomAccept()),
    "d3pm": Sampler(steps=128, transition=PosteriorTransition()),
    "llada": Sampler(accept=TopKAccept(), warps=_COLD),
    "fast_dllm": Sampler(grid=AdaptiveGrid(), accept=ThresholdAccept(), warps=_COLD),
    "klass": Sampler(grid=AdaptiveGrid(), accept=KlassAccept(), warps=_COLD),
    "mask_predict": Sampler(steps=10, grid=EqualAlphaGrid(), transition=MaskPredictTransition(), warps=_COLD),
    "ancestral": Sampler(steps=128, accept=RandomAccept()),
    "first_hitting": Sampler(grid=FirstHittingGrid(), accept=FirstHittingAccept()),
    "maskgit": Sampler(steps=16, grid=CosineGrid(), accept=TopKAccept(randomness=4.5)),
    "confidence": Sampler(accept=TopKAccept()),
    "top_probability": Sampler(accept=TopProbabilityAccept()),
    "margin": Sampler(accept=MarginAccept()),
    "entropy": Sampler(accept=EntropyAccept()),
    "entropy_bound": Sampler(accept=EntropyBoundAccept()),
    "factor": Sampler(accept=FactorAccept()),
    "dilated": Sampler(grid=AdaptiveGrid(), accept=DilatedAccept()),
    "threshold": Sampler(accept=ThresholdAccept()),
    "remdm": Sampler(steps=128, renoise=RemdmCapRenoise()),
    "remdm_confidence": Sampler(steps=128, renoise=RemdmConfidenceRenoise()),
    "remdm_loop": Sampler(steps=128, grid=LoopGrid(), renoise=RemdmLoopRenoise()),
    "left_to_right": Sampler(grid=FirstHittingGrid(), accept=LeftToRightAccept()),
    "posterior": Sampler(steps=128, transition=PosteriorTransition()),
    "analytic": Sampler(steps=128, transition=PosteriorTransition()),
    "diffusion_gemma": Sampler(
        steps=48,
        transition=FreshNoiseTransition(greedy_end=True),
        accept=EntropyBoundAccept(),
        warps=(CoolingWarp(0.8, 0.4, by="time"),),
        stop=StableAndConfidentStop(),
    ),
    "duo": Sampler(steps=128, grid=TailGrid(), transition=PosteriorTransition(), warps=(GreedyTailWarp(),)),
    "psi": Sampler(steps=128, transition=PsiTransition(), renoise=RemdmRescaleRenoise(0.05)),
    "p2": Sampler(steps=128, grid=EqualAlphaGrid(), transition=P2Transition()),
    "rdm": Sampler(steps=10, grid=CosineGrid(), transition=RdmTransition(), warps=_COLD),
    "forward_backward": Sampler(steps=128, renoise=ForwardBackwardRenoise()),
    "dfm": Sampler(steps=128, renoise=DfmRenoise()),
    "gibbs": Sampler(steps=128, grid=RestingGrid(), transition=GibbsTransition()),
    "euler": Sampler(steps=128, transition=EulerTransition()),
    "tau_leaping": Sampler(steps=128, transition=TauLeapingTransition()),
}
_NOTES = {
    "analytic": "SEDD's step for any noise of the form alpha x_0 + b, which is the posterior.",
    "diffusion_gemma": "For uniform noise, and a network that is sure of most tokens: else most is noise until the end.",
    "duo": "For uniform noise. Without its greedy end: --sampler posterior",
    "gibbs": "For uniform and hybrid noise.",
    "psi": "Its authors' runs: --steps 256 --top-p 0.9",
    "remdm": "Its authors' runs: --steps 1024 --top-p 0.9 --set renoise.cap=0.008",
    "remdm_confidence": "Its authors' runs: --steps 1024 --top-p 0.9",
    "remdm_loop": "Its authors' runs: --steps 1024 --top-p 0.9",
}
"""What `textdiff list sampler` says beside a preset. ReMDM's: scripts/remdm-*.sh of github.com/kuleshov-group/remdm.
Psi's: scripts/psi_samplers/owt of github.com/s-sahoo/duo."""


def preset_names() -> list[str]:
    """The names that `preset` knows, sorted."""
    return sorted(_PRESETS)


def preset(name: str) -> Sampler:
    """A sampler by name, with hyphens or underscores; `dataclasses.replace` changes its options.

    Raises:
        ConfigError: no preset has that name.
    """
    known = _PRESETS.get(name.replace("-", "_"))
    if known is None:
        raise ConfigError(f"no sampler is named {name!r}.{nearest(name, _PRESETS)} Known: {', '.join(preset_names())}")
    return known


def preset_note(name: str) -> str:
    """What there is to say about a preset in a line; often nothing."""
    return _NOTES.get(name, "")


def with_auto_steps(sampler: Sampler) -> Sampler:
    """The same sampler as one that takes as many network calls as it needs.

    Its accept policy stays where it decides how many tokens settle; else tokens settle together as long as what they can
    lack of each other is bounded (`entropy_bound`), and nothing goes back to noise.
    """
    accept = sampler.accept if sampler.accept.settles_some else EntropyBoundAccept()
    return replace(sampler, grid=AdaptiveGrid(), transition=AcceptTransition(), accept=accept, renoise=NeverRenoise())


@singledispatch
def preset_for(process: ForwardProcess) -> str:
    """The preset that is right for a process where nothing else is asked: exact in law as the steps grow."""
    return "posterior"


@preset_for.register
def _(process: AbsorbingProcess) -> str:
    return "ancestral"


@preset_for.register
def _(process: AutoregressiveProcess) -> str:
    return "left_to_right"
