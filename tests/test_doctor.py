"""`textdiff doctor`: healthy, and with every check failing in turn."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from huggingface_hub import constants
from tiny import Ended, run, save_tiny, tiny_checkpoint

from textdiff.cli import checks
from textdiff.cli.checks import Asked, Finding, run_checks, self_test
from textdiff.cli.checks.finding import failed, note, ok, size
from textdiff.cli.doctor import page
from textdiff.infiller import Infiller
from textdiff.training.ema import ExponentialMovingAverage

ROOT = Path(__file__).resolve().parent.parent
ABSENT = "somebody/no-such-model"
NAMES = [
    "system", "textdiff", "python", "torch", "transformers", "sentencepiece", "matplotlib", "wandb", "torch build",
    "processor", "memory", "numbers on cpu", "float32", "bfloat16", "distributed", "compiler", "current folder",
    "temporary folder", "model cache", "hub", "model files", "filling", "training", "resuming", "trained model",
]  # fmt: skip


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder, a temporary one and a cache of the test's own."""
    for name in ("here", "temporary"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    return tmp_path


def found_by(name: str, asked: Asked | None = None) -> dict[str, Finding]:
    """The findings of one check, by their names."""
    (findings,) = run_checks(asked or Asked(), {name: checks.CHECKS[name]})
    return {finding.name: finding for finding in findings}


def report(ended: Ended) -> dict[str, dict[str, Any]]:
    """The checks of a JSON report, by their names."""
    found = json.loads(ended.out)
    assert set(found) == {"schema", "healthy", "checks"} and found["schema"] == "textdiff.doctor/1"
    assert found["healthy"] == (ended.code == 0)
    assert all(set(check) == {"name", "status", "found", "advice"} for check in found["checks"])
    listed = {check["name"]: check for check in found["checks"]}
    assert len(listed) == len(found["checks"])
    for check in listed.values():
        assert check["found"] and (check["status"] == "ok") == (check["advice"] is None), check
        assert check["advice"] is None or len(check["advice"]) > 15
    return listed


def wrong(listed: dict[str, dict[str, Any]]) -> list[str]:
    return [name for name, check in listed.items() if check["status"] == "failed"]


def test_a_healthy_machine_is_said_to_be_so(
    places: Path, touched: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    ended = run("doctor", "--json")
    assert (ended.code, ended.err) == (0, "")
    listed = report(ended)
    assert wrong(listed) == [] and [name for name in NAMES if name not in listed] == []
    assert listed["hub"]["found"].startswith("online")
    assert touched == [] and constants.HF_HUB_OFFLINE is False
    assert [*places.glob("*/*")] == []


def test_the_page_says_what_the_report_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(checks, "CHECKS", {name: checks.CHECKS[name] for name in ("versions", "distributed", "hub")})
    ended = run("doctor", "--offline")
    assert (ended.code, ended.err) == (0, "")
    lines = ended.text.splitlines()
    assert max(map(len, lines)) <= 80
    words = " ".join(ended.text.split())
    listed = report(run("doctor", "--offline", "--json"))
    assert all(f"{name} {check['found']}" in words for name, check in listed.items())
    assert lines[-1] == f"healthy: {len(listed)} checks, nothing failed"
    assert all(re.match("(ok    |      )  ", line) for line in lines[:-2])


def test_a_fresh_process_keeps_off_the_network() -> None:
    code = """
import socket, sys
touched = []
def refuse(*words, **options):
    touched.append(words)
    raise OSError("the network is gone")
socket.getaddrinfo = socket.socket.connect = socket.socket.connect_ex = refuse
from textdiff.cli import main
code = main(["doctor"])
assert not touched, touched
sys.exit(code)
"""
    environment = {k: v for k, v in os.environ.items() if "OFFLINE" not in k} | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=120, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "healthy: " in done.stdout


def test_what_fails_is_named_and_the_rest_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "textdiff.cli.checks.versions.version", lambda name: "5.0.1" if name == "transformers" else "99.1"
    )
    ended = run("doctor", "--json")
    assert ended.code == 8
    assert ended.err == "textdiff: error: 1 check failed: transformers\n"
    listed = report(ended)
    assert wrong(listed) == ["transformers"] and not {*NAMES} - {*listed}
    assert listed["transformers"]["found"] == "5.0.1; textdiff needs >=5.17"
    assert listed["transformers"]["advice"] == "Install a fitting one: pip install 'transformers>=5.17'"
    shown = run("doctor")
    assert (shown.code, "healthy" in shown.text) == (8, False)
    assert re.search(
        r"^FAILED  transformers      5\.0\.1; .*\n +→ Install a fitting one: .*\n", shown.text, re.MULTILINE
    )


def damaged(folder: Path) -> Path:
    weights = save_tiny(folder) / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-5] ^= 1
    weights.write_bytes(data)
    return folder


