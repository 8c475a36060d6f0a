"""Texts that are written block after block: their law, what each block sees, and what it does not depend on."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from typing import Any, cast

import chains
import pytest
import scipy.stats
import torch
from fakes import from_table, state_number, states, tabulate, wild_denoiser
from hypothesis import given
from hypothesis import strategies as st
from oracles import HiddenMarkov, canvas_of
from tiny import CONTEXT, run, save_tiny, senseless_checkpoint
from torch import Tensor

import textdiff
from textdiff.denoiser import Denoiser, Readout
from textdiff.draws import Draws
from textdiff.errors import UsageError
from textdiff.infiller import Infiller
from textdiff.infiller.blocks import write_blocks
from textdiff.infiller.cutting import Blocks
from textdiff.infiller.writing import Progress, Written
from textdiff.model import DiffusionModel
from textdiff.processes import AbsorbingProcess, ForwardProcess
from textdiff.registry import build
from textdiff.sampling import Sampler, TokenClasses, preset
from textdiff.sampling.guidance import Guidance
from textdiff.text.canvas import Canvas
from textdiff.vocabulary import Vocabulary

VOCABULARY = Vocabulary(size=5, special_ids=(0,), mask_id=1, pad_id=0)
ROWS = 40_000
ERROR_RATE = 1e-4


@dataclass
class Fake:
    """As much of a model as writes; notes what its network is shown."""

    raw: Denoiser
    process: ForwardProcess
    context: int
    seen: list[tuple[Tensor, Canvas]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.vocabulary, self.device, self.backbone = self.process.vocabulary, torch.device("cpu"), self
        self.config, self.context_length, self.prediction = self, self.context, "leave_one_out"
        self.can_read_on = self.uses_time = False

    def read(self, x_t: Tensor, t: Tensor, canvas: Canvas, where: Tensor) -> Readout:
        assert x_t.shape == canvas.shape == where.shape and x_t.shape[1] <= self.context
        self.seen.append((x_t, canvas))
        return Readout(self.raw(x_t, t, canvas, where))

    def write(self, sampler: Sampler, canvas: Canvas, size: int | None, **options: Any) -> Written:
        model = cast(DiffusionModel, self)
        blocks = Blocks.of(model, size, canvas.shape[1])
        assert blocks is not None
        return write_blocks(model, sampler, canvas, blocks, anything(self.vocabulary), **options)


def anything(vocabulary: Vocabulary) -> Any:
    table = vocabulary.writable().unsqueeze(0)
    return lambda canvas: TokenClasses(table, torch.zeros_like(canvas.ids))


def process_of(name: str) -> ForwardProcess:
    return build(ForwardProcess, name, vocabulary=VOCABULARY)


def beginning(rows: int, length: int, known: int = 0) -> Canvas:
    place = torch.arange(length)
    return canvas_of((2 + place % 3).expand(rows, -1), (place < known).expand(rows, -1))


def stationary() -> HiddenMarkov:
    """One whose windows all have the same law, and whose neighbours know much of each other."""
    made = HiddenMarkov.random(states=3, seed=5, vocabulary=VOCABULARY, sharpness=2.5)
    return replace(made, start=torch.linalg.matrix_power(made.moves, 200)[0])


@given(st.integers(2, 40), st.integers(0, 60), st.integers(1, 80), st.booleans(), st.data())
def test_blocks_tile_the_text_and_see_all_that_fits(
    context: int, known: int, new: int, ahead: bool, data: st.DataObject
) -> None:
    size = data.draw(st.integers(1, context - 1))
    cut = list(Blocks(size, context, ahead).cut(known, known + new))
    assert [place for block in cut for place in range(block.start, block.stop)] == list(range(known, known + new))
    for block in cut:
        assert block.stop - block.start == size or block is cut[-1]
        width = block.stop + block.ahead - block.first
        assert width == context if block.first else width <= context
        assert block.first < block.start or block.start == 0
        assert 0 <= block.ahead <= min(context // 8, known + new - block.stop) * ahead


def chain_law(language: HiddenMarkov, steps: int, size: int, context: int, length: int) -> Tensor:
    """The law of all texts, [3^L]: each block by the enumerated chain of ancestral sampling, given what it sees."""
    texts = torch.tensor(list(itertools.product((2, 3, 4), repeat=length)))
    law = torch.ones(len(texts), dtype=torch.float64)
    process = AbsorbingProcess(VOCABULARY)
    denoiser = language.denoiser(process)
    grid = [1 - k / steps for k in range(steps + 1)]
    for start in range(0, length, size):
        first = max(0, start + size - context)
        for seen in itertools.product((2, 3, 4), repeat=start - first):
            known = torch.tensor(seen, dtype=torch.long)

            def given_these(x_t: Tensor, t: Tensor, canvas: Canvas, where: Tensor, known: Tensor = known) -> Tensor:
                left = known.expand(len(x_t), -1)
                frozen = torch.arange(len(known) + size).expand(len(x_t), -1) < len(known)
                whole = canvas_of(torch.cat((left, x_t), 1), frozen)
                return denoiser(whole.ids, t, whole, torch.cat((left > 9, where), 1))

            laws = tabulate(given_these, VOCABULARY, size, 0.5)
            here = (states(VOCABULARY, size) == VOCABULARY.mask_id).all(-1).double()
            for t, s in itertools.pairwise(grid):
                kernel = chains.remdm(VOCABULARY, laws, 1 - s, 1 - t, 0.0)
                here = (here[:, None] * torch.where(here[:, None] > 0, kernel, 0.0)).sum(0)
            fits = (texts[:, first:start] == known).all(-1)
            law[fits] *= here[state_number(texts[fits, start : start + size], VOCABULARY)]
    assert float(law.sum()) == pytest.approx(1)
    return law


@pytest.mark.statistical
def test_a_text_longer_than_the_context_has_the_law_of_its_chain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Six tokens by twos, of which the last see two before them only."""
    monkeypatch.setattr("textdiff.infiller.writing.ROWS", ROWS)
    language = stationary()
    raw = language.denoiser(AbsorbingProcess(VOCABULARY))
    tables = {length: from_table(tabulate(raw, VOCABULARY, length, 0.5), VOCABULARY) for length in (2, 4)}
    model = Fake(
        lambda x_t, t, canvas, where: tables[x_t.shape[1]](x_t, t, canvas, where), AbsorbingProcess(VOCABULARY), 4
    )
    expected = chain_law(language, 2, 2, 4, 6)
    written = model.write(replace(preset("ancestral"), steps=2), beginning(ROWS, 6), 2)
    number = state_number(written.ids - 2, Vocabulary(size=3))
    counts = torch.bincount(number, minlength=3**6).double()
    often = expected * ROWS > 5
    parts = [torch.cat((x[often], x[~often].sum()[None])).numpy() for x in (counts, expected * ROWS)]
    assert scipy.stats.chisquare(*parts).pvalue > ERROR_RATE
    truth = language.log_probability(torch.tensor(list(itertools.product((2, 3, 4), repeat=6)))).exp()
    truth_parts = torch.cat((truth[often], truth[~often].sum()[None])).numpy() * ROWS
    assert (
        scipy.stats.chisquare(parts[0], truth_parts).pvalue < 1e-6
    )  # two tokens at once, and a window: not the data's


