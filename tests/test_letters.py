"""Texts in text8's form."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("He came in 1815, at No. 7.", "he came in one eight one five at no seven"),
        ("  Don't --\n\tstop!  ", "don t stop"),
        ("Café ŒUVRE naïve", "cafe uvre naive"),
        ("K\u212a \u0130x", "kk ix"),
        ("?!", ""),
    ],
)
def test_only_letters_and_single_spaces_are_left(text: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    from prepare_letters import letters

    assert letters(text) == expected
