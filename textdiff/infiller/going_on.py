"""Text that goes on from what is given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch

from textdiff.denoiser import Reader
from textdiff.draws import Draws
from textdiff.infiller.blocks import write_blocks
from textdiff.infiller.cutting import Blocks
from textdiff.infiller.writing import Progress, Written, text_constraint, write
from textdiff.model import DiffusionModel
from textdiff.sampling import Classifier, Sampler
from textdiff.text.canvas import Canvas
from textdiff.text.tokenizers import Tokenizer


def go_on(
    model: DiffusionModel,
    tokenizer: Tokenizer,
    sampler: Sampler,
    given: Sequence[Sequence[int]],
    count: int,
    seed: int,
    *,
    numbers: Sequence[int] | None = None,
    blocks: Blocks | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    weak: Reader | None = None,
    classifier: Classifier | None = None,
) -> Written:
    """Writes so many tokens of text behind each of some rows of given ids.

    A row depends on its ids and on (seed, its number) alone.

    Args:
        given: what rows begin with, the ids at the start of a document included.
        count: how many tokens each row gets.
        seed: of the draws.
        numbers: of the rows; by default 0, 1, …
        blocks: how they are cut, where the rows' given ids are as many; None to write all tokens at once, or
            in the blocks that the model was trained with.
        on_progress, weak, classifier: see `write`.
    """
    own = [*range(len(given))] if numbers is None else [*numbers]
    seeds = Draws.seeded([seed] * len(given)).fold(torch.tensor(own)).keys.tolist()
    # what stands at free positions is of no matter: the sampler begins with noise
    rows = [[*ids, *[tokenizer.vocabulary.pad_id] * count] for ids in given]
    frozen = [[True] * len(ids) + [False] * count for ids in given]
    canvas = Canvas.of_rows(rows, frozen, seeds, tokenizer.vocabulary)
    constraint = partial(text_constraint, tokenizer=tokenizer)
    if blocks is None and model.process.causal_blocks is not None:
        blocks = Blocks.of(model, None, canvas.shape[1])
    if blocks is None:
        return write(model, sampler, canvas, constraint(canvas), on_progress, weak, classifier=classifier)
    return write_blocks(model, sampler, canvas, blocks, constraint, on_progress, weak, classifier)