@pytest.mark.parametrize("process", ["absorbing", "uniform"])
@pytest.mark.parametrize(("known", "length", "size"), [(0, 9, 4), (3, 30, 5), (25, 31, 1)])
def test_each_block_is_a_run_of_the_sampler(process: str, known: int, length: int, size: int) -> None:
    """Given what stands before it, as much as the context holds, with draws of its own."""
    model = Fake(wild_denoiser(VOCABULARY), process_of(process), 16)
    sampler = replace(preset("posterior"), steps=3)
    canvas = beginning(3, length, known)
    written = model.write(sampler, canvas, size)
    ahead = 2 if process == "absorbing" else 0
    for start in range(known, length, size):
        stop = min(start + size, length)
        behind = min(ahead, length - stop)
        first = max(0, stop + behind - 16)
        seeds = canvas.seeds if start == known else Draws.seeded(canvas.seeds).fold(start - known).seeds()
        part = written.ids[:, first:stop]
        place = torch.arange(first, stop).expand(3, -1)

        def longer(x_t: Tensor, t: Tensor, canvas: Canvas, where: Tensor, behind: int = behind) -> Tensor:
            noise = torch.full((len(x_t), behind), 1)
            free = torch.zeros_like(noise, dtype=torch.bool)
            shown = Canvas(*(torch.cat(x, 1) for x in [(x_t, noise), (canvas.frozen, free), (canvas.valid, ~free)]), t)
            return model.raw(shown.ids, t, shown, torch.cat((where, free), 1))

        alone = Canvas(part, place < start, place >= 0, seeds)
        made = sampler.sample(longer, model.process, alone, anything(VOCABULARY)(alone))
        assert torch.equal(made.ids, part)
        assert torch.equal(made.log_p[:, start - first :], written.log_p[:, start:stop])
    assert len(set(map(tuple, written.ids.tolist()))) == 3


