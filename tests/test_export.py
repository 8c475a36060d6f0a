"""A model for others: with its code in plain transformers, and on the hub."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pytest
import torch
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError
from safetensors.torch import load_file
from test_every_class import saved as save_class
from tiny import TEXT, run, senseless_checkpoint

import textdiff
from textdiff.errors import TextdiffError
from textdiff.files import verify_folder
from textdiff.infiller import Checkpoint, bundle, open_checkpoint
from textdiff.infiller.exporting import export

PLAIN = """
import sys

class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "textdiff":
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Nothing())
import torch
from safetensors.torch import save_file
from transformers import AutoModelForMaskedLM, AutoTokenizer, pipeline

folders, result = sys.argv[1:-1], sys.argv[-1]
found = {}
for number, folder in enumerate(folders):
    model = AutoModelForMaskedLM.from_pretrained(folder, trust_remote_code=True).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=True)
    ids = torch.arange(5, 17).reshape(2, 6)
    ids[:, 3] = tokenizer.mask_token_id
    mask = torch.tensor([[1] * 6, [1] * 5 + [0]])
    with torch.no_grad():
        found[f"{number}.logits"] = model(input_ids=ids, attention_mask=mask).logits
    found[f"{number}.ids"] = torch.tensor(tokenizer("the old house")["input_ids"])
    best = pipeline("fill-mask", model=model, tokenizer=tokenizer)(f"the{tokenizer.mask_token} house")
    found[f"{number}.best"] = torch.tensor([one["token"] for one in best])
assert not any(name.partition(".")[0] == "textdiff" for name in sys.modules)
save_file(found, result)
"""


def plain_transformers(folders: list[Path], place: Path) -> dict[str, torch.Tensor]:
    """What a process has to say of some folders that cannot import textdiff."""
    (place / "plain.py").write_text(PLAIN, encoding="utf8")
    words = [sys.executable, "-P", str(place / "plain.py"), *map(str, folders), str(place / "found.safetensors")]
    alone = {"HF_HOME": str(place / "hf"), "HF_HUB_OFFLINE": "1"}
    ended = subprocess.run(words, capture_output=True, text=True, cwd=place, env=alone)
    assert ended.returncode == 0, ended.stderr
    return load_file(place / "found.safetensors")


def test_a_self_contained_folder_needs_no_textdiff(tmp_path: Path) -> None:
    """Models of our own, with time and without, and one around a network of transformers: the same scores, bit for bit."""
    made: list[Checkpoint] = [senseless_checkpoint(), open_checkpoint(save_class("bert", tmp_path / "bert"))]
    folders = [tmp_path / "own", tmp_path / "foreign"]
    for checkpoint, folder in zip(made, folders, strict=True):
        export(checkpoint, folder, True)
        assert verify_folder(folder) == []
    found = plain_transformers(folders, tmp_path)
    for number, checkpoint in enumerate(made):
        ids = torch.arange(5, 17).reshape(2, 6)
        mask_id = checkpoint.tokenizer.vocabulary.mask_id
        assert mask_id is not None
        ids[:, 3] = mask_id
        attention = torch.tensor([[1] * 6, [1] * 5 + [0]])
        with torch.no_grad():
            expected = checkpoint.model(input_ids=ids, attention_mask=attention).logits
        seen = attention.bool()
        assert torch.equal(found[f"{number}.logits"][seen], expected[seen])
        tokenizer = checkpoint.tokenizer
        assert found[f"{number}.ids"].tolist() == [
            *tokenizer.prefix_ids,
            *tokenizer.encode("the old house"),
            *tokenizer.suffix_ids,
        ]
        assert len(found[f"{number}.best"]) == 5


def test_textdiff_reads_it_too_and_leaves_the_code_behind(tmp_path: Path) -> None:
    start = senseless_checkpoint()
    export(start, tmp_path / "code", True)
    again = Checkpoint.load(tmp_path / "code")
    state = start.model.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in again.model.state_dict().items())
    assert textdiff.load(tmp_path / "code").infill("The [MASK: 1 token] house").gaps[0].text
    assert "Without textdiff" in again.card
    (tmp_path / "text.txt").write_text(TEXT, encoding="utf8")
    sets = ["training.max_steps=1", "data.validation_share=0"]
    ended = run(
        "finetune",
        "-m",
        tmp_path / "code",
        "--data",
        tmp_path / "text.txt",
        "--output",
        tmp_path / "run",
        "--set",
        *sets,
    )
    assert ended.code == 0, ended.err
    assert "auto_map" not in (tmp_path / "run/model/config.json").read_text().replace('"auto_map": null', "")


def test_the_command_writes_a_folder_and_replaces_only_its_own(tmp_path: Path) -> None:
    base = tmp_path / "base"
    senseless_checkpoint().save(base)
    ended = run("export", base, "--output", tmp_path / "out")
    assert (ended.code, ended.text, ended.err) == (0, f"{tmp_path / 'out'}\n", "")
    assert not list((tmp_path / "out").glob("*.py"))
    assert run("export", base, "--output", tmp_path / "out", "--self-contained").code == 0
    assert {path.name for path in (tmp_path / "out").glob("*.py")} == {*bundle.bundle()}
    assert run("verify", tmp_path / "out").code == 0
    (tmp_path / "out" / "mine.txt").write_text("mine")
    refused = run("export", base, "--output", tmp_path / "out")
    assert refused.code == 3
    assert "which textdiff did not write" in refused.err
    assert (tmp_path / "out" / "mine.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("words", "code", "reason"),
    [
        ([], 2, "say where to: --output DIR, or --push-to OWNER/NAME"),
        (["--output", "x", "--private"], 2, "--private is for a repository of the hub"),
        (["--push-to", "me/mine"], 6, "nothing was pushed to me/mine: the environment says to keep off the hub"),
    ],
)
def test_what_cannot_be_is_said(
    words: list[str], code: int, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    senseless_checkpoint().save(tmp_path / "base")
    ended = run("export", "base", *words)
    assert ended.code == code
    assert reason in ended.err
    assert ended.err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["base"]


class Hub:
    """Stands for the hub's interface: keeps what was sent, or fails as told."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.made: list[Any] = []
        self.files: dict[str, bytes] = {}

    def create_repo(self, name: str, **options: Any) -> None:
        if self.error is not None:
            raise self.error
        self.made.append((name, options))

    def upload_folder(self, repo_id: str, folder_path: Path, commit_message: str) -> str:
        self.files = {path.name: path.read_bytes() for path in folder_path.iterdir()}
        return f"hub/{repo_id}/commit/1"


