"""Regular expressions of Python's `re`, as `re.fullmatch` reads them, compiled to automata.

The syntax is read by the standard library's own parser and the character sets are asked of `re` itself, so both are
exactly Python's. No ready-made compiler is: of 48 patterns, tried on 432 texts, 28 agreed with `re.fullmatch` in
llguidance, 24 in outlines-core, 20 in interegular and 11 in greenery, against 46 here, where the other two are refused.
"""

from __future__ import annotations

import re
import warnings
from functools import lru_cache
from typing import Any

from textdiff.errors import DataError
from textdiff.text.alphabet import CharacterSet
from textdiff.text.determinise import determinise
from textdiff.text.dfa import Language
from textdiff.text.program import END, REST, Fork, Look, Node, Program, Read, TooComplexError

# The parser of `re` has no public name. Its tree has kept its shape since Python 2; a node that a later version adds
# is refused like any other construct that is not known here.
from re import _constants as sre  # type: ignore[attr-defined]  # isort: skip
from re import _parser as sre_parser  # type: ignore[attr-defined]  # isort: skip

MAX_NODES = 50_000
"""Of a program: repeats are written out."""
MAX_CHARACTERS = 200_000
"""Of a pattern."""

_CLASSES = {
    sre.CATEGORY_DIGIT: r"\d",
    sre.CATEGORY_NOT_DIGIT: r"\D",
    sre.CATEGORY_SPACE: r"\s",
    sre.CATEGORY_NOT_SPACE: r"\S",
    sre.CATEGORY_WORD: r"\w",
    sre.CATEGORY_NOT_WORD: r"\W",
}
_INSIDE = r"(?<=\w)(?=\w)|(?<!\w)(?!\w)"
_PLACES = {
    sre.AT_BEGINNING: r"(?<![\s\S])",
    sre.AT_BEGINNING_STRING: r"(?<![\s\S])",
    sre.AT_END: r"(?![^\n]|\n[\s\S])",
    sre.AT_END_STRING: r"(?![\s\S])",
    sre.AT_BOUNDARY: r"(?<=\w)(?!\w)|(?<!\w)(?=\w)",
    # before Python 3.14 the empty text has no such place
    sre.AT_NON_BOUNDARY: _INSIDE if re.fullmatch(r"\B", "") else rf"(?:{_INSIDE})(?:(?<=[\s\S])|(?=[\s\S]))",
}
"""Every place that a pattern can name is a look around."""
_LINE_PLACES = {sre.AT_BEGINNING: r"(?<![^\n])", sre.AT_END: r"(?![^\n])"}
_REFUSED = {
    "GROUPREF": ("a reference to a group", r"\\(?![0-3][0-7]{2})[1-9]|\(\?P="),
    "GROUPREF_EXISTS": ("a condition on a group", r"\(\?\("),
    "ATOMIC_GROUP": ("an atomic group", r"\(\?>"),
    "POSSESSIVE_REPEAT": ("a possessive repeat", r"(?:[*+?]|\{[0-9,]+\})\+"),
}
"""What is not supported: what it is called, and how it is spelled."""
_TYPES = sre.SRE_FLAG_ASCII | sre.SRE_FLAG_UNICODE
_SET_FLAGS = sre.SRE_FLAG_IGNORECASE | sre.SRE_FLAG_ASCII | sre.SRE_FLAG_DOTALL


def matching(pattern: str) -> Language:
    """The texts that `re.fullmatch` finds to match a pattern.

    Raises:
        DataError: it is no pattern, uses what no automaton can follow, or takes too large an automaton.
    """
    return language_of_pattern(pattern, f"the pattern {_short(pattern)!r}")


def language_of_pattern(pattern: str, name: str) -> Language:
    """As `matching`, for patterns that errors should call by another name."""
    try:
        tree = _parsed(pattern, name)
        builder = _Builder()
        builder.program.start = builder.sequence(tree, tree.state.flags, END)
        return determinise(builder.program)
    except TooComplexError:
        problem = "is too complex: it takes too large an automaton. Use fewer or smaller repeats"
    except RecursionError:
        problem = "is nested too deeply"
    except _RefusedError as error:
        what, spelling = _REFUSED.get(error.name, (error.name, r"(?!)"))
        problem = f"has {what} at position {_place(pattern, spelling)}, which cannot be compiled: do without it"
    raise DataError(f"{name} {problem}")


def literals(pattern: str) -> set[int]:
    """The code points that a pattern names one by one, not in a range or a class."""
    found: set[int] = set()
    waiting = [_parsed(pattern, f"the pattern {_short(pattern)!r}")]
    while waiting:
        match waiting.pop():
            case (sre.LITERAL | sre.NOT_LITERAL, code):
                found.add(code)
            case tuple() | list() | sre_parser.SubPattern() as parts:
                waiting.extend(parts)
    return found


def _parsed(pattern: str, name: str) -> Any:
    """The parse tree of a pattern."""
    if len(pattern) > MAX_CHARACTERS:
        raise DataError(f"{name} is too long: it can have at most {MAX_CHARACTERS} characters")
    try:
        return _tree(pattern)
    except (re.error, OverflowError) as error:
        raise DataError(f"{name} is not a regular expression: {error}") from None
    except RecursionError:
        raise DataError(f"{name} is nested too deeply") from None


