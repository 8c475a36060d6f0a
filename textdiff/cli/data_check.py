"""`textdiff data check`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from textdiff.cli.options import AsJson
from textdiff.cli.output import put, put_json
from textdiff.cli.reading_meter import ReadingMeter
from textdiff.cli.tables import aligned
from textdiff.cli.visible import visible
from textdiff.errors import DataError

if TYPE_CHECKING:
    from textdiff.corpus import CorpusReport

EXAMPLES = r"""Examples:
  textdiff data check my/*.txt
  textdiff data check rows.jsonl --column body --json
"""


def check(
    files: Annotated[list[Path], typer.Argument(metavar="FILES…", help="Texts or tables, as for training.")],
    unit: Annotated[
        Literal["file", "blank_line", "line"], typer.Option("--unit", help="What a document of a text file is.")
    ] = "file",
    column: Annotated[str, typer.Option("--column", metavar="NAME", help="The column of a table.")] = "text",
    encoding: Annotated[str, typer.Option("--encoding", metavar="NAME", help="Of texts, as utf-8.")] = "utf-8",
    as_json: AsJson = False,
) -> None:
    """Find what is wrong with a corpus before training does.

    All files are read to their ends. Fails if one of them could not be trained on;
    notes are no failure.
    """
    from textdiff.corpus import ReadOptions, check_corpus
    from textdiff.corpus.checking import size_of

    with ReadingMeter("checking", sum(map(size_of, files))) as meter:
        report = check_corpus(files, ReadOptions(unit, column, encoding), meter)
    if as_json:
        options = {"unit": unit, "column": column, "encoding": encoding}
        rows = [file.plain() for file in report.files]
        common = [found.plain() for found in report.findings]
        found = {"schema": "textdiff.data_check/1", "usable": not report.unusable, **options}
        put_json({**found, "files": rows, "findings": common})
    else:
        put(_page(report))
    if bad := report.unusable:
        raise DataError(
            f"{len(bad)} of {len(report.files)} files cannot be used as they are; the first is {bad[0].path}"
        )


def _page(report: CorpusReport) -> str:
    rows = [("file", "documents", "characters", "bytes", "longest", "errors")]
    for file in report.files:
        numbers = (file.documents, file.characters, file.size, file.longest, file.errors)
        documents, characters, size, longest, errors = (f"{number:,}" for number in numbers)
        rows.append((visible(str(file.path)), documents, characters, size, longest, errors))
    findings = [found for file in report.files for found in file.findings.values()]
    lines = []
    for found in [*findings, *report.findings]:
        lines += [f"{found.level}: {visible(example)}" for example in found.examples]
        lines.append(f"{found.level}: {found.kind}: {found.count:,} in all")
    return aligned(rows) + ("\n" + "\n".join(lines) + "\n" if lines else "")
