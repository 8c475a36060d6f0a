"""What `textdiff doctor` makes of versions, machines and disks that are not as they should be."""

from __future__ import annotations

import errno
import os
import platform
import resource
import shutil
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import torch
from huggingface_hub import constants

from textdiff.cli.checks import CHECKS as ALL
from textdiff.cli.checks import Asked, Finding, arithmetic, machine, run_checks, versions
from textdiff.training import memory

ROOT = Path(__file__).resolve().parent.parent
GIB = 1 << 30


def found_by(name: str) -> dict[str, Finding]:
    (findings,) = run_checks(Asked(), {name: ALL[name]})
    return {finding.name: finding for finding in findings}


def told(finding: Finding) -> tuple[str, str, str | None]:
    return finding.status, finding.found, finding.advice


def has(monkeypatch: pytest.MonkeyPatch, **installed: str | None) -> None:
    """Says that these versions are installed, or that a package is not."""
    real = versions.version

    def version(name: str) -> str:
        found = installed.get(name, "")
        if found is None:
            raise PackageNotFoundError(name)
        return found or real(name)

    monkeypatch.setattr(versions, "version", version)


def test_every_library_that_is_declared_is_looked_at() -> None:
    found = found_by("versions")
    project = versions.tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf8"))["project"]
    names = {line.split(">")[0].replace("_", "-") for line in project["dependencies"]} - {"packaging"}
    assert names <= {*found}
    assert {finding.status for name, finding in found.items() if name in names} == {"ok"}


@pytest.mark.parametrize(
    ("name", "version", "words", "advice"),
    [
        ("numpy", "1.25.9", "1.25.9; textdiff needs >=1.26", "Install a fitting one: pip install 'numpy>=1.26'"),
        (
            "torch",
            "2.5.1+cu121",
            "2.5.1+cu121; textdiff needs >=2.6",
            "Install a fitting one: pip install 'torch>=2.6'",
        ),
        ("rich", None, "not installed; textdiff needs >=13", "Install it: pip install 'rich>=13'"),
    ],
)
def test_an_old_or_missing_library_fails(
    name: str, version: str | None, words: str, advice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    has(monkeypatch, **{name: version})
    found = found_by("versions")
    assert told(found[name]) == ("failed", words, advice)
    assert [other for other, finding in found.items() if finding.status == "failed"] == [name]


def test_newer_builds_and_previews_are_good_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    has(monkeypatch, torch="2.6.0+cpu", numpy="3.0.0rc1")
    found = found_by("versions")
    assert (found["torch"].status, found["numpy"].status) == ("ok", "ok")


def test_a_library_that_cannot_be_imported_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def import_module(name: str) -> object:
        if name == "sentencepiece":
            raise OSError("libfoo.so: wrong ELF class")
        return sys

    monkeypatch.setattr(versions.importlib, "import_module", import_module)
    found = found_by("versions")
    assert [name for name, finding in found.items() if finding.status == "failed"] == ["sentencepiece"]
    assert "cannot be imported: OSError: libfoo.so: wrong ELF class" in found["sentencepiece"].found
    assert "--force-reinstall 'sentencepiece>=0.2'" in str(found["sentencepiece"].advice)


def test_what_is_optional_never_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    has(monkeypatch, matplotlib="3.7.1", tensorboard=None, wandb="0.1", trackio=None)
    found = found_by("versions")
    assert told(found["matplotlib"])[:2] == ("note", "3.7.1; textdiff needs >=3.8")
    assert "pip install 'matplotlib>=3.8'" in str(found["matplotlib"].advice)
    assert [found[name].found for name in ("tensorboard", "wandb", "trackio")] == ["absent", "0.1", "absent"]


def test_an_old_python_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "python_version", lambda: "3.10.14")
    finding = found_by("versions")["python"]
    assert (finding.status, finding.found) == ("failed", "3.10.14; textdiff needs >=3.11")


def test_a_package_that_is_not_installed_says_so_and_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    def metadata(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(versions, "metadata", metadata)
    has(monkeypatch, numpy="1.2")
    found = found_by("versions")
    assert (found["textdiff"].status, found["numpy"].status) == ("note", "failed")
    assert "not installed" in found["textdiff"].found


def test_another_version_than_the_installed_one_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "__version__", "9.9.9")
    assert found_by("versions")["textdiff"].found == "9.9.9, but 0.1.0 is what is installed"


@pytest.mark.parametrize(("usable", "threads", "status"), [(4, 4, "ok"), (4, 2, "ok"), (4, 5, "note"), (8, 1, "note")])
def test_threads_should_fit_the_cores(usable: int, threads: int, status: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "usable_cores", lambda: usable)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    finding = found_by("processor")["processor"]
    assert finding.status == status and f"torch uses {threads} thread" in finding.found
    assert status == "ok" or f"set OMP_NUM_THREADS={usable}" in str(finding.advice)


