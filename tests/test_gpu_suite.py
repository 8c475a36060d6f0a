"""scripts/gpu_suite: slices that resume, failures that stop nothing else, weights in parts; at toy size on a CPU."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))
from suite import environment, parts, training  # noqa: E402
from suite import main as entry  # noqa: E402
from suite.delivery import deliver  # noqa: E402
from suite.options import GROUPS, parsed, parser  # noqa: E402
from suite.progress import Progress  # noqa: E402
from suite.runner import Runner  # noqa: E402
from suite.slices import Slice  # noqa: E402
from suite.tasks import GROUP_MINUTES, Task, TrainingTask, all_tasks  # noqa: E402
from suite.tasks import test_results as results_of  # noqa: E402

sys.path.pop(0)


def suite(*words: str | Path, seconds: int = 900) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "gpu_suite"), *map(str, words)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=seconds,
    )


def toy(tmp_path: Path, *words: str) -> Any:
    return parsed(parser(), ["run", "--toy", "--work", str(tmp_path / "w"), "--output", str(tmp_path / "o"), *words])


def runner(tmp_path: Path, seconds: float = 60, grace: float = 5, *words: str) -> Runner:
    """A slice that asks commands to end after so many seconds."""
    options = toy(tmp_path, *words)
    progress = Progress(options.work / "progress.json", {})
    return Runner(options, progress, Slice(time.monotonic() + seconds, grace), None, options.work / "site")


@dataclass(frozen=True)
class Until(Slice):
    """A slice that ends as soon as something has happened, and not by the clock."""

    happened: Callable[[], object] = lambda: True

    def _wait(self, child: subprocess.Popen[bytes], seconds: float) -> tuple[int, bool]:
        while child.poll() is None and not self.happened() and self.left > 0:
            time.sleep(0.02)
        return super()._wait(child, 0)

    @property
    def left(self) -> float:
        return 0 if self.happened() else super().left


def until(happened: Callable[[], object], grace: float) -> Until:
    return Until(time.monotonic() + 600, grace, happened)


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


def test_a_failing_task_is_recorded_and_stops_no_other(tmp_path: Path) -> None:
    tasks = [
        Task("texts/bad", python("import sys; print('half'); sys.exit('the reason')")),
        Task("texts/needs", python("print()"), needs=("texts/bad",)),
        Task("texts/odd", python("print('not json')"), lambda path: json.loads(path.read_text())),
        Task("texts/good", python("import os; print(os.environ['TEXTDIFF_GPU_TESTS_ON'])")),
    ]
    one = runner(tmp_path)
    assert one.run(tasks)
    found = Progress(one.options.work / "progress.json", {}).records
    assert [found[task.name].state for task in tasks] == ["failed", "failed", "failed", "done"]
    assert found["texts/bad"].message == "it ended with 1: the reason"
    assert found["texts/bad"].result == ["half"]
    assert found["texts/needs"].message == "it needs texts/bad, which is not done"
    assert found["texts/odd"].message.startswith("JSONDecodeError")
    assert found["texts/good"].result == ["cpu"]


def test_what_is_done_is_not_done_again(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    task = Task("texts/once", python(f"open({str(mark)!r}, 'a').write('x')"))
    assert runner(tmp_path).run([task]) and runner(tmp_path).run([task])
    assert mark.read_text() == "x"


def test_the_end_of_a_slice_ends_a_command_with_all_that_it_started(tmp_path: Path) -> None:
    """It ignores SIGTERM, and so does its child; after the grace both are gone."""
    pids = tmp_path / "pids"
    code = (
        "import os, signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"open({str(pids)!r} + '~', 'w').write(f'{{os.getpid()}} {{child.pid}}')\n"
        f"os.rename({str(pids)!r} + '~', {str(pids)!r})\n"
        "time.sleep(600)\n"
    )
    slice_ = until(pids.exists, grace=0.5)
    ended = slice_.run(python(code), tmp_path / "out", tmp_path / "log", dict(os.environ), limit=600)
    assert ended.cut and ended.code == -signal.SIGKILL
    for pid in map(int, pids.read_text().split()):
        assert gone(pid)


def gone(pid: int) -> bool:
    """Whether a process has ended; one that nobody has waited for yet is a zombie."""
    for _ in range(100):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":
            return True
        time.sleep(0.1)
    return False


SLEEPER = "import os, sys, time; open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(600)"
SUITE = """
import sys, time
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from suite import main, tasks
work, sleeper = sys.argv[2:]
made = [
    tasks.Task("texts/first", (sys.executable, "-c", "print(1)")),
    tasks.Task("texts/long", (sys.executable, "-c", sleeper, f"{work}/pid~")),
]
main.all_tasks = lambda options: made
main.make_texts = lambda folder: folder
print("begun", flush=True)
raise SystemExit(main.main(["run", "--toy", "--work", work, "--output", f"{work}/o", "--slice-minutes", "5"]))
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_slice_that_is_stopped_leaves_no_process_and_repeats_nothing(tmp_path: Path, number: int) -> None:
    def begin() -> tuple[subprocess.Popen[str], int]:
        (tmp_path / "pid~").unlink(missing_ok=True)
        words = [sys.executable, "-c", SUITE, str(ROOT / "scripts"), str(tmp_path), SLEEPER]
        one = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        while not (tmp_path / "pid~").exists() or not (tmp_path / "pid~").read_text():
            assert one.poll() is None
            time.sleep(0.02)
        return one, int((tmp_path / "pid~").read_text())

    for deaths in (1, 2):
        one, child = begin()
        one.send_signal(number)
        assert one.wait(60) == (-number if number == signal.SIGKILL else 75)
        assert gone(child)
        records = json.loads((tmp_path / "progress.json").read_text())["tasks"]
        assert (records["texts/first"]["state"], records["texts/first"]["slices"]) == ("done", 1)
        long = records["texts/long"]
        assert (long["state"], long["slices"]) == ("waiting", deaths)
        assert long["begun"] == (deaths if number == signal.SIGKILL else 0)
        assert (tmp_path / "o" / "results.json").exists() == (number != signal.SIGKILL)


