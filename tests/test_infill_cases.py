"""Gap cases: the same for everybody, and what they say they are."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from infill_samples import TEXT

from textdiff.errors import DataError, UsageError
from textdiff.evaluation.infilling import KINDS, GapCase, given_cases, holds_cases, make_cases
from textdiff.evaluation.infilling.spans import sentence_at, sentences_of, words_at


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", [0, 7])
def test_the_true_texts_give_the_text_back_byte_by_byte(kind: str, seed: int) -> None:
    cases = make_cases([TEXT[:20_000], TEXT[20_000:]], kind, 40, seed)
    for case in cases:
        assert case.kind == kind and len(case.given) == len(case.references) + 1
        data = case.document([None] * len(case.truth)).fill(case.truth).data
        assert data == case.filled(case.truth).encode()
        assert data.decode() in TEXT[:20_000] or data.decode() in TEXT[20_000:]
        assert len(case.given[0]) <= 320 and len(case.given[-1]) <= 320
        assert case.given[0] == case.given[0].lstrip() and case.given[-1] == case.given[-1].rstrip()


def test_cases_follow_from_the_seed_and_fewer_are_the_first_ones() -> None:
    cases = make_cases([TEXT], "several", 30, seed=3)
    assert cases == make_cases([TEXT], "several", 30, seed=3)
    assert cases[:12] == make_cases([TEXT], "several", 12, seed=3)
    assert cases[0] != make_cases([TEXT], "several", 1, seed=4)[0]
    assert [len(c.truth[0].split()) for c in make_cases([TEXT], "words", 7, words=(1, 3))] == [1, 2, 3, 1, 2, 3, 1]
    assert {case.truth for case in cases} == {case.truth for case in make_cases([TEXT], "several", 30, 3, context=40)}


@pytest.mark.parametrize("kind", KINDS)
def test_gaps_are_as_long_as_asked_and_no_two_meet(kind: str) -> None:
    # every word is numbered, so that a gap's place can be read off its text
    numbers = iter(range(10**6))
    lines = [" ".join(f"W{next(numbers)}" for _ in range(12)) + "." for _ in range(400)]
    text = "\n".join(lines)
    cases = make_cases([text], kind, 55)
    taken: set[str] = set()
    for index, case in enumerate(cases):
        for truth in case.truth:
            words = re.findall(r"W\d+", truth)
            assert len(words) == len(truth.split()) and taken.isdisjoint(words)
            taken |= {*words}
        counts = [len(truth.split()) for truth in case.truth]
        assert {"word": counts == [1], "words": counts == [2 + index % 11], "sentence": counts == [12]}.get(kind, True)
        if kind == "several":
            assert 2 <= len(counts) <= 4 and all(1 <= count <= 4 for count in counts)
            assert all(1 <= len(between.split()) <= 9 for between in case.given[1:-1])
    if kind == "several":
        assert {len(case.truth) for case in cases} == {2, 3, 4}


@pytest.mark.parametrize(
    ("text", "start", "count", "found"),
    [
        ("He said, 'Dear old man,' and left.", 3, 1, "said"),
        ("He said, 'Dear old man,' and left.", 4, 1, "Dear"),
        ("He said, 'Dear old man,' and left.", 8, 3, "Dear old man"),
        ("He said, 'Dear old man,' and left.", 8, 4, "Dear old man,' and"),
        ("He  said", 0, 2, None),
        ("He\nsaid", 0, 2, None),
        ("so -- he", 2, 1, None),
        ("so -- he", 0, 3, "so -- he"),
        ("Mr. Smith's dog's.", 4, 2, "Smith's dog's"),
        ("end", 0, 1, "end"),
        ("end", 1, 1, None),
        ("", 0, 1, None),
    ],
)
def test_a_gap_takes_words_without_the_marks_around_them(text: str, start: int, count: int, found: str | None) -> None:
    span = words_at(text, start, count)
    assert (None if span is None else text[slice(*span)]) == found


@settings(max_examples=300)
@given(st.text("ab1 é.,'\"\n\t\u00a0", max_size=30), st.integers(0, 30), st.integers(1, 4))
def test_words_are_whole_and_single_spaced(text: str, start: int, count: int) -> None:
    start = min(start, len(text))
    span = words_at(text, start, count)
    if span is None:
        return
    a, b = span
    assert start <= a < b and text[a].isalnum() and text[b - 1].isalnum()
    assert text[a:b].split(" ") == text[a:b].split() and len(text[a:b].split()) == count
    before = re.split(r"\s", text[:a])[-1]
    after = re.split(r"\s", text[b:])[0]
    assert not any(map(str.isalnum, before + after)), "a word was cut"


def test_sentences_end_where_a_reader_sees_it() -> None:
    line = 'Mr. Bold came. "Is it J. B. Smith?" he asked. "Yes!" So it was... He left. And then'
    found = [line[a:b] for a, b in sentences_of(line)]
    assert found == ["Mr. Bold came.", '"Is it J. B. Smith?" he asked.', '"Yes!"', "So it was...", "He left."]
    text = "One two. Three four five.\nSix seven eight nine. Ten."
    span = sentence_at(text, 3, 3, 9)
    assert span is not None and text[slice(*span)] == "Three four five."
    assert sentence_at(text, 3, 4, 9) is None, "the next line is another one"
    assert sentence_at(text, 27, 4, 9) is None, "a sentence begins where it begins"


def test_what_has_no_room_is_one_sentence() -> None:
    with pytest.raises(DataError, match="room for no more than 0 cases of the kind 'sentence'"):
        make_cases(["too short"], "sentence", 1)
    with pytest.raises(DataError, match="room for no more than"):
        make_cases(["one two three four five six"], "word", 9)
    with pytest.raises(UsageError, match=r"no kind of gap is named 'wrods'\. Did you mean 'words'"):
        make_cases([TEXT], "wrods", 1)
    with pytest.raises(DataError, match="no text"):
        make_cases([], "word", 1)


ANLG = {"a-1": {"obs1": "It rained.", "gold_labels": ["She ran.", "He slept. ", "She ran."], "obs2": "All was wet."}}


@pytest.mark.parametrize("form", ["anlg.json", "rows.jsonl", "rows.jsonl.gz", "code.jsonl"])
def test_files_may_give_their_own_cases(form: str, tmp_path: Path) -> None:
    rows = {
        "anlg.json": json.dumps(ANLG),
        "rows.jsonl": json.dumps({"before": "a ", "middle": "b", "after": " c", "more": 1}) + "\n\n",
        "rows.jsonl.gz": json.dumps({"before": "a ", "middle": ["b", "bb"], "after": ""}) + "\n",
        "code.jsonl": json.dumps({"prompt": "a\n", "canonical_solution": "  b\n", "suffix": "  c"}),
    }[form]
    path = tmp_path / form
    path.write_bytes(gzip.compress(rows.encode()) if form.endswith("gz") else rows.encode())
    assert holds_cases(path)
    assert (
        given_cases(path)
        == {
            "anlg.json": [GapCase("given", ("It rained. ", " All was wet."), (("She ran.", "He slept."),))],
            "rows.jsonl": [GapCase("given", ("a ", " c"), (("b",),))],
            "rows.jsonl.gz": [GapCase("given", ("a ", ""), (("b", "bb"),))],
            "code.jsonl": [GapCase("given", ("a\n", "  c"), (("  b\n",),))],
        }[form]
    )


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"before": "a", "middle": [], "after": "c"}, "must be texts"),
        ({"before": "a", "middle": ["b", 2], "after": "c"}, "must be texts"),
        ({"before": "a", "middle": "", "after": "c"}, "not empty"),
        ({"before": "a", "text": "b"}, "found the keys before, text"),
        (["a"], "expected a JSON object"),
    ],
)
def test_a_bad_row_is_named(row: object, words: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"before": "a ", "middle": "b", "after": " c"}) + "\n" + json.dumps(row) + "\n")
    assert holds_cases(path)
    with pytest.raises(DataError, match=f"row 2.*{words}"):
        given_cases(path)


def test_a_table_of_texts_holds_no_cases(tmp_path: Path) -> None:
    for name, text in (("a.jsonl", '{"text": "b"}'), ("b.txt", '{"before":1}'), ("c.json", "{"), ("d.jsonl", "")):
        (tmp_path / name).write_text(text)
        assert not holds_cases(tmp_path / name)
