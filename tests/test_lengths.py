"""Lengths of gaps: the law that fillers tell, the search that needs none, and both against languages that are known."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import pytest
import torch
from scipy.stats import chisquare
from tokenizers import BertWordPieceTokenizer
from torch import Tensor

from textdiff.denoiser import Readout
from textdiff.infiller import load
from textdiff.infiller.bias import LengthBias
from textdiff.infiller.drafts import Plan
from textdiff.infiller.forward import log_mass, noisy_log_p
from textdiff.infiller.lengths import size_by_model
from textdiff.infiller.search import confidence, size_by_search
from textdiff.processes import AbsorbingProcess
from textdiff.text.automaton import TokenAutomaton
from textdiff.text.canvas import Canvas
from textdiff.text.document import Document
from textdiff.text.outline import outlines_of
from textdiff.text.tokenizers import Tokenizer, train_tokenizer
from textdiff.text.wishes import Wish

CONTEXT = 64


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer("characters", ["abc ."] * 5, 20)


def fake(tokenizer: Tokenizer, law_of_rows: Callable[[Tensor, Canvas], Tensor]) -> SimpleNamespace:
    """A model whose denoiser gives the distributions float64 [B, L, V] of a function of x_t."""

    def denoise(x_t: Tensor, t: Tensor, canvas: Canvas, where: Tensor) -> Tensor:
        return law_of_rows(x_t, canvas)[where].log()

    return SimpleNamespace(
        denoise=denoise,
        read=lambda *asked: Readout(denoise(*asked)),
        process=AbsorbingProcess(tokenizer.vocabulary),
        device=torch.device("cpu"),
        config=SimpleNamespace(context_length=CONTEXT, prediction="leave_one_out"),
        backbone=SimpleNamespace(can_read_on=False),
    )


def anything(tokenizer: Tokenizer, lengths: tuple[int, ...]) -> Wish:
    """A wish for any letters."""
    letters = torch.zeros(tokenizer.vocabulary.size, dtype=torch.long)
    letters[tokenizer.encode("abc")] = 1
    automaton = TokenAutomaton(letters, torch.tensor([[-1, 1], [-1, 1]]), torch.tensor([False, True]))
    return Wish(automaton, 0, lengths)


def plan_of(source: str, tokenizer: Tokenizer, wishes: list[Wish], seed: int = 0) -> Plan:
    (outline,) = outlines_of(Document.parse(source.encode()), tokenizer, CONTEXT)
    return Plan(outline, wishes, seed)


def runs(canvas: Canvas, filler: int) -> list[list[tuple[int, int, int]]]:
    """For each row its gaps: start, text positions, all positions. Gaps here are parted by given letters."""
    found = []
    for ids, frozen, valid in zip(canvas.ids.tolist(), canvas.frozen.tolist(), canvas.valid.tolist(), strict=True):
        inside = [v and (not f or i == filler) for i, f, v in zip(ids, frozen, valid, strict=True)]
        row, start = [], None
        for i, here in enumerate([*inside, False]):
            if here and start is None:
                start = i
            elif not here and start is not None:
                row.append((start, sum(not f for f in frozen[start:i]), i - start))
                start = None
        found.append(row)
    return found


def with_fillers(tokenizer: Tokenizer, joint: Tensor) -> SimpleNamespace:
    """The exact denoiser of documents with two gaps whose lengths have the law joint [K, K]; letters are all alike."""
    filler = tokenizer.vocabulary.filler_id
    assert filler is not None
    letters = tokenizer.encode("abc")

    def law(x_t: Tensor, canvas: Canvas) -> Tensor:
        p = torch.zeros(*x_t.shape, tokenizer.vocabulary.size, dtype=torch.float64)
        p[..., letters] = 1 / 3
        for row, gaps in enumerate(runs(canvas, filler)):
            table = joint
            for axis, (_, text, room) in enumerate(gaps):
                if text == room:  # the length of this gap is known
                    keep = torch.zeros(joint.shape[axis])
                    keep[text - 1] = 1
                    table = table * (keep[:, None] if axis == 0 else keep[None, :])
            for axis, (start, text, room) in enumerate(gaps):
                marginal = table.sum(1 - axis) / table.sum()
                if text < room:
                    ended = torch.cat([torch.zeros(1), marginal.cumsum(0)])
                    for k in range(text):
                        p[row, start + k, :] *= 1 - ended[k]
                        p[row, start + k, filler] = ended[k]
        return p

    return fake(tokenizer, law)


JOINT = torch.tensor([[0.30, 0.05, 0.05], [0.02, 0.20, 0.08], [0.05, 0.05, 0.20]], dtype=torch.float64)


def test_one_network_call_gives_the_law_of_a_length(tokenizer: Tokenizer) -> None:
    model = with_fillers(tokenizer, JOINT)
    plan = plan_of("a[MASK]b[MASK]c", tokenizer, [anything(tokenizer, (1, 2, 3)), anything(tokenizer, (2,))])
    (sized,) = size_by_model([plan], model, tokenizer, 1.0)
    given = JOINT[:, 1] / JOINT[:, 1].sum()  # the second gap's length is no matter of choice
    assert sized.lengths[1] == 2 and sized.odds[1] == ()
    assert [o.probability for o in sized.odds[0]] == pytest.approx(given.tolist(), abs=1e-6)
    assert max(abs(JOINT.sum(1) - given)) > 0.05, "or else this test shows nothing"


def test_the_lengths_of_several_gaps_are_drawn_from_their_joint_law(tokenizer: Tokenizer) -> None:
    model = with_fillers(tokenizer, JOINT)
    wishes = [anything(tokenizer, (1, 2, 3)), anything(tokenizer, (1, 2, 3))]
    count = 2_000
    plans = [plan_of("a[MASK]b[MASK]c", tokenizer, wishes, seed) for seed in range(count)]
    drawn = Counter(sized.lengths for sized in size_by_model(plans, model, tokenizer, 1.0))
    observed = [drawn[(i + 1, j + 1)] for i in range(3) for j in range(3)]
    assert chisquare(observed, (JOINT.flatten() * count).tolist()).pvalue > 1e-4
    independent = (JOINT.sum(1)[:, None] * JOINT.sum(0)[None, :]).flatten() * count
    assert chisquare(observed, independent.tolist()).pvalue < 1e-8, "gaps are decided together"


def test_temperature_zero_takes_the_lengths_that_go_together(tokenizer: Tokenizer) -> None:
    model = with_fillers(tokenizer, torch.diag(torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64)))
    wishes = [anything(tokenizer, (1, 2, 3)), anything(tokenizer, (1, 2, 3))]
    sized = size_by_model([plan_of("a[MASK]b[MASK]c", tokenizer, wishes, s) for s in range(9)], model, tokenizer, 0.0)
    assert {one.lengths for one in sized} == {(2, 2)}


ALPHABET = "abcdefghijklmnopqrstuvwxyz"


def sized_where_one_letter_is_known(
    temperature: float,
    share: float,
    seeds: int = 1,
    of: int = 1,
    law: tuple[float, ...] = (0.3, 0.25, 0.45),
) -> list[tuple[int, ...]]:
    """Two gaps with lengths of one law each; those of so many letters begin with an a in this share, all else is any letter."""
    tokenizer = train_tokenizer("characters", [ALPHABET + " ."] * 5, 40)
    filler, letters = tokenizer.vocabulary.filler_id, tokenizer.encode(ALPHABET)
    assert filler is not None
    odds = torch.tensor(law, dtype=torch.float64)
    ends = with_fillers(tokenizer, odds[:, None] * odds)

    def spelled(x_t: Tensor, canvas: Canvas) -> Tensor:
        everywhere = torch.ones_like(x_t, dtype=torch.bool)
        p = ends.denoise(x_t, torch.ones(len(x_t)), canvas, everywhere).exp().reshape(*x_t.shape, -1)
        p[..., letters] = (1 - p[..., filler])[..., None] / len(letters)
        for row, gaps in enumerate(runs(canvas, filler)):
            for start, text, _ in gaps:
                if text == of:
                    p[row, start, letters] = (1 - share) / (len(letters) - 1)
                    p[row, start, letters[0]] = share
        return p

    wish = Wish(anything(tokenizer, (1, 2, 3)).automaton, 0, (1, 2, 3))
    wish.automaton.classes[letters] = 1
    plans = [plan_of("a[MASK]b[MASK]c", tokenizer, [wish, wish], seed) for seed in range(seeds)]
    return [one.lengths for one in size_by_model(plans, fake(tokenizer, spelled), tokenizer, temperature)]


def test_a_text_that_stands_out_is_worth_more_than_the_likeliest_length() -> None:
    """0.9 of the gaps of one letter hold an a: 0.27 of all gaps, and no other text has more than 0.01 of them."""
    assert sized_where_one_letter_is_known(0.0, 0.9) == [(1, 1)]
    assert sized_where_one_letter_is_known(0.2, 0.9, seeds=5) == [(1, 1)] * 5


def test_where_no_text_stands_out_the_length_is_the_median() -> None:
    assert sized_where_one_letter_is_known(0.0, 0.08) == [(2, 2)], "the most probable length is 3"
    nearly = Counter(n for lengths in sized_where_one_letter_is_known(0.2, 0.08, seeds=200) for n in lengths)
    assert set(nearly) == {2, 3}, "at this temperature the length comes from the middle of its law: 0.4 to 0.6"
    assert chisquare([nearly[2], nearly[3]], [300, 100]).pvalue > 1e-4


def test_a_text_is_no_surer_than_its_least_sure_token() -> None:
    assert sized_where_one_letter_is_known(0.0, 0.9, law=(0.2, 0.25, 0.55)) == [(1, 1)]
    assert sized_where_one_letter_is_known(0.0, 0.9, of=2, law=(0.2, 0.25, 0.55)) == [(3, 3)]


def test_a_warm_sampler_draws_lengths_whatever_stands_out() -> None:
    drawn = Counter(n for lengths in sized_where_one_letter_is_known(1.0, 0.9, seeds=1_000) for n in lengths)
    assert chisquare([drawn[n] for n in (1, 2, 3)], [600, 500, 900]).pvalue > 1e-4


def test_the_surest_gap_is_settled_first(tokenizer: Tokenizer) -> None:
    """From the first gap's best length follows (1, 2), from the second's (2, 3)."""
    model = with_fillers(
        tokenizer, torch.tensor([[0.22, 0.28, 0.1], [0.0, 0.02, 0.38], [0, 0, 0]], dtype=torch.float64)
    )
    for source, turned in (("a[MASK]b[MASK]c", False), ("c[MASK]b[MASK]a", True)):
        wishes = [anything(tokenizer, (1, 2, 3)), anything(tokenizer, (1, 2, 3))]
        law = (
            model
            if not turned
            else with_fillers(
                tokenizer, torch.tensor([[0.22, 0.0, 0], [0.28, 0.02, 0], [0.1, 0.38, 0]], dtype=torch.float64)
            )
        )
        (sized,) = size_by_model([plan_of(source, tokenizer, wishes)], law, tokenizer, 0.0)
        assert sized.lengths == ((2, 1) if turned else (1, 2))


def test_lengths_that_cannot_be_are_never_chosen(tokenizer: Tokenizer) -> None:
    model = with_fillers(tokenizer, JOINT)
    wishes = [anything(tokenizer, (1, 3)), anything(tokenizer, (2, 3))]
    sized = size_by_model([plan_of("a[MASK]b[MASK]c", tokenizer, wishes, s) for s in range(40)], model, tokenizer, 1.0)
    assert {one.lengths[0] for one in sized} <= {1, 3} and {one.lengths[1] for one in sized} <= {2, 3}


def test_i4_a_plan_is_sized_alike_alone_and_among_others(tokenizer: Tokenizer) -> None:
    model = with_fillers(tokenizer, JOINT)
    wishes = [anything(tokenizer, (1, 2, 3)), anything(tokenizer, (1, 2, 3))]
    plans = [
        plan_of(source, tokenizer, wishes, s) for s, source in enumerate(["a[MASK]b[MASK]c", "[MASK]ab[MASK]"] * 8)
    ]
    together = size_by_model(plans, model, tokenizer, 1.0)
    alone = [size_by_model([plan], model, tokenizer, 1.0)[0] for plan in plans]
    assert [one.lengths for one in together] == [one.lengths for one in alone]


def test_log_mass_is_the_probability_that_the_first_tokens_are_a_text(tokenizer: Tokenizer) -> None:
    """Against enumeration: an automaton of 'a(b|c)*a' over independent letters."""
    a, b, c = tokenizer.encode("abc")
    classes = torch.zeros(tokenizer.vocabulary.size, dtype=torch.long)
    classes[a], classes[[b, c]] = 1, 2
    automaton = TokenAutomaton(
        classes, torch.tensor([[-1, 1, -1], [-1, 2, 1], [-1, -1, -1]]), torch.tensor([0, 0, 1]).bool()
    )
    p = torch.rand(4, tokenizer.vocabulary.size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    p /= p.sum(-1, keepdim=True)
    filler = tokenizer.vocabulary.filler_id
    assert filler is not None
    clean = p.clone()
    clean[:, filler] = 0
    clean /= clean.sum(-1, keepdim=True)
    found = log_mass(automaton, p.log(), filler).exp()
    inner = clean[:, b] + clean[:, c]
    expected = [
        0,
        clean[0, a] * clean[1, a],
        clean[0, a] * inner[1] * clean[2, a],
        clean[0, a] * inner[1] * inner[2] * clean[3, a],
    ]
    assert found.tolist() == pytest.approx([float(e) for e in expected], abs=1e-12)


def peaked(tokenizer: Tokenizer, wanted: list[int]) -> SimpleNamespace:
    """A model without fillers: sure of its letters where the gaps have the lengths it wants, and biased to short ones."""
    a, b, c = tokenizer.encode("abc")

    def law(x_t: Tensor, canvas: Canvas) -> Tensor:
        p = torch.zeros(*x_t.shape, tokenizer.vocabulary.size, dtype=torch.float64)
        for row, gaps in enumerate(runs(canvas, -1)):
            for (start, text, _), best in zip(gaps, wanted, strict=True):
                sure = 0.9 - 0.02 * text - 0.04 * abs(text - best)
                p[row, start : start + text, a] = sure
                p[row, start : start + text, b] = p[row, start : start + text, c] = (1 - sure) / 2
        return p

    return fake(tokenizer, law)


@pytest.mark.parametrize("best", [1, 2, 5, 7, 9, 12])
def test_the_search_finds_the_peak_of_the_calibrated_confidence(tokenizer: Tokenizer, best: int) -> None:
    plan = plan_of("a[MASK]b", tokenizer, [anything(tokenizer, tuple(range(1, 13)))])
    bias = lambda k: float(torch.tensor(0.9 - 0.02 * k).log())  # noqa: E731
    (sized,) = size_by_search([plan], peaked(tokenizer, [best]), tokenizer, bias)
    assert sized.lengths == (best,)
    assert sum(o.probability for o in sized.odds[0]) == pytest.approx(1)
    assert len(sized.odds[0]) < 12, "not every length is tried"


def leaning(tokenizer: Tokenizer, sure: Callable[[int], float]) -> SimpleNamespace:
    """A model whose probability of an a is a function of the number of masks; the rest is b."""
    a, b = tokenizer.encode("ab")

    def law(x_t: Tensor, canvas: Canvas) -> Tensor:
        p = torch.zeros(*x_t.shape, tokenizer.vocabulary.size, dtype=torch.float64)
        for row, gaps in enumerate(runs(canvas, -1)):
            for start, text, _ in gaps:
                p[row, start : start + text, a], p[row, start : start + text, b] = sure(text), 1 - sure(text)
        return p

    return fake(tokenizer, law)


def test_the_bias_is_taken_out_whatever_its_size(tokenizer: Tokenizer) -> None:
    """Sure of short gaps by far, and a little surer of five than is usual."""
    usual = lambda k: 0.98 - 0.03 * k  # noqa: E731
    model = leaning(tokenizer, lambda k: usual(k) + 0.01 * max(0, 3 - abs(k - 5)))
    plan = plan_of("a[MASK]b", tokenizer, [anything(tokenizer, tuple(range(1, 13)))])
    (sized,) = size_by_search([plan], model, tokenizer, lambda k: float(torch.tensor(usual(k)).log()))
    assert sized.lengths == (5,)
    (plain,) = size_by_search([plan], model, tokenizer, lambda k: 0.0)
    assert plain.lengths == (1,)


def test_lengths_at_which_little_can_be_written_lose(tokenizer: Tokenizer) -> None:
    """The texts are b and aa: as sure of either length, the model hardly ever writes a single b."""
    classes = torch.zeros(tokenizer.vocabulary.size, dtype=torch.long)
    a, b = tokenizer.encode("ab")
    classes[a], classes[b] = 1, 2
    table = torch.tensor([[-1, 1, 2], [-1, 2, -1], [-1, -1, -1]])
    wish = Wish(TokenAutomaton(classes, table, torch.tensor([False, False, True])), 0, (1, 2))
    (sized,) = size_by_search(
        [plan_of("a[MASK]b", tokenizer, [wish])], leaning(tokenizer, lambda k: 0.9), tokenizer, lambda k: 0.0
    )
    assert sized.lengths == (2,)


def test_the_search_settles_several_gaps_in_turn(tokenizer: Tokenizer) -> None:
    wishes = [anything(tokenizer, tuple(range(1, 10)))] * 3
    plans = [plan_of("a[MASK]b[MASK]c[MASK]", tokenizer, wishes, seed) for seed in range(2)]
    bias = lambda k: float(torch.tensor(0.9 - 0.02 * k).log())  # noqa: E731
    for sized in size_by_search(plans, peaked(tokenizer, [4, 1, 8]), tokenizer, bias):
        assert sized.lengths == (4, 1, 8)


def test_i4_a_plan_is_searched_alike_alone_and_among_others(tokenizer: Tokenizer) -> None:
    """Plans with other numbers of gaps in the batch neither add to what is tried nor change what is found."""
    wish = anything(tokenizer, tuple(range(1, 10)))
    sources = ["a[MASK]b", "a[MASK]b[MASK]c[MASK]", "ab[MASK]", "a[MASK]b[MASK]c"]
    plans = [plan_of(source, tokenizer, [wish] * source.count("MASK")) for source in sources]

    def law(x_t: Tensor, canvas: Canvas) -> Tensor:
        """How sure the model is depends on all the lengths of a row."""
        p = torch.zeros(*x_t.shape, tokenizer.vocabulary.size, dtype=torch.float64)
        a, b = tokenizer.encode("ab")
        for row, gaps in enumerate(runs(canvas, -1)):
            total = sum(text for _, text, _ in gaps)
            for start, text, _ in gaps:
                sure = 0.9 - 0.02 * abs(text - 3) - 0.01 * abs(total - 8)
                p[row, start : start + text, a], p[row, start : start + text, b] = sure, 1 - sure
        return p

    model = fake(tokenizer, law)
    together = size_by_search(plans, model, tokenizer, lambda _: 0.0)
    for plan, one in zip(plans, together, strict=True):
        (alone,) = size_by_search([plan], model, tokenizer, lambda _: 0.0)
        assert alone.lengths == one.lengths and alone.odds == one.odds


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a masked language model of random weights, which knows no filler."""
    from transformers import BertConfig, BertForMaskedLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("foreign")
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefgh"]
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    backend = BertWordPieceTokenizer(str(folder / "vocab.txt"))
    PreTrainedTokenizerFast(
        tokenizer_object=backend, unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]",
        mask_token="[MASK]",
    ).save_pretrained(folder)  # fmt: skip
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        BertForMaskedLM(BertConfig(vocab_size=len(vocabulary), max_position_embeddings=64, **sizes)).save_pretrained(
            folder
        )
    return folder


