"""What must hold of the result."""

from textdiff.sampling.constraints.automata import Automata
from textdiff.sampling.constraints.base import Constraint
from textdiff.sampling.constraints.fillers import FillersLast
from textdiff.sampling.constraints.token_classes import TokenClasses

__all__ = ["Automata", "Constraint", "FillersLast", "TokenClasses"]
