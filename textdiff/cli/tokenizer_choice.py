"""The options `--tokenizer` and `--vocab-size`: a tokenizer that is there, or a kind to train."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from textdiff.errors import CheckpointError, UsageError, nearest

if TYPE_CHECKING:
    from textdiff.recipe.recipe import TokenizerConfig


def tokenizer_choice(tokenizer: str, vocab_size: int | None) -> TokenizerConfig:
    """What the options say, as a recipe would say it.

    Raises:
        UsageError: a size is given for a tokenizer that is there.
        CheckpointError: there is none of that name.
    """
    from textdiff.recipe.recipe import TokenizerConfig
    from textdiff.registry import build
    from textdiff.text.tokenizers import TRAINABLE

    if tokenizer in TRAINABLE:
        sizes = {} if vocab_size is None else {"vocab_size": vocab_size}
        return build(TokenizerConfig, {"kind": tokenizer, **sizes}, "tokenizer")
    if vocab_size is not None:
        raise UsageError(f"--vocab-size is for a tokenizer that is trained, and {tokenizer!r} is no kind of one")
    return TokenizerConfig(path=str(_folder_of(tokenizer)))


def _folder_of(tokenizer: str) -> Path:
    """The folder that holds a tokenizer, named as models are."""
    from textdiff.infiller import find_model
    from textdiff.infiller.loading import is_hub_name
    from textdiff.text.tokenizers import TRAINABLE

    try:
        return find_model(tokenizer)
    except CheckpointError:
        if is_hub_name(tokenizer):  # the sentence says how to bring it here
            raise
        raise CheckpointError(
            f"{tokenizer!r} is neither a folder or model with a tokenizer nor a kind of one."
            f"{nearest(tokenizer, TRAINABLE)} Kinds: {', '.join(TRAINABLE)}"
        ) from None
