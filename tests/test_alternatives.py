"""Several fills of a document, their order, and gaps that stay open."""

from __future__ import annotations

import itertools
import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from test_constrained_gaps import untrained
from test_lengths import anything, fake, plan_of
from torch import Tensor

from textdiff.errors import UsageError
from textdiff.infiller import Infiller, InfillResult
from textdiff.infiller.alternatives import distinct_fills
from textdiff.infiller.filling import Filler
from textdiff.sampling import preset
from textdiff.text.canvas import Canvas
from textdiff.text.document import Document, Span
from textdiff.text.tokenizers import Tokenizer, train_tokenizer

LAW = {"a": 0.4, "b": 0.35, "c": 0.25}


@pytest.fixture(scope="module")
def tokens() -> Tokenizer:
    return train_tokenizer("characters", ["abc ."] * 5, 20)


def filler_of(tokens: Tokenizer, law: dict[str, float]) -> Filler:
    """Fills documents with letters that are drawn one by one."""
    p = torch.zeros(tokens.vocabulary.size, dtype=torch.float64)
    p[tokens.encode("".join(law))] = torch.tensor(list(law.values()), dtype=torch.float64)

    def rows(x_t: Tensor, canvas: Canvas) -> Tensor:
        return p.expand(*x_t.shape, -1)

    model: SimpleNamespace = fake(tokens, rows)
    return Filler(model, tokens, preset("confidence"), "model", SimpleNamespace(), True)  # type: ignore[arg-type]


def test_the_fills_of_a_known_language_come_in_the_order_of_their_probabilities(tokens: Tokenizer) -> None:
    plan = plan_of("ab[MASK]b", tokens, [anything(tokens, (1,))])
    (fills,) = distinct_fills([plan], filler_of(tokens, LAW), 6)  # so many draws that all are found
    assert [fill.texts for fill in fills] == [("a",), ("b",), ("c",)]
    assert [fill.score for fill in fills] == pytest.approx([math.log(p) for p in LAW.values()], abs=1e-5)
    assert [math.exp(fill.log_p[0]) for fill in fills] == pytest.approx(list(LAW.values()), abs=1e-5)


def test_the_best_of_all_fills_is_found_and_ranked_first(tokens: Tokenizer) -> None:
    """Two gaps of one token: nine fills. Alike in probability but for one letter, all of them are drawn soon."""
    plan = plan_of("a[MASK]b[MASK]", tokens, [anything(tokens, (1,))] * 2)
    (fills,) = distinct_fills([plan], filler_of(tokens, {"a": 0.4, "b": 0.3, "c": 0.3}), 20)
    assert {fill.texts for fill in fills} == {*itertools.product("abc", repeat=2)}
    assert fills[0].texts == ("a", "a")
    assert [fill.score for fill in fills] == sorted((fill.score for fill in fills), reverse=True)


def test_there_are_no_more_fills_than_texts(tokens: Tokenizer) -> None:
    plans = [plan_of("ab[MASK]b", tokens, [anything(tokens, (1,))], seed) for seed in range(3)]
    for fills in distinct_fills(plans, filler_of(tokens, LAW), 10):
        assert sorted(fill.texts for fill in fills) == [("a",), ("b",), ("c",)]


SOURCES = [
    "It was [MASK: 2 words] by \\[MASK] the [MASK: yes|no|old house].",
    "[MASK: 4 tokens][MASK: 1-3 words]\r\n",
    "One [MASK: yes|no] here",
]


@pytest.fixture(scope="module")
def infiller() -> Infiller:
    return untrained()


@pytest.fixture(scope="module")
def results(infiller: Infiller) -> list[InfillResult]:
    return infiller.infill(SOURCES, n=4, seed=3, steps=3)


def test_the_first_alternative_is_the_one_in_the_document(results: list[InfillResult]) -> None:
    for result in results:
        assert result.fills[0] == tuple(gap.text for gap in result.gaps)
        data = result.document.encode()
        for gap in result.gaps:
            first = gap.alternatives[0]
            assert first.text == gap.text == data[gap.start_byte : gap.end_byte].decode()
            assert first.confidence == gap.confidence and not gap.open
        assert result.gaps[0].alternatives[0].score == pytest.approx(sum(gap.score or 0.0 for gap in result.gaps))


