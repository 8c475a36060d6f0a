"""Small left-to-right models of Hugging Face, untrained."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from tiny import tiny_checkpoint
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM


def save_scorer(folder: Path, bos: str | None = "[END]", positions: int = 80) -> Path:
    """A network that looks at all before a place, with the tiny model's tokenizer and a token that begins texts, or none."""
    tokenizer = tiny_checkpoint().tokenizer
    size = tokenizer.vocabulary.size
    with torch.random.fork_rng():
        torch.manual_seed(3)
        if bos is None:
            network = GPT2LMHeadModel(
                GPT2Config(
                    vocab_size=size, n_positions=positions, n_embd=16, n_layer=1, n_head=2, initializer_range=0.5
                )
            )
        else:
            sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
            network = LlamaForCausalLM(
                LlamaConfig(vocab_size=size, max_position_embeddings=positions, initializer_range=0.5, **sizes)
            )
    network.save_pretrained(folder)
    tokenizer.save(folder)
    place = folder / "tokenizer_config.json"
    config = {key: value for key, value in json.loads(place.read_text()).items() if key != "bos_token"}
    place.write_text(json.dumps(config | ({} if bos is None else {"bos_token": bos})))
    return folder
