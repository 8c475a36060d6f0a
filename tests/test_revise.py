"""Revisions: better words, no more than were asked for, and not a byte else."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from oracle_models import Exact, infiller_of, letters, toy_language
from tiny import senseless_checkpoint
from wordpieces import save_masked_lm

from textdiff.errors import DataError, UsageError
from textdiff.infiller import Infiller, asking, load, revising
from textdiff.infiller.manuscript import Excerpt, Manuscript
from textdiff.infiller.protecting import KINDS, Protection, begins_sentence, merged
from textdiff.infiller.revising import ReviseResult, revise, score_of
from textdiff.infiller.scoring import Scorer
from textdiff.processes import ForwardProcess
from textdiff.registry import build
from textdiff.text.located import WORD

PROSE = Path(__file__).parent.parent / "data" / "corpus" / "garden.txt"
NOTHING = Protection(())
SLIP = b"He opened the dore and went out into the garden, where the rain fell on the old house."
PAGE = """---
title: old dates
---
# The old house by the river

The old house stood by `the old garden` and the [river](http://old.house/by-the-river "river"), see [the garden][old].
Write to old@house.garden, or at 10:30 to Ann; rain fell &amp; fell. <b class="old">the garden</b> <!-- old -->

```python
rain = garden  # the old house
```

> ~~~
> old ``` river
> ~~~

[old]: https://example.org/rain
<pre>the old
house</pre> in ``a ` b`` [MASK: 2 words] and \\[MASK] the rain, README.md and old_house
"""


def senseless(process: str) -> Infiller:
    checkpoint = senseless_checkpoint(process)
    return Infiller(checkpoint.model, checkpoint.tokenizer, checkpoint.samplers, "senseless")


@pytest.fixture(scope="module")
def untrained() -> Infiller:
    return senseless("absorbing")


@pytest.fixture(scope="module")
def packaged() -> Infiller:
    return load()


def check(source: bytes, result: ReviseResult, edits: int, margin: float) -> None:
    """What holds of every revision."""
    assert len(result.edits) <= edits
    rebuilt, end = b"", 0
    for place in result.places:
        assert source[place.start_byte : place.end_byte].decode() == place.text
        assert place.start_byte >= end or place.start_byte == 0
        if place.kept:
            assert place.gain > 0 and place.relief >= margin
            assert re.fullmatch(WORD, place.replacement) and place.replacement.casefold() != place.text.casefold()
            rebuilt += source[end : place.start_byte] + place.replacement.encode()
            end = place.end_byte
    assert result.document.encode() == rebuilt + source[end:]
    assert len(result.document.split()) == len(source.decode().split())


def test_a_slip_is_mended_and_the_rest_is_left(packaged: Infiller) -> None:
    result = revise(packaged, SLIP)
    assert result.document.encode() == SLIP.replace(b"dore", b"door")
    (edit,) = result.edits
    assert (edit.text, edit.replacement, edit.start_byte, edit.end_byte) == ("dore", "door", 14, 18)
    assert result.words == 18 and len(result.places) >= revising.LOOKS
    check(SLIP, result, 5, revising.MARGIN)


def test_gains_are_those_of_the_text_as_it_is_by_then(packaged: Infiller) -> None:
    """Undone from the last to the first, each edit takes away what it is said to have brought."""
    source = b"He opened the dore and went out. The rain fel upon the roof of the hause, and all was sylent.\n" * 2
    result = revise(packaged, source, edits=3, margin=2.0)
    assert len(result.edits) == 3
    check(source, result, 3, 2.0)
    total = sum(edit.gain for edit in result.edits)
    assert chain(packaged, source.decode(), result) == pytest.approx(total, abs=1e-3)


def chain(infiller: Infiller, text: str, result: ReviseResult) -> float:
    """By how many nats the edits make a text likelier, made one after the other in whichever order adds up."""
    import itertools

    totals = []
    for order in itertools.permutations(result.edits):
        made: dict[int, str] = {}
        total = 0.0
        for edit in order:
            scores = []
            for word in (edit.text, edit.replacement):
                left = put(text, result, made, 0, edit.start_byte)
                right = put(text, result, made, edit.end_byte, len(text))
                scores.append(score_of(Excerpt(left, word, right, (True, True)), Scorer(infiller, None)).log_likelihood)
            total += scores[1] - scores[0]
            made[edit.start_byte] = edit.replacement
        totals.append(total)
    said = sum(edit.gain for edit in result.edits)
    return min(totals, key=lambda total: abs(total - said))


def put(text: str, result: ReviseResult, made: dict[int, str], start: int, stop: int) -> str:
    pieces, end = [], start
    for edit in result.edits:
        if start <= edit.start_byte and edit.end_byte <= stop and edit.start_byte in made:
            pieces += [text[end : edit.start_byte], made[edit.start_byte]]
            end = edit.end_byte
    return "".join([*pieces, text[end:stop]])


@pytest.mark.parametrize("process", ["absorbing", "uniform", "hybrid"])
def test_the_joint_likelihood_rises_by_the_gains(process: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the exact denoiser of a toy language, whose every text has a known probability."""
    monkeypatch.setattr(asking, "_BLANK", 5)
    tokenizer = letters()

    def same_length(infiller: Infiller, excerpts: Sequence[Excerpt], seed: int) -> list[str]:
        return ["".join("ba"[c == "b"] for c in excerpt.word) for excerpt in excerpts]

    monkeypatch.setattr(revising, "fill_words", same_length)
    changed = 0
    for seed in range(6):
        language = toy_language(5, seed)
        model = Exact(language, build(ForwardProcess, process, vocabulary=tokenizer.vocabulary), "leave_one_out")
        result = revise(infiller_of(model, tokenizer), b"ab ba", margin=0.0, stride=None, protection=NOTHING)
        log_p = {}
        for text in ("ab ba", result.document):
            ids = torch.tensor([[*tokenizer.prefix_ids, *tokenizer.encode(text), *tokenizer.suffix_ids]])
            log_p[text] = float(language.probabilities[language.index(ids)].log())
        gained = sum(edit.gain for edit in result.edits)
        assert log_p[result.document] - log_p["ab ba"] == pytest.approx(gained, abs=1e-5)
        changed += len(result.edits)
    assert changed >= 3


@pytest.mark.parametrize("process", ["absorbing", "uniform", "hybrid"])
def test_edits_are_counted_and_everything_else_stays(process: str) -> None:
    source = PROSE.read_bytes()[:200].decode(errors="ignore").encode()
    for edits in (1, 3):
        result = revise(senseless(process), source, edits=edits, margin=0.0, protection=NOTHING)
        check(source, result, edits, 0.0)
        assert len(result.edits) == edits


def test_a_masked_language_model_revises_too(tmp_path: Path) -> None:
    """It writes lower case, and yet the sentences begin with capitals."""
    source = b"The old house\tstood by the river,  and don't.  The house stood by\r\nzebras. Old houses stood."
    infiller = load(save_masked_lm(tmp_path))
    result = revise(infiller, source, edits=20, margin=0.0, protection=NOTHING)
    check(source, result, 20, 0.0)
    assert len(result.edits) >= 3
    begins = [place for place in result.edits if place.text[0].isupper()]
    assert begins and all(place.replacement[0].isupper() for place in begins)
    inner = [place.replacement for place in result.edits if place.text[0].islower()]
    assert all(word.islower() for word in inner if len(word) > 1)


def test_the_seed_decides(untrained: Infiller) -> None:
    source = PROSE.read_bytes()[:300].decode(errors="ignore").encode()
    results = [revise(untrained, source, edits=3, margin=0.0, seed=seed) for seed in (1, 1, 2, 3, 4)]
    assert results[0].document == results[1].document and results[0].places == results[1].places
    assert len({result.document for result in results}) > 1


PIECES = [
    "the old house ", "Rain fell. ", "`the old code` ", "``a ` b`` ", "\n```\nthe old rain\n```\n", "\n~~~ x\nriver\n~~~~\n",
    "[river](http://a.b/c_(d)) ", "http://old.house/rain, ", "old@house.org ", "1984 and 3rd ", "<b>garden</b> ",
    "<!-- the river --> ", "&eacute; ", "[MASK: 2 words; must: rain] ", "\\[MASK] ", "[MASK ", "\r\n\r\n", "é😀 ", "Ann ",
    "the `unclosed ", "\n---\n", "\n> - the garden\n", "<pre>the old\nrain</pre> ", "old_house.py ", "\ufeff", "by the river, ",
]  # fmt: skip


@settings(max_examples=25, phases=(Phase.generate,))
@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=14).map("".join), st.integers(1, 6))
def test_protected_bytes_come_out_as_they_went_in(untrained: Infiller, text: str, edits: int) -> None:
    source = text.encode()
    protection = Protection(patterns=("fell",), spans=((0, 1),) if source[0] < 0x80 else ())
    try:
        result = revise(untrained, source, edits=edits, margin=0.0, protection=protection)
    except DataError as error:
        assert re.search("no word that is not protected|no text to revise", str(error))
        return
    check(source, result, edits, 0.0)
    spans = protection.of(source)
    assert all(not (a < place.end_byte and place.start_byte < b) for place in result.places for a, b in spans)


