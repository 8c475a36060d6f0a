"""Tokenizers trained from text. Ids 0 … 3 are padding, mask, document end and filler; characters add unknown."""

from __future__ import annotations

import io
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial

from tokenizers import AddedToken, Regex, decoders, models, pre_tokenizers, processors, trainers
from tokenizers import Tokenizer as Backend

from textdiff.errors import ConfigError, DataError, nearest
from textdiff.text.pieces import METASPACE
from textdiff.text.tokenizer import END, FILLER, MASK, PAD, UNKNOWN, Tokenizer

# Words with the space before them, single digits, runs of punctuation, line ends, other whitespace.
_WORDS = r"['’](?:[sdmt]|ll|ve|re)\b| ?[\p{L}\p{M}]+| ?\p{N}| ?[^\s\p{L}\p{M}\p{N}]+|\s*[\r\n]+|\s+(?!\S)|\s+"
_SPECIAL = [PAD, MASK, END, FILLER]


def train_tokenizer(kind: str, texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """Trains a tokenizer.

    Args:
        kind: byte_bpe, sentencepiece_unigram, sentencepiece_bpe or characters.
        texts: the training text, best a paragraph at a time.
        vocab_size: the number of ids at most, special ones included.

    Raises:
        ConfigError: the kind is unknown or the size too small for it.
        DataError: there is no text.
    """
    if kind not in _TRAINERS:
        known = ", ".join(sorted(_TRAINERS))
        raise ConfigError(f"no tokenizer is named {kind!r}.{nearest(kind, _TRAINERS)} Known: {known}")
    smallest = 6 if kind == "characters" else 256 + len(_SPECIAL)
    if vocab_size < smallest:
        raise ConfigError(f"vocab_size must be at least {smallest} for {kind}, got {vocab_size}")
    iterator = (text for text in texts if text)
    first = next(iterator, None)
    if first is None:
        raise DataError("there is no text to train a tokenizer on")
    backend = _TRAINERS[kind](itertools.chain([first], iterator), vocab_size)
    return _finish(backend)


def _byte_bpe(texts: Iterator[str], vocab_size: int) -> Backend:
    backend = Backend(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORDS), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[AddedToken(name, special=True) for name in _SPECIAL],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    backend.train_from_iterator(texts, trainer)
    return backend


def _characters(texts: Iterator[str], vocab_size: int) -> Backend:
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(text)
    names = [*_SPECIAL, UNKNOWN]
    kept = sorted(counts, key=lambda c: (-counts[c], c))[: vocab_size - len(names)]
    vocab = {token: i for i, token in enumerate([*names, *sorted(kept)])}
    backend = Backend(models.WordLevel(vocab, unk_token=UNKNOWN))
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    backend.decoder = decoders.Fuse()
    return backend


def _sentencepiece(texts: Iterator[str], vocab_size: int, model_type: str) -> Backend:
    """Trains with sentencepiece, then states its model in the terms of `tokenizers`, with real spaces in the pieces.

    sentencepiece writes spaces as "▁"; undoing that keeps a literal "▁" of the text apart from a space.
    """
    import sentencepiece

    trained = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=_sentences(texts),
            model_writer=trained,
            model_type=model_type,
            vocab_size=vocab_size,
            hard_vocab_limit=False,
            normalization_rule_name="identity",
            add_dummy_prefix=False,
            remove_extra_whitespaces=False,
            byte_fallback=True,
            split_digits=True,
            # ids 0 … 3 in our order; sentencepiece insists on an unknown id, which byte fallback never uses
            pad_id=0,
            unk_id=1,
            bos_id=2,
            eos_id=3,
            pad_piece=PAD,
            unk_piece=MASK,
            bos_piece=END,
            eos_piece=FILLER,
            num_threads=2,
            minloglevel=2,
        )
    except RuntimeError as error:
        raise ConfigError(f"sentencepiece could not train {vocab_size} pieces: {error}") from None
    model = sentencepiece.SentencePieceProcessor(model_proto=trained.getvalue())
    size = model.get_piece_size()
    pieces = [model.id_to_piece(i).replace(METASPACE, " ") for i in range(size)]
    # decimals so few that `tokenizers` reads back from its own file just what it wrote
    scores = [round(model.get_score(i), 9) for i in range(size)]
    if model_type == "unigram":
        # an unknown id must be named, though with byte fallback it never comes out
        backend = Backend(models.Unigram(list(zip(pieces, scores, strict=True)), unk_id=0, byte_fallback=True))
    else:
        backend = Backend(models.BPE({p: i for i, p in enumerate(pieces)}, _merges(pieces), byte_fallback=True))
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(" ", "merged_with_next"),
            # cut names of special tokens and of bytes ("[MASK]", "<0x41>"), which the lattice would find in the text
            pre_tokenizers.Split(Regex(r"[\[<]"), "isolated"),
        ]
    )
    backend.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    return backend


def _sentences(texts: Iterator[str], limit: int = 1000) -> Iterator[str]:
    """Pieces short enough for sentencepiece, which skips long ones and those with the characters it reserves."""
    for text in texts:
        for line in text.replace("\t", "\n").replace("▅", "\n").replace("\0", "\n").splitlines():
            for start in range(0, len(line), limit):
                yield line[start : start + limit]


def _merges(pieces: list[str]) -> list[tuple[str, str]]:
    """The merges that give these pieces, in the order of their ranks."""
    known = set(pieces[len(_SPECIAL) + 256 :])
    return [
        (piece[:cut], piece[cut:])
        for piece in pieces[len(_SPECIAL) + 256 :]
        for cut in range(1, len(piece))
        if piece[:cut] in known and piece[cut:] in known
    ]


def _finish(backend: Backend) -> Tokenizer:
    """Names the special tokens and frames a document with its ends."""
    names = [name for name in (*_SPECIAL, UNKNOWN) if backend.token_to_id(name) is not None]
    backend.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in names])
    backend.post_processor = processors.TemplateProcessing(
        single=f"{END} $A {END}",
        pair=f"{END} $A {END} $B:1 {END}:1",
        special_tokens=[(END, backend.token_to_id(END))],
    )
    roles = {"pad_token": PAD, "mask_token": MASK, "bos_token": END, "eos_token": END}
    return Tokenizer(backend, roles | ({"unk_token": UNKNOWN} if UNKNOWN in names else {}))


_TRAINERS: dict[str, Callable[[Iterator[str], int], Backend]] = {
    "byte_bpe": _byte_bpe,
    "characters": _characters,
    "sentencepiece_unigram": partial(_sentencepiece, model_type="unigram"),
    "sentencepiece_bpe": partial(_sentencepiece, model_type="bpe"),
}

TRAINABLE = tuple(_TRAINERS)
"""The kinds that `train_tokenizer` knows."""
