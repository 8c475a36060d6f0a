"""The metrics `order_bound` and `decoder`, as functions and as commands."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from tiny import TEXT, run, senseless_checkpoint

from textdiff.data import evaluation_batches
from textdiff.errors import ConfigError, UsageError
from textdiff.evaluation import evaluate_decoder, evaluate_order_bound, scored_text
from textdiff.infiller import Infiller
from textdiff.metrics.orders import decoder_nats, importance_weighted, order_nats
from textdiff.sampling import preset


def infiller_of(process: str = "absorbing") -> Infiller:
    checkpoint = senseless_checkpoint(process)
    return Infiller(checkpoint.model, checkpoint.tokenizer, checkpoint.samplers, "tiny")


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "a.txt"
    path.write_text(TEXT)
    return path


def test_scores_are_those_of_the_windows(text: Path) -> None:
    """Nats over tokens, of the windows that are scored and no others; bits for each byte of the text."""
    infiller, sampler = infiller_of(), preset("margin")
    model, tokenizer = infiller.model, infiller.tokenizer
    ids = scored_text([TEXT], tokenizer).ids
    (canvas,) = evaluation_batches(ids, model.config.context_length, 16, tokenizer.vocabulary, 3, 2)
    bound = importance_weighted(order_nats(model.denoise, model.process, canvas, 5, 3))
    exact = decoder_nats(model.denoise, model.process, canvas, sampler)
    tokens = int(canvas.free.sum())
    found = [
        *evaluate_order_bound(infiller, [text], 5, max_windows=2, seed=3),
        *evaluate_decoder(infiller, [text], sampler, max_windows=2, seed=3),
    ]
    names = ["order_bound", "order_bound_bits_per_byte", "decoder_in_32_steps", "decoder_in_32_steps_bits_per_byte"]
    assert [score.name for score in found] == names
    assert [score.value for score in found[::2]] == pytest.approx([float(n.sum()) / tokens for n in (bound, exact)])
    assert all(score.n == tokens and 0 < score.standard_error < 1 for score in found[::2])
    assert all(score.degrees_of_freedom == 1 for score in found)  # so an interval is wide: by Student's t
    low, high = found[0].interval or (0, 0)
    assert (high - low) / 2 == pytest.approx(12.706 * found[0].standard_error, rel=1e-3)
    for per_token, per_byte in zip(found[::2], found[1::2], strict=True):
        ratio = per_byte.value / per_token.value
        assert ratio == pytest.approx(tokens / per_byte.n / math.log(2), rel=0.02)
    assert "orders:5|steps:one_at_a_time|seed:3" in found[0].signature and "windows:2" in found[2].signature


def test_more_orders_are_a_tighter_bound(text: Path) -> None:
    few, many = (evaluate_order_bound(infiller_of(), [text], orders, max_windows=2)[0].value for orders in (1, 64))
    assert many < few


@pytest.mark.parametrize("steps", [0, -1])
def test_numbers_out_of_range_are_refused(text: Path, steps: int) -> None:
    with pytest.raises(UsageError, match="at least 1"):
        evaluate_order_bound(infiller_of(), [text], steps=steps)


def test_other_noise_is_refused(text: Path) -> None:
    with pytest.raises(ConfigError, match="orders are for absorbing noise"):
        evaluate_order_bound(infiller_of("uniform"), [text])


def test_the_command_gives_a_row_for_each_number_of_steps(text: Path) -> None:
    words = ["evaluate", "--data", str(text), "--metrics", "order_bound,decoder", "--max-windows", "1", "--orders", "1"]
    done = run(*words, "--steps", "2,4", "--json")
    assert done.code == 0, done.err
    names = [score["name"] for score in json.loads(done.out)["scores"]]
    assert "One window was scored" in run(*words, "--steps", "2").text
    assert [n for n in names if "bits" not in n] == [
        "order_bound_in_2_steps", "decoder_in_2_steps", "order_bound_in_4_steps", "decoder_in_4_steps",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--sampler", "threshold"], 3, "an order would look at the answer"),
        (["--temperature", "0.5"], 3, "leave them out"),
        (["--sampler", "left_to_right", "--steps", "4"], 2, "leave steps out"),
    ],
)
def test_a_decoder_that_is_none_ends_with_a_sentence(text: Path, words: list[str], code: int, said: str) -> None:
    done = run("evaluate", "--data", str(text), "--metrics", "decoder", "--max-windows", "1", *words)
    assert done.code == code and said in done.err and done.err.count("\n") == 1
