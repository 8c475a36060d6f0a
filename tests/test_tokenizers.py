"""Tokenizers: exact bytes, text that looks like markup, and the folders of other libraries."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers, processors
from tokenizers import Tokenizer as Backend

from textdiff.errors import CheckpointError, ConfigError, DataError
from textdiff.text.tokenizers import Tokenizer, load_tokenizer, train_tokenizer

KINDS = {"byte_bpe": 400, "sentencepiece_unigram": 320, "sentencepiece_bpe": 400, "characters": 60}
EXACT = ["byte_bpe", "sentencepiece_unigram", "sentencepiece_bpe"]
STORY = [
    "The miller's daughter went down to the river in 1849, and there she saw the old ferryman asleep.",
    'He woke and said: "Where are you going?" - "To the market," she answered, and laughed.',
    "They talked of the weather, of the harvest, and of the king who never came back from the sea.",
    "In the evening the lights of the town were seen; the river was quiet. (Nobody spoke.)\n\nThe end.",
] * 20
LITERALS = ["[PAD]", "[MASK]", "[END]", "[FILL]", "[UNK]", "<mask>", "<s>", "<0x41>", "<0xE2>", "▁", "Ġ", "[MASK: 2]"]
NASTY = [
    *LITERALS,
    "\r\n",
    "\0",
    "😀",
    "\ufeff",
    "e\u0301",
    " ",
    "   ",
    "\t",
    "\u2028",
    "1849",
    "don't",
    "▅",
    "\U0010ffff",
]
text = st.lists(st.one_of(st.sampled_from(NASTY), st.text(max_size=8)), max_size=10).map("".join)


@pytest.fixture(scope="module")
def trained() -> dict[str, Tokenizer]:
    return {kind: train_tokenizer(kind, iter(STORY), size) for kind, size in KINDS.items()}


@pytest.mark.parametrize("kind", EXACT)
@settings(max_examples=300, derandomize=True)
@given(sample=text)
def test_i1_any_text_survives_encoding_and_its_literals_stay_text(
    trained: dict[str, Tokenizer], kind: str, sample: str
) -> None:
    tokenizer = trained[kind]
    ids = tokenizer.encode(sample)
    assert tokenizer.decode(ids) == sample
    assert b"".join(tokenizer.pieces[i] for i in ids) == sample.encode()
    assert tokenizer.vocabulary.writable()[ids].all() and tokenizer.vocabulary.filler_id not in ids


@settings(max_examples=100, derandomize=True)
@given(sample=st.text(alphabet=sorted(set("".join(STORY))), max_size=40))
def test_characters_are_exact_within_their_alphabet(trained: dict[str, Tokenizer], sample: str) -> None:
    tokenizer = trained["characters"]
    assert tokenizer.decode(tokenizer.encode(sample)) == sample
    assert len(tokenizer.encode(sample)) == len(sample)


def test_characters_outside_the_alphabet_are_unknown(trained: dict[str, Tokenizer]) -> None:
    tokenizer = trained["characters"]
    assert tokenizer.encode("a\u4e2d") == [tokenizer.encode("a")[0], tokenizer.unknown_id]
    assert tokenizer.unknown_id in tokenizer.vocabulary.special_ids


def test_characters_keep_the_most_frequent() -> None:
    tokenizer = train_tokenizer("characters", ["aaabbc"], 7)
    assert [tokenizer.decode(tokenizer.encode(c)) for c in "abc"] == ["a", "b", ""]


@pytest.mark.parametrize("kind", list(KINDS))
def test_own_special_tokens_stand_first(trained: dict[str, Tokenizer], kind: str) -> None:
    tokenizer = trained[kind]
    vocabulary = tokenizer.vocabulary
    names = [tokenizer.backend.id_to_token(i) for i in range(4)]
    assert names == ["[PAD]", "[MASK]", "[END]", "[FILL]"]
    assert (vocabulary.pad_id, vocabulary.mask_id, vocabulary.filler_id) == (0, 1, 3)
    assert vocabulary.special_ids == ((0, 1, 2, 4) if kind == "characters" else (0, 1, 2))
    assert vocabulary.size <= KINDS[kind]
    assert (tokenizer.prefix_ids, tokenizer.suffix_ids) == ([2], [2])
    assert tokenizer.pieces[:4] == [b""] * 4 and all(tokenizer.pieces[5:])


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_saved_folder_loads_the_same(trained: dict[str, Tokenizer], kind: str, tmp_path: Path) -> None:
    tokenizer = trained[kind]
    tokenizer.save(tmp_path / "t")
    again = load_tokenizer(tmp_path / "t")
    assert (again.kind, again.vocabulary, again.pieces) == (tokenizer.kind, tokenizer.vocabulary, tokenizer.pieces)
    assert (again.prefix_ids, again.suffix_ids, again.roles) == (
        tokenizer.prefix_ids,
        tokenizer.suffix_ids,
        tokenizer.roles,
    )
    assert again.unknown_id == tokenizer.unknown_id
    assert again.backend.to_str() == tokenizer.backend.to_str(), "prepared corpora know their tokenizer by this"
    assert again.encode_many(STORY[:4]) == tokenizer.encode_many(STORY[:4])


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_saved_folder_is_one_of_transformers_too(trained: dict[str, Tokenizer], kind: str, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = trained[kind]
    tokenizer.save(tmp_path)
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    assert (theirs.mask_token_id, theirs.pad_token_id) == (1, 0)
    assert theirs(STORY[0])["input_ids"] == [2, *tokenizer.encode(STORY[0]), 2]
    assert theirs("the [MASK] sea")["input_ids"].count(1) == 1
    assert theirs.decode(theirs(STORY[3])["input_ids"], skip_special_tokens=True) == STORY[3]
    assert theirs(["a", "the sea"], padding=True)["input_ids"][0][-1] == 0


@pytest.mark.parametrize("kind", EXACT)
def test_words_carry_the_space_before_them(trained: dict[str, Tokenizer], kind: str) -> None:
    tokenizer = trained[kind]
    ids = tokenizer.encode("and the river")
    the = [tokenizer.pieces[i] for i in ids].index(b" the")
    assert bool(tokenizer.starts_with_space[ids[the]]) and not bool(tokenizer.starts_with_space[ids[0]])
    assert tokenizer.opens.equal(tokenizer.starts_with_space)
    assert tokenizer.keeps_whitespace and not tokenizer.writes_first_space
    assert not tokenizer.utf8[tokenizer.encode("é")[0]]


def test_i1_a_literal_is_cut_like_any_text() -> None:
    tokenizer = train_tokenizer("byte_bpe", ["a [b] [c]"] * 20, 300)
    assert tokenizer.pieces[tokenizer.encode("a [MASK]")[1]] == b" ["


def test_digits_stand_alone(trained: dict[str, Tokenizer]) -> None:
    pieces = [trained["byte_bpe"].pieces[i] for i in trained["byte_bpe"].encode("in 1849")]
    assert [p.strip() for p in pieces if p.strip().isdigit()] == [b"1", b"8", b"4", b"9"]


def test_sentencepiece_bpe_cuts_as_sentencepiece_does() -> None:
    sentencepiece = pytest.importorskip("sentencepiece")
    import io

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(line for part in STORY for line in part.splitlines() if line),
        model_writer=model, model_type="bpe", vocab_size=400, hard_vocab_limit=False, byte_fallback=True,
        normalization_rule_name="identity", add_dummy_prefix=False, remove_extra_whitespaces=False, split_digits=True,
        minloglevel=2,
    )  # fmt: skip
    theirs = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    ours = train_tokenizer("sentencepiece_bpe", iter(STORY), 401)
    line = "Nobody saw the old king asleep in the evening; the market of the town was quiet."
    assert [ours.pieces[i].decode() for i in ours.encode(line)] == [
        p.replace("▁", " ") for p in theirs.encode(line, out_type=str)
    ]


@pytest.mark.parametrize(
    ("kind", "texts", "size", "error", "message"),
    [
        ("byte_pair", ["a"], 500, ConfigError, "no tokenizer is named 'byte_pair'"),
        ("byte_bpe", ["a"], 200, ConfigError, "vocab_size must be at least 260 for byte_bpe, got 200"),
        ("characters", ["", ""], 50, DataError, "no text to train"),
        ("sentencepiece_unigram", ["a"], 260, ConfigError, "sentencepiece could not train 260 pieces"),
    ],
)
def test_training_that_cannot_be_done(
    kind: str, texts: list[str], size: int, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        train_tokenizer(kind, texts, size)


def test_d2_a_lone_surrogate_is_refused(trained: dict[str, Tokenizer]) -> None:
    with pytest.raises(DataError, match="lone surrogate"):
        trained["byte_bpe"].encode_many(["fine", "a\ud800"])


BERT = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "[unused0]",
    "the",
    "river",
    "##s",
    "un",
    "##known",
    "don",
    "t",
    "say",
]
BERT += [*"[](),.'\"-", "mask", "café", "cafe"]


@pytest.fixture
def bert(tmp_path: Path) -> Tokenizer:
    (tmp_path / "vocab.txt").write_text("\n".join(BERT) + "\n", encoding="utf-8")
    return load_tokenizer(tmp_path)


def test_wordpiece_pieces_say_where_words_begin(bert: Tokenizer) -> None:
    ids = bert.encode('The rivers, "unknown"')
    assert [bert.pieces[i] for i in ids] == [b" the", b" river", b"s", b",", b'"', b" un", b"known", b'"']
    assert bert.decode(ids) == ' the rivers, "unknown"'
    assert (bert.kind, bert.prefix_ids, bert.suffix_ids, bert.unknown_id) == ("wordpiece", [2], [3], 1)
    assert bert.vocabulary.special_ids == (0, 1, 2, 3, 4, 5) and bert.vocabulary.mask_id == 4
    assert [bool(bert.opens[i]) for i in ids] == [True, True, False, True, True, True, False, True]


@pytest.mark.parametrize(
    ("sample", "printed"),
    [
        ("don't say", " don't say"),
        ("(the river)", " (the river)"),
        ("the-river", " the-river"),
        ('say "the", un', ' say "the", un'),
    ],
)
def test_wordpiece_is_set_as_english(bert: Tokenizer, sample: str, printed: str) -> None:
    assert bert.decode(bert.encode(sample)) == printed


def test_i1_wordpiece_reads_its_own_names_as_text(bert: Tokenizer) -> None:
    ids = bert.encode("[MASK] the [unused0] [CLS]")
    assert bert.vocabulary.mask_id not in ids and bert.prefix_ids[0] not in ids and 5 not in ids
    assert [bert.pieces[i] for i in ids[:3]] == [b"[", b" mask", b"]"]


def test_reserved_rows_of_bert_are_never_written(tmp_path: Path) -> None:
    """BERT's own tokenizer.json does not list them as special."""
    backend = Backend(models.WordPiece({token: i for i, token in enumerate(BERT)}, unk_token="[UNK]"))
    backend.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    backend.save(str(tmp_path / "tokenizer.json"))
    assert load_tokenizer(tmp_path).vocabulary.special_ids == (0, 1, 2, 3, 4, 5)


