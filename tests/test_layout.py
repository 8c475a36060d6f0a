"""Documents on the canvas and back: spaces, windows, seeds, and bytes that stay."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from textdiff.errors import DataError, UsageError
from textdiff.text.document import Document, Text
from textdiff.text.layout import Layout, lay_out, read_back
from textdiff.text.limits import make_limits
from textdiff.text.tokenizers import Tokenizer, load_tokenizer, train_tokenizer

STORY = ["The old king went down to the sea, and there he saw the ship. (It was 1849.)\r\nHe never came back."] * 30
WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "the",
    "king",
    "##s",
    "saw",
    "a",
    "ship",
    "play",
    "##ing",
    ",",
    ".",
    "-",
]


@pytest.fixture(scope="module")
def own() -> Tokenizer:
    return train_tokenizer("byte_bpe", iter(STORY), 320)


@pytest.fixture(scope="module")
def characters() -> Tokenizer:
    return train_tokenizer("characters", iter(STORY), 60)


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    folder = tmp_path_factory.mktemp("bert")
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n", encoding="utf-8")
    return load_tokenizer(folder)


def one(source: str, tokenizer: Tokenizer, context: int = 64, room: int = 6) -> tuple[Document, Layout]:
    document = Document.parse(source.encode())
    return document, lay_out([document], tokenizer, context, [0], room)


def written(layout: Layout, tokenizer: Tokenizer, texts: list[str]) -> torch.Tensor:
    """The canvas with each gap holding this text, filled up with fillers."""
    ids = layout.canvas.ids.clone()
    for slot in layout.slots:
        row = tokenizer.encode(texts[slot.gap])
        row += [tokenizer.vocabulary.filler_id or 0] * (slot.stop - slot.start - len(row))
        ids[slot.row, slot.start : slot.stop] = torch.tensor(row)
    return ids


def given_pieces(layout: Layout, tokenizer: Tokenizer, row: int = 0) -> bytes:
    """The bytes of the given positions of a row."""
    canvas = layout.canvas
    return b"".join(tokenizer.pieces[i] for i in canvas.ids[row][canvas.frozen[row] & canvas.valid[row]].tolist())


def test_a_document_is_one_row_between_its_ends(own: Tokenizer) -> None:
    _, layout = one("The king [MASK] the ship.", own)
    (slot,) = layout.slots
    row = layout.canvas.ids[0].tolist()
    assert row[: slot.start] == [2, *own.encode("The king")]
    assert row[slot.start : slot.stop] == [1] * 6
    assert row[slot.stop :] == [*own.encode(" the ship."), 2]
    assert layout.canvas.free[0].nonzero().flatten().tolist() == list(range(slot.start, slot.stop))
    assert layout.rows[0].total == len(row) == layout.rows[0].stop


def test_the_space_before_a_gap_comes_from_the_gap(own: Tokenizer) -> None:
    document, layout = one("The king [MASK] the ship.", own)
    assert layout.slots[0].healed and layout.slots[0].opens
    assert given_pieces(layout, own) == b"The king the ship."
    texts = read_back(written(layout, own, [" saw"]), layout, own)
    assert texts == [["saw"]]
    assert document.fill(texts[0]).text == "The king saw the ship."


@pytest.mark.parametrize(
    ("source", "healed"),
    [
        ("a [MASK]", True), ("a  [MASK]", True), (" [MASK]", True), ("a[MASK]", False), ("[MASK]", False),
        ("a\n[MASK]", False), ("a\n [MASK]", True), ("a\t[MASK]", False), ("(\u00a0[MASK]", False),
    ],
)  # fmt: skip
def test_spaces_that_move_into_the_gap(own: Tokenizer, source: str, healed: bool) -> None:
    document, layout = one(source, own)
    assert layout.slots[0].healed == layout.slots[0].opens == healed
    # no space is lost and none doubled, whatever the gap holds
    assert document.fill(
        read_back(written(layout, own, [" it" if healed else "it"]), layout, own)[0]
    ).text == source.replace("[MASK]", "it")


def test_i1_adjacent_gaps_and_a_space_between_gaps(own: Tokenizer) -> None:
    document, layout = one("[MASK][MASK] [MASK]", own)
    assert [slot.healed for slot in layout.slots] == [False, False, True]
    texts = read_back(written(layout, own, ["He", " saw", " it"]), layout, own)[0]
    assert texts == ["He", " saw", "it"] and document.fill(texts).text == "He saw it"


def test_characters_keep_their_spaces(characters: Tokenizer) -> None:
    _, layout = one("a [MASK] b", characters)
    assert not layout.slots[0].healed and given_pieces(layout, characters) == b"a  b"


@pytest.mark.parametrize(
    ("source", "fill", "opens", "result"),
    [
        ("the [MASK] saw", ["king", "##s"], True, "the kings saw"),
        ("[MASK] saw", ["the", "king"], True, "the king saw"),
        ("play[MASK].", ["##ing"], False, "playing."),
        ("a-[MASK]", ["ship"], False, "a-ship"),
        ("the\n[MASK]\r\n", ["a", ",", "ship"], True, "the\na, ship\r\n"),
    ],
)
def test_wordpiece_fits_the_spaces_of_the_document(
    bert: Tokenizer, source: str, fill: list[str], opens: bool, result: str
) -> None:
    document = Document.parse(source.encode())
    layout = lay_out([document], bert, 32, [0], len(fill))
    (slot,) = layout.slots
    assert slot.opens == opens
    ids = layout.canvas.ids.clone()
    ids[0, slot.start : slot.stop] = torch.tensor([WORDS.index(token) for token in fill])
    assert document.fill(read_back(ids, layout, bert)[0]).text == result


@pytest.mark.parametrize(
    ("markup", "own_positions", "bert_positions"),
    [
        ("[MASK]", 6, 6), ("[MASK: 3 tokens]", 3, 3), ("[MASK: 2-7 tokens]", 7, 7),
        ("[MASK: 4 words]", 10, 4), ("[MASK: 2-5 words]", 12, 5),
    ],
)  # fmt: skip
def test_positions_of_a_gap(
    own: Tokenizer, bert: Tokenizer, markup: str, own_positions: int, bert_positions: int
) -> None:
    for tokenizer, positions in ((own, own_positions), (bert, bert_positions)):
        _, layout = one(f"a {markup} a", tokenizer)
        assert int(layout.canvas.free.sum()) == positions


def test_characters_count_one_word_but_not_several(characters: Tokenizer) -> None:
    _, layout = one("a [MASK: 1 word] a", characters)
    assert int(layout.canvas.free.sum()) == 12
    with pytest.raises(DataError, match=r"gap 1, \[MASK: 2 words\]: this model's tokens are not words; ask for tokens"):
        one("[MASK: 2 words]", characters)


def test_i2_a_gap_larger_than_the_context_is_refused(own: Tokenizer) -> None:
    one("[MASK: 62 tokens]", own, context=64)
    with pytest.raises(DataError, match=r"gap 2, \[MASK: 63 tokens\], needs 63 positions, but .* has room for 62"):
        one("a [MASK] b [MASK: 63 tokens]", own, context=64)
    with pytest.raises(UsageError, match="room of a gap must be at least 1, got 0"):
        one("[MASK]", own, room=0)


def test_i2_long_documents_become_windows(own: Tokenizer) -> None:
    body = STORY[0] * 5
    document, layout = one(f"{body}[MASK: 2 tokens]{body}[MASK: 3 tokens]", own, context=48)
    total = len(own.encode(body)) * 2 + 5 + 2
    assert [(row.total, row.stop - row.start) for row in layout.rows] == [(total, 48), (total, 48)]
    assert [(slot.gap, slot.row, slot.kept) for slot in layout.slots] == [(0, 0, True), (1, 1, True)]
    # ends of the document stand only where a window touches them
    assert 2 not in layout.canvas.ids[0] and layout.canvas.ids[1, -1] == 2 and 2 not in layout.canvas.ids[1, :-1]
    whole = torch.tensor([2, *own.encode(body), 1, 1, *own.encode(body), 1, 1, 1, 2])
    for row, ids in zip(layout.rows, layout.canvas.ids, strict=True):
        assert ids.equal(whole[row.start : row.stop])
    again = lay_out([document], own, 48, [0], 6)
    assert again.slots == layout.slots and again.canvas.ids.equal(layout.canvas.ids)
    assert len(set(layout.canvas.seeds.tolist())) == 2


def test_i2_gaps_of_one_document_in_several_windows_are_read_back_in_order(own: Tokenizer) -> None:
    _, layout = one(" the ship[MASK: 4 tokens]".join(["a"] * 40), own, context=24)
    assert len(layout.rows) > 3 and any(not slot.kept for slot in layout.slots)
    ids = layout.canvas.ids.clone()
    for slot in layout.slots:
        text = f"{slot.gap:04d}" if slot.kept else "xxxx"
        ids[slot.row, slot.start : slot.stop] = torch.tensor([own.encode(c)[0] for c in text])
    assert read_back(ids, layout, own) == [[f"{k:04d}" for k in range(39)]]


def test_i4_a_document_is_laid_out_alike_alone_and_among_others(own: Tokenizer) -> None:
    sources = ["[MASK]", "no gap", "The king [MASK: 2 words].", STORY[0] * 4 + "[MASK]" + STORY[0] * 4 + "[MASK] x"]
    documents = [Document.parse(s.encode()) for s in sources]
    seeds = [-1, 2**63, 7, 7]
    together = lay_out(documents, own, 40, seeds, 6)
    assert together.gap_counts == (1, 0, 1, 2)
    for k, document in enumerate(documents):
        alone = lay_out([document], own, 40, [seeds[k]], 6)
        rows = [i for i, row in enumerate(together.rows) if row.document == k]
        assert len(rows) == len(alone.rows)
        for mine, theirs in zip(range(len(alone.rows)), rows, strict=True):
            length = int(alone.canvas.valid[mine].sum())
            assert int(together.canvas.valid[theirs].sum()) == length
            assert together.canvas.ids[theirs, :length].equal(alone.canvas.ids[mine, :length])
            assert together.canvas.frozen[theirs, :length].equal(alone.canvas.frozen[mine, :length])
            assert together.canvas.seeds[theirs] == alone.canvas.seeds[mine]


def test_nothing_to_fill_has_no_rows(own: Tokenizer) -> None:
    layout = lay_out([Document.parse(b"text")], own, 40, [0], 6)
    assert layout.canvas.shape == (0, 0) and layout.rows == ()
    assert read_back(layout.canvas.ids, layout, own) == [[]]
    assert make_limits(layout, own).which.shape == (0, 0)


PARTS = [
    "\r\n", "\ufeff", "\0", "😀", "é", " ", "  ", "\t", "\\", "[MASKED]", "\\[MASK]", "\\[MASK: 2", "[PAD]", "[FILL]",
    "[END]", "<mask>", "</s>", "[MASK]", "[MASK: 2 words]", "[MASK: 1-3 words]", "[MASK: 2 tokens]",
    "[MASK: 1-4 tokens]", "The king", " the sea", ".",
]  # fmt: skip
sources = st.lists(
    st.one_of(st.sampled_from(PARTS), st.text(max_size=5).filter(lambda s: "MASK" not in s)), max_size=14
)


@settings(max_examples=1000, derandomize=True)
@given(parts=sources, seed=st.integers(0, 2**32))
def test_i1_whatever_is_written_bytes_outside_the_gaps_stay(own: Tokenizer, parts: list[str], seed: int) -> None:
    document = Document.parse("".join(parts).encode())
    layout = lay_out([document], own, 28, [seed], 5)
    limits = make_limits(layout, own)
    ids, canvas, chance = layout.canvas.ids.clone(), layout.canvas, random.Random(seed)
    for row, column in canvas.free.nonzero().tolist():
        ids[row, column] = chance.choice(limits.table[limits.which[row, column]].nonzero().flatten().tolist())
    filled = document.fill(read_back(ids, layout, own)[0])
    filled.data.decode("utf-8", errors="strict")
    cuts = [0, *(edge for span in filled.spans for edge in span), len(filled.data)]
    outside = b"".join(filled.data[a:b] for a, b in zip(cuts[::2], cuts[1::2], strict=True))
    assert outside == b"".join(part.text.encode() for part in document.parts if isinstance(part, Text))
    # what is given is text and the ends of the document, never a mask, a filler or padding
    assert set(canvas.ids[canvas.frozen & canvas.valid].tolist()).isdisjoint({0, 1, 3})
    for text in read_back(ids, layout, own)[0]:
        assert not any(ord(c) < 32 and c not in "\t\r\n" for c in text) and "\ufffd" not in text


def test_a_foreign_metaspace_tokenizer_heals_the_start_of_a_document(tmp_path: Path) -> None:
    from tokenizers import AddedToken, decoders, models, pre_tokenizers
    from tokenizers import Tokenizer as Backend

    pieces = ["<unk>", "<mask>", "▁", "▁the", "▁sea", *"thesa,."]
    backend = Backend(models.Unigram([(p, -float(i)) for i, p in enumerate(dict.fromkeys(pieces))], unk_id=0))
    backend.pre_tokenizer, backend.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    backend.add_special_tokens([AddedToken(p, special=True) for p in ("<unk>", "<mask>")])
    backend.save(str(tmp_path / "tokenizer.json"))
    tokenizer = load_tokenizer(tmp_path)
    for source in ("[MASK] the sea", "the\n[MASK]", "the [MASK]", "sea"):
        document = Document.parse(source.encode())
        layout = lay_out([document], tokenizer, 32, [0], 1)
        ids = torch.where(layout.canvas.free, tokenizer.encode("sea")[0], layout.canvas.ids)
        assert all(slot.opens for slot in layout.slots)
        assert document.fill(read_back(ids, layout, tokenizer)[0]).text == source.replace("[MASK]", "sea")
    # what follows a gap does not begin the document: no space is written before it
    _, layout = one("the [MASK], sea", tokenizer)
    assert given_pieces(layout, tokenizer) == b" the, sea"
