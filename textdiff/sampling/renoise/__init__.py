"""Which settled positions go back to noise."""

from textdiff.sampling.renoise.base import Renoise
from textdiff.sampling.renoise.dfm import DfmRenoise
from textdiff.sampling.renoise.forward_backward import ForwardBackwardRenoise
from textdiff.sampling.renoise.never import NeverRenoise
from textdiff.sampling.renoise.psi import PsiRenoise
from textdiff.sampling.renoise.remdm_cap import RemdmCapRenoise
from textdiff.sampling.renoise.remdm_confidence import RemdmConfidenceRenoise
from textdiff.sampling.renoise.remdm_loop import RemdmLoopRenoise
from textdiff.sampling.renoise.remdm_rescale import RemdmRescaleRenoise

__all__ = [
    "DfmRenoise",
    "ForwardBackwardRenoise",
    "NeverRenoise",
    "PsiRenoise",
    "RemdmCapRenoise",
    "RemdmConfidenceRenoise",
    "RemdmLoopRenoise",
    "RemdmRescaleRenoise",
    "Renoise",
]