def test_a_cased_vocabulary_keeps_case(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("[UNK]\n[MASK]\nThe\nthe\n##s\n", encoding="utf-8")
    assert load_tokenizer(tmp_path).encode("The the") == [2, 3]
    (tmp_path / "tokenizer_config.json").write_text('{"do_lower_case": true}', encoding="utf-8")
    assert load_tokenizer(tmp_path).encode("The the") == [3, 3]


def _unigram(path: Path) -> None:
    pieces = ["<s>", "<pad>", "</s>", "<unk>", "▁", "▁the", *"abcthesmk<>/,", "<mask>"]
    pieces = list(dict.fromkeys(pieces))
    special = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
    scores = [(p, 0.0 if p in special else -2.0 - 2.0 * (len(p) == 1)) for p in pieces]
    backend = Backend(models.Unigram(scores, unk_id=3))
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    backend.add_special_tokens([AddedToken(p, special=True) for p in special])
    backend.post_processor = processors.TemplateProcessing("<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
    backend.enable_truncation(3)
    backend.enable_padding(length=8, pad_id=1, pad_token="<pad>")
    backend.save(str(path / "tokenizer.json"))


def test_i1_a_lattice_cannot_find_special_tokens_in_text(tmp_path: Path) -> None:
    """A unigram vocabulary lists its special tokens with score 0: left alone it would read "<s>" as the token."""
    _unigram(tmp_path)
    tokenizer = load_tokenizer(tmp_path)
    ids = tokenizer.encode("the <s>b<mask></s>")
    assert tokenizer.decode(ids) == " the <s>b<mask></s>"
    assert tokenizer.vocabulary.writable()[ids].all()
    assert tokenizer.decode(tokenizer.encode("<s>" * 3000, start=False)) == "<s>" * 3000


def test_truncation_and_padding_of_a_file_are_switched_off(tmp_path: Path) -> None:
    _unigram(tmp_path)
    tokenizer = load_tokenizer(tmp_path)
    assert len(tokenizer.encode("the the the the the")) == 5
    assert [len(ids) for ids in tokenizer.encode_many(["the", "the the the the"])] == [1, 4]
    tokenizer.save(tmp_path / "again")
    spec = json.loads((tmp_path / "again" / "tokenizer.json").read_text(encoding="utf-8"))
    assert spec["truncation"] is None and spec["padding"] is None


def test_a_space_is_written_before_the_first_word_of_a_document_only(tmp_path: Path) -> None:
    _unigram(tmp_path)
    tokenizer = load_tokenizer(tmp_path)
    assert tokenizer.writes_first_space and not tokenizer.keeps_whitespace
    assert tokenizer.decode(tokenizer.encode("the")) == " the"
    assert tokenizer.decode(tokenizer.encode("the", start=False)) == "the"
    assert tokenizer.decode(tokenizer.encode(", the", start=False)) == ", the"
    assert (tokenizer.prefix_ids, tokenizer.suffix_ids, tokenizer.kind) == ([0], [2], "metaspace")


def test_bytes_of_a_sentencepiece_bpe_with_byte_fallback(tmp_path: Path) -> None:
    entries = [
        "<unk>",
        "<s>",
        "</s>",
        "<mask>",
        *(f"<0x{b:02X}>" for b in range(256)),
        "▁",
        "t",
        "he",
        "h",
        "e",
        "▁t",
        "▁the",
    ]
    merges = [("▁", "t"), ("h", "e"), ("▁t", "he")]
    backend = Backend(models.BPE({e: i for i, e in enumerate(entries)}, merges, unk_token="<unk>", byte_fallback=True))
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    backend.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    backend.add_special_tokens([AddedToken(e, special=True) for e in entries[:4]])
    backend.save(str(tmp_path / "tokenizer.json"))
    tokenizer = load_tokenizer(tmp_path)
    assert tokenizer.kind == "metaspace" and tokenizer.pieces[4 + 0xE9] == b"\xe9" and tokenizer.pieces[-1] == b" the"
    assert tokenizer.decode(tokenizer.encode(" the é\r\n", start=False)) == " the é\r\n"
    assert tokenizer.keeps_whitespace and tokenizer.writes_first_space


def test_roberta_files(tmp_path: Path) -> None:
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    entries = ["<s>", "<pad>", "</s>", "<unk>", *letters, "Ġt", "he", "Ġthe", "<mask>"]
    vocab = {entry: i for i, entry in enumerate(entries)}
    (tmp_path / "vocab.json").write_text(json.dumps(vocab), encoding="utf-8")
    (tmp_path / "merges.txt").write_text("#version: 0.2\nĠ t\nh e\nĠt he\n", encoding="utf-8")
    tokenizer = load_tokenizer(tmp_path, size=300)
    ids = tokenizer.encode("é the<mask>\r\n")
    assert tokenizer.decode(ids) == "é the<mask>\r\n" and vocab["Ġthe"] in ids and vocab["<mask>"] not in ids
    assert tokenizer.vocabulary.mask_id == vocab["<mask>"] and tokenizer.vocabulary.size == 300
    assert set(range(len(entries), 300)) < set(tokenizer.vocabulary.special_ids)
    assert tokenizer.prefix_ids == [0] and tokenizer.suffix_ids == [2]


def test_the_longest_entry_matches(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nC\nCl\nl\n[nH]\n(\n", encoding="utf-8")
    tokenizer = load_tokenizer(tmp_path)
    assert tokenizer.kind == "longest_match" and not tokenizer.carries_spaces
    assert tokenizer.encode("CCl([nH]?C") == [5, 6, 9, 8, 1, 5]
    tokenizer.save(tmp_path / "again")
    assert load_tokenizer(tmp_path / "again").encode("CCl([nH]?C") == [5, 6, 9, 8, 1, 5]
    assert tokenizer.vocabulary.mask_id not in tokenizer.encode("C[MASK]")


def test_reactions_are_cut_as_their_model_was_trained(development_data: object) -> None:
    tokenizer = load_tokenizer(development_data("rxn-albert-mlm"))  # type: ignore[operator]
    usual = re.compile(
        r"(\[[^\]]+]|Br?|Cl?|N|O|S|P|F|I|b|c|n|o|s|p|\(|\)|\.|=|#|-|\+|\\\\|\/|:|~|@|\?|>>?|\*|\$|\%[0-9]{2}|[0-9])"
    )
    for smiles in [
        "CC(C)S.CN(C)C=O.Fc1cccnc1F.O=C([O-])[O-].[K+].[K+]>>CC(C)Sc1ncccc1F",
        "O=C(Cl)c1ccccc1Br.N[C@@H](C)C(=O)O>>C[C@H](NC(=O)c1ccccc1Br)C(=O)O",
        "[nH]1cccc1.CC(=O)OC(C)=O>>CC(=O)n1cccc1",
    ]:
        assert [tokenizer.pieces[i].decode() for i in tokenizer.encode(smiles)] == usual.findall(smiles)
    assert (tokenizer.prefix_ids, tokenizer.suffix_ids, tokenizer.vocabulary.mask_id) == ([12], [13], 14)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "holds no tokenizer"),
        ({"tokenizer.json": '{"version": "1.0", "model": {"ty'}, "not a tokenizer that can be read"),
        ({"tokenizer.json": "[" * 100_000}, "not a tokenizer that can be read"),
        ({"vocab.txt": "a\nb\n"}, r"has no \[UNK\] entry"),
        ({"vocab.txt": "[UNK]\na\n", "tokenizer_config.json": "[1]"}, "must hold a JSON object"),
        ({"vocab.txt": "[UNK]\na\n", "tokenizer_config.json": "{"}, "not valid JSON"),
        ({"vocab.json": '{"a": 0}', "merges.txt": "x y\n"}, "do not fit together"),
    ],
)
def test_s1_folders_that_cannot_be_used(files: dict[str, str], message: str, tmp_path: Path) -> None:
    for name, content in files.items():
        (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(CheckpointError, match=message):
        load_tokenizer(tmp_path)


def test_s1_code_named_by_a_folder_is_not_run(tmp_path: Path, trained: dict[str, Tokenizer]) -> None:
    trained["byte_bpe"].save(tmp_path)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text(encoding="utf-8"))
    config["auto_map"] = {"AutoTokenizer": ["evil.Evil", None]}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'canary')!r}, 'w')\n", encoding="utf-8")
    assert load_tokenizer(tmp_path).vocabulary == trained["byte_bpe"].vocabulary
    assert not (tmp_path / "canary").exists()
