"""Two benchmark reports compared, as text and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from textdiff.cli.benchmark_tables import heading, value
from textdiff.cli.tables import aligned
from textdiff.cli.visible import visible

if TYPE_CHECKING:
    from textdiff.evaluation.benchmark import Comparison, Difference
    from textdiff.evaluation.benchmark.comparing import Place

_VERDICTS = {True: "exceeds noise", False: "within noise", None: "noise unknown"}
_LEGEND = """A value ± half of its 95 % interval; where n stands, all n were alike. The errors of A and B are taken as
independent; on the same texts they are not, and the noise is rather smaller. That any line "exceeds noise" where
there is nothing else has a probability of at most 5 % (Holm's procedure over all lines).
"""


def comparison_text(found: Comparison) -> str:
    """A line for each score, and what was not compared and why."""
    rows: list[list[str]] = []
    for place in dict.fromkeys(_place(difference.place) for difference in found.differences):
        rows.append([place, "A", "B", "B - A", ""])
        rows += [_row(difference) for difference in found.differences if _place(difference.place) == place]
    exceeding = sum(difference.exceeds is True for difference in found.differences)
    told = f"{exceeding} of {len(found.differences)} differences exceed noise.\n"
    return "\n".join([aligned(rows), told + _LEGEND, *_left_out(found)])


def comparison_plain(found: Comparison) -> dict[str, Any]:
    """As JSON takes it."""
    differences = [
        {
            **asdict(difference.place),
            "first": difference.first.plain(),
            "second": difference.second.plain(),
            "difference": difference.value,
            "standard_error": difference.standard_error,
            "chance": difference.chance,
            "exceeds_noise": difference.exceeds,
        }
        for difference in found.differences
    ]
    refused = [{**asdict(place), "reason": reason} for place, reason in found.refused]
    return {"differences": differences, "refused": refused, "only_in_one": list(found.alone)}


def _row(difference: Difference) -> list[str]:
    first, second = difference.first, difference.second
    change = replace(first, value=difference.value, standard_error=difference.standard_error)
    changed = ("+" if difference.value > 0 else "") + value(change)
    label = f"  {heading(first.name, first.unit)}"
    return [label, value(first), value(second), changed, _VERDICTS[difference.exceeds]]


def _place(place: Place) -> str:
    parts = (place.model, place.data, place.metric, place.group, place.way, place.setting)
    return visible(", ".join(filter(None, parts)))


def _left_out(found: Comparison) -> Sequence[str]:
    lines = []
    for reason in dict.fromkeys(reason for _, reason in found.refused):
        names = dict.fromkeys(place.name for place, why in found.refused if why == reason)
        lines.append(f"Not compared: {', '.join(names)}: {visible(reason)}.\n")
    if any(found.alone):
        lines.append(f"Scores that only A has: {found.alone[0]}; that only B has: {found.alone[1]}.\n")
    return lines
