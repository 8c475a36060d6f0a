"""A model: its files, and whether it fills a gap as it should."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from textdiff.cli.checks.finding import Asked, Finding, failed, note, ok, size
from textdiff.errors import CheckpointError

_DOCUMENT = "The old house stood [MASK: 1 token] the river."


def check_model(asked: Asked) -> Iterator[Finding]:
    """The files of the model that was asked for; what it writes, if they are whole."""
    try:
        folder = _found(asked.model)
    except CheckpointError as error:
        yield _absent(asked, str(error))
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


def _found(name: str) -> Path:
    """The model's folder, here or in the cache.

    Raises:
        CheckpointError: it is in neither.
    """
    from textdiff.cli.loading import hush
    from textdiff.infiller import find_model

    hush()
    return find_model(name)


def _absent(asked: Asked, words: str) -> Finding:
    """What is said of a model that is not here. One of the hub is not fetched to be checked: that may be gigabytes."""
    from textdiff.infiller.hub import how_to_get

    name, advice = asked.model, how_to_get(asked.model)
    if not words.endswith(advice):
        return failed("model files", words, "Check the name, or give the folder of a model with -m.")
    nowhere = f"{name!r} is neither a folder here nor in the cache of models"
    if asked.offline:
        return failed("model files", f"{nowhere}, and the hub is not asked", f"{advice}.")
    advice = f"Run `hf download {name}` and this command again; commands that need the model fetch it themselves."
    return note("model files", f"{nowhere}, so it was not checked", advice)


def _files(name: str, folder: Path) -> Finding:
    from textdiff.files import verify_folder
    from textdiff.infiller.checkpoint import is_checkpoint

    files = [path for path in folder.rglob("*") if path.is_file()]
    counted = "1 file" if len(files) == 1 else f"{len(files)} files"
    held = f"{counted}, {size(sum(path.stat().st_size for path in files))}"
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
