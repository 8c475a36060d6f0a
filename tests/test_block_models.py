"""Models that read block by block: their one training pass, their bound, and what they keep while they write."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch
from oracles import canvas_of
from tiny import CONTEXT, run, senseless_checkpoint
from torch import Tensor

from textdiff.backbones import DiTConfig
from textdiff.draws import Draws
from textdiff.errors import ConfigError, UsageError
from textdiff.infiller import Infiller
from textdiff.infiller.cutting import Blocks
from textdiff.infiller.reading_blocks import ReadingBlocks
from textdiff.model import DiffusionModel
from textdiff.objectives import NelboObjective, estimator_for, position_nats
from textdiff.processes import AbsorbingProcess, BlockProcess
from textdiff.text.canvas import Canvas
from textdiff.vocabulary import Vocabulary

VOCABULARY = Vocabulary(size=5, special_ids=(0, 1), mask_id=1, pad_id=0)
EVERY = torch.tensor(list(itertools.product((2, 3, 4), repeat=4)))


def network(block_size: int, length: int = 8, ordinary: bool = False) -> DiffusionModel:
    """The same random weights, whatever the block."""
    process = AbsorbingProcess(VOCABULARY) if ordinary else BlockProcess(VOCABULARY, block_size=block_size)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = DiTConfig(hidden_size=16, num_hidden_layers=2, num_attention_heads=2)
        model = DiffusionModel.of(config, process, length).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.5 * torch.randn_like(parameter))
    return model


def texts(rows: int, length: int) -> Tensor:
    return torch.randint(2, VOCABULARY.size, (rows, length), generator=torch.Generator().manual_seed(2))


@torch.no_grad()
def alone(model: DiffusionModel, ids: Tensor, x_t: Tensor, start: int, stop: int, frozen: Tensor) -> Tensor:
    """Log-probabilities of one block from a row that ends with it, with clean text before it: [B, k, V]."""
    shown = torch.cat((ids[:, :start], x_t[:, start:stop]), 1)
    canvas = canvas_of(shown, torch.cat((torch.ones_like(frozen[:, :start]), frozen[:, start:stop]), 1))
    where = (torch.arange(stop) >= start).expand(len(ids), -1)
    logits = model.denoise(shown, torch.zeros(len(ids)), canvas, where)
    return logits.log_softmax(-1).view(len(ids), stop - start, -1)


def test_a_row_stands_at_its_noise_level_on_the_curve() -> None:
    """With blocks so long that rounding does not matter, the level is the share that is masked."""
    model = network(64, 64)
    canvas = canvas_of(texts(3, 64), torch.zeros(3, 64, dtype=torch.bool))
    level = torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)
    form = estimator_for(model.process)
    corruption = form.corrupt(canvas, level, Draws.seeded(canvas.seeds))
    nats = torch.ones(int(corruption.where.sum()), dtype=torch.float64)
    found = form.at_level(canvas, corruption, nats)
    masked = corruption.where.sum(-1)
    torch.testing.assert_close(found.level, masked / 64, atol=1 / 64, rtol=0, check_dtype=False)
    assert torch.equal(found.nats, masked.double())
    assert found.tokens.tolist() == [64.0] * 3


@pytest.mark.parametrize(("size", "length"), [(1, 6), (3, 8), (4, 8), (8, 8), (20, 8)])
def test_one_pass_is_as_good_as_a_pass_for_each_block(size: int, length: int) -> None:
    """The training loss, block by block: the mean cross-entropy of the masked ones times the block's free tokens."""
    model, ids = network(size, length), texts(5, length)
    frozen = torch.rand(5, length, generator=torch.Generator().manual_seed(1)) < 0.2
    canvas = canvas_of(ids, frozen)
    level, draws = torch.linspace(0.05, 0.95, 5, dtype=torch.float64), Draws.seeded(canvas.seeds)
    corruption = estimator_for(model.process).corrupt(canvas, level, draws)
    total = 0.0
    for start in range(0, length, size):
        stop = min(start + size, length)
        log_p = alone(model, ids, corruption.x_t, start, stop, frozen)
        masked = (corruption.x_t == VOCABULARY.mask_id)[:, start:stop]
        free = (~frozen)[:, start:stop].sum(-1)
        assert torch.equal(masked.sum(-1), torch.minimum((level * free).floor().long() + 1, free))
        cost = -log_p.gather(-1, ids[:, start:stop, None]).squeeze(-1) * masked
        total += float((cost.sum(-1) / masked.sum(-1).clamp(min=1) * free).sum())
    found = NelboObjective()(model.read, model.process, canvas, level, draws)
    assert float(found.loss.detach()) == pytest.approx(total, rel=1e-5)
    assert float(found.nelbo_nats) == pytest.approx(total, rel=1e-5)


