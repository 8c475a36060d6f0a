"""On a GPU that is not there: what has which type, told by tensors that have a shape, a type and a device but no values."""

from __future__ import annotations

from unittest.mock import patch

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from textdiff.backbones.layers import rms_norm


def test_a_norm_keeps_bfloat16() -> None:
    """CUDA's autocast makes norms float32, and attention refuses queries of one type and values of another."""
    there = patch.multiple(torch.cuda, is_available=lambda: True, is_bf16_supported=lambda *_: True)
    with there, FakeTensorMode(), torch.no_grad(), torch.autocast("cuda", torch.bfloat16):
        x, gain = torch.empty(2, 4, dtype=torch.bfloat16, device="cuda"), torch.empty(4, device="cuda")
        assert rms_norm(x, gain).dtype == torch.bfloat16
