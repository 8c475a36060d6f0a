"""Left-to-right models of Hugging Face, made to read in both directions."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny import TEXT, run
from tokenizers import Tokenizer as Backend
from tokenizers import decoders, pre_tokenizers
from tokenizers.models import BPE
from transformers import AutoConfig, AutoModelForCausalLM

import textdiff
from textdiff.infiller import open_checkpoint
from textdiff.text.tokenizers import Tokenizer

SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}


def saved(kind: str, place: Path) -> Path:
    """A byte-level tokenizer without a mask; Llama's embeddings tied and full, Qwen2's apart and with spare rows."""
    pieces = ["<pad>", "</s>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    backend = Backend(BPE({piece: i for i, piece in enumerate(pieces)}, []))
    backend.pre_tokenizer, backend.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    backend.add_special_tokens(["<pad>", "</s>"])
    tokenizer = Tokenizer(backend, {"pad_token": "<pad>", "eos_token": "</s>"})
    llama = kind == "llama"
    rows = len(pieces) + (0 if llama else 7)
    sizes = {**SIZES, "intermediate_size": 48, "max_position_embeddings": 64, "tie_word_embeddings": llama}
    torch.manual_seed(0)
    network = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, vocab_size=rows, **sizes))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(0, 0.3)
    network.save_pretrained(place)
    tokenizer.save(place)
    return place


@pytest.fixture(params=["llama", "qwen2"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return saved(request.param, tmp_path / "causal")


def test_it_sees_what_comes_later_and_predicts_from_the_position_before(folder: Path) -> None:
    """The oracle is transformers' own network with a mask of zeros: its scores, one place to the right."""
    checkpoint = open_checkpoint(folder)
    backbone, size = checkpoint.model.backbone, checkpoint.tokenizer.vocabulary.size
    ids = torch.tensor([[5, 6, 7, 8, 9, 10]])
    every = torch.ones_like(ids, dtype=torch.bool)
    plain = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager").eval()
    with torch.no_grad():
        found = backbone.scores(ids, torch.zeros(1), every, every, every)
        raw = plain(input_ids=ids, attention_mask=torch.zeros(1, 1, 6, 6)).logits[0]
        causal = plain(input_ids=ids).logits[0]
        later = ids.clone()
        later[0, 5] = 20
        other = backbone.scores(later, torch.zeros(1), every, every, every)
    known = min(size - 1, raw.shape[1])
    torch.testing.assert_close(found[1:, :known], raw[:-1, :known], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found[0, :known], raw[0, :known], rtol=1e-4, atol=1e-4)
    assert not torch.allclose(found[1:, :known], causal[:-1, :known], atol=1e-2)
    assert not torch.allclose(found[2], other[2], atol=1e-3)


def test_the_mask_is_the_mean_of_all_others(folder: Path) -> None:
    checkpoint = open_checkpoint(folder)
    mask = checkpoint.tokenizer.vocabulary.mask_id
    assert mask == checkpoint.tokenizer.vocabulary.size - 1 == 258
    old = AutoModelForCausalLM.from_pretrained(folder)
    network = checkpoint.model.backbone.network
    for layer in ("get_input_embeddings", "get_output_embeddings"):
        before, after = getattr(old, layer)().weight, getattr(network, layer)().weight
        torch.testing.assert_close(after[mask], before[:mask].mean(0))
        assert torch.equal(after[:mask], before[:mask])


def test_it_is_fine_tuned_and_read_again_with_the_same_scores(folder: Path, tmp_path: Path) -> None:
    first, again = open_checkpoint(folder), tmp_path / "saved"
    first.save(again)
    second = open_checkpoint(again)
    ids = torch.tensor([[5, 6, 258, 8]])
    with torch.no_grad():
        assert torch.equal(first.model(ids).logits, second.model.eval()(ids).logits)
    text, output = tmp_path / "text.txt", tmp_path / "run"
    text.write_text(TEXT)
    sets = ("training.max_steps=2", "training.per_device_train_batch_size=2", "context_length=32")
    ended = run("finetune", "-m", folder, "--data", text, "--output", output, "--set", *sets)
    assert ended.code == 0, ended.err
    assert textdiff.load(output).infill("The [MASK: 2 tokens].", seed=1).gaps
