"""`textdiff infill`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from textdiff.cli.infill_options import (
    Fills,
    Forbid,
    Length,
    MinConfidence,
    Must,
    Room,
    infill_options,
)
from textdiff.cli.loading import load_infiller
from textdiff.cli.many import fill_many
from textdiff.cli.options import (
    Device,
    Dtype,
    Graphs,
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
from textdiff.cli.ranks import ranks_here
from textdiff.cli.request import Request
from textdiff.cli.single import fill_one
from textdiff.text import gap_markup, mask_tokens

EXAMPLES = rf"""Examples:
  textdiff infill letter.md
  textdiff infill letter.md --seed 7 -o filled.md
  textdiff infill letter.md --diff | patch letter.md
  textdiff infill letter.md -n 5 --min-confidence 0.2
  textdiff infill notes.txt --in-place --mask-token ____
  textdiff infill page.html --span 120:135 --trace trace.html
  textdiff infill letters --glob '*.md' --output filled
  textdiff infill data.jsonl --field text -o filled.jsonl
  echo "He opened the [MASK: 1 word]." | textdiff infill - --json

{gap_markup.HELP}
{mask_tokens.HELP}"""


def infill(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE|DIR|-…", help="Documents, UTF-8, and folders with documents; - reads standard input."
        ),
    ],
    model: Model = "default",
    device: Device = None,
    dtype: Dtype = "float32",
    graphs: Graphs = False,
    output: Annotated[
        str | None,
        typer.Option(
            "--output", "-o", metavar="OUT", help="Write the document there; several go to the folder of this name."
        ),
    ] = None,
    in_place: Annotated[bool, typer.Option("--in-place", help="Replace each FILE, in one step.")] = False,
    diff: Annotated[bool, typer.Option("--diff", help="Print a unified diff that `patch` applies.")] = False,
    steps: Steps = None,
    seed: Seed = 0,
    sampler: SamplerName = None,
    temperature: Temperature = None,
    top_k: TopK = None,
    top_p: TopP = None,
    min_p: MinP = None,
    settings: SamplerSettings = None,
    length: Length = "auto",
    room: Room = None,
    n: Fills = 1,
    min_confidence: MinConfidence = None,
    must: Must = None,
    forbid: Forbid = None,
    mask_token: Annotated[
        str | None,
        typer.Option(
            "--mask-token",
            metavar="TEXT",
            help="What marks a gap instead of [MASK]; see below.",
        ),
    ] = None,
    span: Annotated[
        list[str] | None,
        typer.Option("--span", metavar="START:END", help="Bytes that are a gap; no markup is looked for then."),
    ] = None,
    spans: Annotated[
        Path | None, typer.Option("--spans", metavar="FILE.json", help="The same from a file, with lengths and names.")
    ] = None,
    glob: Annotated[
        list[str] | None,
        typer.Option(
            "--glob", metavar="PATTERN", help="Only such files of a DIR: *.md, docs/**/*.txt; several may be given."
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="In an output folder, replace files that are not from here.")
    ] = False,
    field: Annotated[
        str | None, typer.Option("--field", metavar="NAME", help="FILE has lines of JSON: fill this field of each.")
    ] = None,
    skip_errors: Annotated[
        bool, typer.Option("--skip-errors", help="Pass lines of JSON that are wrong or have no gap on as they are.")
    ] = False,
    watch: Watch = False,
    watch_delay: WatchDelay = 0.05,
    trace: Annotated[
        Path | None, typer.Option("--trace", metavar="OUT.html", help="Write a page that replays the denoising.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a JSON object; of several documents one each, in lines.")
    ] = False,
) -> None:
    """Fill every gap of documents. All bytes outside the gaps stay as they are.

    The filled document goes to standard output, to OUT or back into FILE. Gaps need no length.
    Several documents go to a folder, each as soon as it is filled. A run that was stopped goes
    on where it was when the same command is given again.
    """
    request = Request(
        files=files,
        output=output,
        in_place=in_place,
        diff=diff,
        as_json=as_json,
        patterns=glob or (),
        field=field,
        skip_errors=skip_errors,
        overwrite=overwrite,
        mask_token=mask_token,
        spans=span or (),
        spans_file=spans,
        watch=watch,
        trace=trace,
        dtype=dtype,
    )
    request.check(ranks_here().world)
    options = infill_options(
        sampling(steps, sampler, temperature, top_k, top_p, min_p, settings),
        seed=seed,
        room=room,
        length=length,
        n=n,
        min_confidence=min_confidence,
        must=must or (),
        forbid=forbid or (),
        score=as_json or trace is not None,
    )
    if request.is_many:
        fill_many(request, options, model, lambda: load_infiller(model, device, dtype, graphs))
    elif ranks_here().is_first:
        fill_one(request, options, model, lambda: load_infiller(model, device, dtype, graphs), watch_delay)
