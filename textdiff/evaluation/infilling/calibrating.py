"""Fits the confidences of a model on gaps whose texts are known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from textdiff.evaluation.infilling.cases import GapCase
from textdiff.evaluation.infilling.methods import answer
from textdiff.evaluation.infilling.ways import Way
from textdiff.infiller import Infiller
from textdiff.infiller.calibration import Calibration

_LEAST = 1e-300


def calibrate(infiller: Infiller, cases: Sequence[GapCase], length: str = "auto", seed: int = 0) -> Calibration:
    """The calibration that makes a confidence the share of such gaps that come back exactly.

    Args:
        infiller: the model; its own calibration is left out of account.
        cases: held-out text with gaps like those that people leave.
        length: what is known of lengths, as in `Way`.
        seed: of the fills.
    """
    raw = replace(infiller, calibration=Calibration())
    log_p, right = [], []
    for case, found in zip(cases, answer(raw, cases, Way("joint", length), seed), strict=True):
        for text, confidence, references in zip(found.texts, found.confidences, case.references, strict=True):
            log_p.append(math.log(max(confidence or 0.0, _LEAST)))
            right.append(text in references)
    return Calibration.fit(log_p, right)