@pytest.mark.parametrize(("text", "cores"), [("max 100000", 16), ("250000 100000", 2), ("50000 100000", 1)])
def test_a_container_may_leave_fewer_cores(
    text: str, cores: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpu.max").write_text(text + "\n")
    monkeypatch.setattr(machine, "_CPU_QUOTA", tmp_path / "cpu.max")
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(16)))
    assert machine.usable_cores() == cores


@pytest.mark.parametrize(
    ("free", "container", "limit", "status", "words"),
    [
        (9 * GIB, sys.maxsize, None, "ok", "9.0 GiB free"),
        (GIB, sys.maxsize, None, "note", "1.0 GiB free"),
        (9 * GIB, GIB, None, "note", "1.0 GiB left by the container"),
        (9 * GIB, 5 * GIB, None, "ok", "5.0 GiB left by the container"),
        (9 * GIB, sys.maxsize, 4 * GIB, "note", "1.0 GiB left by ulimit -v"),
        (9 * GIB, sys.maxsize, 6 * GIB, "ok", "3.0 GiB left by ulimit -v"),
    ],
)
def test_little_memory_is_noted(
    free: int, container: int, limit: int | None, status: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def getrlimit(kind: int) -> tuple[int, int]:
        limited = kind == resource.RLIMIT_AS and limit is not None
        return (limit if limited else resource.RLIM_INFINITY, resource.RLIM_INFINITY)  # type: ignore[return-value]

    process = SimpleNamespace(memory_info=lambda: SimpleNamespace(vms=3 * GIB, rss=GIB, data=GIB))
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(total=16 * GIB, available=free))
    monkeypatch.setattr(psutil, "Process", lambda: process)
    monkeypatch.setattr(memory, "left_in_container", lambda: container)
    monkeypatch.setattr(resource, "getrlimit", getrlimit)
    finding = found_by("memory")["memory"]
    assert finding.status == status and finding.found.startswith("16.0 GiB in all, ") and words in finding.found


def cuda(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """Says that there are so many CUDA devices."""
    facts = SimpleNamespace(name="Testla", major=9, minor=0)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: facts)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda number: (number * GIB, 80 * GIB))


def test_every_cuda_device_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda(monkeypatch, 2)
    found = found_by("devices")
    assert [*found] == ["cuda:0", "cuda:1"]
    assert found["cuda:1"].found == "Testla, 1.0 GiB of 80.0 GiB free, compute capability 9.0"


