"""Several processes of one run without the seconds of their start: one that has loaded everything is forked for each.

What torchrun does besides, above all ending the others when one has died, is for the tests that call torchrun.
"""

from __future__ import annotations

import functools
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 300.0
"""Seconds that processes may take."""


@dataclass(frozen=True)
class Ended:
    """How several processes ended.

    Attributes:
        codes: the exit code of each; negative where a signal ended it.
        stderr: of all of them.
    """

    codes: tuple[int, ...]
    stderr: str

    @property
    def returncode(self) -> int:
        """That of a launcher: 0 if all ended so."""
        return int(any(self.codes))


def launch(
    words: Sequence[object], world: int = 2, environment: Mapping[str, str] | None = None, cwd: Path | None = None
) -> Ended:
    """Runs `python WORDS…` in so many processes, which find one another as those that torchrun starts do."""
    parent = _parent()
    assert parent.stdin and parent.stdout
    with tempfile.NamedTemporaryFile() as err:
        order = {
            "words": [*map(str, words)],
            "world": world,
            "environment": {**(environment or {})},
            "cwd": str(cwd or Path.cwd()),
            "err": err.name,
        }
        parent.stdin.write(json.dumps(order) + "\n")
        parent.stdin.flush()
        codes = json.loads(parent.stdout.readline())
        return Ended(tuple(codes), Path(err.name).read_text(errors="replace"))


@functools.cache
def _parent() -> subprocess.Popen[str]:
    """It ends when its standard input does, and so with the tests."""
    paths = os.pathsep.join((str(ROOT), str(ROOT / "tests")))
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, __file__], env=environment, stdin=pipe, stdout=pipe, text=True)


def _serve() -> None:
    """What the parent does: an order a line."""
    import rank  # noqa: F401  (with it come torch, transformers, accelerate and the training)

    import textdiff.cli.train
    import textdiff.recipe.running  # noqa: F401

    for line in sys.stdin:
        order = json.loads(line)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        children = [os.fork() or _be(order, number, port) for number in range(order["world"])]
        print(json.dumps(_wait(children)), flush=True)


def _be(order: dict[str, object], number: int, port: int) -> int:
    """What a child does; it never returns."""
    code = 1
    try:
        world = str(order["world"])
        os.environ |= {"RANK": str(number), "LOCAL_RANK": str(number), "WORLD_SIZE": world, "LOCAL_WORLD_SIZE": world}
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), **order["environment"]}
        os.chdir(order["cwd"])
        target = os.open(order["err"], os.O_WRONLY | os.O_APPEND)
        os.dup2(target, 1)
        os.dup2(target, 2)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        code = _run(order["words"])
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _run(words: list[str]) -> int:
    """As `python WORDS…` would: the exit code."""
    module = words[0] == "-m"
    sys.argv = words[module:]
    try:
        if module:
            runpy.run_module(words[1], run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(words[0], run_name="__main__")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        return 1
    return 0


def _wait(children: list[int]) -> list[int]:
    """The exit codes of all; who takes too long is killed."""
    codes: dict[int, int] = {}
    until = time.monotonic() + PATIENCE
    while len(codes) < len(children):
        for child in children:
            if child not in codes and (found := os.waitpid(child, os.WNOHANG))[0]:
                codes[child] = os.waitstatus_to_exitcode(found[1])
            elif child not in codes and time.monotonic() > until:
                os.kill(child, signal.SIGKILL)
        time.sleep(0.01)
    return [codes[child] for child in children]


if __name__ == "__main__":
    _serve()