def test_neither_later_blocks_nor_what_is_masked_leak_in() -> None:
    model, ids = network(3), texts(2, 8)
    x_t = ids.clone()
    x_t[:, [1, 4, 7]] = 1
    where = x_t == 1
    with torch.no_grad():
        before = model.denoise(x_t, torch.zeros(2), canvas_of(ids), where).view(2, 3, -1)
        other = ids.clone()
        other[:, 4] = 2 + (ids[:, 4] - 1) % 3  # masked where block 1 is read; block 2 sees it
        after = model.denoise(x_t, torch.zeros(2), canvas_of(other), where).view(2, 3, -1)
    torch.testing.assert_close(before[:, :2], after[:, :2], rtol=0, atol=0)
    assert not torch.allclose(before[:, 2], after[:, 2], atol=1e-3)


def test_blocks_of_one_token_are_left_to_right_and_their_bound_is_the_likelihood() -> None:
    """The same at all levels; over all texts it sums to one."""
    model, canvas = network(1, 4), canvas_of(EVERY)
    nats = [
        position_nats(model.denoise, model.process, canvas, torch.full((1, 81), level, dtype=torch.float64), 0)
        for level in (0.1, 0.9)
    ]
    torch.testing.assert_close(*nats)
    assert float((-nats[0].sum(-1)).exp().sum()) == pytest.approx(1, abs=1e-5)
    log_p = [alone(model, EVERY, torch.ones_like(EVERY), place, place + 1, EVERY < 0)[:, 0] for place in range(4)]
    chain = -torch.stack([law.gather(-1, EVERY[:, i, None])[:, 0] for i, law in enumerate(log_p)], 1)
    torch.testing.assert_close(nats[0], chain.double(), rtol=1e-5, atol=1e-5)


def test_one_block_for_all_is_ordinary_masked_diffusion() -> None:
    """The same weights say the same, and the mean of the bound over all ways to mask is the same."""
    block, ordinary = network(4, 4), network(4, 4, ordinary=True)
    canvas = canvas_of(EVERY)
    total = {False: torch.zeros(81, dtype=torch.float64), True: torch.zeros(81, dtype=torch.float64)}
    for flags in itertools.product((False, True), repeat=4):
        masked = torch.tensor(flags).expand(81, -1)
        if not any(flags):
            continue
        x_t = EVERY.masked_fill(masked, 1)
        for one, model in ((True, block), (False, ordinary)):
            with torch.no_grad():
                log_p = model.denoise(x_t, torch.zeros(81), canvas, masked).double().log_softmax(-1)
            cost = -log_p.gather(-1, EVERY[masked][:, None]).view(81, -1).mean(-1)
            ways = len(list(itertools.combinations(range(4), sum(flags))))
            total[one] += cost / ways
    torch.testing.assert_close(total[True], total[False], rtol=1e-5, atol=1e-5)
    levels = (torch.arange(4000, dtype=torch.float64) + 0.5).unsqueeze(-1) / 4000
    one_text = canvas_of(EVERY[40:41])
    estimate = position_nats(block.denoise, block.process, one_text, levels, 3).sum()
    assert float(estimate) == pytest.approx(float(total[True][40]), rel=0.02)


@pytest.mark.parametrize(
    ("size", "known", "length", "context"), [(3, 0, 8, 8), (3, 5, 8, 8), (2, 3, 13, 6), (1, 2, 6, 6)]
)
@torch.no_grad()
def test_what_is_kept_is_exact(size: int, known: int, length: int, context: int) -> None:
    """At each step of each block: the logits are those of a network that reads all of it again."""
    model, ids = network(size, context), texts(3, length)
    reading = ReadingBlocks(model, 3, min(length, context))
    first = None
    for block in Blocks(size, context, looks_ahead=False, aligned=True).cut(known, length):
        assert block.first % size == 0 and block.stop - block.first <= context
        first = block.first if first is None else first
        view = ids[:, block.first : block.stop]
        width = block.stop - block.first
        frozen = (torch.arange(width) < block.start - block.first).expand(3, -1)
        x_t = view.masked_fill(~frozen, 1)
        read, canvas = reading.open(block.first, canvas_of(x_t, frozen))
        for place in range(block.start - block.first, width):
            rows = torch.arange(3)[place % 2 :]  # some rest
            where = (x_t == 1)[rows]
            time = torch.zeros(len(rows))
            found = read(x_t[rows], time, canvas.rows(rows), where).logits()
            whole = model.denoise(x_t[rows], time, canvas_of(x_t, frozen).rows(rows), where)
            torch.testing.assert_close(found, whole, rtol=1e-5, atol=1e-5)
            x_t[:, place] = view[:, place]


