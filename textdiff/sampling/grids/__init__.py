"""At which times the steps end."""

from textdiff.sampling.grids.adaptive import AdaptiveGrid
from textdiff.sampling.grids.base import TimeGrid
from textdiff.sampling.grids.cosine import CosineGrid
from textdiff.sampling.grids.equal_alpha import EqualAlphaGrid
from textdiff.sampling.grids.first_hitting import FirstHittingGrid
from textdiff.sampling.grids.loop import LoopGrid
from textdiff.sampling.grids.profile import ProfileGrid
from textdiff.sampling.grids.resting import RestingGrid
from textdiff.sampling.grids.tail import TailGrid
from textdiff.sampling.grids.uniform import UniformGrid

__all__ = [
    "AdaptiveGrid",
    "CosineGrid",
    "EqualAlphaGrid",
    "FirstHittingGrid",
    "LoopGrid",
    "ProfileGrid",
    "RestingGrid",
    "TailGrid",
    "TimeGrid",
    "UniformGrid",
]
