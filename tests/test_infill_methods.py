"""Ways to fill gap cases: what each may see, what its law costs, and that it does what it is called."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from infill_samples import CASES, MANNER, TEXT, looking_infiller, rows_of
from oracles import VOCABULARY, ToyLanguage, canvas_of
from tiny import tiny_checkpoint
from torch import Tensor

from textdiff.denoiser import Denoiser
from textdiff.errors import DataError, UsageError
from textdiff.evaluation.infilling import BASELINES, GapCase, Way, calibrate, joint_way, make_cases, way_of
from textdiff.evaluation.infilling.likelihood import known_length, manner_nats
from textdiff.evaluation.infilling.methods import answer
from textdiff.evaluation.infilling.rows import MANNERS, GapRows, Manner, gap_ids, gap_rows
from textdiff.infiller import Infiller
from textdiff.metrics.likelihood import position_nats, spread_levels
from textdiff.processes import AbsorbingProcess
from textdiff.sampling.warps import TemperatureWarp
from textdiff.text.canvas import Canvas
from textdiff.text.document import GapLength


@pytest.fixture(scope="module")
def infiller() -> Infiller:
    return looking_infiller()


@pytest.mark.parametrize("kind", ["byte_bpe", "characters", "sentencepiece_unigram"])
def test_rows_are_those_that_the_infiller_lays_out(kind: str) -> None:
    checkpoint = tiny_checkpoint(kind=kind, context_length=256)
    tokenizer = checkpoint.tokenizer
    inside = [gap_ids(case, case.truth, tokenizer) for case in CASES]
    rows = gap_rows(CASES, inside, tokenizer, 256, seed=5)
    documents = [
        case.document([GapLength(len(i), len(i), "tokens") for i in ids])
        for case, ids in zip(CASES, inside, strict=True)
    ]
    seen: list[Canvas] = []
    watch = lambda layout, progress: seen.append(layout.canvas)  # noqa: E731
    Infiller(checkpoint.model, tokenizer, checkpoint.samplers).infill(documents, steps=1, on_progress=watch)
    assert torch.equal(seen[0].free, rows.canvas.free) and torch.equal(seen[0].valid, rows.canvas.valid)
    outside = rows.canvas.frozen & rows.canvas.valid
    assert torch.equal(seen[0].ids[outside], rows.canvas.ids[outside])
    assert rows.texts(rows.canvas.ids, tokenizer) == [case.truth for case in CASES]
    assert rows.gap[0].max() == 1 and torch.equal(rows.gap >= 0, rows.canvas.free)


def test_a_row_that_does_not_fit_is_one_sentence(infiller: Infiller) -> None:
    inside = [gap_ids(case, case.truth, infiller.tokenizer) for case in CASES]
    with pytest.raises(DataError, match="the model's context has 9"):
        gap_rows(CASES, inside, infiller.tokenizer, 9, seed=0)


def shown_as(manner: str, gaps: str) -> list[str]:
    """Each turn: W what is written, ? what is hidden, . what is seen."""
    gap = torch.tensor([[int(c) if c.isdigit() else -1 for c in gaps]])
    return [
        "".join("W" if f else "?" if h else "." for f, h in zip(free[0], hidden[0], strict=True))
        for free, hidden in MANNER[manner].views(gap)
    ]


def test_what_each_manner_writes_and_hides() -> None:
    gaps = "-00-1-"
    assert shown_as("joint", gaps) == [".WW.W."] == shown_as("masks_at_once", gaps)
    assert shown_as("gap_alone", gaps) == [".WW.?.", ".??.W."]
    assert shown_as("left_only", gaps) == [".WW???", "....W?"]
    assert shown_as("masks_in_turn", gaps) == [".W?.?.", "..W.?.", "....W."]


def test_rows_with_fewer_gaps_rest_while_others_go_on() -> None:
    gap = torch.tensor([[0, -1, 1], [-1, 0, -1]])
    free, hidden = list(MANNER["left_only"].views(gap))[1]
    assert free.tolist() == [[False, False, True], [False] * 3] and not hidden.any()


def masked_where_hidden(denoiser: Denoiser) -> Denoiser:
    """As a model does it: hidden tokens are masks like any other."""

    def denoise(x_t: Tensor, t: Tensor, canvas: Canvas, where: Tensor) -> Tensor:
        hidden = torch.zeros_like(canvas.frozen) if canvas.hidden is None else canvas.hidden
        seen = Canvas(canvas.ids, canvas.frozen & ~hidden, canvas.valid, canvas.seeds)
        return denoiser(x_t.masked_fill(hidden, VOCABULARY.mask_id), t, seen, where)

    return denoise


LANGUAGE = ToyLanguage.random(length=5, seed=4)
GAP = torch.tensor([[-1, 0, 0, -1, 1], [0, -1, 1, 2, -1], [-1, -1, 0, -1, -1], [0, 0, -1, 0, 1]])[:3]


def log_p(ids: Tensor, wanted: Tensor, seen: Tensor) -> float:
    """log p(wanted positions | seen positions) of one row, by enumeration."""
    fits = (LANGUAGE.sequences == ids) | ~seen
    both = (LANGUAGE.sequences == ids) | ~(seen | wanted)
    p = LANGUAGE.probabilities
    return float((p * both.all(-1)).sum().log() - (p * fits.all(-1)).sum().log())


def exact(manner: str, ids: Tensor, gap: Tensor) -> float:
    """-log p of the gaps of one row under a manner's law, turn by turn."""
    inside, place = gap >= 0, torch.arange(len(gap))
    total = 0.0
    if manner == "joint":
        return -log_p(ids, inside, ~inside)
    for i in place[inside].tolist():
        if manner == "masks_at_once":
            total -= log_p(ids, place == i, ~inside)
        if manner == "masks_in_turn":
            total -= log_p(ids, place == i, ~inside | (place < i))
    for number in range(int(gap.max()) + 1):
        free = gap == number
        if manner == "gap_alone":
            total -= log_p(ids, free, ~inside)
        if manner == "left_only":
            total -= log_p(ids, free, (place < place[free].max()) & ~free)
    return total


