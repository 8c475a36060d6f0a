"""Text of standard sets, put together: rule by rule, harmless to plain text, and told in every figure."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_infiller import infiller_of
from tiny import run, save_tiny

from textdiff.cli.options import Detokenize
from textdiff.corpus import Detokenizer, Piece, ReadOptions, detokenize, load_corpus, read_corpus
from textdiff.corpus.detokenizing import detokenized
from textdiff.errors import ConfigError
from textdiff.evaluation import evaluate
from textdiff.processes import AbsorbingProcess
from textdiff.recipe.recipe import DataConfig, PairsConfig
from textdiff.recipe.texts import Texts
from textdiff.registry import build

GARDEN = Path(__file__).parent.parent / "data" / "corpus" / "garden.txt"
NAMES: tuple[Detokenizer, ...] = get_args(Detokenizer)

WIKITEXT = [
    (" = Homarus gammarus = ", "= Homarus gammarus ="),
    (" = = Life cycle = = ", "== Life cycle =="),
    (" = = = 2001 – 09 = = = ", "=== 2001–09 ==="),
    (" ", ""),
    ("red @-@ tipped , 4 @,@ 000 to 1 @.@ 5 kg .", "red-tipped, 4,000 to 1.5 kg."),
    ("why ? so ! see : this ; that ...", "why? so! see: this; that..."),
    ("a mass ( 13 lb ) , [ sic ] { x }", "a mass (13 lb), [sic] {x}"),
    ('only " lobster red " on " cooking " .', 'only "lobster red" on "cooking".'),
    ('the " last', 'the "last'),
    ('it ends "', 'it ends"'),
    ("the ' house bay ' is", "the 'house bay' is"),
    ("Linnaeus ' concept", "Linnaeus' concept"),
    ("the lobsters ' claws and the ' red ' ones", "the lobsters' claws and the 'red' ones"),
    ("and ' 70s , the bay 's", "and '70s, the bay's"),
    ("It 's what they 'd say , don 't you ; <unk> 's U.S. 's", "It's what they'd say, don't you; <unk>'s U.S.'s"),
    ("O 'Brien , O ' Brien and L 'Oréal", "O'Brien, O'Brien and L'Oréal"),
    ("I ’ m the world ’ s", "I’m the world’s"),
    ("$ 25 or £ 1 @.@ 7 million , 55 %", "$25 or £1.7 million, 55%"),
    ("90 ° F and / or 5 – 6 , Hallows – Part 2", "90°F and/or 5–6, Hallows – Part 2"),
    ("the District — roughly", "the District—roughly"),
    ("a <unk> of <unk> , Kress & Co.", "a <unk> of <unk>, Kress & Co."),
    ("a = b", "a = b"),
    ("at 9 : 10 they won 2 : 1 : 5 goals", "at 9:10 they won 2:1:5 goals"),
]
PTB = [
    (" no it was n't black monday ", "no it wasn't black monday"),
    ("the company 's $ N billion of N N notes", "the company's $1 billion of 1 1 notes"),
    ("investors ' # N and N % of the <unk> 's", "investors' #1 and 1% of the ?'s"),
    ("s&p and\\/or barra", "s&p and/or barra"),
    ("they ca n't and wo n't , we 've", "they can't and won't , we've"),
]
LM1B = [
    ("See http : / / www.x.com / a , he said .", "See http://www.x.com/a, he said."),
    ('He said : " I don \'t know . "', 'He said: "I don\'t know."'),
    ("It rose $ 5 ( £ 3 ) ; why ?", "It rose $5 (£3); why?"),
    ("a 5 – 6 win = = one @-@ off", "a 5 – 6 win = = one @-@ off"),
]
MOSES = [
    ("don &apos;t &quot; go &quot; &amp; stop @-@ gap &#91; 3 &#93; .", 'don\'t "go" & stop-gap [3].'),
    ("x &lt; y &gt; z &#124; and @/@ or", "x < y > z | and/or"),
    ("&amp;lt;", "&lt;"),
]
CASES = [
    (name, *case)
    for name, cases in (("wikitext", WIKITEXT), ("ptb", PTB), ("lm1b", LM1B), ("moses", MOSES))
    for case in cases
]
SIGNS = [
    "a",
    "dogs",
    "O",
    "n't",
    "'s",
    "'",
    '"',
    ",",
    ".",
    "(",
    ")",
    "=",
    "–",
    "5",
    "@-@",
    "/",
    "$",
    "%",
    "N",
    "’",
    "x",
]


@pytest.mark.parametrize(("name", "tokens", "expected"), CASES)
def test_each_rule(name: Detokenizer, tokens: str, expected: str) -> None:
    assert detokenize(tokens, name) == expected


@pytest.mark.parametrize("name", NAMES)
def test_plain_text_stays_as_it_is(name: Detokenizer) -> None:
    plain = GARDEN.read_text(encoding="utf8")[:15_000]  # further on dashes are lost, and leave signs free
    plain += "\r\n  It's 'quoted' — \"so\",\tshe said; 'em  and 'tis (e.g. 5%) at 3.5–4 o'clock, don't.  \n\n\n - a\n"
    plain = plain.replace(" — ", "—")
    assert detokenize(plain, name) == plain


@settings(max_examples=400, deadline=None, derandomize=True)
@given(tokens=st.lists(st.sampled_from(SIGNS), max_size=12), name=st.sampled_from(NAMES))
def test_no_word_is_lost_and_again_changes_nothing(tokens: list[str], name: Detokenizer) -> None:
    once = detokenize(" ".join(tokens), name)
    if name != "ptb":
        assert once.replace(" ", "") == "".join(tokens).replace("@-@", "-" if name != "lm1b" else "@-@")
    assert detokenize(once, name) == once


@settings(max_examples=200, deadline=None, derandomize=True)
@given(data=st.data())
def test_pieces_make_no_difference(data: st.DataObject) -> None:
    text = ' A dog , " so " . \n \n = = B = = \r\n it \'s ( 5 @.@ 0 ) \n the end .'
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=5)))
    ends = [0, *cuts, len(text)]
    pieces = [Piece(text[a:b], b == len(text) and i == len(cuts)) for i, (a, b) in enumerate(itertools.pairwise(ends))]
    found = list(detokenized(pieces, "wikitext"))
    assert "".join(piece.text for piece in found if isinstance(piece, Piece)) == detokenize(text, "wikitext")
    assert [piece.last for piece in found if isinstance(piece, Piece)][-1]


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    path = tmp_path / "wiki.tokens"
    words = GARDEN.read_text(encoding="utf8")[:1500].replace(",", " ,").replace(".", " .")
    path.write_text(f" = = A garden = = \n \n {words} \n", encoding="utf8")
    return path


def test_files_are_read_so(tokens: Path, tmp_path: Path) -> None:
    text = tokens.read_text(encoding="utf8")
    assert list(load_corpus([tokens], detokenize="wikitext")) == [detokenize(text, "wikitext")]
    table = tmp_path / "a.jsonl"
    table.write_text(json.dumps({"text": " A dog , so . "}) + "\n" + json.dumps({"text": "it 's"}) + "\n")
    assert [piece.text for piece in read_corpus([table], ReadOptions(detokenize="lm1b"))] == ["A dog, so.", "it's"]
    with pytest.raises(ConfigError, match=r"no detokenizer is named 'wiki'\."):
        ReadOptions(detokenize="wiki")  # type: ignore[arg-type]
    hint = get_type_hints(type("Options", (), {"__annotations__": {"of": Detokenize}}))["of"]
    assert get_args(get_args(hint)[0]) == NAMES


def test_figures_are_of_the_detokenised_text(tokens: Path, tmp_path: Path) -> None:
    """The same as those of a file that holds it, but for what the signature says."""
    infiller, plain = infiller_of(AbsorbingProcess), tmp_path / "plain.txt"
    plain.write_text(detokenize(tokens.read_text(encoding="utf8"), "wikitext"), encoding="utf8")
    raw, found, same = (
        evaluate(infiller, [path], ["nelbo"], detokenize=name)
        for path, name in ((tokens, None), (tokens, "wikitext"), (plain, None))
    )
    assert [(s.value, s.n) for s in found] == [(s.value, s.n) for s in same]
    assert found[1].name == "bits_per_byte" and found[1].n == len(plain.read_bytes()) < raw[1].n
    assert found[0].signature.replace("|detokenize:wikitext|", "|") == same[0].signature
    assert "detokenize" not in raw[0].signature


def test_the_commands_take_it(tokens: Path, tmp_path: Path) -> None:
    model = save_tiny(tmp_path / "model")
    words = ["evaluate", "-m", model, "--data", tokens, "--detokenize", "wikitext", "--metrics"]
    done = run(*words, "nelbo")
    assert done.code == 0 and "|detokenize:wikitext|" in done.text
    assert "Tokens, bytes and words are those of the detokenised text." in done.text
    wrong = run(*words, "nelbo,infill")
    assert wrong.code == 2 and "--detokenize is for the metrics nelbo and entropy, and not for infill" in wrong.err
    words = ["data", "prepare", "--data", tokens, "--tokenizer", model, "--output"]
    assert run(*words, tmp_path / "raw").code == 0
    assert run(*words, tmp_path / "plain", "--detokenize", "wikitext").code == 0
    facts = [json.loads((tmp_path / name / "prepared.json").read_text()) for name in ("raw", "plain")]
    assert facts[0]["sha256"] != facts[1]["sha256"] and facts[1]["characters"] < facts[0]["characters"]
    assert "detokenize" not in facts[0]["made_from"] and facts[1]["made_from"]["detokenize"] == "wikitext"
    other = run(*words, tmp_path / "plain")
    assert other.code == 3 and "detokenize was 'wikitext' and is None" in other.err


def test_pairs_are_read_as_they_are() -> None:
    with pytest.raises(ConfigError, match="detokenize: pairs are read as they are"):
        DataConfig("a.jsonl", detokenize="moses", pairs=PairsConfig(8))


def test_a_recipe_reads_it_so(tokens: Path) -> None:
    data = build(DataConfig, {"train": str(tokens), "detokenize": "wikitext"}, "data")
    text = "".join(piece.text for piece in Texts(data, tokens.parent).pieces(data.train))
    assert text == detokenize(tokens.read_text(encoding="utf8"), "wikitext")
    with pytest.raises(ConfigError, match=r"data\.detokenize"):
        build(DataConfig, {"train": str(tokens), "detokenize": "wiki"}, "data")
