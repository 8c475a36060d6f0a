"""The scripts of sequence to sequence: data that keep their lines, and a comparison of equals."""

from __future__ import annotations

import json
import lzma
import os
from pathlib import Path

import pytest
from pairs import recipe_of, write_pairs
from test_benches import bench
from test_scripts import script

from textdiff.evaluation import evaluate_translation
from textdiff.files import dump_yaml
from textdiff.infiller import SamplerOptions, load
from textdiff.registry import to_config

__all__ = ["bench"]  # a fixture


def test_multi30k_keeps_its_lines(tmp_path: Path) -> None:
    folder = tmp_path / "multi30k"
    folder.mkdir()
    texts = {
        "en": 'A "dog"\u2028 runs. \nTwo men.\n',
        "de": "Ein Hund läuft.\nZwei Männer.\n",
        "fr": "Un chien.\nDeux.\n",
    }
    for part in ("train", "val", "test_2016_flickr"):
        for language, text in texts.items():
            (folder / f"task1.{part}.{language}.xz").write_bytes(lzma.compress(text.encode()))
    said = script("prepare_multi30k.py", tmp_path / "out", TEXTDIFF_DATA=str(tmp_path))
    assert said.count("2 pairs") == 3
    for name in ("train", "valid", "test"):
        rows = [json.loads(row) for row in (tmp_path / "out" / f"{name}.jsonl").read_text().split("\n")[:-1]]
        assert rows == [
            {"source": 'A "dog"\u2028 runs.', "target": "Ein Hund läuft."},
            {"source": "Two men.", "target": "Zwei Männer."},
        ]
    script("prepare_multi30k.py", tmp_path / "out", "--source", "de", "--target", "fr", TEXTDIFF_DATA=str(tmp_path))
    assert json.loads((tmp_path / "out" / "test.jsonl").read_text().splitlines()[1])["target"] == "Deux."
    with pytest.raises(AssertionError, match="was not found: TEXTDIFF_DATA must name a folder that holds multi30k"):
        script("prepare_multi30k.py", tmp_path / "out", TEXTDIFF_DATA=os.fspath(tmp_path / "out"))


def test_processes_are_compared_as_equals(bench: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pairs = write_pairs(tmp_path / "pairs.jsonl", 20)
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(dump_yaml(to_config(recipe_of(pairs, "absorbing", max_steps=1, eval_steps=1, save_steps=1))))
    names = ("absorbing", "uniform", "autoregressive")
    words = (
        recipe,
        tmp_path / "runs",
        "--data",
        pairs,
        "--steps",
        "1,2",
        "--limit",
        "8",
        "--samplers",
        "uniform=confidence",
    )
    bench("translation", *map(str, words))  # type: ignore[operator]
    printed = capsys.readouterr().out.splitlines()
    table = [line for line in printed if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    assert [(row[0], row[3]) for row in cells[2:]] == [
        *[(name, steps) for name in names[:2] for steps in ("1", "2")],
        ("autoregressive", ""),
    ]
    kept = [(tmp_path / "runs" / name / "recipe.yaml").read_text() for name in names]
    assert len({text.replace(f"process: {name}", "") for text, name in zip(kept, names, strict=True)}) == 1
    direct = evaluate_translation(
        load(tmp_path / "runs" / "absorbing"), [pairs], [2], limit=8, options=SamplerOptions(temperature=0.0)
    )[0]
    assert cells[3][4:6] == [f"{score.value:.2f} ± {score.standard_error:.2f}" for score in direct.scores[:2]]
    assert direct.scores[0].signature.replace("|steps:2|", "|steps:1|").split("|sampler")[0] in printed[-3]