@pytest.mark.statistical
@pytest.mark.parametrize("manner", MANNERS, ids=lambda m: m.name)
def test_the_infilling_likelihood_is_that_of_the_language(manner: Manner) -> None:
    """With the exact denoiser the bound is no bound but the probability itself: to the digit where nothing is drawn, else
    within four standard errors of 8 batches of 40 repeats."""
    process = AbsorbingProcess(VOCABULARY)
    ids = LANGUAGE.sample(3, seed=1)
    rows = GapRows(canvas_of(ids, GAP < 0, seed=3), GAP, ((0,) * 3,) * 3)
    denoise = masked_where_hidden(LANGUAGE.denoiser(process))
    truth = np.array([exact(manner.name, *row) for row in zip(ids, GAP, strict=True)])
    batches, repeats = (1, 1) if manner.at_once else (8, 40)
    found = np.array(
        [manner_nats(denoise, process, rows, manner, repeats, seed).sum(-1).numpy() for seed in range(batches)]
    )
    tolerance = 1e-6 if manner.at_once else 4 * found.std(0, ddof=1) / math.sqrt(batches) + 1e-6
    assert (np.abs(found.mean(0) - truth) < tolerance).all()


def test_the_bound_lies_in_the_gaps_only_and_the_order_of_rows_is_kept() -> None:
    process = AbsorbingProcess(VOCABULARY)
    ids = LANGUAGE.sample(3, seed=1)
    rows = GapRows(canvas_of(ids, GAP < 0, seed=3), GAP, ((0,) * 3,) * 3)
    denoise = masked_where_hidden(LANGUAGE.denoiser(process))
    for manner in MANNERS:
        nats = manner_nats(denoise, process, rows, manner, 8, seed=0)
        assert (nats[GAP < 0] == 0).all() and (nats[GAP >= 0] > 0).any()
        alone = manner_nats(denoise, process, rows.rows(torch.tensor([0])), manner, 8, seed=0)
        assert torch.allclose(alone[0], nats[0])


def test_levels_far_down_a_text_are_still_distinct() -> None:
    """In single precision, levels of the millionth window fall on a few values, and the estimate is no longer one."""
    levels = spread_levels(4_000_000, 64, 8, seed=1)
    assert levels.dtype == torch.float64
    gaps = levels.flatten().sort().values.diff()
    assert float(gaps.min()) > 1e-4


