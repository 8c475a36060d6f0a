"""What a cache keeps while a block is written, when that is exact, and what is read."""

from __future__ import annotations

import pytest
import torch
from oracles import canvas_of
from tiny import run, save_tiny, senseless_checkpoint
from torch import Tensor

from textdiff.backbones import DiTConfig
from textdiff.errors import UsageError
from textdiff.infiller import Infiller
from textdiff.infiller.caching import Cache, CachedBlock
from textdiff.model import DiffusionModel
from textdiff.processes import AbsorbingProcess
from textdiff.text.canvas import Canvas
from textdiff.vocabulary import Vocabulary

VOCABULARY = Vocabulary(size=11, special_ids=(0, 1), mask_id=1, pad_id=0)
LENGTH, BLOCK = 10, slice(4, 7)
CACHES: tuple[Cache, ...] = ("prefix", "dual")


def network(layers: int, **options: object) -> DiffusionModel:
    """With random weights that are not small."""
    config = DiTConfig(hidden_size=16, num_hidden_layers=layers, num_attention_heads=2, **options)  # type: ignore[arg-type]
    with torch.random.fork_rng():
        torch.manual_seed(4)
        model = DiffusionModel.of(config, AbsorbingProcess(VOCABULARY), LENGTH).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.4 * torch.randn_like(parameter))
    return model


def canvas(rows: int = 3) -> Canvas:
    """Text, a block, and noise behind it."""
    ids = torch.randint(2, VOCABULARY.size, (rows, LENGTH), generator=torch.Generator().manual_seed(1))
    place = torch.arange(LENGTH).expand(rows, -1)
    made = canvas_of(ids.masked_fill(place >= BLOCK.start, 1), place < BLOCK.start)
    return Canvas(made.ids, made.frozen, made.valid, made.seeds, numbers=torch.arange(rows))


def settled(shown: Canvas, *places: int) -> Tensor:
    """The ids when these places have tokens."""
    x_t = shown.ids.clone()
    for place in places:
        x_t[:, place] = 2 + (place + torch.arange(len(x_t))) % 9
    return x_t


def asked(x_t: Tensor) -> Tensor:
    """The noisy positions of the block."""
    where = x_t == 1
    where[:, : BLOCK.start] = where[:, BLOCK.stop :] = False
    return where


def both(model: DiffusionModel, cached: CachedBlock, shown: Canvas, x_t: Tensor) -> tuple[Tensor, Tensor]:
    t, where = torch.full((len(x_t),), 0.5), asked(x_t)
    with torch.no_grad():
        return cached(x_t, t, shown, where).logits(), model.denoise(x_t, t, shown, where)


@pytest.mark.parametrize("cache", CACHES)
@pytest.mark.parametrize("options", [{}, {"given_embedding": False, "tie_word_embeddings": False}], ids=str)
def test_the_cache_is_exact_where_what_is_kept_does_not_change(cache: Cache, options: dict[str, bool]) -> None:
    """In one layer keys and values of a place are those of its own token. In two they know the others."""
    for layers in (1, 2):
        model, shown = network(layers, **options), canvas()
        cached = CachedBlock(model, 3, LENGTH, BLOCK, cache)
        first, whole = both(model, cached, shown, shown.ids)
        torch.testing.assert_close(first, whole, rtol=1e-5, atol=1e-5)
        again, whole = both(model, cached, shown, shown.ids)  # only a part is read, and the rest is as it was
        torch.testing.assert_close(again, whole, rtol=1e-5, atol=1e-5)
        for places in ((5,), (5, 4)):
            found, whole = both(model, cached, shown, settled(shown, *places))
            if layers == 1:
                torch.testing.assert_close(found, whole, rtol=1e-5, atol=1e-5)
            else:
                assert float((found - whole)[:, 2:].abs().max()) > 1e-3


@pytest.mark.parametrize("cache", CACHES)
def test_it_is_exact_where_all_is_read_again_each_time(cache: Cache) -> None:
    model, shown = network(3), canvas()
    cached = CachedBlock(model, 3, LENGTH, BLOCK, cache, refresh=1)
    for places in ((), (5,), (5, 4)):
        found, whole = both(model, cached, shown, settled(shown, *places))
        torch.testing.assert_close(found, whole, rtol=1e-5, atol=1e-5)


