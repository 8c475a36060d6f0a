"""A model for others: a checkpoint folder, with its code if that is wanted, here or on the hub."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from textdiff.errors import ConfigError, ResourceError, UsageError
from textdiff.files import atomic_folder, read_json, write_json
from textdiff.infiller.bundle import MAIN, bundle
from textdiff.infiller.checkpoint import Checkpoint
from textdiff.infiller.hub import out_of_reach
from textdiff.infiller.onnx import write_onnx

_CLASSES = {"AutoConfig": "DiffusionConfig", "AutoModel": "DiffusionModel", "AutoModelForMaskedLM": "DiffusionModel"}
_WITHOUT = """
## Without textdiff

The folder holds the code of the model. With torch, transformers and pydantic:

    from transformers import AutoModelForMaskedLM, AutoTokenizer

    model = AutoModelForMaskedLM.from_pretrained("FOLDER", trust_remote_code=True)
    tokenizer = AutoTokenizer.from_pretrained("FOLDER", trust_remote_code=True)

This gives the scores of masked tokens, and `pipeline("fill-mask")`. Lengths, constraints and samplers are textdiff's.
"""


def export(checkpoint: Checkpoint, folder: Path, self_contained: bool = False, onnx: bool = False) -> None:
    """Writes a checkpoint folder, whole or not at all.

    Args:
        checkpoint: the model.
        folder: where; one that textdiff wrote is replaced.
        self_contained: whether it also holds the model's code, so that plain transformers loads it with
            `trust_remote_code=True`.
        onnx: whether it also holds the denoiser as `model.onnx`; see `write_onnx`.

    Raises:
        ConfigError: the folder cannot be written, or holds what textdiff did not write; a package is missing.
        ResourceError: the disk is full.
    """
    if self_contained:
        checkpoint = replace(checkpoint, card=checkpoint.card + _WITHOUT)
    with atomic_folder(folder) as staging:
        checkpoint.write(staging)
        if self_contained:
            _add_code(staging)
        if onnx:
            write_onnx(checkpoint.model, staging / "model.onnx")


def _add_code(folder: Path) -> None:
    config = read_json(folder / "config.json")
    config["auto_map"] = {auto: f"{MAIN}.{name}" for auto, name in _CLASSES.items()}
    write_json(folder / "config.json", config)
    for name, source in bundle().items():
        (folder / name).write_text(source, encoding="utf8")


def push(
    checkpoint: Checkpoint, name: str, self_contained: bool = False, onnx: bool = False, private: bool = False
) -> str:
    """Puts a model on the hub, in one commit.

    Args:
        checkpoint: the model.
        name: OWNER/NAME. What is there already gets a new version.
        self_contained, onnx: see `export`.
        private: whether a new repository is for its owner alone.

    Returns:
        The address of the commit.

    Raises:
        UsageError: the hub can have nothing of that name.
        ConfigError: nobody is logged in, or they may not write there.
        ResourceError: the hub cannot be reached.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError

    if reason := out_of_reach():
        raise ResourceError(f"nothing was pushed to {name}: {reason}")
    hub = HfApi()
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made) / "model"
        export(checkpoint, folder, self_contained, onnx)
        try:
            hub.create_repo(name, private=private, exist_ok=True)
            done = hub.upload_folder(repo_id=name, folder_path=folder, commit_message="A model of textdiff")
        except HFValidationError:
            raise UsageError(f"{name!r} is no name that a model of the hub can have: give OWNER/NAME") from None
        except LocalTokenNotFoundError:
            raise ConfigError(f"nothing was pushed to {name}: nobody is logged in; run `hf auth login`") from None
        except HfHubHTTPError as error:
            status = error.response.status_code
            if status in (401, 403):
                raise ConfigError(
                    f"nothing was pushed to {name}: the hub refuses it ({status}); run `hf auth login` with a token that may "
                    "write there"
                ) from None
            raise ResourceError(f"nothing was pushed to {name}: the hub answers with an error ({status})") from None
        except Exception as error:  # the library has many kinds, and what is left are failures of the network
            raise ResourceError(
                f"nothing was pushed to {name}: the connection failed ({type(error).__name__})"
            ) from None
    return str(done)
