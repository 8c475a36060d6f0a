"""Sequence to sequence: pairs are read whole, the source is given, and the target's likelihood is the conditional one."""

from __future__ import annotations

import gzip
import itertools
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from oracles import ToyLanguage, canvas_of
from pairs import ROOM, made, recipe_of, sources, trained, write_pairs
from test_backbones import SMALL

from textdiff.corpus import PairOptions, read_pairs
from textdiff.data import PairLoader, encode_pairs, pair_batches
from textdiff.draws import Draws
from textdiff.errors import ConfigError, DataError, UsageError
from textdiff.evaluation import evaluate
from textdiff.files import apply_override
from textdiff.infiller import Checkpoint
from textdiff.metrics import estimate_nelbo
from textdiff.model import DiffusionModel
from textdiff.objectives import estimator_for
from textdiff.processes import AbsorbingProcess, AutoregressiveProcess, ForwardProcess, UniformProcess
from textdiff.recipe import run_recipe
from textdiff.recipe.finetuning import finetuning_recipe
from textdiff.recipe.running import PreparedRun
from textdiff.registry import build, to_config
from textdiff.text.pairs import PairLayout
from textdiff.text.tokenizers import train_tokenizer
from textdiff.training import state_folders
from textdiff.vocabulary import Vocabulary

PROCESSES = ("absorbing", "uniform", "hybrid", "autoregressive")
TOKENIZER = train_tokenizer("characters", ["abcdABCD\n"], 32)
LAYOUT = PairLayout(TOKENIZER, ROOM, 16)


def texts(path: Path | list[Path], **options: str) -> list[tuple[str, str]]:
    paths = path if isinstance(path, list) else [path]
    return [pair[:2] for pair in read_pairs(paths, PairOptions(**options))]


def test_tables_and_files_side_by_side_give_the_same_pairs(tmp_path: Path) -> None:
    wanted = [("ein Hund", "a dog"), (" zwei  Katzen ", "two cats")]
    rows = [json.dumps({"de": de, "en": en, "id": 3}) for de, en in wanted]
    table, left, right = tmp_path / "pairs.jsonl", tmp_path / "a.de", tmp_path / "a.en.gz"
    table.write_text(rows[0] + "\n\n" + rows[1])
    left.write_bytes(b"\xef\xbb\xbfein Hund\r\n zwei  Katzen \r\n")
    right.write_bytes(gzip.compress(b"a dog\ntwo cats\n"))
    assert texts(table, source_column="de", target_column="en") == wanted
    assert texts([left, right]) == wanted
    assert texts([right, left]) == [pair[::-1] for pair in wanted]
    assert [pair.place for pair in read_pairs([left, right])] == [f"{left}:1", f"{left}:2"]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"a.jsonl": '{"source": "x", "target": " "}'}, r"a\.jsonl:1: a side of the pair is blank"),
        (
            {"a.jsonl": '{"source": "x", "tarket": "y"}'},
            r"a\.jsonl:1: there is no column 'target'\. Did you mean 'tarket'",
        ),
        ({"a.jsonl": '{"source": "x", "target": 5}'}, r"a\.jsonl:1: the column 'target' holds a number"),
        ({"a.jsonl": "[1]\n"}, r'expected an object such as \{"source": "…", "target": "…"\}, found a list'),
        ({"a.jsonl": ""}, "there is no pair"),
        ({"a.txt": "x\ny\n", "b.txt": "x\n"}, r"b\.txt ends before line 2"),
        ({"a.txt": "x\n\n", "b.txt": "x\ny\n"}, r"a\.txt:2: a side of the pair is blank"),
        ({"a.txt": "x\n"}, r"a\.txt has no partner"),
        ({"a.txt": "x\n", "b.jsonl": '{"source": "x", "target": "y"}'}, r"a\.txt has no partner"),
        ({"a.txt": "x\n", "b.txt": b"\xff\n"}, r"b\.txt is not UTF-8: byte 0xff at offset 0"),
        (
            {"a.jsonl": json.dumps({"source": "a", "target": "A" * 7})},
            r"a\.jsonl:1: the target has 7 tokens.* room for 6",
        ),
        (
            {"a.jsonl": json.dumps({"source": "a" * 9, "target": "A"})},
            r"a\.jsonl:1: the source has 9 tokens.* room for 8",
        ),
    ],
)
def test_what_cannot_be_a_pair_is_said_in_a_sentence(
    files: dict[str, str | bytes], message: str, tmp_path: Path
) -> None:
    for name, content in files.items():
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=message):
        encode_pairs(read_pairs([tmp_path / name for name in files]), LAYOUT)


