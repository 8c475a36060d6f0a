"""Fine-tuning by low-rank adapters."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from test_every_class import saved as save_class
from tiny import TEXT, run, senseless_checkpoint
from torch import Tensor, nn

import textdiff
from textdiff.backbones import Backbone, LoraConfig, adapt, merge
from textdiff.backbones.lora import LowRank
from textdiff.errors import ConfigError
from textdiff.infiller import open_checkpoint
from textdiff.model import DiffusionModel


def scores(model: DiffusionModel) -> Tensor:
    ids = torch.arange(5, 15).reshape(2, 5)
    every = torch.ones_like(ids, dtype=torch.bool)
    with torch.no_grad():
        return model.backbone.scores(ids, torch.full((2,), 0.5), ~every, every, every)


def adapters(backbone: Backbone) -> list[LowRank]:
    return [module for module in backbone.modules() if isinstance(module, LowRank)]


@pytest.fixture(params=["dit", "uniform", "bert", "eurobert"])
def model(request: pytest.FixtureRequest, tmp_path: Path) -> DiffusionModel:
    if request.param in ("dit", "uniform"):
        return senseless_checkpoint("uniform" if request.param == "uniform" else "absorbing").model
    return open_checkpoint(save_class(request.param, tmp_path / "base")).model


def test_merged_adapters_say_what_they_said_beside_their_matrices(model: DiffusionModel) -> None:
    """The oracle is each matrix with scale times the product added by hand."""
    before, plain = scores(model), copy.deepcopy(model)
    adapt(model.backbone, LoraConfig(r=3, alpha=6), False)
    torch.testing.assert_close(scores(model), before)  # nothing is changed at first
    torch.manual_seed(2)
    for adapter in adapters(model.backbone):
        nn.init.normal_(adapter.up, 0, 0.3)
    added = {
        name.removesuffix(".parametrizations.weight.original"): parameter
        for name, parameter in model.backbone.named_parameters()
        if name.endswith("original")
    }
    found = adapters(model.backbone)
    assert len(added) == len(found) > 0
    for (name, _), adapter in zip(added.items(), found, strict=True):
        layer = plain.backbone.get_submodule(name)
        layer.weight.data += 2 * adapter.up.data @ adapter.down.data
    expected = scores(plain)
    assert not torch.allclose(expected, before, atol=1e-3)
    torch.testing.assert_close(scores(model), expected, rtol=1e-4, atol=1e-4)
    merge(model.backbone)
    torch.testing.assert_close(scores(model), expected, rtol=1e-4, atol=1e-4)
    assert model.state_dict().keys() == plain.state_dict().keys()
    assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize("rest", [False, True])
def test_only_adapters_are_trained_and_all_of_them(model: DiffusionModel, rest: bool) -> None:
    """Of a network with new tokens what is not in its blocks, too."""
    adapt(model.backbone, LoraConfig(r=2), rest)
    for adapter in adapters(model.backbone):
        nn.init.normal_(adapter.up)  # while it is zero nothing reaches the other one
    ids = torch.arange(5, 15).reshape(2, 5)
    every = torch.ones_like(ids, dtype=torch.bool)
    model.backbone.scores(ids, torch.full((2,), 0.5), ~every, every, every).square().sum().backward()
    reached = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    thin = {name for name, _ in model.named_parameters() if ".parametrizations.weight.0." in name}
    assert thin <= reached
    inside = {id(parameter) for block in model.backbone.repeated() for parameter in block.parameters()}
    outside = {name for name, parameter in model.named_parameters() if id(parameter) not in inside}
    assert reached - thin <= (outside if rest else set())
    assert bool(reached & outside) == rest


def test_a_run_by_the_command_goes_on_and_leaves_a_plain_model(tmp_path: Path) -> None:
    text, base = tmp_path / "text.txt", tmp_path / "base"
    text.write_text(TEXT * 6, encoding="utf8")
    senseless_checkpoint().save(base)
    options = ["-m", base, "--data", text, "--set", "lora.r=2", "training.per_device_train_batch_size=2"]
    options += [
        "training.save_steps=2",
        "training.eval_steps=2",
        "training.learning_rate=0.05",
        "training.eval_windows=2",
    ]
    ended = run("finetune", "--output", tmp_path / "whole", *options, "training.max_steps=4")
    assert ended.code == 0, ended.err
    assert "lora: 2,176 weights are trained, 36,780 stay" in ended.err
    halfway = Path("state") / "step-00000002"
    shutil.copytree(tmp_path / "whole" / halfway, tmp_path / "part" / halfway)
    assert run("finetune", "--output", tmp_path / "part", *options, "training.max_steps=4").code == 0
    first, second, start = (
        load_file(folder / "model.safetensors") for folder in (tmp_path / "whole/model", tmp_path / "part/model", base)
    )
    assert first.keys() == start.keys()
    changed = {name for name, tensor in first.items() if not torch.equal(tensor, start[name])}
    assert changed
    assert all(".blocks." in name and tensor.dim() == 2 for name, tensor in first.items() if name in changed)
    assert second.keys() == first.keys()
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())
    made = textdiff.load(tmp_path / "whole").infill("The [MASK: 2 tokens] house", seed=1)
    assert made.gaps[0].text
    others = run("finetune", "--output", tmp_path / "whole", *options, "training.max_steps=4", "lora.r=3")
    assert others.code == 3
    assert "lora" in others.err


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["lora.r=0"], "r must be at least 1, got 0"),
        (["lora.alpha=0"], "alpha must be above 0, got 0"),
        (["lora.r=2", "training.fsdp=true"], "lora and training.fsdp do not go together"),
    ],
)
def test_what_cannot_be_is_said(words: list[str], reason: str, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text(TEXT, encoding="utf8")
    ended = run("finetune", "--data", tmp_path / "text.txt", "--output", tmp_path / "run", "--set", *words)
    assert ended.code == 3
    assert reason in ended.err
    assert ended.err.count("\n") == 1


def test_a_new_model_has_nothing_to_adapt(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text(TEXT, encoding="utf8")
    (tmp_path / "recipe.yaml").write_text(
        "data: {train: text.txt}\ntokenizer: {kind: characters, vocab_size: 64}\nlora: {r: 2}\ncontext_length: 16\n"
    )
    ended = run("train", tmp_path / "recipe.yaml", "--output", tmp_path / "run")
    assert ended.code == 3
    assert "lora adapts a model that is trained already: it goes with textdiff finetune" in ended.err


def test_a_network_without_blocks_is_refused() -> None:
    class Bare(Backbone):
        def forward(self, *inputs: object, **options: object) -> Tensor:
            raise NotImplementedError

        def output_layer(self) -> tuple[Tensor | None, Tensor | None]:
            return None, None

        def input_embeddings(self) -> nn.Module:
            raise NotImplementedError

    with pytest.raises(ConfigError, match="does not say what its blocks are"):
        adapt(Bare(), LoraConfig(), False)
