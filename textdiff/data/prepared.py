"""Corpora that were tokenised once: a folder with the ids, the tokenizer, and what it was made from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt

from textdiff.corpus import Piece
from textdiff.data.packing import encode_stream
from textdiff.data.token_file import TokenWriter, map_tokens
from textdiff.errors import ConfigError, DataError
from textdiff.files import MANIFEST, atomic_folder, read_json, write_json
from textdiff.text.tokenizers import Tokenizer, load_tokenizer

FACTS = "prepared.json"
TOKENS = "tokens.npy"
_FORMAT = 1


def is_prepared(path: str | Path) -> bool:
    """Whether a path is the folder of a prepared corpus."""
    return (Path(path) / FACTS).is_file()


def tokenizer_digest(tokenizer: Tokenizer) -> str:
    """sha256 of a tokenizer: the same one gives the same ids."""
    return hashlib.sha256(tokenizer.backend.to_str().encode()).hexdigest()


@dataclass(frozen=True)
class PreparedCorpus:
    """A prepared corpus, opened.

    Attributes:
        folder: where it is.
        ids: all tokens; they stay in the file until they are needed.
        documents: how many there are.
        sha256: of the ids as 32-bit integers.
        tokenizer_sha256: of the tokenizer that made them.
        tokenizer_config: what a recipe said of the tokenizer, or None.
    """

    folder: Path
    ids: npt.NDArray[Any]
    documents: int
    sha256: str
    tokenizer_sha256: str
    tokenizer_config: Mapping[str, Any] | None = None

    @staticmethod
    def open(folder: Path) -> PreparedCorpus:
        """Opens a folder at once, whatever its size: `textdiff verify` compares all of it with its manifest.

        Raises:
            DataError: it is not whole, or of another format.
        """
        facts = read_json(folder / FACTS, error=DataError)
        try:
            if facts["format_version"] != _FORMAT:
                raise DataError(
                    f"{folder} has format {facts['format_version']}; this version reads {_FORMAT}: prepare it again"
                )
            tokens, documents = int(facts["tokens"]), int(facts["documents"])
            digests = str(facts["sha256"]), str(facts["tokenizer_sha256"])
            config = facts.get("tokenizer_config")
        except (KeyError, TypeError, ValueError):
            raise DataError(f"{folder / FACTS} lacks what it should hold; prepare the corpus again") from None
        if not (folder / MANIFEST).is_file():
            raise DataError(f"{folder} has no {MANIFEST}: it is not whole; prepare it again")
        return PreparedCorpus(folder, map_tokens(folder / TOKENS, tokens), documents, *digests, config)

    def tokenizer(self) -> Tokenizer:
        """The tokenizer that made the ids.

        Raises:
            DataError: it is another one.
        """
        found = load_tokenizer(self.folder)
        if tokenizer_digest(found) != self.tokenizer_sha256:
            raise DataError(
                f"the tokenizer in {self.folder} is not the one that its tokens were made with; prepare it again"
            )
        return found

    def require_tokenizer(self, tokenizer: Tokenizer, whose: str) -> None:
        """Raises ConfigError where a run has another tokenizer, to which the ids mean something else."""
        if tokenizer_digest(tokenizer) != self.tokenizer_sha256:
            raise ConfigError(
                f"{self.folder} was prepared with another tokenizer than {whose}; "
                f"leave the recipe's tokenizer out, set tokenizer.path={self.folder}, or prepare the text again"
            )


def prepare_corpus(
    pieces: Iterable[Piece],
    tokenizer: Tokenizer,
    output: Path,
    source: Mapping[str, Any],
    tokenizer_config: Mapping[str, Any] | None = None,
    made_from: Mapping[str, Any] | None = None,
) -> PreparedCorpus:
    """Tokenises a corpus into a folder, whole or not at all. Memory does not grow with the corpus.

    Args:
        pieces: the documents; see `read_corpus`.
        tokenizer: goes into the folder too.
        output: the folder.
        source: what the corpus was made from, as plain data, for the record.
        tokenizer_config: what a recipe says of the tokenizer.
        made_from: what the folder follows from, as plain data, so that it need not be made again.

    Raises:
        DataError: a file cannot be used, or there are less than two tokens.
        ConfigError: the folder cannot be written.
        ResourceError: the disk is full.
    """
    count = _Counter(pieces)
    with atomic_folder(output) as staging:
        with TokenWriter(staging / TOKENS, tokenizer.vocabulary.size) as writer:
            for ids in encode_stream(count, tokenizer):
                writer.write(ids)
        if writer.tokens < 2:
            raise DataError("the corpus holds less than two tokens")
        tokenizer.save(staging)
        facts = {
            "format_version": _FORMAT,
            "tokens": writer.tokens,
            "documents": count.documents,
            "characters": count.characters,
            "sha256": writer.sha256,
            "tokenizer_sha256": tokenizer_digest(tokenizer),
            "tokenizer_config": None if tokenizer_config is None else dict(tokenizer_config),
            "source": dict(source),
            "made_from": None if made_from is None else dict(made_from),
        }
        write_json(staging / FACTS, facts)
    return PreparedCorpus.open(output)


class _Counter:
    """Passes pieces on, and counts."""

    def __init__(self, pieces: Iterable[Piece]) -> None:
        self._pieces = pieces
        self.documents = self.characters = 0

    def __iter__(self) -> Iterator[Piece]:
        for piece in self._pieces:
            self.documents += piece.last
            self.characters += len(piece.text)
            yield piece