@pytest.mark.parametrize("sampler", ["ancestral", "remdm", "confidence", "first_hitting", "threshold"])
def test_rows_have_nothing_to_do_with_each_other(sampler: str) -> None:
    model = Fake(wild_denoiser(VOCABULARY), AbsorbingProcess(VOCABULARY), 12)
    canvas = beginning(40, 23, 4)  # more than go through the network together
    policy = preset(sampler)
    policy = replace(policy, steps=6) if policy.grid.counts_steps else policy
    written = model.write(policy, canvas, 5)
    backwards = torch.arange(40).flip(0)
    turned = model.write(policy, canvas.rows(backwards), 5)
    one = model.write(policy, canvas.rows(torch.tensor([33])), 5)
    for name in ("ids", "log_p", "nfe"):
        assert torch.equal(getattr(turned, name), getattr(written, name)[backwards])
        assert torch.equal(getattr(one, name), getattr(written, name)[33:34])


def test_progress_shows_the_whole_text() -> None:
    model = Fake(wild_denoiser(VOCABULARY), AbsorbingProcess(VOCABULARY), 8)
    canvas = beginning(2, 12, 2)
    seen: list[Progress] = []
    written = model.write(replace(preset("ancestral"), steps=3), canvas, 4, on_progress=seen.append)
    assert torch.equal(seen[-1].event.ids, written.ids) and not seen[-1].event.noisy.any()
    assert [progress.event.step for progress in seen] == sorted(progress.event.step for progress in seen)
    assert seen[-1].event.step == seen[-1].event.steps == written.steps == 9
    for progress in seen:
        event = progress.event
        assert torch.equal(event.noisy, event.ids == VOCABULARY.mask_id)
        settled = ~event.noisy & canvas.free
        assert torch.equal(event.ids[settled], written.ids[settled])
        assert torch.equal(event.log_p[settled], written.log_p[settled])


def test_guidance_hides_the_prompt_and_not_what_was_written() -> None:
    model = Fake(wild_denoiser(VOCABULARY), AbsorbingProcess(VOCABULARY), 8)
    model.write(replace(preset("confidence"), steps=1, guidance=Guidance(2.0)), beginning(1, 11, 5), 2)
    found = [(canvas.frozen.sum().item(), canvas.hidden) for _, canvas in model.seen]
    assert [seen for seen, _ in found] == [5, 5, 5, 5, 6, 6]
    hidden = [mask.long().tolist()[0] for _, mask in found if mask is not None]
    assert hidden == [[1] * 5 + [0] * 3, [1] * 3 + [0] * 5, [1] * 2 + [0] * 6]


