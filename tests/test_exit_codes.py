"""How commands end: the exit code, one line on stderr, and help that helps."""

from __future__ import annotations

import json
import re
import shlex
import warnings
from pathlib import Path
from unittest.mock import patch

import pytest
from tiny import Ended, run, save_tiny

from textdiff.cli.app import make_command
from textdiff.cli.command import spread
from textdiff.cli.loading import load_infiller
from textdiff.infiller import Infiller

COMMANDS = ["infill", "generate", "train", "finetune", "evaluate", "curves", "list", "info", "verify", "doctor"]
PATHS = [[name] for name in COMMANDS] + [["tokenizer"], ["tokenizer", "train"], ["tokenizer", "check"]]
PATHS += [["data"], ["data", "check"], ["data", "prepare"]]


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture
def letter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "letter.md"
    path.write_bytes(b"Dear [MASK: 2 tokens]\n")
    return path


def said(ended: Ended) -> str:
    """The one line on stderr; nothing is on stdout."""
    assert ended.out == b""
    assert re.fullmatch(r"textdiff: error: [^\n]+\n", ended.err), ended.err
    return ended.err


WRONG = [
    ("", "Missing command"),
    ("infil letter.md", "Did you mean 'infill'"),
    ("infill", "Missing argument"),
    ("infill letter.md --stepz 3", "No such option: --stepz"),
    ("infill letter.md --steps 0", "--steps"),
    ("infill letter.md --steps 2.5", "--steps"),
    ("infill letter.md --seed x", "--seed"),
    ("infill letter.md --room 0", "--room"),
    ("infill letter.md --temperature -0.1", "-0.1 is not a finite number of at least 0"),
    ("infill letter.md --temperature nan", "nan is not a finite number"),
    ("infill letter.md --temperature inf", "inf is not a finite number"),
    ("infill letter.md --top-k 0", "--top-k"),
    ("infill letter.md --top-p 0", "0.0 is not above 0"),
    ("infill letter.md --top-p 1.01", "1.01 is not above 0"),
    ("infill letter.md --top-p nan", "nan is not above 0"),
    ("infill letter.md --watch-delay nan", "nan is not between"),
    ("infill letter.md --sampler confident", "Did you mean 'confidence'?"),
    ("infill letter.md --mask-token ''", "must not be empty"),
    ("infill letter.md --diff --json", "--diff and --json"),
    ("infill letter.md --diff --in-place", "only one of"),
    ("infill letter.md -o x --in-place", "only one of"),
    ("infill - --in-place", "--in-place needs a file"),
    ("infill .", "several documents need a place to go"),
    ("generate -n 0", "'-n'"),
    ("generate -n 10001", "'-n'"),
    ("generate --max-new-tokens 0", "--max-new-tokens"),
    ("generate --sampler nothing", "no sampler is named 'nothing'"),
    ("generate one two", "unexpected extra argument"),
    ("train recipe.yaml", "--output is missing"),
    ("finetune --output x", "Missing option '--data'"),
    ("finetune --data x", "Missing option '--output'"),
    ("evaluate --data letter.md --repeats 0", "--repeats"),
    ("evaluate --data letter.md --metrics bleu", "no metric is named 'bleu'"),
    ("evaluate --data letter.md --unit page", "--unit"),
    ("tokenizer", "Missing command"),
    ("tokenizer train --data letter.md", "--output"),
    ("list nonsense", "no family is named 'nonsense'"),
]


@pytest.mark.parametrize(("line", "why"), WRONG, ids=[line or "nothing" for line, _ in WRONG])
def test_wrong_usage_is_said_before_anything_is_loaded(letter: Path, line: str, why: str) -> None:
    with patch("textdiff.infiller.load", side_effect=AssertionError("the model was loaded")):
        ended = run(*shlex.split(line))
    assert ended.code == 2
    assert why in said(ended)
    named = [word for word in line.split()[:2] if word in {*COMMANDS, "tokenizer", "train"}]
    assert ended.err.endswith(f"(help: {' '.join(['textdiff', *named])} --help)\n")