def test_a_task_that_the_machine_goes_down_with_is_given_up(tmp_path: Path) -> None:
    one = runner(tmp_path)
    tasks = [Task("texts/deadly", python("print()")), Task("texts/next", python("print()"))]
    one.progress.of("texts/deadly").begun = 4
    assert one.run(tasks)
    assert one.progress.of("texts/deadly").message == "4 slices in a row died while it ran"
    assert one.progress.of("texts/next").state == "done"


def test_a_task_that_slices_cut_off_is_tried_again_and_then_given_up(tmp_path: Path) -> None:
    task = Task("texts/long", python("import time; time.sleep(600)"))
    for number, state in ((1, "waiting"), (2, "failed")):
        one = runner(tmp_path, 1.5, 2, "--slice-minutes", "0.01")
        assert one.run([task]) == (state == "failed")
        record = one.progress.of(task.name)
        assert (record.state, record.slices) == (state, number)
    assert record.message == "the ends of 2 slices cut it off; make --slice-minutes longer"


def test_a_group_takes_no_more_than_its_minutes(tmp_path: Path) -> None:
    budget = str(2 / GROUP_MINUTES["tests"])  # two seconds for the tests
    tasks = [Task("tests/slow", python("import time; time.sleep(600)")), Task("tests/late", python("print()"))]
    one = runner(tmp_path, 60, 2, "--budget-minutes", budget)
    assert one.run(tasks) is True
    slow, late = (one.progress.of(task.name) for task in tasks)
    assert slow.state == "failed" and re.fullmatch(r"it did not end within \d+ seconds", slow.message)
    assert late.state == "skipped" and "of tests were used up" in late.message


RECIPE = """
context_length: 16
data: {train: text.txt, validation_share: 0.2}
tokenizer: {kind: characters, vocab_size: 64}
backbone: {name: dit, hidden_size: 16, num_hidden_layers: 1, num_attention_heads: 2}
training: {per_device_train_batch_size: 4}
"""


