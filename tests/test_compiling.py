"""Compiled layers compute what they did before, and where nothing can be compiled that is said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from test_training import SMALL, job, weights
from torch._dynamo.utils import counters

from textdiff.backbones import Backbone
from textdiff.errors import ConfigError
from textdiff.training import train

COMPILED = replace(SMALL, torch_compile=True, max_steps=3, optim="adamw", adam_epsilon=1e-2)


def test_compiled_layers_learn_the_same(tmp_path: Path) -> None:
    torch.compiler.reset()
    plain, compiled = job(tmp_path / "a", replace(COMPILED, torch_compile=False)), job(tmp_path / "b", COMPILED)
    train(plain)
    counters.clear()
    train(compiled)
    assert counters["stats"]["unique_graphs"] == 2  # the last layer's holds for any number of scored positions
    blocks = compiled.model.backbone.repeated()
    assert [block.compiled is not None for block in blocks] == [True, True]  # type: ignore[attr-defined]
    for (name, a), b in zip(weights(plain).items(), weights(compiled).values(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6, msg=name)


def test_without_a_compiler_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.compiler.reset()
    monkeypatch.setattr("torch._inductor.config.cpp.cxx", (None, "/nowhere"))
    monkeypatch.setattr("torch._inductor.config.force_disable_caches", True)
    with pytest.raises(ConfigError, match=r"^training\.torch_compile: .*[Cc]ompiler.*; set it to false, or see"):
        train(job(tmp_path, COMPILED))


def test_a_network_without_layers_refuses() -> None:
    with pytest.raises(ConfigError, match="torch_compile: this network has no layers"):
        Backbone.compile_layers(torch.nn.Identity())  # type: ignore[arg-type]
