"""The infilling benchmark: cases that can be repeated, figures that are right, baselines that do what they are called."""

from __future__ import annotations

import gzip
import json
import math
import random
import re
import runpy
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import sacrebleu
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import VOCABULARY, ToyLanguage, canvas_of
from test_infiller import infiller_of
from tiny import run, save_tiny, tiny_checkpoint
from torch import Tensor

from textdiff.denoiser import Denoiser
from textdiff.errors import DataError, UsageError
from textdiff.evaluation import case_sets, evaluate_infilling
from textdiff.evaluation.infilling import (
    BASELINES,
    KINDS,
    Answer,
    GapCase,
    Way,
    given_cases,
    holds_cases,
    joint_way,
    make_cases,
    way_of,
)
from textdiff.evaluation.infilling.likelihood import known_length, manner_nats
from textdiff.evaluation.infilling.methods import answer
from textdiff.evaluation.infilling.rows import MANNERS, GapRows, Manner, gap_ids, gap_rows
from textdiff.evaluation.infilling.scoring import FilledGap, differences, filled_gaps, scores
from textdiff.evaluation.infilling.sets import CaseSet
from textdiff.evaluation.infilling.spans import sentence_at, sentences_of, words_at
from textdiff.infiller import Infiller
from textdiff.metrics import Score, calibration_error, calibration_parts, jackknife, overlap, ratio
from textdiff.metrics.likelihood import position_nats, spread_levels
from textdiff.processes import AbsorbingProcess, UniformProcess
from textdiff.sampling.warps import TemperatureWarp
from textdiff.text.canvas import Canvas
from textdiff.text.document import GapLength

TEXT = (Path(__file__).parent.parent / "data" / "corpus" / "garden.txt").read_text(encoding="utf8")
MANNER = {manner.name: manner for manner in MANNERS}


# cases


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", [0, 7])
def test_the_true_texts_give_the_text_back_byte_by_byte(kind: str, seed: int) -> None:
    cases = make_cases([TEXT[:20_000], TEXT[20_000:]], kind, 40, seed)
    for case in cases:
        assert case.kind == kind and len(case.given) == len(case.references) + 1
        data = case.document([None] * len(case.truth)).fill(case.truth).data
        assert data == case.filled(case.truth).encode()
        assert data.decode() in TEXT[:20_000] or data.decode() in TEXT[20_000:]
        assert len(case.given[0]) <= 320 and len(case.given[-1]) <= 320
        assert case.given[0] == case.given[0].lstrip() and case.given[-1] == case.given[-1].rstrip()


def test_cases_follow_from_the_seed_and_fewer_are_the_first_ones() -> None:
    cases = make_cases([TEXT], "several", 30, seed=3)
    assert cases == make_cases([TEXT], "several", 30, seed=3)
    assert cases[:12] == make_cases([TEXT], "several", 12, seed=3)
    assert cases[0] != make_cases([TEXT], "several", 1, seed=4)[0]
    assert [len(c.truth[0].split()) for c in make_cases([TEXT], "words", 7, words=(1, 3))] == [1, 2, 3, 1, 2, 3, 1]
    assert {case.truth for case in cases} == {case.truth for case in make_cases([TEXT], "several", 30, 3, context=40)}


@pytest.mark.parametrize("kind", KINDS)
def test_gaps_are_as_long_as_asked_and_no_two_meet(kind: str) -> None:
    # every word is numbered, so that a gap's place can be read off its text
    numbers = iter(range(10**6))
    lines = [" ".join(f"W{next(numbers)}" for _ in range(12)) + "." for _ in range(400)]
    text = "\n".join(lines)
    cases = make_cases([text], kind, 55)
    taken: set[str] = set()
    for index, case in enumerate(cases):
        for truth in case.truth:
            words = re.findall(r"W\d+", truth)
            assert len(words) == len(truth.split()) and taken.isdisjoint(words)
            taken |= {*words}
        counts = [len(truth.split()) for truth in case.truth]
        assert {"word": counts == [1], "words": counts == [2 + index % 11], "sentence": counts == [12]}.get(kind, True)
        if kind == "several":
            assert 2 <= len(counts) <= 4 and all(1 <= count <= 4 for count in counts)
            assert all(1 <= len(between.split()) <= 9 for between in case.given[1:-1])
    if kind == "several":
        assert {len(case.truth) for case in cases} == {2, 3, 4}


