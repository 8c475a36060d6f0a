"""Settings of every test run: offline, one thread a process, reproducible."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import hypothesis
import pytest

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

# A shell without job control starts what runs in the background with SIGINT ignored, and so would be all that tests start.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

hypothesis.settings.register_profile(
    "local", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow], print_blob=True
)
hypothesis.settings.register_profile("ci", parent=hypothesis.settings.get_profile("local"), derandomize=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "local")


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Tests run side by side: torch, where the collected tests loaded it, keeps to one thread."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


@pytest.fixture(scope="session")
def development_data() -> Callable[[str], Path]:
    """``development_data("digits")`` is that folder of the development data; without it the test is skipped."""

    def folder(name: str) -> Path:
        place = os.environ.get("TEXTDIFF_DATA")
        if not place:
            pytest.skip(f"TEXTDIFF_DATA is not set; this test needs its folder {name!r}")
        path = Path(place) / name
        if not path.is_dir():
            pytest.skip(f"TEXTDIFF_DATA has no folder {name!r}")
        return path

    return folder


@pytest.fixture
def touched(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What was tried of the network, which is gone."""
    tried: list[object] = []

    def refuse(*words: object, **options: object) -> None:
        tried.append(words)
        raise OSError("the network is gone")

    for owner, name in ((socket, "getaddrinfo"), (socket.socket, "connect"), (socket.socket, "connect_ex")):
        monkeypatch.setattr(owner, name, refuse)
    return tried