def test_c7_a_damaged_model_is_found(places: Path) -> None:
    ended = run("doctor", "-m", damaged(places / "model"), "--json")
    listed = report(ended)
    assert (ended.code, wrong(listed)) == (8, ["model files"])
    assert "model.safetensors: its sha256 is not that" in listed["model files"]["found"]
    assert listed["model files"]["advice"] == "Fetch, copy or train this model again."
    assert "filling" not in listed and listed["resuming"]["status"] == "ok"


def test_a_model_that_cannot_be_loaded_is_found(places: Path) -> None:
    checkpoint = tiny_checkpoint()
    with torch.no_grad():
        next(checkpoint.model.parameters()).view(-1)[0] = torch.nan
    checkpoint.save(places / "model")
    found = found_by("model", Asked(str(places / "model")))
    assert (found["model files"].status, found["filling"].status) == ("ok", "failed")
    assert "NaN" in found["filling"].found


def test_a_run_is_checked_by_its_folder(places: Path) -> None:
    save_tiny(places / "run" / "model")
    found = found_by("model", Asked(str(places / "run")))
    assert [finding.status for finding in found.values()] == ["ok", "ok"]
    (places / "run" / "model" / "config.json").write_text("{")
    assert found_by("model", Asked(str(places / "run")))["model files"].status == "failed"


def test_a_model_of_another_maker_needs_no_manifest(development_data: Any) -> None:
    folder = development_data("rxn-albert-mlm")
    before = sorted(folder.iterdir())
    found = found_by("model", Asked(str(folder)))
    assert [finding.status for finding in found.values()] == ["ok", "ok"]
    assert "no manifest" in found["model files"].found
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize("name", ["nowhere", "./nowhere", "a/b/c", "two words/model"])
def test_a_model_that_is_nowhere_is_named(name: str, touched: list[object]) -> None:
    (finding,) = found_by("model", Asked(name, offline=" " in name)).values()
    assert (finding.status, finding.advice) == ("failed", "Check the name, or give the folder of a model with -m.")
    assert name in finding.found and touched == []


def test_fills_that_differ_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = iter("abcdefgh")
    monkeypatch.setattr(Infiller, "infill", lambda self, text, **options: SimpleNamespace(document=next(texts)))
    finding = found_by("model")["filling"]
    assert (finding.status, finding.found) == ("failed", "the same seed gave two results: 'a' and 'b'")


