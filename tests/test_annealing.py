"""A left-to-right network is led from its causal mask to none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from test_bidirectional import saved
from test_going_on import stopping
from tiny import TEXT, run, save_tiny
from torch import Tensor
from transformers import AutoModelForCausalLM

from textdiff.backbones import visible_with
from textdiff.draws import Draws
from textdiff.errors import ConfigError
from textdiff.infiller import open_checkpoint
from textdiff.recipe.finetuning import finetuning_recipe
from textdiff.recipe.running import PreparedRun
from textdiff.training import TrainingConfig, TrainingJob, train

LENGTH, STEPS, ANNEALED = 16, 6, 4
SETS = [
    f"training.max_steps={STEPS}",
    f"training.attention_annealing_steps={ANNEALED}",
    "training.per_device_train_batch_size=2",
    "training.eval_steps=3",
    "training.eval_windows=2",
    "training.save_steps=2",
    "training.learning_rate=0.01",
    f"context_length={LENGTH}",
]


@pytest.fixture
def text(tmp_path: Path) -> Path:
    (tmp_path / "text.txt").write_text(TEXT)
    return tmp_path / "text.txt"


def test_a_row_sees_itself_what_came_and_a_share_of_what_comes() -> None:
    """0.3 of 4 * 1225 pairs: the share's standard error is 0.0065."""
    draws = Draws.seeded([5, 6, 7, 8])
    seen = visible_with(draws, 50, 0.3)
    later = torch.ones(50, 50, dtype=torch.bool).triu(1)
    assert seen[:, ~later].all()
    assert abs(float(seen[:, later].double().mean()) - 0.3) < 0.026
    assert torch.equal(visible_with(draws, 50, 0.0), ~later.expand(4, -1, -1))
    assert torch.equal(visible_with(draws.rows(torch.tensor([2])), 50, 0.3)[0], seen[2])
    assert not torch.equal(seen[0], seen[1])
    more = visible_with(draws, 50, 0.6)
    assert (more | ~seen).all()  # what was seen once stays to be seen, of the same draw


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
def test_with_nothing_ahead_it_is_the_causal_network_shifted(kind: str, tmp_path: Path) -> None:
    folder = saved(kind, tmp_path / "causal")
    backbone = open_checkpoint(folder).model.backbone
    plain = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager").eval()
    ids = torch.tensor([[5, 6, 7, 8, 9, 10], [11, 12, 13, 14, 15, 16]])
    every, time = torch.ones_like(ids, dtype=torch.bool), torch.zeros(2)
    with torch.no_grad():
        whole = backbone.scores(ids, time, every, every, every)
        with backbone.seeing(visible_with(Draws.seeded([1, 2]), 6, 0.0)):
            found = backbone.scores(ids, time, every, every, every).view(2, 6, -1)
        expected = plain(input_ids=ids).logits
        assert torch.equal(backbone.scores(ids, time, every, every, every), whole)  # and it sees all again
    known = min(found.shape[-1], expected.shape[-1]) - 1
    torch.testing.assert_close(found[:, 1:, :known], expected[:, :-1, :known], rtol=1e-4, atol=1e-4)


def masks_of_a_run(folder: Path, text: Path, output: Path, rows: int) -> tuple[list[tuple[bool, Tensor]], PreparedRun]:
    """Each mask that the network was given, with whether it was in training."""
    output.mkdir()
    start = open_checkpoint(folder)
    recipe = finetuning_recipe(start, str(folder), [str(text)], SETS[:2] + SETS[3:])
    run_ = PreparedRun(recipe, Path(), start)
    model, found = run_.model(), []

    def keep(module: torch.nn.Module, _: Any, given: dict[str, Any]) -> None:
        found.append((module.training, given["attention_mask"] == 0))

    model.backbone.network.base_model.register_forward_pre_hook(keep, with_kwargs=True)
    sizes = {"per_device_train_batch_size": rows, "global_batch_size": 2, "bf16": False}
    config = TrainingConfig(**{**vars(recipe.training), **sizes})
    train(TrainingJob(model, run_.loader(), recipe.objective, config, output, recipe.seed, run_.validation))
    return found, run_


@pytest.mark.parametrize("rows", [1, 2])
def test_every_step_of_a_run_sees_what_it_should(rows: int, text: Path, tmp_path: Path) -> None:
    """The masks of each sample at each step, drawn again one number at a time; held-out text is read in both directions."""
    found, run_ = masks_of_a_run(saved("llama", tmp_path / "base"), text, tmp_path / "run", rows)
    trained = torch.cat([mask for training, mask in found if training]).squeeze(1)
    scored = [mask for training, mask in found if not training]
    assert len(scored) > 0
    assert all(mask.all() for mask in scored)
    assert len(trained) == 2 * STEPS
    for number, mask in enumerate(trained):
        step = number // 2
        seed = run_.loader().batch(number, 1).seeds
        ahead = Draws.seeded(seed).fold(0xA4EAD).uniform(LENGTH * LENGTH)[0].tolist()
        for i in range(LENGTH):
            for j in range(LENGTH):
                open_ = j <= i or step + 1 >= ANNEALED or ahead[i * LENGTH + j] < (step + 1) / ANNEALED
                assert bool(mask[i, j]) == open_, (step, i, j)
    assert not trained[0].all()
    assert trained[2 * ANNEALED - 2].all()


def test_a_run_that_was_stopped_while_annealing_ends_with_the_same_weights(text: Path, tmp_path: Path) -> None:
    folder = saved("llama", tmp_path / "base")
    command = ["finetune", "-m", folder, "--data", text, "--set", *SETS, "data.validation_share=0", "--output"]
    assert run(*command, tmp_path / "whole").code == 0
    with stopping(2):
        assert run(*command, tmp_path / "part").code == 75
    assert run(*command, tmp_path / "part").code == 0
    assert run(*command[:-1], f"training.attention_annealing_steps={STEPS}", "--output", tmp_path / "other").code == 0
    whole, part, other = (load_file(tmp_path / n / "model/model.safetensors") for n in ("whole", "part", "other"))
    assert all(torch.equal(tensor, part[name]) for name, tensor in whole.items())
    assert not all(torch.equal(tensor, other[name]) for name, tensor in whole.items())


def test_what_cannot_be_annealed_is_said_before_a_run_begins(text: Path, tmp_path: Path) -> None:
    save_tiny(tmp_path / "tiny")
    command = ["finetune", "-m", tmp_path / "tiny", "--data", text, "--output", tmp_path / "run", "--set"]
    ended = run(*command, "training.attention_annealing_steps=4")
    assert (ended.code, ended.err.count("\n")) == (3, 1)
    assert "this network has never read from left to right; leave it out" in ended.err
    assert not (tmp_path / "run").exists()


def test_how_much_is_seen_ahead_at_each_step() -> None:
    config = TrainingConfig(max_steps=6, attention_annealing_steps=4)
    assert [config.seen_ahead_at(step) for step in range(6)] == [0.25, 0.5, 0.75, 1, 1, 1]
    assert TrainingConfig().seen_ahead_at(0) == 1
    with pytest.raises(ConfigError, match="attention_annealing_steps must be at most max_steps, 6, got 7"):
        TrainingConfig(max_steps=6, attention_annealing_steps=7)
    with pytest.raises(ConfigError, match="must not be negative, got -1"):
        TrainingConfig(attention_annealing_steps=-1)
