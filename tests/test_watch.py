"""The live view: what it draws, that it fits, and that it gets out of the way."""

from __future__ import annotations

import io
import time
from pathlib import Path

import pytest
import torch
from rich.console import Console
from rich.text import Text
from tiny import run, save_tiny, tiny_checkpoint

from textdiff.cli.scene import FRESH, GIVEN, HOLE, NOISE, WRITTEN, DocumentScene, SampleScene, excerpt
from textdiff.cli.watch import frame, status
from textdiff.infiller import Infiller
from textdiff.infiller.writing import Progress
from textdiff.sampling import Event
from textdiff.text.document import Document
from textdiff.text.layout import lay_out
from textdiff.text.tokenizers import Tokenizer


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    return tiny_checkpoint().tokenizer


@pytest.fixture(autouse=True)
def _plain_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in {"TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"}.items():
        monkeypatch.setenv(name, value)


def styles(text: Text) -> list[tuple[str, str]]:
    """The text in runs of one style, the given text without any."""
    marks = [GIVEN] * len(text)
    for span in text.spans:
        marks[span.start : span.end] = [str(span.style)] * (span.end - span.start)
    runs: list[tuple[str, str]] = []
    for character, mark in zip(text.plain, marks, strict=True):
        if runs and runs[-1][1] == mark:
            runs[-1] = (runs[-1][0] + character, mark)
        else:
            runs.append((character, mark))
    return runs


def test_noise_settles_before_the_eyes(tokenizer: Tokenizer) -> None:
    document = Document.parse(b"The [MASK: 3 tokens] house")
    layout = lay_out([document], tokenizer, 64, [0], 4)
    slot = layout.slots[0]
    words = [tokenizer.pieces.index(piece) for piece in (b" old", b" the", b" and")]
    ids = layout.canvas.ids.clone()
    noisy = layout.canvas.free.clone()
    scene = DocumentScene(document, tokenizer)

    def settle(position: int | None, word: int) -> list[tuple[str, str]]:
        if position is not None:
            ids[0, slot.start + position], noisy[0, slot.start + position] = words[word], False
        return styles(scene.draw(layout, Progress(torch.tensor([0]), Event(1, 3, ids, noisy))))

    assert settle(None, 0) == [("The ", GIVEN), (HOLE * 3, NOISE), (" house", GIVEN)]
    assert settle(1, 1) == [("The ", GIVEN), (HOLE, NOISE), (" the", FRESH), (HOLE, NOISE), (" house", GIVEN)]
    assert settle(0, 0) == [
        ("The ", GIVEN), ("old", FRESH), (" the", WRITTEN), (HOLE, NOISE), (" house", GIVEN)
    ]  # fmt: skip
    noisy[0, slot.start] = True
    assert settle(2, 2)[1:4] == [("old", NOISE), (" the", WRITTEN), (" and", FRESH)]


def test_a_filler_leaves_no_trace(tokenizer: Tokenizer) -> None:
    document = Document.parse(b"The [MASK] house")
    layout = lay_out([document], tokenizer, 64, [0], 3)
    ids = layout.canvas.ids.masked_fill(layout.canvas.free, tokenizer.vocabulary.filler_id or 0)
    progress = Progress(torch.tensor([0]), Event(1, 1, ids, torch.zeros_like(layout.canvas.free)))
    assert DocumentScene(document, tokenizer).draw(layout, progress).plain == "The  house"


def test_only_the_batch_at_work_is_drawn(tokenizer: Tokenizer) -> None:
    document = Document.parse(b"one [MASK: 2 tokens] " + b"the old house and " * 30 + b"two [MASK: 2 tokens] end")
    layout = lay_out([document], tokenizer, 32, [0], 4)
    assert len(layout.rows) == 2
    canvas = layout.canvas.rows(torch.tensor([1]))
    text = DocumentScene(document, tokenizer).draw(
        layout, Progress(torch.tensor([1]), Event(0, 1, canvas.ids, canvas.free))
    )
    assert "one" not in text.plain
    assert text.plain.startswith("…")
    assert text.plain.endswith(f"two {HOLE * 2} end")


def test_control_characters_are_made_visible(tokenizer: Tokenizer) -> None:
    document = Document.parse(b"a\x1b[31m\r\nb[MASK: 1 token]c\x07")
    layout = lay_out([document], tokenizer, 64, [0], 4)
    progress = Progress(torch.tensor([0]), Event(0, 1, layout.canvas.ids, layout.canvas.free))
    assert DocumentScene(document, tokenizer).draw(layout, progress).plain == f"a␛[31m\nb{HOLE}c␇"


