"""What generated texts are scored by: an outside model against its own arithmetic, and excerpts of held-out text."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scorers import save_scorer
from tiny import tiny_checkpoint
from transformers import AutoModelForCausalLM
from wordpieces import save_masked_lm

from textdiff.errors import CheckpointError, DataError, UsageError
from textdiff.evaluation.generation import Scorer
from textdiff.evaluation.generation.excerpts import Passage, passage, take_excerpts
from textdiff.evaluation.generation.scoring import Known, perplexity_score, text_scores, wanted_grams
from textdiff.metrics import distinct, entropy_parts, known_grams, mauve, repetition_parts, self_bleu

PASSAGES = [
    Passage("", "The old house stood by the river"),
    Passage("The old house ", "stood by the river, and the rain fell"),
    Passage("The old hou", "se stood"),
    Passage("", " the rain\n"),
    Passage("The rain", ""),
    Passage("\n  The old hou", "se stood"),
]


@pytest.fixture(scope="module", params=["[END]", None])
def scorer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Scorer, Path, str | None]:
    folder = save_scorer(tmp_path_factory.mktemp("scorer"), request.param)
    return Scorer.load(str(folder)), folder, request.param


def test_a_text_costs_what_the_network_says_of_each_piece(scorer: tuple[Scorer, Path, str | None]) -> None:
    """A row at a time, a piece at a time, by another way of loading."""
    found, folder, bos = scorer
    network, tokenizer = AutoModelForCausalLM.from_pretrained(folder).eval(), tiny_checkpoint().tokenizer
    costs = found.nats(PASSAGES)
    for (nats, count), one in zip(costs.tolist(), PASSAGES, strict=True):
        whole = (one.prompt + one.text).strip()
        ids = tokenizer.encode(whole)
        row = ids if bos is None else [tokenizer.backend.token_to_id(bos), *ids]
        counted, total = 0, 0.0
        for place in range(1, len(row)):
            end = len(tokenizer.decode(row[: place + 1]))
            if end > len(one.prompt.lstrip()):
                with torch.no_grad():
                    logits = network(torch.tensor([row[:place]])).logits[0, -1]
                total -= float(logits.double().log_softmax(-1)[row[place]])
                counted += 1
        assert (count, nats) == (counted, pytest.approx(total, rel=1e-4))
    assert costs[4].tolist() == [0, 0] and costs[0][1] > 5
    assert found.parts["bos"] == (bos or "none")


def test_batches_and_padding_make_no_difference(
    scorer: tuple[Scorer, Path, str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    together = scorer[0].nats(PASSAGES)
    told: list[int] = []
    monkeypatch.setattr("textdiff.evaluation.generation.scorer._SCORES", 1)
    assert scorer[0].nats(PASSAGES, told.append) == pytest.approx(together, rel=1e-5) and told == [1, 2, 3, 4, 5, 6]


def test_features_are_the_last_states_of_each_text(
    scorer: tuple[Scorer, Path, str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    found, _, bos = scorer
    together = found.features(PASSAGES)
    for one, features in zip(PASSAGES, together, strict=True):
        ids = tiny_checkpoint().tokenizer.encode((one.prompt + one.text).strip())
        row = ids if bos is None else [found.bos or 0, *ids]
        with torch.no_grad():
            states = found.network(torch.tensor([row]), output_hidden_states=True).hidden_states[-1][0, -1]
        assert features == pytest.approx(states.numpy(), rel=1e-4, abs=1e-5)
    monkeypatch.setattr("textdiff.evaluation.generation.scorer._SCORES", 1)
    assert found.features(PASSAGES) == pytest.approx(together, rel=1e-4, abs=1e-5)
    nothing = found.features([Passage("", " ")])
    assert nothing.shape == (1, 16) and (bos is not None or not nothing.any())


def test_mauve_tells_near_from_far() -> None:
    pytest.importorskip("mauve")
    near, other, far = (np.random.default_rng(i).normal(3 * (i == 2), 1, (200, 5)).astype(np.float32) for i in range(3))
    assert mauve(near, other, 1) == mauve(near, other, 1) > 0.9 > 0.1 > mauve(near, far, 1)


def test_other_weights_are_another_scorer(tmp_path: Path) -> None:
    folder = save_scorer(tmp_path / "scorer")
    first = Scorer.load(str(folder)).sha256
    with (folder / "config.json").open("a") as file:
        file.write("\n")
    assert Scorer.load(str(folder)).sha256 != first


def test_what_cannot_score_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="reads in both directions"):
        Scorer.load(str(save_masked_lm(tmp_path / "masked")))
    with pytest.raises(CheckpointError, match="is no model"):
        Scorer.load("nowhere")
    with pytest.raises(CheckpointError, match="cannot be"):
        Scorer.load("default")  # none of transformers' left-to-right models
    small = Scorer.load(str(save_scorer(tmp_path / "small", positions=8)))
    with pytest.raises(
        UsageError, match="a text has 13 pieces of the scorer, which reads at most 8: take fewer tokens"
    ):
        small.nats([Passage("", "xyzxyzxyzxyz")])
    short = save_scorer(tmp_path / "short")
    config = json.loads((short / "config.json").read_text())
    torch.manual_seed(0)
    network = AutoModelForCausalLM.from_pretrained(short)
    network.resize_token_embeddings(config["vocab_size"] - 5)
    network.save_pretrained(short)
    with pytest.raises(CheckpointError, match="more ids than its network"):
        Scorer.load(str(short))


def test_excerpts_are_spread_and_begin_words() -> None:
    tokenizer = tiny_checkpoint().tokenizer
    text = "The old house stood by the river, and the rain fell on the garden all day long. " * 3
    documents = [text, "so", text[4:]]
    found = take_excerpts(documents, tokenizer, 3, 2, 6)
    assert len(take_excerpts(documents, tokenizer, 9, 2, 6)) == 9
    ids = tokenizer.encode(text)
    assert (*found[0].prompt, *found[0].rest) == tuple(ids[:8])
    for excerpt in found:
        whole = tokenizer.decode([*excerpt.prompt, *excerpt.rest])
        said = excerpt.passage(tokenizer)
        assert said.prompt + said.text == whole and whole in text
        assert text.startswith(whole) or text[4:].startswith(whole) or f" {whole.lstrip()}" in text
    with pytest.raises(DataError, match=r"has \d+ stretches of 8 tokens within a document, and 100 are asked for"):
        take_excerpts(documents, tokenizer, 100, 2, 6)


def test_a_character_that_is_cut_belongs_to_the_text() -> None:
    tokenizer = tiny_checkpoint().tokenizer
    ids = tokenizer.encode("The é")
    assert passage(tokenizer, ids[:-1], ids[-1:]) == Passage("The ", "é")
    assert passage(tokenizer, ids[:-2], ids[-2:]) == Passage("The ", "é")


@pytest.mark.parametrize(
    ("prompt", "text", "words"),
    [
        ("", "one two thr", ["one", "two"]),
        ("zero", " one two ", ["one", "two"]),
        ("zer", "o one two ", ["one", "two"]),
        ("zero ", "one two\n", ["one", "two"]),
        ("zer", "o", []),
        ("zero", "", []),
        ("", " ", []),
    ],
)
def test_words_that_may_be_cut_are_left_out(prompt: str, text: str, words: list[str]) -> None:
    assert Passage(prompt, text).words == words


def test_the_scores_are_those_of_the_metrics() -> None:
    tokenizer = tiny_checkpoint().tokenizer
    texts = ["the rain fell and the rain fell and the rain fell and x", "a b c d e f g h i j", "the old house and x"]
    passages = [Passage("", text) for text in texts]
    wanted = wanted_grams(passages)
    assert len(wanted) == 4 + 2  # the first text has four different ones, the second two, the third is too short
    known = Known(known_grams(wanted, [], 8) | {tuple("abcdefgh")}, "0123")
    scores = {score.name: score for score in text_scores(passages, tokenizer, known, {"model": "m"})}
    words = [text.split()[:-1] for text in texts]
    repeated = repetition_parts(words).sum(0)
    assert scores["repetition"].value == repeated[0] / repeated[1] and scores["repetition"].n == repeated[1]
    for n in (1, 2, 3):
        assert (scores[f"distinct_{n}"].value, scores[f"distinct_{n}"].standard_error) == distinct(words, n)
    assert scores["self_bleu"].value == self_bleu(texts)[0] and math.isinf(scores["self_bleu"].standard_error or 0)
    entropies = [float(entropy_parts([tokenizer.encode(text)])[0, 0]) for text in texts]
    assert scores["text_entropy"].value == pytest.approx(sum(entropies) / 3) and scores["text_entropy"].n == 3
    assert scores["novelty"].value == 6 / 7 and scores["novelty"].n == 7
    assert scores["novelty"].signature == "model:m|n:8|reference:0123"
    assert "novelty" not in {score.name for score in text_scores(passages, tokenizer, None, {})}
    score = perplexity_score(np.array([[2.0, 1.0], [4.0, 2.0]]), {})
    assert (score.value, score.n, score.unit) == (pytest.approx(math.exp(2)), 3, "perplexity/piece")
