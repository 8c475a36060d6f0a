"""Networks that work in bfloat16: the same promises, nearly the same texts."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny import run, save_tiny

import textdiff
from textdiff.backbones.precision import dtype_of, has_bf16_units
from textdiff.errors import UsageError
from textdiff.text.canvas import Canvas

CPU = torch.device("cpu")
TEXT = "The old [MASK: 2 tokens] by the [MASK: 1-3 words], and [MASK: yes|no].\n"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    save_tiny(tmp_path / "model")
    return tmp_path / "model"


def test_weights_are_in_it_and_distributions_are_not(model: Path) -> None:
    half, full = (textdiff.load(model, "cpu", dtype) for dtype in ("bfloat16", "float32"))
    kinds = {parameter.dtype for parameter in half.model.parameters()}
    assert kinds == {torch.bfloat16} and next(full.model.parameters()).dtype == torch.float32
    ids = torch.full((2, 8), half.tokenizer.vocabulary.mask_id)
    given = torch.zeros_like(ids, dtype=torch.bool)
    canvas = Canvas(ids, given, ~given, torch.arange(2))
    a, b = (one.model.denoise(ids, torch.ones(2), canvas, ~given) for one in (half, full))
    assert a.dtype == b.dtype == torch.float32 and not torch.equal(a, b)
    written = b.isfinite()
    torch.testing.assert_close(a[written], b[written], rtol=0.05, atol=0.05)


def test_what_a_gap_asks_for_holds_and_nothing_else_changes(model: Path) -> None:
    result = textdiff.load(model, "cpu", "bfloat16").infill(TEXT, seed=3, n=2)
    filled = str(result.document)
    assert filled.startswith("The old ") and " by the " in filled and filled.endswith(f", and {result.gaps[2].text}.\n")
    assert result.gaps[2].text in ("yes", "no") and 1 <= len(result.gaps[1].text.split()) <= 3


def test_auto_is_what_the_device_is_good_at(monkeypatch: pytest.MonkeyPatch) -> None:
    for there, expected in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda there=there: there)
        assert has_bf16_units(CPU) is there and dtype_of("auto", CPU) == expected
    assert dtype_of("bfloat16", CPU) == torch.bfloat16
    with pytest.raises(UsageError, match="dtype must be float32, bfloat16 or auto, got 'half'"):
        dtype_of("half", CPU)  # type: ignore[arg-type]


@pytest.mark.parametrize("words", [["infill", "LETTER"], ["generate", "Once", "--max-new-tokens", "4"]])
def test_commands_take_it(words: list[str], model: Path, tmp_path: Path) -> None:
    letter = tmp_path / "letter.txt"
    letter.write_text(TEXT)
    words = [str(letter) if word == "LETTER" else word for word in words]
    done = run(*words, "-m", str(model), "--dtype", "bfloat16")
    assert done.code == 0, done.err
    assert run(*words, "-m", str(model), "--dtype", "half").code == 2


def test_a_folder_of_fills_is_filled_again_in_another_precision(model: Path, tmp_path: Path) -> None:
    """It would be another text: what is there is not taken for done."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text(TEXT)
    words = ["infill", str(tmp_path / "in"), "-m", str(model), "--output", str(tmp_path / "out")]
    assert run(*words).code == 0
    again, other = run(*words), run(*words, "--dtype", "bfloat16")
    assert again.code == 0
    assert (again.err, again.code) != (other.err, other.code)