OTHER = [
    ("infill missing.md", 4, "missing.md cannot be read: no such file"),
    ("infill plain.txt", 4, "no gap to fill. A gap is written [MASK], [MASK: 5 words]"),
    ("infill latin1.txt", 4, "not UTF-8: byte 1 is 0xe9"),
    ("infill bad.txt", 4, "line 2, column 10"),
    ("infill letter.md -m nowhere", 5, "'nowhere' is no model"),
    ("infill letter.md -m .", 5, ". holds no tokenizer"),
    ("generate -m ./nowhere", 5, "is no model"),
    ("generate --device tpu9", 2, "device must be cpu, cuda or cuda:N, got 'tpu9'"),
    ("infill letter.md --device cuda:999", 6, "there is no device cuda:999"),
    ("score letter.md --device cuda:999", 6, "there is no device cuda:999"),
    ("revise letter.md --device cuda:999", 6, "there is no device cuda:999"),
    ("evaluate --data letter.md --device cuda:999", 6, "there is no device cuda:999"),
    ("evaluate --data missing.txt -m MODEL", 4, "missing.txt is missing"),
    ("evaluate --data letter.md -m nowhere", 5, "is no model"),
    ("train missing.yaml --output run", 3, "missing.yaml cannot be read"),
    ("train bad.yaml --output run", 3, "bad.yaml:2"),
    ("train wrong.yaml --dry-run", 3, "wrong.yaml: dataa: unknown key. Did you mean 'data'?"),
    ("finetune -m nowhere --data letter.md --output run", 5, "is no model"),
    ("finetune -m MODEL --data missing.txt --output run", 4, "missing.txt"),
    ("finetune -m MODEL --data letter.md --output run --set process.name=uniform", 3, "the model's own"),
    ("tokenizer train --data missing.txt --output t", 4, "missing.txt"),
    ("tokenizer train --data letter.md --output t --kind wordy", 3, "no tokenizer is named 'wordy'"),
    ("tokenizer train --data letter.md --output t --vocab-size 9", 3, "vocab_size must be at least 260"),
    ("tokenizer check nowhere --data letter.md", 5, "is no model"),
    ("info nowhere", 5, "is no model"),
    ("verify .", 8, "failed 1 check"),
]


@pytest.mark.parametrize(("line", "code", "why"), OTHER, ids=[line for line, _, _ in OTHER])
def test_what_is_wrong_has_its_code(letter: Path, model: Path, line: str, code: int, why: str) -> None:
    files = {
        "plain.txt": b"nothing here",
        "latin1.txt": b"h\xe9llo [MASK]",
        "bad.txt": b"one\nx [MASK: 5 parsecs]\n",
        "bad.yaml": b"data: {train: x}\na: *b\n",
        "wrong.yaml": b"dataa: {train: x}\n",
    }
    for name, data in files.items():
        Path(name).write_bytes(data)
    ended = run(*(model if word == "MODEL" else word for word in line.split()))
    assert ended.code == code
    assert why in said(ended)
    assert not Path("run").exists()


def failing(error: BaseException, *options: str) -> Ended:
    with patch("textdiff.cli.infill.load_infiller", side_effect=error):
        return run(*options, "infill", "-", stdin=b"[MASK]")


def test_a_bug_is_one_sentence_and_a_traceback_only_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TEXTDIFF_DEBUG", raising=False)
    ended = failing(KeyError("x\ny\x1b"))
    assert ended.code == 1
    assert "this is a bug in textdiff: KeyError" in said(ended)
    assert "--debug" in ended.err
    asked = failing(KeyError("x"), "--debug")
    assert asked.code == 1
    assert "Traceback (most recent call last)" in asked.err
    monkeypatch.setenv("TEXTDIFF_DEBUG", "1")
    assert "Traceback" in failing(ValueError("x")).err


