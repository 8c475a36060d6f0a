"""From a model's name to an `Infiller`."""

from __future__ import annotations

from pathlib import Path

from textdiff.errors import CheckpointError
from textdiff.infiller.checkpoint import Checkpoint, is_checkpoint, without_progress_bars
from textdiff.infiller.infiller import Infiller
from textdiff.infiller.samplers import DefaultSamplers
from textdiff.infiller.shelf import Shelf
from textdiff.model import load_masked_lm
from textdiff.text.tokenizers import load_tokenizer

PACKAGED = Path(__file__).resolve().parent.parent / "packaged"
_WANTED = ["*.json", "*.txt", "*.safetensors", "*.model", "*.yaml", "README.md"]


def load(model: str | Path = "default", device: str | None = None) -> Infiller:
    """Loads a model.

    Args:
        model: `default` (the packaged one), a checkpoint folder, the folder of a training run, a folder with a Hugging Face
            masked language model, or such a model's name on the hub.
        device: where it runs; by default a CUDA device where there is one.

    Raises:
        CheckpointError: there is no such model, or it cannot be used.
    """
    import torch

    folder = find_model(model)
    checkpoint = _opened(folder)
    place = device or ("cuda" if torch.cuda.is_available() else "cpu")
    parts = checkpoint.tokenizer, checkpoint.samplers, str(model), checkpoint.calibration
    shelf = None if is_checkpoint(folder) else Shelf(folder, ".textdiff-length-bias.json")
    return Infiller(checkpoint.model.to(place), *parts, shelf)


def open_checkpoint(model: str | Path = "default") -> Checkpoint:
    """The parts of a model, named as in `load`."""
    return _opened(find_model(model))


def _opened(folder: Path) -> Checkpoint:
    if is_checkpoint(folder):
        return Checkpoint.load(folder)
    tokenizer = load_tokenizer(folder)
    with without_progress_bars():
        network = load_masked_lm(folder, tokenizer).eval()
    return Checkpoint(network, tokenizer, DefaultSamplers.of(network.process))


def find_model(model: str | Path) -> Path:
    """The folder of a model; from the hub it is fetched, unless the environment says offline."""
    if str(model) == "default":
        return PACKAGED / "default"
    folder = Path(model)
    if folder.is_dir():
        return folder / "model" if is_run(folder) else folder
    if folder.exists() or str(model).startswith((".", "/", "~")) or str(model).count("/") != 1:
        raise CheckpointError(
            f"{str(model)!r} is no model: give 'default', a folder with a checkpoint or a masked language model, "
            "or a name such as owner/model"
        )
    return _from_hub(str(model))


def is_run(folder: Path) -> bool:
    """Whether a folder is that of a training run, whose model is in `model`."""
    return not (folder / "config.json").exists() and (folder / "model" / "config.json").exists()


def _from_hub(name: str) -> Path:
    from huggingface_hub import constants, snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=_WANTED, local_files_only=constants.HF_HUB_OFFLINE))
    except Exception as error:  # the library has many kinds, and all mean that there is no such model to be had
        raise CheckpointError(
            f"{name!r} is neither a folder here nor a model that can be fetched from the hub ({type(error).__name__}). "
            "Check the name and the connection, or give a folder"
        ) from None
