"""Load, train and use tokenizers: one import place for callers."""

from __future__ import annotations

from textdiff.text.tokenizer import Tokenizer
from textdiff.text.tokenizer_files import load_tokenizer
from textdiff.text.tokenizer_training import TRAINABLE, train_tokenizer

__all__ = ["TRAINABLE", "Tokenizer", "load_tokenizer", "train_tokenizer"]
