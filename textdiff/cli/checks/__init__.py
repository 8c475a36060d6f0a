"""Checks of this machine and of what is installed on it, for `textdiff doctor`.

A check is a function from what is asked for to findings. It imports what it needs itself, as just that may be broken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from textdiff.cli.checks.arithmetic import check_arithmetic
from textdiff.cli.checks.disk import check_folders
from textdiff.cli.checks.finding import Asked, Finding, failed
from textdiff.cli.checks.hub import check_hub
from textdiff.cli.checks.machine import (
    check_compiler,
    check_devices,
    check_distributed,
    check_memory,
    check_processor,
    check_system,
)
from textdiff.cli.checks.model import check_model
from textdiff.cli.checks.self_test import check_training
from textdiff.cli.checks.versions import check_torch, check_versions
from textdiff.errors import TextdiffError, wants_memory

__all__ = ["CHECKS", "Asked", "Finding", "run_checks"]

Check = Callable[[Asked], Iterable[Finding]]

CHECKS: dict[str, Check] = {
    "system": check_system,
    "versions": check_versions,
    "torch build": check_torch,
    "processor": check_processor,
    "memory": check_memory,
    "devices": check_devices,
    "arithmetic": check_arithmetic,
    "distributed": check_distributed,
    "compiler": check_compiler,
    "folders": check_folders,
    "hub": check_hub,
    "model": check_model,
    "self-test": check_training,
}
"""All checks, the cheap ones first."""


def run_checks(asked: Asked, checks: Mapping[str, Check] | None = None) -> Iterator[list[Finding]]:
    """The findings of each check, as they come. None of them keeps the others from being made."""
    for name, check in (CHECKS if checks is None else checks).items():
        found: list[Finding] = []
        try:
            found.extend(check(asked))
        except Exception as error:
            found.append(_stumbled(name, error))
        yield found


def _stumbled(name: str, error: Exception) -> Finding:
    """A check that could not be made has failed."""
    words = str(error) if isinstance(error, TextdiffError) else f"{type(error).__name__}: {error}"
    if wants_memory(error):
        advice = "Close other programs, or choose a machine with more memory."
    elif isinstance(error, ImportError):
        advice = "Install textdiff again, in a new environment."
    elif isinstance(error, TextdiffError):
        advice = "Mend what is named here, and run textdiff doctor again."
    else:
        advice = "textdiff doctor --debug shows where this happened; please report it with these words."
    return failed(name, words, advice, error)
