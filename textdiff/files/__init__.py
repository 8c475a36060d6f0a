"""Files that survive a crash, and readers that trust nothing that they are given."""

from textdiff.files.appending import append_line
from textdiff.files.counting import CountedFile, counted_sha256
from textdiff.files.documents import atomic_file, atomic_write, require_writable
from textdiff.files.finding import find_file
from textdiff.files.folders import atomic_folder, require_place, require_replaceable
from textdiff.files.manifest import MANIFEST, require_intact, sha256_of, verify_folder
from textdiff.files.naming import unusable
from textdiff.files.overrides import apply_override
from textdiff.files.reading import read_bytes, read_json, read_object, system_words, write_json
from textdiff.files.self_contained import require_self_contained
from textdiff.files.staging import clean_stale
from textdiff.files.yaml_reader import dump_yaml, load_yaml, parse_yaml

__all__ = [
    "MANIFEST",
    "CountedFile",
    "append_line",
    "apply_override",
    "atomic_file",
    "atomic_folder",
    "atomic_write",
    "clean_stale",
    "counted_sha256",
    "dump_yaml",
    "find_file",
    "load_yaml",
    "parse_yaml",
    "read_bytes",
    "read_json",
    "read_object",
    "require_intact",
    "require_place",
    "require_replaceable",
    "require_self_contained",
    "require_writable",
    "sha256_of",
    "system_words",
    "unusable",
    "verify_folder",
    "write_json",
]
