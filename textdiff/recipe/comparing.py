"""What a model to start from reaches on the held-out text, to compare with what becomes of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from textdiff.errors import TextdiffError
from textdiff.files import atomic_write, read_object
from textdiff.metrics import Score
from textdiff.recipe.resuming import say

_KEPT = "state/start-scores.json"


def kept_scores(output: Path) -> list[dict[str, Any]]:
    """The scores of the start, as a run that goes on finds them; none where they could not be kept.

    Raises:
        CheckpointError: the file is damaged.
    """
    scores: list[dict[str, Any]] = read_object(output / _KEPT).get("scores", [])
    return scores


def keep_scores(output: Path, scores: Sequence[Score]) -> list[dict[str, Any]]:
    """Keeps the scores for a run that goes on: training changes the model in place. A full disk does not end the run."""
    plain = [score.plain() for score in scores]
    try:
        (output / _KEPT).parent.mkdir(exist_ok=True)
        atomic_write(output / _KEPT, (json.dumps({"scores": plain}, indent=2) + "\n").encode())
    except (OSError, TextdiffError) as error:
        say(f"the scores before training are not kept: {error}")
    return plain


def pairs(before: Sequence[Score], after: Sequence[Score]) -> list[tuple[Score, Score]]:
    """The scores that training has changed, before and after.

    Only those of one signature: they are of the same text, cut and corrupted alike.
    """
    known = {(score.name, score.signature): score for score in before}
    found = [(known[key], score) for score in after if (key := (score.name, score.signature)) in known]
    return [(old, new) for old, new in found if old.value != new.value]