def protected(text: str, *kinds: str) -> list[str]:
    return [text.encode()[a:b].decode() for a, b in Protection(kinds).of(text.encode())]


def test_what_a_page_protects() -> None:
    assert protected(PAGE, "markdown") == [
        "---\ntitle: old dates\n---", "`the old garden`", '](http://old.house/by-the-river "river")', "][old]",
        "```python\nrain = garden  # the old house\n```", "> ~~~\n> old ``` river\n> ~~~", "[old]: https://example.org/rain",
        "``a ` b``", "[MASK: 2 words]",
    ]  # fmt: skip
    assert protected(PAGE, "html") == [
        "&amp;", '<b class="old">', "</b>", "<!-- old -->", "<pre>the old\nhouse</pre>", "[MASK: 2 words]",
    ]  # fmt: skip
    assert protected(PAGE, "addresses") == [
        "[river](http://old.house/by-the-river", "old@house.garden,", "https://example.org/rain", "[MASK: 2 words]",
        "README.md", "old_house",
    ]  # fmt: skip
    assert protected(PAGE, "numbers") == ["10", "30", "[MASK: 2 words]"]
    assert protected("We saw Ann. The McGraws and I, I'm sure, left NATO.\n\nMen said \"Go.\"", "names") == [
        "Ann", "McGraws", "NATO",
    ]  # fmt: skip
    assert protected("the [MASK: 5 parsecs] and [MASK", "names") == ["[MASK: 5 parsecs] and [MASK"]
    assert protected("```\nnever closed `x`\n", "markdown") == ["```\nnever closed `x`\n"]
    assert protected("the `one\n\ntwo` end", "markdown") == []
    assert set(KINDS) == set(Protection().kinds)


