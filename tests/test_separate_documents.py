"""Documents of a sample that do not see each other: how they are told apart and shown."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import TEXT
from tokenizers.processors import TemplateProcessing
from wordpieces import wordpiece

from textdiff.data import (
    DocumentEnds,
    GapsTask,
    LengthsTask,
    PackedCorpus,
    PrefixTask,
    TrainingLoader,
    WholeTask,
    Windows,
    encode_corpus,
    evaluation_batches,
)
from textdiff.errors import ConfigError
from textdiff.text.canvas import Canvas
from textdiff.text.tokenizers import Tokenizer, train_tokenizer
from textdiff.vocabulary import Vocabulary

FILLER, OPEN, CLOSE = 3, 4, 5
VOCABULARY = Vocabulary(size=30, special_ids=(0, 1, 2, OPEN, CLOSE), mask_id=1, pad_id=0, filler_id=FILLER)
FRAMES = {"both": ([OPEN], [OPEN]), "begin": ([OPEN], [CLOSE]), "end": ([], [CLOSE])}
TASKS = [WholeTask(), PrefixTask(), GapsTask(max_length=6), LengthsTask(max_room=6)]
documents = st.lists(st.lists(st.integers(6, 29), max_size=12), min_size=1, max_size=12)


def tokenizer(prefix: list[int], suffix: list[int]) -> Tokenizer:
    return SimpleNamespace(prefix_ids=prefix, suffix_ids=suffix, vocabulary=VOCABULARY)  # type: ignore[return-value]


def stream(texts: list[list[int]], place: str) -> tuple[np.ndarray, DocumentEnds]:
    """As `encode_corpus` makes it: where prefix and suffix are the same, one stands between two documents."""
    prefix, suffix = FRAMES[place]
    ends = DocumentEnds.of(tokenizer(prefix, suffix))
    assert ends.place == place
    parts = [[*prefix, *text, *(suffix if place != "both" else [])] for text in texts]
    return np.array([i for part in parts for i in part] + (suffix if place == "both" else []), dtype=np.int32), ends


def joined(parts: list[np.ndarray], ends: DocumentEnds) -> list[int]:
    return [i for n, part in enumerate(parts) for i in part.tolist()[int(ends.place == "both" and n > 0) :]]


@pytest.mark.parametrize(
    ("prefix", "suffix", "expected"),
    [
        ([OPEN], [OPEN], DocumentEnds(OPEN, "both")),
        ([OPEN], [CLOSE], DocumentEnds(OPEN, "begin")),
        ([OPEN, CLOSE], [CLOSE], DocumentEnds(OPEN, "begin")),
        ([], [CLOSE], DocumentEnds(CLOSE, "end")),
        ([OPEN], [OPEN, CLOSE], DocumentEnds(CLOSE, "end")),
    ],
)
def test_what_tells_documents_apart(prefix: list[int], suffix: list[int], expected: DocumentEnds) -> None:
    assert DocumentEnds.of(tokenizer(prefix, suffix)) == expected


@pytest.mark.parametrize(("prefix", "suffix"), [([], []), ([OPEN, CLOSE], [OPEN, CLOSE]), ([7], [7]), ([7], [8])])
def test_a_tokenizer_that_marks_no_documents_is_refused(prefix: list[int], suffix: list[int]) -> None:
    """Ids that can be written (7 and 8) are no marks: a text may hold them."""
    with pytest.raises(ConfigError, match="this tokenizer does not mark where a document ends"):
        DocumentEnds.of(tokenizer(prefix, suffix))


def framed() -> Tokenizer:
    """A tokenizer that writes documents as BERT's does."""
    made = wordpiece()
    marks = [(name, made.backend.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    made.backend.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=marks)
    return Tokenizer(made.backend, made.roles)


@pytest.mark.parametrize("place", ["both", "begin"])
def test_real_tokenizers(place: str) -> None:
    """Text that spells the marks out is no mark."""
    made = train_tokenizer("byte_bpe", [TEXT], 300) if place == "both" else framed()
    texts = ["the old [END] house", "a river [SEP] [CLS]", "it stood"]
    ends = DocumentEnds.of(made)
    assert ends.place == place
    alone = [[*made.prefix_ids, *made.encode(text), *made.suffix_ids] for text in texts]
    parts = ends.split(encode_corpus(texts, made))
    assert [part.tolist()[: len(whole)] for part, whole in zip(parts, alone, strict=True)] == alone


@pytest.mark.parametrize("place", FRAMES)
@given(documents, st.integers(0, 30), st.integers(1, 60))
def test_the_documents_of_a_window_are_its_ids(place: str, texts: list[list[int]], start: int, length: int) -> None:
    """Joined they are the window again, and each text position has the number that counting the marks gives."""
    ids, ends = stream(texts, place)
    window = ids[min(start, len(ids) - 1) :][:length]
    parts = ends.split(window)
    assert joined(parts, ends) == window.tolist()
    if place == "both":
        doubled = np.repeat(window, 1 + (window == OPEN))
        counted = np.cumsum(doubled == OPEN) // 2
        expected = counted[doubled != OPEN]
    else:
        before = np.cumsum(window == (OPEN if place == "begin" else CLOSE))
        expected = before[window >= 6]
    found = [n for n, part in enumerate(parts) for i in part if i >= 6]
    assert (np.diff(found) > 0).tolist() == (np.diff(expected) > 0).tolist()


@pytest.mark.parametrize("place", FRAMES)
def test_whole_documents_have_both_ends(place: str) -> None:
    ids, ends = stream([[6, 7], [], [8]], place)
    prefix, suffix = FRAMES[place]
    expected = [[*prefix, *text, *suffix] for text in ([6, 7], [], [8])]
    assert [part.tolist() for part in ends.split(ids)] == expected


def greedy(parts: list[np.ndarray], length: int, shared: bool) -> list[list[list[int]]]:
    """Rows of whole documents, filled one after the other; a document that is longer than a row is cut."""
    rows: list[list[list[int]]] = [[]]
    for number, part in enumerate(map(np.ndarray.tolist, parts), 1):
        if rows[-1] and sum(map(len, rows[-1])) + len(part) > length:
            rows.append([])
        while len(part) > length:
            rows[-1].append(part[:length])
            part = part[length:]
            rows.append([])
        if not (shared and part == [OPEN] and number < len(parts)):  # an end that is cut off is the next one's begin
            rows[-1].append(part)
    return [row for row in rows if row]


@pytest.mark.parametrize("place", FRAMES)
@given(documents, st.integers(2, 24), st.integers(0, 5))
def test_windows_hold_whole_documents(place: str, texts: list[list[int]], length: int, cut: int) -> None:
    ids, ends = stream(texts, place)
    ids = ids[: max(2, len(ids) - cut)]
    windows = Windows(ids, length, ends)
    rows = [[part.tolist() for part in windows.documents(number)] for number in windows.spread()]
    flat = [i for row in rows for part in row for i in part]
    assert [i for i in flat if i >= 6] == [i for i in ids.tolist() if i >= 6]
    assert max(sum(map(len, row)) for row in rows) <= length
    assert rows == greedy(ends.split(ids), length, place == "both")


def loader(place: str, tasks: tuple, length: int = 48, seed: int = 5) -> TrainingLoader:
    generator = np.random.default_rng(seed)
    texts = [generator.integers(6, 30, generator.integers(1, 14)).tolist() for _ in range(300)]
    ids, ends = stream(texts, place)
    joins = np.arange(30) >= 20
    return TrainingLoader(PackedCorpus(ids, length, seed), VOCABULARY, tasks, 0.0, joins, ends)


@pytest.mark.parametrize("place", FRAMES)
@pytest.mark.parametrize("task", TASKS, ids=lambda task: type(task).__name__)
def test_samples_show_every_document_as_it_is_alone(place: str, task: WholeTask) -> None:
    """Without fillers its text is the document's; no gap goes beyond its end, and no filler stands behind it."""
    made = loader(place, (task,))
    opened = gaps = 0
    for number in range(60):
        canvas = made.batch(number, 1)
        row, frozen, numbers = (t[0].numpy() for t in (canvas.ids, canvas.frozen, canvas.documents))
        assert (np.diff(numbers) >= 0).all() and len(row) == 48
        parts = made.ends.split(made.corpus.window(number))
        for document in range(numbers[-1] + 1):
            here = numbers == document
            kept = row[here][row[here] != FILLER]
            assert kept.tolist() == parts[document][: len(kept)].tolist()
            assert document == numbers[-1] or len(kept) == len(parts[document]), "only the last one is cut"
            fillers = np.flatnonzero(row[here] == FILLER)
            begins = fillers[np.diff(fillers, prepend=-1) > 1] - 1
            assert ((row[here][begins] >= 6) & ~frozen[here][begins]).all(), "an open gap holds text"
            assert not np.isin(row[here][: fillers[-1] + 1][1:] if len(fillers) else [], [CLOSE]).any()
        assert frozen[np.isin(row, [OPEN, CLOSE])].all()
        free = np.flatnonzero(~frozen)
        runs = np.split(free, np.flatnonzero(np.diff(free) > 1) + 1) if len(free) else []
        assert all(numbers[run[0]] == numbers[run[-1]] for run in runs)
        gaps, opened = gaps + len(runs), opened + int((row == FILLER).any())
    assert gaps > 100 and (opened > 50) == isinstance(task, LengthsTask)


def test_gaps_of_whole_words_reach_the_end_of_a_document() -> None:
    """Also gaps of several words: tokens from 20 on go on with a word."""
    text, joins = np.array([OPEN, 6, 20, 7, 21, 8, 22], dtype=np.int32), np.arange(30) >= 20
    task, reached = GapsTask(max_length=6, words=1.0), []
    for seed in range(200):
        ids, given_ = task.make_document(text, VOCABULARY, np.random.default_rng(seed), joins)
        assert ids.tolist() == text.tolist()
        reached.append(len(ids) - 1 - int(np.flatnonzero(given_)[-1]))
    assert {reached.count(n) > 5 for n in (0, 2, 4)} == {True} and set(reached) <= {0, 1, 2, 4, 6}


def same(a: Canvas, b: Canvas) -> bool:
    names = ("ids", "frozen", "seeds", "documents")
    return all(torch.equal(getattr(a, name), getattr(b, name)) for name in names)


def test_a_sample_depends_on_its_number_only() -> None:
    made = loader("both", tuple(TASKS))
    whole = made.batch(0, 12)
    for first, rows in ((0, 4), (4, 8), (11, 1)):
        assert same(made.batch(first, rows), whole.rows(torch.arange(first, first + rows)))
    assert same(loader("both", tuple(TASKS)).batch(7, 5), whole.rows(torch.arange(7, 12)))
    assert replace(made, ends=None).batch(0, 12).documents is None


def test_a_canvas_carries_its_documents() -> None:
    rows = [[6, 7, 8], [9]]
    canvas = Canvas.of_rows(rows, [[False] * 3, [False]], [1, 2], VOCABULARY, [[0, 0, 1], [0]])
    assert canvas.documents is not None and canvas.documents[canvas.valid].tolist() == [0, 0, 1, 0]
    part = canvas.rows(torch.tensor([0])).cut(2).to("cpu").with_ids(torch.tensor([[1, 1]]))
    assert part.documents is not None and part.documents.tolist() == [[0, 0]]
    assert Canvas.of_rows(rows, [[False] * 3, [False]], [1, 2], VOCABULARY).documents is None


def test_evaluation_scores_every_token_once() -> None:
    ids, ends = stream([[6 + i % 20] * (i % 9) for i in range(80)], "both")
    canvases = list(evaluation_batches(ids, 24, 3, VOCABULARY, 1, None, ends))
    text = [i for c in canvases for row, free in zip(c.ids, c.free, strict=True) for i in row[free].tolist()]
    assert text == [i for i in ids.tolist() if i >= 6]
    assert all(c.documents is not None and int(c.documents.max()) > 0 for c in canvases)
    some = list(evaluation_batches(ids, 24, 3, VOCABULARY, 1, 2, ends))
    assert some[0].ids[0].tolist() == canvases[0].ids[0, : some[0].shape[1]].tolist()
