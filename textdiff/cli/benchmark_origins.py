"""Where the figures of a benchmark come from: of each cell its command, and what its signatures say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from textdiff.evaluation.benchmark import Report, ReportCell


@dataclass(frozen=True)
class Origin:
    """The origin of a cell's figures.

    Attributes:
        number, id, command, skipped: of the cell.
        cost: how long it took, and where.
        signature: the parts that all of its figures have.
        details: what more some of them have: which ones, and the parts.
    """

    number: int
    id: str
    command: str
    cost: str
    skipped: str | None
    signature: str
    details: list[tuple[str, str]]


def origins(report: Report) -> Iterator[Origin]:
    """The origin of each cell, in order."""
    for number, cell in enumerate(report.cells, 1):
        common, details = _signatures(cell)
        cost = f"{cell.seconds:.1f} s on {cell.device}"
        yield Origin(number, cell.id, cell.command, cost, cell.skipped, "|".join(common), details)


def _signatures(cell: ReportCell) -> tuple[list[str], list[tuple[str, str]]]:
    """Parts that are the same for all figures of a cell; and by group and way, or for single scores, the others."""
    split = [(figure, figure.score.signature.split("|")) for figure in cell.figures]
    common = [part for part in split[0][1] if all(part in parts for _, parts in split)] if split else []
    details: dict[str, str] = {}
    for figure, parts in split:
        if figure.axis:
            continue
        place = ", ".join(filter(None, (figure.group, figure.way)))
        own = [part for part in parts if part not in common]
        shared = [part for part in own if part in details.get(place, "|".join(own)).split("|")]
        details.setdefault(place, "|".join(shared))
        if len(own) > len(shared):
            details[figure.score.name] = "|".join(part for part in own if part not in shared)
    return common, [(place, parts) for place, parts in details.items() if parts]
