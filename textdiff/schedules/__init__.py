"""Noise schedules."""

from textdiff.schedules.base import Schedule
from textdiff.schedules.cosine import CosineSchedule
from textdiff.schedules.geometric import GeometricSchedule
from textdiff.schedules.linear import LinearSchedule
from textdiff.schedules.linear_beta import LinearBetaSchedule
from textdiff.schedules.polynomial import PolynomialSchedule
from textdiff.schedules.polynomial_beta import PolynomialBetaSchedule

__all__ = [
    "CosineSchedule",
    "GeometricSchedule",
    "LinearBetaSchedule",
    "LinearSchedule",
    "PolynomialBetaSchedule",
    "PolynomialSchedule",
    "Schedule",
]
