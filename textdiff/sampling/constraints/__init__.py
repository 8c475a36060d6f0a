"""Which tokens may stand where."""

from textdiff.sampling.constraints.all_of import AllOf
from textdiff.sampling.constraints.base import Constraint
from textdiff.sampling.constraints.count_range import CountRange
from textdiff.sampling.constraints.token_classes import TokenClasses

__all__ = ["AllOf", "Constraint", "CountRange", "TokenClasses"]
