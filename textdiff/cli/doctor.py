"""`textdiff doctor`."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Annotated

import typer

from textdiff.cli.checks import Asked, Finding, run_checks
from textdiff.cli.checks.hub import is_offline, without_hub
from textdiff.cli.options import AsJson, Model
from textdiff.cli.output import put, put_json, shows_colours
from textdiff.cli.visible import painted, visible
from textdiff.errors import VerificationError

EXAMPLES = r"""Examples:
  textdiff doctor
  textdiff doctor --offline
  textdiff doctor -m runs/mine --json
"""

_STYLES = {"ok": "added", "note": "doubt", "failed": "removed"}
_NAME = 16
_NARROWEST = 60
_TIE = "\N{NO-BREAK SPACE}"


def doctor(
    model: Model = "default",
    offline: Annotated[
        bool, typer.Option("--offline", help="There will be no network: MODEL must be here or in the cache.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check what this machine can do, and say what to do where it cannot.

    Looks at versions, processor, memory, devices and folders, fills a gap with a model,
    and trains a tiny one in a temporary folder: stopped and gone on with, it must come
    out the same. A note needs no action; the exit code is 8 if a check failed.

    The network is not used. A model of the hub is looked for in the cache, and not fetched.
    """
    asked = Asked(model, offline or is_offline())
    findings: list[Finding] = []
    with without_hub():
        for found in run_checks(asked):
            findings += found
            if not as_json:
                put("".join(page(found, shutil.get_terminal_size().columns, shows_colours(sys.stdout))))
    wrong = [finding for finding in findings if finding.status == "failed"]
    if as_json:
        checks = [finding.plain() for finding in findings]
        put_json({"schema": "textdiff.doctor/1", "healthy": not wrong, "checks": checks})
    elif not wrong:
        put(f"\n{_summary(findings)}\n")
    if wrong:
        counted = "1 check" if len(wrong) == 1 else f"{len(wrong)} checks"
        names = ", ".join(finding.name for finding in wrong)
        cause = next((finding.error for finding in wrong if finding.error), None)
        raise VerificationError(f"{counted} failed: {names}") from cause


def page(findings: Sequence[Finding], width: int, colours: bool) -> Iterator[str]:
    """Lines for a person, each with its end: how it is, what was looked at, what was found, and what to do."""
    for (name, status), group in groupby(findings, key=_line):
        members = [*group]
        told = [member.found if name == member.name else f"{member.name}{_TIE}{member.found}" for member in members]
        shown = "FAILED" if status == "failed" else status
        head = f"{shown:<6}  {visible(name):<{_NAME}}  "
        first, *rest = _wrapped(", ".join(told), width, len(head))
        start = painted(f"{shown:<6}", _STYLES[status]) + head[6:] if colours else head
        yield start + first + "\n"
        rest += [
            line for member in members if member.advice for line in _wrapped(f"→ {member.advice}", width, len(head))
        ]
        for line in rest:
            yield " " * len(head) + line + "\n"


def _line(finding: Finding) -> tuple[str, str]:
    """What a line of the page is called, and how its findings are."""
    return (finding.line if finding.status == "ok" and finding.line else finding.name), finding.status


def _wrapped(text: str, width: int, indent: int) -> list[str]:
    """The text in lines that fit beside the names. Paths and commands stay whole, so that they can be copied."""
    room = max(width, _NARROWEST) - indent
    lines = textwrap.wrap(visible(text), room, break_long_words=False, break_on_hyphens=False) or [""]
    return [line.replace(_TIE, " ") for line in lines]


def _summary(findings: Sequence[Finding]) -> str:
    notes = sum(finding.status == "note" for finding in findings)
    counted = {0: "", 1: ", 1 note"}.get(notes, f", {notes} notes")
    return f"healthy: {len(findings)} checks, nothing failed{counted}"
