"""How a distribution over tokens is reshaped before a token is drawn."""

from textdiff.sampling.warps.base import Warp
from textdiff.sampling.warps.min_p import MinPWarp
from textdiff.sampling.warps.temperature import TemperatureWarp
from textdiff.sampling.warps.top_k import TopKWarp
from textdiff.sampling.warps.top_p import TopPWarp

__all__ = ["MinPWarp", "TemperatureWarp", "TopKWarp", "TopPWarp", "Warp"]
