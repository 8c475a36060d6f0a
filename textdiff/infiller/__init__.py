"""Model, tokenizer and samplers in one object, and the checkpoint folder that it comes from."""

from textdiff.infiller.checkpoint import Checkpoint
from textdiff.infiller.infiller import Infiller
from textdiff.infiller.loading import find_model, load, open_checkpoint
from textdiff.infiller.results import GapFill, GenerateResult, InfillResult, Sample, Stats
from textdiff.infiller.samplers import DefaultSamplers, SamplerOptions

__all__ = [
    "Checkpoint",
    "DefaultSamplers",
    "GapFill",
    "GenerateResult",
    "InfillResult",
    "Infiller",
    "Sample",
    "SamplerOptions",
    "Stats",
    "find_model",
    "load",
    "open_checkpoint",
]
