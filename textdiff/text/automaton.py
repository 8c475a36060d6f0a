"""What a gap asks for as an automaton over token ids: a language of texts, read through a tokenizer's spelling."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from textdiff.errors import DataError
from textdiff.text.dfa import Language
from textdiff.text.joining import Write
from textdiff.text.outcomes import MAX_CELLS, TOO_LARGE, Outcomes, States, Texts, after_space
from textdiff.text.spelling import Spelling
from textdiff.text.tables import IntArray, edges, ending, number_rows, refine
from textdiff.text.wordpiece import Case

_KEPT = 64
_CELLS = 1 << 20  # of a table that are made at once


@dataclass(frozen=True, eq=False)
class TokenAutomaton:
    """The sequences of ids that spell a text of a language, as a deterministic automaton.

    Every state can be reached, and from every state a text can be ended.

    Attributes:
        classes: the class of each id, Long [V]; ids of one class are never told apart.
        table: the next state for each state and class, Long [S, C]; -1 where the class may not stand. State 0 is the
            start.
        final: whether the text may end in each state, Bool [S].
    """

    classes: Tensor
    table: Tensor
    final: Tensor

    def accepts(self, ids: Iterable[int]) -> bool:
        """Whether these ids spell a text of the language."""
        state = 0
        for i in ids:
            state = int(self.table[state, self.classes[i]])
            if state < 0:
                return False
        return bool(self.final[state])

    def lengths(self, limit: int) -> list[int]:
        """The numbers of tokens that a text may have, from 1 to `limit`."""
        sources, targets = self._edges
        final, found = self.final.numpy(), []
        now = np.arange(len(final)) == 0
        for length in range(1, limit + 1):
            after = np.zeros_like(now)
            after[targets[now[sources]]] = True
            now = after
            if (now & final).any():
                found.append(length)
        return found

    @cached_property
    def _edges(self) -> tuple[IntArray, IntArray]:
        return edges(self.table.numpy())


def compile_automaton(language: Language, spelling: Spelling, start: int) -> TokenAutomaton:
    """The ids whose text, as it is spelled from a state on, is in a language.

    Args:
        language: of a gap's text as it stands in the document.
        spelling: how ids become text.
        start: where the gap begins: see `Spelling.start`.

    Raises:
        DataError: no ids spell such a text, or the automaton would be too large.
    """
    return _compiler_of(spelling).compile(language, start)


@lru_cache(maxsize=4)
def _compiler_of(spelling: Spelling) -> _Compiler:
    return _Compiler(spelling)


class _Compiler:
    """Compiles languages for one spelling; keeps what it read, as long as the language is in use."""

    def __init__(self, spelling: Spelling) -> None:
        self._spelling = spelling
        self._texts: dict[Case, Texts] = {}
        self._outcomes: WeakKeyDictionary[Language, dict[Case, Outcomes]] = WeakKeyDictionary()
        self._made: WeakKeyDictionary[Language, OrderedDict[int, TokenAutomaton]] = WeakKeyDictionary()

    def compile(self, language: Language, start: int) -> TokenAutomaton:
        """See `compile_automaton`."""
        made = self._made.setdefault(language, OrderedDict())
        if start not in made:
            made[start] = self._compile(language, start)
        made.move_to_end(start)
        if len(made) > _KEPT:
            made.popitem(last=False)
        return made[start]

    def _compile(self, language: Language, start: int) -> TokenAutomaton:
        ways = _Ways.of(self._spelling, start)
        cases = sorted({write.body for write in ways.writes if isinstance(write.body, Case)})
        groups = [self._read(language, case).groups for case in cases]
        classes, firsts = number_rows(np.column_stack([ways.kinds, *groups]))
        if len(ways.writes) * len(firsts) * (len(language.table) + 1) > MAX_CELLS:
            raise DataError(TOO_LARGE)
        ends = np.stack([self._ends(language, write, firsts) for write in ways.writes])
        table, states = _product(ways, ways.kinds[firsts], ends)
        return _finished(classes, table, states, language.final)

    def _ends(self, language: Language, write: Write, ids: IntArray) -> States:
        """Where ids lead that are written in some way, from each state of a language and from nowhere, [N, S + 1]."""
        if isinstance(write.body, Case):
            outcomes = self._read(language, write.body)
            groups = outcomes.groups[ids]
        else:
            outcomes = Outcomes.of(language, Texts.of([write.body]))
            groups = outcomes.groups.repeat(len(ids))
        states = outcomes.states[groups]
        return states[:, after_space(language)] if write.spaced else states

    def _read(self, language: Language, case: Case) -> Outcomes:
        known = self._outcomes.setdefault(language, {})
        if case not in known:
            if case not in self._texts:
                self._texts[case] = Texts.of(self._spelling.words(case))
            known[case] = Outcomes.of(language, self._texts[case])
        return known[case]


@dataclass(frozen=True, eq=False)
class _Ways:
    """All that a spelling can do from a start on, states and kinds that do the same merged.

    Attributes:
        kinds: the kind of each id, [V].
        writes: the ways in which ids are written.
        write: which of them a kind has in each state, [Q, K], or -1 where it may not stand; state 0 is the start.
        after: the state after it, [Q, K], or -1.
    """

    kinds: IntArray
    writes: Sequence[Write]
    write: IntArray
    after: IntArray

    @staticmethod
    def of(spelling: Spelling, start: int) -> _Ways:
        present, kinds = np.unique(spelling.kinds(start), return_inverse=True)
        numbers, writes = {start: 0}, dict[Write, int]()
        write, after = [], []
        for state in (queue := [start]):
            moves = [spelling.moves(state)[kind] for kind in present]
            for move in moves:
                if move.fits and move.next not in numbers:
                    numbers[move.next] = len(numbers)
                    queue.append(move.next)
            write.append([writes.setdefault(m.write, len(writes)) if m.fits and m.write else -1 for m in moves])
            after.append([numbers[m.next] if m.fits else -1 for m in moves])
        blocks, firsts = refine(number_rows(np.array(write))[0], np.array(after))
        small = np.array(write)[firsts], np.append(blocks, -1)[np.array(after)[firsts]]
        merged, kept = number_rows(np.concatenate(small).T)
        return _Ways(merged[kinds], list(writes), small[0][:, kept], small[1][:, kept])


def _product(ways: _Ways, kinds: IntArray, ends: States) -> tuple[States, IntArray]:
    """Walks through a spelling and a language at once from their starts.

    Args:
        ways: the spelling.
        kinds: the kind of each class of ids, [C].
        ends: where the language is after a class is written in each way, [writes, C, S + 1].

    Returns:
        the next states, [P, C], -1 for none; and where the language is in each state, [P].
    """
    write, after = ways.write[:, kinds], ways.after[:, kinds]
    size = ends.shape[2]
    names = np.full(len(write) * size, -1, np.int32)
    names[0], count = 0, 1
    pairs, rows = list[IntArray]([np.zeros(1, np.int64)]), list[States]()
    for front in pairs:
        for part in np.array_split(front, len(front) * len(kinds) // _CELLS + 1):
            spelled, read = part // size, part % size
            reached = ends[write[spelled], np.arange(len(kinds)), read[:, None]]
            fits = (write[spelled] >= 0) & (reached < size - 1)
            rows.append(np.where(fits, after[spelled] * size + reached, -1).astype(np.int32))
            new = np.unique(rows[-1]).astype(np.int64)
            new = new[new >= 0]
            new = new[names[new] < 0]
            names[new] = np.arange(count, count + len(new))
            count += len(new)
            if len(new):
                pairs.append(new)
        if count * len(kinds) > MAX_CELLS:
            raise DataError(TOO_LARGE)
    codes = np.concatenate(rows)
    return np.where(codes < 0, -1, names[codes]), np.concatenate(pairs) % size


def _finished(classes: IntArray, table: States, read: IntArray, final: NDArray[np.bool_]) -> TokenAutomaton:
    """Drops what leads to no end, and merges classes and states that do the same.

    Args:
        classes: of the ids, [V].
        table: next states, [P, C], -1 for none.
        read: where the language is in each of them, [P]. It tells most states apart at once; refining from less than
            that takes as many rounds as a text is long.
        final: whether a text may end where the language is, [S].
    """
    merged, kept = number_rows(table.T)
    table = table[:, kept]
    useful = ending(table, final[read])
    if not useful[0]:
        raise DataError("this model's tokens cannot write any text that the gap asks for")
    blocks, firsts = refine(np.where(useful, read, -1), np.where(np.append(useful, False)[table], table, -1))
    firsts = firsts[useful[firsts]]
    names = np.full(len(blocks) + 1, -1)
    names[blocks[firsts]] = np.arange(len(firsts))
    table = names[np.append(blocks, -1)[table[firsts]]]
    again, kept = number_rows(table.T)
    arrays = again[merged[classes]], table[:, kept], final[read[firsts]]
    return TokenAutomaton(*(torch.from_numpy(np.ascontiguousarray(array)) for array in arrays))
