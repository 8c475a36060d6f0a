"""Figures of filled gaps, by hand and by sacrebleu, and their standard errors."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import sacrebleu
from infill_samples import TEXT, looking_infiller, named

from textdiff.evaluation import evaluate_infilling
from textdiff.evaluation.infilling import KINDS, Answer, GapCase, Way, joint_way, make_cases
from textdiff.evaluation.infilling.scoring import FilledGap, differences, filled_gaps, scores
from textdiff.evaluation.infilling.sets import CaseSet
from textdiff.infiller import Infiller
from textdiff.metrics import calibration_error, calibration_parts, jackknife, overlap, ratio


@pytest.fixture(scope="module")
def infiller() -> Infiller:
    return looking_infiller()


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