def test_bad_pairs_are_left_out_where_that_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_pairs(tmp_path / "pairs.jsonl", 10)
    path.write_text('{"source": "a"}\n{"source": "a", "target": "AAAAAAAA"}\n' + path.read_text())
    recipe = recipe_of(path, "absorbing")

    def pairs(skip_bad: object) -> int:
        plain = to_config(recipe)
        apply_override(plain, f"data.skip_bad={json.dumps(skip_bad)}")
        return sum(map(len, PreparedRun(build(type(recipe), plain), tmp_path).material.split))  # type: ignore[attr-defined]

    assert pairs(True) == pairs(1) == 10  # one of a kind
    said = capsys.readouterr().err
    assert "there is no column 'target'" in said and "the target has 8 tokens" in said
    for allowed in (False, 0):
        with pytest.raises(DataError, match="there is no column 'target'"):
            pairs(allowed)


def test_a_row_is_the_source_with_its_ends_and_the_room() -> None:
    end, fill = TOKENIZER.prefix_ids[0], TOKENIZER.vocabulary.filler_id
    ab, capital = TOKENIZER.encode("ab"), TOKENIZER.encode("BA")
    assert LAYOUT.given(ab) + LAYOUT.room(capital) == [end, *ab, end, *capital, *[fill] * 4]
    assert replace(LAYOUT, one_end=True).room(capital) == [*capital, fill]
    full = TOKENIZER.encode("ABCDAB")
    assert LAYOUT.room(full) == replace(LAYOUT, one_end=True).room(full) == full
    assert LAYOUT.target([*capital, fill, fill]) == capital
    assert LAYOUT.longest_source == 8


def test_a_tokenizer_or_a_context_that_does_not_do_is_refused() -> None:
    with pytest.raises(ConfigError, match="a context of 8 tokens has no room for a source beside a target of 6"):
        PairLayout(TOKENIZER, 6, 8)


@pytest.mark.parametrize("process", PROCESSES)
def test_sources_are_never_corrupted_and_never_scored(process: str, tmp_path: Path) -> None:
    corpus = encode_pairs(read_pairs([write_pairs(tmp_path / "pairs.jsonl", 30)]), LAYOUT)
    noise = build(ForwardProcess, process, vocabulary=TOKENIZER.vocabulary)
    canvas = PairLoader(corpus, replace(LAYOUT, one_end=noise.left_to_right), seed=4).batch(0, 30)
    level = torch.linspace(0.05, 0.999, 30, dtype=torch.float64)
    corruption = estimator_for(noise).corrupt(canvas, level, Draws.seeded(canvas.seeds))
    given = canvas.valid & canvas.frozen
    assert torch.equal(corruption.x_t[given], canvas.ids[given]) and not bool((corruption.where & given).any())
    assert bool((corruption.where[-1] == canvas.free[-1]).any())
    for row in range(30):
        source = TOKENIZER.decode(canvas.ids[row][given[row]].tolist())
        assert TOKENIZER.decode(canvas.ids[row][canvas.free[row]].tolist()) == made(source)
        assert int(canvas.free[row].sum()) == (len(source) + 1 if noise.left_to_right else ROOM)


def test_samples_are_numbered_and_an_epoch_has_each_pair_once(tmp_path: Path) -> None:
    corpus = encode_pairs(read_pairs([write_pairs(tmp_path / "pairs.jsonl", 12)]), LAYOUT)
    loader = PairLoader(corpus, LAYOUT, seed=3, condition_dropout=0.5)
    whole = loader.batch(0, 24)
    again = loader.batch(7, 2)
    for i, row in enumerate((7, 8)):
        length = int(again.valid[i].sum())
        assert torch.equal(again.ids[i, :length], whole.ids[row, :length]) and again.seeds[i] == whole.seeds[row]
    lines = ["".join(map(str, row)) for row in whole.ids.tolist()]
    assert sorted(lines[:12]) == sorted(lines[12:]) and lines[:12] != lines[12:]
    assert whole.hidden is not None and torch.equal(whole.hidden.any(-1).sum() > 4, torch.tensor(True))
    assert bool((~whole.hidden | (whole.frozen & whole.valid)).all())


