"""Corpora as people have them: every fault has its place, its sentence and its code, and none costs memory."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny import TEXT, run, save_tiny

from textdiff.corpus import load_corpus
from textdiff.data import PreparedCorpus

ROOT = Path(__file__).resolve().parent.parent
RECIPE = """
context_length: 16
data: {train: rows.jsonl, validation_share: 0}
tokenizer: {kind: characters, vocab_size: 64}
backbone: {name: dit, hidden_size: 16, num_hidden_layers: 1, num_attention_heads: 2}
training: {max_steps: 2, per_device_train_batch_size: 2}
"""
GOOD = b'{"text": "one river"}\n{"text": "two gardens"}\n'


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    return tmp_path


def commands(file: str, model: Path) -> list[list[object]]:
    """All that read a corpus."""
    return [
        ["train", "recipe.yaml", "--output", "run", "--set", f"data.train='{file}'"],
        ["finetune", "-m", model, "--data", file, "--output", "run"],
        ["evaluate", "-m", model, "--data", file],
        ["tokenizer", "train", "--data", file, "--output", "tokenizer"],
        ["tokenizer", "check", model, "--data", file],
        ["data", "prepare", "--data", file, "--tokenizer", "characters", "--output", "prepared"],
    ]


ROWS = {
    b'{"text": "cut': "the last line is cut off or no JSON: ",
    b'{"text": "a", }\n': "this is no JSON object: ",
    b'{"text": "a\0b"}\n': "there is a NUL byte at offset 57; text holds none, so remove it",
    b'{"text": "a\\u0000b"}\n': "the text holds a NUL at character 1",
    b'{"text": 5}\n': "the column 'text' holds a number, and not a text",
    b'{"text": null}\n': "the column 'text' holds null, and not a text",
    b'{"text": ["a"]}\n': "the column 'text' holds a list, and not a text",
    b'{"text": {"en": "a"}}\n': "the column 'text' holds an object, and not a text",
    b'{"texts": "a", "id": 1}\n': "there is no column 'text'. Did you mean 'texts'? Columns: texts, id",
    b'["a"]\n': 'expected an object such as {"text": "…"}, found a list',
    b'"a"\n': 'expected an object such as {"text": "…"}, found a text',
    b"5\n": 'expected an object such as {"text": "…"}, found a number',
    b"null\n": 'expected an object such as {"text": "…"}, found null',
    b'{"text": "caf\xe9"}\n': "byte 0xe9 at offset 59 (line 3)",
}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.decode("latin-1").strip())
def test_d1_a_wrong_row_is_named_with_its_line(desk: Path, model: Path, row: bytes) -> None:
    (desk / "rows.jsonl").write_bytes(GOOD + row)
    before = sorted(desk.iterdir())
    place = "rows.jsonl is not UTF-8: " if b"\xe9" in row else "rows.jsonl:3: "
    for words in commands("rows.jsonl", model):
        ended = run(*words)
        assert (ended.code, ended.out, ended.err.count("\n")) == (4, b"", 1), words
        assert f"textdiff: error: {place}{ROWS[row]}" in ended.err
        assert sorted(desk.iterdir()) == before
    checked = run("data", "check", "rows.jsonl")
    assert checked.code == 4 and f"error: {place}{ROWS[row]}" in checked.text


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.csv", "rows.parquet"])
def test_d1_a_wrong_column_is_said_with_those_that_there_are(desk: Path, model: Path, name: str) -> None:
    rows = [{"text": "one", "title": "eins"}, {"text": "two", "title": "zwei"}]
    if name.endswith("parquet"):
        import pyarrow
        from pyarrow import parquet

        parquet.write_table(pyarrow.Table.from_pylist(rows), name)
    elif name.endswith("csv"):
        Path(name).write_text("text,title\none,eins\ntwo,zwei\n")
    else:
        Path(name).write_text('{"text": "one", "title": "eins"}\n{"text": "two", "title": "zwei"}\n')
    sets = ["--set", f"data.train={name}", "data.column=titel"]
    for words in (
        ["train", "recipe.yaml", "--output", "run", *sets],
        ["evaluate", "-m", model, "--data", name, "--column", "titel"],
    ):
        ended = run(*words)
        assert (ended.code, ended.out) == (4, b"")
        assert "there is no column 'titel'. Did you mean 'title'? Columns: text, title" in ended.err
        assert name.endswith("parquet") or f"{name}:1: " in ended.err


def test_d1_byte_order_marks_and_line_ends_are_no_fault(desk: Path) -> None:
    (desk / "rows.jsonl").write_bytes(b"\xef\xbb\xbf" + GOOD.replace(b"\n", b"\r\n"))
    (desk / "lines.txt").write_bytes(b"\xef\xbb\xbfone river\r\ntwo gardens\r\n")
    assert [*load_corpus(["rows.jsonl"])] == [*load_corpus(["lines.txt"], unit="line")] == ["one river", "two gardens"]
    assert [*load_corpus(["lines.txt"])] == ["one river\r\ntwo gardens\r\n"]


PREPARE = ["data", "prepare", "--tokenizer", "characters", "--output", "prepared", "--data"]


def test_d1_bad_rows_are_left_out_counted_and_capped(desk: Path) -> None:
    """The cap holds for all files together."""
    (desk / "good.jsonl").write_bytes(GOOD * 2)
    for name, rows in {"a.jsonl": b'{"text": 5}\n' + GOOD, "b.jsonl": GOOD + b'{"id": 7}\n{"text": "cut'}.items():
        (desk / name).write_bytes(rows)
    ended = run(*PREPARE, "a.jsonl", "b.jsonl", "--skip-bad", 3)
    assert (ended.code, ended.out) == (0, b"prepared\n")
    assert "3 bad rows were left out; the first: a.jsonl:1: the column 'text' holds a number" in ended.err
    plain = run("data", "prepare", "--tokenizer", "characters", "--output", "plain", "--data", "good.jsonl")
    assert plain.code == 0 and "left out" not in plain.err
    assert (PreparedCorpus.open(desk / "prepared").ids == PreparedCorpus.open(desk / "plain").ids).all()
    few = run(
        "data",
        "prepare",
        "--tokenizer",
        "characters",
        "--output",
        "few",
        "--data",
        "a.jsonl",
        "b.jsonl",
        "--skip-bad",
        2,
    )
    assert (few.code, few.out, (desk / "few").exists()) == (4, b"", False)
    assert "b.jsonl:4: " in few.err and "(bad rows so far: 3; skip_bad allows 2)" in few.err


@pytest.mark.parametrize(("allowed", "code"), [("true", 0), ("2", 0), ("1", 4), ("0", 4), ("false", 4)])
def test_d1_training_leaves_bad_rows_out_too(desk: Path, allowed: str, code: int) -> None:
    (desk / "rows.jsonl").write_bytes(GOOD * 9 + b'{"text": 5}\nnonsense\n')
    ended = run("train", "recipe.yaml", "--output", "run", "--set", f"data.skip_bad={allowed}")
    assert ended.code == code
    assert ("2 bad rows were left out; the first: " in ended.err) == (code == 0)
    assert (desk / "run").exists() == (code == 0)


def test_d1_a_file_whose_rows_are_all_bad_is_refused(desk: Path) -> None:
    (desk / "rows.jsonl").write_bytes(b'{"text": 5}\n' * 3)
    ended = run(*PREPARE, "rows.jsonl", "--skip-bad", 99)
    assert ended.code == 4 and "rows.jsonl holds no text that can be used; the last of its bad rows: " in ended.err


NOTHING = {
    "empty": ("empty.txt", "empty.txt is empty"),
    "blank": ("blank.txt", "blank.txt holds no text: there is nothing but blanks in it"),
    "empty rows": ("blank.jsonl", "blank.jsonl holds no text"),
    "empty folder": ("none", "none is a folder; there is nothing in it"),
    "folder": ("some", "some is a folder; give the files in it, such as some/*.txt"),
    "pattern": ("*.text", "*.text "),
    "missing": ("gone.txt", "gone.txt "),
    "gzip by mistake": ("packed.txt", "packed.txt is a gzip archive although its name does not say so; rename it"),
    "no gzip": ("plain.gz", "plain.gz cannot be read: not a gzipped file"),
    "torn gzip": ("torn.gz", "torn.gz cannot be read: compressed file ended before the end"),
}  # fmt: skip


@pytest.fixture
def nothing(desk: Path) -> Path:
    """A file or folder for each way of having no text."""
    for name in ("none", "some"):
        (desk / name).mkdir()
    packed = gzip.compress(TEXT.encode())
    data = {"empty.txt": b"", "blank.txt": b" \n\t\r\n", "blank.jsonl": b'\n{"text": " "}\n', "packed.txt": packed}
    data |= {"plain.gz": TEXT.encode(), "torn.gz": packed[:-20], "some/a.txt": TEXT.encode()}
    for name, content in data.items():
        (desk / name).write_bytes(content)
    return desk


@pytest.mark.parametrize("how", NOTHING)
def test_d3_no_text_is_said_by_every_command(nothing: Path, model: Path, how: str) -> None:
    file, said = NOTHING[how]
    before = sorted(nothing.iterdir())
    for words in commands(file, model):
        ended = run(*words)
        assert (ended.code, ended.out, ended.err.count("\n")) == (4, b"", 1), (words, ended.err)
        assert f"textdiff: error: {said}" in ended.err
        assert sorted(nothing.iterdir()) == before


def test_d3_no_two_of_them_are_the_same_sentence(nothing: Path) -> None:
    said = [run("data", "check", file).text for file, _ in NOTHING.values()]
    sentences = {
        text.partition("error: ")[2].partition("\n")[0].replace(file, "IT")
        for text, (file, _) in zip(said, NOTHING.values(), strict=True)
    }
    assert len(sentences) == len(NOTHING) - 1, "a file of blank rows is as one of blank lines"


MEASURED = """
import re, sys
from pathlib import Path
from textdiff.cli import main
code = main(sys.argv[1:])
print(code, int(re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1]) // 1024, file=sys.stderr)
"""
LARGE = 48 << 20


def measured(folder: Path, *words: str) -> tuple[int, int, str]:
    """The exit code of a command, the most memory that it ever had in MiB, and what it said."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(
        [sys.executable, "-c", MEASURED, *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    *said, last = ended.stderr.splitlines()
    code, peak = map(int, last.split())
    return code, peak, ended.stdout + "\n".join(said)


DOCUMENTS = {"lines": "the rain fell all day\n", "one line": "the rain fell all day ", "no blank": "rain"}


@pytest.mark.parametrize("how", DOCUMENTS)
def test_d4_a_large_document_is_checked_in_little_memory(tmp_path: Path, how: str) -> None:
    """48 MiB of text; a Python string of all of it would show."""
    part = DOCUMENTS[how]
    (tmp_path / "text.txt").write_text(part * (LARGE // len(part)))
    code, peak, said = measured(tmp_path, "data", "check", "text.txt")
    assert code == 0 and f"{LARGE // len(part) * len(part):,}" in said
    assert peak < 90
    assert ("note: long_text: 1 in all" in said) == (how != "lines")


@pytest.mark.parametrize(("name", "words"), [("rows.jsonl", []), ("rows.csv", []), ("lines.txt", ["--unit", "line"])])
def test_d4_a_line_of_a_gigabyte_is_refused_with_the_limit(tmp_path: Path, name: str, words: list[str]) -> None:
    """The file has holes, and takes no room on the disk."""
    (tmp_path / name).write_bytes(b"text\n" if name == "rows.csv" else b"")
    os.truncate(tmp_path / name, 1 << 30)
    code, peak, said = measured(tmp_path, "data", "check", name, *words)
    line = 2 if name == "rows.csv" else 1
    assert (
        code == 4 and f"{name}:{line}: the line has 1,07" in said and "at most 67,108,864 are read; break it up" in said
    )
    assert peak < 300


def test_d4_a_packed_gigabyte_is_refused_too(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "rows.jsonl.gz", "wb", compresslevel=1) as file:
        for _ in range(256):
            file.write(bytes(1 << 20))
    code, peak, said = measured(tmp_path, "data", "check", "rows.jsonl.gz")
    assert code == 4 and "rows.jsonl.gz:1: the line has 268,435,456 bytes" in said
    assert peak < 300


@pytest.mark.parametrize("words", [["infill"], ["score"], ["revise", "-o", "new.txt"]], ids=lambda words: words[0])
def test_d4_a_document_of_a_gigabyte_is_refused_with_the_limit(tmp_path: Path, words: list[str]) -> None:
    """A document is held whole while it is worked on, so there is a limit; the file has holes."""
    save_tiny(tmp_path / "model")
    (tmp_path / "text.txt").touch()
    os.truncate(tmp_path / "text.txt", 1 << 30)
    command, *rest = words
    code, peak, said = measured(tmp_path, command, "text.txt", "-m", "model", *rest)
    assert code == 4 and "text.txt" in said and "268,435,456" in said, said
    assert peak < 1000 and not (tmp_path / "new.txt").exists()


@pytest.mark.slow
@pytest.mark.parametrize("how", DOCUMENTS)
def test_d4_a_large_document_is_tokenised_in_bounded_memory(tmp_path: Path, how: str) -> None:
    """Once more of it takes no more: what is held is a part of a million characters, and its tokens."""
    part, peaks = DOCUMENTS[how], []
    for size in (8 << 20, 32 << 20):
        (tmp_path / "text.txt").write_text(part * (size // len(part)))
        to = str(size)
        code, peak, said = measured(
            tmp_path, "data", "prepare", "--data", "text.txt", "--tokenizer", "characters", "--output", to
        )
        assert code == 0, said
        peaks.append(peak)
    assert peaks[1] < peaks[0] + 200, peaks
