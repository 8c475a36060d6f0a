"""`textdiff data check` and `textdiff data prepare` through the real command: progress, wrong use, stops, second calls."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from unittest.mock import patch

import pytest
from tiny import TEXT, Ended, run, save_tiny

from textdiff.cli.reading_meter import ReadingMeter
from textdiff.corpus import ReadOptions, check_corpus, read_corpus
from textdiff.data import PreparedCorpus, encode_corpus
from textdiff.files import verify_folder
from textdiff.recipe import load_recipe
from textdiff.recipe.running import PreparedRun

ROOT = Path(__file__).resolve().parent.parent
KINDS = ("byte_bpe", "characters", "sentencepiece_unigram", "sentencepiece_bpe")


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder; all that is wrong in it has a name of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TEXTDIFF_DATA", raising=False)
    (tmp_path / "a.txt").write_text(TEXT * 10)
    (tmp_path / "b.txt").write_text(TEXT.upper() * 5)
    (tmp_path / "latin.txt").write_bytes("café au lait".encode("latin-1"))
    (tmp_path / "rows.jsonl").write_text('{"body": "one", "id": 1}\n{"body": "two", "id": 2}\n')
    for name in ("empty", "deep/er"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "letter.txt").write_text("mine")
    return tmp_path


def snapshot(folder: Path) -> dict[str, bytes | None]:
    """Everything in a folder, and what is in it."""
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def prepare(*words: object, to: str = "p") -> Ended:
    return run("data", "prepare", *words, "--output", to)


PREPARE = "data prepare --output p "
WITH = " --tokenizer characters"
WRONG = [
    ("data check", 2, "Missing argument"),
    ("data check gone.txt", 4, "error: gone.txt is missing; give text files"),
    ("data check empty", 4, "error: empty is a folder; there is nothing in it"),
    ("data check deep", 4, "error: deep is a folder; there are only folders in it; give files"),
    ("data check .", 4, "error: . is a folder; give the files in it, such as ./*.txt"),
    ("data check latin.txt", 4, "it may be latin-1: convert it to UTF-8, or give its encoding (--encoding latin-1, "),
    ("data check rows.jsonl", 4, "error: rows.jsonl:1: there is no column 'text'. Columns: body, id"),
    ("data check a.txt --encoding klingon", 3, "no encoding is named 'klingon'"),
    ("data prepare --data a.txt" + WITH, 2, "Missing option '--output'"),
    (PREPARE, 2, "give texts with --data, or a recipe"),
    (PREPARE + "--data a.txt", 2, "--tokenizer is missing: a folder or model with one, or a kind to train (byte_bpe, "),
    (PREPARE + "--data a.txt --set seed=1" + WITH, 2, "--set changes keys of a recipe, and none is given"),
    (PREPARE + "r.yaml --data a.txt", 2, "--data goes without a recipe"),
    (
        PREPARE + "r.yaml --encoding latin-1",
        2,
        "--encoding goes without a recipe; change the recipe's own keys with --set",
    ),
    (PREPARE + "gone.yaml", 3, "gone.yaml cannot be read"),
    (PREPARE + "--data gone.txt" + WITH, 4, "gone.txt was not found"),
    (PREPARE + "--data empty" + WITH, 4, "empty is a folder; there is nothing in it"),
    (PREPARE + "--data a.txt deep" + WITH, 4, "deep is a folder; there are only folders in it; give files"),
    (PREPARE + "--data taken" + WITH, 4, "taken is a folder; give the files in it, such as taken/*.txt"),
    (
        PREPARE + "--data a.txt --tokenizer gone",
        5,
        "'gone' is neither a folder or model with a tokenizer nor a kind of one",
    ),
    (PREPARE + "--data a.txt --tokenizer byte-bpe", 5, "Did you mean 'byte_bpe'? Kinds: byte_bpe, characters, "),
    (PREPARE + "--data a.txt --tokenizer empty", 5, "empty holds no tokenizer"),
    (
        PREPARE + "--data a.txt --tokenizer default --vocab-size 300",
        2,
        "--vocab-size is for a tokenizer that is trained",
    ),
    (
        PREPARE + "--data a.txt --tokenizer byte_bpe --vocab-size 9",
        3,
        "vocab_size must be at least 260 for byte_bpe, got 9",
    ),
    (PREPARE + "--data latin.txt" + WITH, 4, "(--encoding latin-1, or data.encoding in a recipe)"),
    (PREPARE + "--data a.txt latin.txt --tokenizer default", 4, "latin.txt is not UTF-8: byte 0xe9 at offset 3"),
    (PREPARE + "--data a.txt --encoding klingon" + WITH, 3, "no encoding is named 'klingon'"),
    (PREPARE + "--data rows.jsonl" + WITH, 4, "rows.jsonl:1: there is no column 'text'. Columns: body, id"),
    ("data prepare --data a.txt --output taken" + WITH, 3, "taken holds something else than a prepared corpus"),
    ("data prepare --data a.txt --output a.txt" + WITH, 3, "a.txt is a file; --output needs a folder"),
    ("data prepare --data a.txt --output a.txt/p" + WITH, 3, "a.txt is a file"),
    ("data prepare --data a.txt --output /proc/none/p" + WITH, 3, "/proc/none/p cannot be"),
]


@pytest.mark.parametrize(("line", "code", "said"), WRONG, ids=[line for line, _, _ in WRONG])
def test_wrong_use_has_its_code_one_sentence_and_writes_nothing(desk: Path, line: str, code: int, said: str) -> None:
    before = snapshot(desk)
    ended = run(*line.split())
    assert ended.code == code
    assert len(ended.err.splitlines()) == 1 and ended.err.startswith("textdiff: error: ")
    if line.startswith("data check") and code == 4:  # its findings are the product
        assert said in ended.text
        assert "1 of 1 files cannot be used as they are; the first is" in ended.err
    else:
        assert ended.out == b"" and said in ended.err
    assert snapshot(desk) == before


def test_a_folder_that_nobody_may_write_to_is_said_before_the_text_is_read(desk: Path) -> None:
    """As root every folder may be written to, so the system's answer stands in for it."""
    before = snapshot(desk)
    with (
        patch("os.access", lambda place, mode: not mode & os.W_OK),
        patch("textdiff.recipe.texts.read_corpus", pytest.fail),
    ):
        ended = prepare("--data", "a.txt", "--tokenizer", "characters", to="empty/p")
    assert (ended.code, ended.out) == (3, b"")
    assert f"empty/p cannot be written to: permission denied for {desk / 'empty'}" in ended.err
    assert snapshot(desk) == before