@pytest.mark.parametrize(
    ("built_for", "visible", "status", "advice"),
    [
        (None, None, "note", "Install a build of torch for CUDA"),
        ("13.0", None, "note", "Update the driver to one that knows CUDA 13.0"),
        ("13.0", "-1", "ok", ""),
    ],
)
def test_a_gpu_that_torch_cannot_use_is_noted(
    built_for: str | None, visible: str | None, status: str, advice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cuda(monkeypatch, 0)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(machine, "_CUDA_SIGNS", ())
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert found_by("devices")["devices"].found == "no GPU; everything runs on the CPU"
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setattr(machine, "_CUDA_SIGNS", (Path("/"),))
    monkeypatch.setattr(torch.version, "cuda", built_for)
    finding = found_by("devices")["devices"]
    assert finding.status == status and advice in str(finding.advice)


def test_products_agree_with_float32_and_lose_what_the_format_loses() -> None:
    losses = {name: arithmetic.deviation("cpu", name) for name in ("float32", "float64", "float16", "bfloat16")}
    assert losses["float32"] == 0 < losses["float64"] < 1e-6
    assert 1e-5 < losses["float16"] < 2e-3 < losses["bfloat16"] < 1e-2


@pytest.mark.parametrize(
    ("name", "result", "status", "words"),
    [
        ("bfloat16", 0.3, "failed", "bfloat16 is off by 0.3"),
        ("float64", float("nan"), "failed", "float64 is off by nan"),
        ("float32", RuntimeError("no kernel\nimage"), "failed", "cannot multiply float32 (no kernel image)"),
        ("float16", RuntimeError("not implemented"), "note", "without float16 (not implemented)"),
    ],
)
def test_wrong_arithmetic_is_found(
    name: str, result: float | Exception, status: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = arithmetic.deviation

    def deviation(device: str, dtype: str) -> float:
        if dtype != name:
            return real(device, dtype)
        if isinstance(result, Exception):
            raise result
        return result

    monkeypatch.setattr(arithmetic, "deviation", deviation)
    finding = found_by("arithmetic")["numbers on cpu"]
    assert finding.status == status and words in finding.found and finding.advice


def test_every_device_is_multiplied_on(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    cuda(monkeypatch, 2)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: False)
    monkeypatch.setattr(arithmetic, "deviation", lambda device, name: asked.append(device) or 0.0)
    found = found_by("arithmetic")
    assert [*found] == ["numbers on cpu", "numbers on cuda:0", "numbers on cuda:1", "float32", "bfloat16"]
    assert {*asked} == {"cpu", "cuda:0", "cuda:1"} and "no units" in found["bfloat16"].found


@pytest.mark.parametrize(
    ("gloo", "nccl", "gpus", "status"),
    [(True, False, 0, "ok"), (True, True, 1, "ok"), (True, False, 1, "note"), (False, True, 1, "note")],
)
def test_what_processes_talk_by_is_told(
    gloo: bool, nccl: bool, gpus: int, status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cuda(monkeypatch, gpus)
    monkeypatch.setattr(torch.distributed, "is_gloo_available", lambda: gloo)
    monkeypatch.setattr(torch.distributed, "is_nccl_available", lambda: nccl)
    finding = found_by("distributed")["distributed"]
    assert finding.status == status
    assert status == "ok" or str(finding.advice).endswith(f"that has {'nccl' if gloo else 'gloo'}.")


def test_a_missing_compiler_is_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert found_by("compiler")["compiler"].status == "note"
    monkeypatch.setattr(shutil, "which", lambda name: name)
    monkeypatch.setenv("CXX", "mine++")
    assert found_by("compiler")["compiler"].found == "mine++, for torch.compile"


def test_another_system_is_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    assert found_by("system")["system"].status == "ok"
    monkeypatch.setattr(sys, "platform", "win32")
    assert "WSL" in str(found_by("system")["system"].advice)


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("current", "temporary", "cache"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "current")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    return tmp_path


NAMES = {"current": "current folder", "temporary": "temporary folder", "cache": "model cache"}


def test_folders_are_written_to_and_left_as_they_were(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = found_by("folders")
    assert [(name, finding.status) for name, finding in found.items()] == [(name, "ok") for name in NAMES.values()]
    assert [*places.glob("*/*")] == []
    (places / "cache").rmdir()
    assert found_by("folders")["model cache"].found.startswith(f"{places / 'cache'}, not there yet, ")
    assert not (places / "cache").exists()


@pytest.mark.parametrize("place", NAMES)
@pytest.mark.parametrize("code", [errno.EROFS, errno.ENOSPC])
def test_a_folder_that_cannot_be_written_is_found(
    place: str, code: int, places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = tempfile.TemporaryFile

    def open_file(dir: Path) -> Any:
        if dir == places / place:
            raise OSError(code, os.strerror(code))
        return real(dir=dir)

    monkeypatch.setattr(tempfile, "TemporaryFile", open_file)
    found = found_by("folders")
    finding = found.pop(NAMES[place])
    assert finding.status == ("failed" if place == "temporary" else "note")
    assert finding.found == f"{places / place} cannot be written to: {os.strerror(code).lower()}" and finding.advice
    assert {other.status for other in found.values()} == {"ok"}


@pytest.fixture
def no_large_files() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_takes_no_more_is_found(places: Path, no_large_files: None) -> None:
    finding = found_by("folders")["temporary folder"]
    assert (finding.status, finding.found[-14:]) == ("failed", "file too large")


def test_no_temporary_folder_at_all_is_found(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> str:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", none)
    assert told(found_by("folders")["temporary folder"]) == (
        "failed",
        "there is none: no usable temporary directory found",
        "Set TMPDIR to a folder that can be written to.",
    )


def test_little_room_is_noted(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=5 << 20))
    found = found_by("folders")
    assert {finding.status for finding in found.values()} == {"note"}
    assert found["current folder"].found.endswith(", 5.0 MiB free")


def test_a_file_in_the_place_of_the_cache_is_noted(places: Path) -> None:
    (places / "cache").rmdir()
    (places / "cache").write_text("x")
    finding = found_by("folders")["model cache"]
    assert finding.status == "note" and finding.found.endswith("it is a file")


@pytest.mark.parametrize(("faster", "words"), [(True, "go to oneDNN"), (False, "library that torch chooses")])
def test_it_says_who_multiplies_large_matrices(monkeypatch: pytest.MonkeyPatch, faster: bool, words: str) -> None:
    monkeypatch.setattr("textdiff.products.has_faster_library", lambda: faster)
    assert words in arithmetic._library()