def test_a_training_run_goes_on_in_the_next_slice(tmp_path: Path) -> None:
    """The first slice ends in the middle of it; the second goes on from the state that was saved."""
    (tmp_path / "text.txt").write_text("The old house stood by the river.\n" * 40)
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    task = TrainingTask("speed/toy", tmp_path / "recipe.yaml", tmp_path / "run", (), seconds=1e6)
    one = runner(tmp_path, 600, 60)
    one.progress.of(task.name).notes |= {"seconds_per_step": 0.01, "seconds_to_start": 1.0, "steps": 400_000}
    one.slice = until(lambda: logged(task.output), grace=120)
    assert not one.run([task])
    record = one.progress.of(task.name)
    stopped_at = training.steps_done(task.output)
    assert record.state == "waiting" and stopped_at > 0
    record.notes["steps"] = stopped_at + 5
    one.progress.save()
    two = runner(tmp_path, 600, 60)
    assert two.run([task])
    record = two.progress.of(task.name)
    assert (record.state, record.message) == ("done", "")
    assert record.result["steps"] == stopped_at + 5 == training.steps_done(task.output)
    starts = [e["step"] for e in training.events(task.output / "log.jsonl") if e["event"] == "start"]
    assert starts[-1] == stopped_at
    assert "bits_per_byte" in [score["name"] for score in record.result["scores"]]


def logged(output: Path) -> bool:
    """Whether the log of a run has a step."""
    log = output / "log.jsonl"
    return log.exists() and any(event["event"] == "step" for event in training.events(log))