@settings(max_examples=60)
@given(st.lists(st.sampled_from([*PIECES, "`", "\n", "<", "](", "~~~", "[", "\\"]), max_size=30).map("".join))
def test_protected_ranges_rise_and_cut_no_character(text: str) -> None:
    data = text.encode()
    spans = Protection().of(data)
    ends = [0, *(end for span in spans for end in span), len(data)]
    assert ends == sorted(ends) and spans == merged(spans)
    for a, b in spans:
        data[a:b].decode()


def test_looking_for_what_is_protected_takes_no_age() -> None:
    """Each of these once took time that grows with the square of its length, or could."""
    for piece in ("`" * 7 + "a ", "<pre>", "<!--", "](", "[a]:", "~~~\n", "_", "a-", "<a", "@#."):
        Protection().of((piece * 20_000).encode())


def test_beginnings_of_sentences() -> None:
    begins = ["", "Yes. ", "He said, “", "One.\n\n", "- ", "# ", "text\n\n> ", "Why? (", "so:\n* ", 'end." ']
    assert all(begins_sentence(before) for before in begins)
    assert not any(begins_sentence(before) for before in ["the ", "wrapped\n", "well, ", "a (", "by *"])


@pytest.mark.parametrize(
    ("left", "old", "new", "expected"),
    [
        ("One. ", "The", "a", "A"),
        ("One. ", "the", "A", "a"),
        ("and ", "the", "Ann", "Ann"),
        ("and ", "NOW", "then", "THEN"),
        ("and ", "I", "he", "he"),
        ("and ", "The", "the", ""),
        ("and ", "the", "two words", ""),
        ("and ", "the", "end.", ""),
        ("and ", "the", "", ""),
        ("and ", "the", "well-to-do", "well-to-do"),
        ("One. ", "Is", "ß", "ß" if re.fullmatch(WORD, "SS") is None else "SS"),
    ],
)
def test_a_replacement_fits_its_place(left: str, old: str, new: str, expected: str) -> None:
    assert revising._fitted(new, Excerpt(left, old, " end", (False, False))) == expected