def test_a_row_has_its_own_noise_wherever_it_stands(infiller: Infiller) -> None:
    """Rows are sorted by length on the way: the first case is not the shortest."""
    rows, process = rows_of(infiller, [CASES[1], CASES[2], CASES[0]]), infiller.model.process
    found = manner_nats(infiller.model.denoise, process, rows, MANNER["joint"], 3, seed=9)
    levels = spread_levels(0, 3, 3, seed=9)
    for i in range(3):
        alone = position_nats(
            infiller.model.denoise, process, rows.canvas.rows(torch.tensor([i])), levels[:, [i]], seed=9
        )
        assert torch.allclose(found[i], alone[0], rtol=1e-4)


def test_fillers_are_out_of_the_question_where_the_length_is_known(infiller: Infiller) -> None:
    rows = rows_of(infiller)
    canvas = rows.canvas
    logits = known_length(infiller)(canvas.ids, torch.full((3,), 0.5), canvas, canvas.free)
    writable = infiller.tokenizer.vocabulary.writable()
    writable[infiller.tokenizer.vocabulary.filler_id] = False
    assert torch.equal(torch.isfinite(logits).all(0), writable)


def argmax_at(infiller: Infiller, ids: Tensor, given: Tensor, position: int, allowed: Tensor) -> int:
    canvas = Canvas(ids[None], given[None], torch.ones_like(given)[None], torch.zeros(1, dtype=torch.long))
    where = (torch.arange(len(ids)) == position)[None]
    with torch.no_grad():
        logits = infiller.model.denoise(ids[None], torch.ones(1, dtype=torch.float64), canvas, where)
    return int(logits[0].masked_fill(~allowed, -torch.inf).argmax())


@pytest.mark.parametrize("method", ["masks_at_once", "masks_in_turn"])
@pytest.mark.parametrize("length", ["true", "words"])
def test_masks_are_filled_as_a_fill_mask_pipeline_does_it(infiller: Infiller, method: str, length: str) -> None:
    tokenizer = infiller.tokenizer
    mask, filler = tokenizer.vocabulary.mask_id, tokenizer.vocabulary.filler_id
    assert mask is not None
    text = tokenizer.vocabulary.writable() & tokenizer.utf8
    text[filler] = False
    text &= torch.tensor([not any((b < 32 and b not in b"\t\n\r") or b == 127 for b in p) for p in tokenizer.pieces])
    answers = answer(infiller, CASES, Way(method, length))
    for case, found in zip(CASES, answers, strict=True):
        true = gap_ids(case, case.truth, tokenizer)
        sizes = [len(ids) if length == "true" else len(t.split()) for ids, t in zip(true, case.truth, strict=True)]
        rows = gap_rows([case], [[[mask] * size for size in sizes]], tokenizer, 256, 0)
        ids, gap = rows.canvas.ids[0].clone(), rows.gap[0]
        known = gap < 0
        written = ids.clone()
        for position in (gap >= 0).nonzero().squeeze(-1).tolist():
            opens = gap[position - 1] != gap[position] and case.given[gap[position]].endswith(" ")
            allowed = text & tokenizer.opens if opens else text
            written[position] = argmax_at(infiller, ids, known, position, allowed)
            if method == "masks_in_turn":
                ids, known = written.clone(), known | (torch.arange(len(gap)) == position)
        assert (found.texts,) == tuple(rows.texts(written[None], tokenizer))
        assert found.calls == (1 if method == "masks_at_once" else sum(sizes))


def changed(case: GapCase, part: int, text: str) -> GapCase:
    return replace(case, given=(*case.given[:part], text, *case.given[part + 1 :]))


def test_left_only_does_not_see_the_right_and_gap_alone_not_the_others(infiller: Infiller) -> None:
    first = CASES[0]
    right = changed(first, 2, ", and the fell rain.")
    gap = replace(first, references=(first.references[0], ("garden",)))

    def first_gap(case: GapCase, name: str) -> tuple[list[float], str]:
        """What its true text costs, and what is written there."""
        rows = rows_of(infiller, [case])
        nats = manner_nats(known_length(infiller), infiller.model.process, rows, MANNER[name], 3, seed=0)
        return nats[rows.gap == 0].tolist(), answer(infiller, [case], Way(name, "true"), seed=1)[0].texts[0]

    for name, other in (("left_only", right), ("left_only", gap), ("gap_alone", gap)):
        (cost, text), (same_cost, same_text) = first_gap(first, name), first_gap(other, name)
        assert cost == pytest.approx(same_cost) and text == same_text, (name, other)
    for name, other in (
        ("joint", right),
        ("joint", gap),
        ("gap_alone", right),
        ("left_only", changed(first, 0, "The ")),
    ):
        assert first_gap(first, name)[0] != pytest.approx(first_gap(other, name)[0], rel=1e-3), (name, other)


