"""Every command of the README works as it stands there."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from textdiff.cli import main
from textdiff.curves import can_draw
from textdiff.text.document import Document, Gap

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
SHELL = [line.split("  #")[0].strip() for kind, block in BLOCKS if kind == "sh" for line in block.splitlines()]
COMMANDS = [line for line in SHELL if line.startswith("textdiff ")]
BENCHMARKS = [line for line in SHELL if line.startswith("python scripts/bench")]
PYTHON = [block for kind, block in BLOCKS if kind == "python"]

TINY = [
    "--set",
    "training.max_steps=2",
    "--set",
    "training.per_device_train_batch_size=2",
    "--set",
    "training.save_steps=2",
]
FAST_SHAKESPEARE = [
    *TINY, "--set", "backbone.hidden_size=16", "--set", "backbone.num_hidden_layers=1", "--set", "context_length=32",
    "--set", "data.train=shakespeare.txt",
]  # fmt: skip
# What a command is given besides, so that its test takes seconds.
FASTER = {
    "textdiff finetune --data my/*.txt --output runs/mine": TINY,
    "textdiff finetune --data prepared --output runs/prepared": TINY,
    "textdiff train recipes/shakespeare.yaml --output runs/shakespeare": FAST_SHAKESPEARE,
    "textdiff train recipes/shakespeare.yaml --output runs/uniform --set process.name=uniform": FAST_SHAKESPEARE,
    "textdiff evaluate -m runs/mine --data held-out.txt": ["--max-windows", "2"],
    "textdiff benchmark recipes/benchmarks/small.yaml": ["--dry-run"],
    "textdiff infill letter.md --watch": ["--watch-delay", "0"],
}


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folder with what the README's commands name."""
    folder = tmp_path_factory.mktemp("desk")
    (folder / "recipes").symlink_to(ROOT / "recipes")
    letter = (ROOT / "data" / "samples" / "letter.md").read_bytes()
    garden = (ROOT / "data" / "corpus" / "garden.txt").read_text(encoding="utf8")
    (folder / "letter.md").write_bytes(letter)
    (folder / "notes.txt").write_text("Buy ____ and ____ for the garden.\n", encoding="utf8")
    (folder / "data").symlink_to(ROOT / "data")
    (folder / "letter.txt").write_text(garden[:400], encoding="utf8")
    (folder / "letters").mkdir()
    (folder / "letters" / "one.md").write_text("My dear [MASK: 1 word],\n", encoding="utf8")
    (folder / "letters" / "two.md").write_text("Yours [MASK: truly|ever],\n", encoding="utf8")
    (folder / "data.jsonl").write_text('{"id": 1, "text": "The [MASK: 1 word] is here."}\n', encoding="utf8")
    (folder / "my").mkdir()
    (folder / "my" / "one.txt").write_text(garden[:3000], encoding="utf8")
    (folder / "my" / "two.txt").write_text(garden[3000:6000], encoding="utf8")
    (folder / "held-out.txt").write_text(garden[6000:8000], encoding="utf8")
    shakespeare = (ROOT / "data" / "corpus" / "shakespeare.txt").read_text(encoding="utf8")
    (folder / "shakespeare.txt").write_text(shakespeare[:4000], encoding="utf8")
    (folder / "reaction.txt").write_text("CC(=O)O.OCC>>CC(=O)[MASK: 1 token]CC\n", encoding="utf8")
    (folder / "models").mkdir()
    return folder


@pytest.fixture
def few_repeats(monkeypatch: pytest.MonkeyPatch) -> None:
    """Held-out text of a few hundred tokens is corrupted so often that 65,536 are scored; here a few times will do."""
    monkeypatch.setattr("textdiff.evaluation.held_out._LEAST_TOKENS", 1 << 10)


@pytest.mark.usefixtures("few_repeats")
@pytest.mark.parametrize("command", COMMANDS)
def test_command(
    command: str,
    desk: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    development_data: Callable[[str], Path],
) -> None:
    monkeypatch.chdir(desk)
    if "rxn-albert-mlm" in command and not (own := desk / "models" / "rxn-albert-mlm").exists():
        shutil.copytree(development_data("rxn-albert-mlm"), own)
    if command.startswith("textdiff curves") and not can_draw():
        pytest.skip("matplotlib is not installed")
    for place in ("runs/mine", "runs/shakespeare", "runs/uniform", "prepared"):
        named = any(word == place or word.startswith(f"{place}/") for word in command.split())
        if named and f"--output {place}" not in command and not (desk / place).exists():
            run(next(maker for maker in COMMANDS if f"--output {place}" in maker))
    letter = (desk / "letter.md").read_bytes()
    assert run(command) == 0, capfd.readouterr().err
    (desk / "letter.md").write_bytes(letter)


