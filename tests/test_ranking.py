"""Scores of what was written, against languages whose every probability is known."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from test_lengths import anything, fake
from torch import Tensor

from textdiff.infiller.drafts import LengthOdds, Plan, Sized
from textdiff.infiller.ranking import infilling_scores
from textdiff.text.canvas import Canvas
from textdiff.text.document import Document
from textdiff.text.layout import Layout, lay_out
from textdiff.text.outline import outlines_of
from textdiff.text.tokenizers import Tokenizer, train_tokenizer

LETTERS = "abc"


@pytest.fixture(scope="module")
def tokens() -> Tokenizer:
    return train_tokenizer("characters", ["abc ."] * 5, 20)


def independent(tokens: Tokenizer, law: dict[str, float], context_length: int = 64) -> SimpleNamespace:
    """A language in which every letter is drawn by itself."""
    p = torch.zeros(tokens.vocabulary.size, dtype=torch.float64)
    p[tokens.encode("".join(law))] = torch.tensor(list(law.values()), dtype=torch.float64)

    def rows(x_t: Tensor, canvas: Canvas) -> Tensor:
        return p.expand(*x_t.shape, -1)

    model = fake(tokens, rows)
    model.config.context_length = context_length
    return model


def scored(
    model: SimpleNamespace, tokens: Tokenizer, source: str, fills: list[list[str]], odds: float | None = None
) -> list[list[float]]:
    """The scores of some fills of a document; `odds`: the probability of each length."""
    outlines = outlines_of(Document.parse(source.encode()), tokens, model.config.context_length)
    sized, parts = [], []
    for texts in fills:
        for outline in outlines:
            parts.append([texts[gap] for gap in outline.gaps])
            lengths = tuple(len(text) for text in parts[-1])
            considered = [() if odds is None else (LengthOdds(k, odds), LengthOdds(9, 1 - odds)) for k in lengths]
            sized.append(
                Sized(Plan(outline, [anything(tokens, (1, 2, 3))] * len(lengths), 0), lengths, tuple(considered))
            )
    layout = lay_out([one.draft for one in sized], tokens, model.config.context_length)
    found = iter(infilling_scores(model, layout, written(layout, tokens, parts), sized))
    return [[score for _ in outlines for score in next(found)] for _ in fills]


def written(layout: Layout, tokens: Tokenizer, fills: list[list[str]]) -> Tensor:
    ids = layout.canvas.ids.clone()
    for slot in layout.slots:
        ids[slot.text] = torch.tensor(tokens.encode(fills[slot.draft][slot.gap]))
    return ids


LAW = {"a": 0.6, "b": 0.3, "c": 0.1}


def test_the_score_of_a_single_token_is_its_log_probability(tokens: Tokenizer) -> None:
    model = independent(tokens, LAW)
    found = scored(model, tokens, "ab[MASK]c", [["a"], ["b"], ["c"]])
    assert [one for (one,) in found] == pytest.approx([math.log(p) for p in LAW.values()], abs=1e-5)


def test_the_odds_of_the_length_are_a_part_of_the_score(tokens: Tokenizer) -> None:
    model = independent(tokens, LAW)
    ((found,),) = scored(model, tokens, "ab[MASK]c", [["b"]], odds=0.25)
    assert found == pytest.approx(math.log(0.3) + math.log(0.25), abs=1e-5)
    ((found,),) = scored(model, tokens, "ab[MASK]c", [["b"]], odds=0.0)
    assert math.isfinite(found), "a length that nobody thought of is very unlikely, and still ranked"


def test_the_scores_of_a_window_add_up_where_tokens_are_alike(tokens: Tokenizer) -> None:
    """Each level hides so many tokens and counts them for all: with equal probabilities nothing is left to chance."""
    model = independent(tokens, dict.fromkeys(LETTERS, 1 / 3))
    for scores in scored(model, tokens, "a[MASK]b[MASK]", [["abc", "a"], ["c", "b"], ["cc", "abb"]]):
        assert len(scores) == 2
    for texts in ["abc", "a"], ["c", "b"], ["cc", "abb"]:
        (scores,) = scored(model, tokens, "a[MASK]b[MASK]", [texts])
        assert sum(scores) == pytest.approx(sum(map(len, texts)) * math.log(1 / 3), abs=1e-5)


def test_alternatives_are_compared_under_the_same_noise(tokens: Tokenizer) -> None:
    """A score is a sum over positions with the same weights for every fill: what is likelier everywhere ranks higher."""
    model = independent(tokens, LAW)
    fills = [["abc"], ["aaa"], ["bbb"], ["baa"], ["aba"], ["aab"], ["bac"]]
    found = {texts[0]: one for texts, (one,) in zip(fills, scored(model, tokens, "a[MASK]b", fills), strict=True)}
    step = math.log(0.6) - math.log(0.3)
    weights = [(found["aaa"] - found[text]) / step for text in ("baa", "aba", "aab")]
    assert all(weight >= 0 for weight in weights) and sum(weights) == pytest.approx(3, abs=1e-5)
    for text, score in found.items():
        assert score == pytest.approx(sum(w * math.log(LAW[c]) for w, c in zip(weights, text, strict=True)), abs=1e-5)
    assert found["aaa"] > found["bbb"]


@pytest.mark.statistical
def test_the_score_is_right_on_average(tokens: Tokenizer) -> None:
    """Over 150 windows, each with noise of its own; within four standard errors, and these are small."""
    model = independent(tokens, LAW, context_length=8)
    count = 150
    source = "".join("[MASK]" + "ab" * 70 for _ in range(count))
    (scores,) = scored(model, tokens, source, [["acb"] * count])
    mean, spread = torch.tensor(scores).mean(), torch.tensor(scores).std()
    assert spread > 0.01, "or else the noise is the same everywhere"
    assert abs(float(mean) - math.log(0.6 * 0.1 * 0.3)) < 4 * float(spread) / math.sqrt(count)
    assert float(spread) / math.sqrt(count) < 0.1


def test_i4_a_score_is_the_same_alone_and_among_others(tokens: Tokenizer) -> None:
    model = independent(tokens, LAW)
    fills = [["abc", "a"], ["b", "ca"], ["c", "c"]]
    together = scored(model, tokens, "a[MASK]b[MASK]", fills)
    alone = [scored(model, tokens, "a[MASK]b[MASK]", [fill])[0] for fill in fills]
    assert together == [pytest.approx(one, abs=1e-6) for one in alone]