@pytest.mark.parametrize(
    ("text", "start", "count", "found"),
    [
        ("He said, 'Dear old man,' and left.", 3, 1, "said"),
        ("He said, 'Dear old man,' and left.", 4, 1, "Dear"),
        ("He said, 'Dear old man,' and left.", 8, 3, "Dear old man"),
        ("He said, 'Dear old man,' and left.", 8, 4, "Dear old man,' and"),
        ("He  said", 0, 2, None),
        ("He\nsaid", 0, 2, None),
        ("so -- he", 2, 1, None),
        ("so -- he", 0, 3, "so -- he"),
        ("Mr. Smith's dog's.", 4, 2, "Smith's dog's"),
        ("end", 0, 1, "end"),
        ("end", 1, 1, None),
        ("", 0, 1, None),
    ],
)
def test_a_gap_takes_words_without_the_marks_around_them(text: str, start: int, count: int, found: str | None) -> None:
    span = words_at(text, start, count)
    assert (None if span is None else text[slice(*span)]) == found


@settings(max_examples=300)
@given(st.text("ab1 é.,'\"\n\t\u00a0", max_size=30), st.integers(0, 30), st.integers(1, 4))
def test_words_are_whole_and_single_spaced(text: str, start: int, count: int) -> None:
    start = min(start, len(text))
    span = words_at(text, start, count)
    if span is None:
        return
    a, b = span
    assert start <= a < b and text[a].isalnum() and text[b - 1].isalnum()
    assert text[a:b].split(" ") == text[a:b].split() and len(text[a:b].split()) == count
    before = re.split(r"\s", text[:a])[-1]
    after = re.split(r"\s", text[b:])[0]
    assert not any(map(str.isalnum, before + after)), "a word was cut"


def test_sentences_end_where_a_reader_sees_it() -> None:
    line = 'Mr. Bold came. "Is it J. B. Smith?" he asked. "Yes!" So it was... He left. And then'
    found = [line[a:b] for a, b in sentences_of(line)]
    assert found == ["Mr. Bold came.", '"Is it J. B. Smith?" he asked.', '"Yes!"', "So it was...", "He left."]
    text = "One two. Three four five.\nSix seven eight nine. Ten."
    span = sentence_at(text, 3, 3, 9)
    assert span is not None and text[slice(*span)] == "Three four five."
    assert sentence_at(text, 3, 4, 9) is None, "the next line is another one"
    assert sentence_at(text, 27, 4, 9) is None, "a sentence begins where it begins"


def test_what_has_no_room_is_one_sentence() -> None:
    with pytest.raises(DataError, match="room for no more than 0 cases of the kind 'sentence'"):
        make_cases(["too short"], "sentence", 1)
    with pytest.raises(DataError, match="room for no more than"):
        make_cases(["one two three four five six"], "word", 9)
    with pytest.raises(UsageError, match=r"no kind of gap is named 'wrods'\. Did you mean 'words'"):
        make_cases([TEXT], "wrods", 1)
    with pytest.raises(DataError, match="no text"):
        make_cases([], "word", 1)


ANLG = {"a-1": {"obs1": "It rained.", "gold_labels": ["She ran.", "He slept. ", "She ran."], "obs2": "All was wet."}}


