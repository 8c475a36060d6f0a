"""Files that survive a crash, and readers that trust nothing that they are given."""

from textdiff.files.documents import atomic_write
from textdiff.files.folders import atomic_folder
from textdiff.files.manifest import MANIFEST, require_intact, verify_folder
from textdiff.files.reading import read_bytes, read_json, write_json
from textdiff.files.staging import clean_stale
from textdiff.files.yaml_reader import dump_yaml, load_yaml, parse_yaml

__all__ = [
    "MANIFEST",
    "atomic_folder",
    "atomic_write",
    "clean_stale",
    "dump_yaml",
    "load_yaml",
    "parse_yaml",
    "read_bytes",
    "read_json",
    "require_intact",
    "verify_folder",
    "write_json",
]
