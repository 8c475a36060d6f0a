"""The infilling benchmark; its protocol stands in `running`."""

from textdiff.evaluation.infilling.calibrating import calibrate
from textdiff.evaluation.infilling.cases import CONTEXT, KINDS, GapCase, check_kind, make_cases
from textdiff.evaluation.infilling.given import given_cases, holds_cases
from textdiff.evaluation.infilling.running import Contrast, InfillReport, Row, evaluate_infilling
from textdiff.evaluation.infilling.scoring import FilledGap
from textdiff.evaluation.infilling.sets import CaseSet, case_sets, cut_cases
from textdiff.evaluation.infilling.ways import BASELINES, LENGTHS, Answer, Way, joint_way, way_of

__all__ = [
    "BASELINES",
    "CONTEXT",
    "KINDS",
    "LENGTHS",
    "Answer",
    "CaseSet",
    "Contrast",
    "FilledGap",
    "GapCase",
    "InfillReport",
    "Row",
    "Way",
    "calibrate",
    "case_sets",
    "check_kind",
    "cut_cases",
    "evaluate_infilling",
    "given_cases",
    "holds_cases",
    "joint_way",
    "make_cases",
    "way_of",
]