def test_debug_stands_anywhere_but_in_a_text(letter: Path) -> None:
    assert "Traceback" in run("infill", "missing.md", "--debug").err
    ended = run("infill", "--", "--debug")
    assert (ended.code, "Traceback" in ended.err) == (4, False)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (MemoryError(), 6),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), 6),
        (RuntimeError("something else"), 1),
        (BrokenPipeError(), 0),
    ],
)
def test_what_the_machine_lacks_is_no_bug(error: BaseException, code: int) -> None:
    ended = failing(error)
    assert ended.code == code
    assert (ended.err == "") == (code == 0)


def test_an_interrupt_is_130() -> None:
    ended = failing(KeyboardInterrupt())
    assert (ended.code, ended.out, ended.err) == (130, b"", "textdiff: interrupted\n")


def test_closed_streams_are_said(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import sys

    from textdiff.cli import main

    monkeypatch.setattr(sys, "stdin", None)
    assert main(["infill", "-", "-m", str(model)]) == 4
    monkeypatch.setattr(sys, "stdout", None)
    assert main(["--version"]) == 6
    assert "standard output is closed" in capsys.readouterr().err


def test_success_says_nothing(letter: Path, model: Path, recwarn: pytest.WarningsRecorder) -> None:
    def load(name: str, *_: object) -> Infiller:
        warnings.warn("third parties warn", UserWarning, stacklevel=2)
        return load_infiller(name)

    with patch("textdiff.cli.infill.load_infiller", load):
        assert run("infill", letter, "-m", model).err == ""
    assert len(recwarn) == 0
    assert run("infill", letter, "-m", model, "--json", "--seed", 10**30).err == ""


@pytest.mark.parametrize("path", PATHS, ids=" ".join)
def test_every_help_page_has_examples_that_parse(path: list[str]) -> None:
    ended = run(*path, "--help")
    assert (ended.code, ended.err) == (0, "")
    examples = re.findall(r"^ +(?:.*\| )?(textdiff [^|<\n]*)", ended.text.partition("Examples:\n")[2], re.MULTILINE)
    assert examples
    assert all(len(line) <= 80 for line in ended.text.splitlines())
    for example in examples:
        words = shlex.split(example)[1:]
        command = make_command()
        while words and words[0] in getattr(command, "commands", {}):
            command = command.commands[words.pop(0)]
        command.make_context("x", words).close()


def test_every_option_is_explained() -> None:
    for path in PATHS:
        command = make_command()
        for word in path:
            command = command.commands[word]
        for parameter in command.params:
            assert getattr(parameter, "help", None), (path, parameter.name)


def test_an_option_takes_what_a_shell_expands() -> None:
    assert spread(["-m", "x", "--data", "a", "b", "-o", "y"]) == ["-m", "x", "--data", "a", "--data", "b", "-o", "y"]
    assert spread(["--data=a", "b", "--json"]) == ["--data=a", "--data", "b", "--json"]
    assert spread(["--set", "a=1", "b=2", "recipe.yaml"]) == ["--set", "a=1", "--set", "b=2", "recipe.yaml"]
    assert spread(["--set", "nonsense", "b=2"]) == ["--set", "nonsense", "--set", "b=2"]
    assert spread(["x", "--data", "a", "--", "b", "c"]) == ["x", "--data", "a", "--", "b", "c"]
    assert spread(["infill", "-", "letter.md"]) == ["infill", "-", "letter.md"]


def test_json_is_safe_to_show(model: Path) -> None:
    ended = run("infill", "-", "-m", model, "--json", stdin="\x9b\u202e\x00\N{SNOWMAN}[MASK: 1 token]".encode())
    assert json.loads(ended.out)["document"].startswith("\x9b\u202e\x00\N{SNOWMAN}")
    assert ended.text.isprintable() or ended.text.rstrip("\n").isprintable()
