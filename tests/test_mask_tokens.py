"""Other marks than [MASK]: presets, literals, and what escapes them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textdiff.errors import DataError, UsageError
from textdiff.text.document import Document, Text, escape
from textdiff.text.mask_tokens import HELP, PRESETS

LITERALS = [
    "____",
    "<mask>",
    "{{blank}}",
    "[X",
    "(.*)",
    "\\gap",
    "\\gap{}",
    "[MASK",
    "aa",
    "aba",
    "é",
    " ",
    "?\n",
    "😀",
]


@pytest.mark.parametrize("literal", LITERALS)
def test_i1_another_mask_token_is_a_plain_literal(literal: str) -> None:
    source = f"b {literal}(MASK: ?) \\{literal}b{literal}{literal}\r\n"
    if literal == " ":
        source = f"b{literal}(MASK:?)\\{literal}b{literal}{literal}\r\n"
    document = Document.parse(source.encode(), literal)
    assert document.source == source.encode()
    assert [g.markup for g in document.gaps] == [literal] * 3
    assert document.fill(["1", "2", "3"]).text == source.replace(literal, "{}").format("1", literal, "2", "3").replace(
        "\\" + literal, literal, 1
    )


@pytest.mark.parametrize("token", ["roberta", "t5", "underscores", "fill", "<mask>", "____", "[MASK"])
def test_i1_with_another_mask_token_the_standard_markup_is_text(token: str) -> None:
    source = rb"a \[MASK: x] [MASK: ?] [MASK#n] [MASK"
    document = Document.parse(source, token)
    if token == "[MASK":
        assert document.fill([*"123"]).data == b"a [MASK: x] 1: ?] 2#n] 3"
    else:
        assert document.parts == (Text(source.decode(), source.decode()),)


@pytest.mark.parametrize("token", ["bert", "[MASK]"])
def test_the_preset_bert_is_the_standard_markup(token: str) -> None:
    (gap,) = Document.parse(b"[MASK#n: yes|no]", token).gaps
    assert (gap.name, gap.choices) == ("n", ("yes", "no"))


@pytest.mark.parametrize(
    ("token", "source", "filled"),
    [
        ("roberta", r"a <mask>, \<mask> <mask><MASK> <mask id='a'>", "a 1, <mask> 2<MASK> <mask id='a'>"),
        ("t5", r"<extra_id_0> x<extra_id_99>\<extra_id_0> \<extra_id_", "1 x2<extra_id_0> <extra_id_"),
        ("underscores", "Name: ___, x___ __init__ ___y a_b “____”__ _", "Name: 1, x___ __init__ ___y a_b “2”__ _"),
        ("underscores", "é___ ___中 —___— ___\u0301 " + "_" * 500, "é___ ___中 —1— 2\u0301 3"),
        ("underscores", "_ __ ___ \\____ a\\___b ___", "_ __ 1 ____ a\\___b 2"),
        ("fill", r"<FILL> <fill_me> [BLANK] {{blank}} {{ INFILL }}", "1 2 3 4 5"),
        ("fill", r"\{{blank}} \{{fill \[FILL] {{blanket}} <fill-rule> [fills] {blank}", None),
        ("fill", "<FILL_HERE>{{FILL_IN}}{{{fill}}}", "12{3}"),
    ],
)
def test_i1_presets(token: str, source: str, filled: str | None) -> None:
    document = Document.parse(source.encode(), token)
    assert document.source == source.encode()
    texts = [str(gap.index + 1) for gap in document.gaps]
    assert document.fill(texts).text == (source.replace("\\", "") if filled is None else filled)


def test_the_numbers_of_t5_are_names() -> None:
    assert [gap.name for gap in Document.parse(b"<extra_id_1> <extra_id_0> <extra_id_007>", "t5").gaps] == [
        "1",
        "0",
        "007",
    ]


@pytest.mark.parametrize(
    ("token", "source", "message"),
    [
        (
            "t5",
            "é\na <extra_id_1> <extra_id_1>",
            "line 2, column 16: the gap at line 2, column 3 has the name '1' already",
        ),
        ("t5", "\na <extra_id_", "line 2, column 3: this gap is not closed. Gaps are written <extra_id_0>,"),
        ("t5", "<extra_id_x>", "line 1, column 1: this gap is not closed"),
        ("fill", "é {{blank {{blank}}", "line 1, column 3: this gap is not closed. A gap is written <FILL>,"),
        ("fill", "{{FILL}", "line 1, column 1: this gap is not closed"),
        ("fill", "{{blank|x}}", "line 1, column 1: this gap is not closed"),
        ("roberta", "<mask>\n" * 10_001, "line 10001, column 1: a document can have at most 10000 gaps"),
    ],
)
def test_i1_wrong_marks_are_named_with_their_place(token: str, source: str, message: str) -> None:
    with pytest.raises(DataError) as caught:
        Document.parse(source.encode(), token)
    assert str(caught.value).startswith(message)


runs = st.lists(
    st.sampled_from(["_", "__", "___", "_____", "\\", "a", "é", "中", "—", " ", "\n", "\u0301", "😀", "5"]), max_size=9
)


@settings(max_examples=600, deadline=None, derandomize=True)
@given(pieces=runs)
def test_underscores_are_those_that_a_pattern_over_characters_finds(pieces: list[str]) -> None:
    source = "".join(pieces)
    document = Document.parse(source.encode(), "underscores")
    run = re.compile(r"(\\?)((?<!\w)_{3,}+(?!\w))")
    assert [gap.markup for gap in document.gaps] == [m[2] for m in run.finditer(source) if not m[1]]
    filled = document.fill(["X"] * len(document.gaps))
    assert filled.text == run.sub(lambda m: m[2] if m[1] else "X", source)


hostile = st.lists(
    st.one_of(
        st.sampled_from(
            ["[MASK", "[MASK]", "[MASK: 3", "\\", "\\\\", "]", "___", "_", "<mask>", "<extra_id_", "0>", "{{ fill"]
        ),
        st.sampled_from(
            ["}}", "{{blank}}", "<FILL>", "\\gap", "{}", "a", "aa", "b", "é", " ", "?", "\n", "[X", "(.*)", "😀"]
        ),
        st.text(max_size=3),
    ),
    max_size=10,
).map("".join)


@settings(max_examples=1000, deadline=None, derandomize=True)
@given(text=hostile, token=st.sampled_from([*PRESETS, *LITERALS]))
def test_i1_escaped_text_is_read_as_text_and_printed_as_it_was(text: str, token: str) -> None:
    document = Document.parse(escape(text, token).encode(), token)
    assert document.gaps == ()
    assert document.fill([]).text == text
    if not text.endswith("\\") and token in ("bert", "[X"):
        mark = {"bert": "[MASK]"}.get(token, token)
        assert Document.parse((escape(text, token) + mark).encode(), token).fill(["x"]).text == text + "x"


def test_escape() -> None:
    assert escape("a [MASK: 3] [MASKED] [MASK") == "a \\[MASK: 3] [MASKED] \\[MASK"
    assert escape("____ __init__ \\____", "underscores") == "\\____ __init__ \\\\____"
    with pytest.raises(DataError, match="lone surrogate"):
        escape("\ud800")


@pytest.mark.parametrize(
    ("token", "message"),
    [
        ("", "must not be empty"),
        ("\\", "a backslash can only begin a mask token"),
        ("a\\", "a backslash can only begin a mask token"),
        ("\\\\gap", "a backslash can only begin a mask token"),
        ("\ud800", "lone surrogate"),
    ],
)
def test_mask_tokens_that_cannot_be_used(token: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Document.parse(b"x", token)
    with pytest.raises(UsageError, match=message):
        escape("x", token)


@pytest.mark.parametrize(
    ("token", "source", "message"),
    [
        ("[MASK]", "a\n b <mask>", "A gap is written [MASK], "),
        ("[MASK]", "a\n b <mask>", " '<mask>' at line 2, column 4 is one with the mask token roberta."),
        ("roberta", "[MASK: 3]", "A gap is written <mask>. A backslash before it makes it text."),
        ("roberta", "[MASK: 3]", " '[MASK' at line 1, column 1 is one with the mask token bert."),
        (
            "underscore",
            "___",
            "The mask token is 'underscore', as it stands. Did you mean 'underscores'? '___' at line 1",
        ),
        ("t5", "x", "Gaps are written <extra_id_0>, <extra_id_1> and so on, each once."),
    ],
)
def test_no_gap_says_what_one_looks_like(token: str, source: str, message: str) -> None:
    with pytest.raises(DataError) as caught:
        Document.parse(source.encode(), token).require_gaps()
    assert str(caught.value).startswith("the document has no gap to fill. ")
    assert message in str(caught.value)


def test_the_table_of_mask_tokens_is_complete() -> None:
    assert all(len(line) < 80 for line in HELP.splitlines())
    for name in PRESETS:
        assert re.search(rf"^  .*\b{name}\b", HELP, re.MULTILINE)
    words = {*re.findall(r"\b(?:BLANK|(?:IN)?FILL(?:_\w+)?)\b", HELP)}
    assert len(words) == 6
    for word in {*words, *map(str.lower, words)}:
        marks = [f"<{word}>", f"[{word}]", f"{{{{{word}}}}}", f"{{{{ {word} }}}}"]
        assert [gap.markup for gap in Document.parse("".join(marks).encode(), "fill").gaps] == marks
