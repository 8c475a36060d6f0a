"""Networks that can be the body of a diffusion model."""

from textdiff.backbones.base import Backbone, BackboneConfig
from textdiff.backbones.dit import DiT, DiTConfig
from textdiff.backbones.documents import require_separable
from textdiff.backbones.pretrained import PretrainedBackbone, PretrainedBackboneConfig

__all__ = [
    "Backbone",
    "BackboneConfig",
    "DiT",
    "DiTConfig",
    "PretrainedBackbone",
    "PretrainedBackboneConfig",
    "require_separable",
]
