"""What a model expects at places of a text, given everything else in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from textdiff.draws import Draws
from textdiff.model import DiffusionModel
from textdiff.processes import AbsorbingProcess, HybridProcess, UniformProcess
from textdiff.text.canvas import Canvas
from textdiff.text.tokenizers import Tokenizer

POSITIONS, QUESTIONS = 8192, 512
"""Of a batch, at most. They change the speed, never a result."""

_ALPHA = 0.99
_BLANK = 32  # positions of the empty text that tells how common tokens are


@dataclass(frozen=True)
class Row:
    """Tokens to look at, and what is asked about them.

    Attributes:
        ids: the tokens of a window.
        asked: positions whose token is to be predicted, rising.
        hidden: positions that the model does not see, those asked among them; () for a look at the clean text, in which
            each position is predicted from the others (see `reads_clean`).
        start: where in its text the row begins. Noise at hidden positions is seeded with it, where a process has no mask.
    """

    ids: Sequence[int]
    asked: Sequence[int]
    hidden: Sequence[int]
    start: int = 0


@dataclass(frozen=True)
class Answers:
    """What a model says of the tokens asked about, in the order of their rows: tensors [N].

    Attributes:
        places: where in its text each of them stands, Long.
        log_p: log-probability of the token that stands there, nats, float64.
        rank: its place among all tokens by probability, from 1, Long.
        choice: the most probable token, Long.
        choice_log_p: its log-probability, float64.
    """

    places: Tensor
    log_p: Tensor
    rank: Tensor
    choice: Tensor
    choice_log_p: Tensor


def reads_clean(model: DiffusionModel) -> bool:
    """Whether one look at a clean text answers for all of its tokens at once, each from all the others.

    A model of uniform or hybrid noise gives p(x_0 at i | x_t without i) at every position. As t falls to 0, x_t becomes
    the text itself, and this the leave-one-out law of its tokens.
    """
    return isinstance(model.process, (HybridProcess, UniformProcess))


def clean_time(model: DiffusionModel) -> float:
    """The time at which a clean text is read.

    It is 0 where the network gives the leave-one-out law itself: training comes as near to 0 as one likes. A network that
    gives p(x_0 | x_t) repeats x_t there and says nothing else. It is read where one token in a hundred is noise, and the
    evidence of the token itself is taken out of what it says; the other tokens are then believed that much less.
    """
    if model.config.prediction == "leave_one_out":
        return 0.0
    return float(model.process.schedule.inverse(torch.tensor(_ALPHA, dtype=torch.float64)))


def ask(model: DiffusionModel, tokenizer: Tokenizer, rows: Iterable[Row]) -> Iterator[Answers]:
    """The answers to all rows, a batch at a time, in their order.

    Hidden positions hold pure noise (t = 1), which says nothing of what it hides, and the others are given, just as when
    a gap is filled. The filler is no answer: where a text stands there is no hole.
    """
    batch: list[Row] = []
    length = questions = 0
    for row in rows:
        length, questions = max(length, len(row.ids)), questions + len(row.asked)
        if batch and (length * (len(batch) + 1) > POSITIONS or questions > QUESTIONS):
            yield _answers(model, tokenizer, batch)
            batch, length, questions = [], len(row.ids), len(row.asked)
        batch.append(row)
    if batch:
        yield _answers(model, tokenizer, batch)


def commonness(model: DiffusionModel, tokenizer: Tokenizer) -> Tensor:
    """How probable the model finds each token where it knows nothing of a text: log-probabilities, float64 [V]."""
    blank = tokenizer.vocabulary.pad_id
    start = len(tokenizer.prefix_ids)
    count = max(1, min(_BLANK, model.config.context_length - start - len(tokenizer.suffix_ids)))
    ids = [*tokenizer.prefix_ids, *[blank] * count, *tokenizer.suffix_ids]
    places = range(start, start + count)
    log_p = _log_p(model, tokenizer, [Row(ids, places, places)])[1]
    return log_p.double().exp().mean(0).log().cpu()


def _answers(model: DiffusionModel, tokenizer: Tokenizer, rows: list[Row]) -> Answers:
    ids, log_p = _log_p(model, tokenizer, rows)
    truth = log_p.gather(-1, ids.unsqueeze(-1))
    best, choice = log_p.max(-1)
    rank = 1 + (log_p > truth).sum(-1)
    places = torch.tensor([row.start + i for row in rows for i in row.asked], dtype=torch.long)
    return Answers(places, truth.squeeze(-1).double().cpu(), rank.cpu(), choice.cpu(), best.double().cpu())


@torch.no_grad()
def _log_p(model: DiffusionModel, tokenizer: Tokenizer, rows: list[Row]) -> tuple[Tensor, Tensor]:
    """The tokens asked about, Long [N], and the law of each, float32 [N, V]."""
    special = set(tokenizer.vocabulary.special_ids)
    clean = not rows[0].hidden
    frozen = []
    for row in rows:
        hidden = set(row.hidden)
        frozen.append([token in special if clean else i not in hidden for i, token in enumerate(row.ids)])
    ids = [row.ids for row in rows]
    canvas = Canvas.of_rows(ids, frozen, [row.start for row in rows], tokenizer.vocabulary).to(model.device)
    asked = torch.zeros_like(canvas.frozen)
    for i, row in enumerate(rows):
        asked[i, list(row.asked)] = True
    x_t = canvas.ids if clean else torch.where(canvas.free, _noise(model, canvas), canvas.ids)
    time = clean_time(model) if clean else 1.0
    logits = model.denoise(x_t, torch.full((len(x_t),), time, dtype=torch.float64, device=x_t.device), canvas, asked)
    if tokenizer.vocabulary.filler_id is not None:
        logits[:, tokenizer.vocabulary.filler_id] = -torch.inf
    return canvas.ids[asked], logits.log_softmax(-1)


def _noise(model: DiffusionModel, canvas: Canvas) -> Tensor:
    """Pure noise, Long [B, L]: masks where the process knows any."""
    mask = model.vocabulary.mask_id
    if mask is not None and isinstance(model.process, (AbsorbingProcess, HybridProcess)):
        return torch.full_like(canvas.ids, mask)
    return model.process.sample_noise(canvas.ids, Draws.seeded(canvas.seeds))
