"""Folders and documents that survive crashes, full disks and tampering."""

from __future__ import annotations

import os
import resource
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from folders import NEW, OLD, content_of, names_in, save

from textdiff import files
from textdiff.errors import ConfigError, ResourceError
from textdiff.files import folders

DEAD = 999_999_999  # no process has this number


def test_a_folder_appears_whole_and_replaces_the_old_one(tmp_path: Path) -> None:
    target = tmp_path / "runs" / "model"
    with pytest.raises(ZeroDivisionError), files.atomic_folder(target) as staging:
        (staging / "half.txt").write_text("half")
        _ = 1 // 0
    assert names_in(target.parent) == []
    for content in (OLD, NEW):
        save(target, content)
        assert content_of(target) == content
        assert files.verify_folder(target) == []
        assert names_in(target.parent) == ["model"]
    with pytest.raises(ZeroDivisionError), files.atomic_folder(target) as staging:
        _ = 1 // 0
    assert content_of(target) == NEW


def test_a_link_to_a_folder_is_followed(tmp_path: Path) -> None:
    save(tmp_path / "real", OLD)
    (tmp_path / "link").symlink_to("real")
    save(tmp_path / "link", NEW)
    assert (tmp_path / "link").is_symlink()
    assert content_of(tmp_path / "real") == NEW


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_modes_follow_the_umask(tmp_path: Path, umask: int, mode: int) -> None:
    numpy = pytest.importorskip("safetensors.numpy")
    before = os.umask(umask)
    try:
        with files.atomic_folder(tmp_path / "model") as staging:
            numpy.save_file({}, staging / "model.safetensors")
            (staging / "config.json").touch(mode=0o600)
    finally:
        os.umask(before)
    modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in (tmp_path / "model").iterdir()}
    assert modes == dict.fromkeys(["config.json", "model.safetensors", files.MANIFEST], mode)


