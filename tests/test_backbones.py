"""The laws of our own Transformer."""

import dataclasses
import itertools
from typing import Literal

import pytest
import torch

from textdiff.backbones import DiT, DiTConfig
from textdiff.backbones.layers import Attention, GatedMLP, rms_norm, rotary_table, rotate
from textdiff.errors import ConfigError
from textdiff.model import DiffusionModel
from textdiff.processes import AbsorbingProcess
from textdiff.registry import build, to_config
from textdiff.vocabulary import Vocabulary

VOCABULARY = Vocabulary(size=13, special_ids=(0, 1), mask_id=1, pad_id=0)
SMALL = DiTConfig(hidden_size=16, num_hidden_layers=2, num_attention_heads=2)
TIMES = [("none", "input"), *itertools.product(("sinusoidal", "learned"), ("input", "adaptive_norm"))]
VARIANTS = [
    dataclasses.replace(
        SMALL, time_embedding=time, time_injection=injection, tie_word_embeddings=tied, given_embedding=given
    )
    for (time, injection), (tied, given) in itertools.product(TIMES, [(True, True), (False, False)])
]


def initial(config: DiTConfig, seed: int = 0) -> DiT:
    torch.manual_seed(seed)
    model = DiffusionModel.of(config, AbsorbingProcess(VOCABULARY), context_length=12).eval()
    assert isinstance(model.backbone, DiT)
    return model.backbone


