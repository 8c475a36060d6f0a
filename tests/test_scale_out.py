"""Several processes: memory that runs out in one of them, and weights that are sharded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from accelerate import FullyShardedDataParallelPlugin
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.utils.launch import prepare_multi_gpu_env
from rank import Plan, make, words
from ranks import Ended, launch
from safetensors.torch import load_file
from torch import Tensor

from textdiff.errors import ConfigError
from textdiff.infiller import load
from textdiff.recipe import load_recipe
from textdiff.training import state_folders, train
from textdiff.training.devices import asked_for, make_accelerator
from textdiff.training.muon import Muon, _orthogonal, orthogonal
from textdiff.training.sharding import Sharding

ROOT = Path(__file__).resolve().parent.parent
EXACT = {"optim": "adamw", "adam_epsilon": 1e-2}  # the sign-like updates of others blow rounding errors up
HALF = {"per_device_train_batch_size": 4}


def several(output: Path, plan: Plan, processes: int = 2, launcher: dict[str, str] | None = None) -> Ended:
    """Trains with several processes."""
    output.mkdir(parents=True, exist_ok=True)
    return launch([ROOT / "tests" / "rank.py", output, words(plan)], processes, launcher)


def trained(output: Path, plan: Plan, processes: int = 2, launcher: dict[str, str] | None = None) -> dict[str, Tensor]:
    """The final weights."""
    ended = several(output, plan, processes, launcher)
    assert ended.returncode == 0, ended.stderr[-3000:]
    return load_file(output / "final.safetensors")


def alone(output: Path, plan: Plan) -> dict[str, Tensor]:
    """The final weights of a single process."""
    made = make(output, plan)
    train(made, (state_folders(output) or [None])[-1])
    return {name: p.detach() for name, p in made.model.named_parameters()}


def assert_close(a: dict[str, Tensor], b: dict[str, Tensor], atol: float = 1e-6) -> None:
    assert a.keys() == b.keys()
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=1e-4, atol=atol, msg=lambda m, name=name: f"{name}: {m}")


def losses(output: Path) -> list[float]:
    records = [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]
    return [record["loss"] for record in records if record["event"] == "step"]


def test_t3_memory_that_runs_out_in_one_process_costs_nothing_but_time(tmp_path: Path) -> None:
    """The other one, which has room, takes smaller parts too; nobody waits for a gradient that will not come."""
    ended = several(tmp_path / "split", Plan({**EXACT, **HALF}, most={"1": 1}))
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert "not enough memory for 4 samples at once: they are split" in ended.stderr
    expected = alone(tmp_path / "whole", Plan({**EXACT, "per_device_train_batch_size": 8}))
    assert_close(expected, load_file(tmp_path / "split" / "final.safetensors"))
    seen = [json.loads((tmp_path / "split" / f"seen-{rank}.json").read_text()) for rank in range(2)]
    # What was too much is not tried again in the steps that follow.
    assert seen[1] == [4, 2, *[1] * 4 * 6]
    assert seen[0] == [4, 2, 2, *[1] * 4 * 6]


def test_t3_a_single_sample_that_is_too_large_ends_all(tmp_path: Path) -> None:
    ended = several(tmp_path, Plan(HALF, most={"1": 0}))
    assert ended.returncode != 0
    assert ended.stderr.count("not enough memory for a batch of 1; make the batch, the context or") == 2


@pytest.mark.parametrize("processes", [2, 3])
def test_the_gradient_of_several_is_that_of_one(tmp_path: Path, processes: int) -> None:
    """Bits of it, too, however the samples are shared out: parts of unequal size included."""
    plan = {**EXACT, "global_batch_size": 12, "per_device_train_batch_size": 4, "max_steps": 3}
    assert_close(alone(tmp_path / "one", Plan(plan)), trained(tmp_path / "many", Plan(plan), processes))


@pytest.mark.parametrize("checkpointing", [False, True])
def test_sharded_weights_learn_what_whole_ones_learn(tmp_path: Path, checkpointing: bool) -> None:
    options = {**EXACT, "eval_steps": 2, "gradient_checkpointing": checkpointing}
    one = alone(tmp_path / "one", Plan({**options, "per_device_train_batch_size": 8}))
    two = trained(tmp_path / "two", Plan({**options, **HALF, "fsdp": True}))
    assert_close(one, two)
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), rel=1e-5)
    # The state has the same files with the same tensors, whole.
    folders = [state_folders(tmp_path / name)[-1] for name in ("one", "two")]
    files = [sorted(file.name for file in folder.iterdir()) for folder in folders]
    assert files[0] == files[1]
    for file in folders[0].glob("*.safetensors"):
        assert_close(load_file(file), load_file(folders[1] / file.name))


@pytest.mark.parametrize("checkpointing", [False, True])
def test_a_network_of_hugging_face_is_sharded_too(tmp_path: Path, checkpointing: bool) -> None:
    options = {**EXACT, "eval_steps": 2, "gradient_checkpointing": checkpointing}
    one = alone(tmp_path / "one", Plan({**options, "per_device_train_batch_size": 8}, network="bert"))
    two = trained(tmp_path / "two", Plan({**options, **HALF, "fsdp": True}, network="bert"))
    assert_close(one, two)


def test_a_step_of_muon_is_torchs() -> None:
    """Of matrices that are taken together, too."""
    torch.manual_seed(0)
    start = [torch.randn(shape) for shape in ((8, 24), (24, 8), (8, 8), (8, 24), (24, 8), (8, 24))]
    each = []
    for kind, options in ((torch.optim.Muon, {"adjust_lr_fn": "match_rms_adamw"}), (Muon, {})):
        matrices = [torch.nn.Parameter(matrix.clone()) for matrix in start]
        optimizer = kind(matrices, lr=0.1, weight_decay=0.2, **options)
        generator = torch.Generator().manual_seed(1)
        for rate in (0.1, 0.05, 0.0):
            optimizer.param_groups[0]["lr"] = rate
            for matrix in matrices:
                matrix.grad = torch.randn(matrix.shape, generator=generator)
            matrices[2].grad = None
            optimizer.step()
        each.append((matrices, optimizer.state_dict()))
    for (a, b), first in zip(zip(each[0][0], each[1][0], strict=True), start, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-6)
        assert torch.equal(b, first) == (first is start[2])
    buffers = [{number: entry["momentum_buffer"] for number, entry in state["state"].items()} for _, state in each]
    assert buffers[0].keys() == buffers[1].keys()
    assert all(torch.equal(buffers[1][number], buffer) for number, buffer in buffers[0].items())


@pytest.mark.parametrize("shape", [(5, 24, 40), (5, 40, 24), (1, 8, 8)])
def test_matrices_become_orthogonal_together_as_they_do_alone(shape: tuple[int, ...]) -> None:
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    together = _orthogonal(matrices.clone(), torch.baddbmm, 5).float()
    alone = orthogonal(matrices).float()
    assert float((together - alone).norm()) <= 0.01 * float(alone.norm())
    low, high = torch.linalg.svdvals(alone).aminmax()
    assert float(low) > 0.5 and float(high) < 1.3


def test_muon_orthogonalises_whole_matrices(tmp_path: Path) -> None:
    """One step: its products are in bfloat16, so that the last bits of a gradient show, and soon show more. A single process
    that takes the batch in two parts comes off as far."""
    options = {"optim": "muon", "adam_epsilon": 1e-2, "max_steps": 1}
    one = alone(tmp_path / "one", Plan({**options, "per_device_train_batch_size": 8}))
    sharded = trained(tmp_path / "sharded", Plan({**options, **HALF, "fsdp": True}))
    start = {name: p.detach() for name, p in make(tmp_path / "start", Plan()).model.named_parameters()}
    for name, before in start.items():
        moved, off = (one[name] - before).norm(), (one[name] - sharded[name]).norm()
        assert off <= 0.03 * moved, f"{name}: off by {off} after a way of {moved}"


@pytest.mark.parametrize("optim", ["adamw", "muon"])
def test_a_run_goes_on_with_sharded_weights_and_without(tmp_path: Path, optim: str) -> None:
    options = {**EXACT, "optim": optim, "lr_scheduler_type": "constant", "global_batch_size": 8, **HALF}
    first, all_ = {**options, "max_steps": 3}, {**options, "max_steps": 6}
    whole = alone(tmp_path / "whole", Plan(all_))
    atol = 1e-6 if optim == "adamw" else 2e-3
    trained(tmp_path / "sharded first", Plan({**first, "fsdp": True}))
    assert_close(whole, alone(tmp_path / "sharded first", Plan(all_)), atol)
    alone(tmp_path / "plain first", Plan(first))
    assert_close(whole, trained(tmp_path / "plain first", Plan({**all_, "fsdp": True})), atol)
    assert len(losses(tmp_path / "sharded first")) == len(losses(tmp_path / "plain first")) == 6


def test_a_sharded_run_that_is_resumed_ends_with_the_same_bits(tmp_path: Path) -> None:
    options = {"lr_scheduler_type": "constant", **HALF, "fsdp": True}
    whole = trained(tmp_path / "whole", Plan(options, dropout=0.3))
    trained(tmp_path / "parts", Plan({**options, "max_steps": 3}, dropout=0.3))
    rest = trained(tmp_path / "parts", Plan(options, dropout=0.3))
    assert all(torch.equal(whole[name], rest[name]) for name in whole)


def test_sharded_weights_cannot_wait_for_a_process_without_memory(tmp_path: Path) -> None:
    ended = several(tmp_path, Plan({**HALF, "fsdp": True}, most={"0": 2, "1": 2}))
    assert ended.returncode != 0
    assert ended.stderr.count("not enough memory for a batch of 4; make the batch, the context or") == 2


def test_the_large_recipe_takes_two_steps_on_two_processes(tmp_path: Path) -> None:
    """All of its structure, in small sizes: twelve layers, sharded, in bfloat16, with as many rows as fit."""
    text = (ROOT / "data" / "corpus" / "garden.txt").read_text(encoding="utf8")
    (tmp_path / "text.txt").write_text(text[:4000])
    (tmp_path / "held-out.txt").write_text(text[4000:4020])  # what is short is scored at most 1,024 times
    sets = [
        "data.train=text.txt",
        "data.validation=held-out.txt",
        "context_length=32",
        "tokenizer.vocab_size=300",
        "backbone.hidden_size=48",
        "training.global_batch_size=8",
        "training.max_steps=2",
        "training.eval_steps=1",
        "training.save_steps=1",
        "training.eval_windows=2",
    ]
    recipe = ROOT / "recipes" / "gpt2-small.yaml"
    asked = load_recipe(recipe, sets)
    assert (asked.training.fsdp, asked.training.bf16, asked.training.per_device_train_batch_size) == (
        True,
        True,
        "auto",
    )
    ended = launch(["-m", "textdiff", "train", recipe, "--output", "run", "--set", *sets], cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert "8 samples a step, 4 at once in each of 2 processes" in ended.stderr
    assert len(losses(tmp_path / "run")) == 0, "the recipe logs every tenth step"
    model = load(tmp_path / "run")
    assert len(model.model.backbone.blocks) == 12
    assert model.infill("It was [MASK: 3 tokens] then.").document.startswith("It was ")
    average = load_file(state_folders(tmp_path / "run")[-1] / "average.safetensors")
    for name, parameter in model.model.named_parameters():
        torch.testing.assert_close(parameter.detach(), average[name], rtol=1e-2, atol=1e-2, msg=name)


def test_the_configuration_for_accelerate_launch_asks_for_what_is_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Accelerate's own launcher reads it; what it tells the processes is what training looks for."""
    words = ["--config_file", str(ROOT / "recipes" / "accelerate" / "fsdp2.yaml"), "train.py"]
    arguments, *_ = _validate_launch_command(launch_command_parser().parse_args(words))
    assert arguments.num_processes == 8
    for key, value in prepare_multi_gpu_env(arguments).items():
        if key.startswith(("ACCELERATE_", "FSDP_")):
            monkeypatch.setenv(key, value)
    assert asked_for("FSDP")
    assert Sharding.of(False, make_accelerator()) is None, "one process holds all"
    assert FullyShardedDataParallelPlugin().reshard_after_forward


