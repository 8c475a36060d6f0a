"""Runs a recipe: text, tokenizer, model, training, and the checkpoint that comes out."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from textdiff.backbones import LoraConfig, adapt, merge, merged_state, require_separable
from textdiff.data import Loader
from textdiff.data.prepared import tokenizer_digest
from textdiff.errors import ConfigError
from textdiff.files import read_json
from textdiff.infiller import Checkpoint, DefaultSamplers, Infiller
from textdiff.metrics import Score
from textdiff.model import DiffusionModel
from textdiff.recipe.card import model_card
from textdiff.recipe.comparing import keep_scores, kept_scores
from textdiff.recipe.filling import filling_scores
from textdiff.recipe.material import Material, Stream
from textdiff.recipe.pairs import Pairs
from textdiff.recipe.recipe import Recipe
from textdiff.recipe.reporting import Reporting
from textdiff.recipe.resuming import begin, finished, recipe_fingerprint, say, state_to_resume
from textdiff.recipe.texts import Texts
from textdiff.registry import to_config
from textdiff.text.canvas import Canvas
from textdiff.text.tokenizers import Tokenizer
from textdiff.training import TrainingJob, is_main_process, make_accelerator, require_same, require_trackers, train

# Windows of a held-out canvas where nobody says how many fit; no gradient is kept of them.
_HELD_OUT_ROWS = 8


@dataclass(frozen=True)
class PreparedRun:
    """A recipe with its text and tokenizer at hand.

    Attributes:
        recipe: what to do.
        folder: where the recipe stands; relative paths are looked for there too.
        start: a model to start from, with its tokenizer, or None for a new one.
    """

    recipe: Recipe
    folder: Path
    start: Checkpoint | None = None

    @cached_property
    def tokenizer(self) -> Tokenizer:
        if self.start is not None:
            return self.start.tokenizer
        return self._texts.tokenizer(self.recipe.data.train, self.recipe.tokenizer)

    @cached_property
    def _texts(self) -> Texts:
        return Texts(self.recipe.data, self.folder)

    @cached_property
    def material(self) -> Material:
        """The text in tokens."""
        parts = self.recipe, self._texts, self.tokenizer
        pairs = self.recipe.data.pairs
        return Stream(*parts) if pairs is None else Pairs(*parts, pairs)

    def model(self) -> DiffusionModel:
        """A new model, or the one to start from, with adapters if it is to have such.

        Raises:
            ConfigError: its network cannot separate documents, or be adapted or annealed, which the recipe asks for.
        """
        model = self._fresh_model() if self.start is None else self.start.model
        data = self.recipe.data
        model.config.separate_documents = data.separate_documents
        model.config.target_length = None if data.pairs is None else data.pairs.target_length
        if model.config.separate_documents:
            require_separable(model.backbone, model.vocabulary, self.recipe.context_length)
        if self.recipe.training.attention_annealing_steps and not model.backbone.was_causal:
            raise ConfigError(
                "training.attention_annealing_steps: this network has never read from left to right; leave it out"
            )
        if self.recipe.lora is not None:
            self._adapt(model, self.recipe.lora)
        return model

    def _adapt(self, model: DiffusionModel, lora: LoraConfig) -> None:
        if self.start is None:
            raise ConfigError("lora adapts a model that is trained already: it goes with textdiff finetune")
        with torch.random.fork_rng():
            torch.manual_seed(self.recipe.seed)
            adapt(model.backbone, lora, model.backbone.has_new_head or self.recipe.tokenizer.path is None)
        trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
        frozen = sum(p.numel() for p in model.parameters() if not p.requires_grad)
        say(f"lora: {trained:,} weights are trained, {frozen:,} stay")

    def _fresh_model(self) -> DiffusionModel:
        recipe = self.recipe
        process = recipe.make_process(self.tokenizer.vocabulary)
        with torch.random.fork_rng():
            torch.manual_seed(recipe.seed)  # transformers initialises weights from the global generator
            return DiffusionModel.of(recipe.backbone, process, recipe.context_length, recipe.prediction)

    def loader(self) -> Loader:
        """The samples for training."""
        return self.material.loader()

    def validation(self, windows: int | None) -> Iterator[Canvas]:
        """Held-out canvases; see `Material.validation`."""
        rows = self.recipe.training.per_device_train_batch_size
        return self.material.validation(_HELD_OUT_ROWS if rows == "auto" else rows, windows)

    def fingerprint(self) -> dict[str, Any]:
        """What must be the same for a run to be resumed."""
        plain = recipe_fingerprint(self.recipe)
        plain["corpus_sha256"] = self.material.sha256
        plain["tokenizer_sha256"] = tokenizer_digest(self.tokenizer)
        return plain


def run_recipe(
    recipe: Recipe, folder: Path, output: Path, resume: str = "auto", start: Checkpoint | None = None
) -> Checkpoint:
    """Trains, and leaves a checkpoint in `output/model`.

    Args:
        recipe: what to do.
        folder: where the recipe stands.
        output: the run's folder.
        resume: `auto` goes on from the newest state in `output` where there is one, `never` refuses a folder that has one,
            anything else is the path of a state.
        start: a model to start from instead of a new one.

    Raises:
        ConfigError: `output` is a file, cannot be written to, or is the folder of a run that differs; the package of a
            tracker is missing; documents are to be separated, and the tokenizer or the network cannot.
        CheckpointError: the state that was asked for, or every state there is, is damaged.
    """
    require_trackers(recipe.training.trackers)
    state = state_to_resume(recipe, output, resume)
    run = PreparedRun(recipe, folder, start)
    fingerprint = run.fingerprint()
    if state is not None:
        require_same(read_json(state / "state.json")["fingerprint"], fingerprint, str(state))
        if (done := finished(recipe, state, output)) is not None:
            say(f"nothing to do: {output} is finished")
            return done
    loader, model = run.loader(), run.model()
    plain = to_config(recipe)
    held_out = run.material.holds_out
    begin(output, recipe)
    result = Checkpoint(model, run.tokenizer, DefaultSamplers.of(model.process, recipe.samplers), plain)
    before = _start_scores(run, output, state is not None) if held_out and is_main_process() else []
    with Reporting(recipe, output) as reporting:
        progress = train(
            TrainingJob(
                model=model,
                loader=loader,
                objective=recipe.objective,
                config=recipe.training,
                output=output,
                seed=recipe.seed,
                validation=run.validation if held_out else None,
                save_model=lambda: _whole(result).save(output / "model"),
                fingerprint=fingerprint,
                on_record=reporting.record,
            ),
            state,
        )
        merge(model.backbone)
        if not is_main_process():
            return result
        report = run.material.score(model) if held_out else None
        reporting.finish(progress.step, model.process, report)
    scores = [*report.scores, *_filling(run, result)] if report else []
    card = model_card(model, run.tokenizer, plain, scores, progress.step, progress.tokens, progress.seconds)
    metrics = {"scores": [score.plain() for score in scores], **({"before": before} if before else {})}
    result = replace(result, metrics=metrics, card=card)
    result.save(output / "model")
    return result


def _whole(checkpoint: Checkpoint) -> Checkpoint:
    """The same without adapters: a copy that has them added to its weights, if there are any."""
    if (checkpoint.recipe or {}).get("lora") is None:
        return checkpoint
    model = DiffusionModel(copy.deepcopy(checkpoint.model.config))
    model.load_state_dict(merged_state(checkpoint.model))
    return replace(checkpoint, model=model)


def _start_scores(run: PreparedRun, output: Path, resuming: bool) -> list[dict[str, Any]]:
    """The held-out scores of the model to start from, as plain data; none of a new one."""
    if run.start is None:
        return []
    if resuming and (kept := kept_scores(output)):
        return kept
    model = run.start.model.to(make_accelerator().device)
    report = run.material.score(model)
    filled = _filling(run, run.start)
    model.to("cpu")  # where training expects it
    say(f"step 0: held-out nelbo {report.scores[0].value:.4f} nats/token")
    return keep_scores(output, [*report.scores, *filled])


def _filling(run: PreparedRun, checkpoint: Checkpoint) -> list[Score]:
    """How well a model that was started from, or what became of it, fills gaps in the held-out text."""
    if run.start is None or not isinstance(run.material, Stream):
        return []
    infiller = Infiller(checkpoint.model, checkpoint.tokenizer, checkpoint.samplers)
    return filling_scores(infiller, run.material.split[1], run.recipe.seed)
