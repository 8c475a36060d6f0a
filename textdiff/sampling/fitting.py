"""Which policies of a sampler fit together."""

from __future__ import annotations

from textdiff.errors import ConfigError
from textdiff.registry import name_of
from textdiff.sampling.accept import Accept, FirstHittingAccept, LeftToRightAccept, RandomAccept
from textdiff.sampling.grids import AdaptiveGrid, FirstHittingGrid, LoopGrid, RestingGrid, TimeGrid
from textdiff.sampling.renoise import NeverRenoise, Renoise
from textdiff.sampling.transitions import AcceptTransition, FreshNoiseTransition, Transition
from textdiff.sampling.warps import Warp


def require_fit(transition: Transition, accept: Accept, renoise: Renoise, grid: TimeGrid) -> None:
    """Raises ConfigError where they do not."""
    if transition.alone:
        _require_alone(transition, accept, renoise)
    if isinstance(transition, FreshNoiseTransition) and not isinstance(renoise, NeverRenoise):
        raise ConfigError("the fresh_noise transition puts back to noise what is not accepted: leave renoise out")
    if isinstance(grid, AdaptiveGrid) and not (
        isinstance(transition, AcceptTransition) and accept.settles_some and isinstance(renoise, NeverRenoise)
    ):
        raise ConfigError(
            "the adaptive grid needs an accept policy that settles some tokens in every step "
            "(dilated, entropy_bound, factor, klass, threshold) and no renoise policy"
        )
    if isinstance(grid, FirstHittingGrid) and not (
        isinstance(transition, AcceptTransition)
        and isinstance(accept, (FirstHittingAccept, LeftToRightAccept))
        and isinstance(renoise, NeverRenoise)
    ):
        raise ConfigError(
            "the first_hitting grid needs the accept policy first_hitting or left_to_right and no renoise policy"
        )

    if renoise.needs_loop and not isinstance(grid, (LoopGrid, RestingGrid)):
        raise ConfigError("this renoise policy acts only while time stands still: it needs the loop grid, or resting")


def require_told_places(transition: Transition, accept: Accept, renoise: Renoise, warps: tuple[Warp, ...]) -> None:
    """Raises ConfigError unless what is written so far tells where each step settles, and is drawn as log_p says."""
    if warps:
        raise ConfigError("with warps such as a temperature a sampler draws from other distributions: leave them out")
    if not (isinstance(transition, AcceptTransition) and isinstance(renoise, NeverRenoise) and accept.places_are_told):
        raise ConfigError(
            "this sampler chooses its places by what it draws, so that an order would look at the answer: "
            "take left_to_right, dilated, margin, top_probability, entropy, entropy_bound or klass"
        )


def _require_alone(transition: Transition, accept: Accept, renoise: Renoise) -> None:
    """That no policy is given which the transition does not heed."""
    heeds = transition.heeds_renoise
    if accept != RandomAccept() or not (heeds or isinstance(renoise, NeverRenoise)):
        rest = "accept" if heeds else "accept and renoise"
        raise ConfigError(f"the {name_of(transition)} transition decides alone what settles: leave {rest} out")
