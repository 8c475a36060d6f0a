"""Windows: every gap is kept once, whole, with as much around it as fits."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textdiff.text.windows import Window, cut_windows


@st.composite
def laid_out(draw: st.DrawFn) -> tuple[int, list[tuple[int, int]], int]:
    context = draw(st.integers(4, 40))
    gaps, position = [], 0
    for between, size in draw(st.lists(st.tuples(st.integers(0, 60), st.integers(1, context)), max_size=12)):
        gaps.append((position + between, position + between + size))
        position += between + size
    return position + draw(st.integers(0, 60)), gaps, context


@settings(max_examples=500, deadline=None, derandomize=True)
@given(case=laid_out())
def test_i2_every_gap_is_kept_once_and_no_window_is_too_long(case: tuple[int, list[tuple[int, int]], int]) -> None:
    length, gaps, context = case
    windows = cut_windows(length, gaps, context)
    assert [k for window in windows for k in window.kept] == list(range(len(gaps)))
    for window in windows:
        assert 0 <= window.start < window.stop <= length
        assert window.stop - window.start <= context
        inside = [k for k, (a, b) in enumerate(gaps) if window.start <= a and b <= window.stop]
        assert list(window.shown) == inside
        assert set(window.kept) <= set(inside)
        assert all(b <= window.start or a >= window.stop for k, (a, b) in enumerate(gaps) if k not in inside), (
            "a gap is cut"
        )


@settings(max_examples=300, deadline=None, derandomize=True)
@given(length=st.integers(1, 200), start=st.integers(0, 199), size=st.integers(1, 20), context=st.integers(20, 60))
def test_i2_a_lone_gap_sees_as_much_as_fits(length: int, start: int, size: int, context: int) -> None:
    length = max(length, start + size)
    (window,) = cut_windows(length, [(start, start + size)], context)
    assert window.stop - window.start == min(length, context)
    left, right = start - window.start, window.stop - start - size
    # even on both sides, unless the document ends there
    assert abs(left - right) <= 1 or window.start == 0 or window.stop == length


def test_i2_what_fits_is_one_window() -> None:
    assert cut_windows(10, [(2, 4), (6, 9)], 10) == [Window(0, 10, range(2), range(2))]
    assert cut_windows(10, [], 10) == []
    assert cut_windows(100, [], 10) == []


def test_i2_near_gaps_share_a_window_and_far_ones_do_not() -> None:
    windows = cut_windows(1000, [(100, 104), (110, 114), (600, 604)], 64)
    assert [window.kept for window in windows] == [range(2), range(2, 3)]
    assert windows[0].start == 75 and windows[0].stop == 139


@pytest.mark.parametrize("context", [16, 17])
def test_i2_a_neighbour_that_fits_is_shown_but_kept_elsewhere(context: int) -> None:
    windows = cut_windows(100, [(50, 54), (56, 60)], context)
    assert [window.kept for window in windows] == [range(1), range(1, 2)]
    assert all(window.shown == range(2) for window in windows)
