"""`textdiff infill` on many documents, killed at every write and shared by several processes: nothing is lost or redone."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from batches import read_all, write_all
from folders import names_in
from tiny import run, save_tiny

from textdiff.cli.journal import Journal

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("model") / "tiny")


def test_the_journal_survives_a_torn_line_and_hostile_names(tmp_path: Path) -> None:
    journal = Journal(tmp_path, rank=0)
    names = ["plain", "new\nline \u2028", os.fsdecode(b"\xff.md"), '"\\']
    for name in names:
        journal.note(name, "key", "output")
    file = tmp_path / ".textdiff-infill.jsonl"
    with file.open("ab") as torn:
        torn.write(b'{"path": "half')
    Journal(tmp_path, rank=1).note("other", "k", "o")
    Journal(tmp_path, rank=0).note("after", "k", "o")
    again = Journal(tmp_path, rank=0)
    assert all(again.is_done(name, "key", "output") for name in names)
    assert again.is_ours("other", "o")
    assert again.is_done("after", "k", "o")
    assert not again.is_ours("half", "")
    assert not again.is_done("plain", "key", "else")
    again.remove()
    assert names_in(tmp_path) == []


SERVER = """
import gc, os, signal, socket, sys, tempfile
from pathlib import Path
from unittest.mock import patch
from stubs import StubInfiller
from textdiff.cli import batch, main

WRITES = {"open", "fsync"} | {"os." + n for n in "rename mkdir remove rmdir chmod chown utime".split()}
batch.CHUNK_DOCUMENTS = 1

def infill(words, log=None):
    with patch("textdiff.cli.infill.load_infiller", lambda *_: StubInfiller(log)):
        return main(["infill", *words])

def run_until(point, rank, world, port, words):
    counter = 0

    def hook(event, arguments):
        nonlocal counter
        reads = event == "open" and isinstance(arguments[1], str) and not set(arguments[1]) & set("wax+")
        if event in WRITES and not reads:
            counter += 1
            if counter == point:
                os.kill(os.getpid(), signal.SIGKILL)

    os.fsync = lambda descriptor: hook("fsync", ())
    sys.addaudithook(hook)
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(world), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    os._exit(infill(words, Path(os.environ["LOG"])))

sys.stderr = open(os.environ["LOG"] + ".err", "w")
with tempfile.TemporaryDirectory() as folder:  # what is imported here need not be in every child
    (Path(folder) / "a").write_text("[MASK]")
    infill([folder, "-m", sys.argv[1], "-o", folder + "/b"])
    infill([folder + "/a", "-m", sys.argv[1], "--field", "x", "-o", folder + "/c"])
gc.freeze()
for line in sys.stdin:
    point, world, *words = line.split()
    last = int(world) - 1
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    children = [os.fork() or run_until(int(point) * (i == last), i, last + 1, port, words) for i in range(last + 1)]
    print(*(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children), flush=True)
"""


class Server:
    """Runs `textdiff infill` in processes of their own, the last of which may be killed at its n-th write."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self._process, self._log = process, log

    def run(self, *words: object, point: int = 0, world: int = 1) -> tuple[list[int], list[str]]:
        """The exit codes, and the documents that were filled; a point of 0 is never reached."""
        self._log.write_text("")
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(" ".join(map(str, [point, world, *words])) + "\n")
        codes = [int(code) for code in self._process.stdout.readline().split()]
        return codes, sorted(self._log.read_text().splitlines())

    def kill_everywhere(self, *words: object) -> Iterator[list[str]]:
        """Kills a run one write later each time and yields what it had filled, until it comes to its end."""
        for point in range(1, 400):
            [code], filled = self.run(*words, point=point)
            assert code in (0, -9), (code, point, Path(f"{self._log}.err").read_text())
            yield filled
            if code == 0:
                assert point > 20
                return


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Iterator[Server]:
    log = tmp_path_factory.mktemp("killed") / "log"
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}", "LOG": str(log)}
    command = [sys.executable, "-c", SERVER, str(model)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, text=True, bufsize=1, env=environment, stdin=pipe, stdout=pipe) as process:
        yield Server(process, log)
        assert process.stdin
        process.stdin.close()


