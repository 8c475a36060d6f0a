"""What conftest.py sets holds however the tests were started."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path


def test_an_interrupt_reaches_tests_that_a_shell_started_in_the_background() -> None:
    """Such a shell lets them ignore it; Python keeps that, and Ctrl-C would reach nothing that tests start."""
    code = "import conftest, signal; signal.raise_signal(signal.SIGINT); print('ignored')"
    ended = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parent,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
        capture_output=True,
        text=True,
    )
    assert (ended.returncode, ended.stdout) == (-signal.SIGINT, "")


ROWS = [*(f"c{n}" for n in range(1, 11)), *(f"t{n}" for n in range(1, 6)), *(f"d{n}" for n in range(1, 5))]
ROWS += [*(f"i{n}" for n in range(1, 6)), "g1", "y1", "s1", "s2", "s4", "r1"]


def test_each_fault_has_a_test_with_its_id_in_its_name() -> None:
    """C: checkpoints, T: training, D: data, I: infilling, G: sampling, Y: recipes, S: hostile input, R: the network."""
    named = [
        re.findall(r"_([a-z]\d+)(?=_)", name)
        for path in Path(__file__).parent.glob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text(encoding="utf8"), re.MULTILINE)
    ]
    assert not {*ROWS} - {row for rows in named for row in rows}
