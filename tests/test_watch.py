"""The live view: what it draws, that it fits, and that it gets out of the way."""

from __future__ import annotations

import io
import re
import time
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from layouts import laid_out
from rich.console import Console
from rich.text import Text
from tiny import TEXT, run, save_tiny, tiny_checkpoint

from textdiff.cli.scene import FRESH, GIVEN, HOLE, NOISE, WRITTEN, DocumentScene, SampleScene, excerpt, near_gaps, texts
from textdiff.cli.visible import painted, painted_spans, visible
from textdiff.cli.watch import frame, status, together
from textdiff.infiller import Infiller
from textdiff.infiller.writing import Progress
from textdiff.sampling import Event
from textdiff.text.document import Document
from textdiff.text.layout import Layout
from textdiff.text.tokenizers import Tokenizer, train_tokenizer


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


def event(step: int, steps: int, ids: torch.Tensor, noisy: torch.Tensor) -> Event:
    return Event(step, steps, ids, noisy, torch.zeros(ids.shape, dtype=torch.float64))


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
    layout = laid_out(document, tokenizer=tokenizer)
    slot = layout.slots[0]
    words = [tokenizer.pieces.index(piece) for piece in (b" old", b" the", b" and")]
    ids = layout.canvas.ids.clone()
    noisy = layout.canvas.free.clone()
    scene = DocumentScene([document], tokenizer)

    def settle(position: int | None, word: int) -> list[tuple[str, str]]:
        if position is not None:
            ids[0, slot.start + position], noisy[0, slot.start + position] = words[word], False
        return styles(scene.draw(layout, Progress(torch.tensor([0]), event(1, 3, ids, noisy))))

    assert settle(None, 0) == [("The ", GIVEN), (HOLE * 3, NOISE), (" house", GIVEN)]
    assert settle(1, 1) == [("The ", GIVEN), (HOLE, NOISE), (" the", FRESH), (HOLE, NOISE), (" house", GIVEN)]
    assert settle(0, 0) == [
        ("The ", GIVEN), ("old", FRESH), (" the", WRITTEN), (HOLE, NOISE), (" house", GIVEN)
    ]  # fmt: skip
    noisy[0, slot.start] = True
    assert settle(2, 2)[1:4] == [("old", NOISE), (" the", WRITTEN), (" and", FRESH)]


def test_a_filler_leaves_no_trace(tokenizer: Tokenizer) -> None:
    document = Document.parse(b"The [MASK] house")
    layout = laid_out(document, tokenizer=tokenizer)
    ids = layout.canvas.ids.masked_fill(layout.canvas.free, tokenizer.vocabulary.filler_id or 0)
    progress = Progress(torch.tensor([0]), event(1, 1, ids, torch.zeros_like(layout.canvas.free)))
    assert DocumentScene([document], tokenizer).draw(layout, progress).plain == "The  house"


def test_only_the_batch_at_work_is_drawn(tokenizer: Tokenizer) -> None:
    document = Document.parse(b"one [MASK: 2 tokens] " + b"the old house and " * 30 + b"two [MASK: 2 tokens] end")
    layout = laid_out(document, tokenizer=tokenizer, context_length=32)
    assert len(layout.rows) == 2
    canvas = layout.canvas.rows(torch.tensor([1]))
    text = DocumentScene([document], tokenizer).draw(
        layout, Progress(torch.tensor([1]), event(0, 1, canvas.ids, canvas.free))
    )
    assert "one" not in text.plain
    assert text.plain.startswith("…")
    assert text.plain.endswith(f"two {HOLE * 2} end")


def test_control_characters_are_made_visible(tokenizer: Tokenizer) -> None:
    document = Document.parse(b"a\x1b[31m\r\nb[MASK: 1 token]c\x07")
    layout = laid_out(document, tokenizer=tokenizer)
    progress = Progress(torch.tensor([0]), event(0, 1, layout.canvas.ids, layout.canvas.free))
    assert DocumentScene([document], tokenizer).draw(layout, progress).plain == f"a␛[31m\nb{HOLE}c␇"


