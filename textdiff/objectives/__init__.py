"""Training losses over a process, and unbiased estimates of its bound."""

from textdiff.objectives.base import LossReport, Objective
from textdiff.objectives.cross_entropy import CrossEntropyObjective
from textdiff.objectives.estimators import (
    BlockForm,
    ChainForm,
    Corruption,
    CountForm,
    Estimator,
    LevelNats,
    TimeForm,
    estimator_for,
    stratified,
)
from textdiff.objectives.hits import HitForm
from textdiff.objectives.nelbo import NelboObjective
from textdiff.objectives.positions import position_nats, spread_levels

__all__ = [
    "BlockForm",
    "ChainForm",
    "Corruption",
    "CountForm",
    "CrossEntropyObjective",
    "Estimator",
    "HitForm",
    "LevelNats",
    "LossReport",
    "NelboObjective",
    "Objective",
    "TimeForm",
    "estimator_for",
    "position_nats",
    "spread_levels",
    "stratified",
]
