"""The checkpoint folder: a model, its tokenizer and its default sampler, verified when they are read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers.utils import logging

from textdiff.errors import CheckpointError, ConfigError
from textdiff.files import (
    MANIFEST,
    atomic_folder,
    dump_yaml,
    read_json,
    read_object,
    require_intact,
    require_self_contained,
    write_json,
)
from textdiff.infiller.calibration import Calibration
from textdiff.infiller.samplers import DefaultSamplers
from textdiff.model import DiffusionConfig, DiffusionModel
from textdiff.registry import build, to_config
from textdiff.text.tokenizers import Tokenizer, load_tokenizer


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint folder holds.

    Attributes:
        model, tokenizer, samplers: the parts.
        recipe: the resolved recipe as plain data, or None.
        metrics: scores as plain data, or None.
        card: the text of README.md, the model card.
        calibration: of the confidences; by default the model's own probabilities as they are.
    """

    model: DiffusionModel
    tokenizer: Tokenizer
    samplers: DefaultSamplers
    recipe: Mapping[str, Any] | None = None
    metrics: Mapping[str, Any] | None = None
    card: str = ""
    calibration: Calibration = field(default_factory=Calibration)

    def save(self, folder: Path) -> None:
        """Writes the folder whole or not at all; a folder of textdiff's that is there already is replaced."""
        with atomic_folder(folder) as staging:
            self.write(staging)

    def write(self, folder: Path) -> None:
        """Writes the files into an empty folder."""
        with without_progress_bars():
            self.model.save_pretrained(folder)
        self.tokenizer.save(folder)
        write_json(folder / "sampler.json", to_config(self.samplers))
        if self.calibration.gaps:
            write_json(folder / "calibration.json", to_config(self.calibration))
        if self.recipe is not None:
            (folder / "recipe.yaml").write_text(dump_yaml(self.recipe), encoding="utf8")
        if self.metrics is not None:
            write_json(folder / "metrics.json", self.metrics)
        (folder / "README.md").write_text(self.card, encoding="utf8")

    @staticmethod
    def load(folder: Path) -> Checkpoint:
        """Reads a checkpoint that `save` wrote.

        Raises:
            CheckpointError: a file is missing, damaged or not what the manifest says, or weights are not finite.
        """
        require_intact(folder)
        require_self_contained(folder)
        with without_progress_bars():
            model = DiffusionModel.from_pretrained(folder, dtype=torch.float32).eval()
        model.config.auto_map = None  # of code in this folder, which a copy may not have
        tokenizer = load_tokenizer(folder)
        if tokenizer.vocabulary != model.vocabulary:
            raise CheckpointError(f"the tokenizer in {folder} does not fit its model: their vocabularies differ")
        found = read_json(folder / "calibration.json") if (folder / "calibration.json").exists() else {}
        try:
            samplers = build(DefaultSamplers, read_json(folder / "sampler.json"), "sampler.json")
            calibration = build(Calibration, found, "calibration.json")
        except ConfigError as error:
            raise CheckpointError(f"{folder}: {error}") from None
        metrics = read_object(folder / "metrics.json") or None
        card = (folder / "README.md").read_text("utf8", "replace") if (folder / "README.md").exists() else ""
        return Checkpoint(model, tokenizer, samplers, None, metrics, card, calibration)


@contextmanager
def without_progress_bars() -> Iterator[None]:
    """transformers shows a bar for every file that it reads or writes; ours take no time worth one."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def is_checkpoint(folder: Path) -> bool:
    """Whether a folder claims to be a textdiff checkpoint."""
    if (folder / MANIFEST).exists():
        return True
    return read_object(folder / "config.json").get("model_type") == DiffusionConfig.model_type
