"""On a GPU that is not there: what has which type, told by tensors that have a shape, a type and a device but no values."""

from __future__ import annotations

from unittest.mock import patch

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from textdiff.backbones import layers
from textdiff.backbones.layers import rms_norm


def test_a_norm_keeps_bfloat16() -> None:
    """CUDA's autocast makes norms float32, and attention refuses queries of one type and values of another."""
    there = patch.multiple(torch.cuda, is_available=lambda: True, is_bf16_supported=lambda *_: True)
    with there, FakeTensorMode(), torch.no_grad(), torch.autocast("cuda", torch.bfloat16):
        x, gain = torch.empty(2, 4, dtype=torch.bfloat16, device="cuda"), torch.empty(4, device="cuda")
        assert rms_norm(x, gain).dtype == torch.bfloat16


@pytest.mark.parametrize("shape", [(4,), (2, 1, 1, 4)])
def test_torchs_kernel_gives_the_same_norm_and_gradients(shape: tuple[int, ...]) -> None:
    """On a CPU torch makes it of pieces; its values are those of the kernel."""
    generator = torch.Generator().manual_seed(0)
    found = []
    for kernel in (False, True):
        x, gain, pull = (
            torch.randn(size, generator=generator.manual_seed(1)) for size in ((2, 3, 5, 4), shape, (2, 3, 5, 4))
        )
        x.requires_grad_(), gain.requires_grad_()
        with patch.object(layers, "_has_kernel", lambda _, kernel=kernel: kernel):
            y = rms_norm(x, gain)
        (y * pull).sum().backward()
        found.append((y.detach(), x.grad, gain.grad))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(theirs, ours)
