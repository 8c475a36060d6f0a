"""Model, tokenizer and samplers in one object, and the checkpoint folder that it comes from."""

from textdiff.infiller.calibration import Calibration
from textdiff.infiller.checkpoint import Checkpoint
from textdiff.infiller.drafts import LengthOdds
from textdiff.infiller.identity import fingerprint
from textdiff.infiller.infiller import Infiller
from textdiff.infiller.loading import find_model, load, open_checkpoint
from textdiff.infiller.results import (
    Alternative,
    Candidate,
    GapFill,
    GenerateResult,
    InfillResult,
    Sample,
    Stats,
    Target,
)
from textdiff.infiller.samplers import DefaultSamplers, SamplerOptions

__all__ = [
    "Alternative",
    "Calibration",
    "Candidate",
    "Checkpoint",
    "DefaultSamplers",
    "GapFill",
    "GenerateResult",
    "InfillResult",
    "Infiller",
    "LengthOdds",
    "Sample",
    "SamplerOptions",
    "Stats",
    "Target",
    "find_model",
    "fingerprint",
    "load",
    "open_checkpoint",
]
