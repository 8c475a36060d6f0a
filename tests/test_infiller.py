"""The user's object: documents in, documents out, and nothing but the gaps changed."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from textdiff.backbones import DiTConfig
from textdiff.errors import CheckpointError, DataError, UsageError
from textdiff.infiller import Checkpoint, DefaultSamplers, Infiller, load
from textdiff.model import DiffusionModel
from textdiff.processes import AbsorbingProcess, ForwardProcess, HybridProcess, UniformProcess
from textdiff.text.tokenizers import Tokenizer, train_tokenizer

TEXT = Path(__file__).parent.parent / "data" / "corpus" / "garden.txt"
CONTEXT = 96


def infiller_of(process: type[ForwardProcess], kind: str = "byte_bpe") -> Infiller:
    """An untrained model: what holds for it holds by construction."""
    tokenizer = train_tokenizer(kind, [TEXT.read_text(encoding="utf8")[:20_000]], 400)
    torch.manual_seed(1)
    backbone = DiTConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, given_embedding=True)
    model = DiffusionModel.of(backbone, process(vocabulary=tokenizer.vocabulary), CONTEXT).eval()  # type: ignore[call-arg]
    with torch.no_grad():  # an untrained network ignores its input; these weights make it look
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return Infiller(model, tokenizer, DefaultSamplers.of(model.process), "untrained")


@pytest.fixture(scope="module")
def infiller() -> Infiller:
    return infiller_of(AbsorbingProcess)


@pytest.fixture(scope="module", params=[AbsorbingProcess, UniformProcess, HybridProcess], ids=lambda p: p.__name__)
def any_infiller(request: pytest.FixtureRequest) -> Infiller:
    return infiller_of(request.param)


LITERALS = ["\r\n", "\ufeff", "😀", "\0", "[FILL]", "[PAD]", "<mask>", "\\[MASK]", " ", "é", "word", "\n\n", "a b", "."]
GAPS = ["[MASK]", "[MASK: 2 words]", "[MASK: 1-3 words]", "[MASK: 3 tokens]", "[MASK: 2-4 tokens]"]
PART = st.one_of(
    st.sampled_from(LITERALS), st.text(max_size=12).map(lambda s: s.replace("[MASK", "").replace("\\", ""))
)
DOCUMENT = st.builds(
    lambda before, gap, middle, more, after: "".join(before) + gap + "".join(middle) + "".join(more) + "".join(after),
    st.lists(PART, max_size=4),
    st.sampled_from(GAPS),
    st.lists(PART, max_size=3),
    st.lists(st.sampled_from(GAPS), max_size=2),
    st.lists(PART, max_size=4),
).filter(lambda s: s.encode("utf8", "ignore").decode() == s)
MARKUP = re.compile(r"\\\[MASK|\[MASK(?:#\w+)?(?:: [^\]]*)?\]")


def outside(source: str) -> list[str]:
    """The texts around the gaps, escapes undone: an independent reading of the syntax."""
    pieces, texts, end = [], [], 0
    for match in MARKUP.finditer(source):
        if match[0].startswith("\\"):
            pieces.append(source[end : match.start()] + "[MASK")
        else:
            texts.append("".join(pieces) + source[end : match.start()])
            pieces = []
        end = match.end()
    return [*texts, "".join(pieces) + source[end:]]


@settings(max_examples=63, phases=(Phase.generate,))  # shrinking 16 documents takes minutes
@given(st.lists(DOCUMENT, min_size=16, max_size=16))
def test_i1_i4_only_the_gaps_change_and_batch_peers_do_not_matter(infiller: Infiller, sources: list[str]) -> None:
    """1,008 random documents, each batch of 16 also with its first document alone."""
    results = infiller.infill(sources, seed=5, steps=3)
    alone = infiller.infill(sources[0], seed=5, steps=3)
    assert alone.document == results[0].document
    assert [g.score for g in alone.gaps] == pytest.approx([g.score for g in results[0].gaps], abs=1e-3)
    for source, result in zip(sources, results, strict=True):
        data = result.document.encode()
        expected, start = outside(source), 0
        for gap, text in zip(result.gaps, expected, strict=False):
            assert data[start : gap.start_byte].decode() == text
            assert data[gap.start_byte : gap.end_byte].decode() == gap.text
            start = gap.end_byte
        assert data[start:].decode() == expected[-1]
        assert len(expected) == len(result.gaps) + 1


def test_lengths_hold_exactly(any_infiller: Infiller) -> None:
    line = "The [MASK: 3 words] of [MASK: 1-2 words], and [MASK: 4 tokens] in a [MASK#last: 2-5 words].\n"
    source = line + line.replace("#last", "")
    for seed in range(5):
        result = any_infiller.infill(source, seed=seed, steps=6, temperature=1.5)
        words = [len(gap.text.split()) for gap in result.gaps]
        for first in (0, 4):
            assert words[first] == 3 and 1 <= words[first + 1] <= 2 and 2 <= words[first + 3] <= 5
        assert [gap.name for gap in result.gaps] == [None, None, None, "last", *[None] * 4]


def test_no_special_token_is_written(any_infiller: Infiller) -> None:
    result = any_infiller.infill("[MASK: 30 tokens]", seed=3, temperature=3.0)
    tokenizer = any_infiller.tokenizer
    ids = tokenizer.encode(result.gaps[0].text)
    assert tokenizer.vocabulary.writable()[torch.tensor(ids)].all()
    assert not any(name in result.document for name in ("[MASK", "[FILL]", "[PAD]", "[END]", "�"))


def test_the_seed_decides(any_infiller: Infiller) -> None:
    texts = [any_infiller.infill("A [MASK: 8 tokens] b", seed=s, temperature=1.0).document for s in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


def test_temperature_zero_needs_no_seed(infiller: Infiller) -> None:
    texts = {infiller.infill("A [MASK: 8 tokens] b", seed=s, temperature=0).document for s in range(3)}
    assert len(texts) == 1


def test_i2_a_document_longer_than_the_context_is_filled(infiller: Infiller) -> None:
    filler = "It was a long way from the house to the garden wall, and she went slowly. " * 20
    source = f"{filler}[MASK: 2 words] {filler}[MASK: 3 tokens]{filler}"
    result = infiller.infill(source, seed=1)
    assert [result.document.encode()[a.start_byte : a.end_byte].decode() for a in result.gaps] == [
        gap.text for gap in result.gaps
    ]
    assert result.document.count(filler) == 3 and len(result.gaps[0].text.split()) == 2


def test_i2_a_gap_that_cannot_fit_is_refused(infiller: Infiller) -> None:
    with pytest.raises(DataError, match=r"gap 1, '\[MASK: 500 tokens\]': needs 500 positions"):
        infiller.infill("a [MASK: 500 tokens] b")


def test_scores_are_log_probabilities(infiller: Infiller) -> None:
    result = infiller.infill("A [MASK: 5 tokens] b [MASK]", seed=2)
    assert all(gap.score is not None and gap.score < 0 and 0 < gap.confidence < 1 for gap in result.gaps)
    odds = result.gaps[1].length_considered
    assert result.gaps[0].length_considered == () and [o.tokens for o in odds] == list(range(1, 13))
    assert sum(o.probability for o in odds) == pytest.approx(1)
    assert result.stats.nfe >= 1 and 6 <= result.stats.tokens <= 17 and result.stats.seconds > 0
    assert infiller.infill("A [MASK]", score=False).gaps[0].score is None


def test_gaps_of_low_confidence_stay_open(infiller: Infiller) -> None:
    source = "A [MASK#one: 5 tokens] b \\[MASK] [MASK: yes|yes, sir]"
    low = min(gap.confidence for gap in infiller.infill(source, seed=2).gaps)
    result = infiller.infill(source, seed=2, min_confidence=low * 1.0001)
    opened = [gap for gap in result.gaps if gap.open]
    assert len(opened) == 1 and opened[0].text in source
    assert result.document.encode()[opened[0].start_byte : opened[0].end_byte].decode() == opened[0].text
    assert infiller.infill(source, seed=2, min_confidence=1.0).document == source


def test_several_fills_are_distinct_and_sorted(infiller: Infiller) -> None:
    result = infiller.infill("A [MASK: 3 tokens] b [MASK: red|green|blue].", n=4, seed=2)
    assert len(set(result.fills)) == len(result.fills) == 4
    assert tuple(gap.text for gap in result.gaps) == result.fills[0]
    for gap in result.gaps:
        assert gap.alternatives[0].text == gap.text
        scores = [other.score for other in gap.alternatives]
        assert scores == sorted(scores, reverse=True) and len({other.text for other in gap.alternatives}) == len(scores)


def test_fewer_fills_where_there_are_no_more(infiller: Infiller) -> None:
    result = infiller.infill("It is [MASK: red|blue].", n=5)
    assert 1 <= len(result.fills) <= 2 and set(result.fills) <= {("blue",), ("red",)}


def test_a_document_without_a_gap_shows_the_syntax(infiller: Infiller) -> None:
    with pytest.raises(DataError, match=r"no gap to fill.*\[MASK: 5 words\]"):
        infiller.infill("nothing to do")


@pytest.mark.parametrize(
    "options",
    [
        {"steps": 0},
        {"temperature": -1.0},
        {"temperature": float("nan")},
        {"top_p": 0.0},
        {"top_p": 1.1},
        {"top_k": 0},
        {"room": 0},
        {"n": 0},
        {"min_confidence": 1.1},
        {"length": 0},
        {"length": (3, 2)},
        {"length": "long"},
    ],
    ids=str,
)
def test_g1_options_out_of_range(infiller: Infiller, options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        infiller.infill("a [MASK] b", **options)


@pytest.mark.parametrize("seed", [0, -1, 2**63, 2**64 + 1])
def test_g1_any_integer_is_a_seed(infiller: Infiller, seed: int) -> None:
    assert infiller.infill("a [MASK: 2 tokens] b", seed=seed).seed == seed


def test_generation_is_reproducible_sample_by_sample(any_infiller: Infiller) -> None:
    three = any_infiller.generate("The cat", n=3, max_new_tokens=10, steps=5, seed=4)
    one = any_infiller.generate("The cat", n=1, max_new_tokens=10, steps=5, seed=4)
    assert three.samples[0] == one.samples[0]
    assert len({sample.text for sample in three.samples}) == 3
    assert all(sample.text.startswith("The cat") and sample.tokens == 10 for sample in three.samples)


def test_generation_from_nothing(infiller: Infiller) -> None:
    result = infiller.generate(max_new_tokens=6, seed=1)
    assert result.samples[0].text and 1 <= result.stats.nfe <= 6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": 0}, "n must be between 1 and 10000, got 0"),
        ({"max_new_tokens": 0}, "max_new_tokens must be at least 1, got 0"),
        ({"block_size": 96}, "must hold a block and text before it, got 96"),
    ],
)
def test_generation_options_are_checked(infiller: Infiller, options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        infiller.generate(**options)  # type: ignore[arg-type]


def test_a_checkpoint_gives_the_same_fills(infiller: Infiller, tmp_path: Path) -> None:
    Checkpoint(infiller.model, infiller.tokenizer, infiller.samplers).save(tmp_path / "model")
    again = load(tmp_path / "model")
    source = "It [MASK: 6 tokens] was [MASK: 2 words]."
    assert again.infill(source, seed=3).document == infiller.infill(source, seed=3).document
    assert load(tmp_path).context_length == CONTEXT, "the folder of a run stands for its model"


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "sampler.json", "config.json"])
def test_c7_a_damaged_checkpoint_is_refused(infiller: Infiller, tmp_path: Path, name: str) -> None:
    Checkpoint(infiller.model, infiller.tokenizer, infiller.samplers).save(tmp_path / "model")
    path = tmp_path / "model" / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(bytes(data))
    with pytest.raises(CheckpointError, match=re.escape(name)):
        load(tmp_path / "model")


@pytest.mark.parametrize("name", ["no/such/model", "./nowhere", "owner/model", "word"])
def test_r1_a_missing_model_is_one_sentence(name: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        load(name)
    assert "\n" not in str(caught.value) and name in str(caught.value)


REACTIONS = ["CC(=O)O.OCC>>CC(=O)OCC", "CCBr.[Na+].[OH-]>>CCO", "c1ccccc1C(=O)Cl.NCC>>c1ccccc1C(=O)NCC"]


def test_a_real_masked_language_model_fills_reactions_untrained(development_data: Callable[[str], Path]) -> None:
    """Each token of a reaction in turn is hidden; most come back, and all other bytes stay."""
    infiller = load(development_data("rxn-albert-mlm"))
    sources, truths = [], []
    for reaction in REACTIONS:
        pieces = pieces_of(infiller.tokenizer, reaction)
        for i, piece in enumerate(pieces):
            sources.append("".join(pieces[:i]) + "[MASK: 1 token]" + "".join(pieces[i + 1 :]))
            truths.append(piece)
    results = infiller.infill(sources, temperature=0)
    right = [r.gaps[0].text == truth for r, truth in zip(results, truths, strict=True)]
    assert sum(right) / len(right) > 0.75
    for source, result in zip(sources, results, strict=True):
        before, after = source.split("[MASK: 1 token]")
        assert result.document == before + result.gaps[0].text + after


def pieces_of(tokenizer: Tokenizer, text: str) -> list[str]:
    return [tokenizer.pieces[i].decode() for i in tokenizer.encode(text)]
