"""`textdiff tokenizer train` and `textdiff tokenizer check`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from textdiff.cli.options import Data
from textdiff.cli.output import put
from textdiff.cli.tables import aligned
from textdiff.errors import VerificationError

if TYPE_CHECKING:
    from textdiff.text.tokenizers import Tokenizer

TRAIN_EXAMPLES = r"""Examples:
  textdiff tokenizer train --data my/*.txt --output tokenizers/mine
  textdiff tokenizer train --data my.txt --kind characters --output letters
"""
CHECK_EXAMPLES = r"""Examples:
  textdiff tokenizer check tokenizers/mine --data held-out.txt
  textdiff tokenizer check default --data my/*.txt
"""
EXAMPLES = TRAIN_EXAMPLES + "  textdiff tokenizer check tokenizers/mine --data held-out.txt\n"


def train(
    data: Data,
    output: Annotated[Path, typer.Option("--output", metavar="DIR", help="The folder for the tokenizer.")],
    kind: Annotated[
        str,
        typer.Option(
            "--kind", metavar="KIND", help="byte_bpe, sentencepiece_unigram, sentencepiece_bpe or characters."
        ),
    ] = "byte_bpe",
    vocab_size: Annotated[
        int, typer.Option("--vocab-size", min=1, metavar="N", help="Ids at most, special ones included.")
    ] = 8192,
) -> None:
    """Train a tokenizer on texts; prints its folder."""
    from textdiff.corpus import read_corpus, stream_chunks
    from textdiff.files import atomic_folder, require_replaceable
    from textdiff.text.tokenizers import train_tokenizer

    require_replaceable(output)
    chunks = (chunk.text for chunk in stream_chunks(read_corpus(data)))
    trained = train_tokenizer(kind, chunks, vocab_size)
    with atomic_folder(output) as folder:
        trained.save(folder)
    put(f"{output}\n")


def check(
    folder: Annotated[str, typer.Argument(metavar="DIR", help="A folder with a tokenizer, or a model.")],
    data: Data,
) -> None:
    """Measure a tokenizer on texts. Fails if a text does not come back exactly."""
    from textdiff.infiller import find_model
    from textdiff.text.tokenizers import load_tokenizer

    tokenizer = load_tokenizer(find_model(folder))
    checked = [Checked.of(text, name, tokenizer) for name, text in _texts(data)]
    put(aligned(_rows(tokenizer, checked)))
    broken = [found for found in checked if found.broken is not None]
    if broken:
        at = broken[0]
        raise VerificationError(
            f"{len(broken)} of {len(checked)} documents do not come back exactly; the first is in {at.name}, "
            f"from character {at.broken} on"
        )


@dataclass(frozen=True)
class Checked:
    """A document's sizes, and the first character that is lost by encoding and decoding, or None."""

    name: str
    bytes: int
    words: int
    tokens: int
    unknown: int
    broken: int | None

    @staticmethod
    def of(text: str, name: str, tokenizer: Tokenizer) -> Checked:
        ids = tokenizer.encode(text)
        back = tokenizer.decode(ids)
        unknown = sum(i == tokenizer.unknown_id for i in ids)
        broken = None if back == text else _first_difference(text, back)
        return Checked(name, len(text.encode()), len(text.split()), len(ids), unknown, broken)


def _rows(tokenizer: Tokenizer, checked: Sequence[Checked]) -> list[tuple[str, str]]:
    size, words, tokens, unknown = (
        sum(getattr(found, name) for found in checked) for name in ("bytes", "words", "tokens", "unknown")
    )
    exact = sum(found.broken is None for found in checked)
    return [
        ("kind", tokenizer.kind),
        ("vocabulary", f"{tokenizer.vocabulary.size:,} ids"),
        ("documents", f"{len(checked):,}"),
        ("round trip", f"{exact:,} of {len(checked):,} exact"),
        ("unknown", f"{unknown / max(1, tokens):.4%} of {tokens:,} tokens"),
        ("tokens per word", f"{tokens / max(1, words):.3f}"),
        ("bytes per token", f"{size / max(1, tokens):.3f}"),
    ]


def _texts(files: Sequence[Path]) -> Iterator[tuple[str, str]]:
    from textdiff.corpus import load_corpus

    for file in files:
        for text in load_corpus([file]):
            yield str(file), text


def _first_difference(text: str, back: str) -> int:
    pairs = enumerate(zip(text, back, strict=False))
    return next((i for i, (one, other) in pairs if one != other), min(len(text), len(back)))
