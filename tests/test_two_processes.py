"""Two processes train what one trains with twice the batch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

ROOT = Path(__file__).resolve().parent.parent
OPTIONS = [
    "data.train=text.txt",
    "context_length=32",
    "training.max_steps=4",
    "training.save_steps=4",
    "training.bf16=false",
    "backbone.hidden_size=16",
    "backbone.num_hidden_layers=1",
    "training.optim=adamw",
    "training.adam_epsilon=1e-2",
]


def train(folder: Path, launcher: list[str], rows: int, output: str) -> dict[str, torch.Tensor]:
    sets = [word for option in [*OPTIONS, f"training.per_device_train_batch_size={rows}"] for word in ("--set", option)]
    command = [sys.executable, *launcher, "-m", "textdiff", "train", str(ROOT / "recipes" / "markov.yaml")]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [*command, "--output", output, *sets], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return load_file(folder / output / "model" / "model.safetensors")


def test_two_processes_are_one_with_twice_the_batch(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("abab" * 300 + "aabb" * 200)
    one = train(tmp_path, [], 8, "one")
    two = train(tmp_path, ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"], 4, "two")
    assert one.keys() == two.keys()
    for name in one:
        torch.testing.assert_close(one[name], two[name], rtol=1e-4, atol=1e-6, msg=name)
