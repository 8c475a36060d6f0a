"""The texts that a recipe names, as pieces or as ids."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from textdiff.corpus import Pair, Piece, Problem, read_corpus, read_pairs, stream_chunks
from textdiff.data import PreparedCorpus, encode_pieces, is_prepared
from textdiff.data.packing import Ids
from textdiff.errors import ConfigError
from textdiff.files import find_file
from textdiff.recipe.recipe import DataConfig, TokenizerConfig
from textdiff.registry import to_config
from textdiff.text.tokenizers import Tokenizer, load_tokenizer, train_tokenizer


@dataclass(frozen=True)
class Texts:
    """The texts of a recipe.

    Attributes:
        data: what the recipe says of them.
        folder: where the recipe stands; relative paths are looked for there too.
    """

    data: DataConfig
    folder: Path

    def files(self, names: str | Sequence[str]) -> list[Path]:
        """The paths of some files of the recipe."""
        return [self.find(name) for name in ([names] if isinstance(names, str) else names)]

    def prepared(self, names: str | Sequence[str]) -> PreparedCorpus | None:
        """The prepared corpus that the names stand for, or None if they are texts."""
        files = self.files(names)
        folders = [file for file in files if is_prepared(file)]
        if folders and len(files) > 1:
            raise ConfigError(
                f"{folders[0]} is a prepared corpus, which stands alone; prepare all of the texts together"
            )
        return PreparedCorpus.open(folders[0]) if folders else None

    def pieces(
        self,
        names: str | Sequence[str],
        skipped: list[Problem] | None = None,
        on_bytes: Callable[[int], None] = lambda size: None,
    ) -> Iterator[Piece]:
        """The documents; bad rows that are left out are added to `skipped`. See `read_corpus` for `on_bytes`.

        Of pairs these are all sources and targets.
        """
        if self.data.pairs is not None:
            return (Piece(text, True) for pair in self.pairs(names, skipped) for text in pair[:2])
        note = (lambda problem: None) if skipped is None else skipped.append
        return read_corpus(self.files(names), self.data.options(), self.data.skip_bad, note, on_bytes)

    def pairs(self, names: str | Sequence[str], skipped: list[Problem] | None = None) -> Iterator[Pair]:
        """The pairs; bad ones that are left out are added to `skipped`."""
        note = (lambda problem: None) if skipped is None else skipped.append
        return read_pairs(self.files(names), self.data.pair_options(), self.data.skip_bad, note)

    def tokenizer(
        self,
        names: str | Sequence[str],
        wanted: TokenizerConfig,
        on_bytes: Callable[[int], None] = lambda size: None,
    ) -> Tokenizer:
        """The tokenizer that is asked for: loaded, that of a prepared corpus, or trained on the text.

        Raises:
            ConfigError: it is not the one of the prepared corpus, or cannot be trained.
            DataError: a file cannot be used.
        """
        if wanted.path is not None:
            return load_tokenizer(self.find(wanted.path))
        if (prepared := self.prepared(names)) is not None:
            return prepared_tokenizer(prepared, wanted)
        chunks = (chunk.text for chunk in stream_chunks(self.pieces(names, on_bytes=on_bytes)))
        return train_tokenizer(wanted.kind, chunks, wanted.vocab_size)

    def ids(self, names: str | Sequence[str], tokenizer: Tokenizer, aloud: bool = True) -> Ids:
        """All tokens: in memory, or those of a prepared corpus in its file.

        Args:
            aloud: whether to say on stderr how many bad rows were left out.

        Raises:
            ConfigError: a prepared corpus was made with another tokenizer.
            DataError: a file cannot be used.
        """
        prepared = self.prepared(names)
        if prepared is not None:
            prepared.require_tokenizer(tokenizer, "that of this run")
            return prepared.ids
        skipped: list[Problem] = []
        ids = encode_pieces(self.pieces(names, skipped), tokenizer)
        if aloud and skipped:
            say_skipped(skipped)
        return ids

    def find(self, name: str) -> Path:
        """A path of the recipe; see `find_file`."""
        return find_file(name, self.folder)


def say_skipped(skipped: Sequence[Problem]) -> None:
    """Says on stderr how many bad rows were left out, and what the first one was."""
    rows = "1 bad row was" if len(skipped) == 1 else f"{len(skipped):,} bad rows were"
    print(f"{rows} left out; the first: {skipped[0].message}", file=sys.stderr, flush=True)


def prepared_tokenizer(prepared: PreparedCorpus, wanted: TokenizerConfig) -> Tokenizer:
    """The tokenizer of a prepared corpus, if the recipe does not clearly ask for another one.

    Raises:
        ConfigError: it asks for another one.
    """
    asked = to_config(wanted)
    if asked not in (to_config(TokenizerConfig()), prepared.tokenizer_config):
        has = prepared.tokenizer_config or "a tokenizer of its own"
        raise ConfigError(
            f"{prepared.folder} was prepared with {has}, and the recipe's tokenizer is {asked}; "
            "leave the recipe's tokenizer out, or prepare the text again"
        )
    return prepared.tokenizer()
