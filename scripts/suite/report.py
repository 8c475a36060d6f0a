"""One page for a person: what ran where, and every figure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from suite.progress import Progress, Record

_UNSEEN = {"bench", "shape", "curve", "scores", "signature"}


def report(progress: Progress) -> str:
    """Markdown."""
    records = progress.records
    sections = [
        "# GPU suite",
        _environment(records.get("environment")),
        "## Tasks",
        table(
            ("task", "state", "minutes", "slices", "remark"),
            ((n, r.state, f"{r.seconds / 60:.1f}", r.slices, r.message.replace("|", "/")) for n, r in records.items()),
        ),
        *_tests(records.get("tests")),
        *_benches(records),
        *_runs(records),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _environment(record: Record | None) -> str:
    facts = record.result[0] if record is not None and record.result else {}
    return "\n".join(f"- {key}: {value}" for key, value in facts.items() if value not in (None, []))


def _tests(record: Record | None) -> list[str]:
    if record is None or not record.result:
        return []
    found = record.result
    passed = found["tests"] - found["failures"] - found["errors"] - found["skipped"]
    lines = [f"{passed} passed, {found['failures'] + found['errors']} failed, {found['skipped']} skipped."]
    lines += [f"- failed: {name}" for name in found["failed"]]
    lines += [f"- {name}: {value}" for name, value in found["reported"].items()]
    return ["## Tests", "\n".join(lines)]


def _benches(records: dict[str, Record]) -> list[str]:
    sections = []
    for kind in ("bench-training", "bench-sampling"):
        rows = [
            (name.split("/")[1], row) for name, r in records.items() if name.startswith(kind) for row in r.result or ()
        ]
        timed = [(name, row) for name, row in rows if "ratio" in row]
        sized = [(name, row) for name, row in rows if "memory_ratio" in row]
        if not rows:
            continue
        sections.append(f"## {kind}")
        if timed:
            keys = list(dict.fromkeys(key for _, row in timed for key in row if key not in _UNSEEN))
            sections.append(
                table(("", *keys), ((name, *(_number(row.get(key)) for key in keys)) for name, row in timed))
            )
        sections += [f"{name}: memory {row['memory_ratio']:.2f} times less." for name, row in sized]
    return sections


def _runs(records: dict[str, Record]) -> list[str]:
    sections = []
    for name, record in records.items():
        found = record.result
        if not isinstance(found, dict) or "curve" not in found:
            continue
        sections.append(f"## {name}")
        sections.append("\n".join(f"- {key}: {_number(value)}" for key, value in found.items() if key not in _UNSEEN))
        scores = [(s["name"], _number(s["value"]), _number(s["standard_error"]), s["unit"]) for s in found["scores"]]
        sections.append(table(("held-out score", "value", "standard error", "unit"), scores))
        points = [
            (p["step"], f"{p['seconds']:.0f}", f"{p['bits']:.4f} ± {p['standard_error']:.4f}") for p in found["curve"]
        ]
        sections.append(table(("step", "seconds", "bits/token of some held-out windows"), points))
    return sections


def table(head: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def _number(value: Any) -> str:
    if not isinstance(value, float):
        return "" if value is None else str(value)
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
