"""What the suite does, task by task."""

from __future__ import annotations

import json
import sys
import xml.etree.ElementTree as Xml
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from suite.environment import ROOT
from suite.options import Options

GROUP_MINUTES = {"environment": 1, "tests": 5, "bench-training": 6, "bench-sampling": 6, "speed": 25, "packaged": 17}
"""Of a budget of 60. What one group leaves over no other gets: a run is as long as was asked. Texts take what they take."""

Reader = Callable[[Path], Any]
"""Makes plain data of the file that a command's standard output went to."""


@dataclass(frozen=True)
class Task:
    """A command that starts anew when it was cut off.

    Attributes:
        name: "group/what".
        command: the words.
        read: makes its result.
        needs: the names of tasks that must be done.
    """

    name: str
    command: tuple[str, ...]
    read: Reader = lambda path: path.read_text(encoding="utf8").splitlines()[-20:]
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class TrainingTask:
    """A training run of so many minutes, which goes on where it was cut off.

    Attributes:
        name: "group/what".
        recipe: what is trained.
        output: the run's folder.
        settings: of the recipe, as `--set` takes them.
        seconds: for all of it.
        needs: the names of tasks that must be done.
    """

    name: str
    recipe: Path
    output: Path
    settings: tuple[str, ...]
    seconds: float
    needs: tuple[str, ...] = ()


AnyTask = Task | TrainingTask


def json_lines(path: Path) -> list[Any]:
    """The rows that a bench printed."""
    return [json.loads(line) for line in path.read_text(encoding="utf8").splitlines() if line.startswith("{")]


def all_tasks(options: Options) -> list[AnyTask]:
    """In their order: what is short and says most comes first."""
    made = [
        Task("environment", (sys.executable, str(ROOT / "scripts/suite/environment.py"), options.device), json_lines),
        _tests(options),
        *_benches(options),
        *_texts(options),
        *_speed_runs(options),
        *_packaged(options),
    ]
    return [task for task in made if not options.only or task.name.split("/")[0] in options.only]


def _script(name: str, *words: str) -> tuple[str, ...]:
    return (sys.executable, str(ROOT / "scripts" / name), *words)


def _tests(options: Options) -> Task:
    report = options.work / "tests.xml"
    chosen = ["-k", "random_numbers"] if options.toy else []
    command = (
        sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "gpu", f"--junitxml={report}",
        "-o", f"cache_dir={options.work / 'cache'}", str(ROOT / "tests/test_gpu.py"), *chosen,
    )  # fmt: skip
    return Task("tests", command, lambda _: test_results(report))


def test_results(report: Path) -> dict[str, Any]:
    """Counts, the names of the tests that failed, and what tests reported."""
    suite = Xml.parse(report).getroot().find("testsuite")
    assert suite is not None
    cases = suite.findall("testcase")
    failed = [case.get("name") for case in cases if case.find("failure") is not None or case.find("error") is not None]
    properties = {p.get("name"): p.get("value") for p in suite.iter("property")}
    counts = {key: int(suite.get(key, 0)) for key in ("tests", "failures", "errors", "skipped")}
    return {**counts, "failed": failed, "reported": properties}


def _benches(options: Options) -> list[Task]:
    """Each shape and precision by itself, so that what was measured stays measured when a later one fails."""
    where = ("--device", options.device, "--json")
    if options.toy:
        return [
            Task(f"bench-{name}", _script(f"bench_{kind}.py", "--shapes", "toy", *words, *where), json_lines)
            for name, kind, words in (
                ("training/toy", "training", ("--rounds", "1", "--precisions", "fp32")),
                ("sampling/toy", "sampling", ("--rounds", "1", "--precisions", "fp32", "--steps", "4")),
                (
                    "sampling/duo-toy",
                    "sampling",
                    ("--peer", "duo", "--rounds", "1", "--precisions", "fp32", "--steps", "4"),
                ),
            )
        ]
    training = [
        ("H100-bf16", ("--shapes", "H100", "--precisions", "bf16", "--rounds", "10")),
        ("H100-bf16-compiled", ("--shapes", "H100", "--precisions", "bf16", "--rounds", "10", "--compile")),
        ("S32-memory", ("--memory", "S32")),
        *((f"{shape}-{precision}", ("--shapes", shape, "--precisions", precision, "--rounds", "20"))
          for shape in ("S", "M", "C", "BERT") for precision in ("bf16", "fp32")),
        ("H100-bf16-both-compiled",
         ("--shapes", "H100", "--precisions", "bf16", "--rounds", "10", "--compile", "--compile-peer")),
    ]  # fmt: skip
    sampling = [
        ("S16-memory", ("--memory", "S16")),
        *((f"{shape}-{precision}", ("--shapes", shape, "--precisions", precision, "--steps", steps, "--rounds", "5"))
          for shape, steps in (("S", "8,32"), ("M", "8")) for precision in ("bf16", "fp32")),
        ("S16-memory-duo", ("--peer", "duo", "--memory", "S16")),
        *((f"{peer}-{shape}x{rows}", ("--peer", peer, "--shapes", shape, "--rows", rows, "--steps", steps, "--rounds", "3"))
          for peer, shape, rows, steps in (
              ("duo", "S", "8", "8"), ("llada", "S", "8", "24"), ("llada-drawn", "S", "8", "24"),
              ("gpt2", "S256", "1", "16"), ("gpt2", "S256", "8", "16"), ("gpt2-lean", "S256", "8", "14"))),
        ("S-1000", ("--shapes", "S", "--precisions", "bf16", "--steps", "1000", "--rounds", "3")),
        *((f"H100-{name}", ("--shapes", "H100", "--rows", rows, "--precisions", "bf16", "--steps", "1000", "--rounds",
                            rounds, *more))
          for name, rows, rounds, more in (
              ("one-row", "1", "2", ("--graphs",)), ("32-rows", "32", "1", ("--graphs",)),
              ("one-row-compiled", "1", "2", ("--graphs", "--compile")))),
    ]  # fmt: skip
    return [
        Task(f"bench-{kind}/{name}", _script(f"bench_{kind}.py", *words, *where), json_lines)
        for kind, listed in (("training", training), ("sampling", sampling))
        for name, words in listed
    ]


