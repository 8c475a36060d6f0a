"""Models whose files say what cannot be: refused in a sentence, before memory is asked for."""

from __future__ import annotations

import json
import resource
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from planted import change_tokenizer, rewrite, save_masked_lm, seal
from safetensors.torch import load_file, save_file
from tiny import Ended, run, save_tiny, tiny_checkpoint

from textdiff.errors import CheckpointError
from textdiff.infiller import Checkpoint

Change = Callable[[Path], object]


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("originals")
    made = {"foreign": save_masked_lm(folder / "foreign"), "own": save_tiny(folder / "own")}
    assert all(run("infill", "-", "-m", model, stdin=b"a [MASK] b").code == 0 for model in made.values())
    return made


@pytest.fixture
def little_memory() -> Iterator[None]:
    """This process may have a gigabyte more than it has."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (psutil.Process().memory_info().vms + (1 << 30), hard))
    yield
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def after(original: Path, tmp_path: Path, change: Change) -> Ended:
    """What comes of filling a gap with a changed copy of a model, its manifest made to fit."""
    folder = tmp_path / "model"
    shutil.copytree(original, folder)
    change(folder)
    seal(folder)
    return run("infill", "-", "-m", folder, stdin=b"a [MASK] b")


def backbone(**values: Any) -> Change:
    def change(folder: Path) -> None:
        found = json.loads((folder / "config.json").read_text())
        rewrite(folder, backbone=found["backbone"] | values)

    return change


def vocabulary(**values: Any) -> Change:
    def change(folder: Path) -> None:
        found = json.loads((folder / "config.json").read_text())
        rewrite(folder, vocabulary=found["vocabulary"] | values)

    return change


def config(**values: Any) -> Change:
    return lambda folder: rewrite(folder, **values)


ABSURD: dict[str, tuple[str, Change]] = {
    "hidden_size 10^9": ("own", backbone(hidden_size=10**9)),
    "hidden_size 65,536": ("own", backbone(hidden_size=65_536)),
    "hidden_size -32": ("own", backbone(hidden_size=-32)),
    "layers -1": ("own", backbone(num_hidden_layers=-1)),
    "layers 1,024": ("own", backbone(num_hidden_layers=1_024)),
    "layers 10^12": ("own", backbone(num_hidden_layers=10**12)),
    "heads 0": ("own", backbone(num_attention_heads=0)),
    "mlp_ratio 10^30": ("own", backbone(mlp_ratio=1e30)),
    "vocabulary 10^12": ("own", vocabulary(size=10**12)),
    "vocabulary 2^24": ("own", vocabulary(size=1 << 24)),
    "vocabulary 0": ("own", vocabulary(size=0)),
    "context 2^40": ("own", config(context_length=1 << 40)),
    "context -1": ("own", config(context_length=-1)),
    "positions 10^12": ("foreign", config(max_position_embeddings=10**12)),
    "hidden 10^9": ("foreign", config(hidden_size=10**9)),
    "hidden -16": ("foreign", config(hidden_size=-16)),
    "layers below 0": ("foreign", config(num_hidden_layers=-1)),
    "no heads": ("foreign", config(num_attention_heads=0)),
    "types 10^11": ("foreign", config(type_vocab_size=10**11)),
    "ids 2^63": ("foreign", config(vocab_size=2**63)),
    "inner size 10^12": ("foreign", config(intermediate_size=10**12)),
}


@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize("name", ABSURD)
def test_c8_absurd_sizes_are_refused_before_memory_is_asked_for(
    originals: dict[str, Path], name: str, tmp_path: Path
) -> None:
    """A want of memory would end with another code."""
    kind, change = ABSURD[name]
    ended = after(originals[kind], tmp_path, change)
    assert (ended.code, ended.out, ended.err.count("\n")) == (5, b"", 1), ended.err
    assert "allocate" not in ended.err


TYPES = [None, True, "wide", 0.5, [], {}, [16]]


@pytest.mark.parametrize("value", TYPES, ids=repr)
@pytest.mark.parametrize("key", ["hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size"])
def test_c8_a_size_that_is_no_number_is_refused(
    originals: dict[str, Path], key: str, value: object, tmp_path: Path
) -> None:
    for kind in ("foreign", "own") if key != "vocab_size" else ("foreign",):
        change = config(**{key: value}) if kind == "foreign" else backbone(**{key: value})
        ended = after(originals[kind], tmp_path / kind, change)
        assert (ended.code, ended.out, ended.err.count("\n")) == (5, b"", 1), ended.err
        assert kind == "foreign" or f"backbone.{key}" in ended.err


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf], ids=str)
@pytest.mark.parametrize("kind", ["foreign", "own"])
def test_c8_one_number_that_is_not_finite_is_found(
    originals: dict[str, Path], kind: str, value: float, tmp_path: Path
) -> None:
    name = {"foreign": "bert.embeddings.LayerNorm.weight", "own": "backbone.norm.norm.weight"}[kind]

    def change(folder: Path) -> None:
        tensors = load_file(folder / "model.safetensors")
        tensors[name].view(-1)[-1] = value
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})

    ended = after(originals[kind], tmp_path, change)
    assert (ended.code, ended.out) == (5, b"")
    assert f"NaN or infinity in {name.removeprefix('backbone.')}" in ended.err.replace("backbone.", "")


def test_c8_another_tokenizer_does_not_fit(originals: dict[str, Path], tmp_path: Path) -> None:
    """One id more, or one more that is special: whatever is written would mean something else."""
    for number, changed in enumerate((tiny_checkpoint(kind="characters"), tiny_checkpoint())):
        folder = tmp_path / str(number)
        shutil.copytree(originals["own"], folder)
        changed.tokenizer.save(folder)
        if number:
            change_tokenizer(folder, lambda spec: spec["model"]["vocab"].update(zzz=len(spec["model"]["vocab"]) + 9))
        seal(folder)
        with pytest.raises(CheckpointError, match="does not fit its model: their vocabularies differ"):
            Checkpoint.load(folder)


def test_c8_a_tokenizer_with_more_ids_than_the_network_is_refused(originals: dict[str, Path], tmp_path: Path) -> None:
    more = {f"w{number}": 9 + number for number in range(5)}
    ended = after(
        originals["foreign"],
        tmp_path,
        lambda folder: change_tokenizer(folder, lambda spec: spec["model"]["vocab"].update(more)),
    )
    assert (ended.code, ended.out) == (5, b"")
    assert "the network knows 9 ids, the vocabulary has 14" in ended.err


DATA = {
    "empty": b"",
    "list": b"[]",
    "null": b"null",
    "number": b"5",
    "latin-1": b'{"a": "\xe9"}',
    "deep": b"[" * 100_000,
    "noise": bytes(range(256)),
}
NEEDED = {"config.json", "tokenizer.json", "vocab.txt", "model.safetensors"}
FILES = [
    *(("own", name) for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "sampler.json")),
    *(("own", name) for name in ("model.safetensors", "metrics.json", "calibration.json", "README.md")),
    *(("foreign", name) for name in ("config.json", "tokenizer.json", "vocab.txt", "model.safetensors")),
    *(("foreign", name) for name in ("special_tokens_map.json", "generation_config.json", "merges.txt")),
    *(("foreign", name) for name in ("model.safetensors.index.json", ".textdiff-length-bias.json")),
]


@pytest.mark.parametrize("how", DATA)
@pytest.mark.parametrize(("kind", "file"), FILES, ids=str)
def test_c8_whatever_stands_in_a_file_is_no_bug(
    originals: dict[str, Path], kind: str, file: str, how: str, tmp_path: Path
) -> None:
    """Where it is needed it is refused, by `verify` too; a model card may be anything."""

    def change(folder: Path) -> None:
        if file in ("vocab.txt", "merges.txt"):
            (folder / "tokenizer.json").unlink()
            (folder / "vocab.json").write_text('{"a": 0}' if file == "merges.txt" else "[]")
        (folder / file).write_bytes(DATA[how])

    ended = after(originals[kind], tmp_path, change)
    assert ended.code in ((5,) if file in NEEDED else (0, 5)), ended.err
    assert ended.err.count("\n") == (ended.code == 5)
    assert run("info", tmp_path / "model").code in (0, 5)
    assert run("verify", tmp_path / "model").code == (0 if kind == "own" and ended.code == 0 else 8)
