"""`textdiff data check` and `textdiff data prepare`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tiny import TEXT, run

from textdiff.corpus import load_corpus
from textdiff.data import PackedCorpus, PreparedCorpus, encode_corpus
from textdiff.errors import ConfigError, DataError
from textdiff.recipe import load_recipe
from textdiff.recipe.running import PreparedRun

RECIPE = (
    "context_length: 16\ndata: {train: text.txt, validation_share: 0}\ntokenizer: {kind: characters, vocab_size: 64}\n"
)


def test_d1_check_counts_all_that_is_wrong(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.txt", tmp_path / "bad.jsonl"
    good.write_bytes(b"\xef\xbb\xbfone\r\ntwo\r\n")
    bad.write_bytes(b'{"text": "a"}\n{"body": "b"}\n{"text": 5}\n{"text": "\\ud800"}\n{"text": "cut')
    ended = run("data", "check", good, bad, "--json")
    assert ended.code == 4
    found = json.loads(ended.out)
    assert found["usable"] is False
    kinds = [{f["kind"]: f["count"] for f in file["findings"]} for file in found["files"]]
    assert kinds == [{"bom": 1, "crlf": 2}, {"no_column": 1, "no_text": 1, "surrogate": 1, "truncated": 1}]
    assert run("data", "check", good).code == 0
    with pytest.raises(DataError, match=r"bad\.jsonl:2: there is no column 'text'"):
        list(load_corpus([bad]))
    assert list(load_corpus([bad], skip_bad=4)) == ["a"]
    with pytest.raises(DataError, match="skip_bad allows 3"):
        list(load_corpus([bad], skip_bad=3))


def test_d2_utf16_is_never_mojibake(tmp_path: Path) -> None:
    path = tmp_path / "wide.txt"
    for encoding in ("utf-16", "utf-16-le"):
        path.write_bytes("Hello there".encode(encoding))
        with pytest.raises(DataError, match="it may be utf-16"):
            list(load_corpus([path]))
        assert list(load_corpus([path], encoding=encoding)) == ["Hello there"]


def test_a_prepared_corpus_gives_the_same_batches(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text(TEXT * 20)
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE)
    folder = tmp_path / "prepared"
    assert run("data", "prepare", path, "--output", folder).code == 0
    made = PreparedCorpus.open(folder)
    ids = encode_corpus([TEXT * 20], made.tokenizer())
    assert made.ids.dtype == np.uint16 and (made.ids == ids).all()
    own, other = PackedCorpus(ids, 16, 3), PackedCorpus(made.ids, 16, 3)  # type: ignore[arg-type]
    assert all((own.window(i) == other.window(i)).all() for i in range(3 * own.windows))
    plain = PreparedRun(load_recipe(path), tmp_path)
    fast = PreparedRun(load_recipe(path, [f"data.train={folder}"]), tmp_path)
    assert (plain.loader().batch(0, 8).ids == fast.loader().batch(0, 8).ids).all()
    assert fast.fingerprint()["corpus_sha256"] == plain.fingerprint()["corpus_sha256"]
    with pytest.raises(ConfigError, match="was prepared with"):
        PreparedRun(load_recipe(path, [f"data.train={folder}", "tokenizer.vocab_size=40"]), tmp_path).loader()