def test_noise_that_is_a_token_is_shown_as_one(tokenizer: Tokenizer) -> None:
    ids = torch.tensor([tokenizer.encode("The old house")] * 2)
    noisy = torch.zeros_like(ids, dtype=torch.bool)
    noisy[:, 1] = True
    scene = SampleScene(tokenizer)
    shown = styles(scene.draw(Progress(torch.tensor([0, 1]), Event(0, 1, ids, noisy))))
    assert shown == [
        ("The", GIVEN), (" old", NOISE), (" house\n---\nThe", GIVEN), (" old", NOISE), (" house", GIVEN)
    ]  # fmt: skip
    noisy[:, 1] = False
    assert (" old", FRESH) in styles(scene.draw(Progress(torch.tensor([0, 1]), Event(1, 1, ids, noisy))))


def test_an_excerpt_keeps_what_is_near_a_gap() -> None:
    text = "".join(f"word{i} " for i in range(200))
    assert excerpt(text, after=False, before=False) == ""
    assert excerpt("a b ", after=True, before=False) == "a b "
    head, tail, both = excerpt(text, True, False), excerpt(text, False, True), excerpt(text, True, True)
    assert head.startswith("word0 ")
    assert head.endswith(" …")
    assert tail.startswith("… ")
    assert tail.endswith("word199 ")
    assert both == head + tail.removeprefix("…")
    assert 150 < len(head) <= 202


@pytest.mark.parametrize(("width", "height"), [(80, 24), (20, 6), (9, 3), (200, 60)])
def test_the_picture_fits_and_shows_where_the_noise_is(width: int, height: int) -> None:
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=True)
    text = Text("\n".join(f"line {i} " + "wörd 你好 " * 12 for i in range(40)))
    text.append(HOLE * 3, NOISE)
    text.append("\nafter" * 40)
    lines = console.render_lines(frame(text, "step 1 of 2, 3 tokens still noisy", console), pad=False)
    shown = ["".join(segment.text for segment in line) for line in lines]
    assert len(shown) <= max(2, height - 2)
    assert any(HOLE in line for line in shown)
    assert shown[-1].startswith("step 1"[: width - 1])


def test_the_end_is_shown_when_nothing_is_noisy() -> None:
    console = Console(file=io.StringIO(), width=40, height=10, force_terminal=True)
    assert "line 99" in frame(Text("\n".join(f"line {i}" for i in range(100))), "done", console).plain


def test_the_status_counts_what_is_left() -> None:
    noisy = torch.tensor([[True, False], [False, False]])
    assert (
        status(Progress(torch.tensor([0, 1]), Event(2, 8, noisy.long(), noisy))) == "step 2 of 8, 1 token still noisy"
    )


def test_watching_changes_nothing_but_the_terminal(model: Path) -> None:
    words = ["infill", "-", "-m", model, "--watch", "--watch-delay", 0]
    document = b"The [MASK: 6 tokens] house\n"
    plain = run("infill", "-", "-m", model, stdin=document)
    unseen = run(*words, stdin=document)
    assert (unseen.out, unseen.err) == (plain.out, "")
    seen = run(*words, stdin=document, watched=True)
    assert (seen.code, seen.out) == (0, plain.out)
    assert f"The {HOLE}" in seen.err or HOLE in seen.err
    assert "still noisy" in seen.err
    assert seen.err.count("\x1b[?25l") == seen.err.count("\x1b[?25h") == 1
    assert "--json" not in seen.err
    sample = run("generate", "The", "-m", model, "--max-new-tokens", 5, "--watch", "--watch-delay", 0, watched=True)
    assert sample.code == 0
    assert HOLE in sample.err


def test_a_dumb_terminal_is_left_alone(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    ended = run("infill", "-", "-m", model, "--watch", stdin=b"a [MASK: 3 tokens]", watched=True)
    assert (ended.code, ended.err) == (0, "")


def test_only_a_new_picture_makes_it_rest(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rests: list[float] = []
    monkeypatch.setattr(time, "sleep", rests.append)
    words = ["infill", "-", "-m", model, "--steps", 30, "--watch", "--watch-delay", 0.25]
    run(*words, stdin=b"a [MASK: 4 tokens]", watched=True)
    assert 1 <= len(rests) <= 5
    assert set(rests) == {0.25}
    rests.clear()
    run(*words, stdin=b"a [MASK: 4 tokens]")
    assert rests == []


def test_an_error_gives_the_terminal_back(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(self: Infiller, *_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Infiller, "infill", interrupt)
    ended = run("infill", "-", "-m", model, "--watch", stdin=b"a [MASK: 3 tokens]", watched=True)
    assert ended.code == 130
    assert ended.err.count("\x1b[?25l") == ended.err.count("\x1b[?25h") == 1
