"""A small uncased masked language model with a word-piece vocabulary, untrained."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import AddedToken, normalizers
from tokenizers import Tokenizer as Backend
from tokenizers.models import WordPiece
from tokenizers.pre_tokenizers import BertPreTokenizer
from transformers import BertConfig, BertForMaskedLM

from textdiff.text.tokenizers import Tokenizer, load_tokenizer

_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_WORDS = "the old house stood by river , . ' - [ ] mask and un ##s ##ed ##known well don t a b c d e f g h i j k l m"


def wordpiece() -> Tokenizer:
    """As BERT's: it drops spaces and accents, writes lower case, and does not know every character."""
    names = [*_SPECIAL, *_WORDS.split()]
    backend = Backend(WordPiece({name: i for i, name in enumerate(names)}, unk_token="[UNK]"))
    backend.normalizer, backend.pre_tokenizer = normalizers.BertNormalizer(lowercase=True), BertPreTokenizer()
    backend.add_special_tokens([AddedToken(name, special=True) for name in _SPECIAL])
    return Tokenizer(backend, {"mask_token": "[MASK]", "pad_token": "[PAD]", "unk_token": "[UNK]"})


def save_masked_lm(folder: Path) -> Path:
    """A Hugging Face folder with a network that looks at what it is given."""
    tokenizer = wordpiece()
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = BertForMaskedLM(
            BertConfig(vocab_size=tokenizer.vocabulary.size, max_position_embeddings=32, pad_token_id=0, **sizes)
        )
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.2)
    network.save_pretrained(folder)
    tokenizer.save(folder)
    return folder


def of_entries(folder: Path, entries: list[str]) -> Tokenizer:
    """The tokenizer of a folder that has these entries as its vocab.txt."""
    folder.mkdir(exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(entries) + "\n", encoding="utf-8")
    return load_tokenizer(folder)
