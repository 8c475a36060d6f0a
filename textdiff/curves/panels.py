"""Several small plots of one kind side by side: values with intervals along an axis, a curve for each way."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from textdiff.curves.pictures import COLOURS, DASHES, literal, new_figure, plain_axes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MARKS = "os^Dv"


class Point(NamedTuple):
    """A place, the value there, and half of the value's interval."""

    at: float
    value: float
    half: float


@dataclass(frozen=True)
class Curve:
    """Points by rising place; a single one is drawn as a mark."""

    label: str
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Panel:
    """A plot.

    Attributes:
        title, x, y: what it is of, and what its axes say.
        curves: what is drawn.
        doublings: whether the places are drawn so that each doubling takes the same room.
    """

    title: str
    x: str
    y: str
    curves: tuple[Curve, ...]
    doublings: bool = False


def draw_panels(panels: Sequence[Panel]) -> Figure:
    """All panels, in rows of three or two. A label has the same colour, dash and mark in each.

    Raises:
        ConfigError: matplotlib is missing.
    """
    columns = min(len(panels), 2 if len(panels) % 3 else 3)
    rows = -(-len(panels) // columns)
    labels = dict.fromkeys(curve.label for panel in panels for curve in panel.curves)
    styles = dict(zip(labels, itertools.cycle(itertools.product(DASHES, COLOURS)), strict=False))
    figure = new_figure(4.4 * columns, 3.4 * rows + 0.15 * len(labels))
    for number, panel in enumerate(panels):
        axes = figure.add_subplot(rows, columns, number + 1)
        for place, label in enumerate(labels):
            for curve in panel.curves:
                if curve.label == label:
                    _draw(axes, curve, *styles[label], _MARKS[place % len(_MARKS)])
        axes.set(xlabel=literal(panel.x), ylabel=literal(panel.y))
        axes.set_title(literal(panel.title), fontsize=10)
        _scales(axes, panel)
        plain_axes(axes)
    _legend(figure)
    return figure


def _draw(axes: Any, curve: Curve, dash: str, colour: str, mark: str) -> None:
    at, values, halves = zip(*curve.points, strict=True)
    axes.plot(at, values, mark + dash, color=colour, markersize=4, linewidth=1.6, label=literal(curve.label))
    axes.errorbar(at, values, yerr=halves, fmt="none", ecolor=colour, elinewidth=1, capsize=2, alpha=0.45)


def _scales(axes: Any, panel: Panel) -> None:
    """Marks at plain numbers, and nothing below zero where no value is."""
    points = [point for curve in panel.curves for point in curve.points]
    places = [point.at for point in points]
    if panel.doublings:
        axes.set_xscale("log", base=2)
        ticks = [2.0**power for power in range(-1, 12) if min(places) / 1.5 <= 2.0**power <= max(places) * 1.5]
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    elif all(float(place).is_integer() for place in places):
        axes.xaxis.get_major_locator().set_params(integer=True)
    if min(point.value for point in points) >= 0 > axes.get_ylim()[0]:
        axes.set_ylim(bottom=0)


def _legend(figure: Any) -> None:
    """One for all panels, below them."""
    found = {
        label: handle for axes in figure.axes for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    if len(found) > 1:
        figure.legend(found.values(), found.keys(), loc="outside lower center", frameon=False, fontsize=8.5, ncols=2)
