"""Long documents in parts: filled some at a time, the same whatever that number is, and not twice where a run was stopped."""

from __future__ import annotations

import gc
import resource
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import pytest
from folders import names_in
from test_constrained_gaps import untrained
from tiny import run, save_tiny, senseless_checkpoint

from textdiff.cli.unfinished import Unfinished
from textdiff.errors import DataError
from textdiff.infiller import Infiller, InfillResult, parts
from textdiff.infiller.filling import Filler

FAR = "The old house stood by the river, and the rain fell on the garden all day long. " * 12
SOURCE = "".join(f"{FAR}In [MASK] there were [MASK: 2 words] of them.\n" for _ in range(7))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "tiny"
    senseless_checkpoint().save(folder)
    return folder


@pytest.fixture(scope="module")
def infiller() -> Infiller:
    return untrained()


def two_at_a_time() -> object:
    return patch.object(parts, "AT_A_TIME", 2)


def facts(result: InfillResult) -> tuple[object, ...]:
    """All but how long it took, and the rounding of scores, which depends on the batch."""
    gaps = [(gap.text, gap.start_byte, round(gap.score or 0.0, 3), gap.visible_bytes) for gap in result.gaps]
    return result.document, result.fills, gaps


@pytest.mark.parametrize("n", [1, 3])
def test_far_stretches_are_parts_and_their_number_at_a_time_changes_nothing(infiller: Infiller, n: int) -> None:
    whole = infiller.infill(SOURCE, seed=3, n=n, steps=3)
    with two_at_a_time(), patch.object(Filler, "fill", autospec=True, side_effect=Filler.fill) as fill:
        parted = infiller.infill(SOURCE, seed=3, n=n, steps=3)
    assert facts(parted) == facts(whole)
    assert fill.call_count >= 4, "seven parts, two at a time"
    assert len({gap.text for gap in whole.gaps[::2]}) > 3, "parts have randomness of their own"


def test_what_a_part_is_filled_with_depends_on_nothing_far_away(infiller: Infiller) -> None:
    """The last stretch: the same text around it and the same number of gaps before it, but others."""
    other = SOURCE.replace("In [MASK] there", "On [MASK: yes|no] then", 6)
    one, two = (infiller.infill(source, seed=3, n=2, steps=3) for source in (SOURCE, other))
    assert [gap.alternatives for gap in one.gaps[-2:]] == [gap.alternatives for gap in two.gaps[-2:]]
    assert [gap.text for gap in one.gaps[:-2]] != [gap.text for gap in two.gaps[:-2]]


def test_the_fills_of_a_document_are_sorted_and_distinct_over_its_parts(infiller: Infiller) -> None:
    result = infiller.infill(SOURCE, seed=3, n=4, steps=3)
    assert len({*result.fills}) == len(result.fills) == 4
    for gap in result.gaps:
        scores = [alternative.score for alternative in gap.alternatives]
        assert scores == sorted(scores, reverse=True) and gap.alternatives[0].text == gap.text
    assert result.fills[0] == tuple(gap.text for gap in result.gaps)


def test_progress_is_told_with_the_numbers_of_the_document(infiller: Infiller) -> None:
    seen: set[tuple[int, int]] = set()
    with two_at_a_time():
        infiller.infill(
            [SOURCE, "A [MASK]."],
            steps=2,
            on_progress=lambda layout, progress: seen.update((slot.draft, slot.gap) for slot in layout.slots),
        )
    assert seen == {(0, gap) for gap in range(14)} | {(1, 0)}


class StopError(Exception):
    """Stands for whatever ends a process."""


def fill_until(infiller: Infiller, memory: Unfinished, fills: int, **options: object) -> InfillResult:
    """Fills the document, stopped before go number `fills`."""
    goes = iter(range(fills))

    def fill(self: Filler, *arguments: object) -> object:
        if next(goes, None) is None:
            raise StopError
        return real(self, *arguments)  # type: ignore[arg-type]

    real = Filler.fill
    with two_at_a_time(), patch.object(Filler, "fill", fill):
        return infiller.infill(SOURCE, seed=3, steps=3, memory=memory, **options)


@pytest.mark.parametrize("stop", [0, 1, 3])
def test_a_run_that_was_stopped_goes_on(infiller: Infiller, tmp_path: Path, stop: int) -> None:
    expected = infiller.infill(SOURCE, seed=3, steps=3)
    target = tmp_path / "out.txt"
    with pytest.raises(StopError):
        fill_until(infiller, Unfinished(target, "key"), stop)
    memory = Unfinished(target, "key")
    assert memory.recalled == 4 * stop
    assert facts(fill_until(infiller, memory, 4 - stop)) == facts(expected), "and does only what is left"
    memory.remove()
    assert names_in(tmp_path) == []