def test_texts_are_written_by_the_blocks_of_training(monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = senseless_checkpoint("block")
    infiller = Infiller(checkpoint.model, checkpoint.tokenizer, checkpoint.samplers)
    read: list[int] = []
    watch = checkpoint.model.backbone.blocks[0].attention.qkv.register_forward_hook(
        lambda module, inputs, output: read.append(output.shape[1])
    )
    options = {"max_new_tokens": 30, "n": 2, "seed": 1, "steps": 4}
    written = infiller.generate("The old house", **options)
    watch.remove()
    given = len(infiller.tokenizer.prefix_ids) + len(infiller.tokenizer.encode("The old house"))
    assert given < 16 and max(read) == 16  # a block, as noise or clean; nothing is read again
    whole = infiller.generate("The old house", **options, block_size=16)
    assert whole.samples == written.samples
    alone = infiller.generate("The old house", **{**options, "n": 1})
    assert alone.samples == written.samples[:1]
    monkeypatch.setattr(ReadingBlocks, "open", lambda self, first, canvas: (checkpoint.model.read, canvas))
    assert infiller.generate("The old house", **options).samples == written.samples
    monkeypatch.undo()
    longer = infiller.generate("The old house", max_new_tokens=2 * CONTEXT, steps=2)
    assert longer.samples[0].tokens == 2 * CONTEXT


@pytest.mark.parametrize(
    ("options", "message"),
    [({"block_size": 8}, "blocks of 16 tokens, got block_size 8"), ({"cache": "dual"}, "leave cache out")],
)
def test_other_blocks_are_refused(options: dict[str, object], message: str) -> None:
    checkpoint = senseless_checkpoint("block")
    infiller = Infiller(checkpoint.model, checkpoint.tokenizer, checkpoint.samplers)
    with pytest.raises(UsageError, match=message):
        infiller.generate("The", **options)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="reads block by block and knows nothing of the text behind a gap"):
        infiller.infill("a [MASK] b")


def test_a_block_that_is_the_whole_context_cannot_be_gone_on_from() -> None:
    with pytest.raises(UsageError, match="9 with the prompt are too many"):
        Blocks.of(network(8), None, 9)
    whole = Blocks.of(network(8), None, 8)
    assert whole is not None
    assert [(block.start, block.stop) for block in whole.cut(2, 8)] == [(2, 8)]


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(ConfigError, match="block_size must be at least 1, got 0"):
        BlockProcess(VOCABULARY, block_size=0)
    process = BlockProcess(VOCABULARY)
    with pytest.raises(ConfigError, match="told no time"):
        DiffusionModel.of(DiTConfig(hidden_size=16, num_attention_heads=2, time_embedding="learned"), process, 8)


def test_padding_and_documents_change_nothing() -> None:
    """A row in a batch with longer ones, and documents of one row, each as if it were alone."""
    model = network(2)
    ids = texts(1, 6)
    x_t, where = ids.clone(), torch.zeros_like(ids, dtype=torch.bool)
    x_t[:, [1, 4, 5]], where[:, [1, 4, 5]] = 1, True
    with torch.no_grad():
        expected = model.denoise(x_t, torch.zeros(1), canvas_of(ids), where)
        fill = torch.nn.functional.pad
        padded = Canvas(
            fill(ids, (0, 2)), fill(where & False, (0, 2), value=True), fill(ids > 0, (0, 2)), torch.zeros(1)
        )
        found = model.denoise(fill(x_t, (0, 2)), torch.zeros(1), padded, fill(where, (0, 2)))
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
        apart = replace(canvas_of(ids), documents=torch.tensor([[0, 0, 0, 0, 1, 1]]))
        other = replace(apart, ids=torch.where(torch.arange(6) < 4, 2, ids))
        kept = [model.denoise(x_t, torch.zeros(1), canvas, where)[1:] for canvas in (apart, other)]
        torch.testing.assert_close(*kept)


def test_a_recipe_trains_one_and_its_commands_work(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("run")
    (folder / "text.txt").write_text("The old house stood by the river, and the rain fell on it.\n" * 60)
    (folder / "recipe.yaml").write_text(
        f"data: {{train: {folder / 'text.txt'}}}\n"
        "context_length: 32\ntokenizer: {kind: characters}\nprocess: {name: block, block_size: 4}\n"
        "backbone: {name: dit, hidden_size: 16, num_hidden_layers: 2, num_attention_heads: 2}\n"
        "tasks: [whole]\n"
        "training: {max_steps: 3, per_device_train_batch_size: 4, eval_windows: 4}\n"
    )
    trained = run("train", folder / "recipe.yaml", "--output", folder / "run")
    assert trained.code == 0, trained.err
    info = run("info", folder / "run")
    assert "block by block: cannot fill gaps" in info.text
    scored = run("evaluate", "-m", folder / "run", "--data", folder / "text.txt")
    assert scored.code == 0, scored.err
    written = run("generate", "The", "-m", folder / "run", "--max-new-tokens", 50, "--steps", 2)
    assert written.code == 0 and len(written.text) > 50
    (folder / "gap.txt").write_text("The [MASK] house")
    refused = run("infill", "-m", folder / "run", folder / "gap.txt")
    assert refused.code == 2 and "reads block by block" in refused.err