def answered(status: int) -> HfHubHTTPError:
    response = SimpleNamespace(status_code=status, headers={}, request=None)
    return HfHubHTTPError("no", response=response)  # type: ignore[arg-type]


def pushed(hub: Hub, folder: Path, *words: str) -> Any:
    with patch("huggingface_hub.HfApi", lambda: hub), patch("textdiff.infiller.exporting.out_of_reach", lambda: None):
        return run("export", folder, "--push-to", "me/mine", *words)


def test_all_of_a_model_is_pushed(tmp_path: Path) -> None:
    senseless_checkpoint().save(tmp_path / "base")
    hub = Hub()
    ended = pushed(hub, tmp_path / "base", "--self-contained", "--private")
    assert (ended.code, ended.text, ended.err) == (0, "hub/me/mine/commit/1\n", "")
    assert hub.made == [("me/mine", {"private": True, "exist_ok": True})]
    export(Checkpoint.load(tmp_path / "base"), tmp_path / "same", True)
    expected = {path.name: path.read_bytes() for path in (tmp_path / "same").iterdir()}
    assert hub.files.keys() == expected.keys()
    assert {
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "README.md",
        "sampler.json",
        "modeling_textdiff.py",
    } <= {*expected}
    assert [name for name in expected if hub.files[name] != expected[name]] == []


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        (HFValidationError("bad"), 2, "'me/mine' is no name that a model of the hub can have: give OWNER/NAME"),
        (LocalTokenNotFoundError("none"), 3, "nobody is logged in; run `hf auth login`"),
        (answered(403), 3, "the hub refuses it (403); run `hf auth login` with a token that may write there"),
        (answered(500), 6, "nothing was pushed to me/mine: the hub answers with an error (500)"),
        (TimeoutError("gone"), 6, "nothing was pushed to me/mine: the connection failed (TimeoutError)"),
        (
            ConnectionResetError("gone"),
            6,
            "nothing was pushed to me/mine: the connection failed (ConnectionResetError)",
        ),
    ],
)
def test_a_hub_that_does_not_take_it_is_one_sentence(error: Exception, code: int, reason: str, tmp_path: Path) -> None:
    senseless_checkpoint().save(tmp_path / "base")
    ended = pushed(Hub(error), tmp_path / "base")
    assert ended.code == code
    assert reason in ended.err
    assert ended.err.count("\n") == 1


def test_what_cannot_be_bundled_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Imports of modules have no form that transformers would follow."""
    for line in ("import textdiff.errors", "from textdiff import errors", "from textdiff.backbones import dit"):
        place = SimpleNamespace(read_text=lambda encoding, line=line: line)
        monkeypatch.setattr(bundle, "_place", lambda module, place=place: place)
        with pytest.raises(TextdiffError, match="cannot be exported"):
            bundle.bundle()


@pytest.mark.parametrize("kind", ["absorbing", "uniform", "bert", "albert"])
def test_the_graph_gives_the_same_logits(kind: str, tmp_path: Path) -> None:
    """For other batches and lengths than the one that it was made from, with padding and without."""
    runtime = pytest.importorskip("onnxruntime")
    own = kind in ("absorbing", "uniform")
    made = senseless_checkpoint(kind) if own else open_checkpoint(save_class(kind, tmp_path / "base"))
    export(made, tmp_path / "out", onnx=True)
    assert not made.model.training
    session = runtime.InferenceSession(tmp_path / "out" / "model.onnx")
    torch.manual_seed(0)
    for rows, length, padded in ((1, 2, 0), (2, 8, 3), (3, 31, 0), (4, 24, 5)):
        ids = torch.randint(5, 38, (rows, length))
        if made.tokenizer.vocabulary.mask_id is not None:
            ids[:, 1] = made.tokenizer.vocabulary.mask_id
        valid = torch.ones_like(ids)
        valid[0, length - padded :] = 0
        (found,) = session.run(["logits"], {"input_ids": ids.numpy(), "attention_mask": valid.numpy()})
        with torch.no_grad():
            expected = made.model(input_ids=ids, attention_mask=valid).logits[valid.bool()]
        torch.testing.assert_close(torch.from_numpy(found)[valid.bool()], expected, rtol=1e-4, atol=1e-4)
    assert verify_folder(tmp_path / "out") == []
    assert textdiff.load(tmp_path / "out").name == str(tmp_path / "out")


def test_without_the_package_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    senseless_checkpoint().save(tmp_path / "base")
    monkeypatch.setattr("textdiff.infiller.onnx.find_spec", lambda name: None)
    ended = run("export", tmp_path / "base", "--output", tmp_path / "out", "--onnx")
    assert ended.code == 3
    assert "--onnx needs a package: pip install 'textdiff[onnx]'" in ended.err
    assert not (tmp_path / "out").exists()
