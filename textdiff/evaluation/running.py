"""Runs metrics on texts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from textdiff.backbones import require_separable
from textdiff.corpus import Detokenizer, PairOptions, Unit, load_corpus, read_pairs
from textdiff.data import DocumentEnds, encode_corpus, encode_pairs
from textdiff.errors import DataError, UsageError, nearest
from textdiff.evaluation.generation import GENERATION
from textdiff.evaluation.likelihood import ScoredText, can_be_scored, entropy_scores, likelihood_scores, measure_nelbo
from textdiff.evaluation.pairs import measure_pairs, pair_parts, pair_scores
from textdiff.evaluation.signing import digest, model_parts, packing
from textdiff.evaluation.translation import TRANSLATION
from textdiff.infiller import Infiller
from textdiff.metrics import LevelProfile, Score, signature
from textdiff.text.tokenizers import Tokenizer

METRICS = ("nelbo", "entropy")
INFILL = "infill"
"""The metric of `evaluate_infilling`, which takes longer than the others and is measured only where it is asked for."""
ORDER_BOUND, DECODER = "order_bound", "decoder"
"""The metrics of `evaluate_order_bound` and `evaluate_decoder`."""
ASKED = (INFILL, TRANSLATION, GENERATION, ORDER_BOUND, DECODER)
"""The metrics that have functions of their own."""


def evaluate(
    infiller: Infiller,
    files: Sequence[str | Path],
    metrics: Sequence[str] = METRICS,
    *,
    repeats: int = 1,
    max_windows: int | None = None,
    seed: int = 0,
    unit: Unit = "file",
    column: str = "text",
    pairs: PairOptions | None = None,
    separate_documents: bool | None = None,
    stride: int | None = None,
    detokenize: Detokenizer | None = None,
    on_windows: Callable[[int], None] = lambda done: None,
    profile: LevelProfile | None = None,
) -> list[Score]:
    """Scores texts under a model.

    Args:
        infiller: the model.
        files: see `load_corpus`.
        metrics: of `METRICS`: `nelbo` (nats/token, bits/byte, perplexities), `entropy` (n-gram entropies of the text).
        repeats: noise draws for each window; more of them lower the part of the error that the noise makes.
        max_windows: score so many windows, spread evenly; all by default.
        seed: of the noise.
        unit, column: see `load_corpus`.
        pairs: how the files are read for a model that makes targets of sources: see `read_pairs`. It is scored on the targets
            given their sources, and `entropy` is left out.
        separate_documents: whether each document is scored by itself, so that it does not see those before and after it. By
            default as the model was trained: only scores of one kind can be compared, and the signature says which it is.
        stride: sliding windows, which overlap: each but the first scores its last `stride` tokens, given those before them in
            the window. Every token is scored once, with at least context - stride tokens before it. By default windows
            stand one behind the other, which is the same as a stride of the whole context; a token then sees less before it.
            A lesser stride need not give a lesser bound: that depends on how well the model goes on from a text.
        detokenize: the standard set whose tokens are put together to text as people write it; see `textdiff.corpus.detokenize`.
            All figures are then of that text, bytes and words too, and the signature says so.
        on_windows: called with the number of windows that are done.
        profile: is given what windows cost by noise level; pairs give it nothing.

    Raises:
        DataError: a file cannot be used, or holds nothing that the tokenizer can express.
        UsageError: a metric is unknown or a number out of range; or a stride is given where windows cannot overlap.
        ConfigError: the model or its tokenizer cannot separate documents.
    """
    check_metrics(metrics, METRICS)
    if repeats < 1 or (max_windows is not None and max_windows < 1):
        raise UsageError("repeats and max_windows must be at least 1")
    stride = _sliding(infiller, stride, separate_documents)
    if infiller.model.config.target_length is not None:
        if detokenize is not None:
            raise UsageError("pairs are read as they are: leave detokenize out")
        return _of_pairs(infiller, files, pairs, repeats, max_windows, seed, on_windows) if "nelbo" in metrics else []
    texts = list(load_corpus(files, unit, column, detokenize=detokenize))
    text = scored_text(texts, infiller.tokenizer)
    ends = document_ends(infiller, separate_documents)
    sign = _signature(infiller, texts, repeats, max_windows, seed, packing(ends, stride), detokenize)
    scores: list[Score] = []
    if "nelbo" in metrics:
        found = measure_nelbo(
            infiller.model,
            infiller.tokenizer,
            text,
            repeats,
            max_windows,
            seed,
            on_windows,
            profile,
            ends,
            stride=stride,
        )
        scores += likelihood_scores(found, text, infiller.tokenizer, sign)
    if "entropy" in metrics:
        scores += entropy_scores([text.ids], infiller.tokenizer, sign)
    return scores


def scored_text(texts: Iterable[str], tokenizer: Tokenizer) -> ScoredText:
    """The tokens and sizes of some documents."""
    listed = list(texts)
    ids = encode_corpus(listed, tokenizer)
    if not can_be_scored(ids, tokenizer):
        raise DataError("the text holds nothing that this model's tokenizer can express")
    return ScoredText(ids, sum(len(t.encode()) for t in listed), sum(len(t.split()) for t in listed))


def check_metrics(names: Iterable[str], known: Sequence[str] = (*METRICS, *ASKED)) -> None:
    """Raises UsageError where a metric is unknown."""
    for name in names:
        if name not in known:
            raise UsageError(f"no metric is named {name!r}.{nearest(name, known)} Known: {', '.join(known)}")


def document_ends(infiller: Infiller, separate: bool | None) -> DocumentEnds | None:
    """How documents are told apart where they are scored by themselves."""
    model = infiller.model
    if not _separates(infiller, separate):
        return None
    if not model.config.separate_documents:
        require_separable(model.backbone, model.vocabulary, model.config.context_length)
    return DocumentEnds.of(infiller.tokenizer)


def _separates(infiller: Infiller, separate: bool | None) -> bool:
    return infiller.model.config.separate_documents if separate is None else separate


def _sliding(infiller: Infiller, stride: int | None, separate: bool | None) -> int | None:
    """The stride, where windows overlap.

    Raises:
        UsageError: it is out of range, or there are no windows that could overlap.
    """
    if stride is None:
        return None
    config = infiller.model.config
    if not 1 <= stride <= config.context_length:
        raise UsageError(
            f"stride must be from 1 to the model's context of {config.context_length} tokens, got {stride}"
        )
    if config.target_length is not None:
        raise UsageError("pairs are scored each by itself, in no windows that could slide: leave the stride out")
    if _separates(infiller, separate):
        raise UsageError("documents are scored each by itself, in no windows that could slide: leave the stride out")
    return None if stride == config.context_length else stride


def _of_pairs(
    infiller: Infiller,
    files: Sequence[str | Path],
    options: PairOptions | None,
    repeats: int,
    limit: int | None,
    seed: int,
    on_pairs: Callable[[int], None],
) -> list[Score]:
    layout = infiller.pair_layout()
    corpus = encode_pairs(read_pairs(files, options), layout)
    found = measure_pairs(infiller.model, corpus, layout, repeats, seed, on_pairs, limit)
    own = {"data": corpus.sha256[:12], **pair_parts(corpus, layout), "windows": limit or "all"}
    sign = signature({**model_parts(infiller), **own, "repeats": repeats, "seed": seed})
    return pair_scores(found, corpus, sign, None if limit is None else min(limit, len(corpus)))


def _signature(
    infiller: Infiller,
    texts: Sequence[str],
    repeats: int,
    max_windows: int | None,
    seed: int,
    packed: str,
    detokenize: Detokenizer | None,
) -> str:
    windows = "all" if max_windows is None else max_windows
    read = {} if detokenize is None else {"detokenize": detokenize}
    own = {"data": digest(texts), **read, "packing": packed, "windows": windows, "repeats": repeats, "seed": seed}
    return signature({**model_parts(infiller), **own})
