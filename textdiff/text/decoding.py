"""The text of many ids, in parts: what is held does not grow with the text."""

from __future__ import annotations

import codecs
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from textdiff.text.tokenizer import Tokenizer

_PART = 1 << 16


def decode_parts(tokenizer: Tokenizer, ids: npt.NDArray[np.integer], size: int = _PART) -> Iterator[str]:
    """What `Tokenizer.decode` gives of ids [N], in parts that join to it.

    Args:
        tokenizer: of the ids.
        ids: they may lie in a file.
        size: the ids of a part.
    """
    parts = (ids[start : start + size].tolist() for start in range(0, len(ids), size))
    if tokenizer.kind == "wordpiece":
        state = tokenizer.spelling.plain
        for part in parts:
            text, state = tokenizer.spelling.go_on(part, state)
            yield text
        return
    decoder = codecs.getincrementaldecoder("utf-8")("replace")  # a character may be cut between two parts
    for part in parts:
        yield decoder.decode(b"".join(map(tokenizer.pieces.__getitem__, part)))
    yield decoder.decode(b"", final=True)
