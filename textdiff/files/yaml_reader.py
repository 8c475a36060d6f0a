"""Recipes in YAML: a strict reader with YAML 1.2's meaning of plain words, and a writer that it reads back.

PyYAML only splits the text into events. What it would make of them never happens: in YAML 1.1 `no` is False, `1e-4`
is a string, the last of two equal keys wins, aliases multiply, and tags make objects.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import yaml

from textdiff.errors import ConfigError
from textdiff.files.reading import read_bytes

MAX_BYTES = 1_000_000
MAX_DEPTH = 32
MAX_VALUES = 20_000


def _finite(word: str) -> float:
    number = float(word)
    if math.isinf(number):
        raise ValueError(word)
    return number


_PLAIN: list[tuple[re.Pattern[str], Callable[[str], Any]]] = [
    (re.compile(r"|~|null|Null|NULL"), lambda word: None),
    (re.compile(r"true|True|TRUE|false|False|FALSE"), lambda word: word.lower() == "true"),
    (re.compile(r"[-+]?[0-9]+"), int),
    (re.compile(r"0o[0-7]+"), lambda word: int(word[2:], 8)),
    (re.compile(r"0x[0-9a-fA-F]+"), lambda word: int(word[2:], 16)),
    (re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"), _finite),
    (re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"), lambda word: float(word.replace(".", ""))),
]


def load_yaml(path: str | Path) -> dict[str, Any]:
    """The mapping in a YAML file. Keys are always strings.

    Raises:
        ConfigError: with file and line: not UTF-8, too large, too deep, a key twice, an alias or a tag, no mapping.
    """
    data = read_bytes(path, MAX_BYTES, ConfigError)
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}:{line}: byte {error.start} is not UTF-8; save the file as UTF-8") from None
    found = parse_yaml(text, str(path))
    if not isinstance(found, dict):
        raise ConfigError(f"{path}:1: expected a mapping of keys to values, got {found!r:.60}")
    return found


def parse_yaml(text: str, source: str) -> Any:
    """The value that a YAML text stands for.

    Args:
        source: what error messages call the text.

    Raises:
        ConfigError: as `load_yaml`.
    """
    try:
        return _Reader(text, source).document()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else text[: getattr(error, "position", 0)].count("\n") + 1
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "not valid YAML"
        raise ConfigError(f"{source}:{line}: {problem}") from None


def dump_yaml(value: Any) -> str:
    """Plain data as YAML that `parse_yaml` and YAML 1.1 readers both read back as it was."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


class _Reader:
    """Builds one document from PyYAML's events, which come lazily: a limit stops the parser too."""

    def __init__(self, text: str, source: str) -> None:
        self.source = source
        self.values = 0
        self.events: Iterator[Any] = yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))

    def document(self) -> Any:
        next(self.events)
        if isinstance(next(self.events), yaml.StreamEndEvent):
            return None
        value = self._value(next(self.events), depth=0)
        next(self.events)
        after = next(self.events)
        if not isinstance(after, yaml.StreamEndEvent):
            self._refuse(after, "a second document starts here, and one is expected")
        return value

    def _value(self, event: Any, depth: int) -> Any:
        self._check(event, depth)
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(depth)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(depth)
        return self._scalar(event)

    def _check(self, event: Any, depth: int) -> None:
        self.values += 1
        if self.values > MAX_VALUES:
            self._refuse(event, f"more than {MAX_VALUES:,} values")
        if depth > MAX_DEPTH:
            self._refuse(event, f"nested more than {MAX_DEPTH} levels deep")
        if getattr(event, "anchor", None) is not None:
            self._refuse(event, f"anchors and aliases ({event.anchor!r}) are not used here; write the value again")
        if getattr(event, "tag", None) is not None:
            self._refuse(event, f"tags ({event.tag!r}) are not used here; write a plain value")

    def _mapping(self, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            self._check(event, depth + 1)
            if not isinstance(event, yaml.ScalarEvent):
                self._refuse(event, "a key must be a word, not a list or a mapping")
            if event.value in found:
                self._refuse(event, f"the key {event.value!r} stands twice in the same mapping")
            found[event.value] = self._value(next(self.events), depth + 1)
        return found

    def _sequence(self, depth: int) -> list[Any]:
        found = []
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            found.append(self._value(event, depth + 1))
        return found

    def _scalar(self, event: Any) -> Any:
        if event.style is None or not event.style.strip():
            for pattern, convert in _PLAIN:
                if pattern.fullmatch(event.value):
                    try:
                        return convert(event.value)
                    except ValueError:
                        self._refuse(event, "this number is too large")
        return event.value

    def _refuse(self, event: Any, problem: str) -> NoReturn:
        raise ConfigError(f"{self.source}:{event.start_mark.line + 1}: {problem}")


class _Dumper(yaml.SafeDumper):
    """Quotes whatever YAML 1.1 or 1.2 would take for something other than a string, and writes no aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def string(self, text: str) -> yaml.ScalarNode:
        breaks = any(c in text for c in "\x85\u2028\u2029")  # line breaks to YAML 1.1 only: they survive as escapes
        return self.represent_scalar("tag:yaml.org,2002:str", text, style='"' if breaks else None)


_Dumper.add_representer(str, _Dumper.string)
for _pattern, _ in _PLAIN:
    _Dumper.add_implicit_resolver("tag:textdiff,plain", re.compile(rf"(?:{_pattern.pattern})\Z"), None)