def test_everything_is_synced_before_the_name_appears(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log: list[str] = []
    fsync, publish = os.fsync, folders._publish

    def recording_fsync(descriptor: int) -> None:
        log.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        fsync(descriptor)

    def recording_publish(staging: Path, target: Path) -> None:
        log.append("rename")
        publish(staging, target)

    monkeypatch.setattr(os, "fsync", recording_fsync)
    monkeypatch.setattr(folders, "_publish", recording_publish)
    save(tmp_path / "model", OLD)
    staging = f".tmp-model-{os.getpid()}"
    assert sorted(log[:4]) == ["config.json", "model.safetensors", "notes.txt", "sub"]
    assert log[4:] == [files.MANIFEST, staging, "rename", tmp_path.name]


CRASH = """
import os, sys
from pathlib import Path
from textdiff.files import atomic_folder, atomic_write, folders

WRITES = {"open", "fsync", "ctypes.dlsym"} | {"os." + n for n in "rename mkdir remove rmdir chmod chown utime".split()}
target, how = Path(sys.argv[1]), sys.argv[2]

def write_until(point):
    counter = 0

    def hook(event, arguments):
        nonlocal counter
        counter += event in WRITES
        if counter == point:
            os._exit(9)

    os.fsync = lambda descriptor: hook("fsync", ())
    sys.addaudithook(hook)
    if how == "document":
        atomic_write(target, b"new" * 2000, original=b"old" * 1000)
    else:
        with atomic_folder(target) as staging:
            for name, data in NEW.items():
                (staging / name).write_bytes(data)
    os._exit(0)

if how == "renames":
    folders._exchange = lambda one, other: False
for line in sys.stdin:
    child = os.fork() or write_until(int(line))
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.fixture
def _unsynced(monkeypatch: pytest.MonkeyPatch) -> None:
    """A killed process leaves its files to the system: these tests need no disk to be slow."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def crash_points(target: Path, how: str) -> Iterator[int]:
    """Runs a write again and again, killed one step later each time, and yields after each. The last one succeeds."""
    command = [sys.executable, "-c", f"NEW = {NEW!r}\n{CRASH}", target, how]
    with subprocess.Popen(command, text=True, bufsize=1, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdin and writer.stdout
        for point in range(1, 200):
            writer.stdin.write(f"{point}\n")
            ended = writer.stdout.readline().strip()
            assert ended in ("0", "9")
            yield point
            if ended == "0":
                writer.stdin.close()
                return


@pytest.mark.usefixtures("_unsynced")
@pytest.mark.parametrize("how", ["exchange", "renames"])
def test_c1_killed_at_every_write_point_of_a_folder(tmp_path: Path, how: str) -> None:
    target = tmp_path / "step-001000"
    save(target, OLD)
    seen, without = [], 0
    for _ in crash_points(target, how):
        without += not target.exists()
        if how == "renames":  # between its two renames the old folder has another name, until the next start
            files.clean_stale(tmp_path)
        assert files.verify_folder(target) == []
        seen.append("new" if content_of(target) == NEW else "old")
        assert content_of(target) in (OLD, NEW)
        shutil.rmtree(target)
        save(target, OLD)
        assert names_in(tmp_path) == ["step-001000"]
    assert len(seen) > 20
    assert without == (how == "renames")
    assert {"old", "new"} == {*seen}
    assert seen == sorted(seen, reverse=True)


@pytest.mark.usefixtures("_unsynced")
def test_c1_killed_at_every_write_point_of_the_first_folder(tmp_path: Path) -> None:
    target = tmp_path / "model"
    for _ in crash_points(target, "exchange"):
        files.clean_stale(tmp_path)
        assert not target.exists() or (files.verify_folder(target) == [] and content_of(target) == NEW)
        assert names_in(tmp_path) == (["model"] if target.exists() else [])
        shutil.rmtree(target, ignore_errors=True)


@pytest.mark.usefixtures("_unsynced")
def test_i5_killed_at_every_write_point_of_a_document(tmp_path: Path) -> None:
    target = tmp_path / "letter.md"
    target.write_bytes(b"old" * 1000)
    seen = []
    for _ in crash_points(target, "document"):
        seen.append(target.read_bytes()[:3])
        assert target.read_bytes() in (b"old" * 1000, b"new" * 2000)
        target.write_bytes(b"old" * 1000)
        files.clean_stale(tmp_path)
        assert names_in(tmp_path) == ["letter.md"]
    assert seen == sorted(seen, reverse=True)
    assert {*seen} == {b"old", b"new"}


@pytest.fixture
def small_disk() -> Iterator[None]:
    """No file may grow over 1 MB."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def write_plainly(staging: Path) -> None:
    (staging / "model.safetensors").write_bytes(bytes(2_000_000))


def write_with_safetensors(staging: Path) -> None:
    numpy, save_file = pytest.importorskip("numpy"), pytest.importorskip("safetensors.numpy").save_file
    save_file({"weight": numpy.zeros(500_000, dtype=numpy.float32)}, staging / "model.safetensors")


@pytest.mark.usefixtures("small_disk")
@pytest.mark.parametrize("write", [write_plainly, write_with_safetensors])
def test_c5_a_full_disk_leaves_the_old_folder(tmp_path: Path, write: Callable[[Path], None]) -> None:
    target = tmp_path / "model"
    save(target, OLD)
    with (
        pytest.raises(
            ResourceError, match=r"model cannot be written \(file too large\).*[\d,]+ bytes are free"
        ) as caught,
        files.atomic_folder(target) as staging,
    ):
        (staging / "config.json").write_bytes(b"x" * 1234)
        write(staging)
    assert caught.value.exit_code == 6
    assert files.verify_folder(target) == []
    assert content_of(target) == OLD
    assert names_in(tmp_path) == ["model"]


@pytest.mark.usefixtures("small_disk")
def test_i5_a_full_disk_leaves_the_old_document(tmp_path: Path) -> None:
    target = tmp_path / "letter.md"
    target.write_bytes(b"old")
    with pytest.raises(ResourceError, match=r"letter\.md cannot be written.*more than the 1,000,000 bytes"):
        files.atomic_write(target, bytes(2_000_000))
    assert target.read_bytes() == b"old"
    assert names_in(tmp_path) == ["letter.md"]


def test_c6_nothing_foreign_is_ever_replaced(tmp_path: Path) -> None:
    target = tmp_path / "mine"
    target.mkdir()
    save(target, OLD)
    (target / "thesis.tex").write_text("years of work")
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / "thesis.tex").write_text("years of work")
    (tmp_path / "file").write_text("a file")
    for name, problem in {
        "mine": "holds 'thesis.tex', which textdiff did not write",
        "plain": "holds files that textdiff did not write",
        "file": "is a file",
        "file/below": "cannot be written: (not a directory|file exists)",
        "x" * 300: "cannot be written: file name too long",
        "nul\0": "cannot be written: .*null byte",
    }.items():
        ran = False
        with pytest.raises(ConfigError, match=problem), files.atomic_folder(tmp_path / name):
            ran = True
        assert not ran
    assert names_in(tmp_path) == ["file", "mine", "plain"]
    assert (target / "thesis.tex").read_text() == "years of work"


def test_c1_leftovers_of_the_dead_go_and_those_of_the_living_stay(tmp_path: Path) -> None:
    alive = f".tmp-model-{os.getppid()}"
    dead = [f".tmp-model-{DEAD}", f".trash-model-{DEAD}", f".tmp-other-{DEAD}"]
    for name in (*dead, alive, ".tmpfile", ".trash-model-x"):
        save(tmp_path / name, OLD)
    (tmp_path / f".tmp-letter.md-{DEAD}").write_bytes(b"half")
    save(tmp_path / "model", NEW)
    kept = {alive, ".tmpfile", ".trash-model-x", "model"}
    assert {*names_in(tmp_path)} == {*kept, f".tmp-other-{DEAD}", f".tmp-letter.md-{DEAD}"}
    cleaned = files.clean_stale(tmp_path)
    assert [p.name for p in cleaned] == [f".tmp-letter.md-{DEAD}", f".tmp-other-{DEAD}"]
    assert {*names_in(tmp_path)} == kept
    assert content_of(tmp_path / "model") == NEW
