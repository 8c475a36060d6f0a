"""Languages: every automaton holds exactly the texts that it should, and has no state too many."""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Callable, Sequence
from functools import cache, partial

import numpy as np
import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from textdiff.errors import DataError
from textdiff.text import determinise, regex
from textdiff.text.gaps import Gap, GapLength
from textdiff.text.language import (
    MAX_STATES,
    Language,
    anything,
    characters,
    choices,
    containing,
    language_of,
    matching,
    sentences,
    words,
)


@cache
def texts_over(alphabet: str, longest: int) -> tuple[str, ...]:
    return tuple("".join(t) for n in range(longest + 1) for t in itertools.product(alphabet, repeat=n))


@cache
def coded(texts: tuple[str, ...]) -> np.ndarray:
    """The code points of each text, one a row, with -1 after its end."""
    rows = np.full((len(texts), max(map(len, texts)) + 1), -1)
    for row, text in zip(rows, texts, strict=True):
        row[: len(text)] = list(map(ord, text))
    return rows


def accepted(language: Language, texts: Sequence[str]) -> list[bool]:
    """`Language.accepts` of many texts at once."""
    table, final = np.pad(language.table, ((0, 1), (0, 1)), constant_values=-1), np.append(language.final, False)
    codes = coded(tuple(texts))
    states = np.zeros(len(codes), np.int64)
    for column in codes.T:
        states = np.where(column < 0, states, table[states, language.symbols[column]])
    return final[states].tolist()


