"""Metrics of texts against figures worked out by hand and by brute force."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator

import numpy as np
import pytest
from sacrebleu import sentence_bleu

from textdiff.corpus import Piece
from textdiff.metrics import (
    Score,
    distinct,
    entropy_parts,
    grams,
    jackknife,
    known_grams,
    novelty_parts,
    perplexity,
    ratio,
    repetition_parts,
    self_bleu,
)

TEXTS = [text.split() for text in ("a b a b a b", "a b c d", "e", "")]


def test_repetition_counts_what_stood_before() -> None:
    """ab ba ab ba ab: three of five pairs stood before; abab baba abab: one of three."""
    assert repetition_parts(TEXTS, 2).tolist() == [[3, 5], [0, 3], [0, 0], [0, 0]]
    assert repetition_parts(TEXTS).tolist() == [[1, 3], [0, 1], [0, 0], [0, 0]]
    assert ratio(repetition_parts(TEXTS, 2).sum(0)) == 3 / 8


def test_distinct_counts_over_all_texts_and_leaves_one_out() -> None:
    """Pairs: ab ba ab ba ab, ab bc cd: 4 different ones of 8; without the first text 3 of 3, without the second 2 of 5."""
    value, error = distinct(TEXTS, 2)
    assert value == 4 / 8
    without = [3 / 3, 2 / 5, 4 / 8, 4 / 8]
    mean = sum(without) / 4
    assert error == pytest.approx(math.sqrt(sum((x - mean) ** 2 for x in without) * 3 / 4))
    assert distinct(TEXTS, 1)[0] == 5 / 11
    assert math.isnan(distinct(TEXTS, 7)[0]) and math.isinf(distinct(TEXTS[:1], 1)[1])


@pytest.mark.parametrize("n", [1, 2, 3])
def test_leaving_out_a_text_is_measuring_without_it(n: int) -> None:
    chance = random.Random(n)
    texts = [[chance.choice("abcd") for _ in range(chance.randrange(9))] for _ in range(12)]
    rest = [distinct(texts[:i] + texts[i + 1 :], n)[0] for i in range(12)]
    error = math.sqrt(sum((x - sum(rest) / 12) ** 2 for x in rest) * 11 / 12)
    assert distinct(texts, n)[1] == pytest.approx(error)


def test_the_entropy_of_texts_is_a_mean_over_them() -> None:
    runs = [np.array(ids) for ids in ([7, 7, 7, 7], [1, 2, 3, 4], [1, 1, 2, 2], [])]
    assert entropy_parts(runs)[:, 0] == pytest.approx([0, math.log(4), math.log(2), 0])
    value, error = jackknife(entropy_parts(runs), ratio)
    assert value == pytest.approx(math.log(8) / 4)
    assert error == pytest.approx(np.std(entropy_parts(runs)[:, 0], ddof=1) / 2)  # of a mean of four


def test_self_bleu_takes_all_other_texts_for_references() -> None:
    texts = ["the cat sat on the mat", "the cat sat on a chair", "dogs bark at night when it rains"]
    value, signature = self_bleu(texts)
    by_hand = [
        sentence_bleu(text, [other for other in texts if other != text], use_effective_order=True).score
        for text in texts
    ]
    assert value == pytest.approx(sum(by_hand) / 3) and signature.startswith("nrefs:2|case:mixed|eff:yes")
    assert self_bleu(["one and the same text here"] * 3)[0] == pytest.approx(100)
    assert math.isnan(self_bleu(texts[:1])[0])


def pieces(document: str, size: int) -> Iterator[Piece]:
    parts = [document[i : i + size] for i in range(0, len(document), size)] or [""]
    return (Piece(part, i == len(parts) - 1) for i, part in enumerate(parts))


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_known_grams_are_those_of_the_reference_however_it_is_cut(size: int, n: int) -> None:
    chance = random.Random(n)
    texts = [[chance.choice(("a", "bb", "c", "ddd", "e")) for _ in range(8)] for _ in range(5)]
    documents = [
        " ".join(chance.choice(("a", "bb", "c", "d", "ddd")) for _ in range(9)) + end for end in ("", " ", "\n")
    ]
    wanted = {gram for words in texts for gram in grams(words, n)}
    true = {gram for document in documents for gram in grams(document.split(), n)}
    known = known_grams(wanted, [piece for document in documents for piece in pieces(document, size)], n)
    assert known == wanted & true and known and known != wanted
    expected = [[sum(gram not in true for gram in grams(words, n)), len(words) - n + 1] for words in texts]
    assert novelty_parts(texts, known, n).tolist() == expected


def test_an_ngram_does_not_cross_documents_and_nothing_wanted_is_nothing_known() -> None:
    reference = [Piece("a b", True), Piece("c d", True)]
    assert known_grams({("b", "c"), ("c", "d")}, reference, 2) == {("c", "d")}
    assert known_grams(set(), reference, 2) == set()
    assert novelty_parts([["a"], []], set(), 2).tolist() == [[0, 0], [0, 0]]


def test_a_perplexity_has_the_error_and_the_interval_of_its_logarithm() -> None:
    parts = np.array([[10.0, 5.0], [8.0, 2.0], [9.0, 4.0]])
    value, error = perplexity(parts)
    assert value == pytest.approx(math.exp(27 / 11))
    rest = [17 / 6, 19 / 9, 18 / 7]
    exponent = math.sqrt(sum((x - sum(rest) / 3) ** 2 for x in rest) * 2 / 3)
    assert error == pytest.approx(value * exponent)
    low, high = Score("generative_perplexity", value, "perplexity/piece", 11, error, "").interval or (0, 0)
    assert math.log(low) == pytest.approx(27 / 11 - 1.959964 * exponent)
    assert math.log(high) == pytest.approx(27 / 11 + 1.959964 * exponent)
    assert math.isnan(perplexity(np.zeros((2, 2)))[0])
