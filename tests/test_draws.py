"""Random draws: their laws, to statistical error, and their independence of everything but the seed."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare, kstest

from textdiff.draws import Draws, categorical

GOLDEN = [[0.7054856102290845, 0.5689224331186882], [0.5954306951666244, 0.9765561954546027]]


def even(count: int) -> torch.Tensor:
    """A grid of `count` uniforms."""
    return (torch.arange(count, dtype=torch.float64) + 0.5) / count


class TestCategorical:
    @pytest.mark.statistical
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_law_at_large_vocabulary(self, dtype: torch.dtype) -> None:
        """32,768 ids with 99 % of the mass on a hundred of them; 64 groups of ids, a fixed seed."""
        size, rows, chunks = 32_768, 256, 24
        generator = torch.Generator().manual_seed(0)
        weights = torch.rand(size, generator=generator, dtype=torch.float64)
        weights[torch.randperm(size, generator=generator)[:100]] *= 99 * size / 100
        expected = weights.to(dtype).double().view(64, -1).sum(-1)
        counts = torch.zeros(64, dtype=torch.long)
        for chunk in range(chunks):
            uniform = Draws.seeded(chunk).uniform(rows)[0]
            ids = categorical(weights.to(dtype).expand(rows, -1), uniform)
            counts += (ids // (size // 64)).bincount(minlength=64)
        assert chisquare(counts, expected / expected.sum() * rows * chunks).pvalue > 1e-4

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_is_the_exact_inverse_of_the_cumulative_law(self, dtype: torch.dtype) -> None:
        """At V = 50,000 a float32 cumulative sum would be off by whole ids."""
        size, rows = 50_000, 400
        weights = torch.rand(size, generator=torch.Generator().manual_seed(1)).to(dtype)
        cumulative = weights.double().cumsum(0)
        uniform = Draws.seeded(3).uniform(rows)[0]
        expected = torch.searchsorted(cumulative, uniform * cumulative[-1], side="right")
        assert torch.equal(categorical(weights.expand(rows, -1), uniform), expected)

    @settings(max_examples=60, deadline=None)
    @given(
        weights=st.lists(st.sampled_from([0.0, 0.0, 1e-30, 1e-12, 0.3, 1.0, 1e20]), min_size=1, max_size=200).filter(
            any
        ),
        uniform=st.one_of(
            st.floats(0, 1, exclude_min=True, exclude_max=True), st.sampled_from([2.0**-54, 1 - 2.0**-53])
        ),
    )
    def test_never_an_id_of_weight_zero(self, weights: list[float], uniform: float) -> None:
        drawn = categorical(torch.tensor([weights], dtype=torch.float64), torch.tensor([uniform], dtype=torch.float64))
        assert weights[int(drawn)] > 0

    def test_the_ends(self) -> None:
        weights = torch.zeros(3, 130)
        weights[:, 64], weights[:, 127] = 1.0, 1.0
        ends = torch.tensor([2.0**-54, 0.5 - 1e-12, 1 - 2.0**-53], dtype=torch.float64)
        assert categorical(weights, ends).tolist() == [64, 64, 127]

    def test_small_probabilities_are_not_lost(self) -> None:
        """A weight of 1e-9 beside one of 1: a float32 sum over V would never return it."""
        weights = torch.zeros(2, 200)
        weights[:, 0], weights[:, 100] = 1.0, 1e-9
        inside = torch.tensor([1 - 5e-10, 1 - 2e-9], dtype=torch.float64)
        assert categorical(weights, inside).tolist() == [100, 0]

    def test_a_draw_on_a_border_goes_to_the_next_id_with_weight(self) -> None:
        weights = torch.zeros(1, 130)
        weights[:, [3, 9, 70]] = torch.tensor([1.0, 1.0, 2.0])
        for uniform, expected in ((0.25, 9), (0.5, 70)):
            assert categorical(weights, torch.tensor([uniform], dtype=torch.float64)).tolist() == [expected]

    def test_scale_does_not_matter(self) -> None:
        weights = torch.rand(1, 300, generator=torch.Generator().manual_seed(2), dtype=torch.float64).expand(64, -1)
        assert torch.equal(categorical(weights, even(64)), categorical(weights * 2.0**40, even(64)))

    def test_rows_do_not_meet(self) -> None:
        weights = torch.rand(8, 100, generator=torch.Generator().manual_seed(4))
        uniform = even(8)
        alone = torch.cat([categorical(weights[i : i + 1], uniform[i : i + 1]) for i in range(8)])
        assert torch.equal(categorical(weights, uniform), alone)
        assert categorical(weights[:0], uniform[:0]).shape == (0,)


class TestDraws:
    @pytest.mark.statistical
    def test_uniform_is_uniform(self) -> None:
        for values in (
            Draws.seeded(11).uniform(20_000)[0],
            Draws.seeded(torch.arange(20_000)).uniform(1)[:, 0],
            Draws.seeded(0).rows(torch.zeros(20_000, dtype=torch.long)).fold(torch.arange(20_000)).uniform(3)[:, 2],
        ):
            assert kstest(values.numpy(), "uniform").pvalue > 1e-4

    @pytest.mark.statistical
    def test_neighbours_are_uncorrelated(self) -> None:
        """Columns, rows, seeds and tags that differ by one; five standard deviations."""
        block = Draws.seeded(torch.arange(300)).uniform(300)
        tagged = Draws.seeded(torch.arange(300)).fold(1).uniform(300)
        for one, other in ((block[:, 1:], block[:, :-1]), (block[1:], block[:-1]), (block, tagged)):
            correlation = torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1]
            assert abs(float(correlation)) < 5 / one.numel() ** 0.5

    def test_open_interval(self) -> None:
        values = Draws.seeded(torch.arange(1000)).uniform(100)
        assert values.dtype == torch.float64
        assert ((values > 0) & (values < 1)).all()

    @settings(max_examples=30, deadline=None)
    @given(seeds=st.lists(st.integers(-(2**70), 2**70), min_size=1, max_size=6), columns=st.integers(1, 9))
    def test_a_row_depends_on_its_seed_only(self, seeds: list[int], columns: int) -> None:
        whole = Draws.seeded(seeds).fold(4, 7)
        for row, seed in enumerate(seeds):
            alone = Draws.seeded(seed).fold(4, 7)
            assert torch.equal(alone.uniform(columns)[0], whole.uniform(columns + 5)[row, :columns])
            assert torch.equal(whole.rows(torch.tensor([row])).seeds(), alone.seeds())

    def test_streams_differ(self) -> None:
        start = Draws.seeded(5)
        streams = [start, start.fold(0), start.fold(1), start.fold(0, 1), start.fold(1, 0), Draws(start.seeds())]
        assert len({float(stream.uniform(1)) for stream in [*streams, Draws.seeded(6)]}) == 7

    def test_tags_may_be_tensors(self) -> None:
        rows = Draws.seeded([5, 5]).fold(torch.tensor([1, 2]))
        assert torch.equal(rows.keys, torch.cat([Draws.seeded(5).fold(tag).keys for tag in (1, 2)]))

    def test_golden_values(self) -> None:
        """Results of a seed are part of what users keep: these numbers must never change."""
        assert Draws.seeded(0).uniform(2)[0].tolist() == GOLDEN[0]
        assert Draws.seeded(1).fold(2, 3).uniform(2)[0].tolist() == GOLDEN[1]


def test_the_kernels_of_gpus_give_the_same_numbers() -> None:
    """Triton's interpreter runs them on a CPU, in a process of its own: it is chosen when Triton is imported."""
    pytest.importorskip("triton")
    code = (
        "import torch\n"
        "from textdiff import draw_kernels, draws\n"
        "x = torch.randint(-2**63, 2**63 - 1, (3, 1_500), generator=torch.Generator().manual_seed(0))\n"
        "x[0, :3] = torch.tensor([0, -1, -2**63])\n"
        "for z in (x, x.T, x[:0]):\n"
        "    assert torch.equal(draw_kernels.mix(z), draws._mixed(z))\n"
        "for columns in (0, 1, 1_024, 1_500):\n"
        "    assert torch.equal(draw_kernels.uniform(x[:, 0], columns), draws._uniform(x[:, 0], columns))\n"
        "for size in (1, 5, 64, 3_001, 9_000):\n"
        "    weights = (2 * torch.randn(40, size, generator=torch.Generator().manual_seed(0))).exp()\n"
        "    weights *= torch.rand(weights.shape, generator=torch.Generator().manual_seed(1)) < 0.5\n"
        "    weights[:, 0] = 0 if size > 64 else 1\n"
        "    for u in (draws.Draws.seeded(size).uniform(40)[0], torch.full((40,), 2.0**-54), torch.ones(40)):\n"
        "        found, expected = (f(weights, u.double()) for f in (draw_kernels.categorical, draws._categorical))\n"
        "        assert (weights.gather(-1, found[:, None]) > 0).all()\n"
        "        assert (found == expected).double().mean() >= 0.95\n"
        "    assert not draw_kernels.categorical(torch.full((2, size), torch.nan), u[:2]).any()\n"
        "assert len(draw_kernels.categorical(weights[:0], u[:0])) == 0\n"
    )
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | {"TRITON_INTERPRET": "1"}, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.parametrize("tag", [0, 1, 7, -1, 2**63, 2**64 + 5, -(2**70)])
def test_a_stream_of_a_number_is_that_of_a_tensor(tag: int) -> None:
    draws = Draws.seeded([0, 5, -1])
    value = tag & (2**64 - 1)
    signed = value - 2**64 if value >> 63 else value
    assert torch.equal(draws.fold(tag).keys, draws.fold(torch.full((3,), signed)).keys)


def test_numbers_at_some_places_are_those_of_the_rows() -> None:
    draws = Draws.seeded([5, -3, 2**63 - 1])
    row, column = torch.tensor([0, 2, 1, 2]), torch.tensor([6, 0, 3, 8])
    assert torch.equal(draws.uniform_at(row, column, 9), draws.uniform(9)[row, column])
