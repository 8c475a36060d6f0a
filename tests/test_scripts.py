"""The scripts that make the packaged model."""

from __future__ import annotations

import json
import lzma
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from test_infiller import infiller_of

from textdiff.infiller import Checkpoint, load
from textdiff.processes import AbsorbingProcess
from textdiff.text.tokenizers import train_tokenizer

ROOT = Path(__file__).resolve().parent.parent


def script(name: str, *arguments: str | Path, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / name), *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_corpus_keeps_every_paragraph_of_the_works(tmp_path: Path) -> None:
    novel = [f"Chapter {i}. " + "It rained on the hill all day. " * (i % 5 + 1) for i in range(60)]
    (tmp_path / "novels-pd").mkdir()
    (tmp_path / "nltk-open").mkdir()
    for name in ("train", "valid"):
        text = "\n".join(novel) + "\n\n" + "Another book.\n"
        (tmp_path / "novels-pd" / f"novels.{name}.txt.xz").write_bytes(lzma.compress(text.encode()))
    gutenberg = (
        "[Poems by William Blake 1789]\nTiger\n[Emma by Jane Austen 1816]\nEmma Woodhouse.\nThis eBook is free.\n"
    )
    (tmp_path / "nltk-open" / "gutenberg15.txt.xz").write_bytes(lzma.compress(gutenberg.encode()))
    speeches = "Fellow citizens:\nWe meet.\n\nMr. Speaker: \nAgain.\n"
    (tmp_path / "nltk-open" / "us_presidential_speeches.txt.xz").write_bytes(lzma.compress(speeches.encode()))
    script("prepare_corpus.py", tmp_path / "out", TEXTDIFF_DATA=str(tmp_path))
    rows = [json.loads(line)["text"] for line in (tmp_path / "out" / "train.jsonl").read_text().splitlines()]
    words = sorted(" ".join(rows).split())
    assert words == sorted(" ".join([*novel, "Another book.", "Emma Woodhouse.", speeches]).split())
    layouts = {("\n\n" in row, max(map(len, row.splitlines())) <= 100) for row in rows if len(row) > 400}
    assert {(True, True), (True, False)} <= layouts


@pytest.mark.parametrize("name", ["prepare_corpus.py", "prepare_letters.py"])
def test_a_script_that_is_asked_for_help_makes_no_folder(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "novels-pd").mkdir()
    monkeypatch.chdir(tmp_path)
    assert "TEXTDIFF_DATA=FOLDER" in script(name, "--help", TEXTDIFF_DATA=str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["novels-pd"]


def test_packaging_halves_the_weights_and_keeps_the_fills_close(tmp_path: Path) -> None:
    infiller = infiller_of(AbsorbingProcess)
    recipe = {"seed": 1}
    Checkpoint(infiller.model, infiller.tokenizer, infiller.samplers, recipe, card="A card.").save(tmp_path / "model")
    script("package_model.py", tmp_path, tmp_path / "packaged")
    small, whole = (p / "model.safetensors" for p in (tmp_path / "packaged", tmp_path / "model"))
    assert small.stat().st_size < 0.6 * whole.stat().st_size
    assert (tmp_path / "packaged" / "README.md").read_text() == "A card."
    packaged = load(tmp_path / "packaged")
    for name, tensor in infiller.model.state_dict().items():
        torch.testing.assert_close(packaged.model.state_dict()[name], tensor, rtol=1e-2, atol=1e-3)
        assert packaged.model.state_dict()[name].dtype == torch.float32


def test_the_length_search_is_compared_on_products_that_the_rest_determines() -> None:
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        import bench_length_search
    finally:
        sys.path.pop(0)
    groups, kinds = bench_length_search.GROUPS, bench_length_search.KINDS
    tokenizer = train_tokenizer("characters", [*groups, "N.O>S()=ClBr[]#"], 64)
    made = bench_length_search.cases(tokenizer, 24, 6, seed=0)
    assert [case.tokens for case in made] == [1, 2, 3, 4, 5, 6] * 4
    for case in made:
        whole = case.document.fill([case.text]).data.decode()
        before, product = whole.split(">>")
        left, right = before.split(".")
        assert len(tokenizer.encode(case.text)) == case.tokens <= len(product) - 2
        assert any(left == kind.partition(".")[0].format(group) for kind in kinds for group in groups)
        assert product.endswith(right[1:])
    assert bench_length_search.mean([1, 1, 3, 3]) == pytest.approx((2, 3**-0.5))
