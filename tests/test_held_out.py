"""The last evaluation of a run: the same figures as of the text in one piece, in memory that does not grow with it."""

from __future__ import annotations

import hashlib
import itertools
import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracles import ToyLanguage, canvas_of
from tiny import CONTEXT, TEXT, tiny_checkpoint
from wordpieces import wordpiece

from textdiff.data import Windows, encode_corpus, evaluation_batches
from textdiff.evaluation import score_held_out
from textdiff.evaluation.held_out import text_of_ids
from textdiff.metrics import LevelProfile, bigram_entropy, estimate_nelbo, unigram_entropy
from textdiff.objectives import LevelNats
from textdiff.processes import AbsorbingProcess, UniformProcess
from textdiff.text.decoding import decode_parts
from textdiff.text.tokenizers import Tokenizer, train_tokenizer

WILD = "Œuvre: naïve café\u2003— “quoted”\n\n日本語 テキスト 🎈🎈 e\u0301 \u200b end\r\n" * 3
BYTES = train_tokenizer("byte_bpe", [TEXT], 300)  # knows no letter beyond ASCII: each is cut into bytes
PIECES = wordpiece()


def spread(ids: np.ndarray, length: int, limit: int | None) -> list[np.ndarray]:
    windows = Windows(ids, length)
    return [windows[number] for number in windows.spread(limit)]


def plainly(ids: np.ndarray, tokenizer: Tokenizer) -> tuple[int, int, str]:
    text = tokenizer.decode(ids.tolist())
    return len(text.encode()), len(text.split()), hashlib.sha256(text.encode()).hexdigest()


@given(st.text(alphabet="ab é日🎈\n\t\u2003", max_size=60), st.integers(1, 7), st.integers(0, 3))
def test_parts_join_to_the_text(text: str, size: int, cut: int) -> None:
    """Also where a part ends within a character, and where the ids begin or end in the middle of one."""
    ids = np.array(BYTES.encode(text)[cut:], dtype=np.int32)
    assert "".join(decode_parts(BYTES, ids, size)) == BYTES.decode(ids.tolist())


@pytest.mark.parametrize("size", [1, 2, 5, 1000])
def test_parts_of_word_pieces_join_to_the_text(size: int) -> None:
    ids = np.array(PIECES.encode("the old house, and the rain!"), dtype=np.int32)
    assert "".join(decode_parts(PIECES, ids, size)) == PIECES.decode(ids.tolist())
    assert len(PIECES.decode(ids.tolist())) > 10