def run(command: str) -> int:
    # a shell expands what is not in quotes; shlex without posix leaves the quotes on
    words = [*shlex.split(command, posix=False)[1:], *FASTER.get(command, [])]
    expanded = [
        item
        for word in words
        for item in (map(str, sorted(Path().glob(word))) if "*" in word and "'" not in word else [word.strip("'\"")])
    ]
    return main(expanded)


def test_the_readme_has_commands_and_nothing_else_in_its_shell_blocks() -> None:
    assert len(COMMANDS) > 15
    others = [line for line in SHELL if line and not line.startswith("textdiff ")]
    assert others == ["scripts/quickstart", "scripts/test", *BENCHMARKS] and len(BENCHMARKS) == 2


def test_the_shown_fills_are_fills_of_the_samples() -> None:
    """Each line of a filled text in the README is a line of a sample, with something in each gap."""
    shown = [line for kind, block in BLOCKS if kind == "text" for line in block.splitlines()]
    samples = [Document.parse(path.read_bytes()) for path in (ROOT / "data" / "samples").iterdir()]
    patterns = [pattern for document in samples for pattern in _lines_with_gaps(document)]
    assert len(shown) > 5
    for line in shown:
        assert any(re.fullmatch(pattern, line) for pattern in patterns), line


def _lines_with_gaps(document: Document) -> list[str]:
    """A pattern for each line of a document that has a gap, and for what stands in these."""
    mark = "\0"
    text = "".join(mark if isinstance(part, Gap) else part.text for part in document.parts)
    lines = [line for line in text.splitlines() if mark in line]
    return [re.escape(line).replace(re.escape(mark), "(?:.+?)") for line in lines]


@pytest.mark.parametrize("command", BENCHMARKS)
def test_a_benchmark_makes_its_table(command: str, tmp_path: Path) -> None:
    """The same command on one document, with two cases of a kind."""
    text = (ROOT / "data" / "corpus" / "garden.txt").read_text(encoding="utf8")
    held_out = tmp_path / "runs" / "corpus" / "valid.jsonl"
    held_out.parent.mkdir(parents=True)
    held_out.write_text(json.dumps({"text": text[:20_000]}) + "\n", encoding="utf8")
    script, *options = command.split()[1:]
    done = subprocess.run(
        [sys.executable, str(ROOT / script), *options, "--cases", "2", "--repeats", "1"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "| joint/true | " in done.stdout and "± " in done.stdout


def test_the_scripts_exist_and_parse() -> None:
    for name in ("quickstart", "test", "install"):
        subprocess.run(["bash", "-n", str(ROOT / "scripts" / name)], check=True)
        assert os.access(ROOT / "scripts" / name, os.X_OK)


def test_the_python_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    example = next(block for block in PYTHON if "textdiff.load" in block)
    exec(compile(example, "README.md", "exec"), {})
    assert capsys.readouterr().out.startswith("She opened the ")


def test_the_policy_of_the_readme_is_a_policy() -> None:
    """It is registered under its name, and a sampler with it can be built."""
    from textdiff.registry import build, names
    from textdiff.sampling import Accept, Sampler

    block = next(block for block in PYTHON if "RarestAccept" in block)
    header = (
        "from dataclasses import dataclass\nfrom torch import Tensor\nfrom textdiff.registry import register\n"
        "from textdiff.sampling import Accept, Step\nfrom textdiff.sampling.accept.ranked import RankedAccept\n"
    )
    scope = {"__name__": "rarest"}
    try:
        exec(compile(header + block, "README.md", "exec"), scope)
        assert "rarest" in names(Accept)
        assert type(build(Sampler, {"accept": "rarest"}).accept) is scope["RarestAccept"]
    finally:
        from textdiff import registry

        registry._FAMILIES[Accept].pop("rarest", None)
