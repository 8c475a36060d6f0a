"""`textdiff generate`."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from textdiff.cli.condition import write_targets
from textdiff.cli.documents import read_input
from textdiff.cli.loading import load_infiller
from textdiff.cli.options import (
    AsJson,
    ClassifierFolder,
    ClassifierWeight,
    Device,
    Dtype,
    Graphs,
    Guidance,
    Guide,
    Label,
    MinP,
    Model,
    SamplerName,
    SamplerSettings,
    Seed,
    Steps,
    Temperature,
    TopK,
    TopP,
    Watch,
    WatchDelay,
    sampling,
)
from textdiff.cli.output import is_terminal, put, put_json, shows_colours
from textdiff.cli.visible import painted, visible
from textdiff.errors import DataError, UsageError

if TYPE_CHECKING:
    from textdiff.infiller import GenerateResult, Infiller

EXAMPLES = r"""Examples:
  textdiff generate
  textdiff generate "It was a dark night" --watch
  textdiff generate "Dear Margaret," -n 3 --max-new-tokens 40 --seed 7
  textdiff generate - --sampler remdm --json < prompt.txt
  textdiff generate "Once" --max-new-tokens 1000 --block-size 32
  textdiff generate --condition source.txt -m runs/mine -o target.txt
  textdiff generate --condition a.jsonl --field de -n 8 --rerank mbr

What the context does not hold is written block after block, each with all
--steps; it sees as much of the text before it as the context holds.

--condition is for models that were trained on pairs of sources and targets
(data.pairs in a recipe). It writes one target for each source, in order: a
line for each line of a text (blank ones stay blank), or each row of a .jsonl
with a field "generated".
"""


def generate(
    prompt: Annotated[
        str | None, typer.Argument(metavar="PROMPT|-", help="Text to go on from; - reads standard input as it is.")
    ] = None,
    model: Model = "default",
    device: Device = None,
    dtype: Dtype = "float32",
    graphs: Graphs = False,
    n: Annotated[int, typer.Option("-n", min=1, max=10_000, metavar="N", help="How many samples.")] = 1,
    max_new_tokens: Annotated[
        int | None,
        typer.Option(
            "--max-new-tokens", min=1, metavar="N", help="Tokens to write, as many as you like; by default 128."
        ),
    ] = None,
    block_size: Annotated[
        int | None,
        typer.Option("--block-size", min=1, metavar="N", help="Write N tokens at a time, from left to right."),
    ] = None,
    cache: Annotated[
        Literal["prefix", "dual"] | None,
        typer.Option("--cache", help="Keep what stands around a block while it is written: faster, not quite exact."),
    ] = None,
    steps: Steps = None,
    sampler: SamplerName = None,
    temperature: Temperature = None,
    top_k: TopK = None,
    top_p: TopP = None,
    min_p: MinP = None,
    settings: SamplerSettings = None,
    guidance: Guidance = None,
    guide: Guide = None,
    classifier: ClassifierFolder = None,
    label: Label = None,
    classifier_weight: ClassifierWeight = None,
    seed: Seed = 0,
    condition: Annotated[
        str | None, typer.Option("--condition", metavar="FILE|-", help="Sources: one a line, or a .jsonl.")
    ] = None,
    field: Annotated[
        str, typer.Option("--field", metavar="NAME", help="The field of a .jsonl with the source.")
    ] = "source",
    rerank: Annotated[
        Literal["likelihood", "mbr"],
        typer.Option("--rerank", help="How one of -n targets is chosen: the likeliest, or that of minimum Bayes risk."),
    ] = "likelihood",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Where targets go instead of standard output.")
    ] = None,
    watch: Watch = False,
    watch_delay: WatchDelay = 0.05,
    as_json: AsJson = False,
) -> None:
    """Write text from nothing, go on from a prompt, or make a target of each source.

    Each sample is printed with its prompt and a line end; several are parted by a line that says ---.
    """
    options = {**sampling(steps, sampler, temperature, top_k, top_p, min_p, settings), "guidance": guidance}
    if guide is not None:
        if guidance is None:
            raise UsageError("--guide goes with --guidance W, how much to lead away from that model")
        options["guide"] = load_infiller(guide, device, dtype, graphs)
    if condition is not None:
        if watch or any(given is not None for given in (prompt, max_new_tokens, block_size, cache, classifier)):
            raise UsageError(
                "--condition takes no prompt, --max-new-tokens, --block-size, --cache, --classifier or --watch"
            )
        write_targets(
            condition,
            field,
            output,
            lambda: load_infiller(model, device, dtype, graphs),
            as_json,
            {**options, "n": n, "seed": seed, "rerank": rerank},
        )
        return
    if output is not None:
        raise UsageError("--output goes with --condition; send samples to a file with >")
    options |= {"n": n, "max_new_tokens": max_new_tokens, "block_size": block_size, "cache": cache, "seed": seed}
    text = _text(prompt)
    infiller = load_infiller(model, device, dtype, graphs)
    options |= _leading(infiller, classifier, label, classifier_weight)
    if watch:
        from textdiff.cli.watch import watch_samples

        with watch_samples(infiller.tokenizer, watch_delay) as on_progress:
            result = infiller.generate(text, on_progress=on_progress, **options)
    else:
        result = infiller.generate(text, **options)
    if steps == "auto":
        print(f"{result.stats.nfe} network calls for {result.samples[0].tokens} tokens", file=sys.stderr)
    if as_json:
        put_json(report(result))
    else:
        _print_samples(result, len(text))


def report(result: GenerateResult) -> dict[str, object]:
    """The JSON object `textdiff.generate/1`."""
    return {
        "schema": "textdiff.generate/1",
        "model": result.model,
        "seed": result.seed,
        "samples": [asdict(sample) for sample in result.samples],
        "stats": asdict(result.stats),
    }


def _leading(infiller: Infiller, classifier: str | None, label: str | None, weight: float | None) -> dict[str, object]:
    """What `Infiller.generate` takes of a classifier."""
    if classifier is None and label is None and weight is None:
        return {}
    if classifier is None or label is None:
        raise UsageError("--classifier goes with --label NAME, and --classifier-weight with both")
    return {"classifier": infiller.classifying(classifier, label), "classifier_weight": weight}


def _text(prompt: str | None) -> str:
    data = read_input("-") if prompt == "-" else os.fsencode(prompt or "")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise DataError(f"the prompt is not UTF-8: byte {error.start} is 0x{data[error.start]:02x}") from None


def _print_samples(result: GenerateResult, given: int) -> None:
    texts = [sample.text for sample in result.samples]
    if is_terminal(sys.stdout):
        colours = shows_colours(sys.stdout)
        texts = [visible(t[:given]) + (painted(t[given:], "fill") if colours else visible(t[given:])) for t in texts]
    put("---\n".join(text if text.endswith("\n") else text + "\n" for text in texts))
