"""How noise is turned into tokens: one loop, and policies around it."""

from textdiff.sampling.accept import Accept
from textdiff.sampling.classifiers import Classifier
from textdiff.sampling.constraints import Automata, Constraint, FillersLast, TokenClasses
from textdiff.sampling.grids import TimeGrid
from textdiff.sampling.guidance import Guidance
from textdiff.sampling.presets import preset, preset_for, preset_names, preset_note, with_auto_steps
from textdiff.sampling.renoise import Renoise
from textdiff.sampling.sampler import Sampler
from textdiff.sampling.samples import Event, Samples
from textdiff.sampling.step import Step, Stream
from textdiff.sampling.stops import Stop
from textdiff.sampling.transitions import Transition
from textdiff.sampling.warps import Warp

__all__ = [
    "Accept",
    "Automata",
    "Classifier",
    "Constraint",
    "Event",
    "FillersLast",
    "Guidance",
    "Renoise",
    "Sampler",
    "Samples",
    "Step",
    "Stop",
    "Stream",
    "TimeGrid",
    "TokenClasses",
    "Transition",
    "Warp",
    "preset",
    "preset_for",
    "preset_names",
    "preset_note",
    "with_auto_steps",
]
