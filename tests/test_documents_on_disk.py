"""A document is replaced in one step, or left as it is with a sentence that says why."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from folders import names_in

from textdiff import files
from textdiff.errors import DataError, ResourceError


def test_i5_a_document_keeps_mode_owner_and_links(tmp_path: Path) -> None:
    target, link = tmp_path / "letter.md", tmp_path / "link.md"
    target.write_bytes(b"old")
    target.chmod(0o640)
    os.utime(target, (1, 1))
    if os.geteuid() == 0:
        os.chown(target, 1234, 4321)
    link.symlink_to("letter.md")
    before = target.stat()
    with target.open("rb", buffering=0) as reader:  # whoever reads the old file goes on reading the old bytes
        files.atomic_write(link, b"new", original=b"old")
        assert reader.read() == b"old"
    after = target.stat()
    assert link.is_symlink()
    assert target.read_bytes() == b"new"
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert after.st_mtime > 1_000_000
    assert names_in(tmp_path) == ["letter.md", "link.md"]


def test_a_new_document_has_the_mode_of_the_umask(tmp_path: Path) -> None:
    files.atomic_write(tmp_path / "out.md", b"text")
    (tmp_path / "plain").touch()
    assert (tmp_path / "out.md").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_i5_a_document_that_changed_meanwhile_is_left(tmp_path: Path) -> None:
    target = tmp_path / "letter.md"
    target.write_bytes(b"edited")
    with pytest.raises(DataError, match="changed meanwhile"):
        files.atomic_write(target, b"filled", original=b"old")
    assert target.read_bytes() == b"edited"
    target.unlink()
    with pytest.raises(DataError, match="changed meanwhile"):
        files.atomic_write(target, b"filled", original=b"old")
    assert names_in(tmp_path) == []


def test_i5_what_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "locked.md").write_bytes(b"old")
    (tmp_path / "locked.md").chmod(0o444)
    (tmp_path / "folder").mkdir()
    for name, problem in {
        "locked.md": "is read-only",
        "folder": "cannot be written: is a directory",
        "none/letter.md": "cannot be written: no such file or directory",
        "nul\0": "null byte",
    }.items():
        with pytest.raises(DataError, match=problem):
            files.atomic_write(tmp_path / name, b"new")
    assert (tmp_path / "locked.md").read_bytes() == b"old"
    assert names_in(tmp_path) == ["folder", "locked.md"]


def test_a_pipe_is_written_to(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    files.atomic_write(tmp_path / "pipe", b"text")
    assert os.read(reader, 10) == b"text"
    os.close(reader)


def test_a_document_keeps_its_extended_attributes(tmp_path: Path) -> None:
    target = tmp_path / "letter.md"
    target.write_bytes(b"old")
    try:
        os.setxattr(target, "user.note", b"keep me")
    except (AttributeError, OSError):
        pytest.skip("this file system, or this platform, has no extended attributes")
    files.atomic_write(target, b"new")
    assert target.read_bytes() == b"new" and os.getxattr(target, "user.note") == b"keep me"


@pytest.mark.parametrize("step", ["os.fdopen", "shutil.copystat", "os.fsync", "pathlib.Path.replace"])
@pytest.mark.parametrize(
    "error", [OSError(errno.EIO, "broken"), OSError(errno.ENOSPC, "full"), KeyboardInterrupt()], ids=repr
)
def test_i8_an_interrupted_write_leaves_the_old_bytes_and_nothing_else(
    step: str, error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "letter.md"
    target.write_bytes(b"old")
    target.chmod(0o640)

    def fail(*_: object, **__: object) -> None:
        raise error

    full = isinstance(error, OSError) and error.errno == errno.ENOSPC
    monkeypatch.setattr(step, fail)
    expected = DataError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises((expected, ResourceError) if full else expected):
        files.atomic_write(target, b"new" * 1000, original=b"old")
    monkeypatch.undo()
    assert target.read_bytes() == b"old" and target.stat().st_mode & 0o777 == 0o640
    assert names_in(tmp_path) == ["letter.md"]
    files.atomic_write(target, b"new", original=b"old")
    assert target.read_bytes() == b"new" and names_in(tmp_path) == ["letter.md"]
