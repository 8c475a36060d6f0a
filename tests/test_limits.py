"""Limits: what they allow is valid text of exactly the length asked for."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from fakes import wild_denoiser
from hypothesis import given, settings
from hypothesis import strategies as st

from textdiff.errors import DataError
from textdiff.processes import AbsorbingProcess
from textdiff.sampling import CountRange, preset
from textdiff.text.document import Document
from textdiff.text.layout import Layout, lay_out, read_back
from textdiff.text.limits import Limits, make_limits
from textdiff.text.tokenizers import Tokenizer, load_tokenizer, train_tokenizer

STORY = [
    "The old king went down to the sea, and there he saw the ship. (It was 1849.)\r\n\tHe never\u00a0came back."
] * 30
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "king", "##s", "saw", "##ing", *",.-'\"()/", "é"]


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tokenizer]:
    folder = tmp_path_factory.mktemp("bert")
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n", encoding="utf-8")
    return {
        "byte_bpe": train_tokenizer("byte_bpe", iter(STORY), 330),
        "sentencepiece_unigram": train_tokenizer("sentencepiece_unigram", iter(STORY), 310),
        "wordpiece": load_tokenizer(folder),
        "characters": train_tokenizer("characters", iter(STORY), 60),
    }


def laid_out(source: str, tokenizer: Tokenizer) -> tuple[Document, Layout, Limits]:
    document = Document.parse(source.encode())
    layout = lay_out([document], tokenizer, 128, [0], 6)
    return document, layout, make_limits(layout, tokenizer)


def write(layout: Layout, limits: Limits, chance: random.Random) -> torch.Tensor:
    """Writes anything that the limits allow, position by position in a random order, as a sampler may."""
    ids = layout.canvas.ids.clone()
    free = [(row, column) for row, column in layout.canvas.free.nonzero().tolist()]
    chance.shuffle(free)
    counts: dict[tuple[int, int], int] = {}
    left: dict[tuple[int, int], int] = {}
    for row, column in free:
        key = (row, int(limits.group[row, column]))
        left[key] = left.get(key, 0) + 1
    for row, column in free:
        place, group = int(limits.which[row, column]), int(limits.group[row, column])
        allowed, weight = limits.table[place], limits.weight[place]
        if group >= 0:
            count, low, high = counts.get((row, group), 0), int(limits.low[row, group]), int(limits.high[row, group])
            allowed = allowed & ~weight if count == high else allowed
            allowed = allowed & weight if count + left[row, group] == low else allowed
        token = chance.choice(allowed.nonzero().flatten().tolist())
        left[row, group] -= 1
        counts[row, group] = counts.get((row, group), 0) + int(weight[token])
        ids[row, column] = token
    return ids


@pytest.mark.parametrize("name", ["byte_bpe", "sentencepiece_unigram", "wordpiece"])
@settings(max_examples=60, derandomize=True)
@given(
    bounds=st.tuples(st.integers(1, 6), st.integers(0, 4)),
    before=st.sampled_from(["", "a ", "a", "\n", "("]),
    seed=st.integers(0, 2**32),
)
def test_words_are_exactly_as_many_as_asked_for(
    tokenizers: dict[str, Tokenizer], name: str, bounds: tuple[int, int], before: str, seed: int
) -> None:
    low, high = bounds[0], sum(bounds)
    source = f"{before}[MASK: {low}-{high} words], [MASK: {high} words][MASK]."
    _, layout, limits = laid_out(source, tokenizers[name])
    texts = read_back(write(layout, limits, random.Random(seed)), layout, tokenizers[name])[0]
    assert low <= len(texts[0].split()) <= high
    assert len(texts[1].split()) == high


@pytest.mark.parametrize("name", ["byte_bpe", "sentencepiece_unigram", "wordpiece", "characters"])
@settings(max_examples=40, derandomize=True)
@given(bounds=st.tuples(st.integers(1, 6), st.integers(0, 4)), seed=st.integers(0, 2**32))
def test_tokens_are_exactly_as_many_as_asked_for(
    tokenizers: dict[str, Tokenizer], name: str, bounds: tuple[int, int], seed: int
) -> None:
    tokenizer, low, high = tokenizers[name], bounds[0], sum(bounds)
    _, layout, limits = laid_out(f"The [MASK: {low}-{high} tokens] [MASK: {high} tokens].", tokenizer)
    ids = write(layout, limits, random.Random(seed))
    kept = [
        [i for i in ids[slot.row, slot.start : slot.stop].tolist() if i != tokenizer.vocabulary.filler_id]
        for slot in layout.slots
    ]
    assert low <= len(kept[0]) <= high
    assert len(kept[1]) == high
    assert tokenizer.vocabulary.writable()[[i for row in kept for i in row]].all()


def test_one_word_of_characters(tokenizers: dict[str, Tokenizer]) -> None:
    tokenizer = tokenizers["characters"]
    _, layout, limits = laid_out("the [MASK: 1 word] sea", tokenizer)
    for seed in range(20):
        ((text,),) = read_back(write(layout, limits, random.Random(seed)), layout, tokenizer)
        assert len(text.split()) == 1 and text == text.strip()


@pytest.mark.parametrize("name", ["byte_bpe", "sentencepiece_unigram", "characters", "wordpiece"])
def test_i3_a_gap_takes_only_whole_characters_and_no_special_ids(tokenizers: dict[str, Tokenizer], name: str) -> None:
    tokenizer = tokenizers[name]
    _, layout, limits = laid_out("The [MASK] sea[MASK: 3 tokens].", tokenizer)
    filler = tokenizer.vocabulary.filler_id
    for slot in layout.slots:
        for column in range(slot.start, slot.stop):
            allowed = limits.table[limits.which[slot.row, column]]
            assert not (allowed & ~tokenizer.vocabulary.writable()).any()
            assert not (allowed & ~tokenizer.utf8).any()
            if filler is not None:
                assert bool(allowed[filler]) == (slot.length is None and column > slot.start)
            assert allowed.any()
    frozen = layout.canvas.frozen
    assert (limits.which[frozen] == 0).all() and (limits.group[frozen] == -1).all()
    assert limits.table[0].all() and not limits.weight[0].any()


def test_i3_control_codes_are_not_written(tokenizers: dict[str, Tokenizer]) -> None:
    tokenizer = tokenizers["byte_bpe"]
    _, layout, limits = laid_out("a [MASK][MASK: 2 words]", tokenizer)
    used = limits.table[limits.which[layout.canvas.free]].any(0)
    for code, allowed in ((0, False), (0x1B, False), (0x7F, False), (9, True), (10, True), (13, True), (0x41, True)):
        assert bool(used[tokenizer.pieces.index(bytes([code]))]) == allowed


def test_the_first_token_after_a_space_begins_a_word(tokenizers: dict[str, Tokenizer]) -> None:
    for name in ("byte_bpe", "wordpiece"):
        tokenizer = tokenizers[name]
        _, layout, limits = laid_out("The [MASK] sea", tokenizer)
        (slot,) = layout.slots
        first, second = (limits.table[limits.which[slot.row, slot.start + k]] for k in (0, 1))
        assert not (first & ~tokenizer.opens).any() and (second & ~tokenizer.opens).any()
    _, layout, limits = laid_out("The[MASK] sea", tokenizers["byte_bpe"])
    first = limits.table[limits.which[0, layout.slots[0].start]]
    assert (first & ~tokenizers["byte_bpe"].opens).any()


def test_groups_have_their_own_bounds(tokenizers: dict[str, Tokenizer]) -> None:
    documents = [Document.parse(s) for s in (b"[MASK: 2-3 words] a [MASK] b [MASK: 1-4 tokens]", b"[MASK: 5 words]")]
    layout = lay_out(documents, tokenizers["byte_bpe"], 128, [0, 0], 6)
    limits = make_limits(layout, tokenizers["byte_bpe"])
    assert limits.low.tolist() == [[1, 1], [4, 0]] and limits.high.tolist() == [[2, 4], [4, 0]]
    groups = [limits.group[slot.row, slot.start : slot.stop].tolist() for slot in layout.slots]
    assert groups == [[-1] + [0] * 7, [-1] * 6, [1] * 4, [-1] + [0] * 11]


def test_a_tokenizer_whose_pieces_begin_no_word_cannot_count_words(tmp_path: Path) -> None:
    tokenizer = train_tokenizer("byte_bpe", ["abc"], 262)
    with pytest.raises(DataError, match="gap 1: no piece of this tokenizer begins a word; ask for tokens"):
        laid_out("[MASK: 2 words]", tokenizer)
    laid_out("[MASK: 1 word]", tokenizer)


@pytest.mark.parametrize("accept", ["first_hitting", "confidence", "ancestral"])
@pytest.mark.parametrize("name", ["byte_bpe", "wordpiece"])
def test_limits_hold_under_the_sampler(tokenizers: dict[str, Tokenizer], name: str, accept: str) -> None:
    tokenizer = tokenizers[name]
    process = AbsorbingProcess(tokenizer.vocabulary)
    document = Document.parse(b"The [MASK: 2-4 words] and[MASK: 3 words], [MASK: 2-6 tokens] [MASK: 1 word].")
    layout = lay_out([document] * 8, tokenizer, 128, list(range(8)), 6)
    limits = make_limits(layout, tokenizer)
    constraint = CountRange(limits.weight, limits.which, limits.group, limits.low, limits.high, limits.table)
    sampler = replace(preset(accept), steps=4)
    samples = sampler.sample(wild_denoiser(tokenizer.vocabulary), process, layout.canvas, constraint)
    for texts in read_back(samples.ids, layout, tokenizer):
        assert 2 <= len(texts[0].split()) <= 4
        assert [len(texts[k].split()) for k in (1, 3)] == [3, 1]
        assert texts[2]
