"""Models from strangers: nothing that comes with them is run, and nothing is fetched for them."""

from __future__ import annotations

import os
import re
import runpy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
from planted import (
    CANARY,
    change_tokenizer,
    plant_code,
    plant_pickle,
    plant_weights,
    rewrite,
    save_masked_lm,
    seal,
    split_at,
)
from tiny import Ended, run, save_tiny

AUTO_MAP = dict.fromkeys(("AutoConfig", "AutoModel", "AutoModelForMaskedLM"), "evil.Evil")
LOOP = "{% for i in range(10 ** 12) %}{% for j in range(10 ** 12) %}x{% endfor %}{% endfor %}"
Change = Callable[[Path], object]


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("originals")
    return {"foreign": save_masked_lm(folder / "foreign"), "own": save_tiny(folder / "own")}


@pytest.fixture(autouse=True)
def online(touched: list[object], monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub is not forbidden here: it is not asked because nothing of it is needed."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)


def both(*changes: Change) -> Change:
    return lambda folder: [change(folder) for change in changes]


def config(**values: Any) -> Change:
    return lambda folder: rewrite(folder, **values)


def tokenizer_config(**values: Any) -> Change:
    return lambda folder: rewrite(folder, "tokenizer_config.json", **values)


def generation_config(**values: Any) -> Change:
    return lambda folder: rewrite(folder, "generation_config.json", **values)


def weights_are_a_pickle(folder: Path) -> None:
    plant_weights(folder)
    (folder / "model.safetensors").unlink()


def shards(*names: str) -> Change:
    def change(folder: Path) -> None:
        rewrite(folder, "model.safetensors.index.json", metadata={}, weight_map=dict(enumerate(names)))
        (folder / "model.safetensors").unlink()

    return change


def after(original: Path, tmp_path: Path, change: Change, text: bytes = b"a [MASK: 1 token] b") -> Ended:
    """What comes of filling a gap with a changed copy of a model."""
    folder = tmp_path / "model"
    shutil.copytree(original, folder)
    change(folder)
    seal(folder)
    ended = run("infill", "-", "-m", folder, stdin=text)
    assert not (tmp_path / CANARY).exists()
    return ended


def test_s1_what_is_planted_would_be_seen(tmp_path: Path) -> None:
    canary, folder = tmp_path / CANARY, tmp_path / "model"
    folder.mkdir()
    plant_pickle(folder, "optimizer.pkl")
    plant_weights(folder)
    plant_code(folder)
    for use in (
        lambda: torch.load(folder / "pytorch_model.bin", weights_only=False),
        lambda: runpy.run_path(str(folder / "evil.py")),
    ):
        use()
        assert canary.exists()
        canary.unlink()


UNUSED: dict[str, Change] = {
    "code for a known type": both(config(auto_map=AUTO_MAP), plant_code),
    "trust": both(config(auto_map=AUTO_MAP, trust_remote_code=True), plant_code),
    "tokenizer code": both(tokenizer_config(auto_map={"AutoTokenizer": ["evil.Evil", None]}), plant_code),
    "tokenizer class": both(tokenizer_config(tokenizer_class="Evil", trust_remote_code=True), plant_code),
    "chat template": both(
        tokenizer_config(chat_template=LOOP), lambda folder: (folder / "chat_template.jinja").write_text(LOOP)
    ),
    "generate": both(
        lambda folder: plant_code(folder, "custom_generate/generate.py"),
        generation_config(custom_generate="evil/generate", trust_remote_code=True),
    ),
}


@pytest.mark.parametrize("kind", ["foreign", "own"])
@pytest.mark.parametrize("name", UNUSED)
def test_s1_what_a_model_brings_along_is_not_run(
    originals: dict[str, Path], kind: str, name: str, tmp_path: Path, touched: list[object]
) -> None:
    """The model itself is all here, and works as it does without."""
    plain = run("infill", "-", "-m", originals[kind], stdin=b"a [MASK: 1 token] b")
    ended = after(originals[kind], tmp_path, UNUSED[name])
    assert (ended.code, ended.err, ended.out) == (0, "", plain.out)
    assert touched == []


@pytest.mark.parametrize("name", ["pytorch_model.bin", "optimizer.pkl", "scheduler.pt"])
def test_s1_pickles_beside_weights_are_never_read(
    originals: dict[str, Path], name: str, tmp_path: Path, touched: list[object]
) -> None:
    """Foreign models often have some; a checkpoint of ours has none."""
    plant = plant_weights if name == "pytorch_model.bin" else plant_pickle
    ended = after(originals["foreign"], tmp_path / "foreign", lambda folder: plant(folder, name))
    assert (ended.code, ended.err) == (0, "")
    ended = after(originals["own"], tmp_path / "own", lambda folder: plant(folder, name))
    assert ended.code == 5 and f"{name}: a pickle or an archive, which could run code" in ended.err
    assert touched == []


KERNEL = "asks for 'evil/kernel', an attention from elsewhere; remove "
REFUSED: dict[str, tuple[Change, str]] = {
    "kernel": (config(_attn_implementation="evil/kernel"), KERNEL + "'_attn_implementation'"),
    "kernel by its other name": (config(attn_implementation="evil/kernel"), KERNEL),
    "kernel for a part": (config(_attn_implementation={"": "sdpa", "text": "evil/kernel"}), KERNEL),
    "kernel deep inside": (config(parts=[{"text_config": {"_attn_implementation_internal": "evil/kernel"}}]), KERNEL),
    "attention that would be fetched": (config(_attn_implementation="flash_attention_3"), "'flash_attention_3'"),
    "arithmetic": (config(quantization_config={"quant_method": "mxfp4"}), "describes quantised weights"),
    "adapter": (
        lambda folder: rewrite(folder, "adapter_config.json", base_model_name_or_path="evil/model", peft_type="LORA"),
        "holds an adapter of another model",
    ),
    "weights are a pickle": (weights_are_a_pickle, "model.safetensors|pytorch_model.bin: a pickle"),
    "pickle by another name": (lambda folder: plant_pickle(folder, "model.safetensors"), "the weights are .* bytes"),
    "tokenizer is cut off": (
        lambda folder: os.truncate(folder / "tokenizer.json", 500),
        "tokenizer.json is not a tokenizer that can be read",
    ),
    "tokenizer has no end": (
        lambda folder: (folder / "tokenizer.json").write_text("[" * 100_000),
        "tokenizer.json is not a tokenizer that can be read",
    ),
    "tokenizer has absurd ids": (
        lambda folder: change_tokenizer(folder, lambda spec: spec["model"]["vocab"].update(zzz=4_000_000_000)),
        "the tokenizer has the id 4,000,000,000, and ids below",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", ["foreign", "own"])
@pytest.mark.parametrize("name", REFUSED)
def test_s1_what_asks_for_something_from_elsewhere_is_refused(
    originals: dict[str, Path], kind: str, name: str, tmp_path: Path, touched: list[object]
) -> None:
    change, said = REFUSED[name]
    ended = after(originals[kind], tmp_path, change)
    assert (ended.code, ended.out, ended.err.count("\n")) == (5, b"", 1)
    assert re.search(said, ended.err), ended.err
    assert touched == []


def test_s1_code_for_an_unknown_type_is_not_run(
    originals: dict[str, Path], tmp_path: Path, touched: list[object]
) -> None:
    """Without its code such a network cannot be had; a checkpoint of ours is what its manifest says."""
    unknown = both(config(model_type="evil", auto_map=AUTO_MAP, trust_remote_code=True), plant_code)
    ended = after(originals["foreign"], tmp_path, unknown)
    assert (ended.code, ended.err.count("\n"), touched) == (5, 1, [])
    assert "the configuration of the network cannot be used" in ended.err


BOMBS = ["(a+)+$", "(a|a)*$", "(.*a){25}b"]


@pytest.mark.parametrize("kind", ["foreign", "own"])
@pytest.mark.parametrize("pattern", BOMBS)
def test_s1_a_pattern_that_finds_no_end_is_given_up(
    originals: dict[str, Path], kind: str, pattern: str, tmp_path: Path
) -> None:
    """The library gives up after some million steps, with what is no Exception."""
    text = b"a" * 60 + b"! [MASK: 1 token]"
    ended = after(originals[kind], tmp_path, lambda folder: change_tokenizer(folder, split_at(pattern)), text)
    assert (ended.code, ended.out) == (5, b"")
    assert "the tokenizer does not work on this text" in ended.err


@pytest.mark.parametrize("shard", ["../outside.safetensors", "/etc/passwd", "deep/er.safetensors", "..", "a\\b"])
def test_c7_shards_are_files_of_the_folder(originals: dict[str, Path], shard: str, tmp_path: Path) -> None:
    shutil.copy(originals["foreign"] / "model.safetensors", tmp_path / "outside.safetensors")
    for kind in ("foreign", "own"):
        ended = after(originals[kind], tmp_path / kind, shards("model-1.safetensors", shard))
        assert (ended.code, ended.out) == (5, b"")
        assert f"model.safetensors.index.json: {shard!r} is not the name of a file in the folder" in ended.err