def test_noise_that_is_a_token_is_shown_as_one(tokenizer: Tokenizer) -> None:
    ids = torch.tensor([tokenizer.encode("The old house")] * 2)
    noisy = torch.zeros_like(ids, dtype=torch.bool)
    noisy[:, 1] = True
    scene = SampleScene(tokenizer)
    shown = styles(scene.draw(Progress(torch.tensor([0, 1]), event(0, 1, ids, noisy))))
    assert shown == [
        ("The", GIVEN), (" old", NOISE), (" house\n---\nThe", GIVEN), (" old", NOISE), (" house", GIVEN)
    ]  # fmt: skip
    noisy[:, 1] = False
    assert (" old", FRESH) in styles(scene.draw(Progress(torch.tensor([0, 1]), event(1, 1, ids, noisy))))


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
    progress = Progress(torch.tensor([0, 1]), event(2, 8, noisy.long(), noisy))
    assert status(progress) == status(progress, 0, 1) == "step 2 of 8, 1 token still noisy"
    assert status(progress, 3, 12) == "step 2 of 8, 1 token still noisy, 3 of 12 gaps done"


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


@given(st.lists(st.tuples(st.text("aé€😀 ", max_size=4), st.booleans()), max_size=8))
def test_the_parts_of_a_text_add_up(words: list[tuple[str, bool]]) -> None:
    tokenizer = train_tokenizer("byte_bpe", [TEXT], 300)
    runs = [([token], noisy) for word, noisy in words for token in tokenizer.encode(word)]
    shown = texts(tokenizer, runs)
    assert len(shown) == len(runs)
    at = 0
    while at < len(runs):  # runs of settled tokens, whatever characters their bytes share
        end = next((i for i in range(at, len(runs)) if runs[i][1]), len(runs))
        assert "".join(shown[at:end]) == tokenizer.decode(token for ids, _ in runs[at:end] for token in ids)
        at = end + 1
    settled = [([token for ids, _ in runs for token in ids], False)]
    assert "".join(texts(tokenizer, settled)) == "".join(word for word, _ in words)


