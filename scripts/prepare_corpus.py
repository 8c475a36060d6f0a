#!/usr/bin/env python
"""Makes the corpus of the packaged model: public-domain novels and speeches, laid out as people lay out their documents.

    TEXTDIFF_DATA=FOLDER python scripts/prepare_corpus.py runs/corpus

Books are cut into documents of some paragraphs. Each document gets one of three layouts, so that the model meets all:
a blank line between paragraphs, the same with hard-wrapped lines, or a paragraph a line.
"""

from __future__ import annotations

import argparse
import json
import lzma
import os
import random
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

TITLES = ("Emma", "Persuasion", "Sense and Sensibility", "Alice's Adventures", "The Ball and The Cross",
          "The Wisdom of Father Brown", "The Man Who Was Thursday", "Moby Dick")  # fmt: skip
HEADER = re.compile(r"\[(.+) by .+ \d{4}\]")


def unpacked(path: Path) -> str:
    return lzma.decompress(path.read_bytes()).decode()


def books(path: Path) -> Iterator[list[str]]:
    """The paragraphs of each novel or speech; they are parted by blank lines."""
    for book in re.split(r"\n\s*\n", unpacked(path)):
        yield [line.strip() for line in book.splitlines() if line.strip()]


def gutenberg(path: Path) -> Iterator[list[str]]:
    """The paragraphs of the novels among the Gutenberg books; verse, plays and licence notes are left out."""
    book: list[str] = []
    wanted = False
    for line in unpacked(path).splitlines():
        header = HEADER.fullmatch(line.strip())
        if header:
            yield book
            book, wanted = [], header[1].startswith(TITLES)
        elif wanted and line.strip() and "gutenberg" not in line.lower() and "ebook" not in line.lower():
            book.append(line.strip())
    yield book


def documents(book: list[str], chance: random.Random) -> Iterator[str]:
    """Cuts a book into documents of 1 to some 30 paragraphs."""
    start = 0
    while start < len(book):
        stop = start + 1 + int(chance.expovariate(1 / 10))
        yield layout(book[start:stop], chance)
        start = stop


def layout(paragraphs: list[str], chance: random.Random) -> str:
    style = chance.random()
    if style < 0.3:
        return "\n".join(paragraphs) + "\n"
    if style < 0.55:
        width = chance.randint(60, 100)
        paragraphs = [textwrap.fill(p, width, break_long_words=False, break_on_hyphens=False) for p in paragraphs]
    return "\n\n".join(paragraphs) + "\n"


def write(path: Path, works: Iterator[list[str]], seed: int) -> None:
    chance = random.Random(seed)
    rows = [document for work in works for document in documents(work, chance)]
    chance.shuffle(rows)
    path.write_text("".join(json.dumps({"text": row}, ensure_ascii=False) + "\n" for row in rows), encoding="utf8")
    print(f"{path}: {len(rows):,} documents, {sum(map(len, rows)):,} characters")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    target = parser.parse_args().output
    source = Path(os.environ.get("TEXTDIFF_DATA", ""))
    if not (source / "novels-pd").is_dir():
        parser.error("TEXTDIFF_DATA must name a folder that holds novels-pd and nltk-open")
    target.mkdir(parents=True, exist_ok=True)
    training = [
        *books(source / "novels-pd" / "novels.train.txt.xz"),
        *gutenberg(source / "nltk-open" / "gutenberg15.txt.xz"),
        *books(source / "nltk-open" / "us_presidential_speeches.txt.xz"),
    ]
    write(target / "train.jsonl", iter(training), seed=1)
    write(target / "valid.jsonl", books(source / "novels-pd" / "novels.valid.txt.xz"), seed=2)


if __name__ == "__main__":
    main()
