"""The command line. Nothing heavy is imported before a command's body runs."""

from __future__ import annotations

from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command that the arguments (by default those of the process) name; returns its exit code."""
    from textdiff.cli.running import run

    return run(arguments)
