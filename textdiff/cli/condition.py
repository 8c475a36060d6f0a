"""`textdiff generate --condition`: a target for each source of a file."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textdiff.cli.documents import read_input
from textdiff.cli.output import put, put_json
from textdiff.errors import DataError
from textdiff.files import atomic_write, require_writable

if TYPE_CHECKING:
    from textdiff.infiller import Infiller, Target

WRITTEN = "generated"
"""The field of a row that its target goes to."""


@dataclass(frozen=True)
class Source:
    """A source, the number of its line, and the row of JSON that it stands in, if it does, up to its closing brace."""

    text: str
    line: int
    row: str | None = None


def write_targets(
    name: str,
    field: str,
    output: Path | None,
    load: Callable[[], Infiller],
    as_json: bool,
    options: dict[str, Any],
) -> None:
    """Reads the sources, writes the targets; nothing is written before all of them are there.

    Args:
        name: of the file, or "-".
        field: of the rows of a .jsonl.
        output: where the targets go, or None.
        load: loads what makes them.
        as_json: whether to print one object with all candidates.
        options: of `Infiller.targets`.
    """
    if output is not None:
        require_writable(output)
    rows = name.endswith(".jsonl")
    sources = _sources(name, field, rows)
    infiller = load()
    full = [source for source in sources if source.text.strip()]
    longest, tokenizer = infiller.pair_layout().longest_source, infiller.tokenizer
    for source, ids in zip(full, tokenizer.encode_many([source.text for source in full]), strict=True):
        if len(ids) > longest:
            what = f"{name}:{source.line}: the source has {len(ids)} tokens, and the model reads at most {longest}"
            raise DataError(f"{what}; shorten it")
    from rich.console import Console

    with Console(stderr=True).status("writing") as status:
        found = infiller.targets(
            [source.text for source in full],
            **options,
            one_line=not rows,
            on_done=lambda done: status.update(f"{done} of {len(full)} sources"),
        )
    targets = {source.line: target for source, target in zip(full, found, strict=True)}
    if as_json:
        put_json(_report(infiller.name, options, sources, targets))
        return
    lines = [_written(source, targets[source.line].text if source.line in targets else "") for source in sources]
    product = "".join(line + "\n" for line in lines).encode()
    if output is None:
        put(product)
    else:
        atomic_write(output, product)


def _sources(name: str, field: str, rows: bool) -> list[Source]:
    try:
        text = read_input(name).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{name} is not UTF-8: byte {error.start} is {error.object[error.start]:#04x}") from None
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    if not rows:
        return [Source(line.removesuffix("\r"), number) for number, line in enumerate(lines, 1)]
    return [_source(line, f"{name}:{number}", number, field) for number, line in enumerate(lines, 1) if line.strip()]


def _source(line: str, place: str, number: int, field: str) -> Source:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        raise DataError(f"{place}: this is no JSON object") from None
    if not isinstance(row, dict) or not isinstance(row.get(field), str):
        raise DataError(f"{place}: there is no text in a field {field!r}; --field names the one with the source")
    if WRITTEN in row:
        raise DataError(f"{place}: there is a field {WRITTEN!r} already, and it would be lost; rename it")
    return Source(row[field], number, line.rstrip()[:-1].rstrip())


def _written(source: Source, target: str) -> str:
    """A line of the output: the target, or its row with every byte as it was and the target behind."""
    if source.row is None:
        return target
    return f"{source.row}, {json.dumps(WRITTEN)}: {json.dumps(target, ensure_ascii=False)}}}"


def _report(
    model: str, options: dict[str, Any], sources: Sequence[Source], targets: dict[int, Target]
) -> dict[str, object]:
    """The JSON object `textdiff.targets/1`."""
    made = [targets.get(source.line) for source in sources]
    return {
        "schema": "textdiff.targets/1",
        "model": model,
        "seed": options["seed"],
        "rerank": options["rerank"],
        "targets": [
            {"line": source.line, "source": source.text, **({"text": ""} if target is None else asdict(target))}
            for source, target in zip(sources, made, strict=True)
        ],
        "stats": {"network_calls": sum(target.network_calls for target in targets.values())},
    }