@pytest.mark.parametrize("form", ["anlg.json", "rows.jsonl", "rows.jsonl.gz", "code.jsonl"])
def test_files_may_give_their_own_cases(form: str, tmp_path: Path) -> None:
    rows = {
        "anlg.json": json.dumps(ANLG),
        "rows.jsonl": json.dumps({"before": "a ", "middle": "b", "after": " c", "more": 1}) + "\n\n",
        "rows.jsonl.gz": json.dumps({"before": "a ", "middle": ["b", "bb"], "after": ""}) + "\n",
        "code.jsonl": json.dumps({"prompt": "a\n", "canonical_solution": "  b\n", "suffix": "  c"}),
    }[form]
    path = tmp_path / form
    path.write_bytes(gzip.compress(rows.encode()) if form.endswith("gz") else rows.encode())
    assert holds_cases(path)
    assert (
        given_cases(path)
        == {
            "anlg.json": [GapCase("given", ("It rained. ", " All was wet."), (("She ran.", "He slept."),))],
            "rows.jsonl": [GapCase("given", ("a ", " c"), (("b",),))],
            "rows.jsonl.gz": [GapCase("given", ("a ", ""), (("b", "bb"),))],
            "code.jsonl": [GapCase("given", ("a\n", "  c"), (("  b\n",),))],
        }[form]
    )


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"before": "a", "middle": [], "after": "c"}, "must be texts"),
        ({"before": "a", "middle": ["b", 2], "after": "c"}, "must be texts"),
        ({"before": "a", "middle": "", "after": "c"}, "not empty"),
        ({"before": "a", "text": "b"}, "found the keys before, text"),
        (["a"], "expected a JSON object"),
    ],
)
def test_a_bad_row_is_named(row: object, words: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"before": "a ", "middle": "b", "after": " c"}) + "\n" + json.dumps(row) + "\n")
    assert holds_cases(path)
    with pytest.raises(DataError, match=f"row 2.*{words}"):
        given_cases(path)


def test_a_table_of_texts_holds_no_cases(tmp_path: Path) -> None:
    for name, text in (("a.jsonl", '{"text": "b"}'), ("b.txt", '{"before":1}'), ("c.json", "{"), ("d.jsonl", "")):
        (tmp_path / name).write_text(text)
        assert not holds_cases(tmp_path / name)


# rows and likelihoods


@pytest.fixture(scope="module")
def infiller() -> Infiller:
    checkpoint = tiny_checkpoint(context_length=256)
    torch.manual_seed(2)
    with torch.no_grad():  # an untrained network ignores its input; these weights make it look
        for parameter in checkpoint.model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return Infiller(checkpoint.model, checkpoint.tokenizer, checkpoint.samplers, "tiny")


CASES = [
    GapCase("several", ("The old ", " by the ", ", and the rain fell."), (("house stood",), ("river",))),
    GapCase("several", ("All day ", " the rain fell on ", " garden"), (("long",), ("the",))),
    GapCase("several", ("", " rain fell. The old '", "' stood by the river"), (("The",), ("house",))),
]


def rows_of(infiller: Infiller, cases: Sequence[GapCase] = CASES) -> GapRows:
    inside = [gap_ids(case, case.truth, infiller.tokenizer) for case in cases]
    return gap_rows(cases, inside, infiller.tokenizer, 256, seed=5)


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


# methods


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


# figures


@dataclass(frozen=True)
class Answering(Infiller):
    """An infiller that knows what to say."""

    says: dict[str, tuple[tuple[str, float | None], ...]] = field(default_factory=dict)

    def infill(self, documents: Any, **options: Any) -> Any:
        results = []
        for document in documents:
            gaps = [SimpleNamespace(text=text, confidence=c) for text, c in self.says[document.source.decode()]]
            results.append(SimpleNamespace(gaps=gaps, stats=SimpleNamespace(nfe=6)))
        return results


def answering(infiller: Infiller, cases: Sequence[GapCase], texts: Sequence[Sequence[str]], sure: float) -> Answering:
    says = {
        case.document([None] * len(case.truth)).source.decode(): tuple((text, sure) for text in found)
        for case, found in zip(cases, texts, strict=True)
    }
    return Answering(infiller.model, infiller.tokenizer, infiller.samplers, says=says)


def named(found: Sequence[Score]) -> dict[str, Score]:
    return {score.name: score for score in found}


def test_perfect_answers_have_perfect_figures(infiller: Infiller) -> None:
    for kind in KINDS:
        cases = make_cases([TEXT], kind, 12, context=80)
        knows = answering(infiller, cases, [case.truth for case in cases], 1.0)
        report = evaluate_infilling(knows, [CaseSet(tuple(cases), {})], [joint_way("auto")])
        found = named(report.rows[0].scores)
        values = {name: score.value for name, score in found.items()}
        assert (
            values["exact_match"] == 1 and values["bleu"] == pytest.approx(100) and values["chrf"] == pytest.approx(100)
        )
        zero = ("words_error", "words_bias", "tokens_error", "tokens_bias", "calibration_error", "brier_score")
        assert all(values[name] == 0 for name in zero)
        count = sum(len(case.truth) for case in cases)
        assert found["exact_match"].n == count and values["calls"] == pytest.approx(6 * len(cases) / count)
        assert "token_accuracy" not in values and "bits_per_byte" not in values, "the length was not told"
        assert all(score.standard_error == pytest.approx(0) for score in report.rows[0].scores if score.name != "calls")


