"""From a model's name to an `Infiller`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from textdiff.backbones.precision import Precision, dtype_of
from textdiff.errors import CheckpointError, ResourceError, UsageError
from textdiff.files import require_self_contained, unusable
from textdiff.infiller.checkpoint import Checkpoint, is_checkpoint, without_progress_bars
from textdiff.infiller.hub import fetched
from textdiff.infiller.infiller import Infiller
from textdiff.infiller.masked_lm import load_masked_lm, reads_left_to_right
from textdiff.infiller.samplers import DefaultSamplers
from textdiff.infiller.shelf import Shelf
from textdiff.text.tokenizers import load_tokenizer

if TYPE_CHECKING:
    import torch

PACKAGED = Path(__file__).resolve().parent.parent / "packaged"


def load(
    model: str | Path = "default", device: str | None = None, dtype: Precision = "float32", graphs: bool = False
) -> Infiller:
    """Loads a model.

    Args:
        model: `default` (the packaged one), a checkpoint folder, the folder of a training run, a folder with a Hugging Face
            masked language model, or such a model's name on the hub.
        device: where it runs; by default a CUDA device where there is one.
        dtype: in which precision the network works: float32; bfloat16, about twice as fast where the device has units for it,
            and nearly the same texts; or `auto`, which of the two that is here. Distributions and draws are never in half
            precision.
        graphs: on a CUDA device the layers of a network of ours run as CUDA graphs, one for each shape of a batch that comes
            again: faster for few or short rows, for which more time goes into asking for the work than into doing it.
            It takes memory, and changes nothing elsewhere. Texts are the same but for rounding.

    Raises:
        CheckpointError: there is no such model, or it cannot be used.
        UsageError: no device or precision is named like that.
        ResourceError: the device is not there.
    """
    place = find_device(device)
    precision = dtype_of(dtype, place)
    folder = find_model(model)
    checkpoint = _opened(folder)
    parts = checkpoint.tokenizer, checkpoint.samplers, str(model), checkpoint.calibration
    shelf = None if is_checkpoint(folder) else Shelf(folder, ".textdiff-length-bias.json")
    network = checkpoint.model.to(place, precision)
    if graphs:
        network.backbone.use_graphs()
    return Infiller(network, *parts, shelf)


def find_device(name: str | None) -> torch.device:
    """The device of this name, or by default a CUDA device where there is one.

    Raises:
        UsageError: no device is named like that.
        ResourceError: it is not there.
    """
    import torch

    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")
    if device.type not in ("cpu", "cuda"):
        raise UsageError(f"device must be cpu, cuda or cuda:N, got {name!r}")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device.type == "cuda" and not 0 <= (device.index or 0) < count:
        raise ResourceError(
            f"there is no device {name}: torch sees {count or 'no'} CUDA device{'s' * (count > 1)} here"
        )
    return device


def open_checkpoint(model: str | Path = "default", for_training: bool = False) -> Checkpoint:
    """The parts of a model, named as in `load`; for training its language-model head may be missing."""
    return _opened(find_model(model), for_training)


def _opened(folder: Path, for_training: bool = False) -> Checkpoint:
    if is_checkpoint(folder):
        return Checkpoint.load(folder)
    require_self_contained(folder)
    tokenizer = load_tokenizer(folder)
    if tokenizer.vocabulary.mask_id is None and reads_left_to_right(folder):
        tokenizer = tokenizer.with_mask()
    with without_progress_bars():
        network = load_masked_lm(folder, tokenizer, for_training).eval()
    return Checkpoint(network, tokenizer, DefaultSamplers.of(network.process))


def find_model(model: str | Path) -> Path:
    """The folder of a model; from the hub it is fetched, unless the environment says offline."""
    if str(model) == "default":
        return PACKAGED / "default"
    if problem := unusable(model):
        raise CheckpointError(f"{str(model)!r:.300} is no model: {problem}")
    folder = Path(model)
    if folder.is_dir():
        return folder / "model" if is_run(folder) else folder
    if not is_hub_name(model):
        raise CheckpointError(
            f"{str(model)!r} is no model: give 'default', a folder with a checkpoint or a masked language model, "
            "or a name such as owner/model"
        )
    return fetched(str(model))


def is_hub_name(model: str | Path) -> bool:
    """Whether this can only be a model of the hub: nothing here is called so, and it looks like owner/model."""
    here = unusable(model) is not None or Path(model).exists() or str(model).startswith((".", "/", "~"))
    return not here and str(model).count("/") == 1


def is_run(folder: Path) -> bool:
    """Whether a folder is that of a training run, whose model is in `model`."""
    return not (folder / "config.json").exists() and (folder / "model" / "config.json").exists()
