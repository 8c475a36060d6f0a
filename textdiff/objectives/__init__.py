"""Training losses over a process, and unbiased estimates of its bound."""

from textdiff.objectives.base import LossReport, Objective
from textdiff.objectives.cross_entropy import CrossEntropyObjective
from textdiff.objectives.estimators import Corruption, CountForm, Estimator, TimeForm, estimator_for, stratified
from textdiff.objectives.nelbo import NelboObjective

__all__ = [
    "Corruption",
    "CountForm",
    "CrossEntropyObjective",
    "Estimator",
    "LossReport",
    "NelboObjective",
    "Objective",
    "TimeForm",
    "estimator_for",
    "stratified",
]
