"""Products by the faster library: the same numbers and gradients, nothing left behind, and plain ones where it is none."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from textdiff import products
from textdiff.products import Linear, fast_products, linear, plain_products, use_fast_layers

SETTINGS = getattr(torch.backends.mkldnn, "matmul", None)
needs_setting = pytest.mark.skipif(SETTINGS is None, reason="torch before 2.9")


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Products of any size go to oneDNN, on any processor."""
    monkeypatch.setattr(products, "has_faster_library", lambda: True)
    monkeypatch.setattr(products, "_LARGE", 0)


def gradients(layer, x: Tensor, weight: Tensor, bias: Tensor | None, dtype: torch.dtype) -> list[Tensor]:
    """The output and what it pulls back to each argument that wants a gradient."""
    inputs = [
        part.to(dtype).detach().requires_grad_(part.requires_grad) for part in (x, weight, bias) if part is not None
    ]
    out = layer(*inputs)
    (out * torch.linspace(-1, 1, out.numel(), dtype=dtype).view_as(out)).sum().backward()
    return [out.detach(), *(part.grad for part in inputs if part.requires_grad)]


@needs_setting
@pytest.mark.parametrize("shape", [(7, 40), (2, 5, 40), (1, 40)])
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("frozen", [False, True])
def test_linear_gives_what_torch_gives(always: None, shape: tuple[int, ...], biased: bool, frozen: bool) -> None:
    draws = torch.Generator().manual_seed(1)
    x, weight, bias = (torch.randn(size, generator=draws) for size in (shape, (30, 40), (30,)))
    x.requires_grad_(True)
    weight.requires_grad_(not frozen)
    bias.requires_grad_(not frozen)
    found = gradients(linear, x, weight, bias if biased else None, torch.float32)
    expected = gradients(functional.linear, x, weight, bias if biased else None, torch.float64)
    assert len(found) == len(expected) == 2 + (not frozen) * (1 + biased)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a.double(), b, rtol=1e-5, atol=1e-5)


@needs_setting
def test_all_products_of_a_layer_are_done_the_faster_way(always: None, monkeypatch: pytest.MonkeyPatch) -> None:
    entered: list[str] = []
    way = products._by_onednn

    def noted():
        entered.append("product")
        return way()

    monkeypatch.setattr(products, "_by_onednn", noted)
    layer, x = Linear(8, 6), torch.randn(3, 8, requires_grad=True)
    layer(x).sum().backward()
    assert len(entered) == 2  # the way there, and both products of the way back
    with torch.no_grad():
        layer(x)
    assert len(entered) == 3
    with plain_products():
        layer(x).sum().backward()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert layer(x).dtype == torch.bfloat16
    layer.double()(x.double())
    assert len(entered) == 3


@needs_setting
def test_the_setting_is_put_back(always: None) -> None:
    before = SETTINGS.fp32_precision
    x = torch.randn(4, 8)
    with fast_products(x, 1):
        assert SETTINGS.fp32_precision == "bf16"
        with fast_products(x, 1):
            pass
        assert SETTINGS.fp32_precision == "bf16"
    assert SETTINGS.fp32_precision == before
    with pytest.raises(RuntimeError):
        linear(x, torch.randn(3, 9))
    assert SETTINGS.fp32_precision == before


def test_small_products_stay_where_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "has_faster_library", lambda: True)
    x, large = torch.randn(2, 4), products._LARGE
    assert products._is_faster_here(x, large) and not products._is_faster_here(x, large - 1)


@pytest.mark.parametrize("vendor", ["GenuineIntel", ""])
def test_other_processors_keep_torchs_choice(monkeypatch: pytest.MonkeyPatch, vendor: str) -> None:
    monkeypatch.setattr(products, "_vendor", lambda: vendor)
    assert not products.has_faster_library.__wrapped__()


@needs_setting
def test_a_library_that_rounds_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "_vendor", lambda: "AuthenticAMD")
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    exact = torch.Tensor.__matmul__
    assert products.has_faster_library.__wrapped__()
    monkeypatch.setattr(
        torch.Tensor,
        "__matmul__",
        lambda a, b: (
            exact(a.bfloat16().to(a.dtype), b.bfloat16().to(b.dtype)) if a.dtype == torch.float32 else exact(a, b)
        ),
    )
    assert not products.has_faster_library.__wrapped__()


def test_layers_of_others_become_fast_and_keep_their_names_and_weights() -> None:
    class Own(nn.Linear):
        pass

    network = nn.Sequential(nn.Linear(4, 4), nn.Sequential(Own(4, 4), nn.Linear(4, 2)))
    names, x = list(network.state_dict()), torch.randn(3, 4)
    before = network(x)
    use_fast_layers(network)
    assert [type(module) for module in network.modules() if isinstance(module, nn.Linear)] == [Linear, Own, Linear]
    assert list(network.state_dict()) == names
    assert torch.equal(network(x), before)


@needs_setting
@pytest.mark.parametrize("shape", [(300, 256, 1024), (1024, 96, 500), (40, 128, 8192)])
def test_neither_threads_nor_other_rows_change_a_bit(always: None, shape: tuple[int, int, int]) -> None:
    rows, into, out = shape
    draws = torch.Generator().manual_seed(2)
    x, weight = (torch.randn(size, generator=draws) for size in ((rows, into), (out, into)))
    before = torch.get_num_threads()
    try:
        found = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(linear(x, weight))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*found)
    assert torch.equal(linear(x[7:20], weight), found[0][7:20])
