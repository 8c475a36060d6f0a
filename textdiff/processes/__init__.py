"""Corruption processes: how tokens turn into noise, and all the maths that follows."""

from textdiff.processes.absorbing import AbsorbingProcess
from textdiff.processes.autoregressive import AutoregressiveProcess
from textdiff.processes.base import ForwardProcess
from textdiff.processes.block import BlockProcess
from textdiff.processes.hybrid import HybridProcess
from textdiff.processes.interpolating import InterpolatingProcess
from textdiff.processes.matrix import MatrixProcess
from textdiff.processes.uniform import UniformProcess

__all__ = [
    "AbsorbingProcess",
    "AutoregressiveProcess",
    "BlockProcess",
    "ForwardProcess",
    "HybridProcess",
    "InterpolatingProcess",
    "MatrixProcess",
    "UniformProcess",
]