@pytest.fixture(scope="module")
def infiller() -> Infiller:
    made = senseless_checkpoint()
    return Infiller(made.model, made.tokenizer, made.samplers)


def test_one_block_for_all_is_as_none(infiller: Infiller) -> None:
    plain = infiller.generate("The old", max_new_tokens=9, n=2, seed=3)
    assert infiller.generate("The old", max_new_tokens=9, n=2, seed=3, block_size=9).samples == plain.samples
    assert infiller.generate("The old", max_new_tokens=9, n=2, seed=3, block_size=4).samples != plain.samples


@pytest.mark.parametrize("process", ["absorbing", "uniform", "autoregressive"])
def test_text_may_be_longer_than_the_context(process: str) -> None:
    made = senseless_checkpoint(process)
    infiller = Infiller(made.model, made.tokenizer, made.samplers)
    steps = None if process == "autoregressive" else 2
    written = infiller.generate("The old", max_new_tokens=2 * CONTEXT, n=2, seed=1, steps=steps)
    assert [sample.tokens for sample in written.samples] == [2 * CONTEXT] * 2
    quarter = infiller.generate(
        "The old", max_new_tokens=2 * CONTEXT, n=2, seed=1, steps=steps, block_size=CONTEXT // 4
    )
    assert quarter.samples == written.samples
    assert written.stats.steps == (2 * CONTEXT if steps is None else 8 * steps)


def test_what_the_context_does_not_hold_is_forgotten(infiller: Infiller) -> None:
    """Of a prompt that is longer the end is seen."""
    end = " by the river, and the rain fell" * 12
    one, other = (infiller.generate(start + end, max_new_tokens=4, steps=2, seed=2) for start in ("The old", "A big"))
    assert one.samples[0].text.removeprefix("The old") == other.samples[0].text.removeprefix("A big")
    assert len(infiller.generate(end, steps=2).samples[0].text) > len(end)


def test_a_left_to_right_model_writes_the_same_in_blocks_of_any_size() -> None:
    made = senseless_checkpoint("autoregressive")
    infiller = Infiller(made.model, made.tokenizer, made.samplers)
    texts = {infiller.generate("The", max_new_tokens=12, temperature=0, block_size=b).samples for b in (None, 1, 5, 63)}
    assert len(texts) == 1


@pytest.mark.parametrize("size", [0, CONTEXT])
def test_blocks_that_the_context_cannot_hold_are_refused(infiller: Infiller, size: int) -> None:
    with pytest.raises(UsageError, match=f"block_size must be from 1 to {CONTEXT - 1}, .* got {size}"):
        infiller.generate(block_size=size)


def test_the_command_writes_in_blocks(tmp_path_factory: pytest.TempPathFactory) -> None:
    model = save_tiny(tmp_path_factory.mktemp("model") / "tiny")
    command = ["generate", "The", "-m", model, "--max-new-tokens", 90, "--steps", 2, "--block-size", 30]
    expected = textdiff.load(model).generate("The", max_new_tokens=90, steps=2, block_size=30).samples[0].text
    ended = run(*command)
    assert (ended.code, ended.err, ended.text.removesuffix("\n")) == (0, "", expected.removesuffix("\n"))
    watched = run(*command, "--watch", "--watch-delay", 0, watched=True)
    assert watched.text == ended.text and "step 6 of 6" in watched.err
    refused = run("generate", "-m", model, "--block-size", 64)
    assert (refused.code, refused.out) == (2, b"")
    assert "block_size must be from 1 to 63" in refused.err
    both = run("generate", "-m", model, "--block-size", 4, "--condition", "x.txt")
    assert both.code == 2 and "--block-size, --cache" in both.err
