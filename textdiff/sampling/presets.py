"""Samplers under the names that the papers gave them."""

from __future__ import annotations

from functools import singledispatch

from textdiff.errors import ConfigError, nearest
from textdiff.processes import AbsorbingProcess, AutoregressiveProcess, ForwardProcess
from textdiff.sampling.accept import (
    EntropyAccept,
    EntropyBoundAccept,
    FactorAccept,
    FirstHittingAccept,
    LeftToRightAccept,
    MarginAccept,
    RandomAccept,
    ThresholdAccept,
    TopKAccept,
    TopProbabilityAccept,
)
from textdiff.sampling.grids import CosineGrid, FirstHittingGrid
from textdiff.sampling.renoise import RemdmCapRenoise
from textdiff.sampling.sampler import Sampler
from textdiff.sampling.transitions import PosteriorTransition

_PRESETS = {
    "ancestral": Sampler(steps=128, accept=RandomAccept()),
    "first_hitting": Sampler(grid=FirstHittingGrid(), accept=FirstHittingAccept()),
    "maskgit": Sampler(steps=16, grid=CosineGrid(), accept=TopKAccept(randomness=4.5)),
    "confidence": Sampler(accept=TopKAccept()),
    "top_probability": Sampler(accept=TopProbabilityAccept()),
    "margin": Sampler(accept=MarginAccept()),
    "entropy": Sampler(accept=EntropyAccept()),
    "entropy_bound": Sampler(accept=EntropyBoundAccept()),
    "factor": Sampler(accept=FactorAccept()),
    "threshold": Sampler(accept=ThresholdAccept()),
    "remdm": Sampler(steps=128, renoise=RemdmCapRenoise()),
    "left_to_right": Sampler(grid=FirstHittingGrid(), accept=LeftToRightAccept()),
    "posterior": Sampler(steps=128, transition=PosteriorTransition()),
}


def preset_names() -> list[str]:
    """The names that `preset` knows, sorted."""
    return sorted(_PRESETS)


def preset(name: str) -> Sampler:
    """A sampler by name; `dataclasses.replace` changes its options.

    Raises:
        ConfigError: no preset has that name.
    """
    if name not in _PRESETS:
        raise ConfigError(f"no sampler is named {name!r}.{nearest(name, _PRESETS)} Known: {', '.join(preset_names())}")
    return _PRESETS[name]


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
