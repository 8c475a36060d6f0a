"""Token automata: they accept exactly the ids that spell a text of the language."""

from __future__ import annotations

import itertools
import lzma
import random
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wordpieces import of_entries

from textdiff.errors import DataError
from textdiff.text import automaton, outcomes, tables
from textdiff.text.automaton import TokenAutomaton, compile_automaton
from textdiff.text.dfa import Language
from textdiff.text.language import anything, characters, choices, containing, matching, sentences, words
from textdiff.text.spelling import Spelling
from textdiff.text.tokenizers import Tokenizer, load_tokenizer, train_tokenizer

NAMES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = [*NAMES, "the", "i", "sea", "##s", "s", "3", "##0", ",", ".", "'", '"', "-", "(", ")", "mr"]
CHEMISTRY = [*NAMES, "C", "Cl", "l", "(", ")", "=", "[nH]"]
STORY = ["The old king saw the sea. It was 1849.\nNever an é!"] * 30
LANGUAGES: dict[str, Callable[[], Language]] = {
    "anything": anything,
    "one word": lambda: words(1, 1),
    "words": lambda: words(2, 3),
    "characters": lambda: characters(2, 5),
    "a sentence": lambda: sentences(1, 1),
    "choices": lambda: choices(["The sea", "the", "I", "Cl(", "a", "it's", "he"]),
    "a pattern": lambda: matching(r"[A-Za-z](\w|[ .,'(l])*"),
    "with a word": lambda: words(1, 3) & containing("the"),
    "without words": lambda: anything() & ~containing("sea") & ~containing("i"),
}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tokenizer]:
    folder = tmp_path_factory.mktemp("tiny")
    return {
        "wordpiece": of_entries(folder / "uncased", WORDS),
        "cased": of_entries(folder / "cased", [*WORDS, "The"]),
        "longest_match": of_entries(folder / "chemistry", CHEMISTRY),
        "byte_bpe": train_tokenizer("byte_bpe", iter(STORY), 300),
        "metaspace": train_tokenizer("sentencepiece_unigram", iter(STORY), 290),
        "characters": train_tokenizer("characters", iter(STORY), 60),
    }


def some_ids(tokenizer: Tokenizer) -> list[int]:
    """All ids of a small vocabulary; of a larger one the special ones, a byte, a control code, letters and words."""
    if tokenizer.vocabulary.size < 25:
        return list(range(tokenizer.vocabulary.size))
    wanted = [b" ", b"a", b"e", b"s", b"I", b"\n", b".", b"\xc3", b"\x07", b" the", b" s", b" sea", b"The", b"he"]
    found = [tokenizer.pieces.index(piece) for piece in wanted if piece in tokenizer.pieces]
    return [*range(4), *found]


@pytest.mark.parametrize("name", LANGUAGES)
@pytest.mark.parametrize("kind", ["wordpiece", "cased", "longest_match", "byte_bpe", "metaspace", "characters"])
def test_all_short_sequences_of_ids_are_judged_rightly(tiny: dict[str, Tokenizer], kind: str, name: str) -> None:
    tokenizer, language = tiny[kind], LANGUAGES[name]()
    spelling, chosen = tokenizer.spelling, some_ids(tokenizer)
    for left in ("", "the ", 'I say "the') if kind != "longest_match" else ("",):
        start = spelling.start(left, "")
        # the text and the state of all sequences that may be written, and whether each sequence is right
        written, fits = {(): ("", start)}, dict[tuple[int, ...], bool]()
        for before in (ids for length in range(3) for ids in list(written) if len(ids) == length):
            text, state = written[before]
            texts, nexts = spelling.texts(state), spelling.nexts(state)
            for i in chosen:
                more = texts[i]
                fits[(*before, i)] = more is not None and language.accepts(text + more)
                if more is not None:
                    written[(*before, i)] = text + more, int(nexts[i])
        try:
            compiled = compile_automaton(language, spelling, start)
        except DataError:
            assert not any(fits.values())
            continue
        table, classes, final = compiled.table.tolist(), compiled.classes.tolist(), compiled.final.tolist()
        places = {(): 0}
        for ids, expected in fits.items():
            before = places[ids[:-1]]
            places[ids] = table[before][classes[ids[-1]]] if before >= 0 else -1
            assert expected == (places[ids] >= 0 and final[places[ids]]), written.get(ids)
            assert len(ids) == 3 or compiled.accepts(ids) == expected
        well_made(compiled)


