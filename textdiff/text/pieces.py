"""The exact bytes that each id stands for, read from a tokenizer's own description."""

from __future__ import annotations

import re
import unicodedata
from typing import Any, Literal

Kind = Literal["byte_bpe", "metaspace", "characters", "wordpiece", "longest_match"]

METASPACE = "▁"
_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")


def kind_of(spec: dict[str, Any]) -> Kind:
    """The kind of a tokenizer from its parsed tokenizer.json: it decides how pieces become text."""
    model = spec["model"]
    parts = {part["type"] for key in ("pre_tokenizer", "decoder") for part in components(spec.get(key))}
    if model["type"] == "WordPiece":
        return "wordpiece" if model["continuing_subword_prefix"] else "longest_match"
    if model["type"] == "WordLevel":
        special = {token["content"] for token in spec["added_tokens"]}
        return "characters" if all(len(entry) == 1 for entry in model["vocab"] if entry not in special) else "wordpiece"
    return "byte_bpe" if "ByteLevel" in parts else "metaspace"


def components(node: dict[str, Any] | None) -> list[dict[str, Any]]:
    """The parts of a normalizer, pre-tokenizer or decoder, sequences flattened."""
    if node is None:
        return []
    inner = next((node[key] for key in ("normalizers", "pretokenizers", "decoders") if key in node), None)
    return [node] if inner is None else [part for item in inner for part in components(item)]


def piece_bytes(token: str, kind: Kind, spaced: bool, prefix: str) -> bytes:
    """The bytes of one vocabulary entry.

    Args:
        token: the entry as the vocabulary spells it.
        kind: how the vocabulary spells text.
        spaced: metaspace only: whether "▁" spells a space.
        prefix: wordpiece only: what marks the continuation of a word ("##").
    """
    if kind == "byte_bpe":
        return bytes(_BYTE_OF[c] for c in token) if all(c in _BYTE_OF for c in token) else token.encode()
    if kind == "metaspace":
        if match := _BYTE.fullmatch(token):
            return bytes([int(match[1], 16)])
        return (token.replace(METASPACE, " ") if spaced else token).encode()
    if kind == "wordpiece":
        if prefix and token.startswith(prefix) and len(token) > len(prefix):
            return token.removeprefix(prefix).encode()
        return token.encode() if is_punctuation(token) else b" " + token.encode()
    return token.encode()


def is_punctuation(token: str) -> bool:
    """Whether BERT's pre-tokenizer would cut this single character off the word before it."""
    return len(token) == 1 and (unicodedata.category(token)[0] == "P" or token in "$+<=>^`|~")


def _byte_alphabet() -> dict[str, int]:
    """GPT-2's printable stand-ins for the 256 bytes."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [b for b in range(256) if b not in printable]
    return {chr(b): b for b in printable} | {chr(256 + i): b for i, b in enumerate(others)}


_BYTE_OF = _byte_alphabet()
