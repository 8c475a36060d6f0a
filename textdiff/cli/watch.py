"""A live view of the denoising, on the terminal that stderr is."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.text import Text

from textdiff.cli.output import is_terminal
from textdiff.cli.scene import NOISE, DocumentScene, SampleScene

if TYPE_CHECKING:
    from textdiff.infiller.writing import Progress
    from textdiff.text.document import Document
    from textdiff.text.layout import Layout
    from textdiff.text.tokenizers import Tokenizer


@contextmanager
def watch_documents(
    documents: Sequence[Document], tokenizer: Tokenizer, delay: float
) -> Iterator[Callable[[Layout, Progress], None] | None]:
    """Yields what `Infiller.infill` calls while it writes these documents; None where stderr is no terminal."""
    scene = DocumentScene(documents, tokenizer)
    with _view(delay) as show:
        if show is None:
            yield None
            return

        def on_progress(layout: Layout, progress: Progress) -> None:
            picture = scene.draw(layout, progress, show.room)
            show(picture, status(progress, scene.done, scene.total))

        yield on_progress


def together(*watchers: Callable[[Layout, Progress], None] | None) -> Callable[[Layout, Progress], None] | None:
    """Calls all of the watchers that there are; None where there are none."""
    present = [watcher for watcher in watchers if watcher is not None]

    def on_progress(layout: Layout, progress: Progress) -> None:
        for watcher in present:
            watcher(layout, progress)

    return on_progress if present else None


@contextmanager
def watch_samples(tokenizer: Tokenizer, delay: float) -> Iterator[Callable[[Progress], None] | None]:
    """Yields what `Infiller.generate` calls while it writes; None where stderr is no terminal."""
    scene = SampleScene(tokenizer)
    with _view(delay) as show:
        yield None if show is None else lambda progress: show(scene.draw(progress), status(progress))


@contextmanager
def _view(delay: float) -> Iterator[_Show | None]:
    console = Console(stderr=True, highlight=False)
    if not is_terminal(sys.stderr) or console.is_dumb_terminal:
        yield None
        return
    # The last picture stays where the result goes elsewhere, and makes way for it where it comes here.
    live = Live(console=console, auto_refresh=False, redirect_stdout=False, transient=is_terminal(sys.stdout))
    with live:
        yield _Show(live, delay)


class _Show:
    """Puts pictures on the screen, and rests after those that are new."""

    def __init__(self, live: Live, delay: float) -> None:
        self._live, self._delay = live, delay
        self._before = ""

    @property
    def room(self) -> int:
        """Characters that fit on the screen."""
        return self._live.console.width * self._live.console.height

    def __call__(self, picture: Text, below: str) -> None:
        self._live.update(frame(picture, below, self._live.console), refresh=True)
        if picture.plain != self._before:  # rows wait for each other, so that many a step shows nothing new
            time.sleep(self._delay)
        self._before = picture.plain


def status(progress: Progress, done: int = 0, gaps: int = 1) -> str:
    """One line about how far it is; `done` of the gaps have been filled, which is said where there are several."""
    event = progress.event
    left = int(event.noisy.sum())
    parts = [
        f"step {event.step} of {max(event.step, event.steps)}",
        f"{left} {'token' if left == 1 else 'tokens'} still noisy",
    ]
    return ", ".join([*parts, f"{done} of {gaps} gaps done"] if gaps > 1 else parts)


def frame(text: Text, below: str, console: Console) -> Text:
    """What fits on the screen: the part of the text where the first noise is, and the status line under it."""
    lines = text.wrap(console, console.width, tab_size=4)
    height = max(1, console.height - 3)
    noisy = [i for i, line in enumerate(lines) if any(span.style == NOISE for span in line.spans)]
    first = noisy[0] if noisy else len(lines)
    top = max(0, min(first - height // 3, len(lines) - height))
    shown = list(lines[top : top + height])
    line = Text(below, style="cyan")
    line.truncate(console.width, overflow="ellipsis")
    return Text("\n", no_wrap=True, overflow="crop").join([*shown, line])
