"""Scores of existing texts: exact where that is promised, whatever the windows, rows and tokens are."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle_models import Exact, Local, infiller_of, letters, toy_language
from oracles import ToyLanguage
from tiny import tiny_checkpoint
from torch import Tensor
from wordpieces import save_masked_lm, wordpiece

import textdiff
from textdiff.errors import DataError, UsageError
from textdiff.infiller import Infiller, asking, load
from textdiff.infiller.asking import Row, ask, clean_time, commonness
from textdiff.infiller.reading import LONGEST, apart, whole_words, windows
from textdiff.infiller.scoring import By, Scored, score
from textdiff.processes import ForwardProcess
from textdiff.registry import build
from textdiff.text.located import locate
from textdiff.text.tokenizers import Tokenizer, train_tokenizer

PROCESSES = ["absorbing", "uniform", "hybrid"]
PROSE = Path(__file__).parent.parent / "data" / "corpus" / "garden.txt"
KINDS = ["byte_bpe", "characters", "sentencepiece_unigram", "sentencepiece_bpe", "wordpiece"]
AWKWARD = "Hello wörld 😀 don't—stop.\r\n\r\n  [MASK] e\u0302 <s> [CLS]x Well-known\ufeff \u2028 हिन्दी\n "


def tokenizer_of(kind: str) -> Tokenizer:
    if kind == "wordpiece":
        return wordpiece()
    return train_tokenizer(kind, [PROSE.read_text(encoding="utf8")[:20_000]], 400)


@pytest.fixture(scope="module", params=KINDS)
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    return tokenizer_of(request.param)


@settings(max_examples=60)
@given(
    st.one_of(
        st.just(AWKWARD), st.text(st.characters(codec="utf8"), max_size=30), st.text("ab don't-,. \n😀é", max_size=40)
    )
)
def test_tokens_and_words_share_the_bytes_out(tokenizer: Tokenizer, text: str) -> None:
    located = locate(text, tokenizer)
    assert located.data == text.encode()
    assert b"".join(located.data[slice(*located.span(i))] for i in range(len(located.ids))) in (located.data, b"")
    assert located.ids or not text.strip() or tokenizer.kind == "wordpiece"
    words = located.words()
    spans = [(0, 0, 0, 0), *((w.start_byte, w.end_byte, w.first, w.last) for w in words)]
    for (_, stop, _, last), (start, end, first, past) in pairwise(spans):
        assert stop <= start < end and last <= first < past
        assert not located.data[stop:start].decode().strip()
        assert located.span(first)[0] <= start and located.span(past - 1)[1] >= end
    assert not words or not located.data[words[-1].end_byte :].decode().strip()


def test_the_bytes_of_a_token_are_its_own() -> None:
    located = locate("Ünder the 😀", tokenizer_of("byte_bpe"))
    for i, token in enumerate(located.ids):
        assert tokenizer_of("byte_bpe").pieces[token] == located.data[slice(*located.span(i))]


def test_words_are_what_people_take_for_words() -> None:
    located = locate(AWKWARD, tokenizer_of("characters"))
    words = [located.data[w.start_byte : w.end_byte].decode() for w in located.words()]
    assert words == [
        "Hello", "wörld", "😀", "don't", "—", "stop", ".", "[", "MASK", "]", "e\u0302", "<", "s", ">", "[", "CLS", "]", "x",
        "Well-known", "\ufeff", "हिन्दी",
    ]  # fmt: skip


@given(st.integers(1, 400), st.integers(1, 64))
def test_windows_share_the_tokens_out_and_show_their_surroundings(length: int, context: int) -> None:
    found = windows(length, context)
    assert [i for _, _, first, last in found for i in range(first, last)] == list(range(length))
    for start, stop, first, last in found:
        assert 0 <= start <= first <= last <= stop <= length and stop - start == min(length, context)
        assert start == 0 or first - start >= context // 4
        assert stop == length or stop - last >= context // 4


QUESTIONS = st.lists(st.tuples(st.integers(1, 5), st.integers(1, 8)), max_size=60)


@given(QUESTIONS, st.integers(2, 20))
def test_hidden_places_of_a_row_are_apart(steps: list[tuple[int, int]], stride: int) -> None:
    questions, at = [], 0
    for step, size in steps:
        questions.append((at := at + step, at + size))
    rows = apart(questions, stride)
    assert sorted(question for row in rows for question in row) == questions
    assert all(b[0] - a[1] >= stride - 1 for row in rows for a, b in pairwise(row))
    single = [(i, i + 1) for i in range(100)]
    assert apart(single, stride) == [single[i::stride] for i in range(min(stride, 100))]
    assert apart(single, None) == [[question] for question in single]


def test_words_are_hidden_to_their_ends_in_pieces_that_windows_hold() -> None:
    located = locate("ab " + "b" * 20, letters())
    found = whole_words(located.words(), 400)
    assert found[:2] == [(0, 2), (1, 2)]
    assert [stop for _, stop in found[2:]] == [11] * LONGEST + [19] * LONGEST + [23] * 4
    assert {stop - token for token, stop in whole_words(located.words(), 8)} == {1, 2}


def law(language: ToyLanguage, ids: Tensor, hidden: list[int]) -> float:
    """log p(what is hidden | the rest), from the joint law and nothing else."""
    shown = torch.ones(len(ids), dtype=torch.bool)
    shown[hidden] = False
    fits = ((language.sequences == ids) | ~shown).all(-1)
    here = (language.sequences == ids).all(-1)
    return math.log(float(language.probabilities[here].sum() / language.probabilities[fits].sum()))


@pytest.mark.parametrize("process", PROCESSES)
@pytest.mark.parametrize("by", ["token", "word"])
def test_scores_are_those_of_the_joint_law(process: str, by: By, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "_BLANK", 5)
    language, tokenizer = toy_language(5), letters()
    model = Exact(language, build(ForwardProcess, process, vocabulary=tokenizer.vocabulary), "leave_one_out")
    infiller = infiller_of(model, tokenizer)
    for text in ("ab ba", "aaaaa", "a b a", " bb a"):
        ids = torch.tensor([*tokenizer.prefix_ids, *tokenizer.encode(text), *tokenizer.suffix_ids])
        result = score(infiller, text.encode(), by, stride=None)
        assert result.stride is None
        for unit in result.units:
            hidden = list(range(unit.start_byte + 1, unit.end_byte + 1))
            assert unit.log_likelihood == pytest.approx(law(language, ids, hidden), abs=1e-6)
        if by == "token":
            check_choices(language, ids, result.units, tokenizer)
        else:
            assert [unit.text for unit in result.units] == text.split()
        assert result.log_likelihood == pytest.approx(sum(unit.log_likelihood for unit in result.units))
        assert result.per_byte == pytest.approx(result.log_likelihood / 5)


def check_choices(language: ToyLanguage, ids: Tensor, units: tuple[Scored, ...], tokenizer: Tokenizer) -> None:
    """Ranks and first choices of tokens by trying every letter in their place."""
    for place, unit in enumerate(units, start=1):
        chances = {}
        for letter in " ab":
            other = ids.clone()
            other[place] = tokenizer.encode(letter)[0]
            chances[letter] = law(language, other, [place])
        order = sorted(chances, key=lambda letter: -chances[letter])
        assert (unit.first_choice, unit.rank) == (order[0], order.index(unit.text) + 1)


@pytest.mark.parametrize("process", ["uniform", "hybrid"])
def test_a_network_that_repeats_its_input_is_read_near_time_zero(process: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "_BLANK", 5)
    language, tokenizer = toy_language(5), letters()
    noise = build(ForwardProcess, process, vocabulary=tokenizer.vocabulary)
    text, results = b"ab ba", {}
    for prediction in ("leave_one_out", "posterior"):
        model = Exact(language, noise, prediction)
        infiller = infiller_of(model, tokenizer)
        results[prediction] = score(infiller, text, "token")
        assert float(noise.schedule.alpha(torch.tensor(clean_time(infiller.model)))) in (1, pytest.approx(0.99))
    for exact, near in zip(results["leave_one_out"].units, results["posterior"].units, strict=True):
        assert near.log_likelihood == pytest.approx(exact.log_likelihood, abs=0.2)
        assert near.log_likelihood != exact.log_likelihood


def prose(count: int) -> bytes:
    return PROSE.read_bytes()[:count].decode(errors="ignore").encode()


def same(found: tuple[Scored, ...], expected: tuple[Scored, ...]) -> bool:
    return [(u.text, u.log_likelihood, u.rank) for u in found] == [(u.text, u.log_likelihood, u.rank) for u in expected]


@pytest.mark.parametrize("by", ["token", "word"])
def test_windows_and_strides_change_nothing_that_the_network_cannot_see(by: By) -> None:
    tokenizer, text = tokenizer_of("byte_bpe"), prose(1200)
    whole = score(infiller_of(Local(tokenizer, 10_000, 7), tokenizer), text, by, stride=None)
    cut = score(infiller_of(Local(tokenizer, 48, 7), tokenizer), text, by, stride=None)
    strided = score(infiller_of(Local(tokenizer, 48, 7), tokenizer), text, by, stride=16)
    assert whole.scored > 400 and same(cut.units, whole.units) and same(strided.units, whole.units)
    assert not same(score(infiller_of(Local(tokenizer, 24, 7), tokenizer), text, by, stride=None).units, whole.units)
    assert not same(score(infiller_of(Local(tokenizer, 48, 7), tokenizer), text, by, stride=4).units, whole.units)


@pytest.fixture(scope="module")
def packaged() -> Infiller:
    return load()


def test_the_packaged_model_is_nearly_exact_at_the_default_stride(packaged: Infiller) -> None:
    text = prose(300)
    exact, found, coarse = (score(packaged, text, "token", stride) for stride in (None, 16, 3))

    def error(other: tuple[Scored, ...]) -> float:
        return sum(abs(a.log_likelihood - b.log_likelihood) for a, b in zip(other, exact.units, strict=True)) / len(
            other
        )

    assert 0 < error(found.units) < 0.15 < error(coarse.units)
    assert found.log_likelihood == pytest.approx(exact.log_likelihood, rel=0.02)


def test_a_wrong_word_is_what_doubt_falls_on(packaged: Infiller) -> None:
    """Against the same text with a right word: nothing becomes more suspicious than the word itself."""
    text = "She opened the door and went out into the {}, where it was raining, and called her brother."
    wrong, right = (score(packaged, text.format(word).encode(), "word").units for word in ("spelling", "garden"))
    rises = [a.suspicion - b.suspicion for a, b in zip(wrong, right, strict=True)]
    assert wrong[rises.index(max(rises))].text == "spelling" and max(rises) > 2
    falls = [b.log_likelihood - a.log_likelihood for a, b in zip(wrong, right, strict=True)]
    assert wrong[falls.index(max(falls))].text == "spelling"


@pytest.mark.parametrize("process", PROCESSES)
def test_scores_are_the_same_again_and_in_any_batch(process: str, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = tiny_checkpoint(process)
    infiller = Infiller(checkpoint.model, checkpoint.tokenizer, checkpoint.samplers, "tiny")
    text = prose(400)
    for by in ("token", "word"):
        first, second = (score(infiller, text, by) for _ in range(2))  # type: ignore[arg-type]
        assert same(first.units, second.units)
        monkeypatch.setattr(asking, "POSITIONS", 1)
        one_by_one = score(infiller, text, by)  # type: ignore[arg-type]
        monkeypatch.undo()
        expected = [unit.log_likelihood for unit in first.units]
        assert [unit.log_likelihood for unit in one_by_one.units] == pytest.approx(expected, abs=1e-4)


def test_lines_are_sums_of_words_and_totals_do_not_depend_on_the_view() -> None:
    checkpoint = tiny_checkpoint()
    infiller = Infiller(checkpoint.model, checkpoint.tokenizer, checkpoint.samplers, "tiny")
    text = b"The old house,\r\n\n  stood by\rthe river \xe2\x80\x94 and\n\n"
    words, lines = score(infiller, text), score(infiller, text, "line")
    assert b"".join(text[line.start_byte : line.end_byte] for line in lines.units) == text
    assert [line.text for line in lines.units] == [line.decode() for line in text.splitlines(keepends=True)]
    assert [part for line in lines.units for part in line.parts] == list(words.units)
    assert [line.known for line in lines.units] == [True, False, True, True, False]
    assert lines.log_likelihood == pytest.approx(words.log_likelihood)
    for line in (line for line in lines.units if line.known):
        assert line.log_likelihood == pytest.approx(sum(word.log_likelihood for word in line.parts))
        assert line.suspicion == max(word.suspicion for word in line.parts)
    assert (
        words.scored + sum(piece.isspace() for piece in located_pieces(infiller, text))
        == score(infiller, text, "token").scored
    )


def located_pieces(infiller: Infiller, text: bytes) -> list[bytes]:
    located = locate(text.decode(), infiller.tokenizer)
    return [text[slice(*located.span(i))] for i in range(len(located.ids))]


def test_suspicion_allows_for_how_rare_a_token_is() -> None:
    checkpoint = tiny_checkpoint()
    infiller = Infiller(checkpoint.model, checkpoint.tokenizer, checkpoint.samplers, "tiny")
    common = commonness(infiller.model, infiller.tokenizer)
    assert float(common.exp().sum()) == pytest.approx(1, abs=1e-5)
    assert common[infiller.tokenizer.vocabulary.filler_id] == -math.inf
    located = locate("the river", infiller.tokenizer)
    for unit, token in zip(score(infiller, b"the river", "token").units, located.ids, strict=True):
        assert unit.suspicion == pytest.approx(float(common[token]) / 2 - unit.log_likelihood)


def test_what_the_tokenizer_cannot_write_is_given_and_has_no_score() -> None:
    checkpoint = tiny_checkpoint(kind="characters")
    infiller = Infiller(checkpoint.model, checkpoint.tokenizer, checkpoint.samplers, "tiny")
    tokens = score(infiller, "the ω river".encode(), "token")
    assert [unit.text for unit in tokens.units if not unit.known] == ["ω"]
    assert (tokens.scored, tokens.unscored) == (10, 1)
    words = score(infiller, "the ω river".encode())
    assert [(unit.text, unit.known) for unit in words.units] == [("the", True), ("ω", False), ("river", True)]
    assert math.isnan(words.units[1].log_likelihood) and math.isfinite(words.log_likelihood)
    with pytest.raises(DataError, match="can write nothing of the text"):
        score(infiller, "ωψ".encode())


def test_only_what_is_asked_is_hidden() -> None:
    """The rows that the network sees hold the text, but for the hidden places; the filler is no answer."""
    tokenizer = letters()
    model = Local(tokenizer, 100, 3)
    seen = []

    def denoise(x_t: Tensor, t: Tensor, canvas: textdiff.text.canvas.Canvas, where: Tensor) -> Tensor:  # type: ignore[name-defined]
        seen.append((x_t.clone(), canvas, where, t))
        return Local.denoise(model, x_t, t, canvas, where)

    model.denoise = denoise  # type: ignore[method-assign]
    ids = tokenizer.encode("abbabab ab")
    rows = [Row(ids, [2], [2, 3], 5), Row(ids[:4], [0, 3], [0, 3], 7)]
    (answers,) = ask(infiller_of(model, tokenizer).model, tokenizer, rows)
    assert answers.places.tolist() == [7, 7, 10]
    (x_t, canvas, where, t) = seen[0]
    mask = tokenizer.vocabulary.mask_id
    assert x_t[0].tolist() == [*ids[:2], mask, mask, *ids[4:]]
    assert x_t[1, :4].tolist() == [mask, ids[1], ids[2], mask]
    assert torch.equal(canvas.free, (x_t == mask) & canvas.valid)
    assert where.nonzero().tolist() == [[0, 2], [1, 0], [1, 3]] and t.tolist() == [1, 1]
    raw = Local.denoise(model, x_t, t, canvas, where)
    raw[:, tokenizer.vocabulary.filler_id] = -torch.inf
    expected = raw.log_softmax(-1)[torch.arange(3), torch.tensor([ids[2], ids[0], ids[3]])]
    assert answers.log_p.tolist() == pytest.approx(expected.tolist())


def test_a_masked_language_model_scores_too(tmp_path: Path) -> None:
    infiller = load(save_masked_lm(tmp_path))
    text = "The old houses stood by the River, and zebras don't.\n" * 8
    result = score(infiller, text.encode())
    assert result.scored > 64 and [unit.text for unit in result.units[:3]] == ["The", "old", "houses"]
    assert {unit.text for unit in result.units if not unit.known} == {"zebras"}
    assert all(unit.log_likelihood < 0 for unit in result.units if unit.known)


@pytest.mark.parametrize(
    ("data", "why"),
    [(b"", "no text to score"), (b" \n\t", "no text to score"), (b"\xff\xfe\x00a", "not UTF-8: byte 0 is 0xff")],
)
def test_what_is_no_text_is_said(data: bytes, why: str) -> None:
    checkpoint = tiny_checkpoint()
    infiller = Infiller(checkpoint.model, checkpoint.tokenizer, checkpoint.samplers, "tiny")
    with pytest.raises(DataError, match=why):
        score(infiller, data)
    with pytest.raises(UsageError, match="stride must be at least 2, got 1"):
        score(infiller, b"a", stride=1)
