#!/usr/bin/env python
"""Writes the novels of scripts/prepare_corpus.py in text8's form: the letters a to z and single spaces, nothing else.

    TEXTDIFF_DATA=FOLDER python scripts/prepare_letters.py runs/letters

Capitals become small letters, digits are spelled out, accents are dropped, and all else is a space, as in text8's own
preparation. FOLDER/novels-pd is what it reads: 88 novels for training, 3 others for validation. Written are train.txt and
valid.txt.
"""

from __future__ import annotations

import argparse
import os
import re
import unicodedata
from pathlib import Path

from prepare_corpus import unpacked

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SPELLED = {ord(str(number)): f" {word} " for number, word in enumerate(DIGITS)}


def letters(text: str) -> str:
    """A text in text8's form."""
    plain = unicodedata.normalize("NFKD", text).lower()
    plain = "".join(c for c in plain if not unicodedata.combining(c)) if not plain.isascii() else plain
    return re.sub("[^a-z]+", " ", plain.translate(SPELLED)).strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    target = parser.parse_args().output
    source = Path(os.environ.get("TEXTDIFF_DATA", "")) / "novels-pd"
    if not source.is_dir():
        parser.error(f"{source} was not found: TEXTDIFF_DATA must name a folder that holds novels-pd")
    target.mkdir(parents=True, exist_ok=True)
    for part in ("train", "valid"):
        text = letters(unpacked(source / f"novels.{part}.txt.xz"))
        (target / f"{part}.txt").write_text(text, encoding="utf8")
        print(f"{target / f'{part}.txt'}: {len(text):,} characters")


if __name__ == "__main__":
    main()
