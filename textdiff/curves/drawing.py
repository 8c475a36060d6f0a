"""Learning curves of one run or several, and curves by noise level."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from textdiff.curves.history import History, Scored, Trained
from textdiff.curves.noise import NoiseCurve
from textdiff.curves.pictures import COLOURS, DASHES, literal, new_figure, plain_axes
from textdiff.curves.runs import Run, differences
from textdiff.curves.series import Line, running_mean, thinned

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_NATS = "nats per token"
_AXES = {
    "mask_share": "share of masked tokens",
    "noise_share": "1 - alpha (0: text, 1: noise)",
    "time": "time t (0: text, 1: noise)",
}
_QUANTITIES = {
    "cross_entropy": "cross-entropy of a masked token (nats)",
    "nelbo_integrand": "integrand of the NELBO (nats per token)",
}


def draw_runs(runs: Sequence[Run], noise: bool = True) -> Figure:
    """Learning curves above, learning rates below; beside them the curves by noise level, if any run has one.

    Raises:
        ConfigError: matplotlib is missing.
    """
    beside = noise and any(run.noise for run in runs)
    figure = new_figure(14 if beside else 9, 6.5)
    grid = figure.add_gridspec(2, 2 if beside else 1, height_ratios=(3, 1), width_ratios=(3, 2) if beside else (1,))
    above = figure.add_subplot(grid[0, 0])
    below = figure.add_subplot(grid[1, 0], sharex=above)
    if len(runs) == 1:
        _one(above, runs[0].history)
    else:
        _several(above, runs)
    _learning_rates(below, runs)
    above.set_ylabel(_NATS)
    above.tick_params(labelbottom=False)
    figure.suptitle(literal(runs[0].name) if len(runs) == 1 else "NELBO of held-out text and of training batches")
    if beside:
        _noise_beside(figure.add_subplot(grid[:, 1]), runs)
    if different := differences(runs):
        figure.supxlabel(f"These runs differ in {', '.join(different)}: their nats are no ranking.", fontsize=9)
    return figure


def draw_noise(curve: NoiseCurve, name: str) -> Figure:
    """The held-out text by noise level.

    Raises:
        ConfigError: matplotlib is missing.
    """
    figure = new_figure(8, 5)
    axes = figure.add_subplot()
    _noise(axes, curve, COLOURS[0], "-", "held-out text, ± 1 standard error")
    _name_noise(axes, [curve])
    axes.legend(loc="best", frameon=False)
    figure.suptitle(f"{literal(name)}: by noise level")
    return figure


def _one(axes: Any, history: History) -> None:
    """Every quantity in its own colour."""
    for name, key, colour in (("training loss", "loss", COLOURS[4]), ("training NELBO", "nelbo", COLOURS[5])):
        line = _line(history.trained, key)
        mean, span = running_mean(line)
        if span > 1:
            axes.plot(*thinned(line), color=colour, alpha=0.25, linewidth=0.8)
            name += f", mean of {span} logged steps"
        axes.plot(*thinned(mean), color=colour, linewidth=1.8, label=name)
    _held_out(axes, history, COLOURS[0], "-", "held-out NELBO, ± 1 standard error")
    if history.finals:
        last = history.finals[-1]
        label = f"at the end: {_figure_of(last)}"
        _finals(axes, history, COLOURS[1], label)
    if history.skipped:
        top = axes.get_xaxis_transform()
        axes.plot(
            history.skipped, [0.99] * len(history.skipped), "v", color="black", transform=top, label="skipped steps"
        )
    _frame(axes, [history])


def _several(axes: Any, runs: Sequence[Run]) -> None:
    """Every run in its own colour: its held-out text, and thin its training."""
    for run, (colour, dash) in zip(runs, _styles(len(runs)), strict=True):
        mean, _ = running_mean(_line(run.history.trained, "nelbo"))
        axes.plot(*thinned(mean), color=colour, linestyle=dash, alpha=0.45, linewidth=0.9)
        scored = run.history.finals or run.history.evaluations
        result = f": {_figure_of(scored[-1])}" if scored else ""
        _held_out(axes, run.history, colour, dash, f"{literal(run.name)}{result}")
        _finals(axes, run.history, colour, None)
    _frame(axes, [run.history for run in runs])
    axes.set_title("thick: held-out, ± 1 standard error; diamond: at the end; thin: training (mean)", fontsize=9)


def _held_out(axes: Any, history: History, colour: str, dash: str, label: str) -> None:
    found = [entry for entry in history.evaluations if math.isfinite(entry.nelbo)]
    steps, values = [entry.step for entry in found], [entry.nelbo for entry in found]
    errors = [entry.standard_error if math.isfinite(entry.standard_error) else 0.0 for entry in found]
    axes.plot(steps, values, dash, marker="o", markersize=3.5, color=colour, linewidth=1.8, label=label)
    low, high = zip(*((v - e, v + e) for v, e in zip(values, errors, strict=True)), strict=True) if found else ((), ())
    axes.fill_between(steps, low, high, color=colour, alpha=0.2, linewidth=0)


def _finals(axes: Any, history: History, colour: str, label: str | None) -> None:
    finals = [entry for entry in history.finals if math.isfinite(entry.nelbo)]
    errors = [entry.standard_error if math.isfinite(entry.standard_error) else 0.0 for entry in finals]
    style = {"fmt": "D", "markersize": 6, "color": colour, "capsize": 3, "zorder": 5}
    steps, values = [entry.step for entry in finals], [entry.nelbo for entry in finals]
    axes.errorbar(steps, values, yerr=errors, label=label, **style)


def _frame(axes: Any, histories: Sequence[History]) -> None:
    """What the curve is about: the fall of the very first steps may leave the picture."""
    plain_axes(axes)
    axes.legend(loc="upper right", framealpha=0.85, edgecolor="none", fontsize=9)
    late: list[float] = []
    every: list[float] = []
    for history in histories:
        begin = history.last_step * 0.04
        for key in ("nelbo", "loss") if len(histories) == 1 else ("nelbo",):
            line, _ = running_mean(_line(history.trained, key))
            every += line.values
            late += [value for step, value in zip(line.steps, line.values, strict=True) if step >= begin]
        scored = [entry.nelbo for entry in (*history.evaluations, *history.finals) if math.isfinite(entry.nelbo)]
        late += scored
        every += scored
    if late and max(every) > min(every):
        margin = 0.08 * (max(late) - min(late)) or 0.1
        axes.set_ylim(min(late) - margin, min(max(late), max(every)) + 2 * margin)


def _learning_rates(axes: Any, runs: Sequence[Run]) -> None:
    for run, (colour, dash) in zip(runs, _styles(len(runs)), strict=True):
        line = thinned(_line(run.history.trained, "learning_rate"))
        axes.plot(*line, dash, color="#555555" if len(runs) == 1 else colour, linewidth=1.4)
    axes.set(xlabel="optimizer steps", ylabel="learning rate", ylim=(0, None))
    axes.ticklabel_format(axis="y", style="sci", scilimits=(-3, 3))
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set_xlim(left=0)
    plain_axes(axes)


def _noise_beside(axes: Any, runs: Sequence[Run]) -> None:
    for run, (colour, dash) in zip(runs, _styles(len(runs)), strict=True):
        if run.noise:
            _noise(axes, run.noise, colour, dash, literal(run.name))
    _name_noise(axes, [run.noise for run in runs if run.noise])
    axes.set_title("held-out text by noise level, ± 1 standard error", fontsize=9)
    if len(runs) > 1:
        axes.legend(loc="best", frameon=False, fontsize=9)


def _noise(axes: Any, curve: NoiseCurve, colour: str, dash: str, label: str) -> None:
    levels, values = [point.level for point in curve.points], [point.value for point in curve.points]
    errors = [point.standard_error or 0.0 for point in curve.points]
    low = [value - error for value, error in zip(values, errors, strict=True)]
    high = [value + error for value, error in zip(values, errors, strict=True)]
    axes.plot(levels, values, dash, marker="o", markersize=3.5, color=colour, linewidth=1.8, label=label)
    axes.fill_between(levels, low, high, color=colour, alpha=0.2, linewidth=0)


def _name_noise(axes: Any, curves: Sequence[NoiseCurve]) -> None:
    kinds = list(dict.fromkeys((curve.axis, curve.quantity) for curve in curves))
    axes.set_xlabel("\n".join(_AXES.get(axis, literal(axis)) for axis, _ in kinds))
    axes.set_ylabel("\n".join(_QUANTITIES.get(quantity, literal(quantity)) for _, quantity in kinds))
    axes.set_xlim(0, 1)
    axes.set_ylim(bottom=0)
    plain_axes(axes)


def _styles(count: int) -> list[tuple[str, str]]:
    """Colours, and where they are used up, dashes."""
    size = len(COLOURS)
    return [(COLOURS[i % size], DASHES[i // size % len(DASHES)]) for i in range(count)]


def _line(trained: Sequence[Trained], key: str) -> Line:
    return Line([entry.step for entry in trained], [float(getattr(entry, key)) for entry in trained])


def _figure_of(scored: Scored) -> str:
    known = math.isfinite(scored.standard_error)
    return f"{scored.nelbo:.3f}" + (f" ± {scored.standard_error:.3f}" if known else "")