FSDP = {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2"}


def test_accelerate_launch_may_ask_for_sharded_weights(tmp_path: Path) -> None:
    """Its options come in the environment."""
    asked = trained(tmp_path / "asked", Plan({**EXACT, **HALF}), launcher=FSDP)
    told = trained(tmp_path / "told", Plan({**EXACT, **HALF, "fsdp": True}))
    assert all(torch.equal(asked[name], told[name]) for name in told)


@pytest.mark.parametrize(
    ("launcher", "said"),
    [
        ({**FSDP, "FSDP_VERSION": "1"}, "was told to use FSDP 1; give --fsdp_version 2"),
        ({**FSDP, "FSDP_ACTIVATION_CHECKPOINTING": "true"}, "set training.gradient_checkpointing=true"),
        ({**FSDP, "FSDP_OFFLOAD_PARAMS": "true"}, "leave out --fsdp_offload_params"),
        ({"ACCELERATE_USE_DEEPSPEED": "true"}, "was told to use DeepSpeed, which textdiff cannot"),
    ],
    ids=["version", "checkpointing", "offload", "deepspeed"],
)
def test_what_accelerate_launch_may_not_ask_for_is_said(
    tmp_path: Path, launcher: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key, value in launcher.items():
        monkeypatch.setenv(key, value)
    with pytest.raises(ConfigError, match=said):
        train(make(tmp_path, Plan()))