@pytest.mark.parametrize(("kind", "size"), zip(KINDS, (290, 30, 300, 320), strict=True))
def test_texts_are_prepared_without_a_recipe(desk: Path, kind: str, size: int) -> None:
    ended = prepare("--data", "a.txt", "b.txt", "--tokenizer", kind, "--vocab-size", size)
    assert (ended.code, ended.out) == (0, b"p\n")
    made = PreparedCorpus.open(Path("p"))
    tokenizer = made.tokenizer()
    assert (made.ids == encode_corpus([TEXT * 10, TEXT.upper() * 5], tokenizer)).all()
    assert tokenizer.vocabulary.size <= size and made.documents == 2
    assert ended.err == f"{len(made.ids):,} tokens of 2 documents\n"
    assert made.tokenizer_config == {"kind": kind, "vocab_size": size, "path": None}


def test_texts_are_read_as_the_options_say(desk: Path) -> None:
    assert prepare("--data", "rows.jsonl", "--column", "body", "--tokenizer", "characters").code == 0
    made = PreparedCorpus.open(Path("p"))
    assert (made.documents, made.tokenizer().decode(made.ids.tolist())) == (2, "onetwo")
    sets = ["--data", "latin.txt", "--encoding", "latin-1", "--unit", "line", "--tokenizer", "characters"]
    assert prepare(*sets, to="q").code == 0
    latin = PreparedCorpus.open(Path("q"))
    assert latin.tokenizer().decode(latin.ids.tolist()) == "café au lait"


def test_what_is_prepared_for_a_model_is_what_it_is_finetuned_on(desk: Path) -> None:
    save_tiny(desk / "model")
    assert prepare("--data", "a.txt", "b.txt", "--tokenizer", "model").code == 0
    sets = ["training.max_steps=2", "training.per_device_train_batch_size=2"]
    runs = {"plain": ["a.txt", "b.txt"], "fast": ["p"]}
    for name, files in runs.items():
        ended = run("finetune", "-m", "model", "--data", *files, "--output", name, "--set", *sets)
        assert ended.code == 0, ended.err
    weights = [(desk / name / "model" / "model.safetensors").read_bytes() for name in runs]
    assert weights[0] == weights[1]


