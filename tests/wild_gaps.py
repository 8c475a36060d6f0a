"""Random gaps that can be filled, and a judge of their texts that knows nothing of automata."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

from textdiff.text.document import Span
from textdiff.text.gaps import GapLength, Unit
from textdiff.text.tokenizers import Tokenizer

WORDS = [
    "fire",
    "sea",
    "Mr",
    "old",
    "house",
    "x",
    "1923",
    "né",
    "über",
    "don't",
    "rock-pool",
    "日本",
    "(so)",
    "café,",
    "a_b",
]
"""What witnesses are made of; `ALPHABET` is all that they hold, and more."""
ALPHABET = "".join(sorted({*"".join(WORDS), *"abcdefghijklmnopqrstuvwxyzABC0123456789 .!?…”\n"}))
_ENDS = re.compile(r"[.!?…][\"'”’“‘»«›‹)\]}]*")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclass(frozen=True)
class Asked:
    """What a gap asks for."""

    length: GapLength | None = None
    choices: tuple[str, ...] = ()
    pattern: str | None = None
    must: tuple[str, ...] = ()
    forbid: tuple[str, ...] = ()

    @property
    def markup(self) -> str:
        items = []
        if self.length:
            low, high, unit = self.length.low, self.length.high, self.length.unit
            items.append(f"{low} {unit}" if low == high else f"{low}-{high} {unit}")
        if self.choices:
            items.append("|".join(_escaped(choice) for choice in self.choices))
        if self.pattern is not None:
            items.append("/" + self.pattern.replace("/", r"\/") + "/")
        for key, words in ("must", self.must), ("forbid", self.forbid):
            if words:
                items.append(f"{key}: " + ", ".join(_escaped(word) for word in words))
        return f"[MASK: {'; '.join(items)}]" if items else "[MASK]"

    def span(self, start: int, end: int) -> Span:
        return Span(start, end, None, self.length, self.choices, self.pattern, self.must, self.forbid)

    def fault(self, text: str, left: str = "", right: str = "", tokenizer: Tokenizer | None = None) -> str | None:
        """What is wrong with a text between what stands around it; None if nothing is."""
        around = left[-1:] + text + right[:1]
        if not text or (_CONTROL.search(text) and not self.choices):
            return "empty, or a control code"
        if self.length and not holds(self.length, text, tokenizer):
            return f"not {self.length}"
        if self.choices and text not in self.choices:
            return "not one of the choices"
        if self.pattern is not None and not re.fullmatch(self.pattern, text):
            return f"does not match {self.pattern}"
        for words, wanted in (self.must, True), (self.forbid, False):
            for word in words:
                if _has(around, word, len(left[-1:]), len(left[-1:]) + len(text)) != wanted:
                    return f"{word!r} must {'' if wanted else 'not '}be there"
        return None


def holds(length: GapLength, text: str, tokenizer: Tokenizer | None = None) -> bool:
    """Whether a text has this length, counted on the text."""
    if length.unit == "tokens":
        assert tokenizer is not None
        return bool(token_counts(tokenizer, text) & {*range(length.low, length.high + 1)})
    count = _COUNT[length.unit](text)
    return count is not None and length.low <= count <= length.high


def _words(text: str) -> int | None:
    return len(text.split()) if text == " ".join(text.split()) else None


def _chars(text: str) -> int | None:
    return len(text) if len(text.splitlines()) == 1 and "\t" not in text and text.splitlines()[0] == text else None


def _sentences(text: str) -> int | None:
    if _words(text) is None:
        return None
    found: list[list[str]] = [[]]
    for word in text.split():
        found[-1].append(word)
        if _ends(word):
            found.append([])
    return len(found) - 1 if not found[-1] and all(_says(sentence) for sentence in found[:-1]) else None


def _ends(word: str) -> bool:
    """Whether a word ends a sentence."""
    return any(_ENDS.fullmatch(word, i) for i in range(len(word)))


def _says(sentence: Sequence[str]) -> bool:
    return any(c.isalnum() or c == "_" for word in sentence for c in word)


_COUNT = {"words": _words, "chars": _chars, "sentences": _sentences}


def token_counts(tokenizer: Tokenizer, text: str) -> set[int]:
    """With how many of a tokenizer's pieces a text can be spelled, white space and capitals aside where it has none.

    The space before the first word may be that of the document.
    """
    if tokenizer.kind == "wordpiece":
        text = _bare(text)
        entries = zip(tokenizer.entries, tokenizer.vocabulary.writable().tolist(), strict=True)
        pieces = {_bare(entry.removeprefix(tokenizer.prefix)) for entry, writable in entries if writable}
        return _counts(text, pieces)
    found = zip(tokenizer.pieces, tokenizer.vocabulary.writable().tolist(), strict=True)
    spelled = {piece.decode("utf8", "surrogateescape") for piece, writable in found if writable and piece}
    return _counts(text, spelled) | (_counts(f" {text}", spelled) if tokenizer.carries_spaces else set())


def _bare(text: str) -> str:
    straight = str.maketrans("“”„‘’", '"""\'\'')
    return "".join(text.translate(straight).lower().split())


