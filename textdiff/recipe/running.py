"""Runs a recipe: text, tokenizer, model, training, and the checkpoint that comes out."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import textdiff
from textdiff.corpus import stream_chunks
from textdiff.data import PackedCorpus, PreparedCorpus, TrainingLoader, evaluation_batches, word_joins
from textdiff.data.packing import Ids
from textdiff.data.prepared import tokenizer_digest
from textdiff.errors import CheckpointError, ConfigError
from textdiff.evaluation import ScoredText, entropy_scores, likelihood_scores, measure_nelbo
from textdiff.files import clean_stale, dump_yaml, load_yaml, parse_yaml, read_json, verify_folder
from textdiff.infiller import Checkpoint, DefaultSamplers
from textdiff.metrics import Score, signature
from textdiff.model import DiffusionModel
from textdiff.recipe.card import model_card
from textdiff.recipe.recipe import Recipe
from textdiff.recipe.texts import Texts, prepared_tokenizer
from textdiff.registry import name_of, to_config
from textdiff.text.canvas import Canvas
from textdiff.text.tokenizers import Tokenizer, load_tokenizer, train_tokenizer
from textdiff.training import TrainingJob, is_main_process, state_folders, train

# What may change between a run and its continuation.
_FREE_TO_CHANGE = {"description", "samplers"}
_FREE_IN_TRAINING = {
    "max_steps", "learning_rate", "warmup_steps", "lr_scheduler_type", "decay_share", "eval_steps", "save_steps",
    "logging_steps", "eval_windows", "save_total_limit", "max_skipped_steps", "ema_decay",
}  # fmt: skip


# Keys that recipes got later, and what a run from before did: its states and its recipe lack them.
_LATER_KEYS = {"encoding": "utf-8", "skip_bad": False}

# Tokens of the last evaluation at least: a short text is corrupted several times.
_FINAL_TOKENS = 1 << 16


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
        wanted = self.recipe.tokenizer
        if wanted.path is not None:
            return load_tokenizer(self._texts.find(wanted.path))
        if self._prepared is not None:
            return prepared_tokenizer(self._prepared, wanted)
        chunks = (chunk.text for chunk in stream_chunks(self._texts.pieces(self.recipe.data.train)))
        return train_tokenizer(wanted.kind, chunks, wanted.vocab_size)

    @cached_property
    def _texts(self) -> Texts:
        return Texts(self.recipe.data, self.folder)

    @cached_property
    def _prepared(self) -> PreparedCorpus | None:
        return self._texts.prepared(self.recipe.data.train)

    @cached_property
    def _split(self) -> tuple[Ids, Ids]:
        """The ids for training and those that are held out."""
        data = self.recipe.data
        ids = self._texts.ids(data.train, self.tokenizer, is_main_process())
        if data.validation:
            return ids, self._texts.ids(data.validation, self.tokenizer, is_main_process())
        cut = len(ids) - int(len(ids) * data.validation_share)
        return ids[:cut], ids[cut:]

    @property
    def training_ids(self) -> Ids:
        return self._split[0]

    @property
    def validation_ids(self) -> Ids:
        return self._split[1]

    def model(self) -> DiffusionModel:
        """A new model, or the one to start from."""
        if self.start is not None:
            return self.start.model
        import torch

        recipe = self.recipe
        process = recipe.make_process(self.tokenizer.vocabulary)
        with torch.random.fork_rng():
            torch.manual_seed(recipe.seed)  # transformers initialises weights from the global generator
            return DiffusionModel.of(recipe.backbone, process, recipe.context_length, recipe.prediction)

    def loader(self) -> TrainingLoader:
        recipe = self.recipe
        corpus = PackedCorpus(self.training_ids, recipe.context_length, recipe.seed)
        vocabulary, joins = self.tokenizer.vocabulary, word_joins(self.tokenizer)
        return TrainingLoader(corpus, vocabulary, recipe.tasks, recipe.condition_dropout, joins)

    def validation(self, windows: int | None) -> Iterator[Canvas]:
        """Held-out canvases; see `evaluation_batches`."""
        rows = self.recipe.training.per_device_train_batch_size
        length, seed = self.recipe.context_length, self.recipe.seed
        return evaluation_batches(self.validation_ids, length, rows, self.tokenizer.vocabulary, seed, windows)

    def fingerprint(self) -> dict[str, Any]:
        """What must be the same for a run to be resumed."""
        plain = {k: v for k, v in to_config(self.recipe).items() if k not in _FREE_TO_CHANGE}
        plain["training"] = {k: v for k, v in plain["training"].items() if k not in _FREE_IN_TRAINING}
        plain["data"] = {k: v for k, v in plain["data"].items() if _LATER_KEYS.get(k, ...) != v}
        whole = self._prepared
        plain["corpus_sha256"] = hashlib.sha256(self.training_ids.data).hexdigest() if whole is None else whole.sha256
        plain["tokenizer_sha256"] = tokenizer_digest(self.tokenizer)
        return dict(json.loads(json.dumps(plain)))


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
        ConfigError: `output` is a file or the folder of a run that differs.
    """
    if is_main_process():
        for left in clean_stale(output / "state"):
            print(f"{left} was left half-written by a run that died, and is removed", file=sys.stderr, flush=True)
    state = _state(recipe, output, resume)
    done = _finished(recipe, state, output)
    if done is not None:
        if is_main_process():
            print(f"nothing to do: {output} is finished", file=sys.stderr, flush=True)
        return done
    run = PreparedRun(recipe, folder, start)
    loader, model, fingerprint = run.loader(), run.model(), run.fingerprint()
    plain = to_config(recipe)
    if is_main_process():
        output.mkdir(parents=True, exist_ok=True)
        (output / "recipe.yaml").write_text(dump_yaml(plain), encoding="utf8")
    result = Checkpoint(model, run.tokenizer, recipe.samplers or DefaultSamplers.of(model.process), plain)
    held_out = len(run.validation_ids) > 1
    progress = train(
        TrainingJob(
            model=model,
            loader=loader,
            objective=recipe.objective,
            config=recipe.training,
            output=output,
            seed=recipe.seed,
            validation=run.validation if held_out else None,
            save_model=lambda: result.save(output / "model"),
            fingerprint=fingerprint,
        ),
        state,
    )
    if not is_main_process():
        return result
    scores = _final_scores(run, model) if held_out else []
    card = model_card(model, run.tokenizer, plain, scores, progress.step, progress.tokens, progress.seconds)
    result = replace(result, metrics={"scores": [score.plain() for score in scores]}, card=card)
    result.save(output / "model")
    return result


