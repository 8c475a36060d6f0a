"""The state of a run: everything that the next step depends on. JSON and safetensors, no pickle."""

from __future__ import annotations

import collections
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from textdiff.errors import CheckpointError
from textdiff.files import atomic_folder, read_json, require_intact, write_json
from textdiff.files.staging import beside
from textdiff.training.ema import ExponentialMovingAverage
from textdiff.training.fingerprint import require_same
from textdiff.training.sharding import fill, like, whole

_WEIGHTS, _AVERAGE, _OPTIMIZER = "weights.safetensors", "average.safetensors", "optimizer-{}.safetensors"
_BEST = "best.safetensors"


@dataclass(frozen=True)
class Progress:
    """Counters of a run.

    Attributes:
        step: optimizer steps done; the position in the data follows from it.
        tokens: free tokens seen.
        skipped: steps whose gradient was not finite.
        seconds: spent in training, over all parts of an interrupted run.
        rows: samples that a process took at once where that number was found by trying, else 0.
        best_step, best_nelbo: of the best evaluation, where evaluations are judged; nats/token of held-out text.
        waited: evaluations since then.
    """

    step: int = 0
    tokens: int = 0
    skipped: int = 0
    seconds: float = 0.0
    rows: int = 0
    best_step: int = 0
    best_nelbo: float | None = None
    waited: int = 0


@dataclass
class Best:
    """The averaged weights of the best evaluation, sharded where the average is; None before the first that is judged."""

    tensors: dict[str, Tensor] | None = None


@dataclass(frozen=True)
class RunState:
    """What is saved and restored. The noise needs no state: it is derived from (seed, sample)."""

    model: nn.Module
    average: ExponentialMovingAverage
    optimizers: list[Optimizer]
    fingerprint: dict[str, Any]
    best: Best = field(default_factory=Best)

    def save(self, folder: Path, progress: Progress, writes: bool) -> None:
        """Writes `folder`, whole or not at all. All processes call it, as weights may be sharded; one `writes`."""
        files = self._files(writes)
        try:
            if writes:
                self._write(folder, progress, files)
        finally:
            collections.deque(files, maxlen=0)  # where a write failed, the others still wait for what is left

    def _files(self, keep: bool) -> Iterator[tuple[str, dict[str, Tensor]]]:
        """The files with their tensors, whole, one file at a time in memory; only to be gathered with others if not `keep`."""
        yield _WEIGHTS, _own(dict(self.model.named_parameters()), keep)
        yield _AVERAGE, _own(self.average.tensors(), keep)
        if self.best.tensors is not None:
            yield _BEST, _own(self.best.tensors, keep)
        for number, optimizer in enumerate(self.optimizers):
            yield _OPTIMIZER.format(number), _own(_flatten(optimizer), keep)

    def _write(self, folder: Path, progress: Progress, files: Iterator[tuple[str, dict[str, Tensor]]]) -> None:
        with atomic_folder(folder) as staging:
            for file, tensors in files:
                save_file(tensors, staging / file)
            layouts = [_layout(optimizer) for optimizer in self.optimizers]
            state = {"progress": asdict(progress), "optimizers": layouts, "fingerprint": self.fingerprint}
            write_json(staging / "state.json", state)

    def load(self, folder: Path) -> Progress:
        """Restores what `save` wrote.

        Raises:
            CheckpointError: the folder is damaged.
            ConfigError: it was written by a run whose fingerprint differs.
        """
        require_intact(folder)
        state = read_json(folder / "state.json")
        require_same(state["fingerprint"], self.fingerprint, str(folder))
        _restore(self.model, load_file(folder / _WEIGHTS), folder)
        self.average.load(load_file(folder / _AVERAGE))
        if (folder / _BEST).exists():
            self.best.tensors = self.average.shaped(load_file(folder / _BEST))
        for number, (optimizer, layout) in enumerate(zip(self.optimizers, state["optimizers"], strict=True)):
            _unflatten(optimizer, load_file(folder / _OPTIMIZER.format(number)), layout)
        return saved_progress(folder)


def saved_progress(folder: Path) -> Progress:
    """How far a run had come when this state was saved."""
    return Progress(**read_json(folder / "state.json")["progress"])


def state_folders(output: Path) -> list[Path]:
    """The saved states of a run, the oldest first."""
    folders = (output / "state").glob("step-*")
    return sorted(f for f in folders if f.is_dir() and re.fullmatch(r"step-\d+", f.name))


def prune(output: Path, keep: int, step: int) -> None:
    """Removes all but the newest `keep` states up to `step`. Newer ones are those of a past that was gone back from: they
    are written over when the run comes to them."""
    for folder in [f for f in state_folders(output) if step_of(f) <= step][:-keep]:
        trash = beside(folder, "trash")  # renamed first, so that a crash leaves no half of a state under its name
        folder.rename(trash)
        shutil.rmtree(trash)


def state_folder(output: Path, step: int) -> Path:
    """Where the state after so many steps is kept."""
    return output / "state" / f"step-{step:08d}"


def step_of(folder: Path) -> int:
    """The step of a state's folder."""
    return int(folder.name.rpartition("-")[2])


def _own(tensors: dict[str, Tensor], keep: bool) -> dict[str, Tensor]:
    """Contiguous copies on the CPU, no two of which share memory, as safetensors wants them; none to `keep` if false."""
    own = {}
    for name, tensor in tensors.items():
        gathered = whole(tensor.detach())
        if keep:
            own[name] = gathered.cpu().contiguous().clone()
    return own


def _flatten(optimizer: Optimizer) -> dict[str, Tensor]:
    """An optimizer's state as tensors named "parameter.key"."""
    return {
        f"{number}.{key}": value
        for number, entries in optimizer.state_dict()["state"].items()
        for key, value in entries.items()
        if isinstance(value, Tensor)
    }


def _layout(optimizer: Optimizer) -> dict[str, Any]:
    """The rest of an optimizer's state as plain data."""
    groups = [{k: v for k, v in group.items() if k != "lr"} for group in optimizer.state_dict()["param_groups"]]
    return {"param_groups": json.loads(json.dumps(groups))}


def _unflatten(optimizer: Optimizer, tensors: dict[str, Tensor], layout: dict[str, Any]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for name, tensor in tensors.items():
        number, key = name.split(".", 1)
        parameter = parameters[int(number)]
        placed = like(tensor, parameter) if tensor.shape == parameter.shape else tensor  # else a count of steps
        state.setdefault(int(number), {})[key] = placed
    current = optimizer.state_dict()["param_groups"]
    if [len(g["params"]) for g in current] != [len(g["params"]) for g in layout["param_groups"]]:
        raise CheckpointError("the saved optimizer has other parameter groups than this run")
    optimizer.load_state_dict({"state": state, "param_groups": current})


def _restore(model: nn.Module, tensors: dict[str, Tensor], folder: Path) -> None:
    own = dict(model.named_parameters())
    if own.keys() != tensors.keys():
        names = ", ".join(sorted(own.keys() ^ tensors.keys())[:5])
        raise CheckpointError(f"the weights in {folder} do not fit this model; they differ in {names}")
    fill(model, tensors)
