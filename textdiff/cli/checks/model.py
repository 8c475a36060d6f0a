"""A model: its files, and whether it fills a gap as it should."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from textdiff.cli.checks.finding import Asked, Finding, failed, ok, size
from textdiff.cli.checks.hub import hub_is
from textdiff.errors import CheckpointError

_DOCUMENT = "The old house stood [MASK: 1 token] the river."


def check_model(asked: Asked) -> Iterator[Finding]:
    """The files of the model that was asked for; what it writes, if they are whole."""
    try:
        folder = _found(asked)
    except CheckpointError as error:
        yield failed("model files", *_absent(asked, str(error)))
        return
    files = _files(asked.model, folder)
    yield files
    if files.status == "ok":
        yield filling(asked.model, folder, "filling")


def filling(name: str, folder: Path, label: str) -> Finding:
    """Loads a model and fills one gap twice."""
    from textdiff.cli.loading import load_infiller

    began = time.perf_counter()
    try:
        infiller = load_infiller(str(folder))
    except CheckpointError as error:
        return failed(label, str(error), _another(name))
    loaded = time.perf_counter()
    one, other = (infiller.infill(_DOCUMENT, seed=1).document for _ in range(2))
    filled = (time.perf_counter() - loaded) / 2
    if one != other:
        found = f"the same seed gave two results: {one!r} and {other!r}"
        return failed(label, found, "Use another device or another version of torch; this one cannot be repeated.")
    place = infiller.model.device
    return ok(label, f"on {place}: loaded in {loaded - began:.1f} s, {filled:.2f} s a gap, twice the same")


def _found(asked: Asked) -> Path:
    """The model's folder. What is in the cache is taken from there; else the hub is asked, if it may be.

    Raises:
        CheckpointError: it cannot be had.
    """
    from textdiff.cli.loading import hush
    from textdiff.infiller import find_model
    from textdiff.infiller.loading import is_hub_name

    hush()
    try:
        return find_model(asked.model)
    except CheckpointError:
        if asked.offline or not is_hub_name(asked.model):
            raise
    with hub_is(offline=False):
        return find_model(asked.model)


def _absent(asked: Asked, words: str) -> tuple[str, str]:
    """What is said of a model that cannot be had, and what to do."""
    from textdiff.infiller.hub import how_to_get

    advice = how_to_get(asked.model)
    if not words.endswith(advice):
        return words, "Check the name, or give the folder of a model with -m."
    if asked.offline:
        words = f"{asked.model!r} is neither a folder here nor in the cache of models, and the hub is not asked"
    return words.removesuffix(f". {advice}"), f"{advice}."


def _files(name: str, folder: Path) -> Finding:
    from textdiff.files import verify_folder
    from textdiff.infiller.checkpoint import is_checkpoint

    files = [path for path in folder.rglob("*") if path.is_file()]
    held = f"{len(files)} files, {size(sum(path.stat().st_size for path in files))}"
    try:
        if not is_checkpoint(folder):
            return ok("model files", f"{name}: {held}; of another maker, with no manifest to compare with")
    except CheckpointError as error:
        return failed("model files", str(error), _another(name))
    problems = verify_folder(folder)
    if problems:
        return failed("model files", f"{name}: {'; '.join(problems)}", _another(name))
    return ok("model files", f"{name}: {held}, as the manifest says")


def _another(name: str) -> str:
    if name == "default":
        return "Install textdiff again: pip install --force-reinstall --no-deps ."
    return "Fetch, copy or train this model again."
