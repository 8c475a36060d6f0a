"""Runs in which documents do not see each other: trained, resumed, scored, tuned."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from test_separate_documents import same
from tiny import CONTEXT, run, senseless_checkpoint
from wordpieces import wordpiece

from textdiff.data import DocumentEnds, encode_corpus, evaluation_batches
from textdiff.errors import ConfigError
from textdiff.evaluation import evaluate, score_held_out
from textdiff.infiller import Infiller, load, open_checkpoint
from textdiff.objectives import position_nats
from textdiff.recipe import Recipe, load_recipe, run_recipe
from textdiff.recipe.finetuning import finetuning_recipe
from textdiff.recipe.running import PreparedRun
from textdiff.registry import build, to_config
from textdiff.training import state_folders

SMALL = """
data: {train: text.txt, unit: line, separate_documents: true, validation_share: 0.2}
context_length: 24
tokenizer: {kind: byte_bpe, vocab_size: 280}
backbone: {name: dit, hidden_size: 16, num_hidden_layers: 2, num_attention_heads: 2}
tasks: [{name: gaps, max_length: 4}, {name: lengths, max_room: 4}, whole, prefix]
training: {max_steps: 4, per_device_train_batch_size: 4, save_steps: 2, eval_steps: 2, eval_windows: 2, warmup_steps: 1}
"""


def test_a_held_out_document_costs_the_same_beside_any_other() -> None:
    """The score of a document moves with its neighbour's text where they see each other, and only there."""
    made = senseless_checkpoint()
    ends = DocumentEnds.of(made.tokenizer)
    ids = encode_corpus(["The rain fell.", "the old house by the river"], made.tokenizer)
    first = len(made.tokenizer.encode("The rain fell.")) + 1
    other = np.where((np.arange(len(ids)) > first) & (ids != ends.mark), ids[2], ids)
    for separate in (ends, None):
        nats = []
        for text in (ids, other):
            canvas = next(evaluation_batches(text, CONTEXT, 1, made.tokenizer.vocabulary, 0, None, separate))
            levels = torch.full((1, 1), 0.4, dtype=torch.float64)
            nats.append(position_nats(made.model.denoise, made.model.process, canvas, levels, 0)[0, :first])
        assert float(nats[0].sum()) > 0
        assert torch.allclose(*nats, rtol=1e-5) == (separate is not None)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    lines = [f"The {a} {b} sat.\n" for a in ("old", "red", "wet") for b in ("cat", "dog", "hen", "fox")] * 8
    (tmp_path / "text.txt").write_text("".join(lines), encoding="utf8")
    path = tmp_path / "recipe.yaml"
    path.write_text(SMALL, encoding="utf8")
    return path


def test_a_run_from_end_to_end(small: Path) -> None:
    recipe, folder = load_recipe(small), small.parent
    assert build(Recipe, to_config(recipe)) == recipe
    assert all(canvas.documents is not None for canvas in PreparedRun(recipe, folder).validation(2))
    made = run_recipe(recipe, folder, folder / "run")
    assert made.metrics is not None
    assert all("|packing:documents|" in score["signature"] for score in made.metrics["scores"])
    shutil.copytree(folder / "run" / "state" / "step-00000002", folder / "part" / "state" / "step-00000002")
    run_recipe(recipe, folder, folder / "part")
    files = [state_folders(folder / name)[-1] / "weights.safetensors" for name in ("run", "part")]
    whole, rest = map(load_file, files)
    assert all(torch.equal(whole[name], rest[name]) for name in whole)
    with pytest.raises(ConfigError, match=r"data\.separate_documents was True and is False"):
        run_recipe(load_recipe(small, ["data.separate_documents=false"]), folder, folder / "run")


def test_a_model_is_scored_and_tuned_as_it_was_trained(small: Path) -> None:
    folder = small.parent
    overrides = ["training.max_steps=1"]
    run_recipe(load_recipe(small, overrides), folder, folder / "run")
    apart, text = load(folder / "run"), [folder / "text.txt"]
    assert apart.model.config.separate_documents
    options = {"unit": "line", "max_windows": 2}
    assert "|packing:documents|" in evaluate(apart, text, **options)[0].signature
    assert "|packing:consecutive|" in evaluate(apart, text, separate_documents=False, **options)[0].signature
    tuned = finetuning_recipe(open_checkpoint(folder / "run"), "run", [str(text[0])])
    assert tuned.data.separate_documents
    assert not finetuning_recipe(open_checkpoint(), "default", [str(text[0])]).data.separate_documents
    plain = senseless_checkpoint()
    ids = encode_corpus(["The rain fell.", "the old house"] * 9, plain.tokenizer)
    assert "|packing:consecutive|" in score_held_out(plain.model, plain.tokenizer, ids, 0).signature
    infiller = Infiller(plain.model, plain.tokenizer, plain.samplers)
    together = evaluate(infiller, text, **options)[0]
    alone = evaluate(infiller, text, separate_documents=True, **options)[0]
    assert "|packing:documents|" in alone.signature and alone.value != together.value


def test_a_prepared_corpus_serves_both(small: Path) -> None:
    """The stream on disk is the same, so that the option may be chosen later."""
    plain = small.with_name("plain.yaml")
    plain.write_text(SMALL.replace("separate_documents: true, ", ""))
    assert run("data", "prepare", plain, "--output", small.with_name("prepared")).code == 0
    own = PreparedRun(load_recipe(small), small.parent).loader()
    fast = PreparedRun(load_recipe(small, [f"data.train={small.with_name('prepared')}"]), small.parent).loader()
    assert same(own.batch(0, 8), fast.batch(0, 8))


def test_what_cannot_be_separated_is_refused_at_the_start(small: Path) -> None:
    """A tokenizer without document ends, and a network that lets every position see all others."""
    wordpiece().save(small.with_name("words"))
    recipe = load_recipe(small, [f"tokenizer.path={small.with_name('words')}"])
    with pytest.raises(ConfigError, match="this tokenizer does not mark where a document ends"):
        run_recipe(recipe, small.parent, small.with_name("run"))
    network = {"model_type": "fnet", "vocab_size": 280, "hidden_size": 16, "num_hidden_layers": 1}
    network |= {"intermediate_size": 16, "max_position_embeddings": 24, "tpu_short_seq_length": 24}
    backbone = {"name": "pretrained", "network": network}
    recipe = build(Recipe, {**to_config(load_recipe(small)), "backbone": backbone})
    with pytest.raises(ConfigError, match="this network cannot keep the documents of a sample apart"):
        run_recipe(recipe, small.parent, small.with_name("run"))
    assert not small.with_name("run").exists()