def well_made(compiled: TokenAutomaton) -> None:
    """Every state can be reached and can end, no two classes do the same, and none is without an id."""
    table, final = compiled.table.numpy(), compiled.final.numpy()
    assert compiled.table.dtype == compiled.classes.dtype and (table >= -1).all() and (table < len(table)).all()
    reached, useful = {0}, set(np.flatnonzero(final).tolist())
    while True:
        ahead = reached | {int(t) for s in reached for t in table[s] if t >= 0}
        back = useful | {s for s in range(len(table)) if useful & set(table[s].tolist())}
        if (ahead, back) == (reached, useful):
            break
        reached, useful = ahead, back
    assert reached == useful == set(range(len(table)))
    assert len({column.tobytes() for column in table.T}) == table.shape[1]
    assert sorted(set(compiled.classes.tolist())) == list(range(table.shape[1]))


def walks(compiled: TokenAutomaton, chance: random.Random, count: int) -> list[list[int]]:
    """Sequences that an automaton accepts, and others that differ from them in one place."""
    members = [(compiled.classes == c).nonzero().flatten().tolist() for c in range(compiled.table.shape[1])]
    table, found = compiled.table.tolist(), []
    while len(found) < count:
        ids, state = [], 0
        for _ in range(chance.randint(1, 12)):
            moves = [(c, after) for c, after in enumerate(table[state]) if after >= 0]
            if not moves:
                break
            group, state = chance.choice(moves)
            ids.append(chance.choice(members[group]))
        found.append(ids)
        place = chance.randrange(len(ids))
        found.append([*ids[:place], chance.randrange(len(compiled.classes)), *ids[place + 1 :]])
    return found


def unpacked(path: Path) -> str:
    return lzma.decompress(path.read_bytes()).decode()


@pytest.fixture(scope="module")
def large(
    tmp_path_factory: pytest.TempPathFactory, development_data: Callable[[str], Path]
) -> Callable[[str], Tokenizer]:
    def load(name: str) -> Tokenizer:
        if name == "packaged":
            return load_tokenizer(Path(automaton.__file__).parents[1] / "packaged" / "default")
        data, folder = development_data("tokenizers"), tmp_path_factory.mktemp(name)
        if name == "bert":
            return of_entries(folder, unpacked(data / "bert-base-uncased.vocab.txt.xz").split("\n")[:-1])
        (folder / "vocab.json").write_text(unpacked(data / "gpt2.encoder.json.xz"), encoding="utf-8")
        (folder / "merges.txt").write_text(unpacked(data / "gpt2.vocab.bpe.xz"), encoding="utf-8")
        return load_tokenizer(folder)

    return load


@pytest.mark.parametrize("name", ["bert", "gpt2", "packaged"])
def test_random_sequences_of_real_vocabularies_are_judged_rightly(large: Callable[[str], Tokenizer], name: str) -> None:
    spelling, chance = large(name).spelling, random.Random(0)
    for asked, language in [
        *((asked, make()) for asked, make in LANGUAGES.items() if asked != "choices"),
        ("a date", matching(r"\d{1,2} (May|June) \d{4}\.")),
        ("choices", choices(["Yes", "no, I don't", "3.14", "10,000", 'He said, "No."', "well-known"])),
        ("forty characters", characters(40, 40)),
    ]:
        start = spelling.start('Darcy saw Darcy. He said, "It was ', ' the sea."')
        compiled = compile_automaton(language, spelling, start)
        accepted = 0
        for ids in walks(compiled, chance, 60):
            expected = right(language, spelling, start, ids)
            assert compiled.accepts(ids) == expected, (asked, spelling.text(ids, start))
            accepted += expected
        assert accepted > 0


def right(language: Language, spelling: Spelling, start: int, ids: Iterable[int]) -> bool:
    """What an automaton must say, by the definition."""
    ids, state, kinds = list(ids), start, spelling.kinds(start)
    for i in ids:
        move = spelling.moves(state)[kinds[i]]
        if not move.fits:
            return False
        state = move.next
    return language.accepts(spelling.text(ids, start))


@pytest.mark.parametrize("name", ["choices", "words", "a sentence", "anything"])
@pytest.mark.parametrize("kind", ["wordpiece", "longest_match", "byte_bpe"])
def test_lengths_are_those_of_accepted_sequences(tiny: dict[str, Tokenizer], kind: str, name: str) -> None:
    spelling = tiny[kind].spelling
    try:
        compiled = compile_automaton(LANGUAGES[name](), spelling, spelling.start("", ""))
    except DataError:
        assert (kind, name) == ("longest_match", "words") or name == "a sentence"
        return
    table, final = compiled.table.tolist(), compiled.final.tolist()
    states, expected = {0}, []
    for length in range(1, 9):
        states = {after for state in states for after in table[state] if after >= 0}
        expected += [length] if any(final[state] for state in states) else []
    assert compiled.lengths(8) == expected != []
    assert compiled.lengths(2) == [k for k in expected if k <= 2]
    shortest = expected[0]
    if shortest <= 2:
        one = [(compiled.classes == c).nonzero()[0].item() for c in range(len(table[0]))]
        assert any(compiled.accepts(ids) for ids in itertools.product(one, repeat=shortest))