def test_the_bias_is_measured_once_and_kept_beside_the_model(foreign: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(foreign, folder)
    shelf = folder / ".textdiff-length-bias.json"
    measure = LengthBias._measure
    with patch.object(LengthBias, "_measure", autospec=True, side_effect=measure) as measured:
        first = load(folder, "cpu").infill("a b [MASK] c", steps=2)
        assert measured.call_count >= 4 and shelf.exists()
        measured.reset_mock()
        again = load(folder, "cpu").infill("a b [MASK] c", steps=2)
        assert measured.call_count == 0, "it is known from the first time"
        assert again.document == first.document
        assert again.gaps[0].length_considered == first.gaps[0].length_considered
        weights = next(folder.glob("*.safetensors"))
        os.utime(weights, (1, 1))
        load(folder, "cpu").infill("a b [MASK] c", steps=2)
        assert measured.call_count >= 4, "other weights have another bias"
        measured.reset_mock()
        shelf.write_bytes(b"{")
        load(folder, "cpu").infill("a b [MASK] c", steps=2)
        assert measured.call_count >= 4, "a damaged file is no reason to stop"
        measured.reset_mock()
        shelf.unlink()
        shelf.mkdir()
        load(folder, "cpu").infill("a b [MASK] c", steps=2)
        assert measured.call_count >= 4, "nor one that cannot be written"


def test_the_bias_is_the_confidence_in_texts_of_the_models_own(foreign: Path) -> None:
    """Of random weights: every text is as good as any other, so that the mean is that of texts at large."""
    infiller = load(foreign, "cpu")
    bias = LengthBias(infiller.model, infiller.tokenizer)
    for tokens in (1, 3):
        rows = []
        for seed in range(40):
            letters = torch.randint(5, 13, (24,), generator=torch.Generator().manual_seed(seed)).tolist()
            rows.append([2, *letters[:12], *[4] * tokens, *letters[12:], 3])
        frozen = [[i != 4 for i in row] for row in rows]
        canvas = Canvas.of_rows(rows, frozen, [0] * 40, infiller.tokenizer.vocabulary)
        parts = torch.split(noisy_log_p(infiller.model, canvas, canvas.free), tokens)
        found = torch.tensor([confidence(part) for part in parts], dtype=torch.float64)
        assert bias(tokens) == pytest.approx(float(found.mean()), abs=0.1)
