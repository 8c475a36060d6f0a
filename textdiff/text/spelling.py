"""How the tokens of a gap become its text: a transducer from ids to strings.

What `Spelling.text` gives is what is put into a document, and constraints are compiled through the same transducer
(see `automaton`), so that they hold on the document itself.
"""

from __future__ import annotations

import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from textdiff.text.joining import Last, State, Style, Write, step
from textdiff.text.style import HOLE, capitals_of, state_at, style_of
from textdiff.text.wordpiece import Case, Role, describe
from textdiff.text.wrapping import ends_in_wrap

if TYPE_CHECKING:
    from textdiff.text.tokenizer import Tokenizer

__all__ = ["HOLE", "Move", "Spelling", "spelling_of"]

IntArray = NDArray[np.int64]
_WINDOW = 8000  # characters on each side of a gap that tell how its document writes
_STATES = 1 << 20
_WORDS = 100_000
_Casing = tuple[tuple[int, int], ...]
"""(id, kind), sorted."""


class Move(NamedTuple):
    """What a kind of ids does in a state.

    Attributes:
        write: what it writes, or None for nothing.
        next: the state after it.
        fits: whether it may stand here.
    """

    write: Write | None
    next: int
    fits: bool


class Spelling(ABC):
    """A transducer from ids to the text of a gap.

    Ids are sorted into kinds. In each state all ids of a kind are written in the same way, each in its own letters.
    """

    plain: int
    """The state in which text is written that stands by itself, in the letters of the vocabulary."""

    @abstractmethod
    def start(self, left: str, right: str) -> int:
        """The state in which a gap begins.

        Args:
            left: all text before the gap, other gaps in it written as `HOLE`; its last few thousand characters will do.
            right: the text after the gap.
        """

    @abstractmethod
    def kinds(self, state: int) -> IntArray:
        """The kind of each id, [V]; the same in all states that can be reached from this one."""

    @abstractmethod
    def moves(self, state: int) -> Sequence[Move]:
        """What each kind does in a state."""

    @abstractmethod
    def words(self, case: Case) -> Sequence[str]:
        """The letters of every id in some case, [V]."""

    def texts(self, state: int) -> Sequence[str | None]:
        """What each id writes in a state, [V]; None where it may not stand."""
        moves, words = self.moves(state), {case: self.words(case) for case in Case}
        return [
            _written(moves[kind].write, words, i) if moves[kind].fits else None
            for i, kind in enumerate(self.kinds(state).tolist())
        ]

    def nexts(self, state: int) -> IntArray:
        """The state after each id, [V]."""
        return np.array([move.next for move in self.moves(state)])[self.kinds(state)]

    def text(self, ids: Iterable[int], start: int) -> str:
        """The text of ids that begin in a state; what cannot be written, such as special ids and fillers, is dropped."""
        return self.go_on(ids, start)[0]

    def go_on(self, ids: Iterable[int], state: int) -> tuple[str, int]:
        """The text of ids from a state on, and the state after them, in which the next ones go on."""
        kinds, words = self.kinds(state), {case: self.words(case) for case in Case}
        parts = []
        for i in ids:
            move = self.moves(state)[kinds[i]]
            parts.append(_written(move.write, words, i))
            state = move.next
        return "".join(parts), state


def _written(write: Write | None, words: dict[Case, Sequence[str]], i: int) -> str:
    if write is None:
        return ""
    body = words[write.body][i] if isinstance(write.body, Case) else write.body
    return f" {body}" if write.spaced else body


def spelling_of(tokenizer: Tokenizer) -> Spelling:
    """The spelling of a tokenizer's ids."""
    return WordPieceSpelling(tokenizer) if tokenizer.kind == "wordpiece" else PieceSpelling(tokenizer)


class PieceSpelling(Spelling):
    """Pieces that hold their own spaces, or that know none: only the first piece of a gap may lose its space.

    Two states: within the gap, and at its beginning where the document has the space of the gap's first word.
    """

    plain = 0
    _HEALED = 1

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._carries_spaces = tokenizer.carries_spaces
        self._writes_first_space = tokenizer.writes_first_space
        self._keeps_whitespace = tokenizer.keeps_whitespace
        writable = (tokenizer.utf8 & tokenizer.vocabulary.writable()).tolist()
        pieces = [piece.decode() if fits else "" for piece, fits in zip(tokenizer.pieces, writable, strict=True)]
        pieces = ["" if has_control(piece) else piece for piece in pieces]
        spaced = [self._carries_spaces and piece.startswith(" ") for piece in pieces]
        # kinds: nothing, a piece, a piece after a space
        self._kinds = np.array([bool(piece) + space for piece, space in zip(pieces, spaced, strict=True)])
        self._words = [piece[space:] for piece, space in zip(pieces, spaced, strict=True)]
        plain, space = Write(False, Case.SAME), Write(True, Case.SAME)
        self._moves = [
            [Move(None, 0, False), Move(plain, 0, True), Move(space, 0, True)],
            [Move(None, 1, False), Move(plain, 0, False), Move(plain, 0, True)],
        ]

    def start(self, left: str, right: str) -> int:
        if not self._carries_spaces or left.endswith(HOLE):
            return self.plain
        if not left:
            return int(self._writes_first_space)
        swallowed = left[-1].isspace() and not self._keeps_whitespace
        return int(left.endswith(" ") or swallowed or ends_in_wrap(left))

    def kinds(self, state: int) -> IntArray:
        return self._kinds

    def moves(self, state: int) -> Sequence[Move]:
        return self._moves[state]

    def words(self, case: Case) -> Sequence[str]:
        return self._words


