#!/usr/bin/env python
"""Makes pairs of Multi30k task 1, raw captions of one picture in two languages, for recipes/multi30k.yaml.

    TEXTDIFF_DATA=FOLDER python scripts/prepare_multi30k.py runs/multi30k [--source en] [--target de]

FOLDER/multi30k is what it reads (en, de and fr). Written are train.jsonl (29,000 pairs), valid.jsonl (1,014) and test.jsonl
(the 1,000 of test 2016), a row {"source": …, "target": …} for each line. Nothing is changed but blanks at the ends of lines.
"""

from __future__ import annotations

import argparse
import json
import lzma
import os
import sys
from pathlib import Path

PARTS = {"train": "train", "valid": "val", "test": "test_2016_flickr"}


def lines(folder: Path, part: str, language: str) -> list[str]:
    """The captions of a part in a language."""
    path = folder / f"task1.{part}.{language}.xz"
    if not path.is_file():
        sys.exit(f"{path} was not found: TEXTDIFF_DATA must name a folder that holds multi30k with en, de and fr")
    return [line.strip() for line in lzma.decompress(path.read_bytes()).decode("utf8").removesuffix("\n").split("\n")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("--source", default="en", choices=("en", "de", "fr"))
    parser.add_argument("--target", default="de", choices=("en", "de", "fr"))
    options = parser.parse_args()
    if "TEXTDIFF_DATA" not in os.environ:
        sys.exit("TEXTDIFF_DATA is not set; it must name a folder that holds multi30k")
    folder = Path(os.environ["TEXTDIFF_DATA"]) / "multi30k"
    options.output.mkdir(parents=True, exist_ok=True)
    for name, part in PARTS.items():
        sources, targets = (lines(folder, part, language) for language in (options.source, options.target))
        rows = [
            json.dumps({"source": source, "target": target}, ensure_ascii=False)
            for source, target in zip(sources, targets, strict=True)
        ]
        path = options.output / f"{name}.jsonl"
        path.write_text("\n".join(rows) + "\n", encoding="utf8")
        print(f"{path}: {len(rows):,} pairs")


if __name__ == "__main__":
    main()