REFERENCES = [("the old house",), ("a dog", "the cat sat"), ("rain",), ("he went home again today",)]
FILLS = ["the new house", "the cat sat down", "rain", "went home"]


@pytest.fixture(scope="module")
def scored(infiller: Infiller) -> list[FilledGap]:
    cases = [GapCase("words", ("It was ", " then."), (references,)) for references in REFERENCES]
    answers = [Answer((fill,), (sure,), 3) for fill, sure in zip(FILLS, (0.55, 0.5, 0.9, 0.05), strict=True)]
    return filled_gaps(cases, answers, infiller.tokenizer, nats=[[2.0], [3.0], [None], [5.0]])


def test_figures_by_hand(scored: list[FilledGap], infiller: Infiller) -> None:
    found = named(scores(scored, Way("joint", "true"), "all"))
    assert found["exact_match"].value == 0.25
    assert found["words_error"].value == (0 + 1 + 0 + 3) / 4 and found["words_bias"].value == (0 + 1 + 0 - 3) / 4
    sizes = [
        [len(infiller.tokenizer.encode(" " + t, start=False)) for t in (f, *r)]
        for f, r in zip(FILLS, REFERENCES, strict=True)
    ]
    off = [min((size - other for other in others), key=abs) for size, *others in sizes]
    assert found["tokens_error"].value == pytest.approx(sum(map(abs, off)) / 4)
    assert found["tokens_bias"].value == pytest.approx(sum(off) / 4)
    size = len("the old house") + len("a dog") + len("he went home again today")
    assert found["bits_per_byte"].value == pytest.approx((2 + 3 + 5) / math.log(2) / size)
    assert found["bits_per_byte"].n == size
    assert found["calls"].value == 3
    brier = (0.55**2 + 0.5**2 + 0.1**2 + 0.05**2) / 4
    assert found["brier_score"].value == pytest.approx(brier)
    # bins: [0, .1): -0.05; [.5, .6): two of no hits, mean 0.525; [.9, 1]: one hit
    assert found["calibration_error"].value == pytest.approx((0.05 + 2 * 0.525 + 0.1) / 4)


def test_any_reference_will_do(infiller: Infiller) -> None:
    case = GapCase("given", ("It was ", " then."), (("a dog", "the cat sat on the old house"),))
    gaps = filled_gaps([case], [Answer(("the cat sat on the old house",), (None,), 1)], infiller.tokenizer)
    found = {name: score.value for name, score in named(scores(gaps, Way("joint", "auto"), "")).items()}
    assert found["exact_match"] == 1 and found["bleu"] == pytest.approx(100) == pytest.approx(found["chrf"])
    assert found["words_error"] == found["tokens_error"] == 0


def test_tokens_are_compared_where_they_stand(infiller: Infiller) -> None:
    tokenizer = infiller.tokenizer
    case = GapCase("words", ("It was ", " then."), (("the old house",),))
    gaps = filled_gaps([case], [Answer(("the house old house",), (None,), 1)], tokenizer)
    true, found = (tokenizer.encode(text, start=False) for text in (" the old house", " the house old house"))
    share = sum(a == b for a, b in zip(true, found, strict=False)) / len(true)
    assert 0 < share < 1
    score = named(scores(gaps, Way("joint", "true"), ""))["token_accuracy"]
    assert score.value == pytest.approx(share) and score.n == len(true)


