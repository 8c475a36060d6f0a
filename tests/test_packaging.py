"""What a newcomer meets: the package, its commands, its layers and its data."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import textdiff
from textdiff.files import load_yaml

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
DATA = ROOT / "data"
HEAVY = ("torch", "transformers", "tokenizers", "datasets", "accelerate", "evaluate", "numpy")


def run_python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs code in a fresh interpreter that sees this checkout."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True, env=environment, timeout=60)


def test_importing_textdiff_loads_nothing_heavy() -> None:
    code = "import sys; before = set(sys.modules); import textdiff; print(*sorted(set(sys.modules) - before))"
    loaded = run_python(code).stdout.split()
    assert "textdiff" in loaded
    assert not {name.split(".")[0] for name in loaded} & {*HEAVY, "pydantic", "yaml", "typer"}
    code = "import time; t = time.perf_counter(); import textdiff; print(time.perf_counter() - t)"
    assert min(float(run_python(code).stdout) for _ in range(3)) < 0.1


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["infill", "--help"], ["train", "--help"]], ids=" ".join
)
def test_help_loads_no_torch(arguments: list[str]) -> None:
    code = """
import runpy, sys
try:
    runpy.run_module("textdiff", run_name="__main__", alter_sys=True)
except SystemExit as end:
    assert not end.code, end.code
print("LOADED", *sorted(sys.modules))
"""
    done = run_python(code, *arguments)
    assert done.returncode == 0, done.stderr
    shown, _, loaded = done.stdout.partition("LOADED ")
    assert shown.strip()
    assert "textdiff.cli" in loaded.split()
    assert not {*loaded.split()} & {*HEAVY}


def test_the_public_names_come_when_they_are_used() -> None:
    assert {*textdiff.__all__} <= {*dir(textdiff)}
    for name in textdiff.__all__:
        assert getattr(textdiff, name) is getattr(textdiff, name)
    assert textdiff.load.__module__.startswith("textdiff.infiller")
    with pytest.raises(AttributeError, match="has no attribute 'lode'"):
        _ = textdiff.lode


def test_the_version_is_that_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert textdiff.__version__ == project["version"]
    assert "Apache License" in (ROOT / "LICENSE").read_text(encoding="utf-8")


def test_a_module_imports_only_those_below_it() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    command = [str(linter) if linter.exists() else str(shutil.which("lint-imports")), "--no-cache"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT, env=environment, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 kept, 0 broken" in done.stdout


@pytest.mark.parametrize("script", ["scripts/quickstart", "scripts/test", "scripts/install", ".ci/run"])
def test_scripts_are_executable_and_parse(script: str) -> None:
    assert os.access(ROOT / script, os.X_OK)
    done = subprocess.run(["bash", "-n", ROOT / script], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_corpora_are_those_that_the_readme_describes() -> None:
    readme = (DATA / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"\| `(\S+)` \| (\d+) \| `([0-9a-f]{64})` \|", readme)
    assert len(rows) >= 2
    for name, size, digest in rows:
        data = (DATA / "corpus" / name).read_bytes()
        assert (name, len(data), hashlib.sha256(data).hexdigest()) == (name, int(size), digest)
    assert [p.name for p in (DATA / "corpus").iterdir() if f"`{p.name}`" not in readme] == []


@pytest.mark.parametrize("path", sorted((DATA / "samples").iterdir()), ids=lambda path: path.name)
def test_the_samples_have_gaps(path: Path) -> None:
    document = textdiff.Document.parse(path.read_bytes())
    gaps = [part for part in document.parts if hasattr(part, "length")]
    assert 2 <= len(gaps) <= 8
    assert document.source == path.read_bytes()
    assert path.name in (DATA / "README.md").read_text(encoding="utf-8")


def test_the_packaged_model_names_no_place_of_the_machine_that_trained_it() -> None:
    folder = ROOT / "textdiff" / "packaged" / "default"
    data = load_yaml(folder / "recipe.yaml")["data"]
    assert not any(Path(data[part]).is_absolute() for part in ("train", "validation"))
    assert f"Training text: {data['train']}\n" in (folder / "README.md").read_text(encoding="utf8")
