"""The metrics `order_bound` and `decoder`: what texts cost an absorbing model that writes them in an order.

- order_bound: a bound on -log p(text), tighter than the NELBO: tokens are written one at a time in a random order, and the mean
  of the probabilities of several orders is taken (importance weighting). One order gives the NELBO's value on average, many
  give the likelihood itself. With steps, several tokens are written at once: then it is the likelihood of the ancestral
  sampler with so many steps, which says what few steps cost.
- decoder: the exact likelihood of a sampler whose order follows from what it has written, not from what it draws. Such a
  sampler is a model of its own: its figure is no bound on the likelihood of others.

A window of F tokens takes up to F network calls an order, or as many as the sampler has steps: so a few windows are scored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from textdiff.corpus import Unit, load_corpus
from textdiff.data import evaluation_batches
from textdiff.errors import DataError, UsageError
from textdiff.evaluation.likelihood import ROWS, likelihood_scores, on_device
from textdiff.evaluation.running import DECODER, ORDER_BOUND, document_ends, scored_text
from textdiff.evaluation.signing import digest, model_parts, packing, sampler_digest
from textdiff.infiller import Infiller
from textdiff.metrics import Likelihood, Score, signature
from textdiff.metrics.likelihood import ratio_error, scored_tokens
from textdiff.metrics.orders import decoder_nats, importance_weighted, order_nats
from textdiff.sampling import Sampler
from textdiff.text.canvas import Canvas

WINDOWS = 4
"""That are scored where nobody says how many."""


def evaluate_order_bound(
    infiller: Infiller,
    files: Sequence[str | Path],
    orders: int = 8,
    steps: int | None = None,
    *,
    max_windows: int | None = None,
    seed: int = 0,
    unit: Unit = "file",
    column: str = "text",
    on_windows: Callable[[int], None] = lambda done: None,
) -> list[Score]:
    """The importance-weighted bound over orders; see the head of this module.

    Args:
        infiller: the model.
        files: see `load_corpus`.
        orders: for each window, at least 1.
        steps: of the ancestral sampler that is meant; by default one token at a time.
        max_windows: `WINDOWS` by default, spread evenly.
        seed: of the orders.
        unit, column: see `load_corpus`.
        on_windows: called with the number of windows that are done.

    Raises:
        ConfigError: the model's noise is not absorbing.
        DataError: a file cannot be used, or holds nothing that the tokenizer can express.
        UsageError: a number is below 1.
    """
    if orders < 1 or (steps is not None and steps < 1):
        raise UsageError("orders and steps must be at least 1")
    model = infiller.model

    def nats(canvas: Canvas) -> Tensor:
        return importance_weighted(order_nats(model.denoise, model.process, canvas, orders, seed, steps))

    own = {"orders": orders, "steps": steps or "one_at_a_time"}
    return _scores(infiller, files, ORDER_BOUND, nats, own, max_windows, seed, unit, column, on_windows)


def evaluate_decoder(
    infiller: Infiller,
    files: Sequence[str | Path],
    sampler: Sampler,
    *,
    max_windows: int | None = None,
    seed: int = 0,
    unit: Unit = "file",
    column: str = "text",
    on_windows: Callable[[int], None] = lambda done: None,
) -> list[Score]:
    """The exact likelihood of a decoder; see the head of this module.

    Args:
        sampler: see `decoder_nats`.
        infiller, files, max_windows, seed, unit, column, on_windows: see `evaluate_order_bound`.

    Raises:
        ConfigError: the model's noise is not absorbing, or the sampler's order looks at the answer.
        DataError: a file cannot be used, or holds nothing that the tokenizer can express.
    """
    model = infiller.model

    def nats(canvas: Canvas) -> Tensor:
        return decoder_nats(model.denoise, model.process, canvas, sampler)

    own = {"decoder": sampler_digest(sampler), "steps": sampler.steps if sampler.grid.counts_steps else "own"}
    return _scores(infiller, files, DECODER, nats, own, max_windows, seed, unit, column, on_windows)


def _scores(
    infiller: Infiller,
    files: Sequence[str | Path],
    name: str,
    nats_of: Callable[[Canvas], Tensor],
    own: Mapping[str, object],
    max_windows: int | None,
    seed: int,
    unit: Unit,
    column: str,
    on_windows: Callable[[int], None],
) -> list[Score]:
    """Nats a token and bits a byte; names tell the number of steps, so that several stand in one table."""
    steps = own["steps"]
    name += f"_in_{steps}_steps" if isinstance(steps, int) else ""
    infiller.require_documents()
    texts = list(load_corpus(files, unit, column))
    text, ends = scored_text(texts, infiller.tokenizer), document_ends(infiller, None)
    windows, vocabulary = max_windows or WINDOWS, infiller.tokenizer.vocabulary
    batches = evaluation_batches(text.ids, infiller.model.config.context_length, ROWS, vocabulary, seed, windows, ends)
    nats, tokens = [], []
    for canvas in on_device(batches, infiller.model, on_windows):
        nats.append(nats_of(canvas))
        tokens.append(scored_tokens(canvas, vocabulary.filler_id).cpu())
    costs, counts = torch.cat(nats), torch.cat(tokens)
    some = counts > 0  # as in the NELBO's own error
    if not some.any():
        raise DataError("the windows that were to be scored hold nothing that the tokenizer can express; score more")
    error, degrees = ratio_error(costs[some], counts[some]), float(some.sum()) - 1
    parts = {"data": digest(texts), "packing": packing(ends), "windows": windows, **own, "seed": seed}
    sign = signature({**model_parts(infiller), **parts})
    found = Likelihood(float(costs.sum()), int(counts.sum()), 0, error, degrees)
    per_token, per_byte = likelihood_scores(found, text, infiller.tokenizer, sign)[:2]
    return [replace(per_token, name=name), replace(per_byte, name=f"{name}_bits_per_byte")]