def test_some_samples_show_where_their_target_ends(tmp_path: Path) -> None:
    """The fillers of some are given, those of the others free; from left to right the end is always written."""
    corpus = encode_pairs(read_pairs([write_pairs(tmp_path / "pairs.jsonl", 60)]), LAYOUT)
    filler = TOKENIZER.vocabulary.filler_id
    plain, canvas = (PairLoader(corpus, LAYOUT, seed=3, known_length=share).batch(0, 60) for share in (0.0, 0.3))
    assert torch.equal(plain.ids, canvas.ids) and torch.equal(plain.seeds, canvas.seeds)
    given = ((canvas.ids == filler) & canvas.frozen & canvas.valid).any(-1)
    assert 8 <= int(given.sum()) <= 28
    texts = (canvas.ids != filler) & plain.free
    assert torch.equal(canvas.free, torch.where(given[:, None], texts, plain.free))
    twin = PairLoader(corpus, replace(LAYOUT, one_end=True), seed=3, known_length=0.9).batch(0, 60)
    assert bool(((twin.ids == filler) & twin.free).any(-1).all())


ROOMS = Vocabulary(size=6, special_ids=(0,), mask_id=1, pad_id=0, filler_id=5)


def conditional() -> ToyLanguage:
    """A source of 2 or 3, and a room of three positions with a text of 2, 3 and 4 at its start."""
    targets = [text for size in range(4) for text in itertools.product((2, 3, 4), repeat=size)]
    rows = torch.tensor([[source, *text, *[5] * (3 - len(text))] for source in (2, 3) for text in targets])
    weights = torch.randn(len(rows), generator=torch.Generator().manual_seed(8), dtype=torch.float64)
    return ToyLanguage(ROOMS, rows, (1.5 * weights).softmax(0))


@pytest.mark.statistical
@pytest.mark.parametrize("process", [AbsorbingProcess, UniformProcess])
def test_the_bound_of_the_exact_denoiser_is_the_conditional_likelihood(process: type) -> None:
    """Within 4 standard errors of -log p(target | source) of the same pairs; the source's own probability is not in it."""
    language, noise = conditional(), process(ROOMS)
    ids = language.sample(150, seed=1)
    frozen = torch.zeros_like(ids, dtype=torch.bool)
    frozen[:, 0] = True
    found = estimate_nelbo(language.denoiser(noise), noise, [canvas_of(ids, frozen)], repeats=6, seed=2)
    marginal = torch.stack([language.probabilities[language.sequences[:, 0] == source].sum() for source in (2, 3)])
    truth = -(language.probabilities[language.index(ids)] / marginal[ids[:, 0] - 2]).log().sum()
    texts = (ids[:, 1:] != 5).sum(-1)
    assert found.tokens == int((texts + (texts < 3)).sum())
    # the standard error is that of the mean over texts too: what the noise adds is smaller, so the window is a wide one
    assert abs(found.nats - float(truth)) / found.tokens < 2 * found.standard_error
    assert found.standard_error < 0.1


@torch.no_grad()
def test_a_twin_gives_all_targets_of_a_source_a_probability_of_one() -> None:
    """A causal network with random weights: with one filler the targets of a room share the probability out."""
    layout = replace(LAYOUT, target_length=3, one_end=True)
    with torch.random.fork_rng():
        torch.manual_seed(5)
        model = DiffusionModel.of(SMALL, AutoregressiveProcess(TOKENIZER.vocabulary), 16).eval()
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    vocabulary = TOKENIZER.vocabulary
    ids = [i for i in vocabulary.writable().nonzero()[:, 0].tolist() if i != vocabulary.filler_id]
    total, given = 0.0, layout.given(TOKENIZER.encode("ab"))
    for size in range(4):
        every = torch.tensor([given + layout.room(text) for text in itertools.product(ids, repeat=size)])
        frozen = (torch.arange(every.shape[1]) < len(given)).expand_as(every)
        for part in torch.arange(len(every)).split(256):
            canvas = canvas_of(every[part], frozen[part])
            logits = model.denoise(canvas.ids, torch.zeros(len(part)), canvas, canvas.free)
            chosen = logits.log_softmax(-1).gather(-1, canvas.ids[canvas.free].unsqueeze(-1))
            total += float(chosen.view(len(part), -1).double().sum(-1).exp().sum())
    assert total == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize("process", ["hybrid"])