def test_one_gap_alone_is_filled_as_by_the_infiller(infiller: Infiller) -> None:
    """With nothing else to hide; greedy, so that seeds do not matter."""
    greedy = replace(infiller.samplers.infill, warps=(TemperatureWarp(0.0),))
    cold = replace(infiller, samplers=replace(infiller.samplers, infill=greedy))
    cases = make_cases([TEXT], "words", 6, context=60)
    alone, joint = (answer(cold, cases, Way(method, "true")) for method in ("gap_alone", "joint"))
    assert [found.texts for found in alone] == [found.texts for found in joint]


def test_the_most_frequent_words_are_counted_in_what_is_given() -> None:
    cases = [
        GapCase("words", ("a b c a b ", " x"), (("hidden hidden",),)),
        GapCase("words", ("hidden a ", " c b"), (("hidden",),)),
    ]
    found = answer(None, cases, Way("most_frequent", "words"))  # type: ignore[arg-type]  # no network is needed
    assert [a.texts for a in found] == [("a b",), ("a",)] and all(a.calls == 0 for a in found)
    assert answer(None, cases, Way("most_frequent", "1"))[0].texts == ("a",)  # type: ignore[arg-type]


def test_lengths_are_asked_for_as_a_user_would(infiller: Infiller) -> None:
    tokens = [len(ids) for ids in gap_ids(CASES[0], CASES[0].truth, infiller.tokenizer)]
    seen: list[list[str]] = []

    @dataclass(frozen=True)
    class Listening(Infiller):
        def infill(self, documents: Any, **options: Any) -> Any:
            seen.append([gap.length and str(vars(gap.length)) for gap in documents[0].gaps])
            return super().infill(documents, **options)

    listening = Listening(infiller.model, infiller.tokenizer, infiller.samplers, "t")
    for length in ("true", "words", "3", "auto"):
        answer(listening, CASES[:1], joint_way(length), seed=1)
    asked = [[{"low": n, "high": n, "unit": unit} for n in ns] for ns, unit in ((tokens, "tokens"), ([2, 1], "words"))]
    asked.append([{"low": 3, "high": 3, "unit": "tokens"}] * 2)
    assert seen == [*([str(a) for a in row] for row in asked), [None, None]]
    with pytest.raises(UsageError, match="Did you mean 'true'"):
        joint_way("ture")
    with pytest.raises(UsageError):
        joint_way("0")


def test_ways_have_names() -> None:
    assert all(way_of(str(way)) == way for way in (*BASELINES, Way("joint", "auto")))
    wrong = {"masks_in_trun/true": "Did you mean 'masks_in_turn'", "left_only/3": "takes the length true or words"}
    for name, said in (wrong | {"most_frequent/true": "words or a number", "joint/": "a length must be"}).items():
        with pytest.raises(UsageError, match=said):
            way_of(name)


def test_confidences_are_fitted_to_what_comes_back(infiller: Infiller) -> None:
    fills = [found.texts for found in answer(infiller, CASES, Way("joint", "auto"))]
    mine = [replace(case, references=tuple(("x", t) for t in texts)) for case, texts in zip(CASES, fills, strict=True)]
    other = [
        replace(case, references=tuple((t + "!",) for t in texts)) for case, texts in zip(CASES, fills, strict=True)
    ]
    right, wrong = calibrate(infiller, mine), calibrate(infiller, other)
    assert right.gaps == wrong.gaps == sum(len(texts) for texts in fills)
    assert wrong.confidence(math.log(0.5)) < 0.5 < right.confidence(math.log(0.5))
    # what was fitted before plays no part
    assert calibrate(replace(infiller, calibration=wrong), mine) == right
