"""The likelihood metric: the NELBO in every unit that people compare, and the n-gram entropies of the same text."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from textdiff.data import DocumentEnds, Windows, evaluation_batches
from textdiff.errors import DataError
from textdiff.metrics import LevelProfile, Likelihood, Score, bigram_entropy, estimate_nelbo, unigram_entropy
from textdiff.model import DiffusionModel
from textdiff.text.canvas import Canvas
from textdiff.text.tokenizers import Tokenizer

ROWS = 16
_PART = 1 << 20


@dataclass(frozen=True)
class ScoredText:
    """A text in the sizes that units need.

    Attributes:
        ids: its tokens, document ends included.
        bytes, words: its size in UTF-8 bytes and in words (parted by whitespace).
    """

    ids: npt.NDArray[np.int32]
    bytes: int
    words: int


def measure_nelbo(
    model: DiffusionModel,
    tokenizer: Tokenizer,
    text: ScoredText,
    repeats: int,
    max_windows: int | None,
    seed: int,
    on_windows: Callable[[int], None] = lambda done: None,
    profile: LevelProfile | None = None,
    ends: DocumentEnds | None = None,
    length: int | None = None,
    stride: int | None = None,
) -> Likelihood:
    """The NELBO of a text in windows, nothing carried over between them but what a stride lets them see.

    With a stride each window bounds -log p(what it scores | what stands before it in the window), and by the chain rule the
    sum bounds the cost of the whole text. Overlapping windows lie within a window's length of each other and cost alike: as
    many as score a window's length are one unit of the standard error.

    Args:
        profile: is given what the windows cost by noise level.
        ends: how documents are told apart, where they are not to see each other.
        length: tokens of a window; by default as many as the model's context.
        stride: see `Windows`.

    Raises:
        DataError: none of the windows has a token that can be scored.
    """
    length = length or model.config.context_length
    batches = evaluation_batches(text.ids, length, ROWS, tokenizer.vocabulary, seed, max_windows, ends, stride)
    on_levels = None if profile is None else profile.add
    read = on_device(batches, model, on_windows)
    unit = 1 if stride is None else _windows_alike(Windows(text.ids, length, stride=stride), stride, max_windows)
    found = estimate_nelbo(model.read, model.process, read, repeats, seed, on_levels, unit)
    if not found.tokens:
        raise DataError("the windows that were to be scored hold nothing that the tokenizer can express; score more")
    return found


def _windows_alike(windows: Windows, stride: int, limit: int | None) -> int:
    """How many of the chosen windows, one behind the other, begin within a window's length of the first of them."""
    overlapping = -(-windows.length // stride)
    return -(-overlapping * len(windows.spread(limit)) // len(windows))


def likelihood_scores(found: Likelihood, text: ScoredText, tokenizer: Tokenizer, sign: str) -> list[Score]:
    """The NELBO, or the exact likelihood, as nats a token, bits a byte, and perplexities.

    Where only a part of the text was scored, or some of its tokens cannot be, bytes and words count in proportion.
    """
    share = found.tokens / max(1, _writable_tokens(text.ids, tokenizer))
    mean, error, degrees = found.nats_per_token, found.standard_error, found.degrees_of_freedom
    per_byte = found.tokens / (text.bytes * share) / math.log(2)
    per_word = found.tokens / (text.words * share) if text.words else math.nan
    counted = round(text.bytes * share), round(text.words * share)
    perplexity, word_perplexity = math.exp(min(mean, 700)), math.exp(min(mean * per_word, 700))
    return [
        Score(found.name, mean, "nats/token", found.tokens, error, sign, degrees),
        Score("bits_per_byte", mean * per_byte, "bits/byte", counted[0], error * per_byte, sign, degrees),
        Score("perplexity_per_token", perplexity, "perplexity/token", found.tokens, perplexity * error, sign, degrees),
        Score(
            "perplexity_per_word",
            word_perplexity,
            "perplexity/word",
            counted[1],
            word_perplexity * error * per_word,
            sign,
            degrees,
        ),
    ]


def entropy_scores(runs: Sequence[npt.NDArray[np.int32]], tokenizer: Tokenizer, sign: str) -> list[Score]:
    """What counting would reach on this very text: entropies of its tokens, alone and given the one before.

    Args:
        runs: its tokens, in one run or, where it is read in parts, in several.
        tokenizer: of the tokens.
        sign: the signature.
    """
    writable = tokenizer.vocabulary.writable().numpy()
    kept = [ids[writable[ids]] for ids in runs]
    tokens = sum(map(len, kept))
    return [
        Score("unigram_entropy", unigram_entropy(*kept), "nats/token", tokens, None, sign),
        Score("bigram_entropy", bigram_entropy(*kept), "nats/token", tokens, None, sign),
    ]


def can_be_scored(ids: npt.NDArray[np.int32], tokenizer: Tokenizer) -> bool:
    """Whether any of the ids can be written: special tokens and unknown characters are never scored."""
    return any(map(np.any, _writable(ids, tokenizer)))


def _writable_tokens(ids: npt.NDArray[np.int32], tokenizer: Tokenizer) -> int:
    return sum(int(part.sum()) for part in _writable(ids, tokenizer))


def _writable(ids: npt.NDArray[np.int32], tokenizer: Tokenizer) -> Iterator[npt.NDArray[np.bool_]]:
    """Whether each id can be written, a part at a time: an index takes eight bytes an id."""
    writable = tokenizer.vocabulary.writable().numpy()
    return (writable[ids[start : start + _PART]] for start in range(0, len(ids), _PART))


def on_device(batches: Iterable[Canvas], model: DiffusionModel, on_windows: Callable[[int], None]) -> Iterable[Canvas]:
    """Canvases on the model's device; how many rows have been worked on is told when the next are fetched."""
    done = 0
    for canvas in batches:
        yield canvas.to(model.device)
        done += len(canvas.ids)
        on_windows(done)