def _counts(text: str, pieces: set[str]) -> set[int]:
    longest = max(map(len, pieces))
    reached: list[set[int]] = [set() for _ in range(len(text) + 1)]
    reached[0] = {0}
    for i in range(len(text)):
        if reached[i]:
            for j in range(i + 1, min(i + longest, len(text)) + 1):
                if text[i:j] in pieces:
                    reached[j] |= {k + 1 for k in reached[i]}
    return reached[-1]


def _has(text: str, word: str, start: int, stop: int) -> bool:
    """Whether a word stands in text[start:stop], with no letter, digit or underscore next to it in the whole text."""
    for match in re.finditer(rf"(?=(?<!\w){re.escape(word)}(?!\w))", text, re.IGNORECASE):
        if match.start() >= start and match.start() + len(word) <= stop:
            return True
    return False


def _escaped(choice: str) -> str:
    escaped = re.sub(r"([|;\[\],:/\\])", r"\\\1", choice)
    return re.sub(r" \Z", r"\\ ", re.sub(r"\A ", r"\\ ", escaped))


def wild_gap(rng: random.Random, tokenizer: Tokenizer, words: Sequence[str] = WORDS) -> Asked:
    """A gap that asks for one to three things which a text, made up here and thrown away, does all justice to."""
    kinds = rng.sample(["length", "choices", "pattern", "must", "forbid"], rng.choice([1, 1, 1, 2, 2, 3]))
    if "length" in kinds and rng.random() < 0.3:
        witness = " ".join(_sentence(rng, words) for _ in range(rng.randint(1, 2)))
        unit: Unit = "sentences"
    else:
        witness = " ".join(rng.choice(words) for _ in range(rng.randint(1, 4)))
        unit = rng.choice(["words", "words", "chars", "tokens"])
    asked = Asked(
        length=_length(rng, witness, unit, tokenizer, alone=len(kinds) == 1) if "length" in kinds else None,
        choices=_choices(rng, witness, words) if "choices" in kinds else (),
        pattern=_pattern(rng, witness) if "pattern" in kinds else None,
        must=_must(rng, witness) if "must" in kinds else (),
        forbid=_forbid(rng, witness) if "forbid" in kinds else (),
    )
    assert asked.fault(witness, tokenizer=tokenizer) is None, (
        witness,
        asked,
        asked.fault(witness, tokenizer=tokenizer),
    )
    return asked


def _sentence(rng: random.Random, words: Sequence[str]) -> str:
    return " ".join(rng.choice(words) for _ in range(rng.randint(1, 3))) + rng.choice(".!?…")


def _length(rng: random.Random, witness: str, unit: Unit, tokenizer: Tokenizer, alone: bool) -> GapLength:
    if unit == "tokens":
        count = len(tokenizer.encode(witness))
        # whether the first word's space is the document's own can take or cost a token or two
        low, high = (count, count + rng.choice([0, 3])) if alone else (max(count - 2, 1), count + 3)
        return GapLength(low, high, unit)
    found = _COUNT[unit](witness)
    assert found is not None
    return GapLength(max(1, found - rng.choice([0, 0, 1])), found + rng.choice([0, 0, 2]), unit)


def _choices(rng: random.Random, witness: str, words: Sequence[str]) -> tuple[str, ...]:
    others = {" ".join(rng.choice(words) for _ in range(rng.randint(1, 3))) for _ in range(rng.randint(1, 5))}
    if not others - {witness}:
        others = {witness + " x"}
    return tuple(rng.sample(sorted({witness, *others}), len({witness, *others})))


def _pattern(rng: random.Random, witness: str) -> str:
    """Makes each character more general, and sometimes repeats or drops some."""
    pieces = []
    for character in witness:
        ways = [re.escape(character), "."]
        if character.isdigit():
            ways += [r"\d", "[0-9]", r"\d{1,2}", rf"(?:{character}|[89])"]
        elif character.isalpha() and character.isascii():
            ways += ["[a-zA-Z]", r"\w", r"[^\W\d]+", rf"(?:{character}|q)", f"{character}{{1,3}}", r"[^\s/;\]]"]
        pieces.append(rng.choice(ways))
    cut = rng.randrange(len(pieces))
    pattern = "".join(pieces[:cut]) + rng.choice(["", "", "x?", "(?:no)*", "[ ]{0,2}"]) + "".join(pieces[cut:])
    return pattern + rng.choice(["", "", "", "|yes", "|[A-C]{2,3}/;"])


def _must(rng: random.Random, witness: str) -> tuple[str, ...]:
    found = sorted({word.casefold(): word for word in re.findall(r"\w+", witness)}.values())
    chosen = rng.sample(found, min(len(found), rng.choice([1, 1, 2])))
    return tuple(rng.choice([word, word.upper()]) for word in chosen)


def _forbid(rng: random.Random, witness: str) -> tuple[str, ...]:
    words = [
        word
        for word in ("a", "I", "of", "fire", "sea", "Mr", "né", "日本", "i")
        if not _has(witness, word, 0, len(witness))
    ]
    kept = sorted({word.casefold(): word for word in words}.values())
    return tuple(rng.sample(kept, rng.randint(1, 3)))
