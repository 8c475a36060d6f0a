"""A model as a denoiser, as a Hugging Face masked language model, and as a folder."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer as Backend
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import AutoConfig, AutoModelForMaskedLM, PreTrainedTokenizerFast, pipeline

from textdiff.backbones import DiTConfig
from textdiff.errors import CheckpointError
from textdiff.model import DiffusionConfig, DiffusionModel
from textdiff.processes import AbsorbingProcess, ForwardProcess, HybridProcess, UniformProcess
from textdiff.text.canvas import Canvas
from textdiff.vocabulary import Vocabulary

VOCABULARY = Vocabulary(size=11, special_ids=(0, 1, 4), mask_id=1, pad_id=0)
SMALL = DiTConfig(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, time_embedding="sinusoidal")


def model_of(process: ForwardProcess | None = None, **options: Any) -> DiffusionModel:
    torch.manual_seed(0)
    model = DiffusionModel.of(SMALL, process or AbsorbingProcess(VOCABULARY), context_length=12, **options)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    model.eval()
    return model


def batch() -> tuple[torch.Tensor, torch.Tensor, Canvas]:
    torch.manual_seed(1)
    ids = torch.randint(0, VOCABULARY.size, (3, 7))
    valid = torch.arange(7) < torch.tensor([[7], [5], [3]])
    canvas = Canvas(ids, torch.rand(3, 7) < 0.4, valid, torch.arange(3))
    return ids, torch.tensor([0.2, 0.5, 0.9], dtype=torch.float64), canvas


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    model_of().save_pretrained(tmp_path)
    return tmp_path


def test_ids_that_are_not_writable_are_impossible() -> None:
    x_t, t, canvas = batch()
    logits = model_of().denoise(x_t, t, canvas, canvas.valid)
    assert logits.shape == (15, VOCABULARY.size)
    assert logits.dtype == torch.float32
    assert (logits.isfinite() == VOCABULARY.writable()).all()
    assert (logits[:, ~VOCABULARY.writable()] == -torch.inf).all()


def test_wanted_rows_are_rows_of_the_whole() -> None:
    x_t, t, canvas = batch()
    model = model_of()
    whole = model.denoise(x_t, t, canvas, torch.ones_like(canvas.valid)).unflatten(0, (3, 7))
    torch.testing.assert_close(model.denoise(x_t, t, canvas, canvas.free), whole[canvas.free], rtol=1e-5, atol=1e-5)


def test_hidden_positions_do_not_influence_the_result() -> None:
    x_t, t, canvas = batch()
    model, hidden = model_of(), torch.zeros(3, 7, dtype=torch.bool)
    hidden[:, 1:3] = True
    changed = torch.where(hidden, (x_t + 5) % VOCABULARY.size, x_t)
    wanted = canvas.valid & ~hidden
    for frozen in (canvas.frozen, canvas.frozen | hidden):
        seen = Canvas(canvas.ids, frozen, canvas.valid, canvas.seeds)
        unseen = Canvas(canvas.ids, frozen, canvas.valid, canvas.seeds, hidden)
        assert torch.equal(model.denoise(x_t, t, unseen, wanted), model.denoise(changed, t, unseen, wanted))
        assert not torch.equal(model.denoise(x_t, t, seen, wanted), model.denoise(changed, t, seen, wanted))
    given = Canvas(canvas.ids, canvas.frozen | hidden, canvas.valid, canvas.seeds, hidden)
    free = Canvas(canvas.ids, canvas.frozen & ~hidden, canvas.valid, canvas.seeds, hidden)
    assert torch.equal(model.denoise(x_t, t, given, wanted), model.denoise(x_t, t, free, wanted))


@pytest.mark.parametrize(
    "process", [UniformProcess(VOCABULARY), HybridProcess(VOCABULARY)], ids=lambda p: type(p).__name__
)
def test_a_posterior_is_converted(process: ForwardProcess) -> None:
    """What the network gives is p(x_0 | x_t); the posterior of what `denoise` makes of it at s = 0 gives it back."""
    x_t, t, canvas = batch()
    x_t = torch.where(VOCABULARY.writable()[x_t], x_t, 2)
    raw = model_of(process).denoise(x_t, t, canvas, canvas.free)
    converted = model_of(process, prediction="posterior").denoise(x_t, t, canvas, canvas.free)
    times, seen = t.unsqueeze(-1).expand(3, 7)[canvas.free], x_t[canvas.free]
    evidence = process.evidence(seen, times)  # type: ignore[attr-defined]
    assert (evidence > 0).all()
    taken = raw - torch.nn.functional.one_hot(seen, VOCABULARY.size) * evidence.unsqueeze(-1)
    torch.testing.assert_close(converted.double(), taken, rtol=1e-5, atol=1e-5)
    back = process.posterior(converted.log_softmax(-1), seen, torch.zeros_like(times), times)
    torch.testing.assert_close(back.double(), raw.double().log_softmax(-1), rtol=1e-4, atol=1e-4)


def test_forward_is_the_denoiser_at_the_time_of_its_masks() -> None:
    ids, _, canvas = batch()
    ids = ids.masked_fill(ids == VOCABULARY.mask_id, 2)
    ids[0, :3] = ids[1, :1] = VOCABULARY.mask_id
    model = model_of()
    result = model(input_ids=ids, attention_mask=canvas.valid.long(), token_type_ids=torch.zeros_like(ids))
    given = Canvas(ids, ids != VOCABULARY.mask_id, canvas.valid, canvas.seeds)
    expected = model.denoise(ids, torch.tensor([3 / 7, 1 / 5, 0]), given, torch.ones_like(canvas.valid))
    assert result.loss is None
    torch.testing.assert_close(result.logits.flatten(0, 1), expected, rtol=1e-5, atol=1e-5)
    labels = torch.full_like(ids, -100)
    labels[0, :3] = torch.tensor([2, 3, 5])
    picked = expected.log_softmax(-1)[torch.arange(3), labels[0, :3]]
    torch.testing.assert_close(model(ids, canvas.valid, labels).loss, -picked.mean(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("process", [AbsorbingProcess, UniformProcess, HybridProcess])
def test_a_saved_model_is_the_same_model(process: Callable[[Vocabulary], ForwardProcess], tmp_path: Path) -> None:
    model, (x_t, t, canvas) = model_of(process(VOCABULARY), prediction="posterior"), batch()
    model.save_pretrained(tmp_path)
    again = AutoModelForMaskedLM.from_pretrained(tmp_path)
    assert isinstance(again, DiffusionModel)
    assert not again.training
    assert again.process == model.process
    assert again.config.prediction == "posterior"
    assert torch.equal(again.denoise(x_t, t, canvas, canvas.free), model.denoise(x_t, t, canvas, canvas.free))
    config = AutoConfig.from_pretrained(tmp_path)
    assert isinstance(config, DiffusionConfig)
    assert (config.context_length, config.backbone) == (12, model.config.backbone)
    half = DiffusionModel.from_pretrained(tmp_path, dtype=torch.bfloat16)
    assert {p.dtype for p in half.parameters()} == {torch.bfloat16}


def test_the_fill_mask_pipeline_works(folder: Path) -> None:
    words = {word: i for i, word in enumerate(["[PAD]", "[MASK]", *"abcdefghi"])}
    backend = Backend(WordLevel(words, unk_token="c"))
    backend.pre_tokenizer = Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, mask_token="[MASK]", pad_token="[PAD]")
    tokenizer.save_pretrained(folder)
    best = pipeline("fill-mask", model=str(folder))("a b [MASK] e f", top_k=3)
    ids = torch.tensor([[words[w] for w in ["a", "b", "[MASK]", "e", "f"]]])
    expected = model_of()(ids).logits[0, 2].softmax(-1).topk(3)
    assert [found["token"] for found in best] == expected.indices.tolist()
    assert [found["score"] for found in best] == pytest.approx(expected.values.tolist(), abs=1e-5)


def rewrite(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    settings = json.loads((folder / "config.json").read_text())
    change(settings)
    (folder / "config.json").write_text(json.dumps(settings))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            lambda c: c["backbone"].update(hidden_sise=16),
            "backbone.hidden_sise: unknown key. Did you mean 'hidden_size'",
        ),
        (lambda c: c["backbone"].update(name="dot"), "no BackboneConfig is named 'dot'"),
        (lambda c: c["backbone"].update(hidden_size="wide"), "backbone.hidden_size: "),
        (
            lambda c: c["backbone"].update(hidden_size=65_536),
            "config.json describes .* numbers, the weights are .* bytes long",
        ),
        (lambda c: c["backbone"].update(num_hidden_layers=10**9), "num_hidden_layers must be between 1 and 1024"),
        (lambda c: c["backbone"].update(num_hidden_layers=1), "no place for in backbone.blocks.1"),
        (
            lambda c: c["backbone"].update(mlp_ratio=1.0),
            "other shapes than its config.json says in backbone.blocks.0.mlp",
        ),
        (lambda c: c["backbone"].update(tie_word_embeddings=False), "no weights for in backbone.head.weight"),
        (lambda c: c.update(backbone={"name": "pretrained", "path": "elsewhere"}), "names a path to others"),
        (lambda c: c["vocabulary"].update(size=10**12), "a vocabulary has between 1 and 16777216 ids"),
        (lambda c: c["vocabulary"].update(mask_id=99), "vocabulary"),
        (lambda c: c["process"].update(name="adsorbing"), "Did you mean 'absorbing'"),
        (lambda c: c.update(process=None), "process: expected a mapping"),
        (lambda c: c.update(prediction="guess"), "prediction must be 'leave_one_out' or 'posterior', got 'guess'"),
        (lambda c: c.update(context_length=0), "context_length must be a whole number between 1 and 1048576, got 0"),
        (lambda c: c.update(context_length="long"), "context_length must be a whole number .* got 'long'"),
        (lambda c: c.update(format_version=2), "this textdiff reads up to 1; install a newer textdiff"),
    ],
)
def test_c8_a_damaged_configuration_is_an_error(
    folder: Path, change: Callable[[dict[str, Any]], object], reason: str
) -> None:
    rewrite(folder, change)
    for load in (DiffusionModel.from_pretrained, AutoModelForMaskedLM.from_pretrained):
        with pytest.raises(CheckpointError, match=reason) as caught:
            load(folder)
        assert "\n" not in str(caught.value)


def spoil(name: str, value: torch.Tensor | None) -> Callable[[Path], None]:
    def act(folder: Path) -> None:
        tensors = load_file(folder / "model.safetensors")
        if value is None:
            del tensors[name]
        else:
            tensors[name] = value
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})

    return act


def truncate(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def as_pickle(folder: Path) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (spoil("backbone.norm.norm.weight", None), "no weights for in backbone.norm.norm.weight"),
        (spoil("backbone.more", torch.zeros(1)), "no place for in backbone.more"),
        (spoil("backbone.head_bias", torch.zeros(3)), "other shapes than its config.json says in backbone.head_bias"),
        (spoil("backbone.head_bias", torch.full((11,), torch.nan)), "NaN or infinity in backbone.head_bias"),
        (truncate, "cannot be loaded"),
        (as_pickle, "cannot be loaded: .*model.safetensors"),
        (lambda folder: (folder / "config.json").unlink(), "there is no config.json of a textdiff model"),
        (lambda folder: (folder / "config.json").write_text("{"), "cannot be loaded"),
    ],
)
def test_c8_damaged_weights_are_an_error(folder: Path, damage: Callable[[Path], None], reason: str) -> None:
    damage(folder)
    with pytest.raises(CheckpointError, match=reason) as caught:
        DiffusionModel.from_pretrained(folder)
    assert "\n" not in str(caught.value)
