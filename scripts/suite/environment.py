"""What the machine has, and what is added to it from a folder of wheels."""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


class WheelsError(Exception):
    """Wheels cannot be installed; the text is one sentence for a person."""


def add_wheels(wheels: Path, site: Path) -> list[str]:
    """Installs those wheels whose package is not there, without a network; returns their file names.

    What is there already stays as it is: another torch or numpy would break what is built on it.

    Raises:
        WheelsError: they cannot be installed; a folder that an earlier slice made stays.
    """
    missing = [wheel for wheel in sorted(wheels.glob("*.whl")) if not _installed(wheel.name.split("-")[0])]
    names = [wheel.name for wheel in missing]
    listed = "\n".join(names)
    there = site / "wheels.txt"
    if missing and not (there.exists() and there.read_text(encoding="utf8") == listed):
        staging = site.with_name(f".{site.name}.tmp")
        shutil.rmtree(staging, ignore_errors=True)
        command = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-index",
            "--no-deps",
            "--no-compile",
            "--target",
        ]
        done = subprocess.run([*command, str(staging), *map(str, missing)], capture_output=True, text=True)
        if done.returncode:
            said = done.stderr.strip().splitlines() or ["pip said nothing"]
            raise WheelsError(f"the wheels of {wheels} cannot be installed: {said[-1]}")
        (staging / there.name).write_text(listed, encoding="utf8")
        shutil.rmtree(site, ignore_errors=True)
        staging.rename(site)
    return names


def _installed(name: str) -> bool:
    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def describe(device: str) -> dict[str, Any]:
    """Versions, the device, and the requirements of pyproject.toml that are not met."""
    import torch

    on_gpu = device.startswith("cuda") and torch.cuda.is_available()
    facts: dict[str, Any] = {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "device": torch.cuda.get_device_name(device) if on_gpu else "cpu",
        "cuda": torch.version.cuda,
        "bf16": bool(torch.cuda.is_bf16_supported()) if on_gpu else None,
        "memory_bytes": torch.cuda.get_device_properties(device).total_memory if on_gpu else None,
        "unmet": unmet(),
    }
    for name in ("torch", "transformers", "accelerate", "tokenizers", "triton"):
        facts[name] = metadata.version(name) if _installed(name) else None
    return facts


def unmet() -> list[str]:
    """The requirements of textdiff that this machine does not meet."""
    from packaging.requirements import Requirement

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf8"))["project"]
    found = []
    for line in project["dependencies"]:
        wanted = Requirement(line)
        if not _installed(wanted.name) or not wanted.specifier.contains(
            metadata.version(wanted.name), prereleases=True
        ):
            found.append(line)
    return found


def main() -> None:
    """Prints the description; ends with 1 where something is missing."""
    device = sys.argv[1]
    facts = describe(device)
    print(json.dumps(facts))
    if device.startswith("cuda") and facts["device"] == "cpu":
        raise SystemExit("torch sees no CUDA device")
    if facts["unmet"]:
        raise SystemExit(f"not met: {', '.join(facts['unmet'])}; bring them in --wheels")


if __name__ == "__main__":
    main()