SMALL = {"a.md": b"A \\[MASK] [MASK]", "b.md": b"no gap", "sub/c.md": b"C [MASK]"}
SMALL_FILLED = {"a.md": b"A [MASK] filled 0", "b.md": b"no gap", "sub/c.md": b"C filled 0"}


GAPPY = [repr(SMALL[name].decode()) for name in ("a.md", "sub/c.md")]


def whole_files(folder: Path) -> dict[str, bytes]:
    """What a folder holds but for what a dead process was writing."""
    return {name: data for name, data in read_all(folder).items() if ".tmp-" not in name}


def test_i5_killed_at_every_write_point_of_a_folder(tmp_path: Path, model: Path, server: Server) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    write_all(source, SMALL)
    words = [source, "-m", model, "-o", out]
    resumed = 0
    for filled in server.kill_everywhere(*words):
        found = whole_files(out)
        assert found.items() <= SMALL_FILLED.items(), "a document is there whole or not at all"
        codes, rest = server.run(*words)
        assert codes == [0]
        assert read_all(out) == SMALL_FILLED, "and nothing half-written is left"
        assert rest == [repr(SMALL[name].decode()) for name in ("a.md", "sub/c.md") if name not in found], (
            "what was there is not done again"
        )
        assert sorted({*filled, *rest}) == GAPPY
        resumed += len(rest) == 1
        shutil.rmtree(out)
    assert resumed > 5


def test_i5_killed_at_every_write_point_in_place(tmp_path: Path, model: Path, server: Server) -> None:
    folder = tmp_path / "in"
    words = [folder, "-m", model, "--in-place"]
    write_all(folder, SMALL)
    for _ in server.kill_everywhere(*words):
        found = whole_files(folder)
        assert found.keys() == SMALL.keys()
        assert all(data in (SMALL[name], SMALL_FILLED[name]) for name, data in found.items())
        if found != SMALL_FILLED or [*folder.glob(".textdiff-infill*")]:  # else it was over
            codes, rest = server.run(*words)
            assert codes == [0]
            assert rest == [repr(SMALL[name].decode()) for name in ("a.md", "sub/c.md") if found[name] == SMALL[name]]
            assert read_all(folder) == SMALL_FILLED, "a literal that lost its backslash is no gap of the second run"
            assert not [*folder.glob(".*")]
        write_all(folder, SMALL)


LINES, FILLED_LINES = (b'{"text": "A %s"}\n{"text": "B %s"}' % (text, text) for text in (b"[MASK]", b"filled 0"))


@pytest.mark.parametrize("place", ["-o", "--in-place"])
def test_i5_killed_at_every_write_point_of_lines(place: str, tmp_path: Path, model: Path, server: Server) -> None:
    source = tmp_path / "data.jsonl"
    target = source if place == "--in-place" else tmp_path / "out.jsonl"
    words = [source, "--field", "text", "-m", model, place, *([] if target == source else [target])]
    source.write_bytes(LINES)
    resumed = 0
    for filled in server.kill_everywhere(*words):
        assert not target.exists() or target.read_bytes() in (FILLED_LINES, LINES[: (target == source) * len(LINES)])
        if not target.exists() or target.read_bytes() == LINES:
            codes, rest = server.run(*words)
            assert (codes, target.read_bytes()) == ([0], FILLED_LINES)
            assert sorted({*filled, *rest}) == ["'A [MASK]'", "'B [MASK]'"]
            assert len(filled) + len(rest) <= 3, "at most the stretch in work is done twice"
            assert not [*tmp_path.glob(".*")]
            resumed += len(rest) < 2
        for path in tmp_path.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        source.write_bytes(LINES)
    assert resumed > 5