@lru_cache(maxsize=64)
def _tree(pattern: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of syntax that may change: the tree says how this Python reads it
        re.compile(pattern)  # checks what the parser leaves to the compiler
        return sre_parser.parse(pattern)


class _RefusedError(Exception):
    """A construct that is not supported, by its name in the tree."""

    def __init__(self, name: str) -> None:
        self.name = name


class _Builder:
    """Builds a program from its end to its start: each part is told where to go on."""

    def __init__(self) -> None:
        self.program = Program()
        self.shared: dict[Any, int] = {}
        """Sets and what is looked for, by content and flags: each is built once."""
        self.contents: dict[int, tuple[Any, str]] = {}
        """Parts of the tree and their texts, by id: a repeat meets the same part many times."""

    def sequence(self, items: Any, flags: int, following: int) -> int:
        """Builds one item after another; returns the node at which they begin."""
        for op, argument in reversed(list(items)):
            following = self._item(op, argument, flags, following)
        return following

    def _item(self, op: Any, argument: Any, flags: int, following: int) -> int:
        if op in (sre.LITERAL, sre.NOT_LITERAL, sre.ANY, sre.IN):
            return self._add(Read(self._set(op, argument, flags), following))
        if op is sre.SUBPATTERN:
            _, added, dropped, items = argument
            kept = flags & ~_TYPES if added & _TYPES else flags
            return self.sequence(items, (kept | added) & ~dropped, following)
        if op is sre.BRANCH:
            return self._add(Fork(tuple(self.sequence(items, flags, following) for items in argument[1])))
        if op in (sre.MAX_REPEAT, sre.MIN_REPEAT):
            low, high, items = argument
            return self._repeat(low, high, items, flags, following)
        if op in (sre.ASSERT, sre.ASSERT_NOT):
            direction, items = argument
            return self._look(op is sre.ASSERT, direction > 0, items, flags, following)
        if op is sre.AT:
            places = _PLACES | _LINE_PLACES if flags & sre.SRE_FLAG_MULTILINE else _PLACES
            return self.sequence(_tree(places[argument]), flags & sre.SRE_FLAG_ASCII, following)
        if op is sre.FAILURE:
            return self._add(Fork(()))
        raise _RefusedError(str(op))

    def _repeat(self, low: int, high: int, items: Any, flags: int, following: int) -> int:
        """Writes a repeat out. What makes no node, an empty group, need not be repeated."""
        start = following
        if high is sre.MAXREPEAT:
            start = self._add(None)
            self.program.nodes[start] = Fork((self.sequence(items, flags, start), following))
            high = low
        for _ in range(high - low):
            body = self.sequence(items, flags, start)
            if body == start:
                break
            start = self._add(Fork((body, following)))
        for _ in range(low):
            body = self.sequence(items, flags, start)
            if body == start:
                break
            start = body
        return start

    def _look(self, positive: bool, ahead: bool, items: Any, flags: int, following: int) -> int:
        key = ahead, self._content(items), flags
        if key not in self.shared:
            start = self.sequence(items, flags, REST if ahead else END)
            if not ahead:
                self.program.behind.append(start)
            self.shared[key] = start if ahead else len(self.program.behind) - 1
        return self._add(Look(ahead, positive, self.shared[key], following))

    def _set(self, op: Any, argument: Any, flags: int) -> int:
        key = op, self._content(argument) if op is sre.IN else argument, flags
        if key not in self.shared:
            items = argument if op is sre.IN else [(op, argument)]
            self.shared[key] = len(self.program.sets)
            pattern = "." if op is sre.ANY else f"[{''.join(_spelled(*item) for item in items)}]"
            edges = tuple(edge for item in items for edge in _edges(*item))
            self.program.sets.append(CharacterSet(pattern, flags & _SET_FLAGS, edges))
        return self.shared[key]

    def _content(self, part: Any) -> str:
        if id(part) not in self.contents:
            self.contents[id(part)] = part, repr(part)
        return self.contents[id(part)][1]

    def _add(self, node: Node) -> int:
        if len(self.program.nodes) == MAX_NODES:
            raise TooComplexError
        self.program.nodes.append(node)
        return len(self.program.nodes) - 1


def _spelled(op: Any, argument: Any) -> str:
    """A member of a set as a pattern."""
    if op is sre.NEGATE:
        return "^"
    if op is sre.CATEGORY:
        return _CLASSES[argument]
    if op is sre.RANGE:
        return rf"\U{argument[0]:08x}-\U{argument[1]:08x}"
    return ("^" if op is sre.NOT_LITERAL else "") + rf"\U{argument:08x}"


def _edges(op: Any, argument: Any) -> list[int]:
    """The code points at which a member of a set begins, and where it has ended."""
    if op is sre.RANGE:
        return [argument[0], argument[1] + 1]
    return [argument, argument + 1] if op in (sre.LITERAL, sre.NOT_LITERAL) else []


def _place(pattern: str, spelling: str) -> int:
    """Where a construct stands: the tree does not say, so it is looked for outside of sets and escapes."""
    tokens = re.finditer(rf"({spelling})|\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|.", pattern, re.DOTALL)
    return next((token.start() for token in tokens if token[1]), 0)


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "…"