def test_a_prefix_cache_reads_what_stands_behind_the_block_again() -> None:
    model, shown = network(2), canvas()
    x_t = settled(shown, 5)
    found = []
    for cache in CACHES:
        cached = CachedBlock(model, 3, LENGTH, BLOCK, cache)
        both(model, cached, shown, shown.ids)
        found.append(both(model, cached, shown, x_t)[0])
    assert float((found[0] - found[1])[:, 2:].abs().max()) > 1e-3


@pytest.mark.parametrize("cache", CACHES)
@torch.no_grad()
def test_rows_of_a_batch_are_read_each_at_its_own_time(cache: Cache) -> None:
    model, shown = network(2), canvas()
    together = CachedBlock(model, 3, LENGTH, BLOCK, cache, refresh=2)
    calls = [([0, 2], ()), ([0, 1, 2], (5,)), ([1], (5, 4)), ([0, 1, 2], (4, 6))]
    alone = [CachedBlock(model, 3, LENGTH, BLOCK, cache, refresh=2) for _ in range(3)]
    for rows, places in calls:
        x_t, time = settled(shown, *places), torch.zeros(3)
        index = torch.tensor(rows)
        found = together(x_t[index], time[index], shown.rows(index), asked(x_t)[index]).logits()
        parts = []
        for row in rows:
            one = torch.tensor([row])
            parts.append(alone[row](x_t[one], time[one], shown.rows(one), asked(x_t)[one]).logits())
        torch.testing.assert_close(found, torch.cat(parts), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("cache", "read"), [(None, 34), ("prefix", 18), ("dual", 10)])
def test_what_is_read(cache: Cache | None, read: int) -> None:
    """16 tokens before, a block of 10, 8 behind it; the first call of a block reads all of them."""
    checkpoint = senseless_checkpoint()
    infiller = Infiller(checkpoint.model, checkpoint.tokenizer, checkpoint.samplers)
    prompt = "The old house stood by the river"
    while len(infiller.tokenizer.encode(prompt)) + len(infiller.tokenizer.prefix_ids) < 16:
        prompt += " a"
    positions: list[int] = []
    watch = checkpoint.model.backbone.blocks[0].attention.qkv.register_forward_hook(
        lambda module, inputs, output: positions.append(output.shape[1])
    )
    infiller.generate(prompt, max_new_tokens=20, block_size=10, cache=cache, sampler="confidence", steps=5)
    watch.remove()
    given = len(infiller.tokenizer.encode(prompt)) + len(infiller.tokenizer.prefix_ids)
    ahead = min(8, 10)
    assert positions[0] == given + 10 + ahead
    last = given + 20
    assert positions[:5] == [positions[0], *[read + (given - 16 if cache is None else 0)] * 4]
    assert positions[5:] == [last, *[last if cache is None else 10] * 4]


def test_samples_do_not_depend_on_each_other() -> None:
    checkpoint = senseless_checkpoint()
    infiller = Infiller(checkpoint.model, checkpoint.tokenizer, checkpoint.samplers)
    three, one = (
        infiller.generate("The old", n=n, max_new_tokens=30, block_size=8, cache="dual", steps=6, seed=2).samples
        for n in (3, 1)
    )
    assert three[:1] == one
    exact = infiller.generate("The old", max_new_tokens=30, block_size=8, steps=6, seed=2).samples
    assert exact != one  # what is kept is old


@pytest.mark.parametrize(
    ("process", "options", "message"),
    [
        ("absorbing", {}, "give block_size too"),
        ("uniform", {"block_size": 8}, "whatever the noise level"),
        ("autoregressive", {"block_size": 8}, "leave cache out"),
    ],
)
def test_a_cache_that_cannot_be_is_refused(process: str, options: dict[str, int], message: str) -> None:
    checkpoint = senseless_checkpoint(process)
    infiller = Infiller(checkpoint.model, checkpoint.tokenizer, checkpoint.samplers)
    with pytest.raises(UsageError, match=message):
        infiller.generate("The", cache="dual", **options)  # type: ignore[arg-type]


def test_the_command_takes_a_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    model = save_tiny(tmp_path_factory.mktemp("model") / "tiny")
    command = ["generate", "The", "-m", model, "--max-new-tokens", 9, "--steps", 2, "--block-size", 4]
    ended = run(*command, "--cache", "dual")
    assert (ended.code, ended.err) == (0, "") and ended.text.startswith("The")
    assert run(*command, "--cache", "half").code == 2
