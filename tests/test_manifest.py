"""A folder is what its manifest says, and JSON is read strictly."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from folders import OLD, names_in, save

from textdiff import files
from textdiff.errors import CheckpointError


def flip(folder: Path) -> None:
    data = bytearray((folder / "model.safetensors").read_bytes())
    data[1500] ^= 4
    (folder / "model.safetensors").write_bytes(data)


def swap(folder: Path) -> None:
    (folder / "config.json").rename(folder / "x")
    (folder / "sub/notes.txt").rename(folder / "config.json")
    (folder / "x").rename(folder / "sub/notes.txt")


def edit_manifest(change: Callable[[dict[str, object]], object]) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        manifest = files.read_json(folder / files.MANIFEST)
        change(manifest["files"])
        files.write_json(folder / files.MANIFEST, manifest)

    return edit


def link_out(name: str) -> Callable[[Path], None]:
    def link(folder: Path) -> None:
        shutil.copy(folder / name, folder.parent / "outside")
        (folder / name).unlink()
        (folder / name).symlink_to("../outside" if "/" not in name else "../../outside")

    return link


ENTRY = {"size": 1, "sha256": "0"}
TAMPERING: dict[str, tuple[Callable[[Path], object], str]] = {
    "truncated": (lambda f: os.truncate(f / "model.safetensors", 10), "model.safetensors: 10 bytes, but 3,000"),
    "bit flip": (flip, "model.safetensors: its sha256"),
    "swapped": (swap, "config.json: 4 bytes.*; sub/notes.txt: 3 bytes"),
    "missing": (lambda f: (f / "sub/notes.txt").unlink(), "sub/notes.txt: missing"),
    "extra": (lambda f: (f / "extra.json").write_text("{}"), "extra.json: not in the manifest"),
    "no manifest": (lambda f: (f / files.MANIFEST).unlink(), "MANIFEST.json cannot be read: no such file"),
    "torn manifest": (lambda f: os.truncate(f / files.MANIFEST, 50), "MANIFEST.json is not usable JSON"),
    "manifest is a list": (lambda f: (f / files.MANIFEST).write_text("[]"), "the mapping 'files' is missing"),
    "edited": (edit_manifest(lambda e: e["config.json"].update(size=4)), "config.json: 3 bytes, but 4"),
    "size is a word": (edit_manifest(lambda e: e["config.json"].update(size="3")), "needs a size and a sha256"),
    "parent": (edit_manifest(lambda e: e.update({"../outside": ENTRY})), "'../outside' is not a plain path"),
    "absolute": (edit_manifest(lambda e: e.update({"/etc/passwd": ENTRY})), "'/etc/passwd' is not a plain path"),
    "backslash": (edit_manifest(lambda e: e.update({"..\\x": ENTRY})), "is not a plain path"),
    "link out": (link_out("config.json"), "config.json: a link that leaves the folder"),
    "link out below": (link_out("sub/notes.txt"), "sub/notes.txt: a link that leaves the folder"),
    "manifest links out": (link_out(files.MANIFEST), "MANIFEST.json: a link that leaves the folder"),
    "planted pickle": (lambda f: (f / "optimizer.pkl").write_bytes(b"x"), "optimizer.pkl: a pickle"),
    "pipe": (lambda f: os.mkfifo(f / "pipe"), "pipe: not a regular file"),
    "gone": (shutil.rmtree, "there is no such folder"),
}


@pytest.mark.parametrize("how", TAMPERING)
def test_c7_tampering_is_named(tmp_path: Path, how: str) -> None:
    target = tmp_path / "model"
    save(target, OLD)
    files.require_intact(target)
    tamper, problem = TAMPERING[how]
    tamper(target)
    with pytest.raises(CheckpointError, match=problem) as caught:
        files.require_intact(target)
    assert caught.value.exit_code == 5


@pytest.mark.parametrize(
    ("name", "data"),
    [("pytorch_model.bin", b"x"), ("a.PT", b"x"), ("hidden.json", b"\x80\x04\x95"), ("zip.json", b"PK\x03\x04rest")],
)
def test_c7_a_pickle_is_refused_even_where_the_manifest_lists_it(tmp_path: Path, name: str, data: bytes) -> None:
    save(tmp_path / "model", {name: data})
    (problem,) = files.verify_folder(tmp_path / "model")
    assert problem.startswith(f"{name}: a pickle or an archive")


def test_links_may_lead_into_the_cache_that_a_folder_belongs_to(tmp_path: Path) -> None:
    target = tmp_path / "snapshots" / "model"
    save(target, OLD)
    (tmp_path / "blobs").mkdir()
    for name in ("config.json", files.MANIFEST):
        (target / name).rename(tmp_path / "blobs" / name)
        (target / name).symlink_to(tmp_path / "blobs" / name)
    assert files.verify_folder(target, root=tmp_path) == []
    assert files.verify_folder(target) == ["MANIFEST.json: a link that leaves the folder"]


def test_a_link_cannot_become_part_of_a_checkpoint(tmp_path: Path) -> None:
    with (
        pytest.raises(CheckpointError, match="leak is not a regular file"),
        files.atomic_folder(tmp_path / "m") as staging,
    ):
        (staging / "leak").symlink_to("/etc/passwd")
    assert names_in(tmp_path) == []


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b'{"a": 1, "b": 2, "a": 3}', "the key 'a' stands twice"),
        (b'{"a": NaN}', "NaN is not a number"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a": ', "Expecting value"),
        (b'{"a": "\xe9"}', "can't decode byte 0xe9 in position 7"),
        (b'"' + b"x" * 100_001 + b'"', "larger than the 100,001 bytes"),
        (None, "cannot be read: no such file"),
    ],
)
def test_c8_json_is_read_strictly(tmp_path: Path, data: bytes | None, problem: str) -> None:
    path = tmp_path / "config.json"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(CheckpointError, match=problem):
        files.read_json(path, limit=100_001)


def test_json_is_read_back_as_written(tmp_path: Path) -> None:
    value = {"b": [1, 2.5, None, True, "é\n"], "a": {}}
    files.write_json(tmp_path / "x.json", value)
    assert files.read_json(tmp_path / "x.json") == value
    assert (tmp_path / "x.json").read_bytes().endswith(b"}\n")
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.write_json(tmp_path / "x.json", float("nan"))
