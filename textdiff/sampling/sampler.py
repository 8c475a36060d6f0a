"""The one loop: from noise to tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TypeVar

import torch
from torch import Tensor

from textdiff.denoiser import Denoiser, Reader
from textdiff.draws import Draws
from textdiff.errors import ConfigError
from textdiff.processes import ForwardProcess
from textdiff.sampling.accept import Accept, RandomAccept
from textdiff.sampling.answers import Networks, answered, answered_and_judged
from textdiff.sampling.classifiers import Classifier
from textdiff.sampling.constraints import Constraint
from textdiff.sampling.distributions import not_finite
from textdiff.sampling.fitting import require_fit, require_told_places
from textdiff.sampling.grids import TimeGrid, UniformGrid
from textdiff.sampling.guidance import Guidance, blindfolded
from textdiff.sampling.past import Past
from textdiff.sampling.pieces import moved_in_pieces
from textdiff.sampling.renoise import NeverRenoise, Renoise
from textdiff.sampling.samples import Event, Samples
from textdiff.sampling.schedule import Turn, turns
from textdiff.sampling.state import State
from textdiff.sampling.step import Step, Stream, begin_step
from textdiff.sampling.stops import AllSettledStop, Stop
from textdiff.sampling.transitions import AcceptTransition, Move, Transition
from textdiff.sampling.warps import Warp
from textdiff.text.canvas import Canvas


@dataclass(frozen=True)
class Sampler:
    """How text is written: orthogonal policies around one loop. All of it is plain data for `build` and `to_config`.

    Attributes:
        steps: at least 1. A row needs no more network calls, and no more than it has tokens if settled ones stay.
        grid: the times of the steps.
        transition: how the noisy part moves from one time to the next.
        accept: which proposals settle (for the accept transition).
        renoise: which settled tokens go back to noise (for the transitions accept and psi).
        warps: how distributions are reshaped before drawing, in this order.
        guidance: how much more of what is given, or of the better network; none by default.
        stop: which rows are finished before their time; none by default.

    Raises:
        ConfigError: steps below 1, or policies that do not fit together.
    """

    steps: int = 32
    grid: TimeGrid = field(default_factory=UniformGrid)
    transition: Transition = field(default_factory=AcceptTransition)
    accept: Accept = field(default_factory=RandomAccept)
    renoise: Renoise = field(default_factory=NeverRenoise)
    warps: tuple[Warp, ...] = ()
    guidance: Guidance = field(default_factory=Guidance)
    stop: Stop = field(default_factory=AllSettledStop)

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ConfigError(f"steps must be at least 1, got {self.steps}")
        require_fit(self.transition, self.accept, self.renoise, self.grid)

    @property
    def final(self) -> bool:
        """Whether a settled token stays for ever, so that a row is finished once all of its tokens have settled."""
        return self.renoise.final and self.transition.final

    @torch.no_grad()
    def sample(
        self,
        denoiser: Denoiser | Reader,
        process: ForwardProcess,
        canvas: Canvas,
        constraint: Constraint | None = None,
        on_step: Callable[[Event], None] | None = None,
        weak: Denoiser | Reader | None = None,
        told: Tensor | None = None,
        classifier: Classifier | None = None,
    ) -> Samples:
        """Writes the free positions of a canvas. A row's result depends on its own row, seed and constraint only.

        Args:
            denoiser: predicts x_0; called with the rows that need it, and asked only for the positions that do. The model's
                `read`, rather than its `denoise`: scores are then made a few rows at a time where that will do.
            process: the noise that it was trained with.
            canvas: what is given and what is to be written.
            constraint: what must hold of the result.
            on_step: called after every round of the loop.
            weak: what guidance leads away from; by default the same network that does not see what is given.
            told: Long [B, L], what is written at the free positions, whatever would be drawn there: `log_p` then says how
                likely this sampler is to write it.
            classifier: what guidance leads towards; not asked where its weight is 0. Its calls are not counted.

        Raises:
            ConfigError: something is told to a sampler whose places follow from what is drawn; guidance needs a classifier.
            DataError: the constraint cannot be satisfied.
            CheckpointError: the network's logits are not finite.
        """
        if constraint is not None:
            constraint.check(canvas)
        if told is not None:
            require_told_places(self.transition, self.accept, self.renoise, self.warps)
        if self.guidance.classifier and classifier is None:
            raise ConfigError("guidance has a weight for a classifier, but no classifier is given")
        sides = (denoiser, weak or blindfolded(denoiser)) if self.guidance.asks_twice else (denoiser,)
        networks = Networks(sides, classifier if self.guidance.classifier else None)
        # A GPU is not waited for at each step to learn whether logits are sound: damage shows at the end, as NaN.
        checked = not (canvas.ids.is_cuda and self._plans_ahead(constraint))
        state = self._run(networks, process, canvas, constraint, on_step, told, checked)
        if not checked and bool(state.log_p.isnan().any()):
            self._run(networks, process, canvas, constraint, None, told, checked=True)  # says what is wrong, and where
            raise not_finite()
        steps = int(state.index.max()) if len(state.index) else 0
        return Samples(state.x_t, state.log_p, state.nfe * len(sides), steps)

    def _run(
        self,
        networks: Networks,
        process: ForwardProcess,
        canvas: Canvas,
        constraint: Constraint | None,
        on_step: Callable[[Event], None] | None,
        told: Tensor | None,
        checked: bool,
    ) -> State:
        """The loop. checked: see `Step`."""
        state = State.begin(process, canvas, self.accept.compares)
        turns = self._turns(process, canvas) if self._plans_ahead(constraint) else None
        while (planned := self._next(process, canvas, state, constraint, turns)) is not None:
            rows, canvas_here, step = planned
            here = _rows(state, rows)
            if len(step.row):
                view = None if constraint is None else constraint.rows(rows)
                told_here = None if told is None else told[rows]
                step = replace(step, checked=checked)
                step, move = self._move(networks, canvas_here, here.past, step, view, told_here)
            else:
                move = Move(step.proposal, torch.zeros_like(step.proposal, dtype=torch.bool))
            state = state.with_rows(rows, here.after(step, move))
            certain = None if constraint is None else constraint.certain(state.x_t, state.noisy)
            state = state if certain is None else state.settled(certain)
            if on_step is not None:
                on_step(self._event(state, canvas, int(state.index[rows].min())))
        return state

    def _active(self, state: State, canvas: Canvas) -> Tensor:
        """Bool [B]: the rows that may still change."""
        changing = state.noisy if self.final else canvas.free
        return (state.t > 0) & changing.any(-1)

    def _plans_ahead(self, constraint: Constraint | None) -> bool:
        """Whether it is known before the first network call which step settles what."""
        free = not _ties(constraint) and not self.stop.looks and not self.accept.compares
        return free and self.final and self.grid.known and self.transition.plans_ahead(self.accept)

    def _turns(self, process: ForwardProcess, canvas: Canvas) -> Iterator[tuple[Turn, Canvas]]:
        """All turns, each with its rows of the canvas."""
        here = canvas
        for turn in turns(process, self.grid, self.steps, canvas, lambda step: self.transition.plan(step, self.accept)):
            if len(turn.rows) < len(here.ids):  # there are fewer and fewer, the others are finished
                here = canvas.rows(turn.rows)
            yield turn, here

    def _next(
        self,
        process: ForwardProcess,
        canvas: Canvas,
        state: State,
        constraint: Constraint | None,
        turns: Iterator[tuple[Turn, Canvas]] | None,
    ) -> tuple[Tensor, Canvas, Step] | None:
        """The rows that go on now, Long [R] and rising, and their step, planned; None once all rows are finished.

        Rows with nothing to ask go ahead, the others wait for them, so that network calls stay full. Where turns are known
        they are never met.
        """
        if turns is not None:
            planned = next(turns, None)
            if planned is None:
                return None
            turn, here = planned
            return turn.rows, here, self._resumed(process, here, state, turn)
        rows = self._active(state, canvas).nonzero().squeeze(-1)
        if not len(rows):
            return None
        view = None if constraint is None else constraint.rows(rows)
        here = _rows(canvas, rows)
        step = self._begin(process, here, _rows(state, rows), view)
        idle = torch.bincount(step.row, minlength=len(rows)) == 0
        return (rows[idle], here, step.rows(idle)) if idle.any() else (rows, here, step)

    def _resumed(self, process: ForwardProcess, canvas: Canvas, state: State, turn: Turn) -> Step:
        """The step of a turn, on the canvas of its rows."""
        state = replace(_rows(state, turn.rows), index=turn.index, t=turn.t)
        step = self._started(process, Draws(turn.keys), canvas, state)
        return replace(step, s=turn.s).at(turn.row, turn.column)

    def _started(self, process: ForwardProcess, draws: Draws, canvas: Canvas, state: State) -> Step:
        """A step of which only the beginning is known."""
        step = begin_step(
            process,
            draws,
            state.index,
            self.steps,
            state.x_t,
            state.noisy,
            canvas.free,
            canvas.valid,
            state.t,
            state.log_p,
        )
        return replace(step, guess=state.guess, same=state.same, guidance=self.guidance)

    def _begin(self, process: ForwardProcess, canvas: Canvas, state: State, constraint: Constraint | None) -> Step:
        """What happens before the network: the step's end, what goes back to noise, which logits are needed."""
        draws = Draws.seeded(canvas.seeds).fold(state.index)
        step = self._started(process, draws, canvas, state)
        step = replace(step, s=self.grid.next(step))
        if not self.renoise.final:
            sigma = self.transition.bounded(step, self.renoise.probability(step))
            sigma = torch.where((step.s > 0).unsqueeze(-1), sigma, 0.0)
            renoised = step.settled & (step.uniform(Stream.RENOISE) < sigma)
            step = replace(step, sigma=sigma, renoised=renoised)
        forgotten = self.transition.forgets(step)
        if forgotten is not None:
            step = replace(step, renoised=step.renoised | (step.noisy & forgotten))
        if not self.final or forgotten is not None:
            step = replace(step, noise=process.sample_noise(step.x_t, draws.fold(Stream.NOISE)))
        # Whatever a policy wants: what is given or settled is neither asked for nor written.
        wanted = step.noisy & self.transition.plan(step, self.accept)
        asked = step.noisy & wanted.any(-1, keepdim=True) if self.stop.looks else wanted
        return step.planned(wanted, asked if constraint is None else constraint.plan(step, asked))

    def _move(
        self,
        networks: Networks,
        canvas: Canvas,
        past: Past | None,
        step: Step,
        constraint: Constraint | None,
        told: Tensor | None,
    ) -> tuple[Step, Move]:
        times = self.grid.observed(step)
        if told is None and networks.classifier is None and not _ties(constraint) and self._each_alone():
            said, _ = networks.ask(step, times, canvas, step.packed())
            return step, moved_in_pieces(step, said, constraint, self._moved, self.transition.reads_clean)
        if self.transition.judges:
            step = answered_and_judged(step, networks, times, canvas, constraint, self.warps)
        else:
            step = answered(step, networks, times, canvas, constraint)
        if past is not None:
            step = replace(step, drift=past.drift_to(step))
        if self.stop.looks:
            step = step.guessed()
            step = step.ending(self.stop.ends(step))
        if told is not None and isinstance(self.transition, AcceptTransition):
            return step, self.transition.settle(replace(step, proposal=step.pack(told)), self.accept)
        return step, self._moved(step)

    def _moved(self, step: Step) -> Move:
        """What a step does that knows its distributions."""
        return self.transition.move(step, self.accept, tuple(warp.at(step) for warp in self.warps))

    def _each_alone(self) -> bool:
        """Whether policies look at no more than one position at a time."""
        looking = self.stop.looks or self.accept.compares or self.transition.judges
        return not looking and self.transition.each_alone(self.accept)

    def _event(self, state: State, canvas: Canvas, step: int) -> Event:
        return Event(step, self.grid.length(self.steps, canvas.free), state.x_t, state.noisy, state.log_p)


def _ties(constraint: Constraint | None) -> bool:
    return constraint is not None and constraint.ties


T = TypeVar("T", Canvas, State)


def _rows(batch: T, rows: Tensor) -> T:
    """Some rows of a batch, Long and rising; the batch itself where that is all of them, which most steps ask for."""
    return batch if len(rows) == len(batch.x_t if isinstance(batch, State) else batch.ids) else batch.rows(rows)
