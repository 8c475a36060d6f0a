"""The parts of the page that `trace` writes: the document, its gaps, the legend. All text is escaped here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

from textdiff.cli.recording import Shown
from textdiff.cli.scene import near_gaps
from textdiff.cli.visible import visible

if TYPE_CHECKING:
    from textdiff.infiller import Alternative, GapFill, InfillResult, LengthOdds
    from textdiff.text.document import Document, Gap

AROUND = 600
"""Characters of given text on either side of a gap."""
_LEVELS = 5
"""Colours from improbable to probable; the script has as many."""
_LENGTHS = 8
"""Lengths of a gap that are listed at most, the most probable ones."""


def as_html(text: str) -> str:
    """Any text as it may stand in an element or a quoted attribute."""
    return escape(visible(text).replace("\r", ""))


def document_html(document: Document, fills: Sequence[GapFill], cells: Mapping[int, Sequence[Shown]]) -> str:
    """The document: what is near its gaps, and the gaps, their positions one element each."""
    from textdiff.text.document import Gap

    last = len(document.parts) - 1
    shown: list[str] = []
    for i, (part, text) in enumerate(document.written([None if fill.open else fill.text for fill in fills])):
        if isinstance(part, Gap):
            shown.append(_gap_in_place(part.index, cells[part.index], fills[part.index].open))
            continue
        head, far, tail = near_gaps(text, i > 0, i < last, AROUND)
        left_out = f'<span class="skip">… {len(far.encode()):,} bytes …</span>' if far else ""
        shown.append(as_html(head) + left_out + as_html(tail))
    return "".join(shown)


def gap_html(fill: GapFill, gap: Gap, text: str) -> str:
    """What is known of a gap."""
    number = fill.index + 1
    name = "" if fill.name is None else f" <bdi>{as_html(fill.name)}</bdi>"
    facts = "".join(f"<dt>{term}</dt><dd>{value}</dd>" for term, value in _facts_of(fill, gap))
    return (
        f'<li id="about-{number}"><h3><a href="#gap-{number}">Gap {number}</a>{name}</h3>'
        f'<p class="fill" lang="" dir="auto">{as_html(text)}</p><dl>{facts}</dl></li>'
    )


def facts_html(result: InfillResult) -> str:
    """One line about the run."""
    stats, gaps = result.stats, len(result.gaps)
    facts = [
        f"{gaps:,} {'gap' if gaps == 1 else 'gaps'} filled by <bdi>{as_html(result.model)}</bdi>",
        f"seed {result.seed}",
        f"{stats.steps:,} {'step' if stats.steps == 1 else 'steps'}",
        f"{stats.nfe:,} network {'call' if stats.nfe == 1 else 'calls'}",
        f"{stats.seconds:.1f}\u00a0s",
    ]
    return " · ".join(facts)


def legend_html() -> str:
    """What the colours say."""
    looks = [
        ("noise", "", "noise"),
        ("fresh", "word", "settles in this step"),
        ("back", "word", "goes back to noise"),
    ]
    items = [
        f'<li class="replay" hidden><span class="{look}" aria-hidden="true">{sample}</span> {said}</li>'
        for look, sample, said in looks
    ]
    scale = "".join(f'<i class="p{level}"></i>' for level in range(_LEVELS))
    return "\n".join([*items, f'<li>improbable <span class="scale">{scale}</span> probable</li>'])


def _gap_in_place(index: int, cells: Sequence[Shown], left_open: bool) -> str:
    number = index + 1
    return (
        f'<span class="gap{" open" if left_open else ""}" id="gap-{number}" data-gap="{index}">'
        f'<a class="number" href="#about-{number}" aria-label="Gap {number}">{number}</a>'
        f"{''.join(map(_cell, cells))}</span>"
    )


def _cell(cell: Shown) -> str:
    hidden = "" if cell.text else " hidden"
    if cell.percent is None:
        return f'<span class="settled"{hidden}>{as_html(cell.text)}</span>'
    level = min(_LEVELS - 1, cell.percent * _LEVELS // 100)
    title = f"{cell.percent} % probable when it settled"
    return f'<span class="settled p{level}" title="{title}"{hidden}>{as_html(cell.text)}</span>'


def _facts_of(fill: GapFill, gap: Gap) -> Iterable[tuple[str, str]]:
    if fill.open:
        yield "Left open", "no text was probable enough"
    yield "Asked", f"<code>{as_html(gap.markup)}</code>"
    if fill.score is not None:
        yield "Score", _nats(fill.score)
    yield "Confidence", _share(fill.confidence)
    yield "Saw", f"bytes {fill.visible_bytes[0]:,} to {fill.visible_bytes[1]:,}"
    lengths = sorted(fill.length_considered, key=lambda odds: -odds.probability)[:_LENGTHS]
    if lengths:
        items = (_length(odds) for odds in sorted(lengths, key=lambda odds: odds.tokens))
        yield "Lengths", f"<ol>{''.join(items)}</ol>"
    others = [other for other in fill.alternatives if other.text != fill.text]
    if others:
        yield "Others", f"<ol>{''.join(map(_alternative, others))}</ol>"


def _length(odds: LengthOdds) -> str:
    label = f"{odds.tokens} {'token' if odds.tokens == 1 else 'tokens'}"
    return f'<li><span class="amount">{label}</span> {_share(odds.probability)}</li>'


def _alternative(other: Alternative) -> str:
    return f'<li><bdi>{as_html(other.text)}</bdi> <span class="amount">{_nats(other.score)}</span></li>'


def _share(probability: float) -> str:
    """A probability as a bar and a number."""
    percent = round(100 * max(0.0, min(1.0, probability)))
    said = "&lt; 1" if 0 < probability < 0.005 else f"{percent}"
    return (
        '<svg class="bar" viewBox="0 0 100 1" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect width="{percent}" height="1"/></svg> <span class="amount">{said} %</span>'
    )


def _nats(score: float) -> str:
    return f"{score:.2f} nats".replace("-", "−")
