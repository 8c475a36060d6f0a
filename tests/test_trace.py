"""The page that plays the filling of a document again: what it shows, and that no text can change what it does."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from layouts import laid_out
from tiny import TEXT, tiny_checkpoint

from textdiff.cli.recording import FRAMES, Change, Look, Recording, Shown
from textdiff.cli.trace import Trace, write_trace
from textdiff.cli.visible import visible
from textdiff.errors import DataError
from textdiff.infiller import Alternative, GapFill, Infiller, InfillResult, LengthOdds, Stats
from textdiff.infiller.writing import Progress
from textdiff.sampling import Event
from textdiff.text.document import Document
from textdiff.text.layout import Layout
from textdiff.text.tokenizers import Tokenizer, train_tokenizer

HOSTILE = (
    "</script><img src=x onerror=alert(1)>",
    "</title></style></main><script>alert(1)</script>",
    '"><svg onload=alert(1)> \' onmouseover=alert(1) x="',
    "<!--<script>",
    "]]> --> &lt;b&gt; &#60;b&#62; {{data}} {{script}} \\u003cb",
    "a\u2028b\u2029c\x00d\x1b]8;;http://x.example\x07e\x9bf",
    "\u202ereversed\u202c \u2066isolated\u2069 \u061c \u200b \ufeff \U000e0041",
    "a\rb\r\nc\td\n",
)


@pytest.fixture(scope="module")
def infiller() -> Infiller:
    checkpoint = tiny_checkpoint()
    return Infiller(checkpoint.model, checkpoint.tokenizer, checkpoint.samplers, "tiny")


TOKENIZER = train_tokenizer("byte_bpe", [TEXT], 300)


@pytest.fixture
def tokenizer() -> Tokenizer:
    return TOKENIZER


def progress(
    layout: Layout, rows: list[int], ids: torch.Tensor, noisy: torch.Tensor, log_p: torch.Tensor | None = None
) -> Progress:
    """What an infiller shows of some rows, given ids, noise and scores of the whole canvas."""
    scores = torch.zeros(ids.shape, dtype=torch.float64) if log_p is None else log_p
    return Progress(torch.tensor(rows), Event(1, 8, ids[rows], noisy[rows], scores[rows]))


def result_of(document: Document, texts: list[str | None], model: str = "tiny", **more: Any) -> InfillResult:
    """A result with these fills; None leaves a gap open."""
    filled = document.fill(texts)
    facts = {
        "score": None,
        "confidence": 0.5,
        "alternatives": (),
        "length_considered": (),
        "visible_bytes": (0, 9),
    } | more
    gaps = [
        GapFill(**{"index": gap.index, "name": gap.name, "start_byte": start, "end_byte": end,
                   "text": gap.markup if text is None else text, "open": text is None, **facts})
        for gap, text, (start, end) in zip(document.gaps, texts, filled.spans, strict=True)
    ]  # fmt: skip
    return InfillResult(filled.text, tuple(gaps), Stats(3, 2, 9, 0.5), model, 7, ())


def views(frames: list[list[Change]]) -> list[dict[tuple[int, int], Shown]]:
    """What each position of each gap looks like in each frame."""
    now: dict[tuple[int, int], Shown] = {}
    seen = []
    for frame in frames:
        now = now | {(change.gap, change.position): change.shown for change in frame}
        seen.append(now)
    return seen


# ------------------------------------------------------------------------------------------------------- recording

steps = st.lists(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=5, max_size=5), max_size=12)


@settings(max_examples=60)
@given(steps)
def test_every_change_is_played(tokenizer_steps: list[list[tuple[bool, int]]]) -> None:
    tokenizer = TOKENIZER
    words = [tokenizer.encode(word)[0] for word in (" the", " old", " and", "a", "b", ",")]
    document = Document.parse(b"[MASK: 2 tokens] x [MASK: 3 tokens]")
    layout = laid_out(document, tokenizer=tokenizer)
    (first, second), recording = layout.slots, Recording(tokenizer)
    places = [*range(first.start, first.stop), *range(second.start, second.stop)]
    assert len(places) == 5
    ids, noisy = layout.canvas.ids.clone(), layout.canvas.free.clone()
    states: list[list[tuple[bool, int]]] = []
    for state in tokenizer_steps:
        for place, (noise, word) in zip(places, state, strict=True):
            ids[0, place], noisy[0, place] = tokenizer.vocabulary.mask_id if noise else words[word], noise
        recording.on_progress(layout, progress(layout, [0], ids, noisy))
        states.append([(noise, 0 if noise else word) for noise, word in state])

    # an oracle that knows the states only: those that differ from the one before, and all noise before them
    seen = [[(True, 0)] * 5]
    seen += [state for before, state in zip([seen[0], *states], states, strict=False) if state != before]
    frames = views(recording.play({0: "", 1: ""})) if states else []
    assert len(frames) == (len(seen) + 1 if states else 0)
    for before, state, shown in zip([seen[0], *seen], seen, frames, strict=False):
        looks = [shown[gap, i].look for gap, count in ((0, 2), (1, 3)) for i in range(count)]
        for (was_noise, old), (noise, word), look in zip(before, state, looks, strict=True):
            if noise:
                assert look == (Look.NOISE if was_noise else Look.BACK)
            else:
                assert look == (Look.SETTLED if (was_noise, old) == (noise, word) else Look.FRESH)
        if not any(noise for noise, _ in state):
            slot_text = "".join(shown[1, i].text for i in range(3))
            assert slot_text == tokenizer.decode([words[word] for _, word in state[2:]]).removeprefix(" ")


def test_what_goes_back_shows_its_text_once_more(tokenizer: Tokenizer) -> None:
    document = Document.parse(b"The [MASK: 2 tokens]")
    layout = laid_out(document, tokenizer=tokenizer)
    slot, recording = layout.slots[0], Recording(tokenizer)
    ids, noisy = layout.canvas.ids.clone(), layout.canvas.free.clone()
    log_p = torch.full(ids.shape, -0.7, dtype=torch.float64)
    old, last = (tokenizer.encode(word)[0] for word in (" old", " and"))
    moves = [(1, last), (0, old), (0, None), (0, last)]
    for position, token in moves:
        place = (0, slot.start + position)
        ids[place], noisy[place] = token or tokenizer.vocabulary.mask_id, token is None
        recording.on_progress(layout, progress(layout, [0], ids, noisy, log_p))
    shown = [[view[0, 0], view[0, 1]] for view in views(recording.play({0: "and and"}))]
    noise, end = Shown(Look.NOISE, "", None), Shown(Look.SETTLED, " and", 50)
    assert shown == [
        [noise, noise],
        [noise, Shown(Look.FRESH, " and", 50)],
        [Shown(Look.FRESH, "old", 50), end],
        [Shown(Look.BACK, "old", None), end],
        [Shown(Look.FRESH, "and", 50), end],
        [Shown(Look.SETTLED, "and", 50), end],
    ]


def test_noise_that_is_a_token_is_shown_as_one(tokenizer: Tokenizer) -> None:
    document = Document.parse(b"The [MASK: 2 tokens]")
    layout = laid_out(document, tokenizer=tokenizer)
    recording = Recording(tokenizer)
    ids = layout.canvas.ids.masked_fill(layout.canvas.free, tokenizer.encode(" old")[0])
    recording.on_progress(layout, progress(layout, [0], ids, layout.canvas.free))
    before, after, end = views(recording.play({0: "xy"}))
    assert [before[0, i] for i in (0, 1)] == [Shown(Look.NOISE, "", None)] * 2
    assert [after[0, i] for i in (0, 1)] == [Shown(Look.NOISE, "old", None), Shown(Look.NOISE, " old", None)]
    # the result has the last word, whatever has been seen
    assert [end[0, i] for i in (0, 1)] == [Shown(Look.SETTLED, "xy", None), Shown(Look.SETTLED, "", None)]


def test_what_is_given_within_a_gap_is_never_new(tokenizer: Tokenizer) -> None:
    document = Document.parse(b"The [MASK: 4 tokens]")
    layout = laid_out(document, tokenizer=tokenizer)
    slot, canvas = layout.slots[0], layout.canvas
    fillers = slice(slot.stop - 2, slot.stop)
    canvas.frozen[0, fillers], canvas.ids[0, fillers] = True, tokenizer.vocabulary.filler_id or 0
    ids = canvas.ids.masked_fill(canvas.free, tokenizer.encode(" old")[0])
    recording = Recording(tokenizer)
    log_p = torch.zeros(ids.shape, dtype=torch.float64)
    for noisy in (canvas.free, torch.zeros_like(canvas.free)):
        recording.on_progress(layout, progress(layout, [0], ids, noisy, log_p))
    frames = views(recording.play({0: "old old"}))
    assert [len([cell for cell in frame.values() if cell.look == Look.NOISE]) for frame in frames] == [2, 2, 0, 0]
    assert {(frame[0, i].text, frame[0, i].look) for frame in frames for i in (2, 3)} == {("", Look.SETTLED)}
    assert frames[-1][0, 3].percent is None


@pytest.mark.parametrize("count", [FRAMES, FRAMES + 1, 2 * FRAMES + 1, 5000])
def test_long_runs_are_thinned_evenly(tokenizer: Tokenizer, count: int) -> None:
    document = Document.parse(b"The [MASK: 4 tokens]")
    layout = laid_out(document, tokenizer=tokenizer)
    slot, recording = layout.slots[0], Recording(tokenizer)
    words = [tokenizer.encode(word)[0] for word in (" the", " old", " fell", " and", " day")]
    ids, noisy = layout.canvas.ids.clone(), layout.canvas.free.clone()
    tokens = []
    for step in range(count):
        ids[0, slot.start + step % 4], noisy[0, slot.start + step % 4] = words[step % 5], False
        recording.on_progress(layout, progress(layout, [0], ids, noisy))
        tokens.append(tokenizer.decode(ids[0, slot.start : slot.stop].tolist()).removeprefix(" "))
    frames = views(recording.play({0: tokens[-1]}))
    stride = -(-(len(tokens)) // (len(frames) - 2))
    assert stride & (stride - 1) == 0
    assert FRAMES // 2 <= len(frames) - 2 <= FRAMES
    shown = ["".join(view[0, i].text for i in range(4)) for view in frames]
    assert all(cell.look == Look.NOISE for cell in frames[0].values())
    wanted = [tokens[min(frame * stride, count) - 1] for frame in range(1, len(frames) - 1)]
    assert [shown[i] for i in range(1, len(shown) - 1) if i * stride > 4] == wanted[-(-5 // stride) - 1 :]
    assert shown[-1] == tokens[-1]
    assert all(cell.look == Look.SETTLED for cell in frames[-1].values())


def two_windows(tokenizer: Tokenizer) -> tuple[Document, Layout]:
    document = Document.parse(b"one [MASK: 2 tokens] " + b"the old house and " * 30 + b"two [MASK: 2 tokens] end")
    layout = laid_out(document, tokenizer=tokenizer, context_length=32)
    assert len(layout.rows) == 2
    return document, layout


def test_batches_are_played_side_by_side(tokenizer: Tokenizer) -> None:
    _, layout = two_windows(tokenizer)
    ids, noisy = layout.canvas.ids.clone(), layout.canvas.free.clone()
    recording = Recording(tokenizer)
    for row in (1, 0):
        slot = next(slot for slot in layout.slots if slot.kept and slot.row == row)
        for position in range(slot.start, slot.stop):
            recording.on_progress(layout, progress(layout, [row], ids, noisy))  # nothing new: no frame
            ids[row, position], noisy[row, position] = tokenizer.encode(" old")[0], False
            recording.on_progress(layout, progress(layout, [row], ids, noisy))
    frames = views(recording.play({0: "old old", 1: "old old"}))
    looks = [{gap: [frame[gap, i].look for i in (0, 1)] for gap in (0, 1)} for frame in frames]
    assert len(frames) == 4
    assert all(look[0] == look[1] for look in looks)
    assert looks[1][0] == [Look.FRESH, Look.NOISE]


def test_the_attempt_that_became_the_text_is_played(tokenizer: Tokenizer) -> None:
    document = Document.parse(b"The [MASK: 1 token]")
    recording = Recording(tokenizer)
    for word in (" old", " and", " day"):
        layout = laid_out(document, tokenizer=tokenizer)
        ids = layout.canvas.ids.masked_fill(layout.canvas.free, tokenizer.encode(word)[0])
        recording.on_progress(layout, progress(layout, [0], ids, torch.zeros_like(layout.canvas.free)))
    for final, played in {"and": "and", "old": "old", "else": "day"}.items():
        frames = views(recording.play({0: final}))
        assert (frames[1][0, 0].text, frames[-1][0, 0].text) == (played, final)
    assert views(recording.play({5: "unseen"}))[0] == {(5, 0): Shown(Look.SETTLED, "unseen", None)}


def test_other_documents_and_copies_of_gaps_are_left_out(tokenizer: Tokenizer) -> None:
    documents = [Document.parse(b"a [MASK: 1 token]"), Document.parse(b"b [MASK: 1 token] [MASK: 1 token]")]
    layout = laid_out(*documents, tokenizer=tokenizer)
    ids = layout.canvas.ids.clone()
    for row, word in enumerate((" old", " day")):
        ids[row, layout.canvas.free[row]] = tokenizer.encode(word)[0]
    shown = progress(layout, [0, 1], ids, torch.zeros_like(layout.canvas.free))
    for number, words in enumerate([["old"], ["day", "day"]]):
        recording = Recording(tokenizer, number)
        recording.on_progress(layout, shown)
        frames = views(recording.play(dict.fromkeys(range(len(words)), "another")))
        assert [shown.text.strip() for shown in frames[1].values()] == words
    unkept = replace(layout, slots=tuple(replace(slot, kept=False) for slot in layout.slots))
    recording = Recording(tokenizer)
    recording.on_progress(unkept, shown)
    assert [len(frame) for frame in recording.play({0: "old"})] == [1, 0]


# ------------------------------------------------------------------------------------------------------------ page


@dataclass
class Parsed(HTMLParser):
    """A page as a browser reads it: elements with the names of their attributes, and the text of each."""

    tags: list[tuple[str, ...]] = field(default_factory=list)
    attributes: list[tuple[str, str, str]] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)
    comments: int = 0

    def __post_init__(self) -> None:
        super().__init__()
        self._open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        # positions without a text are hidden, and those that the result does not spell have no probability
        own = ("hidden", "title") if tag == "span" else ()
        self.tags.append((tag, *(name for name, _ in attrs if name not in own)))
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in ("meta", "input", "path", "rect"):
            named = dict(attrs)
            self._open.append(named.get("id") or named.get("type") or tag)

    def handle_endtag(self, tag: str) -> None:
        self.tags.append(("/" + tag,))
        if tag not in ("path", "rect"):
            self._open.pop()

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, *(name for name, _ in attrs)))

    def handle_data(self, data: str) -> None:
        for name in {*self._open}:
            self.texts[name] = self.texts.get(name, "") + data

    def handle_comment(self, data: str) -> None:
        self.comments += 1


def parse(page: str) -> Parsed:
    parsed = Parsed()
    parsed.feed(page)
    parsed.close()
    assert not parsed._open
    return parsed


def page_of(text: str, tokenizer: Tokenizer) -> tuple[Document, str]:
    """A page in which everything that a user or a model says is this text."""
    plain = Document.parse(b"Before [MASK] and [MASK#n: 2 tokens] after.")
    words = iter([f"<{text}>before", f"between{text}", f"{text}after"])
    parts = [
        replace(part, markup=f"[MASK: {text}]")
        if hasattr(part, "index")
        else (lambda said: replace(part, text=said, markup=said))(next(words))
        for part in plain.parts
    ]
    document = replace(plain, parts=tuple(parts))
    trace = Trace(document, tokenizer)
    layout = laid_out(plain, tokenizer=tokenizer)
    trace.on_progress(layout, progress(layout, [0], layout.canvas.ids, layout.canvas.free))
    spelled = tokenizer.encode(text)
    for slot in layout.slots:
        layout.canvas.ids[0, slot.start : slot.stop] = torch.tensor((spelled * 9)[: slot.stop - slot.start])
    trace.on_progress(layout, progress(layout, [0], layout.canvas.ids, torch.zeros_like(layout.canvas.free)))
    result = result_of(
        document,
        [f"fill {text}", text],
        model=text,
        name=text,
        confidence=0.5,
        visible_bytes=(0, 10),
        alternatives=(Alternative(text=f"other {text}", score=-2.0, confidence=0.2),),
        length_considered=(LengthOdds(tokens=2, probability=0.25),),
    )
    return document, trace.page(result, f"{text}.md")


def hostile_tokenizer() -> Tokenizer:
    """Its tokens are whole pieces of what is hostile."""
    return train_tokenizer("byte_bpe", ["".join(HOSTILE) * 20, TEXT], 600)


def test_s4_no_text_changes_what_the_page_is_made_of() -> None:
    tokenizer = hostile_tokenizer()
    _, harmless_page = page_of("harmless", tokenizer)
    harmless = parse(harmless_page)
    assert [tag[0] for tag in harmless.tags].count("script") == 2
    for text in HOSTILE:
        document, source = page_of(text, tokenizer)
        page = parse(source)
        assert page.tags == harmless.tags
        assert page.comments == 0
        shown = visible(text).replace("\r", "")
        assert page.texts["title"] == page.texts["h1"] == f"{shown}.md"
        assert f"filled by {shown} · seed 7" in page.texts["header"]
        given = [visible(part.text).replace("\r", "") for part in document.parts if not hasattr(part, "index")]
        fills = [f"1fill {shown}", f"2{shown}"]
        assert page.texts["main"] == "".join([given[0], fills[0], given[1], fills[1], given[2]])
        assert page.texts["about-2"].startswith(f"Gap 2 {shown}{shown}Asked[MASK: {shown}]")
        assert f"other {shown}" in page.texts["about-1"]
        # the script sees the same text, and nothing else has changed
        data = json.loads(page.texts["data"])
        assert [0, 0, Look.SETTLED, f"fill {shown}", None] in data["frames"][-1]
        assert page.texts["script"] == harmless.texts["script"]
        assert page.texts["style"] == harmless.texts["style"]
        assert not re.search(
            "[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]", page.texts["data"]
        )
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]", source)
        assert page.texts["data"].isascii()
        assert not set("<>&") & set(page.texts["data"])


@settings(max_examples=40)
@given(
    st.text(min_size=1, max_size=30).filter(
        lambda text: text.encode("utf-8", "surrogatepass").decode("utf-8", "ignore") == text
    )
)
def test_s4_any_text_is_only_text(text: str) -> None:
    shapes = {tuple(parse(page_of(said, TOKENIZER)[1]).tags) for said in ("harmless", text)}
    assert len(shapes) == 1


def test_s4_nothing_is_loaded_and_nothing_else_runs(tokenizer: Tokenizer) -> None:
    _, source = page_of("harmless", tokenizer)
    page = parse(source)
    policy = next(value for tag, name, value in page.attributes if tag == "meta" and value.startswith("default-src"))
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    script = source[source.index("<script>") + 8 : source.rindex("</script>")]
    style = source[source.index("<style>") + 7 : source.index("</style>")]

    def hashed(text: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    assert rules == {
        "default-src": "'none'",
        "style-src": hashed(style),
        "script-src": hashed(script),
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    assert source.index("Content-Security-Policy") < source.index("<title>")
    assert source.encode().index(b"charset") < 1024
    names = {name for _, name, _ in page.attributes}
    assert not [name for name in names if name.startswith("on") or name in ("style", "src", "srcset", "action")]
    links = [value for _, name, value in page.attributes if name == "href"]
    assert links
    assert all(re.fullmatch(r"#(gap|about)-\d+", link) for link in links)
    assert not re.search(r"https?:|url\(|@import|innerHTML|insertAdjacent|document\.write|eval\(|Function\(", source)


def test_links_and_labels_lead_somewhere(tokenizer: Tokenizer) -> None:
    page = parse(page_of("harmless", tokenizer)[1])
    ids = [value for _, name, value in page.attributes if name == "id"]
    assert len(ids) == len({*ids})
    targets = [value for _, name, value in page.attributes if name in ("for", "aria-labelledby")]
    targets += [value[1:] for _, name, value in page.attributes if name == "href"]
    assert {*targets} <= {*ids}
    for tag in page.tags:
        if tag[0] in ("button", "input"):
            assert "aria-label" in tag


def test_facts_that_a_gap_lacks_are_left_out(tokenizer: Tokenizer) -> None:
    document = Document.parse(b"The [MASK#a: 2 tokens] and [MASK]")
    trace = Trace(document, tokenizer)
    page = parse(trace.page(result_of(document, ["x", ""])))
    assert page.texts["about-1"] == "Gap 1 axAsked[MASK#a: 2 tokens]Confidence 50 %Sawbytes 0 to 9"
    assert page.texts["title"] == "A filled document"
    assert page.texts["main"] == "The 1x and 2"
    more = {
        "score": -3.14159,
        "confidence": 0.876,
        "visible_bytes": (0, 12345),
        "length_considered": (
            *(LengthOdds(tokens=i, probability=i / 100) for i in range(5, 12)),
            LengthOdds(12, 0.004),
            LengthOdds(4, 0.001),
        ),
        "alternatives": (
            Alternative(text="x", score=-1.0, confidence=1.0),
            Alternative(text="y", score=-9.0, confidence=0.1),
        ),
    }
    page = parse(trace.page(result_of(document, ["x", "x"], **more)))
    about = page.texts["about-1"]
    for said in ("−3.14 nats", "88 %", "bytes 0 to 12,345", "5 tokens  5 %", "12 tokens  < 1 %", "Othersy"):
        assert said in about
    assert "4 tokens" not in about  # eight lengths are enough


def test_probabilities_are_colours(tokenizer: Tokenizer) -> None:
    document = Document.parse(b"[MASK: 5 tokens]")
    layout = laid_out(document, tokenizer=tokenizer)
    slot, trace = layout.slots[0], Trace(document, tokenizer)
    ids = layout.canvas.ids.masked_fill(layout.canvas.free, tokenizer.encode("a")[0])
    log_p = torch.zeros(ids.shape, dtype=torch.float64)
    log_p[0, slot.start : slot.stop] = torch.tensor([0.01, 0.25, 0.5, 0.799, 1.0], dtype=torch.float64).log()
    trace.on_progress(layout, progress(layout, [0], ids, torch.zeros_like(layout.canvas.free), log_p))
    page = parse(trace.page(result_of(document, ["aaaaa"])))
    cells = [value for tag, name, value in page.attributes if tag == "span" and value.startswith("settled")]
    assert cells == ["settled p0", "settled p1", "settled p2", "settled p4", "settled p4"]
    titles = [value for _, name, value in page.attributes if name == "title" and "probable" in value]
    assert titles[:2] == ["1 % probable when it settled", "25 % probable when it settled"]
    assert "improbable" in page.texts["header"]


def test_a_long_document_is_shown_around_its_gaps(tokenizer: Tokenizer) -> None:
    text = "".join(f"wörd{i} " for i in range(200_000))
    document = Document.parse(f"{text}[MASK: 1 token] {text}\n\n[MASK: 1 token]\nthe end".encode())
    page = parse(Trace(document, tokenizer).page(result_of(document, ["a", "b"])))
    shown = page.texts["main"]
    assert len(shown) < 3_000
    skipped = [int(count.replace(",", "")) for count in re.findall(r"… ([\d,]+) bytes …", shown)]
    rest = re.sub(r"… [\d,]+ bytes …", "", shown).replace("1a", "", 1).replace("2b", "", 1)
    assert sum(skipped) + len(rest.encode()) == len(document.fill(["", ""]).data)
    assert shown.startswith("… ")
    assert shown.endswith("\nthe end")
    assert "wörd199999 1a wörd0 wörd1 " in shown


def test_the_page_grows_with_what_changes(tokenizer: Tokenizer) -> None:
    document = Document.parse(b"a [MASK: 8 tokens]\n" * 300)
    layout = laid_out(document, tokenizer=tokenizer)
    trace = Trace(document, tokenizer)
    ids, noisy = layout.canvas.ids.clone(), layout.canvas.free.clone()
    ids[noisy] = tokenizer.encode(" and")[0]
    rows = [*range(len(layout.rows))]
    order = torch.rand(noisy.shape, generator=torch.Generator().manual_seed(0))
    for step in range(50):
        trace.on_progress(layout, progress(layout, rows, ids, noisy & (order > step / 49)))
    texts = [tokenizer.decode([tokenizer.encode(" and")[0]] * 8).removeprefix(" ")] * 300
    size = len(trace.page(result_of(document, texts)).encode())
    assert size < 300 * (8 * 120 + 800)


@pytest.mark.parametrize(("name", "face"), [("a.md", "prose"), ("a", "prose"), ("x/a.PY", "code"), ("a.csv", "code")])
def test_code_is_set_in_a_fixed_width(tokenizer: Tokenizer, name: str, face: str) -> None:
    document = Document.parse(b"[MASK]")
    page = parse(Trace(document, tokenizer).page(result_of(document, ["x"]), name))
    assert ("main", "class", face) in page.attributes


def test_a_model_is_traced(infiller: Infiller, tmp_path: Path) -> None:
    document = Document.parse("The [MASK: 6 tokens] häuse\r\n[MASK] and [MASK#n: 2 words].".encode())
    trace = Trace(document, infiller.tokenizer)
    result = infiller.infill(document, on_progress=trace.on_progress)
    assert result.document == infiller.infill(document).document  # watching changes nothing
    place = tmp_path / "out.html"
    write_trace(place, trace, result, "letter.md")
    page = parse(place.read_text())
    texts = [visible(gap.text) for gap in result.gaps]
    assert page.texts["main"] == f"The 1{texts[0]} häuse\n2{texts[1]} and 3{texts[2]}."
    frames = json.loads(page.texts["data"])["frames"]
    assert len(frames) >= 4
    assert {change[2] for change in frames[0]} == {Look.NOISE}
    place.chmod(0o444)
    with pytest.raises(DataError, match="read-only"):
        write_trace(place, trace, result)


# ---------------------------------------------------------------------------------------------------------- script

BROWSER = r"""
const fs = require("fs");
const page = JSON.parse(fs.readFileSync(0, "utf8"));
class Element {
  constructor(more) {
    Object.assign(this, { className: "", textContent: "", hidden: true, title: "", attributes: {}, listeners: {} }, more);
    this.classList = { add() {}, remove() {} };
  }
  setAttribute(name, value) { this.attributes[name] = value; }
  removeAttribute(name) { delete this.attributes[name]; }
  addEventListener(name, listener) { this.listeners[name] = listener; }
  querySelectorAll() { return this.cells; }
  closest() { return null; }
}
const ids = {};
const find = (id) => (ids[id] ??= new Element({}));
find("data").textContent = page.data;
find("speed").value = "1";
const gaps = Object.entries(page.gaps).map(([gap, count]) =>
  new Element({ dataset: { gap }, cells: Array.from({ length: count }, () => new Element({})) }));
