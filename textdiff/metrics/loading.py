"""Our metrics as those of the library `evaluate`, which is imported only here and in the modules themselves."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textdiff.errors import ResourceError, UsageError, nearest

if TYPE_CHECKING:
    import evaluate

MODULES = (
    "bits_per_byte",
    "distinct_n",
    "infill_exact_match",
    "length_error",
    "novelty",
    "perplexity_per_word",
    "repetition",
    "self_bleu",
    "unigram_entropy",
)
"""Metrics that `load` knows, and `evaluate.load` by their `module_path`."""


def load(name: str, **options: Any) -> evaluate.Metric:
    """A metric of ours as `evaluate` has metrics: with `add`, `add_batch`, `compute`, and for `evaluate.combine`. Offline.

    Args:
        name: of `MODULES`.
        options: of the metric, such as `n` of `distinct_n`, and those of `evaluate.Metric`.

    Raises:
        UsageError: there is no such metric, or an option is out of its range.
        ResourceError: `evaluate` is not installed.
    """
    path = module_path(name)
    if find_spec("evaluate") is None:
        raise ResourceError(
            "the package evaluate is not installed, and metrics of its kind need it: pip install evaluate"
        )
    module = import_module(f"textdiff.metrics.modules.{path.stem}")
    return getattr(module, "".join(map(str.capitalize, name.split("_"))))(**{"keep_in_memory": True} | options)


def module_path(name: str) -> Path:
    """The script of a metric, for `evaluate.load(str(path))`.

    Raises:
        UsageError: there is no such metric.
    """
    if name not in MODULES:
        raise UsageError(f"no metric is named {name!r}.{nearest(name, MODULES)} Known: {', '.join(MODULES)}")
    return Path(__file__).parent / "modules" / f"{name}.py"