def test_bleu_and_chrf_are_those_of_sacrebleu(scored: list[FilledGap]) -> None:
    found = named(scores(scored, Way("joint", "auto"), "all"))
    columns = [[(*r, None)[i] if i < len(r) else None for r in REFERENCES] for i in range(2)]
    metrics = {"bleu": sacrebleu.BLEU(), "chrf": sacrebleu.CHRF()}
    for name, metric in metrics.items():
        assert found[name].value == pytest.approx(metric.corpus_score(FILLS, columns).score)
        order = "|order:4" if name == "bleu" else ""
        assert found[name].signature == f"all|scorer:sacrebleu|{metric.get_signature().format()}{order}"
        assert "nrefs:var" in found[name].signature and f"version:{sacrebleu.__version__}" in found[name].signature


def test_the_order_of_bleu_is_that_of_the_references() -> None:
    """However long a fill is: else one long fill among single words would turn the figure upside down."""
    texts, references = ["rain", "the dog", "snow"], [("rain",), ("dog",), ("sun",)]
    made = overlap("bleu", texts, references)
    assert made.value(made.parts.sum(0)) == pytest.approx(100 * 2 / 4) and made.signature.endswith("|order:1")
    made = overlap("bleu", ["a b"] * 3, [("a b",)] * 3)
    assert made.value(made.parts.sum(0)) == pytest.approx(100) and made.signature.endswith("|order:2")


def test_standard_errors_are_those_of_leaving_one_case_out(scored: list[FilledGap]) -> None:
    found = named(scores(scored, Way("joint", "true"), ""))
    metrics = {"bleu": sacrebleu.BLEU(), "chrf": sacrebleu.CHRF()}
    for name in ("bleu", "chrf", "bits_per_byte", "words_bias", "brier_score", "calibration_error"):
        without = []
        for i in range(4):
            rest = scored[:i] + scored[i + 1 :]
            if name in metrics:
                columns = [[(*gap.references, None)[k] for gap in rest] for k in range(2)]
                without.append(metrics[name].corpus_score([gap.text for gap in rest], columns).score)
            else:
                without.append(named(scores(rest, Way("joint", "true"), ""))[name].value)
        spread = sum((value - np.mean(without)) ** 2 for value in without)
        assert found[name].standard_error == pytest.approx(math.sqrt(spread * 3 / 4)), name


def test_the_jackknife_of_a_mean_is_the_textbook_error() -> None:
    values = np.random.default_rng(1).normal(size=50)
    value, error = jackknife(np.stack([values, np.ones(50)], 1), ratio)
    assert value == pytest.approx(values.mean()) and error == pytest.approx(values.std(ddof=1) / math.sqrt(50))
    assert jackknife(np.ones((1, 2)), ratio) == (1.0, math.inf)
    assert math.isnan(jackknife(np.zeros((3, 2)), ratio)[0])


def test_gaps_of_a_document_are_one_case_for_the_error() -> None:
    """Twice the same gap in each document says no more than once."""

    def gaps(times: int) -> list[FilledGap]:
        return [
            FilledGap(case, 1, ("a",), "a" if case % 3 else "b", (1,), (1,), (1,), None, 1.0)
            for case in range(30)
            for _ in range(times)
        ]

    once, twice = (named(scores(gaps(times), Way("joint", "auto"), ""))["exact_match"] for times in (1, 2))
    assert once.value == twice.value and once.standard_error == pytest.approx(twice.standard_error)
    assert (once.n, twice.n) == (30, 60)


def test_a_difference_is_paired(scored: list[FilledGap]) -> None:
    better = [replace(gap, text=gap.references[0]) for gap in scored]
    ways = Way("joint", "true"), Way("joint", "3")
    found = named(differences(better, scored, ways, ("exact_match", "bits_per_byte"), "x"))
    hits = np.array([1, 1, 0, 1])
    assert found["exact_match"].value == pytest.approx(0.75)
    assert found["exact_match"].standard_error == pytest.approx(hits.std(ddof=1) / 2)
    assert found["bits_per_byte"].value == 0 and found["bits_per_byte"].standard_error == pytest.approx(0, abs=1e-12)


def test_calibrated_confidences_have_no_error() -> None:
    chance = random.Random(0)
    sure = [i / 10 for i in range(10) for _ in range(500)]
    hits = [chance.random() < c for c in sure]
    assert calibration_error(calibration_parts(sure, hits).sum(0)) < 0.03
    assert calibration_error(calibration_parts([0.9] * 10, [False] * 10).sum(0)) == pytest.approx(0.9)
    assert calibration_error(calibration_parts([1.0, 0.0], [True, False]).sum(0)) == 0


