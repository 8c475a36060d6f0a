"""One process of several that train a small model: `torchrun … rank.py OUTPUT OPTIONS`; see `Plan`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from safetensors.torch import save_file
from test_training import SMALL, job
from torch import Tensor, nn
from transformers import BertConfig

from textdiff.backbones import PretrainedBackboneConfig
from textdiff.errors import TextdiffError
from textdiff.model import DiffusionModel
from textdiff.training import TrainingJob, state_folders, train


def bert(**options: Any) -> PretrainedBackboneConfig:
    """A small network of Hugging Face."""
    sizes = {"vocab_size": 12, "hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 2}
    config = BertConfig(**sizes, intermediate_size=64, max_position_embeddings=32, **options)
    return PretrainedBackboneConfig(network=json.loads(config.to_json_string(use_diff=False)))


@dataclass(frozen=True)
class Plan:
    """What a process does.

    Attributes:
        training: changes of `SMALL`.
        dropout: of the network.
        network: `bert` for one of Hugging Face's in the place of ours.
        most: the rows of a forward pass for which there is memory, by process; none stands for any number.
    """

    training: dict[str, Any] = field(default_factory=dict)
    dropout: float = 0.0
    network: str = "dit"
    most: dict[str, int] = field(default_factory=dict)


def limit(most: int | None, seen: list[int]) -> Callable[..., None]:
    """A hook before a forward pass: it ends as on a device with memory for so many rows."""

    def check(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        rows = len(inputs[0])
        seen.append(rows)
        if most is not None and rows > most:
            raise torch.OutOfMemoryError(f"CUDA out of memory: {rows} rows")

    return check


def make(output: Path, plan: Plan) -> TrainingJob:
    """The job. No layer's weights are all zero, so that every one has a gradient; one parameter is never used."""
    made = job(output, replace(SMALL, **plan.training), plan.dropout)
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(5)
        if plan.network == "bert":
            made = replace(
                made,
                model=DiffusionModel.of(
                    bert(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0), made.model.process, 16
                ),
            )
        made.model.unused = nn.Parameter(torch.ones(4, 4))
        for parameter in made.model.backbone.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return made


def main(output: Path, plan: Plan) -> int:
    state = PartialState(cpu=True)
    made, seen = make(output, plan), []
    made.model.backbone.register_forward_pre_hook(limit(plan.most.get(str(state.process_index)), seen))
    resume = (state_folders(output) or [None])[-1]
    try:
        train(made, resume)
    except TextdiffError as error:
        print(f"textdiff: error: {error}", file=sys.stderr)
        return error.exit_code
    finally:
        (output / f"seen-{state.process_index}.json").write_text(json.dumps(seen))
    if state.is_main_process:
        tensors = {name: p.detach().cpu().contiguous() for name, p in made.model.named_parameters()}
        save_file(tensors, output / "final.safetensors")
    state.destroy_process_group()
    return 0


def words(plan: Plan) -> str:
    """A plan as an argument."""
    return json.dumps(asdict(plan))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Plan(**json.loads(sys.argv[2]))))
