"""A trained network for another tokenizer."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from test_pretrained import EXTRA, random_network
from tiny import CONTEXT, run, senseless_checkpoint, tiny_checkpoint
from tokenizers import AddedToken, Regex, decoders, models, pre_tokenizers
from tokenizers import Tokenizer as Backend
from wordpieces import save_masked_lm, wordpiece

import textdiff
from textdiff.errors import ConfigError
from textdiff.infiller import Checkpoint, DefaultSamplers, open_checkpoint
from textdiff.infiller.masked_lm import load_masked_lm
from textdiff.infiller.transplant import transplanted
from textdiff.processes import UniformProcess
from textdiff.text.canvas import Canvas
from textdiff.text.inheritance import ancestors
from textdiff.text.tokenizers import Tokenizer, train_tokenizer

LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOP"
NAMES = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def letters(order: Sequence[str]) -> Tokenizer:
    """A character each, and five special ids, in this order."""
    backend = Backend(models.WordLevel({entry: i for i, entry in enumerate(order)}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    backend.decoder = decoders.Fuse()
    backend.add_special_tokens([AddedToken(name, special=True) for name in NAMES])
    return Tokenizer(backend, {"mask_token": "[MASK]", "pad_token": "[PAD]", "unk_token": "[UNK]"})


ORDER = ["[CLS]", "[PAD]", "[UNK]", "[SEP]", "[MASK]", *LETTERS]


@pytest.mark.parametrize("spare", [0, 3])
@pytest.mark.parametrize("kind", EXTRA)
def test_a_network_says_the_same_of_the_same_letters_in_another_order(kind: str, spare: int, tmp_path: Path) -> None:
    """The oracle is the network itself: its scores, with the letters where the other tokenizer has them."""
    old, new = letters(ORDER), letters([*reversed(ORDER[5:]), *ORDER[:5], *"QRSTUVWXYZ"[: 3 - spare]])
    network = random_network(kind, **EXTRA[kind] | {"vocab_size": 47 + spare})
    network.save_pretrained(tmp_path)
    model = load_masked_lm(tmp_path, old)
    found = transplanted(Checkpoint(model, old, DefaultSamplers.of(model.process)), new)
    torch.manual_seed(1)
    ids = torch.randint(5, 47, (3, 9))
    ids[:, 2] = old.vocabulary.mask_id
    place = torch.tensor([new.backend.token_to_id(name) for name in ORDER])
    scores = []
    for one, row, tokenizer in ((model, ids, old), (found.model, place[ids], new)):
        canvas = Canvas(
            row, row != tokenizer.vocabulary.mask_id, torch.ones_like(row, dtype=torch.bool), torch.arange(3)
        )
        scores.append(one.denoise(row, torch.zeros(3, dtype=torch.float64), canvas, ~canvas.frozen))
    torch.testing.assert_close(scores[1][:, place[5:47]], scores[0][:, 5:47], rtol=1e-4, atol=1e-4)


def test_rows_come_from_those_that_spell_the_same() -> None:
    """A word that both know, one that is spelled by two pieces, one within a word, capitals, and what nothing is like."""
    old = wordpiece()
    new = train_tokenizer("byte_bpe", ["The house, the houses. knowned THE\n" * 9] * 9, 330)
    entry = {piece: i for i, piece in enumerate(new.pieces)}
    found = ancestors(new, old)
    names = {piece: [old.entries[i] for i in found[i_new]] for piece, i_new in entry.items()}
    assert names[b" the"] == ["the"]
    assert names[b"The"] == ["the"]
    assert names[b" THE"] == ["the"]
    assert names[b" houses"] == ["house", "##s"]
    assert names[b"ed"] == ["##ed"]
    assert names[b","] == [","]
    assert names[b"\n"] == []
    assert names[b"\xff"] == []
    vocabulary = new.vocabulary
    uses = [vocabulary.pad_id, vocabulary.mask_id, new.prefix_ids[0], vocabulary.filler_id]
    assert [[old.entries[j] for j in found[i]] for i in uses if i is not None] == [["[PAD]"], ["[MASK]"], [], []]


def test_new_rows_are_means_of_old_ones(tmp_path: Path) -> None:
    """Of the embedding, the output layer that is tied to it, and the bias; all else is as it was."""
    start = open_checkpoint(save_masked_lm(tmp_path / "base"))
    new = train_tokenizer("byte_bpe", ["The house, the houses.\n" * 9] * 9, 300)
    made = transplanted(start, new)
    parents = ancestors(new, start.tokenizer)
    old_state, new_state = start.model.state_dict(), made.model.state_dict()
    grown = {name for name, tensor in old_state.items() if tensor.shape != new_state[name].shape}
    assert {name.split(".")[-1] for name in grown} == {"weight", "bias"}
    for name in grown:
        assert len(new_state[name]) == new.vocabulary.size
        for i, ids in enumerate(parents):
            if ids:
                expected = sum(old_state[name][j].double() for j in ids) / len(ids)
                torch.testing.assert_close(new_state[name][i].double(), expected, rtol=1e-6, atol=1e-7)
    assert all(torch.equal(old_state[name], new_state[name]) for name in old_state.keys() - grown)
    unknown = [i for i, ids in enumerate(parents) if not ids]
    rows = made.model.get_input_embeddings().weight[unknown]
    assert len(rows.unique(dim=0)) == len(unknown) > 1
    again = transplanted(start, new).model.state_dict()
    assert all(torch.equal(tensor, again[name]) for name, tensor in new_state.items())


@pytest.mark.parametrize("process", ["absorbing", "uniform"])
def test_a_model_of_our_own_changes_its_tokenizer_too(process: str) -> None:
    """To one with the same tokens it is the same model."""
    start = senseless_checkpoint(process)
    same = transplanted(start, start.tokenizer)
    state = same.model.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in start.model.state_dict().items())
    other = transplanted(
        start, train_tokenizer("byte_bpe", ["A quite different text, with words of its own.\n"] * 9, 290)
    )
    assert isinstance(other.model.process, UniformProcess) == (process == "uniform")
    assert other.model.process.vocabulary.size == other.tokenizer.vocabulary.size
    assert other.model.config.context_length == CONTEXT


def test_a_model_of_pairs_keeps_its_tokenizer() -> None:
    start = tiny_checkpoint()
    start.model.config.target_length = 8
    with pytest.raises(ConfigError, match="cannot change its tokenizer"):
        transplanted(start, start.tokenizer)


def test_an_uncased_model_without_a_head_learns_a_cased_text(tmp_path: Path) -> None:
    """From a folder such as a sentence encoder's, by the command; stopped and started again it is the same run."""
    base, text = save_masked_lm(tmp_path / "base"), tmp_path / "text.txt"
    weights = load_file(base / "model.safetensors")
    body = {name: tensor for name, tensor in weights.items() if not name.startswith("cls.")}
    save_file(body, base / "model.safetensors", {"format": "pt"})
    text.write_text("The Old House stood by THE River — naïve!\n" * 40, encoding="utf8")
    options = ["-m", base, "--data", text, "--tokenizer", "byte_bpe", "--vocab-size", 300, "--set"]
    sets = ["training.per_device_train_batch_size=2", "context_length=24", "training.save_steps=2"]
    whole = run("finetune", "--output", tmp_path / "whole", *options, *sets, "training.max_steps=4")
    assert whole.code == 0, whole.err
    assert f"{base} has no language-model head: a new one is trained from random weights" in whole.err
    halfway = Path("state") / "step-00000002"
    shutil.copytree(tmp_path / "whole" / halfway, tmp_path / "part" / halfway)
    on = run("finetune", "--output", tmp_path / "part", *options, *sets, "training.max_steps=4")
    assert on.code == 0, on.err
    first, second = (load_file(tmp_path / name / "model" / "model.safetensors") for name in ("whole", "part"))
    assert first.keys() == second.keys()
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())
    model = textdiff.load(tmp_path / "whole")
    line = "The Old House — naïve! \x00 ÿ\n\t end"
    assert model.tokenizer.decode(model.tokenizer.encode(line)) == line
    assert json.loads((tmp_path / "whole" / "model" / "metrics.json").read_text())["before"]


@pytest.mark.parametrize(
    ("words", "code", "reason"),
    [
        (["--vocab-size", 300], 2, "--vocab-size is for a tokenizer that is trained: name its kind with --tokenizer"),
        (
            ["--tokenizer", "byte_bpee"],
            5,
            "'byte_bpee' is neither a folder or model with a tokenizer nor a kind of one.",
        ),
        (["--tokenizer", "byte_bpe", "--vocab-size", 20], 3, "vocab_size must be at least 260 for byte_bpe, got 20"),
        (["--tokenizer", "default", "--vocab-size", 300], 2, "--vocab-size is for a tokenizer that is trained, and"),
    ],
)
def test_what_cannot_be_is_said(words: list[object], code: int, reason: str, tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("The rain.\n", encoding="utf8")
    ended = run("finetune", "--data", text, "--output", tmp_path / "run", *words)
    assert ended.code == code
    assert reason in ended.err
    assert ended.err.count("\n") == 1
    assert not (tmp_path / "run").exists()