@pytest.mark.parametrize("size", [1, 3, 64, 10_000])
def test_sizes_and_hash_are_those_of_the_whole_text(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Words that a cut goes through count once."""
    monkeypatch.setattr(decode_parts, "__defaults__", (size,))
    ids = encode_corpus([WILD, TEXT], BYTES)
    found, digest = text_of_ids(ids, BYTES)
    assert (found.bytes, found.words, digest) == plainly(ids, BYTES)


def test_a_short_text_is_scored_whole_and_a_long_one_in_part() -> None:
    made = tiny_checkpoint()
    ids = encode_corpus([TEXT * 40], made.tokenizer)
    windows = -(-len(ids) // CONTEXT)
    whole, part = (score_held_out(made.model, made.tokenizer, ids, 3, most) for most in (len(ids), 8 * CONTEXT))
    assert "|windows:all|" in whole.signature
    assert f"|windows:8 of {windows}|" in part.signature and windows > 16
    size, words, digest = plainly(ids, made.tokenizer)
    for report in (whole, part):
        assert all(score.signature == report.signature for score in report.scores)
        assert f"|data:{digest[:12]}|" in report.signature
    scores = {score.name: score for score in whole.scores}
    assert (scores["bits_per_byte"].n, scores["perplexity_per_word"].n) == (size, words)
    writable = made.tokenizer.vocabulary.writable().numpy()
    kept = ids[writable[ids]]
    assert scores["bigram_entropy"].value == pytest.approx(bigram_entropy(kept))
    limited = {score.name: score for score in part.scores}
    runs = [run[writable[run]] for run in spread(ids, CONTEXT, 8)]
    assert limited["unigram_entropy"].value == pytest.approx(unigram_entropy(np.concatenate(runs)))
    assert limited["nelbo"].n == limited["unigram_entropy"].n == sum(map(len, runs))
    # bytes count in proportion: so many of a token as in the whole text
    per_token = scores["bits_per_byte"].value / scores["nelbo"].value
    assert limited["bits_per_byte"].value / limited["nelbo"].value == pytest.approx(per_token)


def test_pairs_are_counted_within_runs_only() -> None:
    first, second = np.array([1, 2, 1, 2]), np.array([5, 1, 2])
    joint = -(3 / 5 * np.log(3 / 5) + 2 * 1 / 5 * np.log(1 / 5))
    before = -(3 / 5 * np.log(3 / 5) + 2 * 1 / 5 * np.log(1 / 5))
    assert bigram_entropy(first, second) == pytest.approx(joint - before)
    assert bigram_entropy(np.concatenate([first, second])) > 0.1
    assert bigram_entropy(np.array([3])) == 0


def test_windows_are_spread_as_the_batches_are() -> None:
    ids = np.arange(1000, dtype=np.int32) % 20 + 4
    for limit in (None, 3, 7, 500):
        runs = spread(ids, 64, limit)
        batches = list(evaluation_batches(ids, 64, 3, BYTES.vocabulary, 1, limit))
        rows = [c.ids[r][c.valid[r]].tolist() for c in batches for r in range(len(c.ids))]
        assert [run.tolist() for run in runs] == rows


def test_the_memory_of_the_sizes_does_not_grow_with_the_text() -> None:
    """Of 4 million ids, which are one object each where a list of them is made."""
    ids = np.tile(encode_corpus([TEXT], BYTES).astype(np.uint16), 40_000)[: 1 << 22]
    text_of_ids(ids[:100], BYTES)
    tracemalloc.start()
    text_of_ids(ids, BYTES)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 << 20


@pytest.mark.parametrize("process", [AbsorbingProcess, UniformProcess])
def test_the_curve_by_level_adds_up_to_the_bound(process: type) -> None:
    """One part of the axis gives the bound itself; of several, the widths are those of the levels up to their spread."""
    language = ToyLanguage.random(length=3, seed=2)
    law, profile = process(language.vocabulary), LevelProfile()
    canvas = canvas_of(language.sample(100, seed=1))
    parts = [canvas.rows(torch.arange(start, start + 50)) for start in (0, 50)]
    found = estimate_nelbo(language.denoiser(law), law, parts, 4, 1, on_levels=profile.add)
    (whole,) = profile.bins(1)
    assert (whole.windows, whole.corruptions) == (100, 400)
    # of uniform noise the share of the axis that a row stands for is drawn, and is right in the mean
    assert whole.nats == pytest.approx(found.nats_per_token, rel=0.01 if process is AbsorbingProcess else 0.03)
    # that of a part has in it what follows the level: over the whole axis it is the larger one
    assert 0.95 * found.standard_error < whole.standard_error < 1.3 * found.standard_error
    for count in (3, 12):
        bins = profile.bins(count)
        assert sum(part.corruptions for part in bins) == 400
        assert all(part.low < part.level <= part.high and part.windows <= 100 for part in bins)
        area = sum(part.nats * (part.high - part.low) for part in bins)
        if len(bins) == count:  # absorbing: shares of three tokens are 1/3, 2/3 and 1
            assert area == pytest.approx(found.nats_per_token, rel=0.03)
    assert len(profile.bins(12)) == (3 if process is AbsorbingProcess else 12)


def test_a_bin_is_the_mean_cross_entropy_at_its_share_of_masks() -> None:
    """Against the exact conditional entropies of a toy language: masks of 1, 2 and 3 of 3 tokens."""
    language = ToyLanguage.random(length=3, seed=2)
    law, profile = AbsorbingProcess(language.vocabulary), LevelProfile()
    canvas = canvas_of(language.sample(800, seed=1))
    estimate_nelbo(language.denoiser(law), law, [canvas], 4, 1, on_levels=profile.add)
    bins = profile.bins(3)
    assert [part.level for part in bins] == pytest.approx([1 / 3, 2 / 3, 1])
    for part, masked in zip(bins, (1, 2, 3), strict=True):
        truth = conditional_entropy(language, masked)
        assert abs(part.nats - truth) < 4 * part.standard_error
        assert part.standard_error < 0.05


def conditional_entropy(language: ToyLanguage, masked: int) -> float:
    """The mean entropy of a masked token given those that are not, over all sets of so many masks, by enumeration."""
    length = language.sequences.shape[1]
    terms = []
    for hidden in itertools.combinations(range(length), masked):
        given = [i for i in range(length) if i not in hidden]
        terms += [entropy_of(language, [*given, i]) - entropy_of(language, given) for i in hidden]
    return float(np.mean(terms))


def entropy_of(language: ToyLanguage, positions: list[int]) -> float:
    """The joint entropy of the tokens at some positions."""
    mass: dict[tuple[int, ...], float] = {}
    for sequence, p in zip(language.sequences[:, positions].tolist(), language.probabilities.tolist(), strict=True):
        mass[tuple(sequence)] = mass.get(tuple(sequence), 0.0) + p
    return -sum(p * float(np.log(p)) for p in mass.values())


def test_standard_errors_take_a_window_as_one() -> None:
    """The same window corrupted twice in a bin is no second observation."""
    profile, ones = LevelProfile(), torch.ones(4, dtype=torch.float64)
    nats = torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=torch.float64)
    once = LevelProfile()
    once.add(0, LevelNats(ones / 2, nats, ones))
    for _ in range(2):
        profile.add(0, LevelNats(ones / 2, nats, ones))
    (single,), (double,) = once.bins(1), profile.bins(1)
    assert (single.nats, double.nats) == (2.5, 2.5)
    assert single.standard_error == pytest.approx(double.standard_error) == pytest.approx(float(nats.std()) / 2)
    assert (double.windows, double.corruptions) == (4, 8)


def test_nothing_measured_is_no_curve() -> None:
    assert LevelProfile().bins() == []
