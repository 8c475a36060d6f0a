"""Hugging Face's masked language models as the body of a diffusion model."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer as Backend
from tokenizers.models import WordLevel
from transformers import AutoConfig, AutoModelForMaskedLM, BertConfig, BertForMaskedLM, BertModel, PreTrainedModel

from textdiff.backbones import PretrainedBackbone, PretrainedBackboneConfig
from textdiff.errors import CheckpointError, ConfigError
from textdiff.infiller.masked_lm import load_masked_lm
from textdiff.model import DiffusionModel
from textdiff.processes import AbsorbingProcess
from textdiff.registry import build, to_config
from textdiff.text.canvas import Canvas
from textdiff.text.tokenizers import Tokenizer, load_tokenizer
from textdiff.vocabulary import Vocabulary

SIZES = {
    "vocab_size": 50, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48,
    "max_position_embeddings": 40, "embedding_size": 16, "pad_token_id": 1, "bos_token_id": 2, "eos_token_id": 3,
}  # fmt: skip
EXTRA: dict[str, dict[str, Any]] = {
    "albert": {}, "bert": {}, "big_bird": {"attention_type": "original_full"}, "camembert": {}, "data2vec-text": {},
    "deberta": {"relative_attention": True, "pos_att_type": ["c2p", "p2c"]},
    "deberta-v2": {"relative_attention": True, "position_biased_input": False, "pos_att_type": ["c2p", "p2c"]},
    "distilbert": {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48},
    "electra": {}, "ernie": {}, "eurobert": {"mask_token_id": 4, "head_dim": 8}, "ibert": {},
    "esm": {"mask_token_id": 4, "position_embedding_type": "rotary", "token_dropout": True},
    "layoutlm": {}, "longformer": {"attention_window": [4, 4]}, "luke": {"entity_vocab_size": 8, "entity_emb_size": 16},
    "megatron-bert": {}, "modernbert": {"cls_token_id": 2, "sep_token_id": 3, "local_attention": 4}, "mpnet": {},
    "nomic_bert": {"head_dim": 8}, "rembert": {"input_embedding_size": 16, "output_embedding_size": 24}, "roberta": {},
    "roberta-prelayernorm": {}, "roformer": {}, "xlm-roberta": {}, "xlm-roberta-xl": {},
    "xmod": {"languages": ["en"], "default_language": "en"},
    "xlm": {"emb_dim": 32, "n_layers": 2, "n_heads": 4}, "flaubert": {"emb_dim": 32, "n_layers": 2, "n_heads": 4},
}  # fmt: skip
OFFSET = {"camembert", "data2vec-text", "ibert", "longformer", "luke", "mpnet", "roberta", "roberta-prelayernorm"}
OFFSET |= {"xlm-roberta", "xlm-roberta-xl", "xmod"}
LEAKING = {
    "convbert": {}, "fnet": {}, "mobilebert": {"intra_bottleneck_size": 32},
    "nystromformer": {"segment_means_seq_len": 4, "num_landmarks": 4},
}  # fmt: skip
VOCABULARY = Vocabulary(size=47, special_ids=(0, 1, 2, 3, 4), mask_id=4, pad_id=1)


def random_network(kind: str, **options: Any) -> PreTrainedModel:
    torch.manual_seed(0)
    network = AutoModelForMaskedLM.from_config(AutoConfig.for_model(kind, **SIZES | options))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(0, 0.3)
    network.eval()
    return network


def saved(network: PreTrainedModel, folder: Path) -> Path:
    network.save_pretrained(folder)
    return folder


def model_of(folder: Path, context_length: int = 16, **options: Any) -> DiffusionModel:
    backbone = PretrainedBackboneConfig(path=str(folder), **options)
    model = DiffusionModel.of(backbone, AbsorbingProcess(VOCABULARY), context_length)
    model.eval()
    return model


def batch() -> tuple[torch.Tensor, Canvas]:
    """Three rows of different lengths with a mask each."""
    torch.manual_seed(1)
    ids = torch.randint(5, 47, (3, 9))
    ids[:, 2] = 4
    valid = torch.arange(9) < torch.tensor([[9], [6], [4]])
    return ids, Canvas(ids, ids != 4, valid, torch.arange(3))


def denoise(model: DiffusionModel, ids: torch.Tensor, canvas: Canvas, where: torch.Tensor) -> torch.Tensor:
    return model.denoise(ids, torch.zeros(len(ids), dtype=torch.float64), canvas, where)


@pytest.mark.parametrize("kind", EXTRA)
def test_logits_are_those_of_the_network(kind: str, tmp_path: Path) -> None:
    network = random_network(kind, **EXTRA[kind])
    model, (ids, canvas) = model_of(saved(network, tmp_path)), batch()
    padded = ids.masked_fill(~canvas.valid, 1)
    plain = network(input_ids=padded, attention_mask=canvas.valid.long()).logits[..., :47]
    where = canvas.valid & (torch.rand(3, 9) < 0.5)
    found = denoise(model, ids, canvas, where)
    torch.testing.assert_close(found[:, 5:], plain[where][:, 5:], rtol=1e-4, atol=1e-4)
    assert (found[:, :5] == -torch.inf).all()
    assert denoise(model, ids, canvas, torch.zeros_like(where)).shape == (0, 47)


@pytest.mark.parametrize("kind", EXTRA)
def test_neither_padding_nor_the_value_of_an_id_matters(kind: str, tmp_path: Path) -> None:
    """Text that equals the padding's id is text: it neither moves the positions behind it nor hides itself."""
    network, (ids, canvas) = random_network(kind, **EXTRA[kind]), batch()
    model = model_of(saved(network, tmp_path))
    ids[:, 1] = 1
    whole = denoise(model, ids, canvas, canvas.valid)
    assert torch.equal(denoise(model, ids.masked_fill(~canvas.valid, 4), canvas, canvas.valid), whole)
    numbered = {"position_ids": torch.arange(2, 11).expand(3, -1)} if kind in OFFSET else {}
    plain = network(input_ids=ids, attention_mask=canvas.valid.long(), **numbered).logits[..., :47]
    torch.testing.assert_close(whole[:, 5:], plain[canvas.valid][:, 5:], rtol=1e-4, atol=1e-4)
    for row, part in enumerate(whole.split([9, 6, 4])):
        length = len(part)
        one = Canvas(
            *(x[row : row + 1, :length] for x in (ids, canvas.frozen, canvas.valid)), canvas.seeds[row : row + 1]
        )
        torch.testing.assert_close(denoise(model, one.ids, one, one.valid), part, rtol=1e-4, atol=1e-4)
    backbone = model.backbone
    assert isinstance(backbone, PretrainedBackbone)
    assert backbone.first_position == (2 if kind in OFFSET else 0)
    longest = backbone.positions
    ids = torch.arange(longest).remainder(40).unsqueeze(0)
    everything = torch.ones_like(ids, dtype=torch.bool)
    assert denoise(model, ids, Canvas(ids, ~everything, everything, ids[:, 0]), everything).shape == (longest, 47)


