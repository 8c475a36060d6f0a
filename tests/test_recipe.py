"""Recipes: strict, overridable, and every one that is shipped builds and runs."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from huggingface_hub import ModelCard
from pairs import sources, write_pairs
from tiny import tiny_checkpoint

from textdiff.backbones import DiTConfig
from textdiff.errors import ConfigError, DataError
from textdiff.files import apply_override
from textdiff.infiller import load
from textdiff.metrics import Score
from textdiff.processes import ForwardProcess, UniformProcess
from textdiff.recipe import Recipe, load_recipe, run_recipe
from textdiff.recipe.card import model_card
from textdiff.registry import build, to_config
from textdiff.training import state_folders
from textdiff.vocabulary import Vocabulary

ROOT = Path(__file__).resolve().parent.parent
RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))
GARDEN = str(ROOT / "data" / "corpus" / "garden.txt")
QUICK = [
    f"data.train={GARDEN}",
    "data.validation=[]",
    "context_length=32",
    "training.max_steps=2",
    "training.per_device_train_batch_size=2",
    "training.eval_steps=1",
    "training.save_steps=1",
    "training.eval_windows=2",
]


def small(path: Path) -> list[str]:
    text = path.read_text()
    vocabulary = 100 if "kind: characters" in text else 300
    wide = "hidden_size: 768" in text
    less = ["backbone.hidden_size=96", "backbone.num_hidden_layers=3"] if wide else []
    share = ["training.global_batch_size=4"] if "global_batch_size" in text else []
    return [*QUICK, *less, *share, f"tokenizer.vocab_size={vocabulary}"]


@pytest.fixture
def garden(tmp_path: Path) -> Path:
    """A short text, so that the last evaluation is quick."""
    path = tmp_path / "garden.txt"
    path.write_text(Path(GARDEN).read_text(encoding="utf8")[:4000], encoding="utf8")
    return path


@pytest.mark.parametrize("path", [p for p in RECIPES if "pairs:" not in p.read_text()], ids=lambda p: p.stem)
def test_every_recipe_builds_and_runs_two_steps(
    path: Path, tmp_path: Path, garden: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("textdiff.evaluation.held_out._LEAST_TOKENS", 1 << 10)  # a real network scores 65,536 slowly
    recipe = load_recipe(path, [*small(path), f"data.train={garden}"])
    run_recipe(recipe, path.parent, tmp_path / "run")
    model = load(tmp_path / "run")
    assert model.infill("It was [MASK: 3 tokens] then.").document.startswith("It was ")
    card = (tmp_path / "run" / "model" / "README.md").read_text()
    assert "bits_per_byte" in card and "bigram_entropy" in card


@pytest.mark.parametrize("path", [p for p in RECIPES if "pairs:" in p.read_text()], ids=lambda p: p.stem)
def test_every_recipe_of_pairs_builds_and_runs_two_steps(path: Path, tmp_path: Path) -> None:
    pairs = write_pairs(tmp_path / "pairs.jsonl", 20)
    less = ["backbone.hidden_size=32", "backbone.num_hidden_layers=1", f"data.train={pairs}"]
    recipe = load_recipe(path, [option for option in small(path) if not option.startswith("context")] + less)
    run_recipe(recipe, path.parent, tmp_path / "run")
    infiller = load(tmp_path / "run")
    assert infiller.samplers == recipe.samplers
    assert len(infiller.targets(sources(3))) == 3
    card = (tmp_path / "run" / "model" / "README.md").read_text()
    assert "bits_per_byte" in card and "generate --condition sources.txt" in card and "Once upon" not in card


def test_the_hub_reads_the_head_of_a_card() -> None:
    """Its own parser; and what is not known is not there."""
    checkpoint = tiny_checkpoint()
    scores = [Score("nelbo", 4.25, "nats/token", 100, 0.5, "a:b"), Score("perplexity", math.nan, "x", 1, None, "a:b")]
    recipe = {"description": "", "data": {"train": "a.txt", "validation": "b.txt"}}
    card = {"license": "apache-2.0", "language": ["en"], "datasets": []}
    for known in (card, {}):
        text = model_card(checkpoint.model, checkpoint.tokenizer, {**recipe, "card": known}, scores, 3, 40, 60.0)
        data = ModelCard(text).data
        assert (data.license, data.language, data.datasets) == (known.get("license"), known.get("language"), None)
        assert data.library_name == "textdiff" and data.pipeline_tag == "fill-mask" and "infilling" in data.tags
        (result,) = data.eval_results or []
        assert (result.metric_type, result.metric_value, result.dataset_name) == ("nelbo", 4.25, "b.txt")


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.stem)
def test_a_recipe_survives_the_round_trip(path: Path) -> None:
    recipe = load_recipe(path)
    assert build(Recipe, to_config(recipe)) == recipe


def test_uniform_noise_needs_one_override() -> None:
    recipe = load_recipe(ROOT / "recipes" / "shakespeare.yaml", ["process.name=uniform"])
    vocabulary = Vocabulary(6, (0,), mask_id=1)
    process = recipe.make_process(vocabulary)
    assert isinstance(process, UniformProcess)
    assert isinstance(recipe.backbone, DiTConfig)
    assert recipe.backbone.resolved(process.needs_time).time_embedding == "sinusoidal"
    assert not build(ForwardProcess, "absorbing", vocabulary=vocabulary).needs_time
    assert recipe.backbone.resolved(False).time_embedding == "none"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.max_step=5", r"training\.max_step: unknown key\. Did you mean 'max_steps'\?"),
        ("training.max_steps=many", r"training\.max_steps: .* got 'many'"),
        (
            "training.per_device_train_batch_size=many",
            r"training\.per_device_train_batch_size: .* or .*'auto', got 'many'",
        ),
        ("training.per_device_train_batch_size=true", r"per_device_train_batch_size: expected a number, got True"),
        (
            "training.per_device_train_batch_size=auto",
            r"training: per_device_train_batch_size: auto needs global_batch_size",
        ),
        ("training.global_batch_size=0", r"training: global_batch_size must be at least 1, got 0"),
        ("process.name=absorbin", r"no ForwardProcess is named 'absorbin'\. Did you mean 'absorbing'\?"),
        ("training.learning_rate=-1", r"training: learning_rate must be above 0, got -1"),
        ("context_length=1", "context_length must be at least 2, got 1"),
        ("tasks=[]", "tasks must name at least one task"),
        ("seed.deep=1", r"--set seed\.deep: seed is 1, which has no keys"),
        ("nothing", "--set expects key=value"),
    ],
)
def test_wrong_overrides_say_what_is_wrong(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_recipe(ROOT / "recipes" / "shakespeare.yaml", [override])


def test_y1_numbers_in_scientific_notation_are_numbers() -> None:
    values: dict[str, object] = {"training": {}}
    apply_override(values, "training.learning_rate=1e-4")
    assert values == {"training": {"learning_rate": 1e-4}}


def test_another_component_drops_the_options_of_the_old_one() -> None:
    values: dict[str, object] = {"process": {"name": "hybrid", "mask_share": 0.5}}
    apply_override(values, "process.name=uniform")
    assert values == {"process": {"name": "uniform"}}


def test_a_missing_file_says_where_it_was_looked_for(tmp_path: Path) -> None:
    path = RECIPES[0]
    recipe = load_recipe(path, [*small(path), "data.train=nowhere.txt"])
    with pytest.raises(
        DataError, match=r"nowhere\.txt was not found \(looked for nowhere\.txt, .*recipes/nowhere\.txt"
    ):
        run_recipe(recipe, path.parent, tmp_path / "run")


def test_c6_c9_the_folder_of_another_run_is_refused(tmp_path: Path, garden: Path) -> None:
    path = ROOT / "recipes" / "shakespeare.yaml"
    overrides = [*small(path), f"data.train={garden}", "backbone.hidden_size=16", "backbone.num_hidden_layers=1"]
    run_recipe(load_recipe(path, overrides), path.parent, tmp_path / "run")
    states = state_folders(tmp_path / "run")
    other = load_recipe(path, [*overrides, "seed=9"])
    with pytest.raises(ConfigError, match=r"step-\d+ is of another run: seed was 1 and is 9\."):
        run_recipe(other, path.parent, tmp_path / "run")
    with pytest.raises(ConfigError, match="already holds a run"):
        run_recipe(load_recipe(path, overrides), path.parent, tmp_path / "run", resume="never")
    with pytest.raises(ConfigError, match="holds no state of a run"):
        run_recipe(load_recipe(path, overrides), path.parent, tmp_path / "run", resume=str(tmp_path))
    assert state_folders(tmp_path / "run") == states
    run_recipe(load_recipe(path, [*overrides, "training.max_steps=3"]), path.parent, tmp_path / "run")
    assert state_folders(tmp_path / "run")[-1].name == "step-00000003"
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="is a file"):
        run_recipe(other, path.parent, tmp_path / "file")