const shown = [find("controls")];
const listeners = {};
const timers = [];
const on = (name, listener) => { listeners[name] = listener; };
const all = (what) => (what === ".replay" ? shown : gaps);
globalThis.document = { getElementById: find, addEventListener: on, querySelectorAll: all };
globalThis.window = { addEventListener: on };
globalThis.setTimeout = (what) => timers.push(what);
globalThis.clearTimeout = () => {};
eval(page.script);
const drawn = ({ className, textContent, hidden, title }) => [className, textContent, hidden, title];
const look = () => ({
  cells: gaps.map((gap) => gap.cells.map(drawn)),
  status: find("status").textContent, live: find("status").attributes["aria-live"], step: find("step").value,
});
const press = (key) => listeners.keydown({ key, target: find("page"), preventDefault() {} });
const out = { start: look(), controls: shown[0].hidden };
press("Home");
out.forward = [look()];
for (let i = 0; i < page.last; i++) { press("ArrowRight"); out.forward.push(look()); }
press("ArrowRight");
out.backward = [look()];
for (let i = 0; i < page.last; i++) { press("ArrowLeft"); out.backward.push(look()); }
find("step").value = "2";
find("step").listeners.input();
out.jump = look();
listeners.beforeprint();
out.print = look();
listeners.afterprint();
out.after = look();
press("End");
press(" ");
out.played = [look()];
while (timers.length) { timers.shift()(); out.played.push(look()); }
console.log(JSON.stringify(out));
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_the_script_plays_the_frames(tokenizer: Tokenizer) -> None:
    document = Document.parse(b"The [MASK: 2 tokens] and [MASK: 3 tokens] in [MASK: 1 token]")
    layout = laid_out(document, tokenizer=tokenizer)
    trace, recording = Trace(document, tokenizer), Recording(tokenizer)
    slots = layout.slots
    ids, noisy = layout.canvas.ids.clone(), layout.canvas.free.clone()
    log_p = torch.full(ids.shape, -0.5, dtype=torch.float64)
    for number, (slot, position, word) in enumerate(
        [
            (0, 0, " old"),
            (1, 2, " and"),
            (0, 0, ""),
            (1, 1, " the"),
            (0, 1, " fell"),
            (0, 0, " day"),
            (1, 0, ","),
            (2, 0, " a"),
        ]
    ):
        place = (0, slots[slot].start + position)
        ids[place], noisy[place] = (tokenizer.encode(word) or [tokenizer.vocabulary.mask_id])[0], not word
        log_p[place] = -0.1 * number
        for watcher in (trace, recording):
            watcher.on_progress(layout, progress(layout, [0], ids, noisy, log_p))
    texts = {0: "</script>", 1: ", the and", 2: "a"}
    page = parse(trace.page(result_of(document, [*texts.values()])))
    frames = views(recording.play(texts))
    script = (Path(__file__).parent.parent / "textdiff" / "cli" / "trace.js").read_text()
    given = {"data": page.texts["data"], "gaps": {0: 2, 1: 3, 2: 1}, "script": script, "last": len(frames) - 1}
    ended = subprocess.run(
        ["node", "-e", BROWSER], input=json.dumps(given), capture_output=True, text=True, check=True, timeout=30
    )
    seen = json.loads(ended.stdout)

    def drawn(frame: dict[tuple[int, int], Shown]) -> list[list[list[object]]]:
        return [[cell(frame[gap, i]) for i in range(count)] for gap, count in {0: 2, 1: 3, 2: 1}.items()]

    def cell(shown: Shown) -> list[object]:
        known = shown.percent is not None and shown.look != Look.NOISE
        level = f" p{min(4, (shown.percent or 0) // 20)}" if known else ""
        title = f"{shown.percent} % probable when it settled" if known else ""
        return [shown.look.name.lower() + level, shown.text, not shown.text and shown.look != Look.NOISE, title]

    expected = [drawn(frame) for frame in frames]
    assert len(expected) == 10
    assert [look["cells"] for look in seen["forward"]] == expected
    assert [look["cells"] for look in seen["backward"]] == expected[::-1]
    assert [look["cells"] for look in seen["played"]] == [*expected, expected[-1]]
    assert (seen["start"]["cells"], seen["jump"]["cells"]) == (expected[-1], expected[2])
    assert (seen["print"]["cells"], seen["after"]["cells"]) == (expected[-1], expected[2])
    assert seen["controls"] is False
    assert seen["forward"][3]["status"] == "Step 3 of 8: 1 went back, 5 left"
    assert seen["forward"][0]["status"] == "Before the first step: 6 tokens of noise"
    assert seen["forward"][-1]["status"] == "The result"
    assert {look["live"] for look in seen["played"][:-1]} == {"off"}
    assert seen["played"][-1]["live"] == "polite"


def test_a_gap_that_stays_open_shows_its_markup(tokenizer: Tokenizer) -> None:
    document = Document.parse(rb"\[MASK] [MASK: 2 tokens] [MASK: 3 words]")
    trace, layout = Trace(document, tokenizer), laid_out(document, tokenizer=tokenizer)
    trace.on_progress(layout, progress(layout, [0], layout.canvas.ids, layout.canvas.free))
    page = parse(trace.page(result_of(document, ["x", None])))
    assert page.texts["main"] == r"\[MASK] 1x 2[MASK: 3 words]"
    assert [value for _, name, value in page.attributes if name == "class" and "gap" in value] == ["gap", "gap open"]
    assert page.texts["about-2"].startswith("Gap 2[MASK: 3 words]Left open")
    assert "Left open" not in page.texts["about-1"]
