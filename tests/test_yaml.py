"""Recipes are read strictly and without surprises."""

from __future__ import annotations

import math
import os
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from textdiff.errors import ConfigError
from textdiff.files import dump_yaml, load_yaml, parse_yaml

BOMB = "a: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True))
HOSTILE: dict[str, tuple[bytes, str]] = {
    "alias_bomb": (BOMB.encode(), r":1: anchors and aliases \('a'\) are not used"),
    "alias_alone": (b"a: 1\nb: *x\n", ":2: anchors and aliases"),
    "anchored_key": (b"&k a: 1\n", ":1: anchors and aliases"),
    "deep_flow": (b"a:\n  " + b"[" * 5000 + b"]" * 5000, ":2: (nested more than 32|exceeded maximum nesting)"),
    "deep_mappings": (b"a: " + b"{a: " * 5000, ":1: (nested more than 32|exceeded maximum nesting)"),
    "deep_dashes": (b"a:\n" + b"- " * 5000 + b"x", ":2: (nested more than 32|exceeded maximum nesting)"),
    "deep_keys": (b"? " * 5000 + b"x", ":1: a key must be a word"),
    "deep_blocks": (b"".join(b" " * i + b"a:\n" for i in range(300)), ":33: nested more than 32"),
    "many_brackets": (b"[" * 999_000, ":1: (nested more than 32|exceeded maximum nesting)"),
    "duplicate_key": (b"a: 1\nb: 2\n'a': 3\n", ":3: the key 'a' stands twice"),
    "duplicate_below": (b"a:\n  b: 1\n  b: 1\n", ":3: the key 'b' stands twice"),
    "list_as_key": (b"[a, b]: 1\n", ":1: a key must be a word"),
    "python_object": (b"a: !!python/object/apply:os.system ['touch canary']\n", ":1: tags .*os.system"),
    "own_tag": (b"a: !env HOME\n", ":1: tags"),
    "harmless_tag": (b"a: !!str 5\n", ":1: tags"),
    "many_values": (b"[" + b"1," * 400_000 + b"]", ":1: more than 20,000 values"),
    "many_keys": (b"".join(b"k%d: 1\n" % i for i in range(80_000)), ":10000: more than 20,000 values"),
    "latin_1": ("a: 1\nb: café\n".encode("latin-1"), ":2: byte 11 is not UTF-8"),
    "utf_16": ("a: 1\n".encode("utf-16"), ":1: byte 0 is not UTF-8"),
    "nul": (b"a: 1\nb: \0\n", ":2: "),
    "control": (b"a: 1\nb: \x1b[2J\n", ":2: "),
    "tab": (b"a:\n\tb: 1\n", ":2: "),
    "unclosed": (b"a: [1, 2\nb: 3\n", ":2: "),
    "two_documents": (b"a: 1\n---\nb: 2\n", ":2: a second document"),
    "huge_integer": (b"a: " + b"9" * 100_000, ":1: this number is too large"),
    "huge_float": (b"a: 1e999", ":1: this number is too large"),
    "empty": (b"", ":1: expected a mapping"),
    "only_comment": (b"# nothing\n", ":1: expected a mapping"),
    "a_list": (b"- a\n", ":1: expected a mapping"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_y1_hostile_yaml(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    data, problem = HOSTILE[name]
    path = tmp_path / "recipe.yaml"
    path.write_bytes(data)
    start = time.process_time()
    with pytest.raises(ConfigError, match=problem) as caught:
        load_yaml(path)
    assert time.process_time() - start < 1
    assert caught.value.exit_code == 3
    assert str(caught.value).startswith(str(path))
    assert len(str(caught.value)) < 300 + len(str(path))
    assert not (tmp_path / "canary").exists()


def test_y1_fifty_megabytes(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_bytes(b"a: 1\n")
    os.truncate(path, 50_000_000)
    start = time.process_time()
    with pytest.raises(ConfigError, match="larger than the 1,000,000 bytes"):
        load_yaml(path)
    assert time.process_time() - start < 1


@pytest.mark.parametrize("name", sorted(HOSTILE.keys() - {"utf_16", "latin_1"}))
def test_y1_hostile_yaml_without_the_c_library(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(yaml, "CSafeLoader", raising=False)
    data, problem = HOSTILE[name]
    if "a mapping" in problem:
        assert not isinstance(parse_yaml(data.decode(), "recipe.yaml"), dict)
        return
    with pytest.raises(ConfigError, match=problem):
        parse_yaml(data.decode(), "recipe.yaml")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("1E5", 1e5),
        ("-1.5e+3", -1500.0),
        (".5", 0.5),
        ("2.", 2.0),
        ("+3", 3),
        ("010", 10),
        ("0o17", 15),
        ("0x1F", 31),
        (".inf", math.inf),
        ("-.INF", -math.inf),
        ("true", True),
        ("FALSE", False),
        ("~", None),
        ("null", None),
        ("", None),
        *((word, word) for word in ("no", "on", "off", "yes", "No", "ON", "y", "n", "tRue", "nULL")),
        *((word, word) for word in ("1_000", "12:30", "1e", "0b11", "2024-01-01", "e5", ".", "-a", "1.2.3", "<<", "=")),
        *((word, word) for word in ("$HOME", "${HOME}", "../../etc")),
        ("'1e-4'", "1e-4"),
        ('"true"', "true"),
        ("'~'", "~"),
        ('""', ""),
        ("|\n  no\n", "no\n"),
    ],
)
def test_y1_plain_words_mean_what_they_say(text: str, value: object) -> None:
    parsed = parse_yaml(f"a: {text}", "recipe.yaml")["a"]
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize("library", ["c", "python"])
def test_y1_keys_are_words(tmp_path: Path, library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if library == "python":
        monkeypatch.delattr(yaml, "CSafeLoader", raising=False)
    (tmp_path / "r.yaml").write_bytes(b"\xef\xbb\xbfno: 1\n2: b\nnull: c\n<<: {d: 1}\r\n")
    assert load_yaml(tmp_path / "r.yaml") == {"no": 1, "2": "b", "null": "c", "<<": {"d": 1}}
    assert math.isnan(parse_yaml("a: .nan", "x")["a"])
    with pytest.raises(ConfigError, match=r"none\.yaml cannot be read: no such file"):
        load_yaml(tmp_path / "none.yaml")


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
WORDS = st.sampled_from(
    ["no", "1e-4", "0o17", "0x1", "~", "", "true", ".inf", "-", "a: b", "1_000", "=", "<<", "2024-01-01"]
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | WORDS | TEXT
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT | WORDS, inner, max_size=4), max_leaves=12
)


@given(VALUES)
def test_what_is_written_is_read_back(value: Any) -> None:
    text = dump_yaml(value)
    assert parse_yaml(text, "x") == value
    assert yaml.safe_load(text) == value


def test_equal_values_are_written_without_aliases() -> None:
    shared = [1, 2]
    assert parse_yaml(dump_yaml({"a": shared, "b": shared}), "x") == {"a": [1, 2], "b": [1, 2]}
