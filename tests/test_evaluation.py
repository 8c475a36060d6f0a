"""Numbers that can be trusted: right in the mean, with errors that cover, and the same in every unit."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from oracles import HiddenMarkov, ToyLanguage, canvas_of
from test_infiller import infiller_of
from tiny import senseless_checkpoint

from textdiff.denoiser import Readout
from textdiff.draws import Draws
from textdiff.errors import DataError, UsageError
from textdiff.evaluation import evaluate
from textdiff.infiller import Infiller
from textdiff.metrics import Score, bigram_entropy, estimate_nelbo, unigram_entropy
from textdiff.objectives import LevelNats, positions, rows
from textdiff.processes import AbsorbingProcess, UniformProcess

GARDEN = Path(__file__).parent.parent / "data" / "corpus" / "garden.txt"


@pytest.fixture(scope="module")
def infiller() -> Infiller:
    return infiller_of(AbsorbingProcess)


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text(GARDEN.read_text(encoding="utf8")[:3000], encoding="utf8")
    return path


@pytest.mark.statistical
def test_the_bound_of_a_hidden_markov_source_is_its_entropy() -> None:
    """An oracle of longer sequences, many repeats: within 4 standard errors of -log p of the same sequences."""
    source = HiddenMarkov.random(seed=3)
    process = AbsorbingProcess(source.vocabulary)
    ids = source.sample(200, 12, seed=1)
    found = estimate_nelbo(source.denoiser(process), process, [canvas_of(ids)], repeats=4, seed=2)
    truth = -float(source.log_probability(ids).sum()) / found.tokens
    assert abs(found.nats_per_token - truth) < 4 * found.standard_error
    assert found.tokens == 2400


def test_repeats_lower_the_error_and_the_seed_repeats_the_number() -> None:
    language = ToyLanguage.random(length=3, seed=2)
    process = AbsorbingProcess(language.vocabulary)
    canvas = canvas_of(language.sample(300, seed=1))
    once, again, often = (
        estimate_nelbo(language.denoiser(process), process, [canvas], repeats=r, seed=1) for r in (1, 1, 8)
    )
    assert once == again
    assert often.standard_error < 0.8 * once.standard_error


@pytest.mark.parametrize("process", [AbsorbingProcess, UniformProcess])
def test_repeats_of_a_short_text_share_a_call(process: type, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five repeats of 2 rows of 3: by what a call may hold in one, three or five calls, with the same nats."""
    language = ToyLanguage.random(length=3, seed=2)
    law, canvas = process(language.vocabulary), canvas_of(language.sample(2, seed=1))
    oracle, calls = language.denoiser(law), []

    def denoise(x_t: torch.Tensor, *others: torch.Tensor) -> torch.Tensor:
        calls.append(len(x_t))
        return oracle(x_t, *others)

    found = {}
    for most in (1 << 11, 12, 1):
        monkeypatch.setattr(positions, "_POSITIONS", most)
        levels: list[LevelNats] = []
        nats = positions.position_nats(denoise, law, canvas, positions.spread_levels(0, 2, 5, 1), 1, levels.append)
        assert [found.level.shape for found in levels] == [(2,)] * 5
        found[most] = nats, torch.stack([torch.stack(tuple(one)) for one in levels])
    assert calls == [10, 4, 4, 2, 2, 2, 2, 2, 2]
    for nats, levels in found.values():
        torch.testing.assert_close(nats, found[1][0])
        torch.testing.assert_close(levels, found[1][1])
    alone = positions.position_nats(oracle, law, canvas.rows(torch.tensor([1])), positions.spread_levels(1, 1, 5, 1), 1)
    torch.testing.assert_close(alone[0], found[12][0][1])


