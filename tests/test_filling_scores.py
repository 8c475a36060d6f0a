"""Fine-tuning says how well gaps in the person's own held-out text are filled, before and after."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import TEXT, run, save_tiny, tiny_checkpoint

from textdiff.files import read_json
from textdiff.infiller import Checkpoint, Infiller
from textdiff.recipe import load_recipe
from textdiff.recipe.filling import filling_scores, held_out_texts
from textdiff.recipe.running import PreparedRun


def infiller(checkpoint: Checkpoint) -> Infiller:
    return Infiller(checkpoint.model, checkpoint.tokenizer, checkpoint.samplers)


def test_it_is_printed_and_kept_with_the_model(tmp_path: Path) -> None:
    model, text, output = save_tiny(tmp_path / "model"), tmp_path / "text.txt", tmp_path / "run"
    text.write_text(TEXT * 20)
    sets = ("training.max_steps=12", "training.per_device_train_batch_size=2", "training.learning_rate=0.01")
    ended = run("finetune", "-m", model, "--data", text, "--output", output, "--set", *sets)
    assert ended.code == 0, ended.err
    metrics = read_json(output / "model" / "metrics.json")
    before, after = ({score["name"]: score for score in metrics[key]} for key in ("before", "scores"))
    name = "infill_bits_per_byte"
    assert after[name]["value"] < before[name]["value"]
    assert after[name]["signature"] == before[name]["signature"]
    compared = ended.err.partition("before and after:")[2]
    assert name in compared and "infill_exact_match" in ended.err
    held_out = PreparedRun(load_recipe(output / "recipe.yaml"), Path(), Checkpoint.load(model)).material.split[1]
    for found, kept in ((Checkpoint.load(model), before), (Checkpoint.load(output / "model"), after)):
        again = filling_scores(infiller(found), held_out, 0)
        assert [score.name for score in again] == [name, "infill_exact_match"]
        assert again[0].value == pytest.approx(kept[name]["value"], rel=1e-4)


def test_a_model_that_knows_nothing_pays_for_every_token_alike() -> None:
    """Every writable token is as likely as any other, so the bits are the tokens' number times log2 of theirs."""
    checkpoint = tiny_checkpoint()
    with torch.no_grad():
        for parameter in checkpoint.model.parameters():
            parameter.zero_()
    ids = np.array(checkpoint.tokenizer.encode(TEXT * 20), dtype=np.int32)
    bits, hits = filling_scores(infiller(checkpoint), ids, 0)
    writable = int(checkpoint.tokenizer.vocabulary.writable().sum())
    tokens_per_byte = bits.value / math.log2(writable)
    assert 0.2 < tokens_per_byte < 1.5
    assert (bits.n > 0, hits.n, hits.value) == (True, 32, 0)


def test_documents_are_read_apart() -> None:
    tokenizer = tiny_checkpoint().tokenizer
    end = tokenizer.vocabulary.special_ids[0]
    ids = np.array([end, *tokenizer.encode("one two"), end, end, *tokenizer.encode("three")], dtype=np.int32)
    assert [text.strip() for text in held_out_texts(ids, tokenizer)] == ["one two", "three"]


def test_a_text_without_room_has_no_scores() -> None:
    tokenizer = tiny_checkpoint().tokenizer
    assert filling_scores(infiller(tiny_checkpoint()), np.array(tokenizer.encode("too short"), dtype=np.int32), 0) == []
