"""Documents on the canvas: spaces, windows, seeds, fillers, and what each row shows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from unittest.mock import patch

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from layouts import drafts_of

from textdiff.errors import DataError
from textdiff.text.document import Document
from textdiff.text.layout import Layout, Slot, lay_out
from textdiff.text.outline import Outline, outlines_of
from textdiff.text.tokenizers import Tokenizer, load_tokenizer, train_tokenizer

STORY = ["The old king went down to the sea, and there he saw the ship. (It was 1849.)\r\nHe never came back."] * 30


@pytest.fixture(scope="module")
def own() -> Tokenizer:
    return train_tokenizer("byte_bpe", iter(STORY), 320)


@pytest.fixture(scope="module")
def characters() -> Tokenizer:
    return train_tokenizer("characters", iter(STORY), 60)


def one(source: str, tokenizer: Tokenizer, context: int = 64, **options: Sequence[int]) -> Layout:
    """A document on the canvas, gaps numbered as in the document; six tokens each unless `lengths` says otherwise."""
    document = Document.parse(source.encode())
    lengths = options.pop("lengths", [6] * len(document.gaps))
    drafts = drafts_of(document, tokenizer, context, lengths, **options)  # type: ignore[arg-type]
    return lay_out(drafts, tokenizer, context).renumbered([(0, draft.outline.gaps) for draft in drafts])


def given_pieces(layout: Layout, tokenizer: Tokenizer, row: int = 0) -> bytes:
    """The bytes of the given positions of a row."""
    canvas = layout.canvas
    return b"".join(tokenizer.pieces[i] for i in canvas.ids[row][canvas.frozen[row] & canvas.valid[row]].tolist())


def test_a_document_is_one_row_between_its_ends(own: Tokenizer) -> None:
    layout = one("The king [MASK] the ship.", own)
    (slot,) = layout.slots
    row = layout.canvas.ids[0].tolist()
    assert row[: slot.start] == [2, *own.encode("The king")]
    assert row[slot.start : slot.stop] == [1] * 6
    assert row[slot.stop :] == [*own.encode(" the ship."), 2]
    assert layout.canvas.free[0].nonzero().flatten().tolist() == list(range(slot.start, slot.stop))
    assert (layout.rows[0].start_byte, layout.rows[0].stop_byte) == (0, len("The king [MASK] the ship."))


def test_a_gap_of_open_length_ends_with_a_given_filler(own: Tokenizer) -> None:
    layout = one("The king [MASK] the [MASK].", own, lengths=[6, 3], open_gaps=[0])
    first, second = layout.slots
    assert (first.stop - first.start, second.stop - second.start) == (6, 3)
    assert (layout.canvas.ids[0] == 3).nonzero().flatten().tolist() == [first.stop]
    assert layout.canvas.free[0].nonzero().flatten().tolist() == [
        *range(first.start, first.stop), *range(second.start, second.stop)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("source", "given"),
    [
        ("a [MASK]", b"a"), ("a  [MASK]", b"a "), (" [MASK] b", b" b"), ("a[MASK]", b"a"), ("[MASK]", b""),
        ("a\n [MASK]", b"a\n"), ("a\t[MASK]", b"a\t"), ("[MASK][MASK] [MASK]", b""),
    ],
)  # fmt: skip
def test_the_space_before_a_gap_comes_from_the_gap(own: Tokenizer, source: str, given: bytes) -> None:
    assert given_pieces(one(source, own), own) == given


def test_characters_keep_their_spaces(characters: Tokenizer) -> None:
    assert given_pieces(one("a [MASK] b", characters), characters) == b"a  b"


def test_i2_a_gap_larger_than_the_context_is_refused(own: Tokenizer) -> None:
    one("[MASK]", own, lengths=[62])
    with pytest.raises(DataError, match=r"gap 2 needs 65 positions, but .* has room for 64"):
        one("a [MASK] b [MASK]", own, lengths=[1, 65])


def test_i2_long_documents_become_windows(own: Tokenizer) -> None:
    body = STORY[0] * 5
    layout = one(f"{body}[MASK]{body}[MASK]", own, context=48, lengths=[2, 3])
    assert [(slot.gap, slot.row, slot.kept) for slot in layout.slots] == [(0, 0, True), (1, 1, True)]
    assert layout.canvas.valid.sum(-1).tolist() == [48, 48]
    # ends of the document stand only where a window touches them
    assert 2 not in layout.canvas.ids[0] and layout.canvas.ids[1, -1] == 2 and 2 not in layout.canvas.ids[1, :-1]
    whole = torch.tensor([2, *own.encode(body), 1, 1, *own.encode(body), 1, 1, 1, 2])
    for ids in layout.canvas.ids:
        assert any(ids.equal(whole[i : i + 48]) for i in range(len(whole) - 47))
    assert len(set(layout.canvas.seeds.tolist())) == 2


def test_i2_every_gap_is_kept_once(own: Tokenizer) -> None:
    layout = one(" the ship[MASK]".join(["a"] * 40), own, context=24, lengths=[4] * 39)
    assert len(layout.rows) > 3 and any(not slot.kept for slot in layout.slots)
    assert [slot.gap for slot in layout.slots if slot.kept] == list(range(39))


def test_i4_a_document_is_laid_out_alike_alone_and_among_others(own: Tokenizer) -> None:
    sources = ["[MASK]", "The king [MASK].", STORY[0] * 4 + "[MASK]" + STORY[0] * 4 + "[MASK] x"]
    documents = [Document.parse(source.encode()) for source in sources]
    drafts = [
        draft
        for document, seed in zip(documents, [-1, 2**62, 7], strict=True)
        for draft in drafts_of(document, own, 40, [6] * len(document.gaps), seed=seed)
    ]
    together = lay_out(drafts, own, 40)
    for k, draft in enumerate(drafts):
        alone = lay_out([draft], own, 40)
        rows = [i for i, row in enumerate(together.rows) if row.draft == k]
        assert len(rows) == len(alone.rows)
        for mine, theirs in zip(range(len(alone.rows)), rows, strict=True):
            length = int(alone.canvas.valid[mine].sum())
            assert int(together.canvas.valid[theirs].sum()) == length
            assert together.canvas.ids[theirs, :length].equal(alone.canvas.ids[mine, :length])
            assert together.canvas.frozen[theirs, :length].equal(alone.canvas.frozen[mine, :length])
            assert together.canvas.seeds[theirs] == alone.canvas.seeds[mine]


def outlines(source: str, tokenizer: Tokenizer, context: int) -> list[Outline]:
    return outlines_of(Document.parse(source.encode()), tokenizer, context)


def test_text_that_no_gap_sees_is_not_encoded(own: Tokenizer) -> None:
    """The work is that of the gaps: a document of a megabyte costs three windows."""
    far = STORY[0] * 3_000
    sizes = []
    encode = own.encode_with_ends
    with patch.object(
        Tokenizer, "encode_with_ends", lambda self, text, start: sizes.append(len(text)) or encode(text, start)
    ):
        found = outlines(f"{far}[MASK]{far}[MASK] and [MASK]{far}", own, 64)
    assert [outline.gaps for outline in found] == [(0,), (1, 2)]
    assert sum(sizes) < 4 * 64 * 8 + 10


@settings(max_examples=150, derandomize=True)
@given(
    parts=st.lists(
        st.sampled_from(["[MASK]", "a ", "The king\n", "é😀 ", "x" * 70, " " * 40, STORY[0], STORY[0] * 3]), max_size=12
    ),
    context=st.integers(4, 24),
)
def test_a_window_shows_what_it_says(own: Tokenizer, parts: list[str], context: int) -> None:
    """The tokens given in a row spell the bytes that the row says it shows, and far text changes nothing."""
    source = "".join(parts)
    document = Document.parse(source.encode())
    lengths = [1] * len(document.gaps)
    near = one(source, own, context, lengths=lengths)
    whole = lay_out(drafts_of(document, own, 10_000, lengths), own, context)
    kept = [[slot for slot in layout.slots if slot.kept] for layout in (near, whole)]
    assert [slot.gap for slot in kept[0]] == [slot.gap for slot in kept[1]]
    for mine, theirs in zip(*kept, strict=True):
        assert window_of(near, mine) == window_of(whole, theirs)
    for number, row in enumerate(near.rows):
        shown = document.source[row.start_byte : row.stop_byte].replace(b"[MASK]", b"")
        # a window may end within a character, whose byte counts as seen
        assert letters(given_pieces(near, own, number)) == letters(shown)


@pytest.mark.parametrize("ends", [("he saw the king", "and the ship"), ("he", ""), ("", "he")])
@pytest.mark.parametrize("context", [5, 12])
def test_an_outline_is_cut_just_where_no_window_holds_both_sides(
    characters: Tokenizer, context: int, ends: tuple[str, str]
) -> None:
    """Windows are as if it were whole, however many letters are between two gaps."""
    for between in range(1, 3 * context):
        source = ends[0] + "[MASK]" + ("the old sea " * 9)[:between] + "[MASK]" + ends[1]
        document = Document.parse(source.encode())
        near = one(source, characters, context, lengths=[1, 1])
        whole = lay_out(drafts_of(document, characters, 10_000, [1, 1]), characters, context)
        kept = [[slot for slot in layout.slots if slot.kept] for layout in (near, whole)]
        for mine, theirs in zip(*kept, strict=True):
            assert window_of(near, mine) == window_of(whole, theirs), between
            rows = near.rows[mine.row], whole.rows[theirs.row]
            assert (rows[0].start_byte, rows[0].stop_byte) == (rows[1].start_byte, rows[1].stop_byte), between
        assert len(outlines(source, characters, context)) == 1 + (between >= context)


def window_of(layout: Layout, slot: Slot) -> tuple[list[int], int]:
    """What the row of a slot shows, and where in it the slot is."""
    return layout.canvas.ids[slot.row][layout.canvas.valid[slot.row]].tolist(), slot.start


def letters(data: bytes) -> bytes:
    return bytes(b for b in data if b < 128 and b not in b" \n")  # a line that goes on is read as a space


def test_visible_bytes_count_the_markup(own: Tokenizer) -> None:
    source = "é [MASK: 3-8 words] é"
    layout = one(source, own)
    assert (layout.rows[0].start_byte, layout.rows[0].stop_byte) == (0, len(source.encode()))


def test_a_foreign_metaspace_tokenizer_writes_no_space_after_a_gap(tmp_path: Path) -> None:
    from tokenizers import AddedToken, decoders, models, pre_tokenizers
    from tokenizers import Tokenizer as Backend

    pieces = ["<unk>", "<mask>", "▁", "▁the", "▁sea", *"thesa,."]
    backend = Backend(models.Unigram([(p, -float(i)) for i, p in enumerate(dict.fromkeys(pieces))], unk_id=0))
    backend.pre_tokenizer, backend.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    backend.add_special_tokens([AddedToken(p, special=True) for p in ("<unk>", "<mask>")])
    backend.save(str(tmp_path / "tokenizer.json"))
    tokenizer = load_tokenizer(tmp_path)
    layout = one("the [MASK], sea", tokenizer, lengths=[1])
    assert given_pieces(layout, tokenizer) == b" the, sea"