def shaken(config: DiTConfig, seed: int = 0) -> DiT:
    """A network with weights unlike those it starts from, so that nothing in it is zero."""
    network = initial(config, seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return network


def batch(rows: int = 3, length: int = 9) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    shape = (rows, length)
    return {
        "x_t": torch.randint(0, VOCABULARY.size, shape),
        "t": torch.rand(rows, dtype=torch.float64),
        "given": torch.rand(shape) < 0.5,
        "valid": torch.ones(shape, dtype=torch.bool),
        "where": torch.ones(shape, dtype=torch.bool),
    }


@pytest.mark.parametrize("config", VARIANTS, ids=repr)
def test_wanted_rows_are_rows_of_the_whole(config: DiTConfig) -> None:
    network, inputs = shaken(config), batch()
    whole = network.scores(**inputs).unflatten(0, (3, 9))
    where = torch.rand(3, 9) < 0.4
    where[1] = False
    torch.testing.assert_close(network.scores(**{**inputs, "where": where}), whole[where], rtol=1e-5, atol=1e-5)
    assert network.scores(**{**inputs, "where": torch.zeros_like(where)}).shape == (0, VOCABULARY.size)


@pytest.mark.parametrize("config", VARIANTS, ids=repr)
def test_padding_is_never_attended_to(config: DiTConfig) -> None:
    network, inputs = shaken(config), batch()
    inputs["valid"] = torch.arange(9) < torch.tensor([[9], [6], [1]])
    whole = network.scores(**inputs).unflatten(0, (3, 9))
    for row, length in enumerate((9, 6, 1)):
        alone = network.scores(
            **{k: v[row : row + 1] if k == "t" else v[row : row + 1, :length] for k, v in inputs.items()}
        )
        torch.testing.assert_close(whole[row, :length], alone, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("config", VARIANTS, ids=repr)
def test_gradient_reaches_every_parameter(config: DiTConfig) -> None:
    network = shaken(config)
    network.scores(**batch()).square().sum().backward()
    zero = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert zero == []


@pytest.mark.parametrize("config", VARIANTS, ids=repr)
def test_every_position_hears_of_every_other(config: DiTConfig) -> None:
    network, inputs = shaken(config), batch(rows=1)
    before = network.scores(**inputs)
    for position in range(9):
        changed = inputs["x_t"].clone()
        changed[0, position] = (changed[0, position] + 1) % VOCABULARY.size
        assert ((network.scores(**{**inputs, "x_t": changed}) - before).abs().amax(-1) > 1e-6).all()


def test_order_matters() -> None:
    network, inputs = shaken(dataclasses.replace(SMALL, given_embedding=False)), batch(rows=1)
    flipped = {key: value.flip(-1) if key == "x_t" else value for key, value in inputs.items()}
    assert not torch.allclose(network.scores(**inputs), network.scores(**flipped).flip(0), atol=1e-3)


@pytest.mark.parametrize("config", VARIANTS, ids=repr)
def test_a_new_network_is_its_embedding_alone(config: DiTConfig) -> None:
    """All residual branches and modulations start at zero."""
    network, inputs = initial(config), batch()
    x = network.embed(inputs["x_t"])
    if network.given is not None:
        x = x + inputs["given"].unsqueeze(-1) * network.given.weight[0]
    if network.time is not None and not config.adaptive:
        x = x + network.time(inputs["t"]).unsqueeze(1)
    weight = network.embed.weight if network.head is None else network.head.weight
    normed = x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6)
    torch.testing.assert_close(network.scores(**inputs), (normed @ weight.T).flatten(0, 1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("config", VARIANTS, ids=repr)
def test_time_matters_where_it_is_embedded(config: DiTConfig) -> None:
    network, inputs = shaken(config), batch()
    assert network.uses_time == (config.time_embedding != "none")
    later = network.scores(**{**inputs, "t": inputs["t"] * 0.5})
    changed = (later - network.scores(**inputs)).abs().amax(-1)
    assert (changed > 1e-5).all() if network.uses_time else (changed == 0).all()


def test_each_row_has_its_own_time() -> None:
    network, inputs = shaken(VARIANTS[4]), batch()
    whole = network.scores(**inputs).unflatten(0, (3, 9))
    inputs["t"] = torch.cat((inputs["t"][:1], inputs["t"][1:] * 0.5))
    other = network.scores(**inputs).unflatten(0, (3, 9))
    torch.testing.assert_close(whole[0], other[0], rtol=1e-5, atol=1e-5)
    assert not torch.allclose(whole[1:], other[1:], atol=1e-3)


def test_what_is_given_matters_where_it_is_embedded() -> None:
    for given in (True, False):
        network, inputs = shaken(dataclasses.replace(SMALL, given_embedding=given)), batch()
        other = network.scores(**{**inputs, "given": ~inputs["given"]})
        assert torch.allclose(other, network.scores(**inputs), atol=1e-4) != given


def test_rotary_positions_keep_lengths_and_see_differences() -> None:
    """q at position i and k at position j give a product that depends on i - j only, and really depends on it."""
    torch.manual_seed(0)
    q, k = (torch.randn(8).expand(1, 10, 1, 1, 8) for _ in range(2))
    table = rotary_table(10, 8, torch.device("cpu"))
    torch.testing.assert_close(rotate(q, table).norm(dim=-1), q.norm(dim=-1))
    turned = (rotate(part, table)[0, :, 0, 0] for part in (q, k))
    products = next(turned) @ next(turned).T
    torch.testing.assert_close(products[1:, 1:], products[:-1, :-1], rtol=1e-4, atol=1e-4)
    assert len(set(products[0].tolist() + products[:, 0].tolist())) == 19


@pytest.mark.parametrize("gain", [(5,), (2, 1, 5), (2, 3, 5)], ids=str)
def test_the_rms_norm_is_what_it_says_and_so_is_its_gradient(gain: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    x, weight = (torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in ((2, 3, 5), gain))
    expected = x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt() * weight
    torch.testing.assert_close(rms_norm(x, weight), expected)
    torch.testing.assert_close(rms_norm(x, x.new_ones(5)), torch.nn.functional.rms_norm(x, (5,), eps=1e-6))
    assert torch.autograd.gradcheck(rms_norm, (x, weight))


def test_the_gated_layer_is_what_it_says_and_so_is_its_gradient() -> None:
    torch.manual_seed(0)
    layer = GatedMLP(4, 6).double()
    torch.nn.init.normal_(layer.down.weight)
    x = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    value, gate = layer.up(x).chunk(2, dim=-1)
    torch.testing.assert_close(layer(x), layer.down(value * gate * gate.sigmoid()))
    assert torch.autograd.gradcheck(layer, x)


def test_rotary_positions_turn_each_pair_by_its_angle() -> None:
    """As multiplication of complex numbers; turning the other way would pass a test of differences only."""
    torch.manual_seed(0)
    x = torch.randn(2, 5, 1, 3, 8, dtype=torch.float64)
    frequencies = 10_000.0 ** (-torch.arange(0, 8, 2, dtype=torch.float64) / 8)
    angles = torch.outer(torch.arange(5, dtype=torch.float64), frequencies)[:, None, None]
    turned = torch.complex(x[..., :4], x[..., 4:]) * torch.polar(torch.ones_like(angles), angles)
    expected = torch.cat((turned.real, turned.imag), dim=-1)
    torch.testing.assert_close(rotate(x, rotary_table(5, 8, x.device)), expected, rtol=1e-5, atol=1e-6)


def test_tied_embeddings_are_one_tensor() -> None:
    sizes = [
        sum(p.numel() for p in initial(dataclasses.replace(SMALL, tie_word_embeddings=t)).parameters())
        for t in (True, False)
    ]
    assert sizes[1] - sizes[0] == VOCABULARY.size * SMALL.hidden_size


def test_dropout_acts_in_training_only() -> None:
    network, inputs = shaken(dataclasses.replace(SMALL, dropout=0.5)), batch()
    torch.testing.assert_close(network.scores(**inputs), network.scores(**inputs), rtol=0, atol=0)
    network.train()
    assert not torch.allclose(network.scores(**inputs), network.scores(**inputs), atol=1e-3)


def test_inference_does_not_spoil_training() -> None:
    """Cached rotary tables made in inference mode would break a later backward pass."""
    network, inputs = shaken(SMALL), batch(length=7)
    with torch.inference_mode():
        network.scores(**inputs)
    network.scores(**inputs).sum().backward()


@torch.no_grad()
@pytest.mark.parametrize("time", ["none", "sinusoidal", "learned"])
def test_weights_in_bfloat16_give_nearly_the_same(time: Literal["none", "sinusoidal", "learned"]) -> None:
    """The whole network runs in them, with no autocast."""
    network, inputs = shaken(DiTConfig(32, 2, 2, time_embedding=time)).eval(), batch()
    whole = network.scores(**inputs)
    half = network.to(torch.bfloat16).scores(**inputs)
    assert half.dtype == torch.bfloat16
    assert float((half - whole).abs().amax() / whole.abs().amax()) < 0.05


def test_rows_that_are_one_go_through_the_layers_once() -> None:
    """Only in use, and with the same result, wherever each row is asked."""
    network, inputs = shaken(DiTConfig(32, 2, 2, time_embedding="none")).eval(), batch()
    inputs = {name: part[:1].expand_as(part) if name != "where" else part for name, part in inputs.items()}
    inputs["where"] = torch.rand(inputs["where"].shape) < 0.5
    seen: list[int] = []
    network.blocks[0].attention.qkv.register_forward_hook(lambda module, given, out: seen.append(len(out)))
    whole = network.scores(**inputs)
    with torch.no_grad():
        once = network.scores(**inputs)
    assert torch.allclose(once, whole, atol=1e-5) and seen == [len(inputs["valid"]), 1]


def test_attention_of_short_rows_in_bfloat16_is_the_same() -> None:
    """With all weights at once where nothing is hidden, no gradient is wanted and rows are short, else torch's own."""
    torch.manual_seed(1)
    attention, table = Attention(32, 2).to(torch.bfloat16), rotary_table(9, 16, torch.device("cpu"))
    x = torch.randn(3, 9, 32).bfloat16()
    with torch.no_grad():
        quick, exact = (
            attention.mix(x, table, None, 0.0),
            attention.mix(x, table, torch.ones(9, 9, dtype=torch.bool), 0.0),
        )
    assert float((quick.float() - exact.float()).abs().max()) < 0.02 * float(exact.abs().max())
    assert attention.mix(x, table, None, 0.0).requires_grad and not torch.equal(quick, exact)


def test_configuration_round_trip() -> None:
    for config in VARIANTS:
        assert build(type(config), {k: v for k, v in to_config(config).items() if k != "name"}) == config


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"hidden_size": 0}, "hidden_size must be between 1 and 65536, got 0"),
        ({"num_hidden_layers": 10**9}, "num_hidden_layers must be between 1 and 1024"),
        ({"hidden_size": 20, "num_attention_heads": 4}, "a multiple of twice num_attention_heads"),
        ({"dropout": 1.0}, "dropout must be at least 0 and below 1, got 1.0"),
        ({"mlp_ratio": 0.0}, "mlp_ratio must be above 0"),
    ],
)
def test_errors_are_sentences(change: dict[str, float], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        DiTConfig(**change)  # type: ignore[arg-type]
