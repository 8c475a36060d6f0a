"""Which documents `textdiff infill` is asked to fill, and where they go."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textdiff import __version__
from textdiff.cli.loading import fingerprint
from textdiff.cli.sources import STDIN
from textdiff.errors import UsageError
from textdiff.files import unusable
from textdiff.text.mask_tokens import STANDARD, MaskToken, mask_token_of

if TYPE_CHECKING:
    from textdiff.text.document import Document

Rules = list[tuple[object, str]]
"""What must not be, and what is said about it."""


@dataclass(frozen=True)
class Request:
    """What the command line says about documents. The attributes are its options.

    Attributes:
        patterns: of --glob.
        spans, spans_file: of --span and --spans.
    """

    files: Sequence[str]
    output: str | None = None
    in_place: bool = False
    diff: bool = False
    as_json: bool = False
    patterns: Sequence[str] = ()
    field: str | None = None
    skip_errors: bool = False
    overwrite: bool = False
    mask_token: str | None = None
    spans: Sequence[str] = ()
    spans_file: Path | None = None
    watch: bool = False
    trace: Path | None = None
    dtype: str = "float32"

    @property
    def output_folder(self) -> Path | None:
        """The folder that documents go to, each to a file of its own."""
        if not self.output or self.output == STDIN:
            return None
        return Path(self.output) if self._several or self.output.endswith("/") or _is_folder(self.output) else None

    @property
    def output_file(self) -> Path | None:
        """The file that the one document goes to."""
        return Path(self.output) if self.output not in (None, STDIN) and not self.output_folder else None

    @property
    def is_many(self) -> bool:
        """Whether this is about several documents, though there may happen to be one."""
        return self._several or self.output_folder is not None or self.field is not None

    @property
    def token(self) -> MaskToken:
        """What marks a gap."""
        return mask_token_of(self.mask_token if self.mask_token is not None else STANDARD)

    def document(self, data: bytes) -> Document:
        """Reads a document, whose gaps are where its markup says or the spans of the command line.

        Raises:
            DataError: it cannot be read.
            UsageError: a span is wrong.
        """
        from textdiff.text.document import Document
        from textdiff.text.spans import load_spans, parse_span

        if not (self.spans or self.spans_file):
            return Document.parse(data, self.mask_token if self.mask_token is not None else STANDARD)
        listed = [] if self.spans_file is None else load_spans(self.spans_file)
        return Document.with_spans(data, [*map(parse_span, self.spans), *listed])

    def key(self, options: Mapping[str, Any], model: str) -> str:
        """Stands for everything but its source that a filled document depends on.

        Raises:
            CheckpointError: there is no such model.
        """
        texts = {name: value for name, value in options.items() if name != "score"}
        facts = [__version__, fingerprint(model), self.dtype, self.mask_token, self.field, texts]
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    def check(self, world: int) -> None:
        """Raises a UsageError if options contradict each other, or cannot be had in so many processes."""
        for is_so, sentence in self._about_places() + self._about_documents() + self._about_processes(world):
            if is_so:
                raise UsageError(sentence)
        _ = self.token

    @property
    def _several(self) -> bool:
        return len(self.files) > 1 or any(map(_is_folder, self.files))

    @property
    def _is_kept(self) -> bool:
        return self.in_place or self.output not in (None, STDIN)

    def _about_places(self) -> Rules:
        stdin, printed = STDIN in self.files, self.diff or self.as_json
        given = [self.output is not None, self.in_place, self.diff]
        return [
            (sum(given) > 1, "give only one of --output, --in-place and --diff"),
            (self.diff and self.as_json, "--diff and --json both print to standard output: give one of them"),
            (self.output == "", "--output must name a file or a folder"),
            (stdin and self.in_place, "--in-place needs a file, not standard input"),
            (stdin and len(self.files) > 1, "standard input (-) cannot be read among other files"),
            (stdin and self.output_folder, "standard input has no name that its file in a folder could have"),
            (
                self._several and not (self._is_kept or printed),
                "several documents need a place to go: give --output DIR, --in-place, --diff or --json",
            ),
            (self.overwrite and not self.output_folder, "--overwrite is for files in a folder that --output names"),
        ]

    def _about_documents(self) -> Rules:
        alone = {"--watch": self.watch, "--trace": self.trace, "--span": self.spans, "--spans": self.spans_file}
        marked = self.mask_token is not None and (self.spans or self.spans_file)
        return [
            *((given and self.is_many, f"{option} is for one document") for option, given in alone.items()),
            (marked, "--mask-token cannot mark gaps where --span or --spans says where they are"),
            (self.patterns and not any(map(_is_folder, self.files)), "--glob needs a folder to look in"),
            (self.field is not None and self.diff, "--diff cannot be had of lines of JSON"),
            (self.skip_errors and self.field is None, "--skip-errors is for lines of JSON, whose text --field names"),
        ]

    def _about_processes(self, world: int) -> Rules:
        shared = world > 1 and self.is_many
        return [
            (shared and (self.diff or self.as_json), "several processes cannot print --diff or --json: start one"),
            (shared and not self._is_kept, "several processes need --output or --in-place"),
        ]


def _is_folder(name: str) -> bool:
    return name != STDIN and unusable(name) is None and Path(name).is_dir()