@pytest.mark.parametrize("kind", EXTRA)
def test_a_saved_model_needs_no_path(kind: str, tmp_path: Path) -> None:
    model, (ids, canvas) = model_of(saved(random_network(kind, **EXTRA[kind]), tmp_path / "theirs")), batch()
    assert model.config.backbone is not None
    assert model.config.backbone["path"] is None
    saved(model, tmp_path / "ours")
    for file in (tmp_path / "theirs").iterdir():
        file.unlink()
    again = DiffusionModel.from_pretrained(tmp_path / "ours")
    assert torch.equal(denoise(again, ids, canvas, canvas.free), denoise(model, ids, canvas, canvas.free))
    assert again.config.backbone == model.config.backbone
    assert sum(p.numel() for p in again.parameters()) == sum(p.numel() for p in model.parameters())
    for tied, source in again.all_tied_weights_keys.items():
        assert again.get_parameter(tied) is again.get_parameter(source)


def test_tied_weights_stay_tied_in_training(tmp_path: Path) -> None:
    """After loading, one optimiser step moves embedding and output layer alike."""
    saved(model_of(saved(random_network("bert"), tmp_path / "theirs")), tmp_path / "ours")
    model, (ids, canvas) = DiffusionModel.from_pretrained(tmp_path / "ours"), batch()
    assert len(model.all_tied_weights_keys) == 2
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    denoise(model, ids, canvas, canvas.free)[:, 5:].sum().backward()
    optimizer.step()
    network = model.backbone.network
    assert torch.equal(network.cls.predictions.decoder.weight, network.bert.embeddings.word_embeddings.weight)
    assert all(p.grad is not None for n, p in model.named_parameters())


@pytest.mark.parametrize("kind", LEAKING)
def test_networks_that_see_padding_are_refused(kind: str, tmp_path: Path) -> None:
    network = random_network(kind, **LEAKING[kind])
    with pytest.raises(CheckpointError, match="lets padding change its result"):
        model_of(saved(network, tmp_path))


