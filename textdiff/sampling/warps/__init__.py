"""How a distribution over tokens is reshaped before a token is drawn."""

from textdiff.sampling.warps.base import Warp
from textdiff.sampling.warps.cooling import CoolingWarp
from textdiff.sampling.warps.greedy_tail import GreedyTailWarp
from textdiff.sampling.warps.min_p import MinPWarp
from textdiff.sampling.warps.no_repeat_ngram import NoRepeatNgramWarp
from textdiff.sampling.warps.repetition import RepetitionWarp
from textdiff.sampling.warps.temperature import TemperatureWarp
from textdiff.sampling.warps.top_k import TopKWarp
from textdiff.sampling.warps.top_p import TopPWarp

__all__ = [
    "CoolingWarp",
    "GreedyTailWarp",
    "MinPWarp",
    "NoRepeatNgramWarp",
    "RepetitionWarp",
    "TemperatureWarp",
    "TopKWarp",
    "TopPWarp",
    "Warp",
]
