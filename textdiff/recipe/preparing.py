"""Tokenises a corpus into a folder, once: what the folder was made from is known, so that a second call has nothing to do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from textdiff.corpus import Problem, require_file
from textdiff.data import PreparedCorpus, is_prepared, prepare_corpus
from textdiff.data.prepared import FACTS, tokenizer_digest
from textdiff.errors import ConfigError, DataError
from textdiff.files import counted_sha256, read_json, require_place, system_words, verify_folder
from textdiff.recipe.recipe import DataConfig, TokenizerConfig
from textdiff.recipe.texts import Texts
from textdiff.registry import to_config
from textdiff.training.fingerprint import flat

Stage = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]
"""Called with a name and its bytes before long work; what it gives is called with the bytes as they are read."""


def _unwatched(name: str, total: int) -> AbstractContextManager[Callable[[int], None]]:
    return nullcontext(lambda size: None)


@dataclass(frozen=True)
class Prepared:
    """What came of it.

    Attributes:
        corpus: the folder, opened.
        is_new: whether it was made just now.
        skipped: bad rows that were left out.
        repaired: what was wrong with an older folder, in whose place it was made; or "".
    """

    corpus: PreparedCorpus
    is_new: bool
    skipped: Sequence[Problem] = ()
    repaired: str = ""


def prepare(
    data: DataConfig, wanted: TokenizerConfig, folder: Path, output: Path, stage: Stage = _unwatched
) -> Prepared:
    """Tokenises the training text of `data`; what can be refused is refused before the text is read.

    The files are read once to be known again, once to train a tokenizer where none is given, and once to be tokenised.

    Args:
        data: the text.
        wanted: the tokenizer, to be loaded or trained.
        folder: where relative paths are looked for too.
        output: the folder to be made.
        stage: watches the work.

    Raises:
        ConfigError: `output` cannot be written, holds something else, or was made from other texts or with other options.
        DataError: a file cannot be used.
        ResourceError: the disk is full.
    """
    if data.pairs is not None:
        raise ConfigError("data.pairs: pairs are tokenised when training begins, and need no preparation")
    _require_free(output)
    texts = Texts(data, folder)
    files = texts.files(data.train)
    for file in files:
        if is_prepared(file):
            raise DataError(f"{file} is a prepared corpus already; give the texts that it was made from")
        require_file(file)
    total = sum(file.stat().st_size for file in files)
    made_from = _made_from(texts, wanted, files, total, stage)
    repaired = ""
    if is_prepared(output):
        damage = verify_folder(output)
        if not any(problem.startswith(FACTS) for problem in damage):  # what it says of itself can be believed
            _require_same(output, made_from)
        if not damage:
            return Prepared(PreparedCorpus.open(output), False)
        repaired = damage[0]
    with stage("training the tokenizer" if wanted.path is None else "loading the tokenizer", total) as advance:
        tokenizer = texts.tokenizer(data.train, wanted, advance)
    skipped: list[Problem] = []
    with stage("tokenising", total) as advance:
        pieces = texts.pieces(data.train, skipped, advance)
        made = prepare_corpus(pieces, tokenizer, output, to_config(data), to_config(wanted), made_from)
    return Prepared(made, True, skipped, repaired)


def _require_free(output: Path) -> None:
    """Nothing but a prepared corpus is ever replaced."""
    require_place(output)
    if output.is_dir() and not is_prepared(output) and any(output.iterdir()):
        raise ConfigError(f"{output} holds something else than a prepared corpus; choose another --output")


def _made_from(
    texts: Texts, wanted: TokenizerConfig, files: Sequence[Path], total: int, stage: Stage
) -> dict[str, Any]:
    """What the folder follows from, as plain data."""
    data = texts.data
    tokenizer: dict[str, Any] = {"kind": wanted.kind, "vocab_size": wanted.vocab_size}
    if wanted.path is not None:
        tokenizer = {"sha256": tokenizer_digest(texts.tokenizer((), wanted))}
    with stage("comparing", total) as advance:
        try:
            found = [{"name": file.name, "sha256": counted_sha256(file, advance)} for file in files]
        except OSError as error:
            raise DataError(f"{error.filename} cannot be read: {system_words(error)}") from None
    options = {"unit": data.unit, "column": data.column, "encoding": data.encoding, "skip_bad": data.skip_bad}
    options |= {} if data.detokenize is None else {"detokenize": data.detokenize}
    return {**options, "tokenizer": tokenizer, "files": found}


def _require_same(output: Path, asked: Mapping[str, Any]) -> None:
    before = read_json(output / FACTS, error=DataError).get("made_from")
    if not isinstance(before, dict):
        raise ConfigError(f"{output} does not say what it was made from; choose another --output, or remove it")
    was, now = flat({**before, "files": None}), flat({**asked, "files": None})
    found = [
        f"{key} was {was.get(key)!r} and is {now.get(key)!r}" for key in {**was, **now} if was.get(key) != now.get(key)
    ]
    found += _other_files(before["files"], asked["files"])
    if found:
        raise ConfigError(
            f"{output} was made from something else: {'; '.join(found)}. Choose another --output, or remove it"
        )


def _other_files(before: Sequence[Mapping[str, str]], now: Sequence[Mapping[str, str]]) -> list[str]:
    """What is told of files whose content is other than it was; their names and places may change."""
    if len(before) != len(now):
        return [f"there were {len(before):,} files and are {len(now):,}"]
    other = [new["name"] for old, new in zip(before, now, strict=True) if old["sha256"] != new["sha256"]]
    more = f" and {len(other) - 1:,} more files" if len(other) > 1 else ""
    return [f"{other[0]}{more} had another content, or another place in the order"] if other else []
