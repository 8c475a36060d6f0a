"""What is to be taken away: results, a report, logs, and weights in parts."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

from suite.options import Options
from suite.parts import MANIFEST, archive, split
from suite.progress import Progress, write_json
from suite.report import report

_TAIL = 1 << 18
"""Bytes of the end of a log that are taken away: all of them together are then smaller than a part may be."""
FIXED = 5
"""Files of every slice: progress.json, results.json, report.md, logs.zip and the manifest of the weights."""


def deliver(options: Options, progress: Progress, whole: bool) -> bool:
    """Writes the output folder; returns whether nothing is left to be written.

    With a limit on files, weights come in several slices, and the folder may be emptied between them.

    Args:
        whole: whether all tasks have ended, so that weights are complete.
    """
    output = options.output
    output.mkdir(parents=True, exist_ok=True)
    manifest = _packed(options) if whole else []
    names = [part["name"] for entry in manifest for part in entry["parts"]]
    waiting = [name for name in names if name not in progress.delivered]
    room = len(waiting) if options.max_files is None else options.max_files - FIXED
    for name in waiting[:room]:
        shutil.copyfile(options.work / "parts" / name, output / name)
        progress.delivered.append(name)
    write_json(output / MANIFEST, manifest)
    write_json(output / "results.json", {name: record.result for name, record in progress.records.items()})
    (output / "report.md").write_text(report(progress), encoding="utf8")
    _logs(options.work / "logs", output / "logs.zip")
    progress.save()
    write_json(output / "progress.json", progress.plain())
    return whole and len(waiting) <= room


def _packed(options: Options) -> list[dict[str, Any]]:
    """Every model as an archive in parts, made once."""
    folder, found = options.work / "parts", []
    for model in sorted((options.work / "models").glob("*")):
        entry = folder / f"{model.name}.json"
        if not entry.exists():
            folder.mkdir(exist_ok=True)
            tar = options.work / f"{model.name}.tar"
            archive(model, tar)
            write_json(entry, split(tar, folder))
            tar.unlink()
        found.append(json.loads(entry.read_text(encoding="utf8")))
    return found


def _logs(folder: Path, target: Path) -> None:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as pack:
        for path in sorted(folder.glob("*.txt")):
            with path.open("rb") as file:
                file.seek(max(0, path.stat().st_size - _TAIL))
                pack.writestr(path.name, file.read(_TAIL))