def agree(language: Language, holds: Callable[[str], object], texts: Sequence[str]) -> None:
    answers = zip(texts, accepted(language, texts), strict=True)
    wrong = [text for text, answer in answers if answer != bool(holds(text))]
    assert not wrong, f"{len(wrong)} texts, among them {wrong[:5]!r}"
    assert all(language.accepts(text) == bool(holds(text)) for text in texts[:: max(1, len(texts) // 9)])


def same(first: Language, second: Language) -> bool:
    pairs = ((first.symbols, second.symbols), (first.table, second.table), (first.final, second.final))
    return all(np.array_equal(a, b) for a, b in pairs)


# ---------------------------------------------------------------- patterns

ALPHABET = "aB1é \n"
SHORT = texts_over(ALPHABET, 4)
ATOMS = [
    "a", "B", "b", "1", "é", "É", "_", " ", r"\n", ".", r"\w", r"\W", r"\d", r"\D", r"\s", r"\S", "[aB]", "[^a]",
    "[a-z]", r"[^\W\d]", r"[\s1]", "[^é]", "[A-é]", r"\x61", r"\u00e9", r"\N{DIGIT ONE}", "(?:)",
]  # fmt: skip
PLACES = ["^", "$", r"\A", r"\Z", r"\b", r"\B"]
REPEATS = ["*", "+", "?", "*?", "+?", "??", "{2}", "{1,2}", "{0,2}?", "{2,}", "{,1}"]
FLAGS = ["i", "s", "m", "a", "-i", "i-s", "a-i"]


def joined(*parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.tuples(*parts).map("".join)


def of_one_width() -> st.SearchStrategy[str]:
    """Patterns that a look behind may hold: all that they match has one width."""
    atoms = st.sampled_from([atom for atom in ATOMS if atom != "(?:)"])
    return st.recursive(
        atoms,
        lambda inner: (
            joined(inner, inner)
            | joined(st.sampled_from(PLACES), inner)
            | inner.map("(?={})".format)
            | inner.map("(?<!{})".format)
        ),
        max_leaves=3,
    )


def patterns() -> st.SearchStrategy[str]:
    leaves = (
        st.sampled_from(ATOMS)
        | st.sampled_from(ATOMS)
        | st.sampled_from(PLACES)
        | st.builds("(?<{}{})".format, st.sampled_from("=!"), of_one_width())
    )
    nested = st.recursive(
        leaves,
        lambda inner: (
            joined(inner, inner)
            | joined(inner, inner)
            | st.builds("(?:{}|{})".format, inner, inner)
            | st.builds("({}){}".format, inner, st.sampled_from(REPEATS))
            | st.builds("(?{}{})".format, st.sampled_from("=!"), inner)
            | st.builds("(?{}:{})".format, st.sampled_from(FLAGS), inner)
        ),
        max_leaves=7,
    )
    return joined(st.sampled_from(["", "", "", "(?i)", "(?s)", "(?m)", "(?a)", "(?ims)"]), nested)


@settings(max_examples=300, deadline=None, derandomize=True, phases=(Phase.generate, Phase.explicit))
@given(pattern=patterns())
@example(pattern=r"\B")
@example(pattern=r"(?:(?<=(?=..[^a]).)[^1]|a)*")
@example(pattern=r"(?:(?!a(?<!éa)).)*")
@example(pattern=r"(?m)(?:^\w$\n?)+")
@example(pattern=r"(?i)(?-i:a)b|(?s-i:..b)")
@example(pattern=r"(?a:\w)\w|(?a:é\b.)|\bé\b")
@example(pattern=r"(?a)\w(?u:\w\b)")
@example(pattern=r"(?=a).|(?i:(?=b)(?=a|b).).|(?=b)..")
@example(pattern=r"a1|(?i:a)b|ba|(?i:b)1")
def test_a_pattern_means_what_fullmatch_says(pattern: str) -> None:
    agree(matching(pattern), re.compile(pattern).fullmatch, SHORT)


ALL_CHARACTERS = list(map(chr, range(0x110000)))


@pytest.mark.parametrize(
    "pattern",
    [
        r"\w", r"\W", r"\d", r"\s", ".", r"[^\W\d_]", "[à-ÿ]", "(?s).", r"(?a)\w", r"(?a)\s", r"(?ia)k",
        "(?i)k", "(?i)s", "(?i)ß", "(?i)σ", "(?i)İ", "(?i)[^a-z]", "(?i)[A-Z]", "(?i)[^Σ]", "(?i)[ͅᲀ-ᲈ]",
        r"(?i)[\U00010400-\U00010427]", r"(?i)[\W1-é]", r"[\U00100000-\U0010ffff]", r"\ud800",
    ],
)  # fmt: skip
def test_a_set_holds_the_characters_that_python_says(pattern: str) -> None:
    """All of Unicode, one by one."""
    reference = re.compile(pattern)
    expected = np.array([reference.fullmatch(character) is not None for character in ALL_CHARACTERS])
    language = matching(pattern)
    assert np.array_equal(language.final[language.table[0]] & (language.table[0] >= 0), expected[firsts(language)])
    assert np.array_equal((language.table[0] >= 0)[language.symbols], expected)


def firsts(language: Language) -> np.ndarray:
    """The first character of each symbol."""
    return np.unique(language.symbols, return_index=True)[1]


@pytest.mark.parametrize(
    ("pattern", "texts"),
    [
        (r"\d{4}-\d\d", ["2026-11", "٢٠٢٦-١١", "2026-1", "2026-111", "2026–11"]),
        (r"[A-Z]\w+(?: [A-Z]\w+)*", ["Été Ä", "Anna Maria", "Anna maria", "Éva"]),
        ("(?i)straße|k", ["STRAẞE", "Straße", "STRASSE", "K", "k"]),
        (r"x{,2}y", ["xxy", "x{,2}y", "xxxy", "y"]),
        (r"(?x) a  b # c", ["ab", "a b"]),
        (r"a(?#comment)b", ["ab", "a"]),
        (r"(?P<year>\d+)(?:-\w+)??", ["1-a", "1", "-a"]),
        (r"(?!.*\bthe\b).+", ["bathe there", "in the sea", "the", "other"]),
        (r"(?=.*\d)(?=.*[A-Z])\w{3,5}", ["ab1C", "abC", "1C", "1C_xé", "1Cabcd"]),
        ("[[a]|[]b]", ["[", "a", "]", "b", "[a]"]),
        ("(){9}a(?:|){3}b{0}", ["a", "ab", ""]),
        (r".*\n?\Z", ["a", "a\n", "a\n\n", "\r"]),
    ],
)
def test_patterns_that_people_write(pattern: str, texts: list[str]) -> None:
    agree(matching(pattern), re.compile(pattern).fullmatch, texts)


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("a(b", "missing ), unterminated subpattern at position 1"),
        ("(?<=a+)b", "look-behind requires fixed-width pattern"),
        ("a{99999999999}", "the repetition number is too large"),
        (r"[\\1](a)\1", "has a reference to a group at position 8, which cannot be compiled"),
        (r"\101(?P<x>a)(?P=x)", "has a reference to a group at position 12,"),
        ("(a)?(?(1)b|c)", "has a condition on a group at position 4,"),
        (r"[(?>]\(?>?(?>a)", "has an atomic group at position 10,"),
        (r"\*+[*+]a*+", "has a possessive repeat at position 8,"),
        ("a{2,3}+", "has a possessive repeat at position 1,"),
        ("(" * 3000 + ")" * 3000, "is nested too deeply"),
        ("a" * (regex.MAX_CHARACTERS + 1), "is too long: it can have at most"),
    ],
)
def test_what_cannot_be_compiled_is_one_sentence(pattern: str, message: str) -> None:
    with pytest.raises(DataError, match=re.escape(message)) as error:
        matching(pattern)
    assert "\n" not in str(error.value) and len(str(error.value)) < 250


@pytest.mark.parametrize(
    "pattern",
    [
        "(?:a|b)*a(?:a|b){20}",
        "((a{100}){100}){100}",
        "a{1000000}",
        "a.{12}b.*|.*a.{14}",
        r"(?:(?=.*a.{9}b)(?!.*c.{8}a).)*(?<!d.{7}e)f",
    ],
)
def test_a_pattern_that_explodes_is_refused(pattern: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(determinise, "MAX_WORK", 200_000)  # a fifth, for the time that it takes
    with pytest.raises(DataError, match="is too complex"):
        matching(pattern)


def test_a_repeated_part_is_not_written_out_again_and_again() -> None:
    """These take minutes if each copy is printed, or if empty copies are counted."""
    assert matching("(?:(?={})a){{9000}}".format("ab" * 2000)).is_empty
    assert matching("((){10000}|){10000}").accepts("")
    with pytest.raises(DataError, match="is too complex"):
        matching("[{}]{{40000}}".format("".join(map(chr, range(0x4E00, 0x7000)))))


def test_looks_may_be_nested_deeply() -> None:
    for depth in (40, 41):
        pattern = "(?!" * depth + "a" + ")" * depth + "[ab]"
        agree(matching(pattern), re.compile(pattern).fullmatch, ["a", "b", "", "ab"])
    for depth in range(100, 1200, 100):  # wherever the stack ends, that is one sentence
        try:
            matching("(?=" * depth + "a" + ")" * depth + "a")
        except DataError as error:
            assert "nested too deeply" in str(error)


def test_an_empty_pattern_holds_the_empty_text() -> None:
    language = matching("")
    assert language.accepts("") and not language.accepts("a") and not language.is_empty


# ---------------------------------------------------------------- automata

SMALL = texts_over("ab", 7)


@st.composite
def automata(draw: st.DrawFn) -> Language:
    """Any automaton over a, b and the rest, with useless states and symbols that do the same."""
    size = draw(st.integers(1, 6))
    table = draw(st.lists(st.lists(st.integers(-1, size - 1), min_size=3, max_size=3), min_size=size, max_size=size))
    final = draw(st.lists(st.booleans(), min_size=size, max_size=size))
    symbols = np.zeros(0x110000, np.uint16)
    symbols[[ord("a"), ord("b")]] = 2, 1
    return Language(symbols, np.array(table, np.int32), np.array(final))


def residuals(language: Language) -> set[tuple[bool, ...]]:
    """What may follow each text of up to 5 characters, told apart by texts of up to 5; without what nothing follows.

    Six states at most, and the state of no return: shorter texts reach and tell apart all of them.
    """
    tests = texts_over("abc", 5)
    kinds = {}
    for text in tests:
        state = 0
        for character in text:
            state = int(language.table[state, language.symbols[ord(character)]]) if state >= 0 else -1
        if state >= 0 and state not in kinds:
            ahead = Language(language.symbols, np.roll(language.table, -state, 0), np.roll(language.final, -state))
            size = len(language.table)
            moved = np.where(ahead.table < 0, -1, (ahead.table - state) % size)
            ahead = Language(ahead.symbols, moved, ahead.final)
            kinds[state] = tuple(ahead.accepts(test) for test in tests)
    return {kind for kind in kinds.values() if any(kind)}


@settings(max_examples=150, deadline=None, derandomize=True)
@given(language=automata())
def test_the_smallest_automaton_holds_the_same_texts_and_is_smallest(language: Language) -> None:
    small = Language.smallest(language.symbols, language.table, language.final)
    agree(small, language.accepts, SMALL)
    assert len(small.table) == max(1, len(residuals(language))), "by Myhill and Nerode"
    columns = {column.tobytes() for column in small.table.T}
    assert len(columns) == small.table.shape[1] == small.symbols.max() + 1, "no two symbols do the same"
    assert same(small, Language.smallest(*small_arrays(small)))
    assert small.is_empty == (not any(map(language.accepts, texts_over("abc", 5))))


def small_arrays(language: Language) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return language.symbols, language.table, language.final


@settings(max_examples=40, deadline=None, derandomize=True)
@given(a=automata(), b=automata())
def test_and_or_not_are_those_of_sets(a: Language, b: Language) -> None:
    agree(a & b, lambda text: a.accepts(text) and b.accepts(text), SMALL)
    agree(a | b, lambda text: a.accepts(text) or b.accepts(text), SMALL)
    agree(~a, lambda text: not a.accepts(text), SMALL)
    assert same(~~a, Language.smallest(*small_arrays(a)))
    assert same(a & b, b & a) and same(a | b, b | a)
    assert (a & ~a).is_empty and (~(a | ~a)).is_empty


@settings(max_examples=40, deadline=None, derandomize=True)
@given(a=patterns(), b=patterns())
def test_and_or_not_of_patterns(a: str, b: str) -> None:
    """Their characters are told apart differently."""
    first, second = matching(a), matching(b)
    x, y = re.compile(a), re.compile(b)
    texts = texts_over(ALPHABET, 3)
    agree(first & second, lambda text: bool(x.fullmatch(text) and y.fullmatch(text)), texts)
    agree(first | second, lambda text: bool(x.fullmatch(text) or y.fullmatch(text)), texts)
    agree(~first, lambda text: not x.fullmatch(text), texts)


def test_equal_languages_are_equal_arrays() -> None:
    assert same(matching("(?:a|b)*abb"), matching("(?:[ab](?<=[ab]))*(?<=abb)(?!.)"))
    assert same(matching("a{1,2}|b") & matching("b|aa"), matching("aa|b"))
    assert same(choices(["x"]) & choices(["y"]), matching("(?!)"))
    assert not same(matching("a"), matching("b")) and not same(matching("a*"), matching("a+"))


def test_types_and_shapes() -> None:
    for language in (words(2, 3), matching("(?!)"), ~words(1, 1)):
        states, symbols = language.table.shape
        assert (language.symbols.dtype, language.symbols.shape) == (np.uint16, (0x110000,))
        assert (language.table.dtype, language.final.dtype) == (np.int32, np.bool_)
        assert language.final.shape == (states,) and language.symbols.max() == symbols - 1
        assert language.table.min() >= -1 and language.table.max() < states
        with pytest.raises(ValueError, match="read-only"):
            language.table[0, 0] = 0
    assert matching("(?!)").table.tolist() == [[-1]]


def test_a_product_that_explodes_is_refused() -> None:
    language = anything()
    with pytest.raises(DataError, match="too large an automaton"):
        for i in range(20):
            language &= containing(f"word{i}")


# ---------------------------------------------------------------- lengths, choices and words

SPACED = texts_over("aé.7_ \n", 5) + texts_over("a. \n\t\x1f", 4)


def is_plain(text: str) -> bool:
    """No control codes but tabs and line ends, and no halves of characters."""
    return not any(unicodedata.category(c) in ("Cc", "Cs") and c not in "\t\n\r" for c in text)


def is_spaced(text: str) -> bool:
    """Runs of characters with one space between them, and at least one run."""
    return is_plain(text) and bool(text) and text == " ".join(text.split())


def has_words(text: str, low: int, high: int) -> bool:
    whole = all(any(character.isalnum() for character in word) for word in text.split())
    return is_spaced(text) and whole and low <= len(text.split()) <= high


@pytest.mark.parametrize(("low", "high"), [(1, 1), (1, 2), (2, 2), (2, 3), (3, 3)])
def test_words(low: int, high: int) -> None:
    agree(words(low, high), lambda text: has_words(text, low, high), SPACED)


@pytest.mark.parametrize(("low", "high"), [(1, 1), (1, 3), (2, 4), (5, 5)])
def test_characters(low: int, high: int) -> None:
    def holds(text: str) -> bool:
        return low <= len(text) <= high and len(text.splitlines()) == 1 and is_plain(text) and "\t" not in text

    agree(characters(low, high), lambda text: holds(text) and not text.endswith("\n"), SPACED)


def test_which_characters_may_stand_anywhere() -> None:
    pool = [chr(code) for code in (*range(0x300), *range(0x2000, 0x2070), 0xD800, 0xDFFF, 0xE000, 0x1F600)]
    agree(anything(), is_plain, pool)
    agree(characters(1, 1), lambda c: is_plain(c) and len(f"{c}x".splitlines()) == 1 and c != "\t", pool)
    agree(words(1, 1), str.isalnum, pool)
    assert not anything().accepts("")


def sentence_count(text: str) -> int:
    """How many sentences there are, 0 if there is anything else."""
    if not is_spaced(text):
        return 0
    found, sentence = [], ""
    for word in text.split():
        sentence += word
        if word.rstrip("\"'”’“‘»«›‹)]}")[-1:] in (".", "!", "?", "…"):
            found.append(sentence)
            sentence = ""
    return 0 if sentence or not all(re.search(r"\w", part) for part in found) else len(found)


@pytest.mark.parametrize(("low", "high"), [(1, 1), (1, 2), (2, 2), (2, 4), (3, 3)])
def test_sentences(low: int, high: int) -> None:
    agree(sentences(low, high), lambda text: low <= sentence_count(text) <= high, texts_over('é.?) "\n', 6))


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("He paid 3.50 in all.", 1),
        ("“Go!” she said. He went…", 3),
        ("(Really?) Yes. No", 0),
        ("Wait... what?!", 2),
        ("One.  Two.", 0),
        ("One. . Two.", 0),
        ("“ . ”", 0),
        ("Ja! Nein.", 2),
    ],
)
def test_sentences_of_people(text: str, count: int) -> None:
    assert [n for n in range(1, 5) if sentences(n, n).accepts(text)] == ([count] if count else [])
    assert sentence_count(text) == count


def test_long_lengths() -> None:
    assert words(200, 300).accepts(" ".join(["so"] * 250)) and not words(200, 300).accepts(" ".join(["so"] * 199))
    longest = characters(1, MAX_STATES - 1)
    assert longest.accepts("x" * (MAX_STATES - 1)) and not longest.accepts("x" * MAX_STATES)
    for asked, name in [(words, "words"), (characters, "characters"), (sentences, "sentences")]:
        with pytest.raises(DataError, match=f"a length of 3-900000 {name} is too complex"):
            asked(3, 900_000)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(texts=st.lists(st.text(st.sampled_from("aBé.|*\\[ \n"), max_size=4), min_size=1, max_size=5))
def test_choices(texts: list[str]) -> None:
    pool = [*texts, *map(str.swapcase, texts), *SHORT[:300]]
    agree(choices(texts), lambda text: text in texts, pool)
    lower = {text.lower() for text in texts}
    agree(choices(texts, ignore_case=True), lambda text: text.lower() in lower, pool)


def test_many_choices() -> None:
    texts = [f"the answer is {i}" for i in range(1000)]
    language = choices(texts)
    assert all(map(language.accepts, texts)) and not language.accepts("the answer is 1000")
    assert len(language.table) < 30, "endings are shared"


def joined_texts(left: bool, right: bool) -> Callable[[str], str]:
    return lambda text: ("x" if left else " ") + text + ("x" if right else " ")


@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize("right", [False, True])
@pytest.mark.parametrize("word", ["ab", "é", "aa", "a-a", "a+"])
def test_containing(word: str, left: bool, right: bool) -> None:
    """The neighbours continue a word there, or do not."""
    around = joined_texts(left, right)
    reference = re.compile(rf"(?i)(?<!\w){re.escape(word)}(?!\w)")

    def holds(text: str) -> bool:
        found = reference.finditer(around(text))
        return any(match.start() > 0 and match.end() <= len(text) + 1 for match in found)

    texts = [*texts_over("aBé-", 5), *texts_over("aA+ ", 5), "x\nAB\x00", "É\u2028"]
    language = containing(word, left, right)
    agree(language, holds, texts)
    agree(~language, lambda text: not holds(text), texts)


# ---------------------------------------------------------------- gaps

LENGTHS: list[tuple[GapLength | None, Callable[[str], bool]]] = [
    (None, lambda text: True),
    (GapLength(1, 9, "tokens"), lambda text: True),
    (GapLength(2, 2, "words"), lambda text: has_words(text, 2, 2)),
    (GapLength(3, 4, "chars"), lambda text: 3 <= len(text) <= 4 and "\n" not in text),
    (GapLength(1, 1, "sentences"), lambda text: sentence_count(text) == 1),
]
CHOICES: list[tuple[str, ...]] = [(), ("a b", "a.", "b\na", "ab b", "a")]
PATTERNS = [None, r"[ab].*", r"(?s)\w*\W?\w*"]
WORDS: list[tuple[str, ...]] = [(), ("a",), ("a", "B")]
AROUND = [("", ""), ("so ", " it"), ("so", "it"), ("x", "\n")]


def test_a_gap_gets_all_that_it_asks_for() -> None:
    """Every combination; the texts around it in turn."""
    pool = (*texts_over("ab .\n", 3), "ab b", "a ab", "b a.", "a. b", "ab a b", "ba\na", "a b a.")
    asked = itertools.product(LENGTHS, CHOICES, PATTERNS, WORDS, [(), ("ab", "ba")])
    for (left, right), ((length, fits), texts, pattern, must, forbid) in zip(itertools.cycle(AROUND), asked):
        around = joined_texts(left.endswith(("o", "x")), right.startswith("i"))

        def has(word: str, text: str, around: Callable[[str], str] = around) -> bool:
            found = re.finditer(rf"(?i)\b{word}\b", around(text))
            return any(match.start() > 0 and match.end() < len(around(text)) for match in found)

        wishes: list[Callable[[str], object]] = [bool, fits]
        wishes += [texts.__contains__] if texts else []
        wishes += [re.compile(pattern).fullmatch] if pattern else []
        wishes += [partial(has, word) for word in must]
        wishes += [lambda text, word=word, has=has: not has(word, text) for word in forbid]
        fitting = {text for text in pool if all(wish(text) for wish in wishes)}
        try:
            language = language_of(Gap(0, None, length, "[MASK]", texts, pattern, must, forbid), left, right)
        except DataError as error:
            assert not fitting and str(error) == "gap 1, '[MASK]': no text can be all that is asked for"
        else:
            agree(language, fitting.__contains__, pool)
            assert not language.is_empty


def gap_with(**asked: object) -> Gap:
    return Gap(2, "fire", markup="[MASK#fire: …]", **{"length": None} | asked)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"length": GapLength(3, 3, "words"), "pattern": r"\d+"}, "no text can be all that is asked for"),
        ({"choices": ("yes", "no"), "must": ("perhaps",)}, "no text can be all that is asked for"),
        ({"pattern": r"a{0}"}, "no text can be all that is asked for"),
        ({"pattern": r"(a)\1"}, "has a reference to a group at position 3"),
        ({"length": GapLength(1, 99_999, "words")}, "a length of 1-99999 words is too complex"),
        ({"must": tuple(f"word{i}" for i in range(20))}, "too large an automaton"),
    ],
)
def test_what_no_text_can_be_is_said_with_the_gap(asked: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=re.escape(message)) as error:
        language_of(gap_with(**asked), "", "")
    assert str(error.value).startswith("gap 3, 'fire': ")


