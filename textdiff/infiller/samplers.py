"""The samplers that a model comes with, and what a caller may change about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from textdiff.errors import ConfigError, UsageError
from textdiff.files import apply_override, load_yaml
from textdiff.processes import AbsorbingProcess, ForwardProcess
from textdiff.registry import build, to_config
from textdiff.sampling import Guidance, Sampler, preset, preset_for, with_auto_steps
from textdiff.sampling.warps import MinPWarp, TemperatureWarp, TopKWarp, TopPWarp, Warp


@dataclass(frozen=True)
class DefaultSamplers:
    """`sampler.json`: how a model fills gaps, and how it writes free text."""

    infill: Sampler
    generate: Sampler

    @staticmethod
    def of(process: ForwardProcess, asked: DefaultSamplers | None = None) -> DefaultSamplers:
        """What suits a process, or what is asked for instead.

        Confidence orders suit short gaps and repeat themselves in free text; there the exact reverse process is better.
        A left-to-right model has one order: of what is asked for it gets the warps.
        """
        generate = preset(preset_for(process))
        if process.left_to_right:
            warps = () if asked is None else asked.generate.warps
            return DefaultSamplers(*[replace(generate, warps=warps)] * 2)
        infill = preset("confidence") if isinstance(process, AbsorbingProcess) else generate
        return asked or DefaultSamplers(infill=infill, generate=generate)


Steps = int | Literal["auto"]


@dataclass(frozen=True)
class SamplerOptions:
    """What a caller asks for; None leaves the model's default.

    Attributes:
        sampler: a sampler, the name of a preset, or a YAML file; see `sampler_of`.
        steps: at least 1; or `auto`, as many as the sampler finds that it needs: see `with_auto_steps`.
        temperature: at least 0; 0 takes the most probable token.
        top_k: at least 1.
        top_p: above 0, at most 1.
        guidance: at least 0; 1 is none. See `Guidance`.
        min_p: from 0 to 1.
        classifier_weight: at least 0; 0 is none. See `Guidance`.
        settings: "accept.gamma=0.2" and the like: keys of the sampler, values in YAML.
    """

    sampler: Sampler | str | None = None
    steps: Steps | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    guidance: float | None = None
    min_p: float | None = None
    settings: Sequence[str] = ()
    classifier_weight: float | None = None

    def apply(self, default: Sampler) -> Sampler:
        """The sampler to use.

        Raises:
            UsageError: a value is out of its range.
            ConfigError: no preset has that name, or the file does not describe a sampler.
        """
        sampler = sampler_of(self.sampler) if isinstance(self.sampler, str) else self.sampler or default
        try:
            if self.steps is not None:
                sampler = with_auto_steps(sampler) if self.steps == "auto" else replace(sampler, steps=self.steps)
            if self.settings:
                sampler = _changed(sampler, self.settings)
            if self.steps not in (None, "auto") and not sampler.grid.counts_steps:
                raise UsageError("this sampler chooses its number of steps by itself: leave steps out")
            sampler = replace(sampler, guidance=self._guided(sampler.guidance))
            asked: list[Warp] = []
            if self.temperature is not None:
                asked.append(TemperatureWarp(self.temperature))
            if self.top_k is not None:
                asked.append(TopKWarp(self.top_k))
            if self.top_p is not None:
                asked.append(TopPWarp(self.top_p))
            if self.min_p is not None:
                asked.append(MinPWarp(self.min_p))
        except ConfigError as error:
            raise UsageError(str(error)) from None
        kept = [warp for warp in sampler.warps if type(warp) not in {type(w) for w in asked}]
        order = (TemperatureWarp, TopKWarp, TopPWarp, MinPWarp)
        warps = sorted(
            kept + asked, key=lambda w: next((i for i, c in enumerate(order) if isinstance(w, c)), len(order))
        )
        return replace(sampler, warps=tuple(warps))

    def _guided(self, guidance: Guidance) -> Guidance:
        weight = guidance.weight if self.guidance is None else self.guidance
        classifier = guidance.classifier if self.classifier_weight is None else self.classifier_weight
        return replace(guidance, weight=weight, classifier=classifier)


def sampler_of(name: str) -> Sampler:
    """The preset of a name, or the sampler that a file ending in .yaml or .yml describes, with the fields of `Sampler` as keys.

    Raises:
        ConfigError: no preset has that name, or the file does not describe a sampler.
    """
    if not name.lower().endswith((".yaml", ".yml")):
        return preset(name)
    try:
        return build(Sampler, load_yaml(name))
    except ConfigError as error:
        raise ConfigError(str(error) if str(error).startswith(name) else f"{name}: {error}") from None


def temperature_of(sampler: Sampler) -> float:
    """The temperature that a sampler draws at."""
    return next((warp.temperature for warp in sampler.warps if isinstance(warp, TemperatureWarp)), 1.0)


def _changed(sampler: Sampler, settings: Sequence[str]) -> Sampler:
    values = to_config(sampler)
    for setting in settings:
        apply_override(values, setting)
    return build(Sampler, values)


def require_order(process: ForwardProcess, sampler: Sampler) -> None:
    """Raises UsageError where a left-to-right model would have to write in another order."""
    own = preset(preset_for(process))
    if process.left_to_right and replace(sampler, warps=own.warps, steps=own.steps, guidance=own.guidance) != own:
        raise UsageError("a left-to-right model writes one token after the other, from the left: leave the sampler out")
