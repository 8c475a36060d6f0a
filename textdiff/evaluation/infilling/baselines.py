"""The simple ways to fill gaps that the infiller has to beat."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from textdiff.evaluation.infilling.cases import GapCase
from textdiff.evaluation.infilling.likelihood import shown
from textdiff.evaluation.infilling.rows import GapRows, Manner, gap_ids, gap_rows
from textdiff.evaluation.infilling.ways import Answer
from textdiff.infiller import Infiller
from textdiff.sampling import Sampler, TokenClasses
from textdiff.sampling.warps import TemperatureWarp
from textdiff.text.tokenizers import Tokenizer

ROWS = 32
"""Rows of a batch. It changes the speed, never a result."""


def fill_frequent(cases: Sequence[GapCase], length: str) -> list[Answer]:
    """The most frequent run of as many words as the true text has (or of so many) in all that is given.

    Of equally frequent runs the first one.
    """
    texts = [given.split() for case in cases for given in case.given]
    best: dict[int, str] = {}

    def run(count: int) -> str:
        if count not in best:
            runs = Counter(" ".join(t[i : i + count]) for t in texts for i in range(len(t) - count + 1))
            best[count] = max(runs, key=runs.__getitem__) if runs else ""
        return best[count]

    answers = []
    for case in cases:
        counts = [int(length) if length.isdecimal() else len(text.split()) for text in case.truth]
        answers.append(Answer(tuple(map(run, counts)), (None,) * len(counts), 0))
    return answers


def fill_in_turns(
    infiller: Infiller,
    cases: Sequence[GapCase],
    manner: Manner,
    length: str,
    seed: int,
    on_cases: Callable[[int], None],
) -> list[Answer]:
    """One of `MANNERS`, with as many positions as the true text has tokens, or as it has words.

    The sampler is the infiller's own, but for masks that are filled at once or in turn: these take the argmax.
    """
    tokenizer = infiller.tokenizer
    mask = tokenizer.vocabulary.mask_id or 0
    inside = []
    for case in cases:
        true = gap_ids(case, case.truth, tokenizer)
        counts = [
            len(ids) if length == "true" else len(text.split()) for ids, text in zip(true, case.truth, strict=True)
        ]
        inside.append([[mask] * count for count in counts])
    rows = gap_rows(cases, inside, tokenizer, infiller.context_length, seed)
    sampler = Sampler(steps=1, warps=(TemperatureWarp(0.0),)) if manner.at_once else infiller.samplers.infill
    ids, calls = rows.canvas.ids.clone(), torch.zeros(len(cases), dtype=torch.long)
    lengths = rows.canvas.valid.sum(-1)
    done = 0
    for part in torch.split(lengths.argsort(stable=True), ROWS):
        _write_turns(infiller, rows, part, int(lengths[part].max()), manner, sampler, ids, calls)
        done += len(part)
        on_cases(done)
    texts = rows.texts(ids, tokenizer)
    return [Answer(t, (None,) * len(t), int(n)) for t, n in zip(texts, calls, strict=True)]


def _write_turns(
    infiller: Infiller,
    rows: GapRows,
    part: Tensor,
    length: int,
    manner: Manner,
    sampler: Sampler,
    ids: Tensor,
    calls: Tensor,
) -> None:
    """Writes the gaps of some rows into `ids`, and adds their network calls to `calls`."""
    model = infiller.model
    table, which = _classes(rows.rows(part), length, infiller.tokenizer)
    for free, hidden in manner.views(rows.gap[part, :length]):
        busy = free.any(-1)
        chosen = part[busy]
        canvas = shown(rows.canvas.with_ids(ids), chosen, length, free[busy], hidden[busy])
        classes = TokenClasses(table.to(model.device), which[busy].to(model.device))
        samples = sampler.sample(model.read, model.process, canvas.to(model.device), classes)
        ids[chosen, :length] = samples.ids.cpu()
        calls[chosen] += samples.nfe.cpu()


def _classes(rows: GapRows, length: int, tokenizer: Tokenizer) -> tuple[Tensor, Tensor]:
    """What may stand where: a class for each state in which a gap begins, and one for all that follows.

    Returns:
        Bool [C, V], the ids of each class; Long [B, length], the class of each position.
    """
    spelling = tokenizer.spelling
    states = list(dict.fromkeys([spelling.plain, *(start for starts in rows.starts for start in starts)]))
    table = torch.tensor([[text is not None for text in spelling.texts(state)] for state in states])
    which = torch.zeros(len(rows.gap), length, dtype=torch.long)
    for row, starts in enumerate(rows.starts):
        for number, start in enumerate(starts):
            which[row, int((rows.gap[row] == number).long().argmax())] = states.index(start)
    return table, which
