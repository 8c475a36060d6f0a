"""Options that several commands have, checked before anything is loaded."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from textdiff.errors import ConfigError, UsageError


def _at_least_0(value: float | None) -> float | None:
    if value is not None and not (value >= 0 and math.isfinite(value)):
        raise typer.BadParameter(f"{value} is not a finite number of at least 0.")
    return value


def _steps(value: str | None) -> Any:
    """A number of at least 1, or the word."""
    if value is None or value == "auto":
        return value
    if not value.strip().isdecimal() or int(value) < 1:
        raise typer.BadParameter(f"{value!r} is neither a number of at least 1 nor the word auto.")
    return int(value)


def _share(value: float | None) -> float | None:
    if value is not None and not 0 <= value <= 1:
        raise typer.BadParameter(f"{value} is not from 0 to 1.")
    return value


def _top_p(value: float | None) -> float | None:
    if value is not None and not 0 < value <= 1:
        raise typer.BadParameter(f"{value} is not above 0 and at most 1.")
    return value


def _delay(value: float) -> float:
    if not 0 <= value <= 60:
        raise typer.BadParameter(f"{value} is not between 0 and 60 seconds.")
    return value


Model = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        metavar="MODEL",
        help="'default', a checkpoint folder, a run's folder, a folder with a masked language model, or a hub name.",
    ),
]
Device = Annotated[
    str | None,
    typer.Option(
        "--device", metavar="DEVICE", help="cpu, cuda or cuda:N; by default a CUDA device where there is one."
    ),
]
Dtype = Annotated[
    Literal["float32", "bfloat16", "auto"],
    typer.Option("--dtype", help="Of the network. bfloat16 is faster where the device has units for it: auto."),
]
Graphs = Annotated[
    bool,
    typer.Option("--graphs", help="On a CUDA device: layers run as CUDA graphs, faster for few rows."),
]
Steps = Annotated[
    str | None,
    typer.Option(
        "--steps",
        metavar="N|auto",
        callback=_steps,
        help="Refinement steps: more is slower, better; auto takes what accept.gamma nats of error a step need.",
    ),
]
Seed = Annotated[int, typer.Option("--seed", metavar="S", help="Any integer; the same one gives the same result.")]
Detokenize = Annotated[
    Literal["wikitext", "ptb", "lm1b", "moses"] | None,
    typer.Option("--detokenize", help="Put the tokens of such a set together to plain text."),
]
SamplerName = Annotated[
    str | None,
    typer.Option("--sampler", metavar="NAME|FILE.yaml", help="How tokens settle; `textdiff list sampler` names all."),
]
Temperature = Annotated[
    float | None,
    typer.Option(
        "--temperature", metavar="X", callback=_at_least_0, help="Below 1 plainer, above 1 wilder; 0 is greedy."
    ),
]
TopK = Annotated[int | None, typer.Option("--top-k", min=1, metavar="K", help="Only the K most probable tokens.")]
TopP = Annotated[
    float | None,
    typer.Option("--top-p", metavar="P", callback=_top_p, help="Only the most probable tokens that together reach P."),
]
MinP = Annotated[
    float | None,
    typer.Option(
        "--min-p", metavar="P", callback=_share, help="Only tokens at least P times as probable as the best one."
    ),
]
SamplerSettings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="A.B=VALUE…", help="Change keys of the sampler, such as accept.threshold=0.8."),
]
Guidance = Annotated[
    float | None,
    typer.Option(
        "--guidance",
        metavar="W",
        callback=_at_least_0,
        help="How much more of the prompt or source: 1 is none, 2 a good deal; twice the network calls.",
    ),
]
Guide = Annotated[
    str | None,
    typer.Option("--guide", metavar="MODEL", help="Guide away from this worse model, not from the missing prompt."),
]
ClassifierFolder = Annotated[
    str | None,
    typer.Option("--classifier", metavar="FOLDER", help="Guide towards a label of this sequence classifier."),
]
Label = Annotated[str | None, typer.Option("--label", metavar="NAME", help="The label of --classifier.")]
ClassifierWeight = Annotated[
    float | None,
    typer.Option("--classifier-weight", metavar="G", callback=_at_least_0, help="How often its word counts: 1, once."),
]
Watch = Annotated[bool, typer.Option("--watch", help="Show the denoising live on a terminal.")]
WatchDelay = Annotated[
    float, typer.Option("--watch-delay", metavar="SECONDS", callback=_delay, help="Pause after each step shown.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Data = Annotated[
    list[Path],
    typer.Option(
        "--data", metavar="FILE…", help="One or more texts, .gz and .xz too, or .jsonl, .csv, .parquet tables."
    ),
]
VocabSize = Annotated[
    int | None, typer.Option("--vocab-size", min=1, metavar="N", help="Ids at most, if it is trained: 8192.")
]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="A.B=VALUE…", help="Change keys of the recipe; values in YAML.")
]


def check_sampler(name: str | None) -> None:
    """Raises a UsageError if it is neither the name of a preset nor a file that describes a sampler."""
    from textdiff.infiller.samplers import sampler_of

    if name is not None:
        try:
            sampler_of(name)
        except ConfigError as error:
            raise UsageError(str(error)) from None


def sampling(
    steps: str | None,
    sampler: str | None,
    temperature: float | None,
    top_k: int | None,
    top_p: float | None,
    min_p: float | None,
    settings: list[str] | None,
) -> dict[str, Any]:
    """The sampling options as `Infiller` takes them."""
    check_sampler(sampler)
    return {
        "steps": steps,
        "sampler": sampler,
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "min_p": min_p,
        "settings": settings or [],
    }
