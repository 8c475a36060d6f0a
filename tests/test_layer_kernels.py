"""Kernels of layers, interpreted on the CPU; on a GPU they are tested in test_gpu.py."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

CHECK = """
import torch
from textdiff.backbones.layer_kernels import gated, turned
from textdiff.backbones.layers import rms_norm, rotary_table, rotate

torch.manual_seed(0)
for dtype, off in ((torch.float32, 1e-5), (torch.bfloat16, 3e-2)):
    for rows, length, heads, size in ((2, 5, 3, 8), (1, 4, 2, 12), (2, 3, 12, 64)):
        qkv = torch.randn(rows, length, 3 * heads * size).to(dtype)
        both, _ = qkv.unflatten(-1, (3, heads, -1)).split((2, 1), dim=-3)
        gains = tuple((1 + torch.randn(size) / 4).to(dtype) for _ in range(2))
        table = rotary_table(length, size, qkv.device, dtype)
        for table in (table, tuple(part[torch.randint(0, length, (rows, length))] for part in table)):
            exact = rotate(rms_norm(both.double(), torch.stack(gains).double().unsqueeze(1)), table)
            found = turned(both, gains, table, 1e-6)
            assert found.dtype == dtype and found.is_contiguous()
            torch.testing.assert_close(found.double(), exact, rtol=off, atol=off)
        value, gate = qkv.double().chunk(2, dim=-1)
        exact = value * torch.nn.functional.silu(gate)
        torch.testing.assert_close(gated(qkv).double(), exact, rtol=off, atol=off)
assert turned(torch.randn(1, 1, 2, 64, 128), gains, table, 1e-6) is None
assert turned(torch.randn(0, 3, 2, 2, 8), gains, table, 1e-6).shape == (0, 3, 2, 2, 8)
"""


def test_they_give_what_torch_gives() -> None:
    pytest.importorskip("triton")
    done = subprocess.run(
        [sys.executable, "-c", CHECK], env=os.environ | {"TRITON_INTERPRET": "1"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