def _final_scores(run: PreparedRun, model: DiffusionModel) -> list[Score]:
    """All of the held-out text under the finished model, and what counting would reach on it."""
    model.eval()
    text = run.tokenizer.decode(run.validation_ids.tolist())
    scored = ScoredText(run.validation_ids, len(text.encode()), len(text.split()))
    repeats = -(-_FINAL_TOKENS // len(run.validation_ids))
    sign = signature(
        {
            "process": name_of(model.process),
            "data": f"{hashlib.sha256(text.encode()).hexdigest()[:12]}",
            "context": model.config.context_length,
            "packing": "consecutive",
            "windows": "all",
            "repeats": repeats,
            "seed": run.recipe.seed,
            "version": textdiff.__version__,
        }
    )
    found = measure_nelbo(model, run.tokenizer, scored, repeats, None, run.recipe.seed)
    return [*likelihood_scores(found, scored, run.tokenizer, sign), *entropy_scores(scored, run.tokenizer, sign)]


def _state(recipe: Recipe, output: Path, resume: str) -> Path | None:
    """The state to go on from. All that can be refused is refused here, before anything is computed."""
    if output.exists() and not output.is_dir():
        raise ConfigError(f"{output} is a file; --output needs a folder")
    if resume not in ("auto", "never"):
        if not (Path(resume) / "state.json").exists():
            raise ConfigError(
                f"{resume} holds no state of a run; --resume takes auto, never or a folder such as state/step-00000500"
            )
        return Path(resume)
    states = state_folders(output)
    if not states:
        return None
    if resume == "never":
        raise ConfigError(f"{output} already holds a run; choose another --output, or --resume auto to go on with it")
    before = load_yaml(output / "recipe.yaml")
    if isinstance(before.get("data"), dict):
        before["data"] = _LATER_KEYS | before["data"]
    now = to_config(recipe)
    changed = [key for key in now if key not in {*_FREE_TO_CHANGE, "training"} and before.get(key) != now[key]]
    if changed:
        raise ConfigError(
            f"{output} holds a run of another recipe: {', '.join(changed)} differ. Choose another --output, or remove it"
        )
    return _newest_intact(states)


def _newest_intact(states: list[Path]) -> Path:
    """The newest state that is whole; says which ones are not.

    Raises:
        CheckpointError: none is.
    """
    for folder in reversed(states):
        problems = verify_folder(folder)
        if not problems:
            return folder
        if is_main_process():
            print(f"{folder} is damaged and is not used: {problems[0]}", file=sys.stderr, flush=True)
    raise CheckpointError(
        f"none of the states in {states[-1].parent} is intact, so this run cannot go on; choose another --output"
    )


def _finished(recipe: Recipe, state: Path | None, output: Path) -> Checkpoint | None:
    """The model of a run that had come to its end, if it is there and whole."""
    if state is None or not (output / "model" / "metrics.json").is_file() or verify_folder(output / "model"):
        return None
    if read_json(state / "state.json")["progress"]["step"] < recipe.training.max_steps:
        return None
    asked = parse_yaml(dump_yaml(to_config(recipe)), "recipe")
    return Checkpoint.load(output / "model") if load_yaml(output / "model" / "recipe.yaml") == asked else None