def test_fills_and_alternatives_are_distinct_and_sorted(results: list[InfillResult]) -> None:
    assert [len(result.fills) for result in results] == [4, 4, 2], "there are only two ways to fill the last one"
    for result in results:
        assert len({*result.fills}) == len(result.fills)
        for i, gap in enumerate(result.gaps):
            texts = [alternative.text for alternative in gap.alternatives]
            assert texts == list(dict.fromkeys(fill[i] for fill in result.fills))
            scores = [alternative.score for alternative in gap.alternatives]
            assert None not in scores and scores == sorted(scores, reverse=True)  # type: ignore[type-var]


def test_more_fills_never_give_a_worse_document(infiller: Infiller, results: list[InfillResult]) -> None:
    """The single fill is among the several, and so is every fill of fewer."""
    for single, several in zip(infiller.infill(SOURCES, seed=3, steps=3), results, strict=True):
        assert all(gap.alternatives == () for gap in single.gaps) and len(single.fills) == 1
        assert sum(gap.score or 0.0 for gap in several.gaps) >= sum(gap.score or 0.0 for gap in single.gaps) - 1e-6


def test_several_fills_are_the_same_in_any_batch(infiller: Infiller, results: list[InfillResult]) -> None:
    for source, expected in zip(SOURCES, results, strict=True):
        alone = infiller.infill(source, n=4, seed=3, steps=3)
        assert alone.fills == expected.fills


def test_scores_are_there_only_where_they_are_asked_for_or_needed(infiller: Infiller) -> None:
    assert [gap.score for gap in infiller.infill(SOURCES[0], score=False, steps=2).gaps] == [None, None]
    several = infiller.infill(SOURCES[0], score=False, n=2, steps=2)
    assert all(gap.score is not None for gap in several.gaps)


def test_gaps_below_the_least_confidence_stay_open_with_their_markup(infiller: Infiller) -> None:
    source = SOURCES[0]
    full = infiller.infill(source, seed=3, steps=3)
    confidences = [gap.confidence for gap in full.gaps]
    assert len({*confidences}) == 2 and all(0 < value < 1 for value in confidences)
    between = sum(confidences) / 2
    half = infiller.infill(source, seed=3, steps=3, min_confidence=between)
    assert [gap.open for gap in half.gaps] == [value < between for value in confidences]
    data = half.document.encode()
    for gap, before, markup in zip(half.gaps, full.gaps, ["[MASK: 2 words]", "[MASK: yes|no|old house]"], strict=True):
        assert gap.text == (markup if gap.open else before.text) == data[gap.start_byte : gap.end_byte].decode()
        assert gap.confidence == before.confidence
    assert r"\[MASK]" in half.document, "a document with gaps keeps its escapes"
    again = Document.parse(data)
    assert len(again.gaps) == 1 and again.source == data
    assert "\\[MASK]" not in infiller.infill(half.document, seed=3, steps=3).document


@pytest.mark.parametrize("n", [1, 3])
def test_nothing_changes_where_all_gaps_stay_open(infiller: Infiller, n: int) -> None:
    data = b"\xef\xbb\xbfold [MASK] \\[MASK] x\0\r\n"
    with_spans = Document.with_spans(data, [Span(3, 6), Span(8, 8)])
    for document in (Document.parse(data), with_spans):
        result = infiller.infill(document, min_confidence=1.0, n=n, steps=2)
        assert result.document.encode() == data and all(gap.open for gap in result.gaps)
        for gap, source in zip(result.gaps, document.gaps, strict=True):
            assert gap.text == source.markup == data[gap.start_byte : gap.end_byte].decode()
            assert len(gap.alternatives) == (0 if n == 1 else len({fill[gap.index] for fill in result.fills}))


def test_all_gaps_are_filled_where_the_least_confidence_is_zero(infiller: Infiller) -> None:
    expected = infiller.infill(SOURCES, steps=2)
    found = infiller.infill(SOURCES, steps=2, min_confidence=0.0)
    assert [result.document for result in found] == [result.document for result in expected]


@pytest.mark.parametrize(
    "options",
    [{"n": 0}, {"n": 1_001}, {"min_confidence": -0.1}, {"min_confidence": 1.1}, {"min_confidence": math.nan}],
    ids=str,
)
def test_options_out_of_range(infiller: Infiller, options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="must be between"):
        infiller.infill("a [MASK] b", **options)
