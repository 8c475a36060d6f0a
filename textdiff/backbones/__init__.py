"""Networks that can be the body of a diffusion model."""

from textdiff.backbones.annealing import visible_with
from textdiff.backbones.base import Backbone, BackboneConfig
from textdiff.backbones.causal import CAUSAL_TYPES, BidirectionalConfig
from textdiff.backbones.dit import DiT, DiTConfig
from textdiff.backbones.documents import require_separable
from textdiff.backbones.lora import LoraConfig, adapt, merge, merged_state
from textdiff.backbones.pretrained import PretrainedBackbone, PretrainedBackboneConfig

__all__ = [
    "CAUSAL_TYPES",
    "Backbone",
    "BackboneConfig",
    "BidirectionalConfig",
    "DiT",
    "DiTConfig",
    "LoraConfig",
    "PretrainedBackbone",
    "PretrainedBackboneConfig",
    "adapt",
    "merge",
    "merged_state",
    "require_separable",
    "visible_with",
]
