"""Texts from files; see `textdiff.corpus`."""

from textdiff.corpus import Unit, load_corpus, read_corpus

__all__ = ["Unit", "load_corpus", "read_corpus"]
