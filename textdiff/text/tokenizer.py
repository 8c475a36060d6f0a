"""A tokenizer whose every id has known bytes, and which never reads markup in a user's text."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import torch
from tokenizers import AddedToken
from tokenizers import Tokenizer as Backend
from torch import Tensor

from textdiff.errors import CheckpointError, DataError
from textdiff.text.pieces import Kind, components, kind_of, piece_bytes
from textdiff.text.spelling import Spelling, spelling_of
from textdiff.text.wordpiece import is_unused
from textdiff.vocabulary import Vocabulary

PAD, MASK, END, FILLER, UNKNOWN = "[PAD]", "[MASK]", "[END]", "[FILL]", "[UNK]"


class Tokenizer:
    """Text to ids and back, over any tokenizer of the `tokenizers` library.

    Attributes:
        vocabulary: the ids that the maths needs; ids with no text (padding, ends, unused, holes) are special.
        kind: how pieces become text: byte_bpe, metaspace, characters, wordpiece or longest_match.
        prefix_ids, suffix_ids: what stands before and after a document.
        unknown_id: what stands for text that the vocabulary cannot spell, or None.
        roles: names of the special tokens as tokenizer_config.json has them ("mask_token": "[MASK]", …).
    """

    def __init__(self, backend: Backend, roles: Mapping[str, str], size: int | None = None) -> None:
        """Takes the backend over: truncation, padding and the recognition of special literals are switched off.

        Args:
            backend: the tokenizer.
            roles: names of the special tokens.
            size: the number of ids of the model, where its embedding is larger than the tokenizer's vocabulary.
        """
        backend.no_truncation()
        backend.no_padding()
        backend.encode_special_tokens = True
        self.backend = backend
        self.roles = dict(roles)
        self._spec = json.loads(backend.to_str())
        self.kind: Kind = kind_of(self._spec)
        self._token_of = {i: token for token, i in backend.get_vocab(with_added_tokens=True).items()}
        self.vocabulary = self._make_vocabulary(size)
        self.unknown_id = self._id(self.roles.get("unk_token") or self._spec["model"].get("unk_token"))
        framed = backend.encode("a", add_special_tokens=True)
        inside = [i for i, special in enumerate(framed.special_tokens_mask) if not special] or [len(framed.ids)]
        self.prefix_ids: list[int] = framed.ids[: inside[0]]
        self.suffix_ids: list[int] = framed.ids[inside[-1] + 1 :]
        self._forbidden = set(self.vocabulary.special_ids) - {self.unknown_id}
        if self.vocabulary.filler_id is not None:
            self._forbidden.add(self.vocabulary.filler_id)

    def with_mask(self) -> Tokenizer:
        """The same tokenizer with one id more, that of a mask."""
        backend = Backend.from_str(self.backend.to_str())
        backend.add_special_tokens([AddedToken(MASK, special=True)])
        return Tokenizer(backend, {**self.roles, "mask_token": MASK})

    def encode(self, text: str, start: bool = True) -> list[int]:
        """The ids of a text; literals such as "[MASK]" in it are text.

        Args:
            text: any text.
            start: whether the text begins a document (some tokenizers write a space before its first word).
        """
        return self.encode_many([text], start)[0]

    def encode_many(self, texts: Sequence[str], start: bool = True) -> list[list[int]]:
        """The ids of many texts, in parallel.

        Raises:
            DataError: a text holds a lone surrogate, which no encoding can carry.
            CheckpointError: a rule of the tokenizer fails, such as a pattern that finds no end.
        """
        backend = self.backend if start else self._inner_backend
        try:
            with working("the tokenizer does not work on this text"):
                rows = [e.ids for e in backend.encode_batch_fast(list(texts), add_special_tokens=False)]
        except TypeError:
            bad = next((t for t in texts if any("\ud800" <= c <= "\udfff" for c in t)), "")
            raise DataError(f"a text holds a lone surrogate, which is not a character: {bad[:40]!r}") from None
        return [
            ids if self._forbidden.isdisjoint(ids) else self._encode_literals(text, start)
            for text, ids in zip(texts, rows, strict=True)
        ]

    def _encode_literals(self, text: str, start: bool) -> list[int]:
        """Encodes a text in which the model itself found names of special tokens, by cutting those names in two."""
        return self.encode_with_ends(text, start)[0]

    def encode_with_ends(self, text: str, start: bool = True) -> tuple[list[int], list[int]]:
        """The ids as `encode` gives them, and for each the number of characters of the text up to its end.

        Raises:
            DataError: the tokenizer cannot write the text.
        """
        with working("the tokenizer does not work on this text"):
            encoding = (self.backend if start else self._inner_backend).encode(text, add_special_tokens=False)
        cuts = [0]
        for token, (begin, end) in zip(encoding.ids, encoding.offsets, strict=True):
            if token in self._forbidden:
                if end - begin < 2:
                    raise DataError(f"the tokenizer has no way to write {text[begin:end]!r} as text")
                cuts.append(begin + 1)
        if len(cuts) == 1:
            return encoding.ids, [end for _, end in encoding.offsets]
        ids: list[int] = []
        ends: list[int] = []
        for begin, end in zip(cuts, [*cuts[1:], len(text)], strict=True):
            part, part_ends = self.encode_with_ends(text[begin:end], start and begin == 0)
            ids += part
            ends += [begin + e for e in part_ends]
        return ids, ends

    def decode(self, ids: Iterable[int]) -> str:
        """The text of the ids, special ids and fillers dropped; bytes that are not UTF-8 become U+FFFD."""
        if self.kind == "wordpiece":
            return self.spelling.text(ids, self.spelling.plain)
        return b"".join(self.pieces[i] for i in ids).decode("utf-8", errors="replace")

    @cached_property
    def spelling(self) -> Spelling:
        """How the tokens of a gap become its text."""
        return spelling_of(self)

    @cached_property
    def entries(self) -> list[str]:
        """Every id as the vocabulary spells it; "" where it spells none."""
        return [self._token_of.get(i, "") for i in range(self.vocabulary.size)]

    @property
    def prefix(self) -> str:
        """What marks the continuation of a word ("##"), or ""."""
        return self._spec["model"].get("continuing_subword_prefix") or ""

    @cached_property
    def lower_case(self) -> bool:
        """Whether capitals are lost when text is read."""
        parts = components(self._spec.get("normalizer"))
        return any(p["type"] == "Lowercase" or (p["type"] == "BertNormalizer" and p["lowercase"]) for p in parts)

    @cached_property
    def pieces(self) -> list[bytes]:
        """The exact bytes of every id; b"" for special ids and the filler."""
        added = {t["id"]: t["content"] for t in self._spec["added_tokens"]}
        parts = components(self._spec.get("decoder")) + components(self._spec.get("pre_tokenizer"))
        spaced = any(part["type"] == "Metaspace" or part.get("content") == " " for part in parts)
        blank = {*self.vocabulary.special_ids, self.vocabulary.filler_id}
        return [
            b""
            if i in blank
            else added[i].encode()
            if i in added
            else piece_bytes(self._token_of[i], self.kind, spaced, self.prefix)
            for i in range(self.vocabulary.size)
        ]

    @cached_property
    def utf8(self) -> Tensor:
        """Bool [V]: the piece is valid UTF-8 by itself."""
        return torch.tensor([_is_utf8(piece) for piece in self.pieces])

    @cached_property
    def starts_with_space(self) -> Tensor:
        """Bool [V]: the piece starts with a space."""
        return torch.tensor([piece.startswith(b" ") for piece in self.pieces])

    @cached_property
    def opens(self) -> Tensor:
        """Bool [V]: the piece may stand where a word begins after a space."""
        if not self.carries_spaces:
            return torch.ones(self.vocabulary.size, dtype=torch.bool)
        if self.kind != "wordpiece":
            return self.starts_with_space
        return torch.tensor([not (self.prefix and entry.startswith(self.prefix)) for entry in self.entries])

    @property
    def carries_spaces(self) -> bool:
        """Whether a word's piece holds the space before the word."""
        return self.kind in ("byte_bpe", "metaspace", "wordpiece")

    @cached_property
    def writes_first_space(self) -> bool:
        """Whether a document's first word gets a space that the document does not have."""
        return self.carries_spaces and self.decode(self.encode("a")).startswith(" ")

    @cached_property
    def keeps_whitespace(self) -> bool:
        """Whether line ends and runs of spaces survive encoding."""
        probe = "a\nb  c"
        return self.decode(self.encode(probe)).removeprefix(" ") == probe

    @cached_property
    def _inner_backend(self) -> Backend:
        """The same tokenizer for text that does not begin a document: no space is written before its first word."""
        spec, changed = copy.deepcopy(self._spec), False
        for part in (p for key in ("normalizer", "pre_tokenizer") for p in components(spec.get(key))):
            if part["type"] == "Metaspace" and part["prepend_scheme"] != "never":
                part["prepend_scheme"], changed = "never", True
            if part["type"] == "ByteLevel" and part["add_prefix_space"]:
                part["add_prefix_space"], changed = False, True
            if part["type"] == "Prepend" and part["prepend"]:
                part["prepend"], changed = "", True
        if not changed:
            return self.backend
        inner = Backend.from_str(json.dumps(spec))
        inner.no_truncation()
        inner.no_padding()
        inner.encode_special_tokens = True
        return inner

    def save(self, folder: Path | str) -> None:
        """Writes tokenizer.json and tokenizer_config.json, which `transformers.AutoTokenizer` loads too."""
        place = Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        config = {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "clean_up_tokenization_spaces": False,
            "model_input_names": ["input_ids", "attention_mask"],
            **self.roles,
        }
        self.backend.save(str(place / "tokenizer.json"))
        (place / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")

    def _make_vocabulary(self, size: int | None) -> Vocabulary:
        known = max(self._token_of) + 1
        total = max(known, size or 0)
        added = self._spec["added_tokens"]
        filler = next((t["id"] for t in added if t["content"] == FILLER and t["special"]), None)
        special = {t["id"] for t in added if t["special"]} | {self._id(name) for name in self.roles.values()}
        special |= {i for i in range(total) if i not in self._token_of or is_unused(self._token_of[i])}
        pad = self._id(self.roles.get("pad_token"))
        return Vocabulary(
            size=total,
            special_ids=tuple(i for i in special if i is not None and i != filler),
            mask_id=self._id(self.roles.get("mask_token")),
            pad_id=pad if pad is not None else 0,
            filler_id=filler,
        )

    def _id(self, token: str | None) -> int | None:
        return None if token is None else self.backend.token_to_id(token)


@contextmanager
def working(otherwise: str) -> Iterator[None]:
    """Turns what the library of tokenizers raises into a `CheckpointError`: bare Exceptions, and panics, which are not even
    that."""
    try:
        yield
    except BaseException as error:
        if type(error) is not Exception and type(error).__name__ != "PanicException":
            raise
        raise CheckpointError(f"{otherwise}: {error}") from None


def _is_utf8(piece: bytes) -> bool:
    try:
        piece.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
