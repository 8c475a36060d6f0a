"""Where words may be parted."""

from __future__ import annotations

import numpy as np

from textdiff.data.tasks import Flags
from textdiff.text.tokenizers import Tokenizer


def word_joins(tokenizer: Tokenizer) -> Flags | None:
    """Bool [V]: the tokens that go on with the word before them. None where tokens do not tell words apart."""
    if not tokenizer.carries_spaces:
        return None
    return np.array([piece[:1].isalnum() or piece[:1] >= b"\x80" for piece in tokenizer.pieces])