def test_a_prepared_folder_serves_a_recipe_that_leaves_the_tokenizer_out(desk: Path) -> None:
    (desk / "r.yaml").write_text("context_length: 16\ndata: {train: p}\n")
    assert prepare("--data", "a.txt", "--tokenizer", "characters").code == 0
    loaded = PreparedRun(load_recipe("r.yaml"), desk)
    assert loaded.tokenizer.kind == "characters"
    assert loaded.loader().batch(0, 4).ids.shape == (4, 16)


def test_the_same_call_again_has_nothing_to_do(desk: Path) -> None:
    words = ["--data", "a.txt", "b.txt", "--tokenizer", "characters"]
    first = prepare(*words)
    stamps = {path: path.stat().st_mtime_ns for path in Path("p").iterdir()}
    os.utime("a.txt", (1, 1))
    Path("elsewhere").mkdir()
    shutil.copy("b.txt", "elsewhere/b.txt")
    with patch("textdiff.recipe.preparing.prepare_corpus", pytest.fail):
        again = prepare(*words)
        moved = prepare("--data", "a.txt", "elsewhere/b.txt", "--tokenizer", "characters")
    for ended in (again, moved):
        assert (ended.code, ended.out) == (0, first.out)
        assert ended.err.startswith("nothing to do: p was made from these texts already\n")
    assert {path: path.stat().st_mtime_ns for path in Path("p").iterdir()} == stamps


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--data a.txt --tokenizer characters", "there were 2 files and are 1"),
        ("--data b.txt a.txt --tokenizer characters", "b.txt and 1 more files had another content, or another place"),
        ("--data a.txt b.txt --tokenizer characters --vocab-size 50", "tokenizer.vocab_size was 8192 and is 50"),
        ("--data a.txt b.txt --tokenizer byte_bpe", "tokenizer.kind was 'characters' and is 'byte_bpe'"),
        ("--data a.txt b.txt --tokenizer default", "tokenizer.sha256 was None and is '"),
        ("--data a.txt b.txt --tokenizer characters --unit line", "unit was 'file' and is 'line'"),
        ("--data a.txt b.txt --tokenizer characters --encoding cp1252", "encoding was 'utf-8' and is 'cp1252'"),
    ],
)
def test_another_call_for_the_same_folder_is_refused(desk: Path, words: str, said: str) -> None:
    assert prepare("--data", "a.txt", "b.txt", "--tokenizer", "characters").code == 0
    before = snapshot(desk)
    ended = prepare(*words.split())
    assert (ended.code, ended.out) == (3, b"")
    assert "p was made from something else: " in ended.err and said in ended.err
    assert snapshot(desk) == before


def test_a_text_that_changed_is_named(desk: Path) -> None:
    words = ["--data", "a.txt", "b.txt", "--tokenizer", "characters"]
    assert prepare(*words).code == 0
    (desk / "b.txt").write_text(TEXT.lower() * 5)
    ended = prepare(*words)
    assert (ended.code, "b.txt had another content" in ended.err) == (3, True)


def test_a_damaged_folder_is_made_again(desk: Path) -> None:
    words = ["--data", "a.txt", "--tokenizer", "characters"]
    assert prepare(*words).code == 0
    whole = snapshot(desk / "p")
    with (desk / "p" / "tokens.npy").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x07")
    damaged = snapshot(desk)
    assert prepare("--data", "b.txt", "--tokenizer", "characters").code == 3
    assert snapshot(desk) == damaged, "what was made from something else is not replaced, damaged or not"
    ended = prepare(*words)
    assert (ended.code, verify_folder("p")) == (0, [])
    assert "p was damaged and has been made again: tokens.npy: its sha256" in ended.err
    assert snapshot(desk / "p") == whole