def test_a_curve_adds_up_the_seconds_of_all_parts(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    rows = [
        ("start", 0.5, {"step": 0}), ("step", 2, {"step": 1}), ("evaluation", 3, {"step": 2, "nelbo": 2.0}),
        ("step", 4, {"step": 3}), ("start", 1, {"step": 3}), ("evaluation", 6, {"step": 4, "nelbo": 1.0}),
    ]  # fmt: skip
    lines = [json.dumps({"event": e, "seconds": s, "standard_error": 0.1, **more}) for e, s, more in rows]
    log.write_text("\n".join(lines) + '\n{"event": "st')
    found = training.curve(log)
    assert [(point["step"], point["seconds"]) for point in found] == [(2, 3.0), (4, 10.0)]
    assert found[1]["bits"] == pytest.approx(1 / 0.6931, rel=1e-3)


def test_the_number_of_steps_follows_from_the_speed(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    slow_start = [(step, 100 + 0.25 * step if step > 3 else 30 * step) for step in range(1, training.TRIAL_STEPS + 1)]
    log.write_text("".join(json.dumps({"event": "step", "step": n, "seconds": s}) + "\n" for n, s in slow_start))
    pace, trained = training.speed(log)
    assert (pace, trained) == (pytest.approx(0.25), 100 + 0.25 * training.TRIAL_STEPS)
    plan = training.Plan.within(500, pace)
    assert plan.steps == int(training.SHARE * 2000)
    settings = dict(setting.split("=") for setting in plan.settings())
    assert settings["training.max_steps"] == str(plan.steps)
    assert 1 <= int(settings["training.eval_steps"]) <= plan.steps / training.EVALUATIONS + 1
    least = training.Plan.within(-5, pace)
    assert least.steps == 2 and "training.eval_steps=1" in least.settings()
    log.write_text("")
    with pytest.raises(ValueError, match="too few steps"):
        training.speed(log)


def packed(tmp_path: Path, size: int) -> tuple[Any, Progress]:
    options = toy(tmp_path, "--max-files", "6")
    model = options.work / "models" / "packaged"
    (model / "sub").mkdir(parents=True)
    (model / "model.safetensors").write_bytes(os.urandom(size))
    (model / "sub" / "config.json").write_text("{}")
    return options, Progress(options.work / "progress.json", {})


def test_weights_come_in_parts_over_several_slices_and_are_joined(tmp_path: Path) -> None:
    """The folder is emptied between slices, as what is taken away is; no part is larger than it may be."""
    options, progress = packed(tmp_path, 2 * parts.MOST + 1000)
    away = tmp_path / "away"
    away.mkdir()
    for number in range(3):
        assert deliver(options, progress, whole=True) == (number == 2)
        files = sorted(options.output.iterdir())
        assert len(files) == 6
        for file in files:
            assert file.stat().st_size <= parts.MOST
            file.replace(away / file.name)
    joined = suite("join", away, tmp_path / "models")
    assert (joined.returncode, joined.stdout) == (0, f"{tmp_path / 'models' / 'packaged'}\n"), joined.stderr
    for path in (options.work / "models" / "packaged").rglob("*.*"):
        copy = tmp_path / "models" / "packaged" / path.relative_to(options.work / "models" / "packaged")
        assert copy.read_bytes() == path.read_bytes()
    assert suite("join", away, tmp_path / "models").returncode == 1
    with (away / "packaged.tar.001").open("r+b") as file:
        file.write(b"x")
    assert "packaged.tar.001 is damaged" in suite("join", away, tmp_path / "others").stderr
    (away / "packaged.tar.001").unlink()
    missing = suite("join", away, tmp_path / "others")
    assert (missing.returncode, "is missing: bring all parts" in missing.stderr) == (1, True)
    assert not (tmp_path / "others").exists()


def test_logs_are_no_larger_than_a_part_may_be(tmp_path: Path) -> None:
    """The end of a log says most: of sixty that are long, and that cannot be packed, it is all that is taken away."""
    options, progress = packed(tmp_path, 1000)
    (options.work / "logs").mkdir()
    for number in range(60):
        (options.work / "logs" / f"{number}.txt").write_bytes(os.urandom(1 << 19) + b"the end")
    deliver(options, progress, whole=False)
    assert (options.output / "logs.zip").stat().st_size <= parts.MOST
    with zipfile.ZipFile(options.output / "logs.zip") as logs:
        assert len(logs.namelist()) == 60 and logs.read("7.txt").endswith(b"the end")


def test_no_weights_leave_before_all_has_ended(tmp_path: Path) -> None:
    options, progress = packed(tmp_path, 1000)
    assert deliver(options, progress, whole=False) is False
    assert json.loads((options.output / "weights.json").read_text()) == []
    assert deliver(options, progress, whole=True) is True


def test_results_of_tests_are_read(tmp_path: Path) -> None:
    report = tmp_path / "tests.xml"
    report.write_text(
        '<testsuites><testsuite tests="3" failures="1" errors="0" skipped="1"><testcase name="a"/>'
        '<testcase name="b"><failure/></testcase><testcase name="c"><properties><property name="waits" value="4"/>'
        "</properties></testcase></testsuite></testsuites>"
    )
    found = results_of(report)
    assert (found["tests"], found["failures"], found["failed"]) == (3, 1, ["b"])
    assert found["reported"] == {"waits": "4"}


def test_wheels_are_added_for_what_is_missing_only(tmp_path: Path) -> None:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    for name in ("torch", "wholly_new"):
        info = f"{name}-9.9.dist-info"
        with zipfile.ZipFile(wheels / f"{name}-9.9-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"{name}.py", "FOUND = True\n")
            wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 9.9\n")
            wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{info}/RECORD", "")
    site = tmp_path / "site"
    assert environment.add_wheels(wheels, site) == ["wholly_new-9.9-py3-none-any.whl"]
    assert (site / "wholly_new.py").is_file() and not (site / "torch.py").exists()
    assert environment.add_wheels(wheels, site) == ["wholly_new-9.9-py3-none-any.whl"]
    shutil.copy(wheels / "wholly_new-9.9-py3-none-any.whl", wheels / "newer-9.9-py3-none-any.whl")
    with pytest.raises(environment.WheelsError, match="cannot be installed: "):
        environment.add_wheels(wheels, site)
    assert (site / "wholly_new.py").is_file(), "what was there stays"
    (wheels / "newer-9.9-py3-none-any.whl").unlink()
    shutil.move(wheels / "wholly_new-9.9-py3-none-any.whl", tmp_path)
    assert environment.add_wheels(wheels, site) == []


def test_wheels_that_cannot_be_installed_are_one_failed_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others may not need what is missing: they are done, and the report says what failed."""
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels" / "wholly_new-9.9-py3-none-any.whl").write_bytes(b"no wheel")
    monkeypatch.setattr(entry, "all_tasks", lambda options: [Task("texts/good", python("print(1)"))])
    words = ["run", "--toy", "--work", tmp_path / "w", "--output", tmp_path / "o", "--wheels", tmp_path / "wheels"]
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert entry.main([*map(str, words)]) == 1
    finally:
        signal.signal(signal.SIGTERM, before)
    records = json.loads((tmp_path / "o" / "progress.json").read_text())["tasks"]
    assert {name: record["state"] for name, record in records.items()} == {"wheels": "failed", "texts/good": "done"}
    assert "cannot be installed" in records["wheels"]["message"]
    assert "| wheels | failed |" in (tmp_path / "o" / "report.md").read_text()


def test_every_task_has_a_group_and_its_own_name(tmp_path: Path) -> None:
    for words in ([], ["--device", "cuda"]):
        options = parsed(parser(), ["run", "--output", str(tmp_path / "o"), *words])
        tasks = all_tasks(options)
        names = [task.name for task in tasks]
        assert len({*names}) == len(names) > 25
        assert {name.split("/")[0] for name in names} == {*GROUPS} == {*GROUP_MINUTES, "texts"}
        for number, task in enumerate(tasks):
            assert {*task.needs} <= {*names[:number]}
            if isinstance(task, TrainingTask):
                assert task.recipe.is_file()
            elif task.command[1].endswith(".py"):
                assert Path(task.command[1]).is_file()
    assert sum(GROUP_MINUTES.values()) == 60
    speed = [task for task in tasks if isinstance(task, TrainingTask) and task.name.startswith("speed/")]
    assert sum(task.seconds for task in speed) == pytest.approx(25 * 60)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run"], "--output"),
        (["run", "--output", "o", "--only", "speeds"], "--only knows no speeds"),
        (["run", "--output", "o", "--slice-minutes", "0"], "must be above 0"),
        (["run", "--output", "o", "--max-files", "3"], "must be at least 6"),
        (["run", "--output", "o", "--wheels", "nowhere"], "nowhere is no folder"),
    ],
)
def test_what_is_wrong_is_said(words: list[str], said: str) -> None:
    done = suite(*words)
    assert done.returncode == 2 and said in done.stderr


def test_a_run_with_other_settings_is_refused(tmp_path: Path) -> None:
    words = ["run", "--toy", "--work", tmp_path / "w", "--output", tmp_path / "o", "--only", "environment"]
    first = suite(*words)
    assert first.returncode == 0, first.stderr
    report = (tmp_path / "o" / "report.md").read_text()
    assert "- device: cpu" in report and "| environment | done |" in report
    other = suite(*words, "--budget-minutes", "5")
    assert other.returncode == 1 and "is of a run with other budget_minutes" in other.stderr


@pytest.mark.slow
def test_the_whole_path_at_toy_size(tmp_path: Path) -> None:
    """Tests, benches, texts, speed runs, packaged model: in slices of two minutes, until nothing is left to do."""
    work, away = tmp_path / "w", tmp_path / "away"
    words = ["run", "--toy", "--work", work, "--output", tmp_path / "o", "--slice-minutes", "2", "--max-files", "6"]
    codes = []
    while not codes or (codes[-1] == 75 and len(codes) < 30):
        done = suite(*words)
        codes.append(done.returncode)
        away.mkdir(exist_ok=True)
        for file in (tmp_path / "o").iterdir():
            file.replace(away / file.name)
    assert codes[-1] == 0 and len(codes) >= 2, (done.stderr, (away / "report.md").read_text())
    progress = json.loads((away / "progress.json").read_text())
    assert {record["state"] for record in progress["tasks"].values()} == {"done"}
    results = json.loads((away / "results.json").read_text())
    assert {name.split("/")[0] for name in results} == {*GROUPS}
    assert results["tests"]["tests"] > 0 == results["tests"]["failures"]
    assert results["bench-sampling/toy"][0]["ratio"] > 0
    for name in ("speed/absorbing", "speed/uniform", "packaged/train"):
        assert results[name]["curve"] and results[name]["scores"][0]["standard_error"] > 0
    assert suite("join", away, tmp_path / "models").returncode == 0
    model = tmp_path / "models" / "packaged"
    command = [sys.executable, "-m", "textdiff", "infill", "-", "-m", str(model)]
    filled = subprocess.run(command, input="It was [MASK: 2 tokens].", capture_output=True, text=True, cwd=ROOT)
    assert filled.returncode == 0 and filled.stdout.startswith("It was ")
