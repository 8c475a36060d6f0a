"""Tokenizers from folders: our own, and those of ordinary Hugging Face models."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers, processors
from tokenizers import Tokenizer as Backend

from textdiff.errors import CheckpointError, ConfigError
from textdiff.text.tokenizer import Tokenizer, working

_MOST_IDS = 1 << 21
_ROLES = ("mask_token", "pad_token", "unk_token", "cls_token", "sep_token", "bos_token", "eos_token")
_USUAL = {
    "mask_token": ("[MASK]", "<mask>"),
    "pad_token": ("[PAD]", "<pad>"),
    "unk_token": ("[UNK]", "<unk>"),
    "cls_token": ("[CLS]", "<s>"),
    "sep_token": ("[SEP]", "</s>"),
}


def load_tokenizer(folder: Path | str, size: int | None = None) -> Tokenizer:
    """Loads the tokenizer of a folder: tokenizer.json, or vocab.txt, or vocab.json with merges.txt.

    Nothing in the folder is executed, and the network is not used.

    Args:
        folder: a checkpoint or any folder with a Hugging Face model.
        size: the number of rows of the model's embedding, where that is larger than the vocabulary.

    Raises:
        CheckpointError: a file is missing, damaged or of a kind that cannot be used.
    """
    place = Path(folder)
    config = _read_json(place / "special_tokens_map.json") | _read_json(place / "tokenizer_config.json")
    if (place / "tokenizer.json").is_file():
        backend = _parse(place / "tokenizer.json")
    elif (place / "vocab.txt").is_file():
        backend = _from_entries(place / "vocab.txt", config.get("do_lower_case"))
    elif (place / "vocab.json").is_file() and (place / "merges.txt").is_file():
        backend = _from_merges(place)
    else:
        raise CheckpointError(
            f"{place} holds no tokenizer: tokenizer.json, vocab.txt, or vocab.json with merges.txt is needed "
            "(transformers' save_pretrained writes tokenizer.json)"
        )
    _require_few_ids(place, backend)
    try:
        with working(f"{place} holds a tokenizer that does not work"):
            return Tokenizer(backend, _roles(config, backend), size)
    except ConfigError as error:
        raise CheckpointError(f"{place} holds a tokenizer that cannot be used: {error}") from None


def _require_few_ids(place: Path, backend: Backend) -> None:
    """A damaged file must not have tables of absurd sizes made: the library writes one with a row for every id."""
    highest = max(backend.get_vocab(with_added_tokens=True).values(), default=0)
    if highest >= _MOST_IDS:
        raise CheckpointError(f"{place}: the tokenizer has the id {highest:,}, and ids below {_MOST_IDS:,} can be used")


def _parse(path: Path) -> Backend:
    text = _read_text(path)
    try:
        return Backend.from_str(text)
    except Exception as error:  # the library raises bare Exception
        raise CheckpointError(f"{path} is not a tokenizer that can be read: {error}") from None


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path} is not a tokenizer that can be read: {error}") from None


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is not valid JSON: {error}") from None
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} must hold a JSON object")
    return content


def _roles(config: dict[str, Any], backend: Backend) -> dict[str, str]:
    """The names of the special tokens: as configured, or the usual ones where they are in the vocabulary."""
    roles = {}
    for role in _ROLES:
        value = config.get(role)
        name = value.get("content") if isinstance(value, dict) else value
        usual = [n for n in _USUAL.get(role, ()) if backend.token_to_id(n) is not None]
        if isinstance(name, str) and backend.token_to_id(name) is not None:
            roles[role] = name
        elif name is None and usual:
            roles[role] = usual[0]
    return roles


def _from_entries(path: Path, lowercase: bool | None) -> Backend:
    """WordPiece where entries start with ##; else the longest entry that matches, as for chemical strings."""
    entries = _read_text(path).split("\n")
    entries = [entry.removesuffix("\r") for entry in (entries[:-1] if entries[-1] == "" else entries)]
    vocab = {entry: i for i, entry in enumerate(entries)}
    if "[UNK]" not in vocab:
        raise CheckpointError(f"{path} has no [UNK] entry")
    special = [entry for entry in entries if re.fullmatch(r"\[(PAD|UNK|CLS|SEP|MASK|unused\d+)\]", entry)]
    if any(entry.startswith("##") for entry in entries):
        backend = Backend(models.WordPiece(vocab, unk_token="[UNK]"))
        cased = any(entry != entry.lower() for entry in entries if entry not in special)
        backend.normalizer = normalizers.BertNormalizer(lowercase=not cased if lowercase is None else lowercase)
        backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        backend.decoder = decoders.WordPiece()
    else:
        longest_first = sorted(set(entries) - set(special) - {""}, key=lambda e: (-len(e), e))
        backend = Backend(models.WordPiece(vocab, unk_token="[UNK]", continuing_subword_prefix=""))
        backend.pre_tokenizer = pre_tokenizers.Split(Regex("|".join(map(re.escape, longest_first))), "isolated")
        backend.decoder = decoders.Fuse()
    backend.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in special])
    if {"[CLS]", "[SEP]"} <= vocab.keys():
        backend.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]",
            pair="[CLS] $A [SEP] $B:1 [SEP]:1",
            special_tokens=[(name, vocab[name]) for name in ("[CLS]", "[SEP]")],
        )
    return backend


def _from_merges(place: Path) -> Backend:
    """The two files of GPT-2's and RoBERTa's byte-level BPE."""
    vocab = _read_json(place / "vocab.json")
    lines = _read_text(place / "merges.txt").splitlines()
    merges = [line.partition(" ")[::2] for line in lines if line and not line.startswith("#version")]
    try:
        backend = Backend(models.BPE(vocab, merges))
    except Exception as error:  # the library raises bare Exception
        raise CheckpointError(f"{place} holds vocab.json and merges.txt that do not fit together: {error}") from None
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    special = [name for name in ("<s>", "<pad>", "</s>", "<unk>", "<mask>", "<|endoftext|>") if name in vocab]
    backend.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in special])
    if {"<s>", "</s>"} <= vocab.keys():
        backend.post_processor = processors.TemplateProcessing(
            single="<s> $A </s>",
            pair="<s> $A </s> </s> $B </s>",
            special_tokens=[(name, vocab[name]) for name in ("<s>", "</s>")],
        )
    return backend