def test_long_texts_are_worked_on_in_excerpts(untrained: Infiller) -> None:
    source = PROSE.read_bytes()[:3000].decode(errors="ignore").encode()
    text = Manuscript.of(source, [], untrained.tokenizer)
    assert len(text.located.ids) > 4 * untrained.context_length
    for i in (0, len(text.spans) // 2, len(text.spans) - 1):
        excerpt = text.excerpt(i, 10)
        whole = (excerpt.left + excerpt.word + excerpt.right).encode()
        assert whole in source and excerpt.word == text.text(i)
        sides = [len(untrained.tokenizer.encode(side)) for side in (excerpt.left, excerpt.right)]
        assert max(sides) <= 12 and (excerpt.ends[0] or sides[0] > 2) and (excerpt.ends[1] or sides[1] > 2)
    result = revise(untrained, source, edits=2, margin=0.0)
    check(source, result, 2, 0.0)


def test_units_are_counted_on_after_edits(untrained: Infiller) -> None:
    text = Manuscript.of("The öld house, by the river.".encode(), [(0, 3)], untrained.tokenizer)
    assert [text.text(i) for i in range(len(text.spans))] == ["The", "öld", "house", ",", "by", "the", "river", "."]
    assert text.free == {1, 2, 4, 5, 6}
    text.put(1, "magnificent")
    text.put(6, "é")
    assert text.data.decode() == "The magnificent house, by the é."
    assert [text.text(i) for i in range(len(text.spans))] == ["The", "magnificent", "house", ",", "by", "the", "é", "."]
    assert text.located.data == text.data


def test_only_words_below_the_limit_are_looked_at(packaged: Infiller) -> None:
    result = revise(packaged, SLIP, below=1e-4)
    assert [(place.text, place.kept) for place in result.places] == [("dore", True)]
    assert result.doubtful == 1
    assert revise(packaged, SLIP, below=1e-30).places == ()


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"edits": 0}, "edits must be at least 1, got 0"),
        ({"below": 0.0}, "above 0 and at most 1, got 0.0"),
        ({"below": math.nan}, "above 0 and at most 1, got nan"),
        ({"margin": -1.0}, "at least 0, got -1.0"),
        ({"margin": math.inf}, "at least 0, got inf"),
        ({"stride": 1}, "stride must be at least 2"),
    ],
)
def test_options_have_bounds(untrained: Infiller, options: dict[str, float], why: str) -> None:
    with pytest.raises(UsageError, match=re.escape(why)):
        revise(untrained, b"the river", **options)  # type: ignore[arg-type]


def test_protections_have_bounds() -> None:
    with pytest.raises(UsageError, match=r"nothing is protected as 'markdwn'. Did you mean 'markdown'\?"):
        Protection(("markdwn",))
    with pytest.raises(UsageError, match=r"'\(' is not a regular expression"):
        Protection(patterns=("(",))
    with pytest.raises(DataError, match="0:99 is not within the 3 bytes"):
        Protection(spans=((0, 99),)).of(b"abc")
    with pytest.raises(DataError, match="1:2 cuts a character"):
        Protection(spans=((1, 2),)).of("é".encode())


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b" \n", "there is no text to revise"),
        (b"\xffabc", "not UTF-8: byte 0"),
        (b"1984: 12", "no word that is not protected"),
        (b"?! ...", "no word that is not protected"),
    ],
)
def test_nothing_to_revise_is_said(untrained: Infiller, data: bytes, why: str) -> None:
    with pytest.raises(DataError, match=why):
        revise(untrained, data)