@given(st.text("ab \n", max_size=60), st.booleans(), st.booleans(), st.integers(1, 20))
def test_what_is_near_gaps_and_what_is_not_is_everything(text: str, after: bool, before: bool, around: int) -> None:
    head, far, tail = near_gaps(text, after, before, around)
    assert head + far + tail == text
    assert len(head) + len(tail) <= max(around * (after + before), len(text) if not far else 0)
    assert not far or (len(head) >= around // 2 * after and len(tail) >= around // 2 * before)


def many_gaps(tokenizer: Tokenizer, count: int) -> tuple[Document, Layout]:
    text = "".join(f"{i} the old house by the river [MASK: 2 tokens]\n" for i in range(count))
    document = Document.parse(text.encode())
    return document, laid_out(document, tokenizer=tokenizer)


@pytest.mark.parametrize("first", [0, 1, 150, 298, 299, 300])
def test_of_many_gaps_those_at_work_are_drawn(tokenizer: Tokenizer, first: int) -> None:
    document, layout = many_gaps(tokenizer, 300)
    ids, noisy = layout.canvas.ids, layout.canvas.free.clone()
    for slot in layout.slots:
        if slot.gap < first:
            noisy[slot.row] &= torch.arange(ids.shape[1]) >= slot.stop
    scene, console = DocumentScene([document], tokenizer), Console(file=io.StringIO(), width=40, height=12)
    rows = torch.arange(len(layout.rows))
    picture = scene.draw(layout, Progress(rows, event(1, 8, ids, noisy)), 40 * 12)
    assert scene.done == first
    assert len(picture) < 3 * 40 * 12
    shown = frame(picture, "below", console).plain
    assert len(shown.split("\n")) <= 10
    assert f"\n{max(1, min(first, 299))} the old" in f"\n{shown}"
    assert (HOLE * 2 in shown) == (first < 300)


def test_gaps_that_are_not_neighbours_stand_on_lines_of_their_own(tokenizer: Tokenizer) -> None:
    far = b"the old house and " * 30
    document = Document.parse(
        b"one [MASK: 2 tokens] " + far + b"two [MASK: 2 tokens] " + far + b"three [MASK: 2 tokens] end"
    )
    layout = laid_out(document, document, tokenizer=tokenizer, context_length=32)
    assert len(layout.rows) == 6
    rows = torch.tensor([0, 2, 4])
    canvas = layout.canvas.rows(rows)
    scene = DocumentScene([document, document], tokenizer)
    lines = scene.draw(layout, Progress(rows, event(0, 1, canvas.ids, canvas.free))).plain.split("\n")
    ends = [(line[:4], line[-4:], line.count(HOLE)) for line in lines]
    assert ends == [("one ", "nd …", 2), ("… ho", " end", 2), ("… ol", "nd …", 2)]
    assert (scene.done, scene.total) == (0, 6)


class Screen:
    """A terminal of so many lines: takes what a program writes, and knows no other sequences than those it should."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.row = self.column = self.lowest = 0
        self.styles: set[str] = set()

    def write(self, text: str) -> None:
        for sequence, character in re.findall(r"(\x1b\[[?\d;]*[A-Za-z])|(.)", text, re.DOTALL):
            if sequence:
                self._obey(sequence)
            elif character == "\n":
                self.row, self.column = self.row + 1, 0
            elif character == "\r":
                self.column = 0
            else:
                assert character.isprintable(), f"{character!r} reached the terminal"
                self.column += 1
                assert self.column <= self.width
            self.lowest = max(self.lowest, self.row)

    def _obey(self, sequence: str) -> None:
        if sequence[-1] == "A":
            self.row -= int(sequence[2:-1] or 1)
            assert self.row >= 0
        elif sequence[-1] == "m":
            self.styles |= {*sequence[2:-1].split(";")}
        else:
            assert sequence in ("\x1b[2K", "\x1b[?25l", "\x1b[?25h")


HOSTILE = (
    b"\x1b]8;;http://x.example\x07link\x1b]8;;\x07 \x1b[2J\x1b[31m \xc2\x9b2J \xe2\x80\xae \x07\x08\r\x00 [red] [/]"
)


@pytest.mark.parametrize(("width", "height"), [(80, 24), (40, 12), (12, 5), (7, 3)])
def test_s4_the_terminal_is_neither_scrolled_nor_commanded(
    model: Path, monkeypatch: pytest.MonkeyPatch, width: int, height: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("LINES", str(height))
    lines = b"".join(b"%d " % i + HOSTILE + b" [MASK#n%d: 2 tokens]\n" % i for i in range(24))
    seen = run("infill", "-", "-m", model, "--watch", "--watch-delay", 0, stdin=lines, watched=True)
    assert seen.code == 0
    screen = Screen(width, height)
    screen.write(seen.err)
    assert screen.lowest < height
    assert "24 gaps done" in seen.err or width < 80
    assert screen.styles & {"2", "32"}


def test_without_colours_it_can_still_be_read(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    seen = run("infill", "-", "-m", model, "--watch", "--watch-delay", 0, stdin=b"a [MASK: 4 tokens]", watched=True)
    screen = Screen(80, 24)
    screen.write(seen.err)
    assert screen.styles & {"1", "2", "7"}
    assert not [code for code in screen.styles if code and int(code) >= 30]


def test_s4_generated_text_is_made_visible() -> None:
    hostile = "\x1b[2J\x9b31m\u202e\x07"
    tokenizer = train_tokenizer("byte_bpe", [hostile * 50, TEXT], 400)
    ids = torch.tensor([tokenizer.encode(hostile)])
    scene = SampleScene(tokenizer)
    shown = [
        scene.draw(Progress(torch.tensor([0]), event(1, 2, ids, torch.full_like(ids, noisy, dtype=torch.bool)))).plain
        for noisy in (False, True)
    ]
    assert shown[0] == "␛[2J<U+009B>31m<U+202E>␇"
    assert all(character.isprintable() for text in shown for character in text)


def test_s4_whatever_hides_is_shown() -> None:
    hidden = "\x00\x1b\x7f\x9b\r\u061c\u200b\u200e\u2028\u202e\u2060\u2066\u206f\ufeff\ufff9\ud800\U000e0041"
    for character in hidden:
        shown = visible(f"a{character}b")
        assert shown.isprintable()
        assert shown != f"a{character}b"
        assert visible(shown) == shown
    plain = "a\tb\nc\r\nd é 你 👩\u200d💻 \u200c"
    assert visible(plain) == plain
    assert painted("", "fill") == ""
    assert painted_spans(b"a\x1bbc", [(1, 2), (2, 2)], True) == "a\x1b[1;32m␛\x1b[0mbc"
    assert painted_spans(b"a\x1bbc", [(1, 2), (2, 2)], False) == "a␛bc"


def test_watchers_watch_together(tokenizer: Tokenizer) -> None:
    seen: list[object] = []
    both = together(lambda *what: seen.append(("a", *what)), None, lambda *what: seen.append(("b", *what)))
    assert both is not None
    both(1, 2)  # type: ignore[arg-type]
    assert seen == [("a", 1, 2), ("b", 1, 2)]
    assert together() is together(None, None) is None
