"""A small checkpoint folder for tests of files."""

from __future__ import annotations

from pathlib import Path

from textdiff import files

OLD = {"config.json": b"{}\n", "model.safetensors": b"old" * 1000, "sub/notes.txt": b"old\n"}
NEW = {"config.json": b'{"a": 1}\n', "model.safetensors": b"new" * 2000, "extra.txt": b"new\n"}


def save(target: Path, content: dict[str, bytes]) -> None:
    with files.atomic_folder(target) as staging:
        for name, data in content.items():
            (staging / name).parent.mkdir(exist_ok=True)
            (staging / name).write_bytes(data)


def content_of(folder: Path) -> dict[str, bytes]:
    found = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    del found[files.MANIFEST]
    return found


def names_in(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())
