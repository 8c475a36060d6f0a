"""What is installed, against what the package says that it needs."""

from __future__ import annotations

import importlib
import platform
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, metadata, version
from pathlib import Path
from typing import TYPE_CHECKING

from textdiff import __version__
from textdiff.cli.checks.finding import Asked, Finding, failed, note, ok

if TYPE_CHECKING:
    from packaging.requirements import Requirement
    from packaging.specifiers import SpecifierSet

# Those that are imported too: an installation that is broken shows there. (`evaluate` takes seconds, the rest is small.)
_IMPORTED = {
    "torch", "transformers", "tokenizers", "accelerate", "datasets", "safetensors", "huggingface-hub", "numpy",
    "sentencepiece", "sacrebleu", "pydantic", "pyarrow",
}  # fmt: skip
_OPTIONAL = {"matplotlib": "draws learning curves", **dict.fromkeys(("tensorboard", "trackio", "wandb"), "tracks runs")}
_AGAIN = "Install textdiff again: pip install ."


def check_versions(asked: Asked) -> list[Finding]:
    """textdiff, Python, all libraries that textdiff needs, and those that it can use."""
    from packaging.specifiers import SpecifierSet
    from packaging.utils import canonicalize_name

    own, python, lines = _declared()
    requirements = _parsed(lines)
    needed = [r for r in requirements if r.marker is None or r.marker.evaluate({"extra": ""})]
    extras = {canonicalize_name(r.name): r for r in requirements if r not in needed}
    found = [own, _python(SpecifierSet(python))]
    libraries = [_library(requirement, canonicalize_name(requirement.name)) for requirement in needed]
    libraries += [_optional(name, extras.get(canonicalize_name(name))) for name in _OPTIONAL]
    return [*found, *sorted(libraries, key=lambda finding: finding.status == "ok")]


def check_torch(asked: Asked) -> Iterator[Finding]:
    """What torch was built for."""
    import torch

    made_for = f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPUs"
    hip = getattr(torch.version, "hip", None)
    yield ok("torch build", f"{torch.__version__}, built for {f'ROCm {hip}' if hip else made_for}")


def _declared() -> tuple[Finding, str, list[str]]:
    """The finding about textdiff itself; the versions of Python and the libraries that it needs."""
    try:
        facts = metadata("textdiff")
    except PackageNotFoundError:
        return _from_its_folder()
    installed = facts["Version"]
    own = ok("textdiff", __version__)
    if installed != __version__:
        own = note("textdiff", f"{__version__}, but {installed} is what is installed", _AGAIN)
    return own, facts["Requires-Python"] or "", facts.get_all("Requires-Dist") or []


def _from_its_folder() -> tuple[Finding, str, list[str]]:
    own = note("textdiff", f"{__version__}, run from a folder and not installed", _AGAIN)
    file = Path(__file__).resolve().parents[3] / "pyproject.toml"
    if not file.is_file():
        return own, "", []
    project = tomllib.loads(file.read_text(encoding="utf8"))["project"]
    return own, project["requires-python"], project["dependencies"]


def _parsed(lines: list[str]) -> list[Requirement]:
    from packaging.requirements import Requirement

    return [Requirement(line) for line in lines]


def _python(wanted: SpecifierSet) -> Finding:
    has = platform.python_version()
    if not wanted.contains(has, prereleases=True):
        return failed("python", f"{has}; textdiff needs {wanted}", "Install a newer Python, and textdiff with it.")
    return ok("python", f"{has}, {platform.python_implementation()}")


def _library(wanted: Requirement, name: str) -> Finding:
    again = f"pip install '{name}{wanted.specifier}'"
    try:
        has = version(name)
    except PackageNotFoundError:
        return failed(name, f"not installed; textdiff needs {wanted.specifier}", f"Install it: {again}")
    if not wanted.specifier.contains(has, prereleases=True):
        return failed(name, f"{has}; textdiff needs {wanted.specifier}", f"Install a fitting one: {again}")
    if name in _IMPORTED:
        try:
            importlib.import_module(name.replace("-", "_"))
        except Exception as error:  # a library that does not fit the others may raise anything
            words = f"{has} cannot be imported: {type(error).__name__}: {error}"
            return failed(name, words, f"Install it again: pip install --force-reinstall '{name}{wanted.specifier}'")
    return ok(name, has, line="libraries")


def _optional(name: str, wanted: Requirement | None) -> Finding:
    try:
        has = version(name)
    except PackageNotFoundError:
        return ok(name, "absent", line="optional")
    if wanted is not None and not wanted.specifier.contains(has, prereleases=True):
        advice = f"It {_OPTIONAL[name]}; install a fitting one: pip install '{name}{wanted.specifier}'"
        return note(name, f"{has}; textdiff needs {wanted.specifier}", advice)
    return ok(name, has, line="optional")
