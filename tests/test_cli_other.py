"""`textdiff evaluate`, `tokenizer`, `list`, `info` and `verify`."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from tiny import CONTEXT, TEXT, run, save_tiny, tiny_checkpoint

import textdiff
from textdiff import registry
from textdiff.cli.info import card_lines
from textdiff.cli.score_tables import number, score_table
from textdiff.evaluation import evaluate
from textdiff.files import verify_folder
from textdiff.metrics import Score
from textdiff.sampling import Accept, preset_names, preset_note
from textdiff.text.tokenizers import load_tokenizer


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text(TEXT * 3)
    return path


def test_scores_are_those_of_the_library(model: Path, text: Path) -> None:
    words = ["evaluate", "-m", model, "--data", text, text, "--repeats", 2, "--max-windows", 3, "--seed", 4]
    ended = run(*words, "--json")
    assert (ended.code, ended.err) == (0, "")
    found = json.loads(ended.out)
    assert (found["schema"], found["model"], found["seed"]) == ("textdiff.evaluate/1", str(model), 4)
    scores = evaluate(textdiff.load(model), [text, text], repeats=2, max_windows=3, seed=4)
    assert found["scores"] == [score.plain() for score in scores]
    keys = {"name", "value", "unit", "standard_error", "n", "signature", "degrees_of_freedom"}
    assert set(found["scores"][0]) == keys
    shown = run(*words).text
    assert all(score.name in shown and score.unit in shown for score in scores)
    assert f"\n{scores[0].signature}\n" in shown


def test_metrics_are_chosen_by_name(model: Path, text: Path) -> None:
    ended = run("evaluate", "-m", model, "--data", text, "--metrics", "entropy", "--json")
    assert [s["name"] for s in json.loads(ended.out)["scores"]] == ["unigram_entropy", "bigram_entropy"]
    ended = run("evaluate", "-m", "nowhere", "--data", text, "--metrics", "nelbo,entropie")
    assert (ended.code, ended.out) == (2, b"")
    assert "no metric is named 'entropie'. Did you mean 'entropy'?" in ended.err


def test_a_single_window_has_no_known_error(model: Path, text: Path) -> None:
    ended = run("evaluate", "-m", model, "--data", text, "--metrics", "nelbo", "--max-windows", 1, "--json")
    assert json.loads(ended.out)["scores"][0]["standard_error"] is None
    one = run("evaluate", "-m", model, "--data", text, "--max-windows", 1).text
    assert "One window was scored; an interval needs more text." in one
    assert "±" not in one and "inf" not in one and "nan" not in one


@pytest.mark.parametrize(
    ("value", "error", "shown"),
    [
        (3.21987, 0.01234, "3.220 ± 0.012"),
        (1234.5, 56.7, "1234 ± 57"),
        (1.0, 0.096, "1.000 ± 0.096"),
        (2.5, None, "2.5000"),
        (2.5, 0.0, "2.5000"),
        (2.5, math.inf, "2.5000"),
        (None, None, "unknown"),
        (math.nan, math.nan, "unknown"),
        (3e9, math.inf, "3.000e+09"),
    ],
)
def test_a_number_has_the_decimals_that_its_error_allows(value: float | None, error: float | None, shown: str) -> None:
    assert number(value, error) == shown


def test_the_table_is_aligned_and_shows_each_signature_once() -> None:
    scores = [Score("nelbo", 3.5, "nats/token", 1200, 0.01, "a:1"), Score("bits", 1, "bits/byte", 9, None, "a:1")]
    assert score_table(scores) == (
        "nelbo  3.500 ± 0.010  nats/token  n = 1,200\nbits   1.0000         bits/byte   n = 9\n\na:1\n"
    )


@pytest.mark.parametrize("kind", ["byte_bpe", "characters", "sentencepiece_bpe"])
def test_a_tokenizer_is_trained_and_checked(kind: str, text: Path, tmp_path: Path) -> None:
    folder = tmp_path / "tokenizer"
    words = ["--data", text, text, "--kind", kind, "--vocab-size", 290, "--output", folder]
    ended = run("tokenizer", "train", *words)
    assert (ended.code, ended.out, ended.err) == (0, f"{folder}\n".encode(), "")
    tokenizer = load_tokenizer(folder)
    assert verify_folder(folder) == []
    assert run("verify", folder).code == 0
    ended = run("tokenizer", "check", folder, "--data", text)
    assert (ended.code, ended.err) == (0, "")
    shown = dict(line.split("  ", 1) for line in ended.text.splitlines())
    tokens = len(tokenizer.encode(TEXT * 3))
    assert shown["round trip"].strip() == "1 of 1 exact"
    assert float(shown["tokens per word"]) == pytest.approx(tokens / len((TEXT * 3).split()), abs=1e-3)
    assert float(shown["bytes per token"]) == pytest.approx(len(TEXT) * 3 / tokens, abs=1e-3)


def test_a_text_that_does_not_come_back_fails_the_check(text: Path, tmp_path: Path) -> None:
    folder, other = tmp_path / "tokenizer", tmp_path / "other.txt"
    run("tokenizer", "train", "--data", text, "--kind", "characters", "--vocab-size", 100, "--output", folder)
    other.write_text("The old \N{SNOWMAN} house.")
    ended = run("tokenizer", "check", folder, "--data", text, other)
    assert ended.code == 8
    assert f"1 of 2 documents do not come back exactly; the first is in {other}, from character 8 on" in ended.err
    assert "1 of 2 exact" in ended.text
    assert "0.0000%" not in ended.text


def test_every_component_is_listed() -> None:
    ended = run("list", "--json")
    assert (ended.code, ended.err) == (0, "")
    found = json.loads(ended.out)
    assert found["schema"] == "textdiff.list/1"
    listed = {family["family"]: [entry["name"] for entry in family["members"]] for family in found["families"]}
    assert listed.pop("Sampler") == preset_names()
    assert listed == {name: registry.names(base) for name, base in registry.families().items()}
    assert all(family["summary"] for family in found["families"])
    assert all(entry["summary"] for family in found["families"][:-1] for entry in family["members"])
    shown = run("list").text
    assert all(f"\n  {name}" in shown for members in listed.values() for name in members)


def test_what_is_said_of_a_preset_can_be_typed() -> None:
    """The options that its authors ran it with."""
    remarks = {name: preset_note(name) for name in preset_names()}
    said = {name: note.removeprefix("Its authors' runs: ") for name, note in remarks.items() if "runs:" in note}
    assert sorted(said) == ["psi", "remdm", "remdm_confidence", "remdm_loop"]
    for name, options in said.items():
        ended = run(
            "generate",
            "--sampler",
            name,
            *re.sub("--steps [0-9]+", "--steps 2", options).split(),
            "--max-new-tokens",
            3,
        )
        assert (ended.code, ended.err) == (0, "")
    assert said["remdm"] in run("list", "sampler").text


@pytest.mark.parametrize(
    ("word", "family"),
    [
        ("accept", "Accept"),
        ("Schedules", "Schedule"),
        ("processes", "ForwardProcess"),
        ("time_grid", "TimeGrid"),
        ("backbone", "BackboneConfig"),
        ("sampler", "Sampler"),
    ],
)
def test_a_family_goes_by_what_people_call_it(word: str, family: str) -> None:
    families = json.loads(run("list", word, "--json").out)["families"]
    assert [found["family"] for found in families] == [family]
    assert run("list", word).text.startswith(f"{family}: ")


@pytest.fixture
def new_policy() -> Iterator[None]:
    @registry.register(Accept, "eager_test")
    @dataclass(frozen=True)
    class EagerAccept(Accept):
        """Takes all at once. Source: a test."""

        zeal: float = 1.0
        note: str | None = None

    yield
    del registry._FAMILIES[Accept]["eager_test"]


def test_a_new_component_is_listed_at_once(new_policy: None) -> None:
    assert "\n  eager_test  Takes all at once.\n      zeal=1.0, note=null\n" in run("list", "accept").text
    assert "eager_test" not in run("list", "warp").text


def test_info_tells_what_a_model_is(model: Path) -> None:
    checkpoint = tiny_checkpoint()
    ended = run("info", model, "--json")
    assert (ended.code, ended.err) == (0, "")
    found = json.loads(ended.out)
    assert found["schema"] == "textdiff.info/1"
    assert found["kind"] == "textdiff checkpoint"
    assert found["parameters"] == sum(p.numel() for p in checkpoint.model.parameters())
    assert (found["context_length"], found["tokenizer"], found["filler"]) == (CONTEXT, "byte_bpe", True)
    assert found["process"]["name"] == "absorbing"
    assert found["samplers"] == registry.to_config(checkpoint.samplers)
    shown = run("info", model).text
    assert f"{found['parameters']:,} parameters" in shown
    assert shown.endswith("\n# A tiny model\nIt knows nothing.\n")


def test_a_card_is_shown_without_its_front_matter() -> None:
    assert card_lines("---\ntags: [a]\n---\n# Title\n\nText.\n") == ["# Title", "Text."]
    assert card_lines("# Title\n---\nText\n") == ["# Title", "---", "Text"]
    assert card_lines("") == []


def test_an_intact_folder_is_verified(model: Path) -> None:
    ended = run("verify", model)
    assert (ended.code, ended.text, ended.err) == (0, f"ok: {model}\n", "")


def test_c7_damage_is_found_and_named(tmp_path: Path) -> None:
    folder = save_tiny(tmp_path / "model")
    weights = folder / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-5] ^= 1
    weights.write_bytes(data)
    (folder / "sampler.json").unlink()
    ended = run("verify", folder)
    assert (ended.code, ended.out) == (8, b"")
    assert "failed 2 checks: model.safetensors: its sha256 is not that of what was written; sampler.json: missing" in (
        ended.err
    )
    assert run("verify", tmp_path).code == 8
    assert run("infill", "-", "-m", folder, stdin=b"[MASK]").code == 5


def test_c8_weights_that_are_not_finite_are_found(tmp_path: Path) -> None:
    checkpoint = tiny_checkpoint()
    with torch.no_grad():
        next(checkpoint.model.parameters()).view(-1)[0] = math.nan
    checkpoint.save(tmp_path / "model")
    ended = run("verify", tmp_path / "model")
    assert ended.code == 8
    assert "NaN or infinity in backbone." in ended.err