class WordPieceSpelling(Spelling):
    """Pieces that say nothing of spaces, and often nothing of capitals: they are set as a person would set them.

    A state's low bits number its style and `State`; its high bits number the words that the document writes with
    capitals, which no piece changes.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        special = {*tokenizer.vocabulary.special_ids, tokenizer.vocabulary.filler_id}
        entries = ["" if i in special else entry for i, entry in enumerate(tokenizer.entries)]
        pieces = [describe(entry, tokenizer.prefix) for entry in entries]
        written = {piece._replace(case=case) for piece in pieces if piece.role is Role.WORD for case in Case}
        self._pieces = list(dict.fromkeys([*pieces, *sorted(written, key=repr)]))
        self._kind_of = {piece: kind for kind, piece in enumerate(self._pieces)}
        self._usual = np.array([self._kind_of[piece] for piece in pieces])
        self._nothing = next(iter(tokenizer.vocabulary.special_ids), 0)
        self._letters = [
            entry.removeprefix(tokenizer.prefix) if piece.role is Role.CONTINUATION else entry
            for entry, piece in zip(entries, pieces, strict=True)
        ]
        self._states: list[tuple[Style, State]] = []
        self._number_of: dict[tuple[Style, State], int] = {}
        self._steps: dict[int, list[Move]] = {}
        self._casings: list[_Casing] = [()]
        self._casing_number: dict[_Casing, int] = {(): 0}
        self._first_id: dict[str, int] = {}
        self._recent_kinds = lru_cache(maxsize=16)(self._make_kinds)
        self._recent_moves = lru_cache(maxsize=4096)(self._make_moves)
        self.plain = self._number(Style(), State(Last.WORD))

    def start(self, left: str, right: str) -> int:
        left, right = left[-_WINDOW:], right[:_WINDOW]
        style = style_of(f"{left}\n{right}", self._tokenizer.lower_case)
        casing = self._casing(f"{left}\n{right}") if style.capitals else ()
        if casing not in self._casing_number:
            self._casing_number[casing] = len(self._casings)
            self._casings.append(casing)
        return self._casing_number[casing] * _STATES + self._number(style, state_at(left, right))

    def _casing(self, around: str) -> _Casing:
        """The words that this document writes in another case than usual."""

        casing = []
        for i, case in capitals_of(around, self._first_ids).items():
            piece = self._pieces[self._usual[i]]
            if piece.role is Role.WORD and piece.case != case:
                casing.append((i, self._kind_of[piece._replace(case=case)]))
        return tuple(sorted(casing))

    def _first_ids(self, words: list[str]) -> list[int]:
        """The first token of each word."""
        if len(self._first_id) > _WORDS:
            self._first_id.clear()
        new = [word for word in words if word not in self._first_id]
        for word, ids in zip(new, self._tokenizer.encode_many(new), strict=True):
            self._first_id[word] = ids[0] if ids else self._nothing
        return [self._first_id[word] for word in words]

    def kinds(self, state: int) -> IntArray:
        return self._recent_kinds(state // _STATES)

    def _make_kinds(self, number: int) -> IntArray:
        kinds = self._usual.copy()
        for i, kind in self._casings[number]:
            kinds[i] = kind
        return kinds

    def moves(self, state: int) -> Sequence[Move]:
        return self._recent_moves(state)

    def _make_moves(self, state: int) -> Sequence[Move]:
        high, low = divmod(state, _STATES)
        if low not in self._steps:
            style, before = self._states[low]
            steps = [step(before, piece, style) for piece in self._pieces]
            self._steps[low] = [Move(s.write, self._number(style, s.state), s.fits) for s in steps]
        return [Move(write, high * _STATES + after, fits) for write, after, fits in self._steps[low]]

    def _number(self, style: Style, state: State) -> int:
        if (style, state) not in self._number_of:
            self._number_of[style, state] = len(self._states)
            self._states.append((style, state))
        return self._number_of[style, state]

    def words(self, case: Case) -> Sequence[str]:
        return self._cased[case]

    @cached_property
    def _cased(self) -> dict[Case, list[str]]:
        return {
            Case.SAME: self._letters,
            Case.CAPITAL: [_upper(word[:1]) + word[1:] for word in self._letters],
            Case.UPPER: ["".join(map(_upper, word)) for word in self._letters],
        }


def _upper(character: str) -> str:
    """The capital of a character, where it has a single one."""
    upper = character.upper()
    return upper if len(upper) == 1 else character


def has_control(text: str) -> bool:
    """Whether a text would do something to a terminal or end a C string."""
    return any(unicodedata.category(c) == "Cc" and c not in "\t\n\r" for c in text)
