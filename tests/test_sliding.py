"""Sliding windows: every token is scored once, given what stands before it, and what is given is never corrupted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import HiddenMarkov
from test_infiller import infiller_of
from tiny import CONTEXT, run, save_tiny, senseless_checkpoint
from torch import Tensor

from textdiff.data import evaluation_batches
from textdiff.draws import Draws
from textdiff.errors import ConfigError, UsageError
from textdiff.evaluation import evaluate
from textdiff.evaluation.benchmark import NelboMetric
from textdiff.evaluation.running import scored_text
from textdiff.infiller import Infiller
from textdiff.metrics import estimate_nelbo
from textdiff.metrics.likelihood import ratio_error
from textdiff.objectives import estimator_for, position_nats, spread_levels
from textdiff.processes import (
    AbsorbingProcess,
    AutoregressiveProcess,
    BlockProcess,
    ForwardProcess,
    HybridProcess,
    UniformProcess,
)
from textdiff.text.canvas import Canvas
from textdiff.vocabulary import Vocabulary

LONGEST = 200
ALL = Vocabulary(size=LONGEST + 10, special_ids=(0, 1, 7, 20), mask_id=1, pad_id=0)
PROCESSES = [AbsorbingProcess(ALL), UniformProcess(ALL), HybridProcess(ALL), BlockProcess(ALL, block_size=5)]
GARDEN = Path(__file__).parent.parent / "data" / "corpus" / "garden.txt"


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text(GARDEN.read_text(encoding="utf8")[:900], encoding="utf8")
    return path


def sliding(ids: Tensor, length: int, stride: int, vocabulary: Vocabulary) -> list[Canvas]:
    return list(evaluation_batches(ids.numpy().astype(np.int32), length, 4, vocabulary, 0, stride=stride))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(size=st.integers(1, LONGEST), length=st.integers(1, 60), share=st.floats(0, 1))
def test_every_token_is_scored_once_with_enough_before_it(size: int, length: int, share: float) -> None:
    """The ids are their places plus 2, so that a window tells where it stands; 7 and 20 cannot be written."""
    stride = 1 + int(share * (length - 1))
    ids, scored = torch.arange(2, size + 2), []
    for canvas in sliding(ids, length, stride, ALL):
        for row, free, valid in zip(canvas.ids, canvas.free, canvas.valid, strict=True):
            places = (row[valid] - 2).tolist()
            assert places == list(range(places[0], places[-1] + 1)) and len(places) <= length
            for place in (row[free] - 2).tolist():
                assert place - places[0] >= min(place, length - stride)
                scored.append(place)
    assert scored == [place for place in range(size) if place + 2 not in ALL.special_ids]


@settings(max_examples=30, deadline=None, derandomize=True)
@given(size=st.integers(1, LONGEST), length=st.integers(1, 60))
def test_a_stride_of_the_whole_window_is_no_overlap(size: int, length: int) -> None:
    ids = np.arange(2, size + 2, dtype=np.int32)
    plain = list(evaluation_batches(ids, length, 4, ALL, 3))
    for one, other in zip(plain, evaluation_batches(ids, length, 4, ALL, 3, stride=length), strict=True):
        assert all(
            torch.equal(getattr(one, name), getattr(other, name)) for name in ("ids", "frozen", "valid", "seeds")
        )


@pytest.mark.parametrize("process", PROCESSES, ids=lambda process: type(process).__name__)
def test_what_is_given_is_never_corrupted(process: ForwardProcess) -> None:
    estimator, changed = estimator_for(process), 0
    for canvas in sliding(torch.arange(2, LONGEST + 2), 16, 6, ALL):
        for seed in range(20):
            level = torch.full((len(canvas.ids),), 0.95, dtype=torch.float64)
            found = estimator.corrupt(canvas, level, Draws.seeded(canvas.seeds).fold(seed))
            different = found.x_t != canvas.ids
            assert not bool((different | found.where)[canvas.frozen].any())
            changed += int(different.sum())
    assert changed > 1000


@pytest.mark.parametrize("process", [AbsorbingProcess, UniformProcess])
def test_the_bound_of_an_exact_denoiser_is_the_sum_of_conditionals(process: type) -> None:
    """log p(window) - log p(what was scored before in it), summed over windows; with many repeats, for this very text."""
    source = HiddenMarkov.random(seed=3)
    law, ids = process(source.vocabulary), source.sample(1, 14, seed=1)
    windows = [(0, 6, 0), (2, 8, 4), (4, 10, 4), (6, 12, 4), (8, 14, 4)]
    whole, before = (
        torch.stack([source.log_probability(ids[:, a : (b if all_of_it else a + seen)])[0] for a, b, seen in windows])
        for all_of_it in (True, False)
    )
    found = estimate_nelbo(source.denoiser(law), law, sliding(ids[0], 6, 2, source.vocabulary), repeats=1500)
    assert found.tokens == 14
    assert found.nats == pytest.approx(float((before - whole).sum()), rel=0.02)


def test_a_left_to_right_twin_costs_what_it_costs_directly(text: Path) -> None:
    """Token by token: the network reads what its window has before the token, and nothing else."""
    checkpoint, stride = senseless_checkpoint("autoregressive"), 24
    infiller = Infiller(checkpoint.model, checkpoint.tokenizer, checkpoint.samplers)
    ids = torch.from_numpy(scored_text([text.read_text(encoding="utf8")], infiller.tokenizer).ids).long()
    assert isinstance(checkpoint.model.process, AutoregressiveProcess) and len(ids) > 3 * CONTEXT
    writable, total = checkpoint.model.vocabulary.writable(), 0.0
    for place in torch.nonzero(writable[ids]).flatten().tolist():
        start = 0 if place < CONTEXT else ((place - CONTEXT) // stride + 1) * stride
        shown = ids[None, start : place + 1]
        canvas = Canvas(shown, torch.zeros_like(shown).bool(), torch.ones_like(shown).bool(), torch.zeros(1).long())
        where = torch.zeros_like(shown).bool()
        where[0, -1] = True
        with torch.no_grad():
            logits = checkpoint.model.denoise(shown, torch.zeros(1, dtype=torch.float64), canvas, where)
        total -= float(logits.double().log_softmax(-1)[0, ids[place]])
    found = evaluate(infiller, [text], ["nelbo"], stride=stride)[0]
    assert found.name == "exact_nll" and found.n == int(writable[ids].sum())
    assert found.value * found.n == pytest.approx(total, rel=1e-5)
    assert f"|packing:sliding:{stride}|" in found.signature


def test_scores_of_a_whole_context_are_those_of_none(text: Path) -> None:
    infiller = infiller_of(AbsorbingProcess)
    context = infiller.model.config.context_length
    plain, whole, half = (evaluate(infiller, [text], stride=stride) for stride in (None, context, context // 2))
    assert plain == whole
    assert [score.n for score in half] == [score.n for score in plain]
    assert half[0].value != plain[0].value and half[0].signature != plain[0].signature
    for stride in (0, -1, context + 1):
        with pytest.raises(UsageError, match=f"stride must be from 1 to the model's context of {context} tokens, got"):
            evaluate(infiller, [text], stride=stride)
    with pytest.raises(UsageError, match="documents are scored each by itself, in no windows that could slide"):
        evaluate(infiller, [text], stride=8, separate_documents=True)


def test_overlapping_windows_are_one_unit_of_the_error(text: Path) -> None:
    """With a stride of a quarter of the context four windows stand together; scored far apart, each stands alone."""
    infiller = infiller_of(UniformProcess)
    model, tokenizer = infiller.model, infiller.tokenizer
    context = model.config.context_length
    ids = scored_text([text.read_text(encoding="utf8")], tokenizer).ids
    nats, tokens, rows = [], [], 0
    for canvas in evaluation_batches(ids, context, 4, tokenizer.vocabulary, 0, stride=context // 4):
        levels = spread_levels(rows, len(canvas.ids), 1, 0)
        nats.append(position_nats(model.read, model.process, canvas, levels, 0).sum(-1))
        tokens.append(canvas.free.sum(-1))
        rows += len(canvas.ids)
    groups = [
        torch.tensor([float(torch.cat(parts)[i : i + 4].sum()) for i in range(0, rows, 4)]) for parts in (nats, tokens)
    ]
    found = evaluate(infiller, [text], ["nelbo"], stride=context // 4)[0]
    assert found.standard_error == pytest.approx(ratio_error(*groups), rel=1e-4)
    assert found.degrees_of_freedom == len(groups[0]) - 1
    few = evaluate(infiller, [text], ["nelbo"], stride=context // 4, max_windows=2)[0]
    assert few.degrees_of_freedom and few.degrees_of_freedom > 0


def test_the_command_and_the_benchmark_slide(tmp_path: Path, text: Path) -> None:
    model = save_tiny(tmp_path / "model")
    words = ["evaluate", "-m", model, "--data", text, "--metrics", "nelbo"]
    done = run(*words, "--stride", 16)
    assert done.code == 0 and "|packing:sliding:16|" in done.text
    for stride in (0, CONTEXT + 1):
        wrong = run(*words, "--stride", stride)
        assert wrong.code == 2 and len(wrong.err.strip().splitlines()) == 1 and "stride" in wrong.err
    assert NelboMetric(stride=16).stride == 16
    with pytest.raises(ConfigError, match="stride must be at least 1, got 0"):
        NelboMetric(stride=0)
