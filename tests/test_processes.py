"""Forward laws, posteriors, conversions and edge behaviour of every process, against enumeration."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from oracles import VOCABULARY, transitions
from scipy.stats import chisquare
from torch import Tensor

from textdiff.draws import Draws
from textdiff.errors import ConfigError
from textdiff.processes import (
    AbsorbingProcess,
    ForwardProcess,
    HybridProcess,
    InterpolatingProcess,
    MatrixProcess,
    UniformProcess,
)
from textdiff.processes.matrix import _tables
from textdiff.processes.numerics import writable_ids, writable_mask
from textdiff.registry import names
from textdiff.schedules import CosineSchedule, GeometricSchedule, LinearSchedule, PolynomialSchedule, Schedule
from textdiff.vocabulary import Vocabulary

MASK, V, WRITABLE = 1, VOCABULARY.size, torch.arange(2, 6)


@dataclass(frozen=True)
class DriftingProcess(InterpolatingProcess):
    """Only `nu`, and one that changes in time: everything else is the generic maths."""

    vocabulary: Vocabulary
    schedule: Schedule

    def nu(self, t: Tensor) -> Tensor:
        early = torch.tensor([0, 0.1, 0.2, 0.3, 0.1, 0.3], dtype=torch.float64)
        late = torch.tensor([0, 0.3, 0.4, 0.1, 0.1, 0.1], dtype=torch.float64)
        part = (1 - self.schedule.alpha(t)).unsqueeze(-1)
        return early + part * (late - early)


@dataclass(frozen=True)
class ClippedSchedule(Schedule):
    """Starts below 1 and ends above 0."""

    def alpha(self, t: Tensor) -> Tensor:
        return 0.95 - 0.85 * t

    def alpha_prime(self, t: Tensor) -> Tensor:
        return torch.full_like(t, -0.85)

    def inverse(self, alpha: Tensor) -> Tensor:
        return (0.95 - alpha) / 0.85


INTERPOLATING: list[InterpolatingProcess] = [
    AbsorbingProcess(VOCABULARY, LinearSchedule()),
    AbsorbingProcess(VOCABULARY, CosineSchedule()),
    UniformProcess(VOCABULARY, LinearSchedule()),
    UniformProcess(VOCABULARY, GeometricSchedule()),
    HybridProcess(VOCABULARY, LinearSchedule()),
    HybridProcess(VOCABULARY, PolynomialSchedule(), mask_share=0.3, final_mask_share=1.0),
    HybridProcess(VOCABULARY, CosineSchedule(), mask_share=1.0, final_mask_share=0.1),
    HybridProcess(VOCABULARY, LinearSchedule(), mask_share=0.0),
    DriftingProcess(VOCABULARY, CosineSchedule()),
]
MATRIX = [
    MatrixProcess(VOCABULARY, CosineSchedule(), kind=kind, steps=8) for kind in ("uniform", "absorbing", "banded")
]
ALL: list[ForwardProcess] = [*INTERPOLATING, *MATRIX]
PAIRS = [(s / 8, t / 8) for t in range(1, 9) for s in range(t)]


def label(process: ForwardProcess) -> str:
    return f"{type(process).__name__}-{getattr(process, 'kind', type(process.schedule).__name__)}"


every = pytest.mark.parametrize("process", ALL, ids=label)
interpolating = pytest.mark.parametrize("process", INTERPOLATING, ids=label)


def times(value: float, count: int) -> Tensor:
    return torch.full((count,), value, dtype=torch.float64)


def beliefs(rows: int, seed: int = 0, zeros: bool = False) -> Tensor:
    """Random log-probabilities over the writable ids, some of them of probability 0 on demand."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(rows, V, generator=generator, dtype=torch.float64)
    logits[:, [0, MASK]] = -torch.inf
    if zeros:
        logits[torch.arange(rows), 2 + torch.arange(rows) % 4] = -torch.inf
    return logits.log_softmax(-1)


def reachable(process: ForwardProcess, t: float) -> Tensor:
    """The ids that x_t can be for some x_0."""
    return (transitions(process, 0.0, t)[WRITABLE] > 0).any(0).nonzero().squeeze(-1)


