"""Text from left to right with a cache of keys and values: by a library's own loop, and by one with nothing but the work."""

from __future__ import annotations

import torch
from bench_shapes import Shape
from torch import Tensor
from torch.nn import functional
from transformers import GPT2Config, GPT2LMHeadModel, GPT2Model

BEGIN = 0


def make_gpt2(shape: Shape, bf16: bool, device: str) -> GPT2LMHeadModel:
    """Random weights, as many layers, as wide, and with the ids of a shape; room for the text and what it begins with."""
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=shape.ids, n_positions=shape.length + 1, n_embd=shape.width, n_layer=shape.layers, n_head=shape.heads,
        bos_token_id=BEGIN, eos_token_id=None, pad_token_id=BEGIN,
    )  # fmt: skip
    model = GPT2LMHeadModel(config).eval().requires_grad_(False).to(device)
    return model.to(torch.bfloat16) if bf16 else model


class Gpt2Sampler:
    """Hugging Face's `generate`, which draws at temperature 1 from all ids.

    Attributes:
        calls: how many times the network ran, on the whole batch each time.
        rows: vocabulary rows that its output layer made.
    """

    name = "gpt2"

    def __init__(self, model: GPT2LMHeadModel) -> None:
        self.model = model
        self.calls = self.rows = 0

    def sample(self, prompt: Tensor, length: int, steps: int, seed: int) -> Tensor:
        """Text from nothing: Long [B, length]. prompt: [B, 0], how many rows are written; steps: as many as tokens, always."""
        rows = len(prompt)
        torch.manual_seed(seed)
        self.calls += length
        self.rows += rows * length
        begin = torch.full((rows, 1), BEGIN, device=self.model.device)
        return self.model.generate(
            begin, attention_mask=torch.ones_like(begin), max_new_tokens=length, do_sample=True, top_k=0, use_cache=True
        )[:, 1:]


class LeanSampler(Gpt2Sampler):
    """The same network without a library around it: keys and values have their places before it begins."""

    name = "gpt2-lean"

    @torch.inference_mode()
    def sample(self, prompt: Tensor, length: int, steps: int, seed: int) -> Tensor:
        """Text from nothing: Long [B, length]. prompt: [B, 0], how many rows are written; steps: as many as tokens, always."""
        rows = len(prompt)
        net, device = self.model.transformer, self.model.device
        self.calls += length
        self.rows += rows * length
        generator = torch.Generator(device).manual_seed(seed)
        ids = torch.full((rows, length + 1), BEGIN, device=device)
        kept = _room(net, rows, length)
        for place in range(length):
            logits = functional.linear(read_on(net, kept, ids[:, place], place), self.model.lm_head.weight)
            ids[:, place + 1] = _draw(logits.float(), generator)
        return ids[:, 1:]


def _room(net: GPT2Model, rows: int, length: int) -> Tensor:
    """For keys and values of all layers: [layers, 2, B, heads, L, size]."""
    config = net.config
    size = config.n_embd // config.n_head
    return net.wte.weight.new_empty(config.n_layer, 2, rows, config.n_head, length, size)


def read_on(net: GPT2Model, kept: Tensor, ids: Tensor, place: int) -> Tensor:
    """One id more of each row, Long [B], behind those that are kept: [B, D], before the output layer."""
    x = net.wte.weight[ids] + net.wpe.weight[place]
    for block, (keys, values) in zip(net.h, kept, strict=True):
        qkv = block.attn.c_attn(block.ln_1(x)).view(len(ids), 3, keys.shape[1], 1, -1)
        q, keys[:, :, place : place + 1], values[:, :, place : place + 1] = qkv.unbind(1)
        mixed = functional.scaled_dot_product_attention(q, keys[:, :, : place + 1], values[:, :, : place + 1])
        x = x + block.attn.c_proj(mixed.reshape(x.shape))
        x = x + block.mlp(block.ln_2(x))
    return net.ln_f(x)


def _draw(logits: Tensor, generator: torch.Generator) -> Tensor:
    """One id for each row: the winner of a race of exponential clocks."""
    clocks = torch.empty_like(logits).exponential_(generator=generator)
    return (logits.softmax(-1) / clocks).argmax(-1)


@torch.inference_mode()
def require_equal_loops(model: GPT2LMHeadModel, length: int) -> float:
    """How far the probabilities differ, at most, that the library and the lean loop read; ends the script if far."""
    ids = torch.randint(model.config.vocab_size, (2, length), generator=torch.Generator().manual_seed(1))
    ids = ids.to(model.device)
    kept = _room(model.transformer, *ids.shape)
    for place in range(length):
        hidden = read_on(model.transformer, kept, ids[:, place], place)
    lean = model.lm_head(hidden).softmax(-1)
    whole = model(ids).logits[:, -1].softmax(-1)
    worst = float((lean - whole).abs().amax() / whole.amax())
    if worst > 1e-4:
        raise SystemExit(f"the lean loop reads the network differently, by {worst:.1e}")
    return worst
