"""From a program with forks and looks around to a deterministic automaton.

A state says which threads are alive. A thread is a node and its claims: each claim is a set of threads of its own, of
which one must succeed, or none may, on the text that follows (a look ahead, positive or negative). So a state is a
formula of and, or and not over nodes; this is how alternating automata become deterministic ones. Beside it a state
holds, for each look behind, the threads that began anywhere before: those that stand at their end now say what is true
here. Looks may be nested in each other at will.

Source: Chandra, Kozen and Stockmeyer (1981), Alternation.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

import numpy as np

from textdiff.text.alphabet import partition
from textdiff.text.dfa import MAX_CELLS, MAX_STATES, Language
from textdiff.text.program import END, REST, Fork, Look, Program, Read, TooComplexError

MAX_WORK = 1_000_000
"""Moves of threads before a pattern counts as too complex: a second or two."""

Thread = tuple[int, "Claims"]
Threads = frozenset[Thread]
Claims = frozenset[tuple[bool, Threads]]
Behind = tuple[Threads, ...]
State = tuple[Threads, Behind]

NONE: Claims = frozenset()
SURE: Threads = frozenset({(REST, NONE)})


def determinise(program: Program) -> Language:
    """The smallest automaton of the texts that a program matches as a whole.

    Raises:
        TooComplexError: that takes more than `MAX_STATES` states or `MAX_WORK` steps.
    """
    symbols, members = partition(program.sets)
    width = int(symbols.max()) + 1
    machine = _Machine(program, [frozenset(row.tolist()) for row in members])
    states = {machine.first(): 0}
    queue = list(states)
    rows: list[dict[int, int]] = []
    for state in queue:
        rows.append({})
        for symbol, threads in machine.readers(state[0]).items():
            following = machine.after(threads, symbol, state[1])
            if not following[0]:
                continue
            if following not in states:
                if len(states) == min(MAX_STATES, MAX_CELLS // width):
                    raise TooComplexError
                states[following] = len(states)
                queue.append(following)
            rows[-1][symbol] = states[following]
    table = np.full((len(rows), width), -1, np.int32)
    for row, targets in zip(table, rows, strict=True):
        row[list(targets)] = list(targets.values())
    return Language.smallest(symbols, table, np.array([machine.succeeds(threads) for threads, _ in queue]))


class _Machine:
    """Runs a program on one symbol after another."""

    def __init__(self, program: Program, members: list[frozenset[int]]) -> None:
        self.program, self.members = program, members
        self.work = 0
        self.begun: dict[tuple[int, Behind], Threads] = {}
        self.stepped: dict[tuple[Threads, int, Behind], Threads] = {}

    def first(self) -> State:
        """The state before the first character."""
        behind: Behind = ()
        for start in self.program.behind:
            behind += (self._begin(start, behind),)
        return self._begin(self.program.start, behind), behind

    def readers(self, threads: Threads) -> dict[int, Threads]:
        """The threads that can read each symbol."""
        found: defaultdict[int, list[Thread]] = defaultdict(list)
        for thread in threads:
            node = self.program.nodes[thread[0]]
            for symbol in self.members[node.characters] if isinstance(node, Read) else ():
                found[symbol].append(thread)
        return {symbol: frozenset(reading) for symbol, reading in found.items()}

    def after(self, threads: Threads, symbol: int, behind: Behind) -> State:
        """The state after a character of this symbol."""
        later: Behind = ()
        for start, before in zip(self.program.behind, behind, strict=True):
            later += (self._step(before, symbol, later) | self._begin(start, later),)
        return self._step(threads, symbol, later), later

    def succeeds(self, threads: Threads) -> bool:
        """Whether a thread is at its end, and all that it claims holds, where no more text follows."""
        return any(
            node in (END, REST) and all(self.succeeds(claimed) == sign for sign, claimed in claims)
            for node, claims in threads
        )

    def _begin(self, node: int, behind: Behind) -> Threads:
        """The threads that begin at a node where the looks behind are as given."""
        self._count(1 + len(behind))
        key = node, behind
        if key not in self.begun:
            self.begun[key] = self._follow([(node, NONE)], behind)
        return self.begun[key]

    def _step(self, threads: Threads, symbol: int, behind: Behind) -> Threads:
        """Moves threads over a character, to a place where the looks behind are as given."""
        self._count(1 + len(behind))
        key = threads, symbol, behind
        if key not in self.stepped:
            self.stepped[key] = self._follow(self._read(threads, symbol, behind), behind)
        return self.stepped[key]

    def _read(self, threads: Threads, symbol: int, behind: Behind) -> Iterator[Thread]:
        """Moves the threads, and those that they claim, over a character."""
        self._count(len(threads))
        for name, claims in threads:
            node = self.program.nodes[name]
            if isinstance(node, Read) and symbol in self.members[node.characters]:
                name = node.next
            elif name != REST:
                continue
            later = _simple((sign, self._step(claimed, symbol, behind)) for sign, claimed in claims)
            if later is not None:
                yield name, later

    def _follow(self, threads: Iterable[Thread], behind: Behind) -> Threads:
        """Follows forks and looks until each thread reads or ends."""
        met: set[Thread] = set()
        arrived: set[Thread] = set()
        waiting = list(threads)
        while waiting:
            thread = waiting.pop()
            if thread in met:
                continue
            met.add(thread)
            name, claims = thread
            self._count(1 + len(claims))
            match node := self.program.nodes[name]:
                case Fork():
                    waiting.extend((way, claims) for way in node.ways)
                case Look():
                    waiting.extend((node.next, more) for more in self._look(node, claims, behind))
                case _:
                    arrived.add(thread)
        return SURE if (REST, NONE) in arrived else frozenset(arrived)

    def _count(self, work: int) -> None:
        self.work += work
        if self.work > MAX_WORK:
            raise TooComplexError

    def _look(self, look: Look, claims: Claims, behind: Behind) -> Iterator[Claims]:
        """What a thread claims after a look; it may go on with any of them, and not at all if there is none."""
        options: list[Claims]
        if look.ahead:
            options = [frozenset({(look.positive, self._begin(look.at, behind))})]
        else:
            options = [claims for node, claims in behind[look.at] if node == END]
            if not look.positive:
                options = [frozenset({(False, frozenset((REST, option) for option in options))})]
        for option in options:
            if (simple := _simple(claims | option)) is not None:
                yield simple


def _simple(claims: Iterable[tuple[bool, Threads]]) -> Claims | None:
    """Drops the claims that hold whatever follows; None if one cannot hold."""
    left = []
    for sign, threads in claims:
        if not threads or (REST, NONE) in threads:
            if sign != bool(threads):
                return None
        else:
            left.append((sign, threads))
    return frozenset(left)
