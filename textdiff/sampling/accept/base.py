"""Which noisy positions settle in a step."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from textdiff.registry import family
from textdiff.sampling.step import Step


@family
class Accept:
    """A member overrides `plan` (before the network), `choose` (after it), or both.

    Ending is not its business: in a row's last step the sampler settles all that is left.

    Attributes:
        places_are_told: whether what is written so far tells where a step settles, whatever is drawn there.
        settles_some: whether it settles at least one token in every step, as many as it thinks right.
        plans_ahead: whether `plan` decides about each noisy position by itself, from draws and times alone, and all that it
            plans settles. Then all steps are planned before the first one is taken.
    """

    settles_some: ClassVar[bool] = False
    places_are_told: ClassVar[bool] = False
    plans_ahead: ClassVar[bool] = False

    @property
    def compares(self) -> int:
        """With how many earlier answers it compares what the network says now: the H of `Step.drift`. By default with none."""
        return 0

    def plan(self, step: Step) -> Tensor:
        """Bool [B, L]: the noisy positions whose logits are needed. A row with none costs no network call."""
        return step.noisy

    def choose(self, step: Step) -> Tensor:
        """Bool [N]: those of the planned positions that settle, each on its `step.proposal`."""
        return torch.ones_like(step.row, dtype=torch.bool)
