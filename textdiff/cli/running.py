"""Runs a command, and turns every way in which it can end into an exit code and at most one line on stderr."""

from __future__ import annotations

import errno
import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from typing import Any

import typer

from textdiff.cli.app import make_command
from textdiff.cli.output import drop_output, flush_output, say
from textdiff.errors import TextdiffError, UsageError, wants_memory

# Click's own class of usage errors: newer versions of typer carry a copy of click inside.
_WrongUsage: Any = typer.BadParameter.__bases__[0]


def run(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        arguments: the words after `textdiff`; by default those of the process.

    Returns:
        The exit code; see `textdiff.errors`.
    """
    given = [*(sys.argv[1:] if arguments is None else arguments)]
    names: list[str] = []
    try:
        with warnings.catch_warnings():
            if not _debug(given):
                warnings.simplefilter("ignore")
            code = _invoke(given, names)
            flush_output()
            return code
    except BrokenPipeError:  # whoever read has seen enough, as `head` does
        drop_output()
        return 0
    except KeyboardInterrupt as stop:
        say(f"textdiff: {str(stop) or 'interrupted'}")
        return 130
    except TextdiffError as error:
        help_for = _help_for(names) if isinstance(error, UsageError) else ""
        return _fail(f"{error}{help_for}", error, given)
    except Exception as error:
        return _unexpected(error, given)


def _invoke(arguments: list[str], names: list[str]) -> int:
    """Parses and runs; `names` collects the path of the command, for hints."""
    command: Any = make_command()
    try:
        with command.make_context("textdiff", [*arguments]) as context:
            names.append(context.command_path)
            names.extend(word for word in arguments[:1] if word in command.commands)
            command.invoke(context)
    except typer.Exit as end:
        return end.exit_code
    except typer.Abort:
        raise KeyboardInterrupt from None
    except _WrongUsage as error:
        names[:] = [error.ctx.command_path] if error.ctx else names
        raise UsageError(error.format_message().rstrip()) from None
    return 0


def _help_for(names: list[str]) -> str:
    return f" (help: {' '.join(names or ['textdiff'])} --help)"


def _fail(message: str, error: BaseException, arguments: Sequence[str]) -> int:
    if _debug(arguments):
        traceback.print_exception(error)
    say(f"textdiff: error: {message}")
    return error.exit_code if isinstance(error, TextdiffError) else 1


def _unexpected(error: Exception, arguments: Sequence[str]) -> int:
    """A want of memory is the machine's, a name that no file can have the user's; anything else is a bug."""
    if wants_memory(error):
        _fail("there is not enough memory for this; make the batch, the context or the model smaller", error, arguments)
        return 6
    if problem := _no_name_of_a_file(error):
        wrong = UsageError(problem)
        wrong.__cause__ = error
        return _fail(problem, wrong, arguments)
    again = "" if _debug(arguments) else "; run it again with --debug to see where"
    return _fail(f"this is a bug in textdiff: {type(error).__name__}: {error}{again}", error, arguments)


def _no_name_of_a_file(error: Exception) -> str | None:
    """What to say where the system was asked for a file whose name is too long or holds a null byte; else None."""
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        return f"{str(error.filename)!r:.60} is no name of a file: file name too long"
    if isinstance(error, ValueError) and "embedded null" in str(error):
        return "there is a null byte in the name of a file"
    return None


def _debug(arguments: Sequence[str]) -> bool:
    asked = "--debug" in [*arguments][: [*arguments, "--"].index("--")]
    return asked or os.environ.get("TEXTDIFF_DEBUG", "") not in ("", "0")