# the whole


@pytest.fixture(scope="module")
def passage() -> str:
    return TEXT[:6000]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory, passage: str) -> Path:
    path = tmp_path_factory.mktemp("text") / "held-out.txt"
    path.write_text(passage, encoding="utf8")
    return path


def test_everything_is_measured_and_signed(infiller: Infiller, file: Path) -> None:
    sets = case_sets(infiller, [file], ["words", "several"], 2, context=40)
    ways = [joint_way("true"), joint_way("auto"), *BASELINES[2:3], *BASELINES[8:]]
    told: list[tuple[str, int, int]] = []
    watch = lambda *said: told.append(said)  # noqa: E731
    report = evaluate_infilling(infiller, sets, ways, repeats=1, score_fills=True, on_progress=watch)
    whole = [row for row in report.rows if row.words is None]
    assert [(row.kind, row.way) for row in whole] == [(kind, way) for kind in ("words", "several") for way in ways]
    for row in whole:
        found = named(row.scores)
        told_tokens = row.way.length == "true"
        assert ("token_accuracy" in found) == told_tokens and "fill_nelbo" in found
        assert ("bits_per_byte" in found) == told_tokens
        assert found["exact_match"].n == sum(len(case.truth) for s in sets if s.kind == row.kind for case in s.cases)
        sign = found["exact_match"].signature
        parts = dict(part.split(":", 1) for part in sign.split("|"))
        assert parts["method"] == row.way.method and parts["length"] == row.way.length
        assert {"model", "process", "tokenizer", "context", "version", "gaps", "shown", "cases", "seed"} <= parts.keys()
        assert {"case_seed", "sampler", "repeats"} <= parts.keys() and "scorer:sacrebleu" in found["chrf"].signature
    lengths = [row.words for row in report.rows if row.kind == "words" and row.way == ways[0]]
    assert lengths == [None, 2, 3]
    against = [contrast.second for contrast in report.contrasts if contrast.kind == "several"]
    assert against == ways[1:]
    assert ("several, joint/true, likelihood", 2, 2) in told and ("words, joint/auto, fills", 2, 2) in told
    again = evaluate_infilling(infiller, sets, ways[:1], repeats=1)
    for a, b in zip(again.rows[0].scores, (s for s in whole[0].scores if s.name != "fill_nelbo"), strict=True):
        assert a == b


def test_the_same_noise_for_all_methods(infiller: Infiller) -> None:
    """A document with one gap, nothing to its right: joint, alone and left-only are one and the same law."""
    cases = [GapCase("words", ("The old house stood ", ""), (("by the river",),))] * 4
    report = evaluate_infilling(
        infiller,
        [CaseSet(tuple(cases), {})],
        [joint_way("true"), Way("gap_alone", "true")],
        repeats=2,
    )
    values = [named(row.scores)["bits_per_byte"].value for row in report.rows if row.words is None]
    assert values[0] == pytest.approx(values[1], rel=1e-5)


def test_signatures_tell_runs_apart(infiller: Infiller, passage: str) -> None:
    def sign(cases: int = 2, **options: Any) -> str:
        found = CaseSet(tuple(make_cases([passage], "word", cases, context=40)), {"gaps": "word"})
        way = options.pop("way", "auto")
        return evaluate_infilling(infiller, [found], [joint_way(way)], repeats=1, **options).rows[0].scores[0].signature

    signs = [sign(), sign(3), sign(seed=1), sign(way="true"), sign(options={"steps": 2})]
    assert len({*signs}) == 5 and sign() == signs[0]


def test_models_without_masks_have_no_masks_to_fill(passage: str) -> None:
    infiller = infiller_of(UniformProcess)
    cases = CaseSet(tuple(make_cases([passage], "word", 2, context=30)), {})
    report = evaluate_infilling(infiller, [cases], [joint_way("true"), *BASELINES[8:]], repeats=1)
    assert {row.way.method for row in report.rows} == {"joint", "most_frequent"}
    found = named(report.rows[0].scores)
    assert math.isfinite(found["bits_per_byte"].value)