def test_control_codes_must_be_spelled_out() -> None:
    def accepts(text: str, **asked: object) -> bool:
        return language_of(gap_with(**asked), "", "").accepts(text)

    assert not accepts("a\x07") and accepts("a\t\r\nb")
    assert not accepts("a\x07", pattern=r"a.") and not accepts("a\x07", pattern=r"a[\x00-\x1f\t]")
    assert accepts("a\x07", pattern=r"a\x07") and accepts("a\x07", pattern=r"(a|b)[\a\t]")
    assert not accepts("a\x00", pattern=r"a(?:\x07|.)"), "and only those"
    assert accepts("\x85", pattern=r"[^b]|\x85") and not accepts("\x85", pattern=r"[^b]")


def test_many_forbidden_words_are_one_automaton() -> None:
    forbidden = tuple(f"{a}{b}word" for a in "abcdefghij" for b in "abcdefghij")
    language = language_of(gap_with(forbid=forbidden), "", "")
    assert not any(language.accepts(f"no {word.upper()}!") for word in forbidden)
    assert all(language.accepts(f"no {word}s or x{word}") for word in forbidden)


def test_the_same_wishes_are_compiled_once() -> None:
    first = language_of(gap_with(must=("sea",)), "so ", " it")
    assert language_of(gap_with(must=("sea",)), "thus ", "\n") is first
    assert language_of(gap_with(must=("sea",)), "thus", "\n") is not first