def bayes(process: ForwardProcess, log_p: Tensor, x_t: Tensor, s: float, t: float) -> Tensor:
    """p(x_s | x_t) from the joint law of x_0, x_s and x_t, every one of them enumerated."""
    to_s, onward = transitions(process, 0.0, s), transitions(process, s, t)
    joint = torch.einsum("nv,vj,jn->nj", log_p.exp(), to_s, onward[:, x_t])
    return joint / joint.sum(-1, keepdim=True)


def test_all_are_here() -> None:
    assert set(names(ForwardProcess)) >= {"absorbing", "uniform", "hybrid", "matrix"}


@every
def test_transitions_are_a_markov_chain(process: ForwardProcess) -> None:
    for s, t in PAIRS:
        onward = transitions(process, s, t)[2:]
        assert (onward >= -1e-15).all()
        assert torch.allclose(onward.sum(-1), torch.ones((), dtype=torch.float64))
        composed = transitions(process, 0.0, s) @ transitions(process, s, t)
        assert torch.allclose(composed[2:], transitions(process, 0.0, t)[2:], atol=1e-12)


@every
@pytest.mark.parametrize("zeros", [False, True])
def test_posterior_is_bayes_rule(process: ForwardProcess, zeros: bool) -> None:
    for s, t in PAIRS:
        seen = reachable(process, t)
        x_t = seen.repeat_interleave(4)
        log_p = beliefs(len(x_t), seed=int(64 * (s + t)), zeros=zeros)
        expected = bayes(process, log_p, x_t, s, t)
        possible = expected.isfinite().all(-1)  # a belief may rule out an x_t that was seen
        found = process.posterior(log_p, x_t, times(s, len(x_t)), times(t, len(x_t))).exp()
        assert torch.allclose(found[possible], expected[possible], atol=1e-12), (s, t)
        assert possible.any()


@every
def test_posterior_takes_one_time_for_all_and_mixed_times(process: ForwardProcess) -> None:
    x_t, log_p = torch.stack([reachable(process, t)[0] for t in (0.5, 0.75, 1.0)]), beliefs(3)
    s, t = torch.tensor([0.0, 0.25, 0.5]).double(), torch.tensor([0.5, 0.75, 1.0]).double()
    mixed = process.posterior(log_p, x_t, s, t)
    for n in range(3):
        alone = process.posterior(log_p[n : n + 1], x_t[n : n + 1], s[n], t[n])
        assert torch.allclose(mixed[n].exp(), alone[0].exp(), atol=1e-14)


