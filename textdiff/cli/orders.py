"""The metrics `order_bound` and `decoder` of `textdiff evaluate`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from textdiff.infiller import Infiller
    from textdiff.metrics import Score

_DECODER = "top_probability"


def order_scores(
    infiller: Infiller,
    files: Sequence[Path],
    wanted: Sequence[str],
    orders: int,
    steps: Sequence[int],
    sampler: str | None,
    temperature: float | None,
    **options: Any,
) -> list[Score]:
    """The scores of those of the two that are wanted, for each number of steps.

    Args:
        orders: of `order_bound`.
        steps: of either; by default one token at a time, and as many as the sampler has.
        sampler, temperature: of `decoder`, which refuses any temperature but that of the model.
        options: see `evaluate_order_bound`.
    """
    from textdiff.evaluation import DECODER, ORDER_BOUND, evaluate_decoder, evaluate_order_bound
    from textdiff.infiller import SamplerOptions
    from textdiff.sampling import preset

    scores = []
    for count in steps or (None,):
        if ORDER_BOUND in wanted:
            scores += evaluate_order_bound(infiller, files, orders, count, **options)
        if DECODER in wanted:
            decoder = SamplerOptions(sampler, count, temperature).apply(preset(_DECODER))
            scores += evaluate_decoder(infiller, files, decoder, **options)
    return scores
