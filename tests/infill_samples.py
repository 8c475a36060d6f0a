"""A tiny network that looks at its input, and gap cases, for tests of the infilling benchmark."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from tiny import tiny_checkpoint

from textdiff.evaluation.infilling import GapCase
from textdiff.evaluation.infilling.rows import MANNERS, GapRows, gap_ids, gap_rows
from textdiff.infiller import Infiller
from textdiff.metrics import Score

TEXT = (Path(__file__).parent.parent / "data" / "corpus" / "garden.txt").read_text(encoding="utf8")
MANNER = {manner.name: manner for manner in MANNERS}

CASES = [
    GapCase("several", ("The old ", " by the ", ", and the rain fell."), (("house stood",), ("river",))),
    GapCase("several", ("All day ", " the rain fell on ", " garden"), (("long",), ("the",))),
    GapCase("several", ("", " rain fell. The old '", "' stood by the river"), (("The",), ("house",))),
]


def looking_infiller() -> Infiller:
    checkpoint = tiny_checkpoint(context_length=256)
    torch.manual_seed(2)
    with torch.no_grad():  # an untrained network ignores its input; these weights make it look
        for parameter in checkpoint.model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return Infiller(checkpoint.model, checkpoint.tokenizer, checkpoint.samplers, "tiny")


def rows_of(infiller: Infiller, cases: Sequence[GapCase] = CASES) -> GapRows:
    inside = [gap_ids(case, case.truth, infiller.tokenizer) for case in cases]
    return gap_rows(cases, inside, infiller.tokenizer, 256, seed=5)


def named(found: Sequence[Score]) -> dict[str, Score]:
    return {score.name: score for score in found}