def test_the_context_shrinks_until_the_model_sees_all(file: Path) -> None:
    short = infiller_of(AbsorbingProcess)
    (found,) = case_sets(short, [file], ["word"], 5)
    assert found.parts["shown"] in (40, 80) and short.context_length == 96
    rows = [len(short.tokenizer.encode(case.filled(case.truth))) for case in found.cases]
    assert max(rows) + 32 <= 96
    tiny = Infiller(tiny_checkpoint(context_length=40).model, short.tokenizer, short.samplers, "t")
    with pytest.raises(DataError, match="context of 40 tokens is too short"):
        case_sets(tiny, [file], ["sentence"], 5)


def test_given_cases_and_texts_can_be_mixed(infiller: Infiller, file: Path, tmp_path: Path) -> None:
    path = tmp_path / "cases.jsonl"
    row = {"before": "The old ", "middle": ["house", "dog"], "after": " stood by the river."}
    path.write_text("".join(json.dumps(row | {"before": f"{i} old "}) + "\n" for i in range(10)))
    first, second = case_sets(infiller, [path, file], ["word"], 4, context=30)
    assert [case.given[0][0] for case in first.cases] == ["0", "2", "5", "7"] and second.kind == "word"
    report = evaluate_infilling(infiller, [first], [joint_way("true")], repeats=1)
    assert named(report.rows[0].scores)["bleu"].signature.count("nrefs:2") == 1


def test_the_command_prints_tables_and_json(file: Path, tmp_path: Path) -> None:
    model = tmp_path / "tiny"
    tiny_checkpoint(context_length=256).save(model)
    words = ["evaluate", "-m", model, "--data", file, "--metrics", "infill", "--cases", 2, "--kinds", "several"]
    ended = run(*words, "--lengths", "true,2", "--baselines")
    assert (ended.code, ended.err) == (0, "")
    lines = ended.text.splitlines()
    assert re.fullmatch(r"several gaps: \d gaps", lines[0]) and lines[1].split()[:4] == [
        "exact",
        "token",
        "acc",
        "BLEU",
    ]
    assert any(line.startswith("masks_in_turn/true") for line in lines)
    assert (
        "several gaps: exact by number of words" in lines
        and "several gaps: joint/true minus others, same cases" in lines
    )
    found = json.loads(run(*words, "--json", "--repeats", 1).out)
    assert found["scores"] == [] and {row["way"] for row in found["infill"]["rows"]} == {"joint/true", "joint/auto"}
    assert found["infill"]["rows"][0]["scores"][0]["signature"].count("method:joint") == 1
    both = run(*words, "--metrics", "entropy,infill", "--lengths", "1").text
    assert both.startswith("unigram_entropy") and "joint/1 " in both
    assert "before, middle" in " ".join(run("evaluate", "--help").text.split())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--kinds", "wrod"], "no kind of gap is named 'wrod'. Did you mean 'word'?"),
        (["--lengths", "long"], "a length must be a number of tokens or one of true"),
        (["--metrics", "infil"], "no metric is named 'infil'. Did you mean 'infill'?"),
        (["--cases", "0"], "--cases"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_loaded(words: list[str], said: str, file: Path) -> None:
    ended = run("evaluate", "-m", "nowhere", "--data", file, "--metrics", "infill", *words)
    assert (ended.code, ended.out) == (2, b"") and said in ended.err


def test_the_script_writes_markdown(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script = Path(__file__).parent.parent / "scripts" / "bench_infilling.py"
    words = (
        f"{file} -m {save_tiny(tmp_path / 'tiny')} --cases 2 --kinds word --lengths true --methods masks_at_once/true"
    )
    words += f" --show 1 --option steps=2 --option temperature=0 --json {tmp_path / 'scores.json'}"
    monkeypatch.setattr(sys, "argv", [str(script), *words.split()])
    runpy.run_path(str(script), run_name="__main__")
    out = capsys.readouterr().out.splitlines()
    assert "one word: 2 gaps" in out and any(line.startswith("| joint/true | ") for line in out)
    assert any("->" in line for line in out)
    assert [row["way"] for row in json.loads((tmp_path / "scores.json").read_text())["rows"]] == [
        "joint/true",
        "masks_at_once/true",
    ]
