"""Random gaps that ask for something: every text does justice to all of it, whatever the network says."""

from __future__ import annotations

import random
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from wild_gaps import ALPHABET, WORDS, Asked, wild_gap

from textdiff.backbones import DiTConfig
from textdiff.errors import DataError
from textdiff.infiller import DefaultSamplers, Infiller
from textdiff.model import DiffusionModel
from textdiff.processes import ForwardProcess
from textdiff.registry import build
from textdiff.text.document import Document
from textdiff.text.gaps import GapLength
from textdiff.text.tokenizers import train_tokenizer

CORPUS = Path(__file__).parent.parent / "data" / "corpus" / "garden.txt"
CONTEXT = 256
GAPS_A_DOCUMENT = 10
BETWEEN = [" ", "\n", ", ", " (", ") ", "\r\n\r\n", " – ", "", "“", ". "]
JOINED = ["é", "x", "9", "_", "日"]


@cache
def untrained(process: str = "absorbing", kind: str = "byte_bpe") -> Infiller:
    """A network that knows nothing and whose tokenizer can write all of `ALPHABET`."""
    texts = [CORPUS.read_text(encoding="utf8")[:20_000], *["\n".join([*WORDS, *ALPHABET])] * 100]
    tokenizer = train_tokenizer(kind, texts, 600)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        backbone = DiTConfig(hidden_size=32, num_hidden_layers=1, num_attention_heads=2, given_embedding=True)
        noise = build(ForwardProcess, process, vocabulary=tokenizer.vocabulary)
        model = DiffusionModel.of(backbone, noise, CONTEXT).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.1)
    return Infiller(model, tokenizer, DefaultSamplers.of(model.process), "untrained")


def wild_document(rng: random.Random, pool: list[Asked]) -> tuple[Document, list[Asked], list[str]]:
    """A document with gaps, what they ask for, and the given text before, between and after them."""
    asked = [rng.choice(pool) for _ in range(GAPS_A_DOCUMENT)]
    texts = [rng.choice(["", "Once ", "He said: "])]
    for left, right in zip(asked, [*asked[1:], None], strict=True):
        # a word that has to be there may be cut off by a neighbour's letters: then nothing could be written
        loose = not left.must and (right is None or not right.must)
        texts.append(rng.choice(JOINED if loose and rng.random() < 0.2 else BETWEEN))
    if rng.random() < 0.5:
        source = texts[0] + "".join(gap.markup + text for gap, text in zip(asked, texts[1:], strict=True))
        return Document.parse(source.encode()), asked, texts
    data, spans = texts[0].encode(), []
    for gap, text in zip(asked, texts[1:], strict=True):
        old = rng.choice([b"x", b"[MASK]", b"old text"])  # two insertions cannot stand at one place
        spans.append(gap.span(len(data), len(data) + len(old)))
        data += old + text.encode()
    return Document.with_spans(data, spans), asked, texts


