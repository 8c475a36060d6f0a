"""What conftest.py sets holds however the tests were started."""

from __future__ import annotations

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