@pytest.mark.parametrize("process", ["absorbing", "uniform"])
def test_scores_of_all_ids_are_never_all_alive(process: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model's `read` is scored at most five positions at a time, with the nats that its `denoise` gives."""
    model = senseless_checkpoint(process).model
    canvas = canvas_of(torch.randint(10, 200, (4, 12), generator=torch.Generator().manual_seed(1)))
    levels, parts, logits = positions.spread_levels(0, 4, 3, 1), [], Readout.logits
    expected = positions.position_nats(model.denoise, model.process, canvas, levels, 1)
    monkeypatch.setattr(rows, "_CHUNK", 5 * 4 * model.vocabulary.size)
    monkeypatch.setattr(rows, "_LEAST", 1)
    monkeypatch.setattr(
        Readout, "logits", lambda self, rows: parts.append(len(self.hidden[rows])) or logits(self, rows)
    )
    found = positions.position_nats(model.read, model.process, canvas, levels, 1)
    assert max(parts) <= 5 and sum(parts) > 30
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_the_batches_make_no_difference() -> None:
    language = ToyLanguage.random(length=3, seed=2)
    process = AbsorbingProcess(language.vocabulary)
    canvas = canvas_of(language.sample(30, seed=1))
    parts = [canvas.rows(torch.arange(30)[a : a + 7]) for a in range(0, 30, 7)]
    whole = estimate_nelbo(language.denoiser(process), process, [canvas])
    assert estimate_nelbo(language.denoiser(process), process, parts).nats == pytest.approx(whole.nats)


def test_ngram_entropies_are_those_of_the_counts() -> None:
    ids = np.array([1, 2, 1, 2, 1, 1], dtype=np.int32)
    assert unigram_entropy(ids) == pytest.approx(-(4 / 6 * math.log(4 / 6) + 2 / 6 * math.log(2 / 6)))
    pairs = {(1, 2): 2, (2, 1): 2, (1, 1): 1}
    joint = -sum(n / 5 * math.log(n / 5) for n in pairs.values())
    first = -(3 / 5 * math.log(3 / 5) + 2 / 5 * math.log(2 / 5))
    assert bigram_entropy(ids) == pytest.approx(joint - first)


def named(scores: list[Score]) -> dict[str, Score]:
    return {score.name: score for score in scores}


def test_the_units_agree(infiller: Infiller, text: Path) -> None:
    scores = named(evaluate(infiller, [text]))
    nats = scores["nelbo"].value * scores["nelbo"].n
    size, words = len(text.read_bytes()), len(text.read_text(encoding="utf8").split())
    assert scores["nelbo"].n == len(infiller.tokenizer.encode(text.read_text(encoding="utf8")))
    assert scores["bits_per_byte"].value == pytest.approx(nats / math.log(2) / size)
    assert scores["perplexity_per_token"].value == pytest.approx(math.exp(scores["nelbo"].value))
    assert math.log(scores["perplexity_per_word"].value) == pytest.approx(nats / words)
    assert scores["nelbo"].standard_error and scores["unigram_entropy"].standard_error is None
    assert all(score.signature == scores["nelbo"].signature for score in scores.values())
    assert "process:absorbing" in scores["nelbo"].signature and "windows:all" in scores["nelbo"].signature


def test_the_signature_tells_models_and_texts_apart(infiller: Infiller, text: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    other.write_text(text.read_text(encoding="utf8") + ".", encoding="utf8")
    signatures = {
        evaluate(infiller, [path], ["entropy"], seed=s)[0].signature for path in (text, other) for s in (1, 2)
    }
    assert len(signatures) == 4


def test_some_windows_stand_for_all(infiller: Infiller, text: Path) -> None:
    some, whole = (named(evaluate(infiller, [text], ["nelbo"], max_windows=m)) for m in (3, None))
    assert some["nelbo"].n < whole["nelbo"].n
    ratio = whole["bits_per_byte"].value / whole["nelbo"].value
    assert some["bits_per_byte"].value / some["nelbo"].value == pytest.approx(ratio)


def test_what_cannot_be_evaluated_is_one_sentence(infiller: Infiller, text: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no metric is named 'nelb'\. Did you mean 'nelbo'\?"):
        evaluate(infiller, [text], ["nelb"])
    with pytest.raises(UsageError, match="must be at least 1"):
        evaluate(infiller, [text], repeats=0)
    with pytest.raises(DataError, match="missing"):
        evaluate(infiller, [tmp_path / "gone"])
    strange = tmp_path / "strange.txt"
    strange.write_text("漢字" * 5, encoding="utf8")
    with pytest.raises(DataError, match="nothing that this model's tokenizer can express"):
        evaluate(infiller_of(AbsorbingProcess, "characters"), [strange])


def test_levels_are_spread_and_unrelated_to_the_order() -> None:
    start = float(Draws.seeded(0).uniform(1)[0, 0])
    levels = np.sort((start + np.arange(50) * (math.sqrt(5) - 1) / 2) % 1)
    assert np.diff(levels).max() < 2 / 50 * 1.5
