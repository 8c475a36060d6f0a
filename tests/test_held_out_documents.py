"""What is held out where no text is named for it: whole documents, from the end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_separate_documents import FRAMES, stream

from textdiff.corpus import Piece
from textdiff.data import DocumentEnds
from textdiff.data.prepared import prepare_corpus
from textdiff.recipe import Recipe
from textdiff.recipe.material import Stream
from textdiff.recipe.texts import Texts
from textdiff.registry import build
from textdiff.text.tokenizers import Tokenizer, train_tokenizer

SIZES = {
    "many": [40] * 30,
    "few": [60] * 6,
    "two": [500, 50],
    "one": [600],
    "tiny last": [600, 1],
    "huge last": [50, 600],
}
documents = st.lists(st.lists(st.integers(6, 29), max_size=12), min_size=1, max_size=12)


@pytest.mark.parametrize("look", [1, 4096])
@pytest.mark.parametrize("place", FRAMES)
@given(documents, st.data())
def test_the_nearest_end_is_found(place: str, look: int, texts: list[list[int]], data: st.DataObject) -> None:
    ids, ends = stream(texts, place)
    low = data.draw(st.integers(0, len(ids)))
    high = data.draw(st.integers(low, len(ids)))
    wanted = data.draw(st.integers(low, high))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("textdiff.data.documents._LOOK", look)
        found = ends.cut(ids, wanted, low, high)
    shared = int(place == "both")
    starts = np.cumsum([len(part) - shared for part in ends.split(ids)])[:-1]
    possible = [int(start) for start in starts if low <= start < high]
    if found is None:
        assert not possible
    else:
        stop, start = found
        assert abs(start - wanted) == min(abs(one - wanted) for one in possible)
        assert stop == start + shared
        parts = [*ends.split(ids[:stop]), *ends.split(ids[start:])]
        assert [part.tolist() for part in parts] == [part.tolist() for part in ends.split(ids)]


def words(count: int, name: str) -> str:
    return " ".join(f"{name}{number % 7}" for number in range(count))


@pytest.fixture(scope="module")
def made() -> Tokenizer:
    return train_tokenizer("byte_bpe", [words(200, "a"), words(200, "b")], 300)


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("prepared", [False, True])
def test_whole_documents_are_held_out_where_some_end_near_the_share(
    made: Tokenizer, tmp_path: Path, sizes: str, prepared: bool
) -> None:
    texts = [words(size, chr(97 + number % 26)) for number, size in enumerate(SIZES[sizes])]
    files = []
    for number, text in enumerate(texts):
        files.append(tmp_path / f"{number:02}.txt")
        files[-1].write_text(text, encoding="utf8")
    if prepared:
        prepare_corpus((Piece(text, True) for text in texts), made, tmp_path / "prepared", {})
        files = [tmp_path / "prepared"]
    recipe = build(Recipe, {"data": {"train": [str(file) for file in files]}, "context_length": 16})
    train, held_out = Stream(recipe, Texts(recipe.data, tmp_path), made).split
    share = len(held_out) / (len(train) + len(held_out))
    ends = DocumentEnds.of(made)
    inside = sizes in ("one", "tiny last", "huge last")
    if inside:
        assert share == pytest.approx(0.05, abs=0.002)
    else:
        assert 0.05 / 4 <= share <= 0.2
        parts = [*ends.split(train), *ends.split(held_out)]
        assert [made.decode([i for i in part if i != ends.mark]) for part in parts] == texts
    assert bool(held_out[0] == ends.mark) is not inside


def test_nothing_is_held_out_of_nothing(made: Tokenizer, tmp_path: Path) -> None:
    """Neither of a share of 0 nor of a text too short for its share."""
    (tmp_path / "text.txt").write_text("a1", encoding="utf8")
    for share in (0, 0.05):
        recipe = build(Recipe, {"data": {"train": "text.txt", "validation_share": share}, "context_length": 16})
        train, held_out = Stream(recipe, Texts(recipe.data, tmp_path), made).split
        assert len(train) > 0
        assert len(held_out) == 0
