"""From files to canvases."""

from __future__ import annotations

import gzip
import itertools
import json
import lzma
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from textdiff.corpus import chunks_of
from textdiff.data import (
    GapsTask,
    LengthsTask,
    PackedCorpus,
    PrefixTask,
    TrainingLoader,
    WholeTask,
    encode_corpus,
    evaluation_batches,
    load_corpus,
    word_joins,
)
from textdiff.errors import ConfigError, DataError
from textdiff.text.canvas import Canvas
from textdiff.text.tokenizers import Tokenizer, train_tokenizer
from textdiff.vocabulary import Vocabulary

VOCABULARY = Vocabulary(size=30, special_ids=(0, 1, 2), mask_id=1, pad_id=0, filler_id=3)
TEXT = "The cat sat on the mat.\n\nThe dog did not, and it rained all day long.\n" * 30


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer("byte_bpe", [TEXT], 300)


def test_text_files_are_read_plain_and_packed(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\n\ntwo\nlines\n", encoding="utf8")
    (tmp_path / "b.txt.xz").write_bytes(lzma.compress(b"three"))
    (tmp_path / "c.txt.gz").write_bytes(gzip.compress(b"four"))
    paths = [tmp_path / n for n in ("a.txt", "b.txt.xz", "c.txt.gz")]
    assert list(load_corpus(paths)) == ["one\n\ntwo\nlines\n", "three", "four"]
    assert list(load_corpus(paths[:1], unit="blank_line")) == ["one", "two\nlines"]
    assert list(load_corpus(paths[:1], unit="line")) == ["one", "two", "lines"]


def test_tables_are_read_by_column(tmp_path: Path) -> None:
    rows = [{"text": "eins", "other": 1}, {"text": "zwei\r\n", "other": 2}]
    path = tmp_path / "t.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf8")
    assert list(load_corpus([path])) == ["eins", "zwei\r\n"]
    with pytest.raises(DataError, match=r"t\.jsonl:1: there is no column 'body'\. Columns: text, other"):
        list(load_corpus([path], column="body"))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("latin.txt", "café".encode("latin-1"), r"latin.txt is not UTF-8: byte 0xe9 at offset 3"),
        ("empty.txt", b"", r"empty.txt is empty"),
        ("blank.txt", b" \n\t\n", r"blank.txt holds no text: there is nothing but blanks"),
        ("not.gz", b"plain", r"not.gz cannot be read"),
    ],
)
def test_d2_d3_files_that_cannot_be_used(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        list(load_corpus([tmp_path / name]))


def test_d3_missing_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.txt is missing"):
        list(load_corpus([tmp_path / "gone.txt"]))
    with pytest.raises(DataError, match="is a folder"):
        list(load_corpus([tmp_path]))
    with pytest.raises(DataError, match="no data files"):
        list(load_corpus([]))


@given(st.text(alphabet="ab \n\r\té", max_size=200), st.integers(1, 40))
def test_chunks_join_to_the_document(document: str, size: int) -> None:
    chunks = chunks_of(document, size)
    assert "".join(chunks) == document
    assert all(chunk.endswith("\n") and not after[0].isspace() for chunk, after in itertools.pairwise(chunks))


def test_chunks_are_encoded_as_the_whole_is(tokenizer: Tokenizer) -> None:
    whole = tokenizer.encode(TEXT)
    parts = [ids for chunk in chunks_of(TEXT, 50) for ids in tokenizer.encode(chunk, start=False)]
    assert parts == whole


def test_documents_stand_between_their_ends(tokenizer: Tokenizer) -> None:
    ids = encode_corpus(["a b", "c"], tokenizer).tolist()
    end = tokenizer.prefix_ids
    assert ids == [*end, *tokenizer.encode("a b"), *end, *tokenizer.encode("c"), *end]


@pytest.mark.parametrize(("size", "length"), [(1000, 64), (129, 64), (64, 64), (10, 64)])
def test_an_epoch_shows_every_window_once(size: int, length: int) -> None:
    corpus = PackedCorpus(np.arange(size, dtype=np.int32), length, seed=3)
    starts = [int(corpus.window(i)[0]) for i in range(corpus.windows)]
    assert len(set(starts)) == corpus.windows
    assert {(b - a) % length for a, b in zip(starts, sorted(starts), strict=True)} == {0}
    again = [int(corpus.window(corpus.windows + i)[0]) for i in range(corpus.windows)]
    assert size < 1000 or starts != again, "the second epoch is cut or ordered anew"


def loader(ids: np.ndarray, tasks: tuple, dropout: float = 0.0, length: int = 48) -> TrainingLoader:
    return TrainingLoader(PackedCorpus(ids.astype(np.int32), length, seed=5), VOCABULARY, tasks, dropout)


def test_a_sample_depends_on_its_number_only() -> None:
    tasks = (WholeTask(), PrefixTask(), GapsTask(), LengthsTask())
    made = loader(np.random.default_rng(0).integers(2, 30, 4000), tasks)
    whole = made.batch(0, 12)
    parts = [made.batch(first, 4) for first in (0, 4, 8)]
    for field in ("ids", "frozen", "seeds"):
        joined = np.concatenate([getattr(part, field).numpy() for part in parts])
        assert (getattr(whole, field).numpy() == joined).all()
    assert len(set(whole.seeds.tolist())) == 12


def test_special_ids_in_the_text_are_given() -> None:
    canvas = loader(np.full(200, 2), (WholeTask(),)).batch(0, 2)
    assert canvas.frozen.all()


def gaps_of(canvas: Canvas) -> list[np.ndarray]:
    """The gaps of a sample in ids, a given filler at the end of an open one included."""
    row, given = canvas.ids[0].numpy(), canvas.frozen[0].numpy() & (canvas.ids[0].numpy() != 3)
    edges = np.flatnonzero(np.diff(np.concatenate([[1], given, [1]]).astype(int)))
    return [row[start:stop] for start, stop in edges.reshape(-1, 2)]


def test_gaps_hold_the_text_and_nothing_else() -> None:
    ids = np.random.default_rng(1).integers(4, 30, 5000)
    made = loader(ids, (GapsTask(max_length=8, density=0.5),))
    lengths = []
    for number in range(40):
        canvas = made.batch(number, 1)
        assert canvas.blank is None
        assert (canvas.ids[0].numpy() == made.corpus.window(number)).all()
        lengths += [len(gap) for gap in gaps_of(canvas)]
    assert max(lengths) <= 8 and min(lengths) == 1
    assert 0.35 < np.mean([(~made.batch(i, 1).frozen).float().mean() for i in range(40)]) < 0.65


def test_open_gaps_hold_the_text_and_fillers_after_it() -> None:
    """Without the fillers a sample is the window's text; a gap's fillers follow its text, and the last one is given."""
    ids = np.random.default_rng(1).integers(4, 30, 5000)
    made = loader(ids, (LengthsTask(max_room=8, density=0.4, exact=0.25),))
    rooms, opened = [], []
    for number in range(60):
        canvas = made.batch(number, 1)
        assert canvas.blank is not None and canvas.blank.all()
        row, frozen = canvas.ids[0].numpy(), canvas.frozen[0].numpy()
        text = row[row != 3]
        assert (text == made.corpus.window(number)[: len(text)]).all()
        last = (row == 3) & np.append(row[1:] != 3, True)
        assert (frozen[:-1] == ((row != 3) & frozen | last)[:-1]).all(), "of the fillers only the last is given"
        for gap in gaps_of(canvas)[:-1]:  # the window may end in the last one
            assert gap[0] != 3
            assert (np.diff((gap == 3).astype(int)) >= 0).all(), "no text after a filler"
            rooms.append(len(gap))
            opened.append(gap[-1] == 3)
    assert max(rooms) <= 8
    assert 0.65 < np.mean(opened) < 0.85


@pytest.mark.parametrize("words", [0.0, 1.0])
def test_gaps_of_whole_words_cut_none(words: float) -> None:
    """Ids 10 … 29 go on with a word; no word here is longer than three tokens."""
    generator = np.random.default_rng(2)
    ids = np.concatenate(
        [[generator.integers(4, 10), *generator.integers(10, 30, generator.integers(3))] for _ in range(3000)]
    )
    joins = np.arange(30) >= 10
    made = replace(loader(ids, (GapsTask(max_length=8, words=words),)), joins=joins)
    starts, stops = [], []
    for number in range(60):
        canvas = made.batch(number, 1)
        row, frozen = canvas.ids[0].numpy(), canvas.frozen[0].numpy()
        assert (row == made.corpus.window(number)).all()
        edges = np.flatnonzero(np.diff(np.concatenate([[1], frozen, [1]]).astype(int)))
        inner = [(start, stop) for start, stop in edges.reshape(-1, 2) if stop < len(row)]
        assert all(stop - start <= 8 for start, stop in inner)
        starts += [bool(joins[row[start]]) for start, _ in inner]
        stops += [bool(joins[row[stop]]) for _, stop in inner]
    # a word of three tokens does not fit into a room of one or two: there, and only there, it is cut
    assert np.mean(starts) < 0.02 if words else np.mean(starts) > 0.3  # a window may end in the middle of a word
    assert np.mean(stops) < 0.35 if words else np.mean(stops) > 0.45


def test_lengths_are_log_uniform() -> None:
    """The law that the docstring states, and which the choice of a length takes back out."""
    from textdiff.data.tasks import _log_uniform

    generator = np.random.default_rng(3)
    drawn = np.bincount([_log_uniform(6, generator) for _ in range(20_000)], minlength=7)[1:]
    expected = np.log(np.arange(2, 8) / np.arange(1, 7)) / np.log(7)
    assert (np.abs(drawn / drawn.sum() - expected) < 0.012).all()  # four standard errors


def test_words_are_parted_where_the_pieces_say(tokenizer: Tokenizer) -> None:
    joins = word_joins(tokenizer)
    assert joins is not None
    ids = tokenizer.encode(" unbelievable, or not")
    pieces = [tokenizer.pieces[i] for i in ids]
    assert [bool(joins[i]) for i in ids] == [piece[:1].isalnum() for piece in pieces]
    assert word_joins(train_tokenizer("characters", ["abc"], 20)) is None


def test_the_prefix_is_given_and_the_rest_free() -> None:
    canvas = loader(np.arange(3000) % 26 + 4, (PrefixTask(),)).batch(0, 30)
    for row in canvas.frozen.numpy():
        assert (np.diff(row.astype(int)) <= 0).all()
    assert len(set(canvas.frozen.sum(-1).tolist())) > 10


def test_condition_dropout_hides_all_that_is_given() -> None:
    made = loader(np.arange(3000) % 26 + 4, (PrefixTask(),), dropout=0.5)
    canvas = made.batch(0, 40)
    assert canvas.hidden is not None
    rows = canvas.hidden.any(-1)
    assert 8 < int(rows.sum()) < 32
    assert (canvas.hidden[rows] == canvas.frozen[rows]).all()


def test_evaluation_covers_every_token_once() -> None:
    ids = np.arange(250, dtype=np.int32) % 26 + 4
    canvases = list(evaluation_batches(ids, 64, 3, VOCABULARY, seed=1))
    assert [c.ids[c.valid].tolist() for c in canvases] == [ids[:192].tolist(), ids[192:].tolist()]
    assert sum(int(c.free.sum()) for c in canvases) == 250
    some = list(evaluation_batches(ids, 64, 3, VOCABULARY, seed=1, limit=2))
    assert [int(c.ids[r, 0]) for c in some for r in range(len(c.ids))] == [4, int(ids[192])]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GapsTask(share=0), "share must be above 0, got 0"),
        (lambda: GapsTask(max_length=0), "max_length must be at least 1, got 0"),
        (lambda: LengthsTask(max_room=1), "max_room must be at least 2, got 1"),
        (lambda: LengthsTask(exact=-0.5), "exact must be between 0 and 1, got -0.5"),
        (lambda: GapsTask(density=1.5), "density must be between 0 and 1, got 1.5"),
    ],
)
def test_task_options_are_checked(make, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ConfigError, match=message):
        make()
