"""Samplers of a suite, each with one value of every option or with several to sweep over."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, Literal

from textdiff.errors import ConfigError, UsageError
from textdiff.infiller import SamplerOptions
from textdiff.sampling import preset

_Steps = int | Literal["auto"] | tuple[int | Literal["auto"], ...] | None
_Ints = int | tuple[int, ...] | None
_Floats = float | tuple[float, ...] | None
_ANY = "confidence"
"""A preset to try options on."""


@dataclass(frozen=True)
class Setting:
    """How a model draws.

    Attributes:
        name: of the sampler in the suite: settings of one name are points of one curve.
        swept: the options that the suite gives several values of, with the values here.
        options: what is asked for; None leaves the model's default.
    """

    name: str
    swept: tuple[tuple[str, float | str], ...]
    options: SamplerOptions

    @property
    def id(self) -> str:
        """Stands for it in the names of cells."""
        return self.name + "".join(
            f",{key}={value if isinstance(value, str) else format(value, 'g')}" for key, value in self.swept
        )

    def call_options(self) -> dict[str, Any]:
        """What is asked for, as `Infiller.infill` and `Infiller.generate` take it."""
        given = {f.name: getattr(self.options, f.name) for f in fields(self.options)}
        return {key: value for key, value in given.items() if value not in (None, ())}


@dataclass(frozen=True)
class SamplerEntry:
    """A sampler of a suite. An option may have a list of values: each combination is measured.

    Attributes:
        name: what the report calls it.
        sampler: the name of a preset or a YAML file; by default the model's own.
        steps, temperature, top_k, top_p, min_p, guidance: see `SamplerOptions`.
    """

    name: str
    sampler: str | None = None
    steps: _Steps = None
    temperature: _Floats = None
    top_k: _Ints = None
    top_p: _Floats = None
    min_p: _Floats = None
    guidance: _Floats = None

    def settings(self) -> Iterator[Setting]:
        """One for each combination of values.

        Raises:
            ConfigError: a value is out of its range, stands twice, or there is no such sampler.
        """
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("name", "sampler")}
        for key, value in values.items():
            if isinstance(value, tuple) and (not value or len({*value}) < len(value)):
                raise ConfigError(f"{key} must list different values, got {list(value)}")
        swept = {key: value for key, value in values.items() if isinstance(value, tuple)}
        for point in itertools.product(*swept.values()):
            here = dict(zip(swept, point, strict=True))
            options = SamplerOptions(self.sampler, **(values | here))
            _check(options)
            yield Setting(self.name, tuple(here.items()), options)


def _said(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:g}"


def _check(options: SamplerOptions) -> None:
    if any(isinstance(value, float) and not math.isfinite(value) for value in vars(options).values()):
        raise ConfigError("options of a sampler must be finite numbers")
    try:
        options.apply(preset(_ANY))
    except UsageError as error:
        raise ConfigError(str(error)) from None