def test_alternatives_are_recalled_too(infiller: Infiller, tmp_path: Path) -> None:
    expected = infiller.infill(SOURCE, seed=3, steps=3, n=3)
    target = tmp_path / "out.txt"
    fill_until(infiller, Unfinished(target, "key"), 10_000, n=3)
    again = fill_until(infiller, Unfinished(target, "key"), 0, n=3)
    assert facts(again) == facts(expected)
    found, wanted = ([a for gap in result.gaps for a in gap.alternatives] for result in (again, expected))
    assert [a.text for a in found] == [a.text for a in wanted]
    # What else was in a batch may show in a score's last digit.
    assert [a.score for a in found] == pytest.approx([a.score for a in wanted], rel=1e-6)
    assert [a.confidence for a in found] == pytest.approx([a.confidence for a in wanted], rel=1e-5)
    for gap, wanted_gap in zip(again.gaps, expected.gaps, strict=True):
        odds, wanted_odds = gap.length_considered, wanted_gap.length_considered
        assert [o.tokens for o in odds] == [o.tokens for o in wanted_odds]
        assert [o.probability for o in odds] == pytest.approx([o.probability for o in wanted_odds], rel=1e-5)


def test_i5_what_a_crash_tore_or_another_run_left_is_not_used(infiller: Infiller, tmp_path: Path) -> None:
    target = tmp_path / "out.txt"
    with pytest.raises(StopError):
        fill_until(infiller, Unfinished(target, "key"), 3)
    (left,) = tmp_path.iterdir()
    whole = left.read_bytes()
    left.write_bytes(whole[:-100])
    assert Unfinished(target, "key").recalled == 8, "the last two parts are lost, and no others"
    fill_until(infiller, Unfinished(target, "key"), 2)
    assert Unfinished(target, "key").recalled == 14
    assert Unfinished(target, "other").recalled == 0
    with pytest.raises(StopError):
        fill_until(infiller, Unfinished(target, "other"), 1)
    assert (Unfinished(target, "key").recalled, Unfinished(target, "other").recalled) == (0, 4)
    left.write_bytes(b"\xff\0 nonsense\n" + whole + b'[1]\n[{"part": 6, "fills": [{}]}]\n')
    assert Unfinished(target, "key").recalled == 12
    left.write_bytes(b"\n".join(whole.splitlines()[1:]))
    assert Unfinished(target, "key").recalled == 0, "nothing says what these are for"


def test_a_place_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    (tmp_path / ".textdiff-unfinished-a.jsonl").mkdir()
    with pytest.raises(DataError, match="cannot be read"):
        Unfinished(tmp_path / "a", "key")


@pytest.fixture
def small_limits() -> Iterator[None]:
    with two_at_a_time():  # type: ignore[attr-defined]
        yield


@pytest.mark.usefixtures("small_limits")
@pytest.mark.parametrize("place", ["output", "in place"])
def test_the_command_goes_on_after_an_interrupt(tmp_path: Path, model: Path, place: str) -> None:
    """Also where the document is filled in its place: until it is whole its file stays as it is."""
    document, output = tmp_path / "long.txt", tmp_path / "out.txt"
    document.write_text(SOURCE)
    words = ["infill", str(document), "-m", str(model), "--steps", "2"]
    expected = run(*words).out
    words += ["-o", str(output)] if place == "output" else ["--in-place"]
    goes = iter(range(2))

    def fill(self: Filler, *arguments: object) -> object:
        if next(goes, None) is None:
            raise KeyboardInterrupt
        return real(self, *arguments)  # type: ignore[arg-type]

    real = Filler.fill
    with patch.object(Filler, "fill", fill):
        stopped = run(*words)
    assert stopped.code == 130 and "the same command goes on from here" in stopped.err
    assert document.read_text() == SOURCE and not output.exists()
    assert len(names_in(tmp_path)) == 2, "the document, and what is filled of it"
    with patch.object(Filler, "fill", autospec=True, side_effect=real) as filled:
        done = run(*words)
    assert done.code == 0 and "an earlier run has filled 8 gaps" in done.err
    assert filled.call_count == 2
    assert (output if place == "output" else document).read_bytes() == expected
    assert names_in(tmp_path) == (["long.txt", "out.txt"] if place == "output" else ["long.txt"])


@pytest.mark.usefixtures("small_limits")
@pytest.mark.parametrize("change", [["--seed", "5"], ["--temperature", "0.9"], ["--length", "2"], ["--json"]])
def test_another_command_begins_anew(tmp_path: Path, model: Path, change: list[str]) -> None:
    document, output = tmp_path / "long.txt", tmp_path / "out.txt"
    document.write_text(SOURCE)
    words = ["infill", str(document), "-m", str(model), "--steps", "2", "-o", str(output)]
    goes = iter(range(2))
    real = Filler.fill

    def fill(self: Filler, *arguments: object) -> object:
        if next(goes, None) is None:
            raise KeyboardInterrupt
        return real(self, *arguments)  # type: ignore[arg-type]

    with patch.object(Filler, "fill", fill):
        assert run(*words).code == 130
    other = run(*words, *change)
    assert other.code == 0 and "an earlier run" not in other.err


@pytest.mark.slow
def test_a_thousand_gaps_in_twenty_megabytes_need_no_more_memory_than_a_hundred(tmp_path: Path) -> None:
    model = save_tiny(tmp_path / "tiny")
    peaks = []
    for gaps in (100, 1000):
        text = ("x" * 79 + "\n") * 250  # 20 kB
        document = tmp_path / f"{gaps}.txt"
        document.write_text("".join(f"{text}The [MASK] fell.\n" for _ in range(gaps)) + text * (1000 - gaps))
        assert run("infill", str(document), "-m", str(model), "--steps", "2", "-o", str(tmp_path / "out")).code == 0
        gc.collect()
        peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    assert peaks[1] - peaks[0] < 60, "MiB"
