"""Work on a GPU that is asked for once and then repeated as a whole: a small network is done sooner than it is asked for."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

Work = Callable[..., tuple[Tensor, ...]]
"""Makes tensors of tensors, some of which may be None: by the same pieces of work whatever their values are."""
Shapes = tuple[object, ...]

MOST = 8
"""Graphs that are kept; each keeps the memory that its work takes."""
PATIENCE = 2
"""Calls of one shape that are done piece by piece; to make a graph takes longer than a call."""
SPARE = 1.5
"""How many times the rows that are asked for a graph may have that is used for them."""


class Captured:
    """Work as a CUDA graph: its inputs are copied to where the graph reads them, and its results stand where it writes."""

    def __init__(self, work: Work, inputs: tuple[Tensor | None, ...]) -> None:
        assert inputs[0] is not None
        self._work = work  # and with it the tensors that the graph reads besides
        self._inputs = tuple(None if x is None else x.clone() for x in inputs)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.device(inputs[0].device):
            here, beside = torch.cuda.current_stream(), torch.cuda.Stream()  # type: ignore[no-untyped-call]
            beside.wait_stream(here)
            with torch.cuda.stream(beside):  # what libraries set up at a first call must not be part of the graph
                work(*self._inputs)
            here.wait_stream(beside)
            with torch.cuda.graph(self._graph, stream=beside):
                self._results = work(*self._inputs)

    def __call__(self, *inputs: Tensor | None) -> tuple[Tensor, ...]:
        for kept, x in zip(self._inputs, inputs, strict=True):
            if kept is not None and x is not None:
                kept[: len(x)].copy_(x)
        self._graph.replay()
        return self._results


@dataclass
class Graphs:
    """Does work as a CUDA graph wherever inputs of the same shapes come again.

    A graph of some rows more is used, too, with what it was given last in the others: rows have nothing to do with each
    other. Weights must stay where they are; see `clear`.

    Attributes:
        device: the type of device whose work this is.
        capture: makes the graph for inputs of these shapes.
    """

    device: str = "cuda"
    capture: Callable[[Work, tuple[Tensor | None, ...]], Work] = Captured
    _calls: dict[tuple[int, Shapes], int] = field(default_factory=dict)
    _made: dict[tuple[int, Shapes], Work] = field(default_factory=dict)

    def __call__(self, work: Work, *inputs: Tensor | None) -> tuple[Tensor, ...]:
        """What the work makes of the inputs, the first of which has a place for each row. Good until the next call."""
        assert inputs[0] is not None
        rows, shapes = len(inputs[0]), _shapes(inputs)
        key = (rows, shapes)
        if key not in self._made:
            self._calls[key] = self._calls.get(key, 0) + 1
            if self._calls[key] <= PATIENCE:
                key = min(
                    (k for k in self._made if k[1] == shapes and rows < k[0] <= SPARE * rows), default=key, key=_rows
                )
            else:
                self._keep(key, work, inputs)
        if key not in self._made:
            return work(*inputs)
        made = self._made[key] = self._made.pop(key)  # the last one used is the last one dropped
        return tuple(result[:rows] for result in made(*inputs))

    def clear(self) -> None:
        """Forgets all graphs, as must be done where weights move."""
        self._calls.clear()
        self._made.clear()

    def _keep(self, key: tuple[int, Shapes], work: Work, inputs: tuple[Tensor | None, ...]) -> None:
        while len(self._made) >= MOST:
            oldest = next(iter(self._made))
            del self._made[oldest], self._calls[oldest]
        try:
            self._made[key] = self.capture(work, inputs)
        except RuntimeError as error:  # CUDA's are of this kind; what cannot be repeated is done piece by piece
            warnings.warn(f"sampling goes on without a CUDA graph, which cannot be made: {error}", stacklevel=2)
            self._made[key] = work


def _rows(key: tuple[int, Shapes]) -> int:
    return key[0]


def _shapes(inputs: tuple[Tensor | None, ...]) -> Shapes:
    """What inputs must have in common; not the number of rows."""
    assert inputs[0] is not None
    rows = len(inputs[0])
    return tuple(None if x is None else (x.shape[1:] if len(x) == rows else x.shape, x.dtype, x.device) for x in inputs)
