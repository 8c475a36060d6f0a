"""`textdiff generate --classifier`: a sequence classifier of Hugging Face leads the way."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tiny import run, senseless_checkpoint, tiny_checkpoint
from transformers import BertConfig, BertForSequenceClassification

import textdiff
from textdiff.draws import Draws
from textdiff.errors import ConfigError
from textdiff.infiller.classifying import classifier_of
from textdiff.text.canvas import Canvas
from textdiff.text.tokenizers import Tokenizer

LABELS = {0: "dull", 1: "merry"}


def network_of(tokenizer: Tokenizer, longest: int = 64, steps: int = 80) -> BertForSequenceClassification:
    """Has learnt that texts are merry whose ids are low, also where some are masked."""
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    size = tokenizer.vocabulary.size
    config = BertConfig(
        vocab_size=size,
        max_position_embeddings=longest,
        pad_token_id=0,
        id2label=LABELS,
        hidden_dropout_prob=0.0,
        **sizes,
    )
    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = BertForSequenceClassification(config)
        optimizer = torch.optim.AdamW(network.parameters(), 5e-3)
        for _ in range(steps):
            low = torch.rand(64, 1)
            ids = torch.where(
                torch.rand(64, 10) < low, torch.randint(size // 2, (64, 10)), torch.randint(size // 2, size, (64, 10))
            )
            merry = (low[:, 0] > 0.5).long()
            ids = torch.where(torch.rand(64, 10) < torch.rand(64, 1), tokenizer.vocabulary.mask_id, ids)
            torch.nn.functional.cross_entropy(network(ids).logits, merry).backward()
            optimizer.step()
            optimizer.zero_grad()
    return network.eval()


def save_classifier(folder: Path, tokenizer: Tokenizer, longest: int = 64) -> Path:
    network_of(tokenizer, longest, 80 if longest == 64 else 1).save_pretrained(folder)
    tokenizer.save(folder)
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Models of many and of few ids, with their classifiers."""
    root = tmp_path_factory.mktemp("models")
    made = {
        "many": senseless_checkpoint(),
        "few": tiny_checkpoint(kind="characters"),
        "noise": senseless_checkpoint("uniform"),
    }
    for name, checkpoint in made.items():
        checkpoint.save(root / name)
        save_classifier(root / f"{name}-classifier", checkpoint.tokenizer)
    save_classifier(root / "short-classifier", made["many"].tokenizer, longest=32)
    return {path.name: path for path in root.iterdir()}


def log_p(folder: Path, texts: list[str], number: int) -> float:
    """What the classifier says of finished texts, mean."""
    network = BertForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = textdiff.load(folder.parent / folder.name.removesuffix("-classifier")).tokenizer
    with torch.no_grad():
        found = [network(torch.tensor([tokenizer.encode(text)])).logits.log_softmax(-1)[0, number] for text in texts]
    return float(torch.stack(found).mean())


def written(folder: Path, *options: object) -> list[str]:
    ended = run("generate", "-m", folder, "-n", 12, "--max-new-tokens", 8, "--steps", 8, "--json", *options)
    assert (ended.code, ended.err) == (0, "")
    return [sample["text"] for sample in json.loads(ended.out)["samples"]]


@pytest.mark.parametrize("name", ["many", "few", "noise"])
def test_texts_come_to_have_the_label(name: str, folders: dict[str, Path]) -> None:
    model, classifier = folders[name], folders[f"{name}-classifier"]
    plain = written(model)
    assert written(model, "--classifier", classifier, "--label", "merry", "--classifier-weight", 0) == plain
    leading = {}
    for number, label in LABELS.items():
        texts = written(model, "--classifier", classifier, "--label", label, "--classifier-weight", 8)
        leading[label] = log_p(classifier, texts, number)
        assert leading[label] > log_p(classifier, plain, number) + 0.1
    once = written(model, "--classifier", classifier, "--label", "merry")
    assert once == written(model, "--classifier", classifier, "--label", "1", "--classifier-weight", 1)


