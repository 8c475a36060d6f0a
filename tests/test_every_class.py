"""Every class of masked language model from end to end: load, fill, fine-tune two steps, save, load, the same fills."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_pretrained import EXTRA, SIZES, random_network
from tiny import run
from wordpieces import wordpiece

import textdiff
from textdiff.infiller import open_checkpoint
from textdiff.recipe import run_recipe
from textdiff.recipe.finetuning import finetuning_recipe, with_tokenizer
from textdiff.recipe.recipe import TokenizerConfig

LISTED = (
    "bert", "roberta", "albert", "distilbert", "electra", "deberta", "deberta-v2", "modernbert", "xlm-roberta", "eurobert",
    "camembert", "esm",
)  # fmt: skip
GAPS = "The old [MASK: 2 tokens] stood by [MASK: 1 token] river."
TEXT = "The old house stood by the river, and a known house by the old river stood well.\n" * 12


def saved(kind: str, folder: Path) -> Path:
    """A network of random weights with BERT's kind of tokenizer."""
    tokenizer = wordpiece()
    ids = {
        "vocab_size": tokenizer.vocabulary.size,
        "pad_token_id": tokenizer.vocabulary.pad_id,
        "max_position_embeddings": SIZES["max_position_embeddings"],
    }
    extra = {"mask_token_id": tokenizer.vocabulary.mask_id} if "mask_token_id" in EXTRA[kind] else {}
    random_network(kind, **EXTRA[kind] | ids | extra).save_pretrained(folder)
    tokenizer.save(folder)
    return folder


@pytest.mark.parametrize("new", [None, "byte_bpe"])
@pytest.mark.parametrize("kind", LISTED)
def test_fill_tune_save_load_fill(kind: str, new: str | None, tmp_path: Path) -> None:
    """With its own tokenizer, and with one that is trained on the text."""
    folder, text = saved(kind, tmp_path / "base"), tmp_path / "text.txt"
    text.write_text(TEXT, encoding="utf8")
    before = textdiff.load(folder).infill(GAPS, seed=1, score=False)
    assert all(gap.text for gap in before.gaps)
    start = open_checkpoint(folder)
    wanted = None if new is None else TokenizerConfig(kind=new, vocab_size=320)
    if wanted is not None:
        start = with_tokenizer(start, wanted, [str(text)])
    sets = ["training.max_steps=2", "training.per_device_train_batch_size=2", "context_length=16"]
    sets += ["training.learning_rate=0.01", "data.validation_share=0"]
    recipe = finetuning_recipe(start, str(folder), [str(text)], sets, wanted)
    made = run_recipe(recipe, Path(), tmp_path / "run", start=start)
    tuned = textdiff.Infiller(made.model.eval(), made.tokenizer, made.samplers).infill(GAPS, seed=1)
    again = textdiff.load(tmp_path / "run").infill(GAPS, seed=1)
    assert [(gap.text, gap.score) for gap in again.gaps] == [(gap.text, gap.score) for gap in tuned.gaps]
    assert all(gap.text for gap in again.gaps)
    ended = run("info", tmp_path / "run")
    assert (ended.code, ended.err) == (0, "")
