"""A corpus ten times as large as the memory that a process may have."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from textdiff.corpus import read_corpus
from textdiff.data import PreparedCorpus
from textdiff.data.prepared import FACTS, TOKENS, prepare_corpus
from textdiff.data.token_file import TokenWriter
from textdiff.files import write_json
from textdiff.files.manifest import write_manifest
from textdiff.text.tokenizers import train_tokenizer

ROOT = Path(__file__).resolve().parent.parent
LIMIT = 1_300_000_000
"""Bytes of data that the process may have, all its libraries included (RLIMIT_DATA); mapped files do not count."""
RECIPE = """\
data: {{train: {folder}, validation_share: 0}}
tokenizer: {{kind: characters}}
context_length: 256
backbone: {{name: dit, hidden_size: 32, num_hidden_layers: 2, num_attention_heads: 2}}
training: {{max_steps: 20, per_device_train_batch_size: 8, save_steps: 10, logging_steps: 1}}
"""


def prepared(folder: Path, size: int) -> PreparedCorpus:
    """A prepared corpus whose file of tokens has at least so many bytes: the same text over and over."""
    text = ROOT / "data" / "corpus" / "garden.txt"
    tokenizer = train_tokenizer("characters", [text.read_text(encoding="utf8")], 300)
    config = {"kind": "characters", "vocab_size": 8192, "path": None}
    small = prepare_corpus(read_corpus([text]), tokenizer, folder, {}, config)
    if small.ids.nbytes >= size:
        return small
    block = np.tile(np.asarray(small.ids, dtype=np.int32), 500)
    with TokenWriter(folder / TOKENS, tokenizer.vocabulary.size) as writer:
        while 2 * writer.tokens < size:
            writer.write(block)
    facts = json.loads((folder / FACTS).read_text(encoding="utf8"))
    write_json(folder / FACTS, facts | {"tokens": writer.tokens, "sha256": writer.sha256})
    write_manifest(folder)
    return PreparedCorpus.open(folder)


def peak_of_data(folder: Path, name: str) -> int:
    """Trains on a prepared corpus under the limit; the most data that the process had, in bytes."""
    (folder / f"{name}.yaml").write_text(RECIPE.format(folder=folder / name))
    lines = (
        "import sys, threading, time",
        "from textdiff.cli import main",
        "most = [0]",
        "def watch():",
        "    while True:",
        "        status = dict(l.split(':', 1) for l in open('/proc/self/status'))",
        "        most[0] = max(most[0], 1024 * int(status['VmData'].split()[0]))",
        "        time.sleep(0.01)",
        "threading.Thread(target=watch, daemon=True).start()",
        "code = main(sys.argv[1:])",
        "print(most[0])",
        "sys.exit(code)",
    )
    command = [
        sys.executable,
        "-c",
        "\n".join(lines),
        "train",
        f"{folder / name}.yaml",
        "--output",
        str(folder / f"{name}-run"),
    ]
    ended = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=900,
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (LIMIT, LIMIT)),
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    return int(ended.stdout.split()[-1])


@pytest.mark.slow
def test_ten_times_the_memory_of_a_process_is_trained_on(tmp_path: Path) -> None:
    small, large = prepared(tmp_path / "small", 0), prepared(tmp_path / "large", 10 * LIMIT)
    assert large.ids.nbytes >= 10 * LIMIT > 10_000 * small.ids.nbytes
    few, many = peak_of_data(tmp_path, "small"), peak_of_data(tmp_path, "large")
    print(f"data of the process: {few / 1e6:.0f} MB and {many / 1e6:.0f} MB")
    assert many - few < 4 * large.ids.nbytes / 2 / 256 + 40_000_000  # 4 bytes for a window's place in the order
