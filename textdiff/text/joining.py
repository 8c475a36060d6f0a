"""How word pieces are joined: spaces, quotes and capitals as a person would set them.

`step` says how a piece is written after what stands before it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from textdiff.text.wordpiece import Case, Piece, Role


class Last(Enum):
    """What the next piece needs to know of the one before it."""

    WORD = "a word"
    NUMBER = "a number"
    ELISION = "o, d, l: an apostrophe after it joins the next word (o'clock)"
    SHORT = "etc, p, u: a dot after it ends no sentence, and may join a letter (p.m., U.S.)"
    TITLE = "mr or mr.: a name comes next"
    MIDDLE = "punctuation within a sentence"
    END = "the end of a sentence"
    MARK = "the same by ! or ?: after a closing quote the sentence may go on"
    JOINED = "no space comes next"
    FRESH = "no space comes next, and a sentence begins"
    NUMBER_DOT = "3."
    NUMBER_COMMA = "10,"
    NUMBER_COLON = "10:"
    SHORT_DOT = "p."
    APOSTROPHE = "don'"


class Style(NamedTuple):
    """What a document's own text asks for.

    Attributes:
        double: its opening and closing double quote; "" where it has none: they stay as the model writes them.
        single: the same for single quotes, and its apostrophe.
        nested: whether it has quotations in single quotes, so that it matters whether one is open.
        dashes: those of "-" and "—" that have spaces on both sides.
        capitals: whether sentences need a capital that the model cannot write.
    """

    double: str = ""
    single: str = ""
    nested: bool = True
    dashes: str = ""
    capitals: bool = False


class State(NamedTuple):
    """Where the writing of a gap stands.

    Attributes:
        last: the piece before.
        given: the document has what stands between that piece and the next.
        double, single: a quote is open.
        spoken: no quote is open, but one has ended within this sentence: the next goes on with it.
    """

    last: Last
    given: bool = False
    double: bool = False
    single: bool = False
    spoken: bool = False


class Write(NamedTuple):
    """How a token is written: after a space or not, and its spelling in a case or something else in its place."""

    spaced: bool
    body: Case | str


@dataclass(frozen=True)
class Step:
    """What a piece writes, the state after it, and whether it may stand here at all."""

    write: Write | None
    state: State
    fits: bool = True


_SENTENCE = {Last.END, Last.MARK, Last.FRESH, Last.NUMBER_DOT}
_UNSPACED = {Last.JOINED, Last.FRESH}
_WORDS = {Last.WORD, Last.NUMBER, Last.ELISION, Last.SHORT, Last.TITLE}
_JOINS = {
    # what joins the piece before it without a space
    Last.APOSTROPHE: "ending",
    Last.NUMBER_DOT: "number",
    Last.NUMBER_COLON: "number",
    Last.NUMBER_COMMA: "thousands",
    Last.SHORT_DOT: "letter",
}
_OPENING = {'"': None, "“": True, "„": True, "”": False, "'": None, "’": None, "‘": True, "‚": True}


def step(state: State, piece: Piece, style: Style) -> Step:
    """Writes a piece after what stands before it."""
    if piece.role in (Role.WORD, Role.NUMBER):
        return _word(state, piece, style)
    if piece.role is Role.DOUBLE:
        return _double(state, piece, style)
    if piece.role is Role.SINGLE:
        return _single(state, piece, style)
    if piece.role is Role.NOTHING:
        return Step(None, state, fits=False)
    if piece.role is Role.CONTINUATION:
        number = state.last is Last.NUMBER and "number" in piece.traits
        after = state._replace(last=Last.NUMBER if number else Last.WORD, given=False)
        return Step(Write(False, Case.SAME), after, fits=state.last in _WORDS and not state.given)
    return _mark(state, piece.role, style)


def _word(state: State, piece: Piece, style: Style) -> Step:
    joins = not state.given and _JOINS.get(state.last) in piece.traits
    begins = state.last in _SENTENCE and not joins
    case, last = piece.case, next((last for trait, last in _LASTS.items() if trait in piece.traits), Last.WORD)
    if begins or state.last is Last.TITLE:
        case = max(case, Case.CAPITAL)
    elif joins and state.last is Last.APOSTROPHE:
        case, last = Case.SAME, Last.WORD
    elif joins and state.last is Last.SHORT_DOT:
        last = Last.SHORT
    after = State(
        last,
        double=state.double,
        # an apostrophe after a word was no apostrophe if a new word follows it
        single=state.single and not (state.last is Last.APOSTROPHE and not joins),
        spoken=state.spoken and not begins,
    )
    return Step(Write(_spaced(state) and not joins, case if style.capitals else Case.SAME), after)


def _double(state: State, piece: Piece, style: Style) -> Step:
    opens = _OPENING[piece.text]
    if opens is None or (piece.text == "“" and style.double[1:] == "“"):
        opens = state.given or not state.double
    written = (style.double[0] if opens else style.double[1]) if style.double else piece.text
    if opens:
        after = state._replace(last=_opened(state), given=False, double=True, spoken=False)
        return Step(Write(_spaced(state), written), after)
    return Step(Write(False, written), _closed(state)._replace(double=False))


def _single(state: State, piece: Piece, style: Style) -> Step:
    """An apostrophe within a word or at its end; elsewhere a quote that opens, or closes the one that is open."""
    opens = _OPENING[piece.text]
    if opens is None:
        within = state.last in _WORDS or (state.single and state.last not in _UNSPACED)
        opens = state.given or not within
    if opens:
        written = style.single[0] if style.single and piece.text != "’" else style.single[2:] or piece.text
        after = state._replace(last=_opened(state), given=False, single=style.nested, spoken=False)
        return Step(Write(_spaced(state), written), after)
    written = style.single[2:] or piece.text
    if state.last in _WORDS:
        after = state._replace(last=Last.JOINED if state.last is Last.ELISION else Last.APOSTROPHE, given=False)
        return Step(Write(False, written), after)
    return Step(Write(False, written), _closed(state)._replace(single=False))


def _opened(state: State) -> Last:
    """What comes after an opening quote: speech begins with a capital, unless it goes on."""
    fresh = state.last in _SENTENCE or (state.last is Last.MIDDLE and not state.spoken)
    return Last.FRESH if fresh else Last.JOINED


def _closed(state: State) -> State:
    """The state after a closing quote: "Yes," he said; "What?" he said; "No." He went."""
    ended = state.last in (Last.END, Last.NUMBER_DOT)
    nested = state.double and state.single
    return state._replace(last=Last.END if ended else Last.MIDDLE, given=False, spoken=not ended and not nested)


def _mark(state: State, role: Role, style: Style) -> Step:
    """Punctuation that is no quote, and Chinese characters."""
    spaced, exceptions, usual = _MARKS[role]
    after = exceptions.get(state.last, usual)
    dash = _DASHES.get(role)
    if dash is not None and (state.last is Last.NUMBER if dash == "–" else dash not in style.dashes):
        spaced, after = False, Last.JOINED
    return Step(Write(spaced and _spaced(state), Case.SAME), state._replace(last=after, given=False))


def _spaced(state: State) -> bool:
    return not state.given and state.last not in _UNSPACED


_MARKS: dict[Role, tuple[bool, dict[Last, Last], Last]] = {
    # whether a space stands before it, what it leaves after some pieces, and what after all others
    Role.DOT: (
        False,
        {
            Last.NUMBER: Last.NUMBER_DOT,
            Last.SHORT: Last.SHORT_DOT,
            Last.TITLE: Last.TITLE,
        },
        Last.END,
    ),
    Role.STOP: (False, {}, Last.MARK),
    Role.COMMA: (False, {Last.NUMBER: Last.NUMBER_COMMA}, Last.MIDDLE),
    Role.COLON: (False, {Last.NUMBER: Last.NUMBER_COLON}, Last.MIDDLE),
    Role.CLOSER: (False, {}, Last.MIDDLE),
    Role.BRACKET: (False, {Last.END: Last.END, Last.MARK: Last.END, Last.NUMBER_DOT: Last.END}, Last.MIDDLE),
    Role.OPENER: (True, dict.fromkeys(_SENTENCE, Last.FRESH), Last.JOINED),
    Role.SIGN: (True, {}, Last.JOINED),
    Role.SYMBOL: (True, {}, Last.MIDDLE),
    Role.EN_DASH: (True, {}, Last.MIDDLE),
    Role.EM_DASH: (True, {}, Last.MIDDLE),
    Role.HYPHEN: (True, {}, Last.MIDDLE),
    Role.SLASH: (False, {}, Last.JOINED),
    Role.IDEOGRAPH: (False, {}, Last.JOINED),
    Role.WIDE: (False, {}, Last.JOINED),
}
_DASHES = {Role.HYPHEN: "-", Role.EN_DASH: "–", Role.EM_DASH: "—"}
_LASTS = {"number": Last.NUMBER, "elision": Last.ELISION, "short": Last.SHORT, "title": Last.TITLE}