def test_blocks_are_led_too(folders: dict[str, Path]) -> None:
    options = (
        "--classifier",
        folders["many-classifier"],
        "--label",
        "merry",
        "--classifier-weight",
        8,
        "--block-size",
        4,
    )
    texts = written(folders["many"], "The old", *options)
    assert all(text.startswith("The old") for text in texts)
    assert log_p(folders["many-classifier"], texts, 1) > log_p(
        folders["many-classifier"], written(folders["many"], "The old", "--block-size", 4), 1
    )


def test_python_takes_any_classifier(folders: dict[str, Path]) -> None:
    """One that wants a token everywhere."""
    model = textdiff.load(folders["few"])
    wanted = model.tokenizer.encode("o")[0]

    def classify(x_t, t, canvas, where):  # type: ignore[no-untyped-def]
        return 50.0 * torch.nn.functional.one_hot(torch.tensor(wanted), model.tokenizer.vocabulary.size).expand(
            int(where.sum()), -1
        )

    assert model.generate(max_new_tokens=5, classifier=classify).samples[0].text == "ooooo"
    assert model.generate(max_new_tokens=5, classifier=classify, classifier_weight=0.0).samples[0].text != "ooooo"
    with pytest.raises(ConfigError, match="no classifier is given"):
        model.generate(max_new_tokens=5, classifier_weight=1.0)


def test_few_ids_are_all_asked_about_and_many_by_slope() -> None:
    """Of the same network: what each says of changing one token."""
    tokenizer = tiny_checkpoint().tokenizer
    network, size = network_of(tokenizer, steps=1), tokenizer.vocabulary.size
    ids = (Draws.seeded([1, 2]).uniform(9) * size).long()
    valid = torch.ones_like(ids, dtype=torch.bool)
    valid[1, 6:] = False
    canvas, t = Canvas(ids, ~valid, valid, torch.tensor([1, 2])), torch.ones(2)
    slopes = classifier_of(network, 1, size)(ids, t, canvas, canvas.free)
    assert slopes.shape == (15, size)
    table = network.get_input_embeddings().weight.detach().double()
    network = network.double()

    def of(embeddings: torch.Tensor) -> torch.Tensor:
        return network(inputs_embeds=embeddings, attention_mask=valid.long()).logits.log_softmax(-1)[:, 1]

    here, place = table[ids], (1, 4)
    for token in range(5, size, 60):
        step = torch.zeros_like(here)
        step[place] = 1e-5 * (table[token] - here[place])
        with torch.no_grad():
            expected = float((of(here + step) - of(here - step))[1] / 2e-5)
        found = float(slopes[9 + 4, token] - slopes[9 + 4, ids[place]])
        assert found == pytest.approx(expected, abs=2e-4)
    few = network_of(tiny_checkpoint(kind="characters").tokenizer, steps=1)
    count = few.config.vocab_size
    said = classifier_of(few, 1, count)(ids % count, t, canvas, canvas.free)
    changed = (ids % count).clone()
    changed[place] = 7
    with torch.no_grad():
        expected = few(changed, attention_mask=valid.long()).logits.log_softmax(-1)[1, 1]
    assert float(said[9 + 4, 7].detach()) == pytest.approx(float(expected), abs=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--classifier", "many-classifier"], "--classifier goes with --label NAME"),
        (["--label", "merry"], "--classifier goes with --label NAME"),
        (["--classifier-weight", 2], "and --classifier-weight with both"),
        (["--classifier", "many-classifier", "--label", "mery"], "has no label 'mery'. Did you mean 'merry'?"),
        (["--classifier", "few-classifier", "--label", "merry"], "have different tokens"),
        (["--classifier", "short-classifier", "--label", "merry"], "reads 32 tokens, the model up to 64"),
        (["--classifier", "many-classifier", "--label", "merry", "--classifier-weight", -1], "at least 0"),
        (["--condition", "-", "--classifier", "many-classifier", "--label", "merry"], "--condition takes no prompt"),
    ],
)
def test_what_cannot_be_is_refused(options: list[object], message: str, folders: dict[str, Path]) -> None:
    found = [folders.get(str(word), word) for word in options]
    ended = run("generate", "-m", folders["many"], *found)
    assert (ended.code, ended.out) == (2, b"")
    assert message in " ".join(ended.err.split())
