"""How the noisy part of a row moves from t to s."""

from textdiff.sampling.transitions.accept import AcceptTransition
from textdiff.sampling.transitions.base import Move, Transition, data_posterior
from textdiff.sampling.transitions.euler import EulerTransition
from textdiff.sampling.transitions.fresh_noise import FreshNoiseTransition
from textdiff.sampling.transitions.gibbs import GibbsTransition
from textdiff.sampling.transitions.mask_predict import MaskPredictTransition
from textdiff.sampling.transitions.p2 import P2Transition
from textdiff.sampling.transitions.posterior import PosteriorTransition
from textdiff.sampling.transitions.psi import PsiTransition
from textdiff.sampling.transitions.rdm import RdmTransition
from textdiff.sampling.transitions.tau_leaping import TauLeapingTransition

__all__ = [
    "AcceptTransition",
    "EulerTransition",
    "FreshNoiseTransition",
    "GibbsTransition",
    "MaskPredictTransition",
    "Move",
    "P2Transition",
    "PosteriorTransition",
    "PsiTransition",
    "RdmTransition",
    "TauLeapingTransition",
    "Transition",
    "data_posterior",
]