def test_a_run_on_pairs_goes_on_where_it_stopped_and_keeps_what_it_is_for(process: str, tmp_path: Path) -> None:
    path = write_pairs(tmp_path / "pairs.jsonl", 40)
    often = {"eval_steps": 2, "save_steps": 1, "per_device_train_batch_size": 4}
    whole = run_recipe(recipe_of(path, process, max_steps=2, **often), tmp_path, tmp_path / "whole")
    run_recipe(recipe_of(path, process, max_steps=1, **often), tmp_path, tmp_path / "part")
    part = run_recipe(recipe_of(path, process, max_steps=2, **often), tmp_path, tmp_path / "part")
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, part.model.state_dict()[name])
    assert len(state_folders(tmp_path / "part")) > 0
    kept = Checkpoint.load(tmp_path / "whole" / "model")
    assert kept.model.config.target_length == ROOM
    assert kept.metrics is not None and kept.metrics["scores"][0]["signature"].count("|pairs:4|target_length:6|") == 1


@pytest.mark.parametrize("process", ["absorbing", "autoregressive"])
def test_it_is_learned_and_evaluate_scores_targets_given_sources(process: str, tmp_path: Path) -> None:
    infiller = trained(process)
    path = write_pairs(tmp_path / "pairs.jsonl", 60, seed=9)
    nelbo, per_byte, _ = evaluate(infiller, [path], ["nelbo"], repeats=4)
    assert nelbo.value < 0.1  # with all letters alike it would be 0.95 or more
    ends = sum(len(source) + 1 for source in sources(60, seed=9))
    assert nelbo.n == ends and per_byte.n == ends - 60
    assert per_byte.value == pytest.approx(nelbo.value * ends / (ends - 60) / 0.6931472, rel=1e-6)
    assert "|pairs:60|target_length:6|" in nelbo.signature
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    wrong = tmp_path / "wrong.jsonl"  # each with the target of another
    shuffled = [row["target"] for row in lines[1:]] + [lines[0]["target"]]
    rows = [{"from": row["source"], "to": target} for row, target in zip(lines, shuffled, strict=True)]
    wrong.write_text("\n".join(map(json.dumps, rows)))
    other = evaluate(infiller, [wrong], ["nelbo"], pairs=PairOptions("from", "to"), repeats=4)[0]
    assert other.value > 1
    few = evaluate(infiller, [path], ["nelbo"], repeats=4, max_windows=10)
    assert few[0].n < ends / 3 and few[1].n == round((ends - 60) / 6)


def test_what_does_not_go_with_pairs_is_refused(tmp_path: Path) -> None:
    path = write_pairs(tmp_path / "pairs.jsonl", 10)
    plain = to_config(recipe_of(path, "absorbing"))
    for override, message in [
        ("tasks=[gaps]", "tasks: what is given and what is free in a pair"),
        ("data.separate_documents=true", "separate_documents: a pair stands alone"),
        ("data.pairs.known_length=1", "known_length must be at least 0 and below 1"),
        ("data.pairs.target_length=0", "target_length must be at least 1"),
        ("data.pairs.target=en", r"data\.pairs\.target: unknown key"),
    ]:
        values = json.loads(json.dumps(plain))
        apply_override(values, override)
        with pytest.raises(ConfigError, match=message):
            build(type(recipe_of(path, "absorbing")), values)
    infiller = trained("absorbing")
    start = Checkpoint(infiller.model, infiller.tokenizer, infiller.samplers)
    with pytest.raises(ConfigError, match="not fine-tuned on"):
        finetuning_recipe(start, "m", [str(path)])
    model = DiffusionModel.of(SMALL, AbsorbingProcess(TOKENIZER.vocabulary), 16)
    with pytest.raises(UsageError, match="was not trained on pairs"):
        replace(infiller, model=model).pair_layout()


def test_held_out_batches_are_spread_over_all_pairs(tmp_path: Path) -> None:
    corpus = encode_pairs(read_pairs([write_pairs(tmp_path / "pairs.jsonl", 9)]), LAYOUT)
    rows = [canvas.seeds.tolist() for canvas in pair_batches(corpus, LAYOUT, 2, 1, limit=5)]
    assert rows == [[1_000_003, 1_000_005], [1_000_007, 1_000_009], [1_000_011]]
