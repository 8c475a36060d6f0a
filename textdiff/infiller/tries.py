"""Lengths that are tried: what the network says of a gap of so many tokens, while all of it is noise."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor

from textdiff.infiller.drafts import Plan
from textdiff.infiller.forward import first_looks
from textdiff.model import DiffusionModel
from textdiff.text.layout import lay_out
from textdiff.text.tokenizers import Tokenizer


@dataclass(frozen=True)
class Try:
    """A number of tokens to be tried for a gap of a plan."""

    plan: int
    gap: int
    tokens: int


def looks_at(
    tries: Sequence[Try],
    plans: Sequence[Plan],
    lengths: Sequence[Sequence[int]],
    model: DiffusionModel,
    tokenizer: Tokenizer,
    open_gaps: Callable[[int], Collection[int]] = lambda plan: (),
) -> Iterator[tuple[Try, Tensor]]:
    """Each try, in no particular order, with log-probabilities [tokens, V] at its gap.

    Args:
        tries: each has a row of its own.
        plans: all of them, by number.
        lengths: of their gaps as they stand; a try changes one of them.
        model, tokenizer: who is asked.
        open_gaps: of a plan, those whose length is not settled; the one that is tried counts as settled.
    """
    drafts = []
    for attempt in tries:
        changed = [*lengths[attempt.plan]]
        changed[attempt.gap] = attempt.tokens
        others = [gap for gap in open_gaps(attempt.plan) if gap != attempt.gap]
        drafts.append(plans[attempt.plan].draft(changed, others))
    layout = lay_out(drafts, tokenizer, model.config.context_length)
    wanted = [slot for slot in layout.slots if slot.kept and slot.gap == tries[slot.draft].gap]
    for slot, log_p in first_looks(model, layout, wanted):
        yield tries[slot.draft], log_p