@pytest.mark.parametrize("other", ["a checkpoint", "a tokenizer"])
def test_no_other_folder_of_ours_is_replaced(desk: Path, other: str) -> None:
    """The manifest alone would say that everything in it was written by textdiff."""
    if other == "a checkpoint":
        save_tiny(desk / "p")
    else:
        assert run("tokenizer", "train", "--data", "a.txt", "--kind", "characters", "--output", "p").code == 0
    before = snapshot(desk)
    ended = prepare("--data", "a.txt", "--tokenizer", "characters")
    assert (ended.code, "holds something else than a prepared corpus" in ended.err) == (3, True)
    assert snapshot(desk) == before


STAGES = ("comparing", "training the tokenizer", "tokenising")


@pytest.mark.parametrize(
    ("kind", "stage"),
    [(kind, stage) for kind in KINDS for stage in STAGES] + [("default", "comparing"), ("default", "tokenising")],
)
def test_an_interrupt_at_any_stage_leaves_nothing(desk: Path, kind: str, stage: str) -> None:
    before, advance = snapshot(desk), ReadingMeter.__call__

    def interrupt(meter: ReadingMeter, size: int) -> None:
        advance(meter, size)
        if meter._name == stage:
            signal.raise_signal(signal.SIGINT)

    with patch.object(ReadingMeter, "__call__", interrupt):
        ended = prepare("--data", "a.txt", "--tokenizer", kind)
    assert (ended.code, ended.out, ended.err) == (130, b"", "textdiff: interrupted; nothing was written\n")
    assert snapshot(desk) == before


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM)])
def test_a_signal_to_a_real_process_leaves_nothing_under_the_name(desk: Path, number: int, code: int) -> None:
    """Sent once tokens are on the disk; after a SIGTERM the next call removes what is left over."""
    with Path("big.txt").open("w") as file:
        for _ in range(4000):
            file.write(TEXT * 20)
    command = [sys.executable, "-m", "textdiff", "data", "prepare", "--data", "big.txt", "--tokenizer", "default"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([*command, "--output", "p"], env=environment, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 300
    while not any(path.stat().st_size > 1000 for path in desk.glob(".tmp-p-*/tokens.npy")):
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.01)
    process.send_signal(number)
    _, said = process.communicate(timeout=300)
    assert process.returncode == code
    assert not Path("p").exists()
    if number == signal.SIGINT:
        assert said == "textdiff: interrupted; nothing was written\n"
        assert not [*desk.glob(".t*")]
    assert prepare("--data", "a.txt", "--tokenizer", "default").code == 0
    assert not [*desk.glob(".t*")]


def test_progress_is_shown_on_a_terminal_only(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("textdiff.cli.reading_meter.PATIENCE", 0.0)
    monkeypatch.setattr("textdiff.cli.reading_meter._OFTEN", 0.0)
    words = ["--data", "a.txt", "--tokenizer", "characters", "--output", "p"]
    shown = run("data", "prepare", *words, watched=True)
    assert (shown.code, shown.out) == (0, b"p\n")
    for part in ("comparing", "training the tokenizer", "tokenising", "kB"):
        assert part in shown.err, part
    checked = run("data", "check", "a.txt", watched=True)
    assert (checked.code, "checking" in checked.err, b"checking" in checked.out) == (0, True, False)
    assert run("data", "check", "a.txt").err == ""


def test_work_that_is_soon_done_shows_no_bar(desk: Path) -> None:
    assert run("data", "check", "a.txt", watched=True).err == ""


@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz", "t.jsonl", "t.csv", "t.parquet"])
def test_every_byte_of_a_file_is_counted(desk: Path, name: str) -> None:
    """Packed ones as they are on the disk: what is read adds up to the size of the file."""
    path = desk / name
    rows = [{"text": f"row {i} " * 20} for i in range(500)]
    if name.endswith(".gz"):
        path.write_bytes(gzip.compress(TEXT.encode() * 1000))
    elif name == "t.jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif name == "t.csv":
        path.write_text("text\n" + "".join(row["text"] + "\n" for row in rows))
    elif name == "t.parquet":
        import pyarrow
        from pyarrow import parquet

        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    for read in (
        lambda note: list(read_corpus([path], ReadOptions(), on_bytes=note)),
        lambda note: check_corpus([path], ReadOptions(), note),
    ):
        sizes: list[int] = []
        read(sizes.append)
        assert sum(sizes) == path.stat().st_size