def check(infiller: Infiller, count: int, distinct: int, seed: int, **options: Any) -> None:
    """Fills `count` gaps of `distinct` kinds and judges every text."""
    rng = random.Random(seed)
    pool = [wild_gap(rng, infiller.tokenizer) for _ in range(distinct)]
    cases = [wild_document(rng, pool) for _ in range(count // GAPS_A_DOCUMENT)]
    results = infiller.infill([document for document, _, _ in cases], seed=seed, score=False, **options)
    faults, judged = [], 0
    for (_, asked, texts), result in zip(cases, results, strict=True):
        data, place = result.document.encode(), 0
        for gap, want, left, right in zip(result.gaps, asked, texts, texts[1:], strict=False):
            assert data[place : gap.start_byte].decode() == left
            text, place = data[gap.start_byte : gap.end_byte].decode(), gap.end_byte
            fault = want.fault(text, left, right, infiller.tokenizer)
            if fault or text != gap.text:
                faults.append((want, left, text, right, fault))
            judged += 1
        assert data[place:].decode() == texts[-1]
    assert judged == count
    assert not faults, faults[:5]


def test_what_random_gaps_ask_for_holds() -> None:
    check(untrained(), 500, 60, seed=1, steps=2)


@pytest.mark.slow
@pytest.mark.parametrize("temperature", [0.0, 1.0, 5.0])
def test_what_ten_thousand_random_gaps_ask_for_holds(temperature: float) -> None:
    check(untrained(), 10_000, 2_000, seed=2, steps=4, temperature=temperature)


@pytest.mark.parametrize("options", [{"sampler": "threshold"}, {"sampler": "remdm"}, {"top_k": 1, "steps": 1}], ids=str)
def test_it_holds_whatever_the_sampler_is(options: dict[str, Any]) -> None:
    check(untrained(), 100, 25, seed=3, **{"steps": 3, **options})


def test_it_holds_where_lengths_are_searched() -> None:
    check(untrained(), 30, 25, seed=5, steps=2, length="search")


@pytest.mark.parametrize(
    ("process", "kind"), [("uniform", "byte_bpe"), ("hybrid", "byte_bpe"), ("absorbing", "characters")]
)
def test_it_holds_for_other_processes_and_tokenizers(process: str, kind: str) -> None:
    check(untrained(process, kind), 150, 40, seed=4, steps=3)


def test_the_judge_finds_what_is_wrong() -> None:
    """Or else the tests above would show nothing."""
    tokenizer = untrained().tokenizer
    for asked, right, wrong in [
        (Asked(GapLength(2, 3, "words")), ["a b", "a b c"], ["a", "a b c d", "a  b", " a b", "a\nb", ""]),
        (Asked(GapLength(3, 3, "chars")), ["abc", "日本a"], ["ab", "abcd", "a\nb", "a\tb", "a\x00b"]),
        (
            Asked(GapLength(2, 2, "sentences")),
            ["A. B?", "a b! c (d.)"],
            ["A.", "A. b", "A. B. C.", "A.  B.", "A. .", "A.\nB."],
        ),
        (Asked(choices=("yes", "né")), ["yes", "né"], ["Yes", "yes ", "n"]),
        (Asked(pattern=r"\d{2}"), ["12"], ["123", "1", "12\n"]),
        (Asked(must=("sea",)), ["sea", "the SEA."], ["seas", "a_sea", "overseas"]),
        (Asked(forbid=("sea",)), ["seas", "a_sea", "x"], ["sea", "the SEA."]),
    ]:
        assert [asked.fault(text, tokenizer=tokenizer) for text in right] == [None] * len(right)
        assert all(asked.fault(text, tokenizer=tokenizer) for text in wrong), asked
    assert Asked(must=("sea",)).fault("sea", "x") and Asked(must=("sea",)).fault("sea", "", "s")
    one = len(tokenizer.encode("house"))
    assert Asked(GapLength(one, one, "tokens")).fault("house", tokenizer=tokenizer) is None
    assert Asked(GapLength(7, 9, "tokens")).fault("house", tokenizer=tokenizer)


IMPOSSIBLE = [
    "[MASK#it: yes|no; forbid: yes, no]",
    "[MASK#it: 3 chars; must: house]",
    "[MASK#it: old house|sea; must: fire]",
    r"[MASK#it: 5 chars; /\d{4}/]",
    r"[MASK#it: 2 words; /[a-z]+/]",
    "[MASK#it: 1 sentence; yes|no]",
    r"[MASK#it: /[a-z]+/; must: 1923]",
    "[MASK#it: 1 token; /[a-z]{20}/]",
    "[MASK#it: 20-30 tokens; yes|no]",
    "[MASK#it: 500 tokens]",
    "[MASK#it: 400 words]",
    "[MASK#it: 🦊|🦉]",
    "[MASK#it: must: жук]",
    "a[MASK#it: house|sea; must: sea]b",
]


@pytest.mark.parametrize("gap", IMPOSSIBLE)
def test_what_cannot_be_had_is_refused_before_the_network_is_asked(gap: str, monkeypatch: pytest.MonkeyPatch) -> None:
    infiller = untrained()

    def asked(*_: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(infiller.model, "denoise", asked)
    fine = "It was [MASK: 2 words]."
    with pytest.raises(DataError, match=r"^gap 2, 'it'") as caught:
        infiller.infill([fine, f"A [MASK: yes|no] and {gap}, then [MASK]."])
    assert "\n" not in str(caught.value)
    with pytest.raises(AssertionError, match="the network was asked"):
        infiller.infill([fine])


def test_words_for_every_gap_hold_besides_its_own() -> None:
    sources = ["[MASK: 3-5 words] and [MASK: 9-12 tokens; must: old]", "[MASK: sea house|fire|sea; must: house]"]
    for result in untrained().infill(sources, must=["Sea"], forbid=["fire", "Mr"], steps=3, score=False):
        for gap in result.gaps:
            assert Asked(must=("sea",), forbid=("fire", "Mr")).fault(gap.text) is None
    with pytest.raises(DataError, match=r"gap 1, .*sea"):
        untrained().infill("[MASK: sea|Sea]", forbid=["SEA"])
