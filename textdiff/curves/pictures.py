"""Figures without a display, and without what other users of matplotlib in this process have set."""

from __future__ import annotations

import importlib.util
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textdiff.curves.writing import write_with_folder
from textdiff.errors import ConfigError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = (".png", ".svg", ".pdf")
MISSING = "pictures need matplotlib: pip install matplotlib"
_DOTS_PER_INCH = 130

# Told apart by most people who see colours otherwise, and in print. Source: Okabe and Ito, "Color Universal Design" (2008).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("-", "--", ":")


def can_draw() -> bool:
    """Whether matplotlib is installed."""
    return importlib.util.find_spec("matplotlib") is not None


def new_figure(width: float, height: float) -> Figure:
    """An empty figure; width and height in inches.

    Raises:
        ConfigError: matplotlib is missing.
    """
    if not can_draw():
        raise ConfigError(MISSING)
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=_DOTS_PER_INCH, layout="constrained")


def save_picture(figure: Figure, path: Path) -> None:
    """Writes a figure in one step, in the format that the name ends in.

    Raises:
        DataError: the file cannot be written.
        ResourceError: the disk is full.
    """
    drawn = io.BytesIO()
    figure.savefig(drawn, format=path.suffix[1:].lower())
    write_with_folder(path, drawn.getvalue())


def literal(text: str) -> str:
    """A text that is shown as it stands: between two dollar signs matplotlib looks for formulas."""
    return text.replace("$", r"\$")


def plain_axes(axes: Any) -> None:
    """A light grid, and no frame where nothing is read off."""
    axes.grid(alpha=0.3, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
