"""The one seam between networks and everything else."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from textdiff.text.canvas import Canvas


class Denoiser(Protocol):
    """Predicts x_0. `DiffusionModel.denoise` is one; a ten-line function in a test is another."""

    def __call__(self, x_t: Tensor, t: Tensor, canvas: Canvas, where: Tensor) -> Tensor:
        """Logits of the leave-one-out denoiser, p(x_0 at a position | x_t without that position).

        Args:
            x_t: Long [B, L], the noisy ids; frozen positions hold what is given.
            t: float [B], the time of each row.
            canvas: what is given (frozen), what is to be written, what is padding.
            where: Bool [B, L], the positions whose logits are wanted.

        Returns:
            Float [N, V] for the N true positions of `where` in row-major order; -inf at ids that are not writable.
            Positions that are not valid never influence the result.
        """
        ...