@interpolating
def test_closed_forms_are_the_generic_ones(process: InterpolatingProcess) -> None:
    generic = InterpolatingProcess
    for s, t in [*PAIRS, (1e-9, 2e-9), (1 - 2e-9, 1 - 1e-9), (0.0, 1e-6)]:
        x_t = reachable(process, t).repeat_interleave(8)
        n, log_p = len(x_t), beliefs(len(x_t), zeros=True)
        x_0 = WRITABLE[(torch.arange(n) + torch.arange(n) // 4) % 4]
        possible = transitions(process, 0.0, t)[x_0, x_t] > 0
        x_0 = torch.where(possible, x_0, x_t)
        known = log_p.gather(-1, x_0[:, None]).squeeze(-1) > -torch.inf
        assert 2 * known.sum() >= n, "or else this test shows nothing"
        at_s, at_t = times(s, n), times(t, n)
        assert torch.allclose(
            process.posterior(log_p, x_t, at_s, at_t).exp()[known],
            generic.posterior(process, log_p, x_t, at_s, at_t).exp()[known],
            atol=1e-7 if s == 1e-9 else 1e-12,
        )
        # At t = 1 itself the generic form divides 0 by 0.
        before = at_t.clamp(max=1 - 1e-9)
        mine, other = process.nelbo(log_p, x_0, x_t, at_t), generic.nelbo(process, log_p, x_0, x_t, before)
        assert torch.allclose(
            mine[known], other[known], rtol=1e-4 if t > 0.999 else 1e-7, atol=1e-6 if t == 1 else 1e-12
        ), (
            t,
            mine - other,
        )
        assert torch.allclose(process.noise_weight(x_t, at_t), generic.noise_weight(process, x_t, at_t), rtol=1e-12)
        assert torch.allclose(process._rate(x_t, at_t), generic._rate(process, x_t, at_t), rtol=1e-12)


def test_hybrid_noise_without_words_is_absorbing_noise() -> None:
    hybrid, absorbing = HybridProcess(VOCABULARY, mask_share=1.0), AbsorbingProcess(VOCABULARY)
    for t in (0.01, 0.5, 0.99):
        x_t = reachable(absorbing, t).repeat_interleave(4)
        x_0 = torch.where(x_t == VOCABULARY.mask_id, WRITABLE[torch.arange(len(x_t)) % 4], x_t)
        log_p, at_t = beliefs(len(x_t)), times(t, len(x_t))
        assert torch.allclose(hybrid.nelbo(log_p, x_0, x_t, at_t), absorbing.nelbo(log_p, x_0, x_t, at_t), rtol=1e-9)


@interpolating
def test_integrand_is_zero_only_for_the_truth_and_finite_at_the_ends(process: InterpolatingProcess) -> None:
    truth = torch.nn.functional.one_hot(WRITABLE, V).double().log()
    for t in (0.0, 1e-300, 1e-12, 1e-3, 0.5, 1 - 1e-3, 1 - 1e-12, 1.0):
        for z in reachable(process, max(t, 1e-3)):
            x_t = torch.where(transitions(process, 0.0, t)[WRITABLE, z] > 0, z, WRITABLE)
            for log_p in (beliefs(4), beliefs(4).float()):
                nats = process.nelbo(log_p, WRITABLE, x_t, times(t, 4))
                assert nats.isfinite().all(), (t, z)
                assert (nats >= -1e-6).all()
            assert torch.allclose(process.nelbo(truth, WRITABLE, x_t, times(t, 4)), torch.zeros(4).double(), atol=1e-6)


@interpolating
def test_a_truth_of_probability_zero(process: InterpolatingProcess) -> None:
    """Infinitely bad where only x_0 can explain the ratio; with noise over real tokens there is another story."""
    sure = torch.tensor([[-torch.inf] * 3 + [0.0] + [-torch.inf] * 2], dtype=torch.float64)
    for z in reachable(process, 0.5):
        if transitions(process, 0.0, 0.5)[2, z] > 0:
            nats = process.nelbo(sure, torch.tensor([2]), z[None], times(0.5, 1))
            real_noise = process.nu(times(0.5, 1))[0, 2] > 0
            assert nats.isfinite().all() if real_noise or z == 2 else nats.isposinf().all()


@every
def test_gradients_are_finite(process: ForwardProcess) -> None:
    for t in (1e-9, 0.01, 0.5, 1 - 1e-9, 1.0):
        x_t = reachable(process, t)
        x_0 = torch.where(x_t == MASK, 3, x_t)
        logits = beliefs(len(x_t)).requires_grad_()
        process.nelbo(logits.log_softmax(-1), x_0, x_t, times(t, len(x_t))).sum().backward()
        assert logits.grad is not None
        assert logits.grad[:, 2:].isfinite().all(), t


@every
def test_half_precision_is_widened_and_float32_is_close(process: ForwardProcess) -> None:
    x_t = reachable(process, 0.5).repeat(4)
    log_p, s, t = beliefs(len(x_t)), times(0.25, len(x_t)), times(0.5, len(x_t))
    x_0 = torch.where(x_t == MASK, 3, x_t)
    assert process.posterior(log_p.bfloat16(), x_t, s, t).dtype == torch.float32
    exact, single = (process.posterior(p, x_t, s, t).exp().double() for p in (log_p, log_p.float()))
    assert torch.allclose(exact, single, atol=1e-6)
    exact, single = (process.nelbo(p, x_0, x_t, t).double() for p in (log_p, log_p.float()))
    assert torch.allclose(exact, single, rtol=1e-5, atol=1e-6)


@every
def test_conversion_undoes_the_posterior(process: ForwardProcess) -> None:
    for t in (1 / 8, 0.5, 7 / 8):
        x_t = reachable(process, t)
        if isinstance(process, AbsorbingProcess) or getattr(process, "kind", "") == "absorbing":
            x_t = x_t[x_t == MASK]
        log_p, time = beliefs(len(x_t)), times(t, len(x_t))
        clean = process.posterior(log_p, x_t, torch.zeros_like(time), time)
        assert torch.allclose(process.clean(log_p, x_t, time).exp(), clean.exp(), atol=1e-12)
        back = process.to_leave_one_out(clean, x_t, time).log_softmax(-1)
        assert torch.allclose(back.exp(), log_p.exp(), atol=1e-12)
        for v in WRITABLE.tolist():
            x_0 = torch.full_like(x_t, v)
            assert torch.allclose(process.log_p_clean(log_p, x_0, x_t, time), clean[:, v], atol=1e-12)


def test_conversion_of_uniform_noise_is_the_published_scalar() -> None:
    process, t = UniformProcess(VOCABULARY), times(0.25, 1)
    logits = torch.zeros(1, V, dtype=torch.float64)
    moved = process.to_leave_one_out(logits, torch.tensor([3]), t)
    assert moved[0, 3].item() == pytest.approx(-torch.log(torch.tensor(1 + 4 * 0.75 / 0.25)).item())
    assert moved[0].count_nonzero() == 1


def test_absorbing_evidence() -> None:
    process = AbsorbingProcess(VOCABULARY)
    assert process.evidence(torch.tensor([MASK, 2]), times(0.5, 2)).tolist() == [0.0, torch.inf]
    logits = beliefs(2)
    assert torch.equal(process.to_leave_one_out(logits, torch.tensor([MASK, 2]), times(0.5, 2)), logits)


@every
@pytest.mark.statistical
def test_forward_samples_have_the_law(process: ForwardProcess) -> None:
    """Chi-square at fixed seeds; the error rate of the whole test is about 1e-3."""
    rows, draws = 6000, Draws.seeded(torch.arange(6000))
    for t in (0.125, 0.5, 0.875):
        x_t = process.sample(torch.tensor([[2, 5]]).expand(rows, -1), times(t, rows), draws)
        for column, x_0 in enumerate((2, 5)):
            expected = transitions(process, 0.0, t)[x_0] * rows
            counts = x_t[:, column].bincount(minlength=V)
            assert (counts[expected == 0] == 0).all()
            kept = expected > 1
            assert chisquare(counts[kept], expected[kept] * (counts[kept].sum() / expected[kept].sum())).pvalue > 1e-5


@every
@pytest.mark.statistical
def test_pure_noise_has_the_law_of_the_last_time(process: ForwardProcess) -> None:
    rows = 6000
    noise = process.sample_noise(torch.zeros(rows, 1, dtype=torch.long), Draws.seeded(torch.arange(rows)))
    expected = transitions(process, 0.0, 1.0)[2] * rows
    counts = noise.flatten().bincount(minlength=V)
    assert (counts[expected < 1e-9] == 0).all()
    kept = expected > 1e-9
    assert kept.sum() == 1 or chisquare(counts[kept], expected[kept]).pvalue > 1e-4


@every
def test_a_row_is_noised_alike_in_any_batch(process: ForwardProcess) -> None:
    seeds, x_0 = torch.arange(5), WRITABLE[torch.arange(40).view(5, 8) % 4]
    t = torch.linspace(0.1, 0.9, 5, dtype=torch.float64)
    whole, noise = process.sample(x_0, t, Draws.seeded(seeds)), process.sample_noise(x_0, Draws.seeded(seeds))
    some = torch.tensor([3, 1])
    assert torch.equal(process.sample(x_0[some, :5], t[some], Draws.seeded(seeds[some])), whole[some, :5])
    assert torch.equal(process.sample(x_0, t.unsqueeze(-1), Draws.seeded(seeds)), whole)
    assert torch.equal(process.sample_noise(x_0[some], Draws.seeded(seeds[some])), noise[some])
    assert torch.equal(process.sample(x_0, torch.tensor(0.0), Draws.seeded(seeds)), x_0)


@every
def test_only_scored_positions_count(process: ForwardProcess) -> None:
    seen = reachable(process, 0.5)
    x_t, free = seen.repeat(2)[None], torch.tensor([[True, False]]).repeat_interleave(len(seen), -1)
    scored = process.scored(x_t, free)
    assert not (scored & ~free).any()
    x_0 = torch.where(x_t[0] == MASK, 3, x_t[0])
    nats = process.nelbo(beliefs(len(x_0)), x_0, x_t[0], times(0.5, len(x_0)))
    assert (nats[free[0] & ~scored[0]] == 0).all()
    if isinstance(process, InterpolatingProcess):
        assert (nats[scored[0]] > 0).all()


@every
def test_the_ends_add_nothing(process: ForwardProcess) -> None:
    assert torch.allclose(process.boundary_nats(WRITABLE), torch.zeros(4).double(), atol=1e-12)


@pytest.mark.parametrize(
    "process",
    [
        UniformProcess(VOCABULARY, ClippedSchedule()),
        HybridProcess(VOCABULARY, ClippedSchedule(), 0.6),
        DriftingProcess(VOCABULARY, ClippedSchedule()),
    ],
    ids=label,
)
def test_what_a_clipped_schedule_adds(process: InterpolatingProcess) -> None:
    first, last = (
        process.schedule.alpha(times(t, 1)) * torch.eye(V).double() + process._noise(times(t, 1)) for t in (0.0, 1.0)
    )
    prior = process.nu(times(1.0, 1))[0]
    decoder = first[WRITABLE] / first[WRITABLE].sum(0)
    for row, x_0 in enumerate(WRITABLE):
        seen = first[x_0] > 0
        kept = last[x_0] > 0
        expected = (last[x_0] * (last[x_0] / prior).log())[kept].sum() - (first[x_0] * decoder[row].log())[seen].sum()
        assert process.boundary_nats(x_0[None]).item() == pytest.approx(expected.item(), rel=1e-9)


def test_clipped_absorbing_noise_cannot_be_the_mask_only() -> None:
    assert AbsorbingProcess(VOCABULARY, ClippedSchedule()).boundary_nats(WRITABLE).isposinf().all()


def test_clipped_uniform_bound_of_uniform_data_is_exact() -> None:
    """All parts of the model are exact here, so the bound is log K: the integral and both ends together."""
    process = UniformProcess(VOCABULARY, ClippedSchedule())
    log_p = torch.zeros(V).double().masked_fill(~VOCABULARY.writable(), -torch.inf).log_softmax(-1)
    nodes = 400
    t = (torch.arange(nodes, dtype=torch.float64) + 0.5) / nodes
    total = process.boundary_nats(torch.tensor([2]))[0]
    for z in WRITABLE.tolist():
        q = torch.stack([transitions_clipped(process, time)[2, z] for time in t])
        nats = process.nelbo(log_p.expand(nodes, -1), torch.full((nodes,), 2), torch.full((nodes,), z), t)
        total = total + (q * nats).mean()
    assert total.item() == pytest.approx(torch.log(torch.tensor(4.0)).item(), abs=1e-4)


def transitions_clipped(process: InterpolatingProcess, t: Tensor) -> Tensor:
    return process.schedule.alpha(t) * torch.eye(V).double() + process._noise(t)


class TestMaskExactly:
    process = AbsorbingProcess(VOCABULARY)

    def test_counts_and_places(self) -> None:
        x_0, free = torch.full((6, 8), 3), (torch.arange(48).view(6, 8) % 3 > 0)
        count = torch.tensor([0, 1, 2, 3, 5, 99])
        masked = self.process.mask_exactly(x_0, free, count, Draws.seeded(torch.arange(6))) == MASK
        assert not (masked & ~free).any()
        assert torch.equal(masked.sum(-1), torch.minimum(count, free.sum(-1)))

    @pytest.mark.statistical
    def test_every_subset_is_equally_likely(self) -> None:
        rows = 6000
        free = torch.tensor([[True, False, True, True, True]]).expand(rows, -1)
        x_t = self.process.mask_exactly(
            torch.full((rows, 5), 2), free, torch.full((rows,), 2), Draws.seeded(torch.arange(rows))
        )
        code = ((x_t == MASK) * 2 ** torch.arange(5)).sum(-1)
        counts = code.unique(return_counts=True)[1]
        assert len(counts) == 6
        assert chisquare(counts).pvalue > 1e-4

    def test_padding_to_the_right_changes_nothing(self) -> None:
        x_0, free, count, draws = (
            torch.full((3, 6), 3),
            torch.ones(3, 6).bool(),
            torch.tensor([1, 3, 5]),
            Draws.seeded(7),
        )
        wide, more = torch.full((3, 9), 3), torch.nn.functional.pad(free, (0, 3))
        draws = Draws.seeded([7, 8, 9])
        assert torch.equal(
            self.process.mask_exactly(wide, more, count, draws)[:, :6],
            self.process.mask_exactly(x_0, free, count, draws),
        )


class TestConstruction:
    def test_masks_need_a_mask(self) -> None:
        for process in (AbsorbingProcess, HybridProcess):
            with pytest.raises(ConfigError, match="mask"):
                process(Vocabulary(size=4))
        with pytest.raises(ConfigError, match="mask"):
            MatrixProcess(Vocabulary(size=4), kind="absorbing")

    @pytest.mark.parametrize("share", [{"mask_share": -0.1}, {"mask_share": 1.5}, {"final_mask_share": 2.0}])
    def test_shares(self, share: dict[str, float]) -> None:
        with pytest.raises(ConfigError, match="between 0 and 1"):
            HybridProcess(VOCABULARY, **share)

    def test_noise_that_is_taken_back(self) -> None:
        @dataclass(frozen=True)
        class Backwards(DriftingProcess):
            def nu(self, t: Tensor) -> Tensor:
                mask = torch.eye(V, dtype=torch.float64)[MASK]
                token = torch.eye(V, dtype=torch.float64)[2]
                late = (t > 0.5).double().unsqueeze(-1)
                return late * token + (1 - late) * mask

        with pytest.raises(ConfigError, match="takes noise back"):
            Backwards(VOCABULARY, LinearSchedule())

    def test_matrix_options(self) -> None:
        with pytest.raises(ConfigError, match="steps must be at least 1, got 0"):
            MatrixProcess(VOCABULARY, steps=0)

    @pytest.mark.parametrize("wrong", [torch.ones(8, V, V), torch.eye(V).repeat(3, 1, 1)])
    def test_matrices_must_be_distributions(self, wrong: Tensor) -> None:
        @dataclass(frozen=True)
        class Wrong(MatrixProcess):
            def matrices(self) -> Tensor:
                return wrong.double()

        with pytest.raises(ConfigError):
            Wrong(VOCABULARY, steps=8).boundary_nats(WRITABLE)


def test_matrix_kinds_are_the_processes_of_that_name() -> None:
    for matrix, process in zip(MATRIX[:2], (UniformProcess, AbsorbingProcess), strict=True):
        for s, t in PAIRS:
            same = process(VOCABULARY, matrix.schedule)
            assert torch.allclose(transitions(matrix, s, t)[2:], transitions(same, s, t)[2:], atol=1e-12)


def test_mask_share_goes_from_data_to_noise() -> None:
    process = HybridProcess(VOCABULARY, LinearSchedule(), mask_share=0.3, final_mask_share=1.0)
    nu = process.nu(torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64))
    assert nu[:, MASK].tolist() == pytest.approx([0.3, 0.65, 1.0])
    assert nu.sum(-1).tolist() == pytest.approx([1.0] * 3)


def test_banded_moves_near_before_far() -> None:
    law = transitions(MATRIX[2], 0.0, 0.25)[2]
    assert law[2] > law[3] > law[4] > law[5] > 0
    assert torch.allclose(transitions(MATRIX[2], 0.0, 1.0)[2], torch.tensor([0, 0, 1, 1, 1, 1]).double() / 4)


def test_tables_kept_from_inference_serve_training() -> None:
    """A tensor made in inference mode cannot be saved for a backward pass; the ones that are kept must not be such."""
    vocabulary, device = Vocabulary(size=9, special_ids=(0,), mask_id=1), torch.device("cpu")
    with torch.inference_mode():
        kept = [writable_mask(vocabulary, device), writable_ids(vocabulary, device)]
        kept += _tables(MatrixProcess(vocabulary, steps=2), device)
    assert not any(table.is_inference() for table in kept)
