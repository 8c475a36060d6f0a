"""Patches that `patch` and `git apply` take, whatever the documents are."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from textdiff.cli.diff import unified_diff
from textdiff.text.document import Document

NAMES = (
    "plain.txt",
    "two words.md",
    "folder/in it.txt",
    "tab\there.txt",
    "line\nend.txt",
    'quo"te\\back.txt',
    "ümläut.txt",
    "-dash",
    "2020-01-01 00:00:00.txt",
    " blank ",
)
lines = st.sampled_from(
    [
        "",
        "\n",
        "\n\n\n\n\n\n\n",
        "\r\n",
        "\r",
        "a\x00b",
        "\x00\n",
        "--- x\n+++ x\n@@ -1 +1 @@\n",
        "\\ No newline\n",
        "é\f\v",
    ]
)
sources = st.lists(st.one_of(lines, st.sampled_from(["[MASK]", "\\[MASK]"]), st.text("ab \n", max_size=4)), max_size=14)
fills = st.lists(st.text("ab \n\r\x00", max_size=5), min_size=14, max_size=14)


def apply(tool: list[str], diff: bytes, folder: Path) -> None:
    ended = subprocess.run(tool, input=diff, cwd=folder, capture_output=True, timeout=30, check=False)
    assert ended.returncode == 0, (ended.stdout + ended.stderr, diff)


def check(tool: list[str], folder: Path, drawn: list[tuple[list[str], list[str]]]) -> None:
    """Writes documents, makes one patch for all, has it applied, and compares."""
    shutil.rmtree(folder, ignore_errors=True)
    patch, expected = b"", {}
    for name, (pieces, texts) in zip(NAMES, drawn, strict=False):
        source = "".join(pieces).encode()
        document = Document.parse(source)
        chosen = texts[: len(document.gaps)]
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(source)
        patch += unified_diff(document, chosen, name)
        expected[name] = document.fill(chosen).data
    if patch:
        apply(tool, patch, folder)
    assert {name: (folder / name).read_bytes() for name in expected} == expected


@pytest.mark.skipif(shutil.which("patch") is None, reason="patch is not installed")
@settings(max_examples=40, phases=(Phase.generate,), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=st.lists(st.tuples(sources, fills), min_size=len(NAMES), max_size=len(NAMES)))
def test_patch_turns_many_documents_into_the_filled_ones(
    tmp_path: Path, drawn: list[tuple[list[str], list[str]]]
) -> None:
    check(["patch", "-p0", "--silent", "--fuzz=0", "--no-backup-if-mismatch"], tmp_path / "work", drawn)


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
@settings(max_examples=20, phases=(Phase.generate,), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=st.lists(st.tuples(sources, fills), min_size=len(NAMES), max_size=len(NAMES)))
def test_git_applies_them_too(tmp_path: Path, drawn: list[tuple[list[str], list[str]]]) -> None:
    check(["git", "apply", "-p0", "--whitespace=nowarn", "-"], tmp_path / "work", drawn)


@pytest.mark.skipif(shutil.which("patch") is None, reason="patch is not installed")
@pytest.mark.parametrize("ending", [b"\n", b"\r\n", b""])
def test_a_patch_says_nothing_about_line_ends(tmp_path: Path, ending: bytes) -> None:
    source = b"one\r\ntwo [MASK]\r\nthree" + ending
    (tmp_path / "my file.txt").write_bytes(source)
    diff = unified_diff(Document.parse(source), ["more"], "my file.txt")
    ended = subprocess.run(["patch"], input=diff, cwd=tmp_path, capture_output=True, timeout=30, check=True)
    assert (ended.stdout, ended.stderr) == (b"patching file 'my file.txt'\n", b"")
    assert (tmp_path / "my file.txt").read_bytes() == source.replace(b"[MASK]", b"more")
