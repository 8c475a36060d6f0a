"""Which noisy positions settle in a step."""

from textdiff.sampling.accept.base import Accept
from textdiff.sampling.accept.dilated import DilatedAccept
from textdiff.sampling.accept.entropy import EntropyAccept
from textdiff.sampling.accept.entropy_bound import EntropyBoundAccept
from textdiff.sampling.accept.factor import FactorAccept
from textdiff.sampling.accept.first_hitting import FirstHittingAccept
from textdiff.sampling.accept.klass import KlassAccept
from textdiff.sampling.accept.left_to_right import LeftToRightAccept
from textdiff.sampling.accept.margin import MarginAccept
from textdiff.sampling.accept.random import RandomAccept
from textdiff.sampling.accept.ranked import RankedAccept
from textdiff.sampling.accept.threshold import ThresholdAccept
from textdiff.sampling.accept.top_k import TopKAccept
from textdiff.sampling.accept.top_probability import TopProbabilityAccept

__all__ = [
    "Accept",
    "DilatedAccept",
    "EntropyAccept",
    "EntropyBoundAccept",
    "FactorAccept",
    "FirstHittingAccept",
    "KlassAccept",
    "LeftToRightAccept",
    "MarginAccept",
    "RandomAccept",
    "RankedAccept",
    "ThresholdAccept",
    "TopKAccept",
    "TopProbabilityAccept",
]
