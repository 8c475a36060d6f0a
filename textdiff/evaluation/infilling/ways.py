"""The ways in which gaps can be filled, and what comes of it."""

from __future__ import annotations

from dataclasses import dataclass

from textdiff.errors import UsageError, nearest
from textdiff.evaluation.infilling.rows import MANNERS


@dataclass(frozen=True)
class Answer:
    """What was written in the gaps of a case.

    Attributes:
        texts: of each gap.
        confidences: of each gap, or None where the method has none.
        calls: network calls.
    """

    texts: tuple[str, ...]
    confidences: tuple[float | None, ...]
    calls: int


@dataclass(frozen=True)
class Way:
    """A method, and what it is told about lengths.

    Attributes:
        method: `joint` (the infiller, all gaps of a document in one call), the name of one of `MANNERS`, or
            `most_frequent`.
        length: `true` (the tokens of the true text), `words` (its words), `auto`, `model`, `search` (as the infiller's
            option `length`), or a number: so many tokens for every gap.
    """

    method: str
    length: str

    def __str__(self) -> str:
        return f"{self.method}/{self.length}"


BASELINES = (
    *(Way("joint", str(k)) for k in range(1, 9)),
    *(Way(manner.name, "true") for manner in MANNERS[1:]),
    Way("masks_at_once", "words"),
    Way("masks_in_turn", "words"),
    Way("most_frequent", "words"),
    Way("most_frequent", "1"),
)
LENGTHS = ("true", "words", "auto", "model", "search")


def joint_way(length: str) -> Way:
    """The infiller with lengths of this kind.

    Raises:
        UsageError: there is no such kind.
    """
    if length not in LENGTHS and not (length.isdecimal() and 1 <= int(length) <= 10_000):
        raise UsageError(
            f"a length must be a number of tokens or one of {', '.join(LENGTHS)}, got {length!r}."
            f"{nearest(length, LENGTHS)}"
        )
    return Way("joint", length)


def way_of(text: str) -> Way:
    """A way by its name, such as "masks_in_turn/true".

    Raises:
        UsageError: there is no such way.
    """
    method, _, length = text.partition("/")
    methods = [*(manner.name for manner in MANNERS), "most_frequent"]
    if method not in methods:
        raise UsageError(f"no method is named {method!r}.{nearest(method, methods)} Known: {', '.join(methods)}")
    if method == "joint":
        return joint_way(length)
    known = "words or a number" if method == "most_frequent" else "true or words"
    if length != "words" and not (length.isdecimal() if method == "most_frequent" else length == "true"):
        raise UsageError(f"{method} takes the length {known}, got {length!r}")
    return Way(method, length)