def _texts(options: Options) -> list[Task]:
    """The texts, and their tokens once and for all: a slice then starts at once."""
    work = options.work
    made = []
    for name, script in (("letters", "prepare_letters.py"), ("corpus", "prepare_corpus.py")):
        made.append(Task(f"texts/{name}", _script(script, str(work / name))))
    for name, text, recipe in (("letters", "letters", "text8"), ("corpus", "corpus", "default")):
        kind = "txt" if name == "letters" else "jsonl"
        settings = [f"data.train={work / text / f'train.{kind}'}", *toy_settings(options)]
        command = _textdiff("data", "prepare", _recipe(recipe), "--output", work / f"{name}-tokens", "--set", *settings)
        made.append(Task(f"texts/{name}-tokens", command, needs=(f"texts/{name}",)))
    return made


def _textdiff(*words: object) -> tuple[str, ...]:
    return (sys.executable, "-m", "textdiff", *map(str, words))


def _recipe(name: str) -> Path:
    return ROOT / "recipes" / f"{name}.yaml"


def toy_settings(options: Options, training: bool = False) -> Sequence[str]:
    """A network and a vocabulary so small that the whole path takes a minute."""
    if not options.toy:
        return ()
    network = ("backbone.hidden_size=32", "backbone.num_hidden_layers=2", "backbone.num_attention_heads=2")
    size = ("training.per_device_train_batch_size=4", "training.gradient_accumulation_steps=1", "context_length=32")
    vocabulary = ("tokenizer.vocab_size=300",)
    return (*network, *vocabulary, *size, "training.eval_windows=4") if training else (*network, *vocabulary)


def _speed_runs(options: Options) -> list[TrainingTask]:
    """Each kind of noise on the same characters; and every other recipe of the kind, each in its own file."""
    runs = [("absorbing", _recipe("text8"), ()), ("uniform", _recipe("text8"), ("process.name=uniform",))]
    others = sorted((ROOT / "recipes").glob("text8-*.yaml"))
    runs += [(path.stem.removeprefix("text8-"), path, ()) for path in others]
    return [
        _training(options, f"speed/{name}", recipe, settings, ("letters", "txt"), 25 / len(runs))
        for name, recipe, settings in runs
    ]


def _training(
    options: Options, name: str, recipe: Path, settings: tuple[str, ...], text: tuple[str, str], minutes: float
) -> TrainingTask:
    folder, kind = text
    data = (
        f"data.train={options.work / f'{folder}-tokens'}",
        f"data.validation={options.work / folder / f'valid.{kind}'}",
    )
    return TrainingTask(
        name,
        recipe,
        options.work / "runs" / name.replace("/", "-"),
        (*data, *settings, *toy_settings(options, training=True)),
        options.seconds(0.5 if options.toy else minutes),
        (f"texts/{folder}-tokens",),
    )


def _packaged(options: Options) -> list[AnyTask]:
    run = _training(options, "packaged/train", _recipe("default"), (), ("corpus", "jsonl"), 15)
    model = options.work / "models" / "packaged"
    smaller = Task("packaged/weights", _script("package_model.py", str(run.output), str(model)), needs=(run.name,))
    return [run, smaller]
