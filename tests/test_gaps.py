"""What gaps may ask for: the markup, what it means, and each way in which it can be wrong."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textdiff.errors import DataError
from textdiff.text.document import Document
from textdiff.text.gap_markup import HELP, SYNTAX
from textdiff.text.gaps import Gap, GapLength, is_word, parse_length


def gap_of(markup: str) -> Gap:
    """The one gap of a document that is nothing but its markup."""
    (found,) = Document.parse(markup.encode()).parts
    assert isinstance(found, Gap)
    assert found.markup == markup
    return found


@pytest.mark.parametrize(
    ("markup", "length"),
    [
        ("[MASK]", None),
        ("[MASK: 5]", GapLength(5, 5, "words")),
        ("[MASK : 05 ]", GapLength(5, 5, "words")),
        ("[MASK: 1 word]", GapLength(1, 1, "words")),
        ("[MASK:3-8 words]", GapLength(3, 8, "words")),
        ("[MASK: 3–8words]", GapLength(3, 8, "words")),
        ("[MASK: 12 tokens ]", GapLength(12, 12, "tokens")),
        ("[MASK: 4 - 9 tokens]", GapLength(4, 9, "tokens")),
        ("[MASK: 1 token]", GapLength(1, 1, "tokens")),
        ("[MASK: 40 chars]", GapLength(40, 40, "chars")),
        ("[MASK: 1 char]", GapLength(1, 1, "chars")),
        ("[MASK: 40-60 characters]", GapLength(40, 60, "chars")),
        ("[MASK: 1 sentence]", GapLength(1, 1, "sentences")),
        ("[MASK: 2-3 sentences]", GapLength(2, 3, "sentences")),
        ("[MASK#n: 999999 tokens]", GapLength(999_999, 999_999, "tokens")),
    ],
)
def test_lengths(markup: str, length: GapLength | None) -> None:
    assert gap_of(markup).length == length


@pytest.mark.parametrize(
    ("markup", "asked"),
    [
        ("[MASK#date]", {"name": "date"}),
        ("[MASK#a.b-c/é: 2]", {"name": "a.b-c/é", "length": GapLength(2, 2, "words")}),
        ("[MASK: yes|no|perhaps]", {"choices": ("yes", "no", "perhaps")}),
        ("[MASK:  two words |No. 5\t]", {"choices": ("two words", "No. 5")}),
        ("[MASK: 3-8|5|/]", {"choices": ("3-8", "5", "/")}),
        (
            r"[MASK: a\|b|c\;d|e\]f|g\[h|i\,j|k\\l|\/m|n\:o]",
            {"choices": ("a|b", "c;d", "e]f", "g[h", "i,j", "k\\l", "/m", "n:o")},
        ),
        (r"[MASK: \ a |b \ |c\\ |\ ]", {"choices": (" a", "b  ", "c\\", " ")}),
        ("[MASK: and/or|either, or]", {"choices": ("and/or", "either, or")}),
        (r"[MASK: 10\:30|11\:30]", {"choices": ("10:30", "11:30")}),
        (r"[MASK: /\d{4}-\d\d/]", {"pattern": r"\d{4}-\d\d"}),
        (r"[MASK:/[\]; x|y]+ a: \/ \\/ ]", {"pattern": r"[\]; x|y]+ a: / \\"}),
        ("[MASK: must: fire, sea]", {"must": ("fire", "sea")}),
        ("[MASK: forbid :water,don't , x-ray]", {"forbid": ("water", "don't", "x-ray")}),
        (
            "[MASK#n: 3-8 words; must: fire, sea; forbid: water]",
            {"name": "n", "length": GapLength(3, 8, "words"), "must": ("fire", "sea"), "forbid": ("water",)},
        ),
        (
            "[MASK: /.*;.*/;a|b ;forbid: c;40 chars]",
            {"pattern": ".*;.*", "choices": ("a", "b"), "forbid": ("c",), "length": GapLength(40, 40, "chars")},
        ),
    ],
)
def test_items(markup: str, asked: dict[str, Any]) -> None:
    assert gap_of(markup) == replace(Gap(0, None, None, markup), **asked)


# --- what is written is what is read

character = st.one_of(st.sampled_from([*"abzAÉß😀 |;[],:/\\-'#.5\u200c\u0301\u4e2d"]), st.characters(codec="utf-8"))
wish = (
    st.text(character, min_size=1, max_size=8)
    .map(lambda text: "".join(c for c in text if c == " " or not (c.isspace() or ord(c) < 0x20 or ord(c) == 0x7F)))
    .filter(bool)
)
words = st.text(st.sampled_from([*"abcéß中,;:|]['-"]), min_size=1, max_size=6).filter(is_word)
patterns = wish.map(re.escape) | st.sampled_from([r"[a-z/;\]]+", r"(a|b){2,3}", r"\\/\\", r"[^/]", r"\w+ \w+"])


def guarded(text: str) -> str:
    return re.sub(r"[|;\[\],:/\\ ]", lambda match: "\\" + match[0], text)


@st.composite
def asked(draw: st.DrawFn) -> tuple[Gap, str]:
    """What a gap asks for, and markup for it that no part of the parser has written."""
    items: list[str] = []
    fields: dict[str, Any] = {}
    if draw(st.booleans()):
        low, more = draw(st.integers(1, 9000)), draw(st.integers(0, 9000))
        unit = draw(st.sampled_from(["words", "tokens", "chars", "sentences"]))
        fields["length"] = GapLength(low, low + more, unit)  # type: ignore[arg-type]
        items.append(f"{low}-{low + more} {unit}" if more else f"{low} {unit}")
    if draw(st.booleans()):
        choices = draw(st.lists(wish, min_size=2, max_size=4, unique=True))
        fields["choices"] = tuple(choices)
        items.append("|".join(map(guarded, choices)))
    if draw(st.booleans()):
        fields["pattern"] = draw(patterns)
        slashed = re.sub(r"\\.|/", lambda match: "\\/" if match[0] == "/" else match[0], fields["pattern"])
        items.append(f"/{slashed}/")
    listed = draw(st.lists(words, max_size=5, unique_by=str.casefold))
    cut = draw(st.integers(0, len(listed)))
    for key, part in (("must", listed[:cut]), ("forbid", listed[cut:])):
        if part:
            fields[key] = tuple(part)
            items.append(f"{key}: " + ", ".join(map(guarded, part)))
    name = fields["name"] = draw(st.sampled_from([None, "a", "é.1"]))
    items = draw(st.permutations(items))
    markup = "[MASK" + (f"#{name}" if name else "") + (": " + "; ".join(items) if items else "") + "]"
    return Gap(0, markup=markup, **{"length": None, **fields}), markup


@settings(max_examples=400, deadline=None, derandomize=True)
@given(given_gap=asked(), around=st.sampled_from([("", ""), ("é\n", "]"), ("[", "; 3]"), ("x\\\\ ", "/")]))
def test_what_a_gap_asks_for_is_read_as_it_is_written(given_gap: tuple[Gap, str], around: tuple[str, str]) -> None:
    expected, markup = given_gap
    document = Document.parse((around[0] + markup + around[1]).encode())
    assert document.gaps == (expected,)
    assert document.fill([""]).text == "".join(around)


LETTERS = [
    "[MASK",
    "[MASK: ",
    "[MASK#a]",
    "must:",
    "forbid:",
    "mist",
    " words",
    " chars",
    "{9999999999}",
    *"][:;|/\\#-5٣,(",
]
junk = st.lists(st.sampled_from([*LETTERS, *"\n\r éab\x07\ud7ff"]), max_size=14)


@settings(max_examples=1200, deadline=None, derandomize=True)
@given(pieces=junk)
def test_i1_whatever_is_written_is_read_or_refused_with_its_place(pieces: list[str]) -> None:
    source = "".join(pieces)
    try:
        document = Document.parse(source.encode())
    except DataError as error:
        match = re.match(r"line (\d+), column (\d+): \S", str(error))
        assert match, str(error)
        line = source.split("\n")[int(match[1]) - 1]
        assert 1 <= int(match[2]) <= len(line) + 1
        assert "[MASK" in source
    else:
        assert document.source == source.encode()


# --- what is wrong is named with its place

ERRORS = [
    ("ab\r\nc [MASK: 5 words", 2, 3, "this gap is not closed by ']' on its line"),
    ("x\n\n[MASK: 5\n]", 3, 1, "this gap is not closed by ']' on its line"),
    ("x [MASK: a|b\r]", 1, 3, "this gap is not closed by ']' on its line"),
    ("[MASK", 1, 1, "this gap is not closed"),
    ("é[MASK#", 1, 2, "this gap is not closed"),
    ("[MASK 5", 1, 1, "this gap is not closed"),
    ("[MASK: a|b\\", 1, 1, "this gap is not closed"),
    ("[MASK: a|b\\\n]", 1, 1, "this gap is not closed"),
    (r"[MASK: a|b\]", 1, 1, "this gap is not closed"),
    ("[MASK: 5;", 1, 1, "this gap is not closed"),
    ("a [MASK: /ab", 1, 3, "this gap is not closed"),
    ("a [MASK: /ab\n/]", 1, 3, "this gap is not closed"),
    ("a [MASK: /ab]", 1, 10, "this pattern is not closed by '/' on its line"),
    ("😀 [MASK: [MASK: 2]]", 1, 10, "'[' stands inside the gap that begins at line 1, column 3"),
    ("\n[MASK: a|[b]", 2, 10, "'[' stands inside the gap that begins at line 2, column 1"),
    ("[MASK[MASK]]", 1, 6, "'[' stands inside the gap"),
    ("[MASK 5 words]", 1, 1, "'[MASK 5 words]' is not a gap. A gap is written [MASK], "),
    ("[MASK#]", 1, 1, "'[MASK#]' is not a gap"),
    ("[MASK#a b]", 1, 1, "'[MASK#a b]' is not a gap"),
    ("[MASK#a;b]", 1, 1, "'[MASK#a;b]' is not a gap"),
    ("[MASK; 5]", 1, 1, "'[MASK; 5]' is not a gap"),
    ("[MASKé]", 1, 1, "'[MASKé]' is not a gap"),
    ("[MASK：5]", 1, 1, "'[MASK：5]' is not a gap"),
    (f"[MASK#{'n' * 101}]", 1, 6, "the name of a gap must be one line of 1 to 100 characters, got 'nnn"),
    ("[MASK#\x1b]", 1, 6, "the name '\\x1b' holds the control code U+001B"),
    ("[MASK#n] [MASK] \n[MASK#n]", 2, 1, "the gap at line 1, column 1 has the name 'n' already"),
    ("[MASK: ]", 1, 8, "a length, choices, a pattern, must: or forbid: is missing here. A gap is written"),
    ("[MASK:]", 1, 7, "is missing here"),
    ("[MASK: 5; ]", 1, 11, "is missing here"),
    ("[MASK: ; 5]", 1, 8, "is missing here"),
    ("[MASK: 5; 3 words]", 1, 11, "a gap can have only one length"),
    ("[MASK: 5; 5]", 1, 11, "a gap can have only one length"),
    ("[MASK: a|b; c|d]", 1, 13, "a gap can have only one list of choices"),
    ("[MASK: /a/; /a/]", 1, 13, "a gap can have only one pattern"),
    ("[MASK: must: a; 5; must: b]", 1, 20, "a gap can have only one must: list"),
    ("[MASK: forbid: a; forbid: b]", 1, 19, "a gap can have only one forbid: list"),
    (
        "é\n[MASK: 3-8 wrds]",
        2,
        8,
        "'wrds' is not a unit of a length: use words, tokens, chars or sentences. Did you mean",
    ),
    ("[MASK: 4 lines]", 1, 8, "'lines' is not a unit of a length: use words, tokens, chars or sentences."),
    ("[MASK: 4 Words]", 1, 8, "'Words' is not a unit of a length: use words, tokens, chars or sentences. Did you mean"),
    ("[MASK: 3-8-9]", 1, 8, "'-9' is not a unit"),
    ("[MASK: 3.5 words]", 1, 8, "'.5 words' is not a unit"),
    ("[MASK: -3 words]", 1, 8, "'-3 words' is not a length, choices with | between them, or a /pattern/. A gap is"),
    ("[MASK: five words]", 1, 8, "'five words' is not a length, choices with | between them, or a /pattern/."),
    ("[MASK: yes]", 1, 8, "'yes' is not a length, choices with | between them, or a /pattern/. A gap is written"),
    (
        "[MASK: must fire]",
        1,
        8,
        "'must fire' is not a length, choices with | between them, or a /pattern/. Did you mean 'must:'?",
    ),
    ("[MASK: ٣ words]", 1, 8, "'٣ words' is not a length"),
    ("[MASK: 0 words]", 1, 8, "the length of a gap must be at least 1, got 0"),
    ("[MASK: 0-3]", 1, 8, "the length of a gap must be at least 1, got 0"),
    ("[MASK: 8-3 words]", 1, 8, "the shortest length of a gap, 8, is above its longest, 3"),
    ("[MASK: 1-1000000 chars]", 1, 8, "the length of a gap must be at most 999999, got 1000000"),
    (f"[MASK: {'9' * 900}]", 1, 8, "the length of a gap must be at most 999999, got 999"),
    ("[MASK: yes||no]", 1, 8, "a choice is empty"),
    ("[MASK: yes| ]", 1, 8, "a choice is empty"),
    ("[MASK: |]", 1, 8, "a choice is empty"),
    ("[MASK: 5; yes|no|yes]", 1, 11, "the choice 'yes' stands twice"),
    ("[MASK: a\x07|b]", 1, 8, "the choice 'a\\x07' holds the control code U+0007"),
    ("[MASK: a\\n|b]", 1, 8, "a backslash can stand before | ; [ ] , : / \\ and a space, but not before 'n'"),
    (
        "[MASK: Note: x|b]",
        1,
        8,
        "'Note:' is not known: only must: and forbid: are. A ':' inside a choice is written \\:",
    ),
    ("[MASK: 5; mut: x]", 1, 11, "'mut:' is not known: only must: and forbid: are. Did you mean 'must'?"),
    ("[MASK: must:]", 1, 8, "a word in must is empty"),
    ("[MASK: must: fire,,sea]", 1, 8, "a word in must is empty"),
    ("[MASK: forbid: fire sea]", 1, 8, "'fire sea' in forbid is not a word: words are separated by commas"),
    ("[MASK: must: -x]", 1, 8, "'-x' in must is not a word"),
    ("[MASK: must: a, b, A]", 1, 8, "the word 'A' stands twice in must"),
    ("[MASK: must: a; forbid: b, A]", 1, 17, "the word 'a' stands both in must and in forbid"),
    ("[MASK: forbid: straße; must: STRASSE]", 1, 24, "the word 'STRASSE' stands both in must and in forbid"),
    ("[MASK: //]", 1, 8, "a pattern is empty"),
    ("[MASK: 5; /(/]", 1, 11, "the pattern '(' is not a regular expression: missing )"),
    ("[MASK: /a{99999999999999999999}/]", 1, 8, "is not a regular expression"),
    (f"[MASK: /{'(' * 5000}{')' * 5000}/]", 1, 8, "is not a regular expression: it is nested too deeply"),
    (f"[MASK: /{'a' * 10_001}/]", 1, 8, "a pattern can have at most 10000 characters, got 10001"),
    (f"[MASK: b|{'a' * 10_001}]", 1, 8, "a choice can have at most 10000 characters, got 10001"),
    (f"[MASK: {'|'.join(map(str, range(10_001)))}]", 1, 8, "a gap can have at most 10000 choices, got 10001"),
    (f"[MASK: must: {','.join(map(str, range(101)))}]", 1, 8, "must can have at most 100 words, got 101"),
    ("[MASK: /a/i]", 1, 11, "';' or ']' comes after a pattern, got 'i'; a '/' inside a pattern is written \\/"),
    ("[MASK: /a/é]", 1, 11, "';' or ']' comes after a pattern, got 'é'"),
    ("[MASK: /usr|/opt]", 1, 14, "';' or ']' comes after a pattern, got 'o'"),
]


@pytest.mark.parametrize(("source", "line", "column", "message"), ERRORS, ids=[e[0][:40] for e in ERRORS])
def test_i1_wrong_markup_is_named_with_its_place(source: str, line: int, column: int, message: str) -> None:
    with pytest.raises(DataError) as caught:
        Document.parse(source.encode())
    assert str(caught.value).startswith(f"line {line}, column {column}: ")
    assert message in str(caught.value)
    assert len(str(caught.value)) < 500


def test_the_most_that_a_gap_can_ask_for() -> None:
    numbers = [str(i) for i in range(10_000)]
    assert gap_of(f"[MASK: {'|'.join(numbers)}]").choices == tuple(numbers)
    assert len(gap_of(f"[MASK: forbid: {','.join(numbers[:100])}]").forbid) == 100


@pytest.mark.parametrize(
    "word", ["a", "don't", "x-ray", "e\u0301", "पानी", "می\u200cخواهم", "_x", "3.5", "a;b", "中文"]
)
def test_words(word: str) -> None:
    assert is_word(word)
    assert Gap(0, None, None, "", must=(word,)).must == (word,)


@pytest.mark.parametrize(
    "word", ["", " ", "a b", "a\tb", "a ", "C++", "-x", "\u0301", "a\u00a0b", "a\x00b", "a\ud800b"]
)
def test_what_is_no_word(word: str) -> None:
    assert not is_word(word)
    with pytest.raises(DataError, match="in must is"):
        Gap(0, None, None, "", must=(word,))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": ""}, "the name of a gap must be one line"),
        ({"name": "a\nb"}, "the name of a gap must be one line"),
        ({"name": " a"}, "the name of a gap must be one line"),
        ({"name": "\ud800"}, r"holds the control code U\+D800"),
        ({"choices": ("a", "\ud800")}, r"holds the control code U\+D800"),
        ({"pattern": "\ud800"}, "lone surrogate"),
    ],
)
def test_gaps_that_are_not_written_are_checked_too(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        replace(Gap(0, None, None, ""), **fields)


def test_a_label_is_short() -> None:
    assert Gap(2, "date", None, "[MASK#date]").label == "gap 3, 'date'"
    assert Gap(0, None, None, "x" * 1000).label == "gap 1, '" + "x" * 57 + "…'"


@pytest.mark.parametrize("text", ["", "words", "5 5 words", "-5", "5\nx\nx", "5" + " " * 100_000 + "x"])
def test_what_is_no_length(text: str) -> None:
    with pytest.raises(DataError, match=r"is not a (length|unit)"):
        parse_length(text)


def test_the_syntax_that_is_shown_is_right() -> None:
    assert len(Document.parse(SYNTAX.encode()).gaps) == 6
    assert all(len(line) < 80 for line in HELP.splitlines())
    gaps = Document.parse(HELP.encode()).gaps
    assert [gap.name for gap in gaps] == [None, None, None, None, None, "name", None]
    assert gaps[3].pattern == r"\d{4}-\d\d"
