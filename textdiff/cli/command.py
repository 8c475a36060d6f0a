"""What our commands have beyond those of typer: options that take several words, and --debug."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from typer.core import TyperCommand

_SEVERAL: dict[str, Callable[[str], bool]] = {
    "--data": lambda word: True,
    "--reference": lambda word: True,
    "--set": lambda word: "=" in word,
}


class Command(TyperCommand):
    """A command to which a shell may give `--data my/*.txt`, and which takes `--debug` (see `running`)."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        given = spread(args)
        words = given[: given.index("--")] if "--" in given else given
        rest = given[len(words) :]
        return super().parse_args(ctx, [word for word in words if word != "--debug"] + rest)


def verbatim(text: str) -> str:
    """Help text whose lines are kept as they are."""
    return "\n\n".join("\b\n" + paragraph for paragraph in text.strip().split("\n\n"))


def spread(words: Sequence[str]) -> list[str]:
    """Repeats an option before each of its further values: `--data a b` becomes `--data a --data b`."""
    result: list[str] = []
    option, first = "", False
    for number, word in enumerate(words):
        if word == "--":
            return [*result, *words[number:]]
        if word.startswith("-") and word != "-":
            name, value, _ = word.partition("=")
            option, first = (name if name in _SEVERAL else ""), not value
        elif option and not first and _SEVERAL[option](word):
            result.append(option)
        elif not first:
            option = ""
        else:
            first = False
        result.append(word)
    return result