def test_r1_offline_says_at_once_what_to_fetch_where(
    places: Path, touched: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(checks, "CHECKS", {"model": checks.CHECKS["model"]})
    began = time.perf_counter()
    ended = run("doctor", "-m", ABSENT, "--offline", "--json")
    assert time.perf_counter() - began < 2
    finding = report(ended)["model files"]
    assert (ended.code, finding["status"], touched) == (8, "failed", [])
    assert ABSENT in finding["found"] and "the hub is not asked" in finding["found"]
    assert f"hf download {ABSENT}" in finding["advice"]
    assert "models--somebody--no-such-model" in finding["advice"] and str(places / "cache") in finding["advice"]


def test_the_environment_may_forbid_the_hub(touched: list[object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "CHECKS", {name: checks.CHECKS[name] for name in ("hub", "model")})
    listed = report(run("doctor", "-m", ABSENT, "--json"))  # as all tests do
    assert listed["hub"]["found"].startswith("offline (HF_HUB_OFFLINE=1)") and wrong(listed) == ["model files"]
    assert touched == []


def test_a_model_of_the_hub_that_is_not_in_the_cache_is_noted_and_not_fetched(
    touched: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(checks, "CHECKS", {"model": checks.CHECKS["model"]})
    ended = run("doctor", "-m", ABSENT, "--json")
    finding = report(ended)["model files"]
    assert (ended.code, finding["status"], touched) == (0, "note", [])
    assert finding["found"] == f"{ABSENT!r} is neither a folder here nor in the cache of models, so it was not checked"
    assert finding["advice"].startswith(f"Run `hf download {ABSENT}` and this command again")
    assert run("info", ABSENT).code == 5 and touched != []  # what is trapped would be seen


@pytest.mark.parametrize("model", ["default", "folder", "run", "cache"])
def test_r1_offline_it_is_green_with_local_models(
    model: str, places: Path, touched: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    kept = places / "cache" / "models--some--body"
    save_tiny({"folder": places / "folder", "run": places / "run" / "model"}.get(model, kept / "snapshots" / "0"))
    (kept / "refs").mkdir(parents=True)
    (kept / "refs" / "main").write_text("0")
    name = {"default": "default", "cache": "some/body"}.get(model, str(places / model))
    ended = run("doctor", "-m", name, "--offline", "--json")
    listed = report(ended)
    assert (ended.code, ended.err, wrong(listed), touched) == (0, "", [], [])
    assert listed["hub"]["found"].startswith("offline") and listed["filling"]["status"] == "ok"


def test_a_run_that_does_not_resume_exactly_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ExponentialMovingAverage, "load", lambda self, tensors: None)
    ended = run("doctor", "--json")
    listed = report(ended)
    assert (ended.code, wrong(listed)) == (8, ["resuming"])
    assert listed["resuming"]["found"] == "model/model.safetensors is not that of a run without a stop"


def test_a_run_that_begins_anew_fails_though_it_ends_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("textdiff.recipe.running.state_to_resume", lambda *words: None)
    found = found_by("self-test")
    assert [name for name, finding in found.items() if finding.status == "failed"] == ["resuming"]
    assert found["resuming"].found == "a run that was stopped after step 1 went on from step 0"


def test_training_that_changes_nothing_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("textdiff.training.config.TrainingConfig.learning_rate_at", lambda self, step: 0.0)
    found = found_by("self-test")
    assert [name for name, finding in found.items() if finding.status == "failed"] == ["training"]


def test_the_current_folder_has_no_say_in_the_self_test(places: Path) -> None:
    (places / "here" / "text.txt").write_bytes(b"\xff" * 1000)
    assert [finding.status for finding in found_by("self-test").values()] == ["ok"] * 3


@pytest.mark.parametrize("end", ["error", "SIGTERM", "SIGHUP"])
def test_the_temporary_folder_goes_away(end: str, places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    there: list[Path] = []

    def stumble(folder: Path, *words: object) -> None:
        there.extend((places / "temporary").iterdir())
        if end == "error":
            raise RuntimeError("it broke")
        number = signal.Signals[end]
        handler: Any = signal.getsignal(number)
        handler(number, None)  # as the system would call it; where nobody listens this is no function

    monkeypatch.setattr(self_test, "_train", stumble)
    ended = run("doctor", "--json")
    assert ended.code == (8 if end == "error" else 130)
    assert len(there) == 1 and there[0].name.startswith("textdiff-doctor-") and not there[0].exists()
    assert {number: signal.getsignal(number) for number in before} == before
    if end == "error":
        assert report(ended)["self-test"]["found"] == "RuntimeError: it broke"


def test_a_check_that_raises_is_a_failed_one_and_ends_nothing() -> None:
    def half(asked: Asked) -> Iterator[Finding]:
        yield ok("one", "fine")
        raise KeyError("two\nlines")

    first, second = run_checks(Asked(), {"half": half, "whole": lambda asked: [note("three", "so so", "Do it.")]})
    assert [finding.status for finding in (*first, *second)] == ["ok", "failed", "note"]
    assert (first[1].name, first[1].found) == ("half", "KeyError: 'two\\nlines'")
    assert "--debug" in str(first[1].advice)


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (MemoryError(), "more memory"),
        (ModuleNotFoundError("No module named 'torch'"), "Install textdiff again"),
        (OSError("what"), "report it"),
    ],
)
def test_the_advice_fits_the_error(error: Exception, advice: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(asked: Asked) -> list[Finding]:
        raise error

    monkeypatch.setattr(checks, "CHECKS", {"broken": broken, "hub": checks.CHECKS["hub"]})
    ended = run("doctor", "--json")
    listed = report(ended)
    assert (ended.code, wrong(listed)) == (8, ["broken"]) and "hub" in listed
    assert advice in listed["broken"]["advice"] and type(error).__name__ in listed["broken"]["found"]
    assert "Traceback" not in ended.err
    assert "in broken" in run("doctor", "--debug").err


def test_a_page_fits_the_terminal() -> None:
    findings = [
        ok("one", "1.0", line="several"),
        ok("two", "2.0", line="several"),
        failed("three", "word " * 30, "Do it\x1b[2J: pip install 'three>=3'"),
        note("four", "/a/very-long/path" * 8, "Shorten it."),
    ]
    text = "".join(page(findings, 80, colours=False))
    assert text.startswith("ok      several           one 1.0, two 2.0\nFAILED  three             word word")
    assert "→ Do it␛[2J: pip install 'three>=3'\n" in text
    assert "/a/very-long/path" * 8 in text
    assert all(len(line) <= 80 for line in text.splitlines() if "/a/very" not in line)
    assert max(len(line) for line in "".join(page(findings[:3], 120, colours=False)).splitlines()) in range(100, 121)
    coloured = "".join(page(findings, 80, colours=True))
    assert "\x1b[31mFAILED\x1b[0m  three" in coloured and re.sub("\x1b\\[\\d+m", "", coloured) == text


def test_bytes_are_told_for_a_person() -> None:
    assert [size(n) for n in (12, 3 << 20, 5 << 29)] == ["12 bytes", "3.0 MiB", "2.5 GiB"]
