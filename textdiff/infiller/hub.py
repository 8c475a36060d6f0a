"""Models of the hub: fetched where it can be reached, taken from the cache where it cannot."""

from __future__ import annotations

import contextlib
import json
import threading
from pathlib import Path

from textdiff.errors import CheckpointError
from textdiff.files.self_contained import WEIGHTS_INDEX

_WANTED = ["*.json", "*.txt", "*.safetensors", "*.model", "*.yaml", "README.md"]
_PATIENCE = 1.5
"""Seconds that the hub has to answer; the library's own variable, HF_HUB_ETAG_TIMEOUT, gives it more."""


def fetched(name: str) -> Path:
    """The folder of a model of the hub.

    Raises:
        CheckpointError: it cannot be had; the sentence says why, and what to download and to put where.
    """
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import HFValidationError

    unreachable = out_of_reach()
    try:
        folder = Path(snapshot_download(name, allow_patterns=_WANTED, local_files_only=unreachable is not None))
    except HFValidationError:
        raise CheckpointError(
            f"{name!r} is neither a folder here nor a name that a model of the hub can have"
        ) from None
    except Exception as error:  # the library has many kinds, and all mean that there is no such model to be had
        if unreachable is None:
            raise CheckpointError(
                f"{name!r} is neither a folder here nor a model that can be fetched from {constants.ENDPOINT} "
                f"({type(error).__name__}). Check the name, or give a folder"
            ) from None
        raise CheckpointError(
            f"{name!r} is neither a folder here nor in the cache of models, and {unreachable}. {how_to_get(name)}"
        ) from None
    if absent := _absent(folder):
        raise CheckpointError(
            f"{name!r} is only half in the cache of models: {folder} lacks {absent}. Run `hf download {name}` where "
            "there is a network to fetch the rest"
        )
    return folder


def _absent(folder: Path) -> str:
    """The first file that a model of the hub needs and this folder lacks, as where fetching it was cut off; "" if none."""
    wanted = {"config.json", *(path.name for path in folder.iterdir())}  # files are links, whose targets may be missing
    # there may be no index, and what is wrong with one is said by who loads the weights
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        wanted |= {*json.loads((folder / WEIGHTS_INDEX).read_bytes())["weight_map"].values()}
        return min((name for name in map(str, wanted) if not (folder / name).exists()), default="")
    return min((name for name in wanted if not (folder / name).exists()), default="")


def how_to_get(name: str) -> str:
    """How to bring a model of the hub here by hand, in a sentence."""
    from huggingface_hub import constants

    folder = f"models--{name.replace('/', '--')}"
    return (
        f"Run `hf download {name}` where there is a network, and copy the folder {folder} from the cache there to "
        f"{Path(constants.HF_HUB_CACHE)} here"
    )


def answers() -> bool:
    """Whether the hub answers soon. Looking its name up cannot be cut short, so a thread does it, which nobody waits for."""
    import huggingface_hub
    from huggingface_hub import constants

    given = constants.HF_HUB_ETAG_TIMEOUT
    patience = _PATIENCE if given == constants.DEFAULT_ETAG_TIMEOUT else float(given)
    heard = threading.Event()

    def ask() -> None:
        with contextlib.suppress(Exception):
            huggingface_hub.get_session().head(constants.ENDPOINT, timeout=patience)
            heard.set()

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(patience)
    return heard.is_set()


def out_of_reach() -> str | None:
    """Why the hub cannot be asked, or None if it can."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return "the environment says to keep off the hub (HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE)"
    return None if answers() else f"{constants.ENDPOINT} does not answer"