def test_one_way_networks_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="reads from left to right only"):
        model_of(saved(random_network("bert", is_decoder=True), tmp_path))
    with pytest.raises(CheckpointError, match="'bart' is not a bidirectional masked language model"):
        PretrainedBackboneConfig(network={"model_type": "bart"}).make(VOCABULARY, 8)
    with pytest.raises(CheckpointError, match="'gpt2' is not a bidirectional masked language model"):
        PretrainedBackboneConfig(network={"model_type": "gpt2"}).make(VOCABULARY, 8)


def test_a_textdiff_model_is_no_foreign_network(tmp_path: Path) -> None:
    saved(model_of(saved(random_network("bert"), tmp_path / "theirs")), tmp_path / "ours")
    with pytest.raises(CheckpointError, match="'textdiff' is not a bidirectional masked language model"):
        model_of(tmp_path / "ours")


@pytest.mark.parametrize(
    ("kind", "longest"), [("bert", 40), ("roberta", 38), ("mpnet", 38), ("modernbert", 40), ("funnel", 512)]
)
def test_the_number_of_positions_is_a_limit(kind: str, longest: int) -> None:
    sizes = {} if kind == "funnel" else SIZES | EXTRA[kind]
    config = PretrainedBackboneConfig(network={"model_type": kind} | sizes)
    assert config.longest_context() == longest
    if kind != "funnel":
        config.make(VOCABULARY, longest)
        with pytest.raises(CheckpointError, match=f"context_length must be at most {longest}"):
            config.make(VOCABULARY, longest + 1)


def test_a_network_with_too_few_ids_is_refused() -> None:
    with pytest.raises(CheckpointError, match="the network knows 50 ids, the vocabulary has 51"):
        PretrainedBackboneConfig(network={"model_type": "bert"} | SIZES).make(Vocabulary(size=51), 8)


def test_a_fresh_network_is_initialised_once() -> None:
    backbone = PretrainedBackboneConfig(network={"model_type": "bert", "initializer_range": 0.5} | SIZES)
    model = DiffusionModel.of(backbone, AbsorbingProcess(VOCABULARY), 16)
    assert model.training
    assert 0.4 < float(model.get_input_embeddings().weight[2:].detach().std()) < 0.6
    assert build(PretrainedBackboneConfig, {k: v for k, v in to_config(backbone).items() if k != "name"}) == backbone


def test_weights_in_half_precision_are_widened(tmp_path: Path) -> None:
    model = model_of(saved(random_network("bert").to(torch.float16), tmp_path))
    assert {p.dtype for p in model.parameters()} == {torch.float32}


def test_a_missing_head_is_an_error_unless_allowed(tmp_path: Path) -> None:
    torch.manual_seed(0)
    body = BertModel(BertConfig(**SIZES))
    saved(body, tmp_path)
    with pytest.raises(CheckpointError, match=r"no weights for in cls\.predictions\.bias, .* and 2 more$"):
        model_of(tmp_path)
    model = model_of(tmp_path, allow_missing_head=True)
    theirs, ours = body.state_dict(), model.backbone.network.bert.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert not to_config(model.backbone.config)["allow_missing_head"]
    spoil(tmp_path, lambda tensors: tensors.pop("encoder.layer.1.output.dense.weight"))
    with pytest.raises(CheckpointError, match=r"no weights for in bert\.encoder\.layer\.1\.output\.dense\.weight$"):
        model_of(tmp_path, allow_missing_head=True)


def spoil(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def as_pickle(folder: Path) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def rewrite(folder: Path, **settings: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))