def test_a_language_of_some_lengths(tiny: dict[str, Tokenizer]) -> None:
    spelling = tiny["characters"].spelling
    compiled = compile_automaton(matching("(the )*sea"), spelling, spelling.start("", ""))
    assert compiled.lengths(20) == [3, 7, 11, 15, 19]


def test_what_cannot_be_written_is_refused(tiny: dict[str, Tokenizer]) -> None:
    for kind, asked in (("characters", "Z"), ("wordpiece", "the river"), ("longest_match", " ")):
        spelling = tiny[kind].spelling
        with pytest.raises(DataError, match="this model's tokens cannot write any text that the gap asks for"):
            compile_automaton(choices([asked]), spelling, spelling.start("", ""))


@pytest.mark.parametrize("place", [automaton, outcomes])
def test_an_automaton_that_is_too_large_is_refused(
    tiny: dict[str, Tokenizer], monkeypatch: pytest.MonkeyPatch, place: object
) -> None:
    monkeypatch.setattr(place, "MAX_CELLS", 400)
    spelling = train_tokenizer("byte_bpe", iter(STORY), 300).spelling
    with pytest.raises(DataError, match="too large an automaton with this model's tokens: ask for less at once"):
        compile_automaton(words(2, 9) & containing("sea"), spelling, spelling.start("", ""))


def test_what_is_compiled_is_kept(tiny: dict[str, Tokenizer]) -> None:
    spelling, language = tiny["wordpiece"].spelling, words(1, 2)
    start, other = spelling.start("", ""), spelling.start('"So', "")
    first = compile_automaton(language, spelling, start)
    assert compile_automaton(language, spelling, start) is first
    assert compile_automaton(language, spelling, other) is not first


def test_words_of_a_word_piece_model_take_few_states(large: Callable[[str], Tokenizer]) -> None:
    spelling = large("bert").spelling
    for left in ("He went to ", 'He said, "It is '):
        compiled = compile_automaton(words(1, 1), spelling, spelling.start(left, ""))
        assert len(compiled.table) <= 40
        assert len(compile_automaton(anything(), spelling, spelling.start(left, "")).table) <= 8


small = st.lists(st.lists(st.integers(-1, 2), min_size=3, max_size=3), min_size=1, max_size=30)


@pytest.mark.parametrize("colliding", [False, True])
@settings(max_examples=100, derandomize=True)
@given(rows=small)
def test_equal_rows_and_only_they_have_one_number(colliding: bool, rows: list[list[int]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        if colliding:  # hashes of different rows meet: the answer must be the same
            patch.setattr(tables, "_weights", lambda count: np.ones(count, np.uint64))
        numbers, firsts = tables.number_rows(np.array(rows))
    order = list(dict.fromkeys(map(tuple, rows)))
    assert numbers.tolist() == [order.index(tuple(row)) for row in rows]
    assert firsts.tolist() == [rows.index(list(row)) for row in order]


@settings(max_examples=200, derandomize=True)
@given(data=st.data(), size=st.integers(1, 7), symbols=st.integers(1, 3))
def test_states_are_split_and_useless_ones_found(data: st.DataObject, size: int, symbols: int) -> None:
    cells = st.lists(st.integers(-1, size - 1), min_size=symbols, max_size=symbols)
    table = np.array(data.draw(st.lists(cells, min_size=size, max_size=size)))
    final = np.array(data.draw(st.lists(st.booleans(), min_size=size, max_size=size)))

    def outcome(state: int, sequence: tuple[int, ...]) -> int:
        """2: it may end after this sequence; 1: it may not; 0: the sequence cannot be followed."""
        for symbol in sequence:
            state = int(table[state, symbol])
            if state < 0:
                return 0
        return 1 + bool(final[state])

    sequences = [s for n in range(size + 1) for s in itertools.product(range(symbols), repeat=n)][:4000]
    behaviour = [tuple(outcome(state, s) for s in sequences) for state in range(size)]
    if symbols**size <= 3000:
        blocks, firsts = tables.refine(final.astype(np.int64), table)
        order = list(dict.fromkeys(behaviour))
        assert blocks.tolist() == [order.index(b) for b in behaviour]
        assert firsts.tolist() == [behaviour.index(b) for b in order]
        assert tables.ending(table, final).tolist() == [2 in b for b in behaviour]
    sources, targets = tables.edges(table)
    pairs = sorted({(s, int(t)) for s in range(size) for t in table[s] if t >= 0})
    assert list(zip(sources.tolist(), targets.tolist(), strict=True)) == pairs
