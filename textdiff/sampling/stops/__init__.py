"""When a row is finished before its time."""

from textdiff.sampling.stops.all_settled import AllSettledStop
from textdiff.sampling.stops.base import Stop
from textdiff.sampling.stops.entropy import EntropyStop
from textdiff.sampling.stops.stable_and_confident import StableAndConfidentStop

__all__ = ["AllSettledStop", "EntropyStop", "StableAndConfidentStop", "Stop"]
