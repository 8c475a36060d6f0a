"""How the noisy part of a row moves from t to s."""

from textdiff.sampling.transitions.accept import AcceptTransition
from textdiff.sampling.transitions.base import Move, Transition, data_posterior
from textdiff.sampling.transitions.mask_predict import MaskPredictTransition
from textdiff.sampling.transitions.posterior import PosteriorTransition

__all__ = [
    "AcceptTransition",
    "MaskPredictTransition",
    "Move",
    "PosteriorTransition",
    "Transition",
    "data_posterior",
]