MANY = {f"{number % 3}/{number}.md": b"%d [MASK]" % number for number in range(7)} | {"none.md": b"no gap"}
MANY_FILLED = {name: data.replace(b"[MASK]", b"filled 0") for name, data in MANY.items()}


@pytest.mark.parametrize("world", [2, 3])
def test_processes_share_documents(tmp_path: Path, model: Path, server: Server, world: int) -> None:
    write_all(tmp_path / "in", MANY)
    words = [tmp_path / "in", "-m", model]
    codes, filled = server.run(*words, "-o", tmp_path / "out", world=world)
    assert codes == [0] * world
    assert filled == sorted(repr(data.decode()) for name, data in MANY.items() if name != "none.md"), "each once"
    assert read_all(tmp_path / "out") == MANY_FILLED
    codes, filled = server.run(*words, "-o", tmp_path / "out", world=5 - world)
    assert (codes, filled) == ([0] * (5 - world), []), "any number of processes goes on from any other"
    assert server.run(*words, "--in-place", world=world)[0] == [0] * world
    assert {path.name: path.read_bytes() for path in (tmp_path / "in").rglob("*.*")} == {
        Path(name).name: data for name, data in MANY_FILLED.items()
    }


def test_processes_share_lines_and_keep_their_order(tmp_path: Path, model: Path, server: Server) -> None:
    lines = [b'{"text":"%d [MASK]"}\n' % number for number in range(9)]
    write_all(tmp_path, {"a.jsonl": b"".join(lines), "bad.jsonl": b"{}\n", "c.jsonl": b"".join(lines[:4])})
    words = [tmp_path / name for name in ("a.jsonl", "bad.jsonl", "c.jsonl")]
    words += ["--field", "text", "-m", model, "-o", tmp_path / "out"]
    codes, filled = server.run(*words, world=2)
    assert codes == [4, 0], "the first speaks for all"
    assert len(filled) == 9 + 4
    whole = b"".join(lines).replace(b"[MASK]", b"filled 0")
    assert read_all(tmp_path / "out") == {"a.jsonl": whole, "c.jsonl": b"".join(whole.splitlines(keepends=True)[:4])}


@pytest.mark.parametrize("point", [1, 5, 12, 25, 33])
def test_when_a_process_dies_the_others_end_and_nothing_is_lost(
    point: int, tmp_path: Path, model: Path, server: Server
) -> None:
    write_all(tmp_path / "in", MANY)
    words = [tmp_path / "in", "-m", model, "-o", tmp_path / "out"]
    codes, before = server.run(*words, point=point, world=2)
    assert codes == [6, -9]
    assert whole_files(tmp_path / "out").items() <= MANY_FILLED.items()
    codes, after = server.run(*words)
    assert codes == [0]
    assert read_all(tmp_path / "out") == MANY_FILLED
    assert len(before) + len(after) <= len(MANY), "at most the document in work is done twice"


def test_torchrun_gives_what_one_process_gives(tmp_path: Path, model: Path) -> None:
    lines = [{"id": number, "text": f"The {number} [MASK: 2 tokens] house"} for number in range(300)]
    source = tmp_path / "data.jsonl"
    source.write_text("".join(json.dumps(line) + "\n" for line in lines))
    words = ["infill", source, "--field", "text", "-m", model]
    assert run(*words, "-o", tmp_path / "one.jsonl").code == 0
    launcher = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc_per_node",
        "2",
        "-m",
        "textdiff",
    ]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [*launcher, *map(str, words), "-o", str(tmp_path / "two.jsonl")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "two.jsonl").read_bytes() == (tmp_path / "one.jsonl").read_bytes()
    assert re.search(r"^textdiff: 300 lines filled \(300 gaps\); ", done.stderr, re.MULTILINE)