BIAS = "cls.predictions.bias"


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda folder: spoil(folder, lambda t: t.pop(BIAS)), f"no weights for in {BIAS}"),
        (lambda folder: spoil(folder, lambda t: t.update({BIAS: torch.zeros(3)})), f"other shapes .* in .*{BIAS}"),
        (
            lambda folder: spoil(folder, lambda t: t.update({BIAS: torch.full((50,), torch.inf)})),
            f"NaN or infinity in {BIAS}",
        ),
        (lambda folder: spoil(folder, lambda t: t.update({"cls.more": torch.zeros(1)})), "no place for in cls.more"),
        (lambda folder: rewrite(folder, num_hidden_layers=1), "no place for in bert.encoder.layer.1"),
        (
            lambda folder: rewrite(folder, vocab_size=10**10),
            "config.json describes .* numbers, the weights are .* bytes long",
        ),
        (
            lambda folder: rewrite(folder, hidden_size="wide"),
            "configuration of the network cannot be used|cannot be made",
        ),
        (lambda folder: rewrite(folder, model_type="bort"), "configuration of the network cannot be used"),
        (
            lambda folder: rewrite(folder, model_type="new", auto_map={"AutoConfig": "c.C"}),
            "configuration of the network",
        ),
        (lambda folder: (folder / "config.json").unlink(), "configuration of the network cannot be used"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"\0" * 20), "cannot be loaded|cannot be used"),
        (as_pickle, "cannot be loaded: .*model.safetensors"),
    ],
)
def test_c8_damage_is_an_error(damage: Callable[[Path], None], reason: str, tmp_path: Path) -> None:
    saved(random_network("bert"), tmp_path)
    damage(tmp_path)
    with pytest.raises(CheckpointError, match=reason) as caught:
        model_of(tmp_path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600


def test_tensors_for_other_tasks_are_left_aside(tmp_path: Path) -> None:
    network, (ids, canvas) = random_network("bert"), batch()
    saved(network, tmp_path)
    before = denoise(model_of(tmp_path), ids, canvas, canvas.free)
    other = {"bert.pooler.dense.weight": torch.zeros(32, 32), "cls.seq_relationship.bias": torch.zeros(2)}
    spoil(tmp_path, lambda tensors: tensors.update(other))
    assert torch.equal(denoise(model_of(tmp_path), ids, canvas, canvas.free), before)


def test_path_or_network() -> None:
    for options in ({}, {"path": "a", "network": {}}):
        with pytest.raises(ConfigError, match="give either path or network"):
            PretrainedBackboneConfig(**options)  # type: ignore[arg-type]


def test_a_network_without_a_hook_is_untouched(tmp_path: Path) -> None:
    """The network inside still is a masked language model for others: whole logits outside of `denoise`."""
    network, (ids, canvas) = random_network("bert"), batch()
    model = model_of(saved(network, tmp_path))
    denoise(model, ids, canvas, canvas.free)
    assert isinstance(model.backbone.network, BertForMaskedLM)
    torch.testing.assert_close(model.backbone.network(ids).logits, network(ids).logits)


def test_a_copy_works_like_the_original(tmp_path: Path) -> None:
    """Averaged weights live in a copy."""
    model, (ids, canvas) = model_of(saved(random_network("bert"), tmp_path)), batch()
    assert torch.equal(
        denoise(copy.deepcopy(model), ids, canvas, canvas.free), denoise(model, ids, canvas, canvas.free)
    )


def test_a_tokenizer_without_a_mask_is_refused(tmp_path: Path) -> None:
    words = {"[UNK]": 0, "a": 1}
    backend = Backend(WordLevel(words, unk_token="[UNK]"))
    with pytest.raises(CheckpointError, match="its tokenizer has no mask token"):
        load_masked_lm(tmp_path, Tokenizer(backend, {"unk_token": "[UNK]"}))


REACTIONS = [
    "CC(=O)Cl.OCC>>CC(=O)OCC",
    "Nc1ccccc1.CC(=O)O>>CC(=O)Nc1ccccc1",
    "O=C(O)c1ccccc1.CO>>COC(=O)c1ccccc1",
    "Brc1ccccc1.OB(O)c1ccccc1>>c1ccc(-c2ccccc2)cc1",
]


def test_a_real_network_needs_no_training(development_data: Callable[[str], Path]) -> None:
    folder = development_data("rxn-albert-mlm")
    tokenizer = load_tokenizer(folder)
    model, theirs = load_masked_lm(folder, tokenizer), AutoModelForMaskedLM.from_pretrained(folder)
    assert (model.config.context_length, model.training) == (512, False)
    hits, total = 0, 0
    for reaction in REACTIONS:
        row = torch.tensor(tokenizer.prefix_ids + tokenizer.encode(reaction) + tokenizer.suffix_ids)
        free = torch.eye(len(row), dtype=torch.bool)[1:-1]
        x_t = row.expand_as(free).masked_fill(free, tokenizer.vocabulary.mask_id)
        canvas = Canvas(row.expand_as(free), ~free, torch.ones_like(free), torch.zeros(len(free), dtype=torch.long))
        found = denoise(model, x_t, canvas, free)
        plain = theirs(x_t).logits[free].masked_fill(~tokenizer.vocabulary.writable(), -torch.inf)
        torch.testing.assert_close(found, plain, rtol=1e-4, atol=1e-4)
        assert torch.equal(found.argmax(-1), plain.argmax(-1))
        hits, total = hits + int((found.argmax(-1) == row[1:-1]).sum()), total + len(free)
    assert hits / total > 0.85
