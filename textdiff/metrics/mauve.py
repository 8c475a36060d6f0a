"""MAUVE, by the package of its authors."""

from __future__ import annotations

from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

import numpy.typing as npt

from textdiff.errors import ResourceError


def mauve(true: npt.NDArray[Any], written: npt.NDArray[Any], seed: int = 0) -> float:
    """How near the law of written texts is to that of true ones, 0 to 1, from features of both: [N, D] and [M, D].

    The features are sorted into N / 10 clusters, so that some thousand texts are needed to tell good samplers apart. Values of
    other features, or of another number of texts, are not to be compared.

    Raises:
        ResourceError: the package mauve-text is not installed.

    Source: Pillutla et al. 2021, arXiv 2102.01454; all settings are those of the package.
    """
    require_mauve()
    from mauve import compute_mauve

    found = compute_mauve(p_features=true, q_features=written, seed=seed, verbose=False)
    return float(found.mauve)


def require_mauve() -> str:
    """The version of the package.

    Raises:
        ResourceError: it is not installed.
    """
    if find_spec("mauve") is None:
        raise ResourceError(
            "the package mauve-text is not installed: pip install 'textdiff[mauve]', or leave --mauve out"
        )
    return version("mauve-text")
