"""What comes out of sampling: at the end, and at each step."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Samples:
    """Finished rows.

    Attributes:
        ids: Long [B, L]; frozen positions and padding as they came.
        log_p: float64 [B, L], the log-probability of each written token when it settled, under the constraint and before
            warps; 0 elsewhere.
        nfe: Long [B], network calls for each row.
        steps: the number of steps that the longest row took.
    """

    ids: Tensor
    log_p: Tensor
    nfe: Tensor
    steps: int


@dataclass(frozen=True)
class Event:
    """A look at the batch while it is written.

    Attributes:
        step: how many steps have been taken by the rows that just moved (the fewest, where they differ).
        steps: how many there are at most.
        ids: Long [B, L], with noise at noisy positions.
        noisy: Bool [B, L].
        log_p: float64 [B, L]; see `Samples`.
    """

    step: int
    steps: int
    ids: Tensor
    noisy: Tensor
    log_p: Tensor
