"""Targets of sources: where they end, which of several is taken, what they cost, and that nothing else matters."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import pytest
import torch
from oracles import canvas_of
from pairs import made, sources, trained
from sacrebleu.metrics import CHRF
from scipy import stats
from test_pairs import ROOMS, conditional
from tiny import run, save_tiny

from textdiff.denoiser import Readout
from textdiff.errors import DataError, UsageError
from textdiff.infiller import Infiller
from textdiff.infiller.choosing import expected_chrf
from textdiff.infiller.target_lengths import length_laws, lengths_of
from textdiff.infiller.targets import TargetWriter
from textdiff.processes import AbsorbingProcess
from textdiff.sampling import FillersLast, Sampler, preset
from textdiff.text.canvas import Canvas

TEXT = torch.tensor([False, False, True, True, True, False])


def rooms(rows: int, source: int = 2) -> tuple[object, FillersLast]:
    """A canvas with a source and a room of three, and the constraint on it."""
    ids = torch.full((rows, 4), 5)
    ids[:, 0] = source
    frozen = torch.zeros_like(ids, dtype=torch.bool)
    frozen[:, 0] = True
    return canvas_of(ids, frozen), FillersLast(TEXT, 5, ~frozen)


@pytest.mark.statistical
@pytest.mark.parametrize(
    "sampler", [preset("first_hitting"), preset("left_to_right")], ids=["any order", "from the left"]
)
def test_with_the_exact_denoiser_targets_have_their_law(sampler: Sampler) -> None:
    """Chi-square at 1e-3 against p(target | source): that fillers settle by themselves changes nothing."""
    language, process, rows = conditional(), AbsorbingProcess(ROOMS), 1500
    canvas, constraint = rooms(rows)
    found = sampler.sample(language.denoiser(process), process, canvas, constraint)  # type: ignore[arg-type]
    here = language.sequences[:, 0] == 2
    law = (language.probabilities[here] / language.probabilities[here].sum()).numpy()
    index = language.index(found.ids)
    assert bool((index >= 0).all())  # all have their fillers behind
    observed = torch.bincount(index, minlength=len(here))[here].numpy()
    common = law * rows >= 5
    expected = [*(law[common] * rows), law[~common].sum() * rows]
    assert stats.chisquare([*observed[common], observed[~common].sum()], expected).pvalue > 1e-3
    if sampler == preset("left_to_right"):
        texts = (found.ids[:, 1:] != 5).sum(-1)
        assert torch.equal(found.nfe, (texts + 1).clamp(max=3))  # nothing is asked for behind the first filler


@pytest.mark.parametrize("process", ["absorbing", "uniform"])
def test_a_length_that_is_chosen_first_is_kept_and_shown_to_the_network(process: str) -> None:
    infiller = trained(process) if process == "absorbing" else untrained()
    filler = infiller.tokenizer.vocabulary.filler_id
    lengths, seen = [3, 1, 6, 2], []
    read = type(infiller.model).read

    def watched(model: object, x_t: torch.Tensor, t: torch.Tensor, canvas: Canvas, where: torch.Tensor) -> Readout:
        seen.append((x_t, canvas.frozen))
        return read(model, x_t, t, canvas, where)  # type: ignore[arg-type]

    with (
        patch("textdiff.infiller.targets.lengths_of", lambda *rest: torch.tensor(lengths)),
        patch.object(type(infiller.model), "read", watched),
    ):
        targets = infiller.targets(["ab", "abcd"], n=2, temperature=1.0, steps=8, rerank="mbr")
    if process == "absorbing":  # characters
        assert sorted(len(c.text) for c in targets[0].candidates) == [1, 3]
        assert sorted(len(c.text) for c in targets[1].candidates) == [2, 6]
    before = len(infiller.pair_layout().given(infiller.tokenizer.encode("ab")))
    x_t, frozen = seen[1]  # after the look at the lengths: rows with the shortest source first
    assert [int((row == filler).sum()) for row in x_t[:2] * frozen[:2]] == [3, 5]
    assert bool((frozen[0, before : before + 3] == 0).all()) and bool(frozen[0, before + 3 : before + 6].all())


def test_one_call_gives_the_law_of_the_length() -> None:
    """With the exact denoiser; a target that has no token at all counts as one of one."""
    language, process = conditional(), AbsorbingProcess(ROOMS)
    canvas = rooms(2)[0]
    canvas = canvas.with_ids(torch.tensor([[2, 5, 5, 5], [3, 5, 5, 5]]))  # type: ignore[attr-defined]
    model = SimpleNamespace(denoise=language.denoiser(process), process=process, device="cpu")
    laws = length_laws(model, canvas, 5)  # type: ignore[arg-type]
    for source, law in zip((2, 3), laws, strict=True):
        here = language.sequences[:, 0] == source
        size = (language.sequences[here, 1:] != 5).sum(-1).clamp(min=1)
        truth = torch.zeros(4, dtype=torch.float64).index_add(0, size, language.probabilities[here])[1:]
        torch.testing.assert_close(law, truth / truth.sum(), rtol=1e-6, atol=1e-6)


@pytest.mark.statistical
def test_candidates_get_the_likeliest_lengths_or_draw_theirs() -> None:
    laws = torch.tensor([[0.2, 0.5, 0.3], [0.6, 0.1, 0.3]], dtype=torch.float64)
    assert lengths_of(laws, 2, 0.0, [1, 2, 3, 4]).tolist() == [2, 3, 1, 3]
    assert lengths_of(laws[:1], 4, 0.0, [1, 2, 3, 4]).tolist() == [2, 3, 1, 2]
    for temperature, power in ((1.0, 1), (0.5, 2)):
        drawn = lengths_of(laws[:1], 2000, temperature, list(range(2000)))
        law = (laws[0] ** power / (laws[0] ** power).sum()).numpy()
        assert stats.chisquare(torch.bincount(drawn, minlength=4)[1:].numpy(), law * 2000).pvalue > 1e-3


@pytest.mark.parametrize("name", ["ancestral", "confidence", "remdm", "posterior", "first_hitting"])
def test_no_filler_settles_before_text_that_stood_already(name: str) -> None:
    """With any network, one token a step: text, then fillers, whatever the order."""
    process = AbsorbingProcess(ROOMS)
    canvas, constraint = rooms(60)
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []

    def anything(x_t: torch.Tensor, t: torch.Tensor, canvas: object, where: torch.Tensor) -> torch.Tensor:
        seen.append((x_t.clone(), where.clone()))
        logits = torch.zeros(int(where.sum()), 6)
        logits[:, :2] = -torch.inf
        return logits

    found = replace(preset(name), steps=64).sample(anything, process, canvas, constraint)  # type: ignore[arg-type]
    assert set(found.ids[:, 1:].flatten().tolist()) <= {2, 3, 4, 5}
    for x_t, where in seen:
        ended = ((x_t == 5) & ~where).long().cummax(-1).values.bool()
        assert not bool((ended & where).any())  # what stands behind a filler is never asked for
    if name == "first_hitting":
        filler = found.ids[:, 1:] == 5
        assert bool((filler[:, 1:] >= filler[:, :-1]).all()) and 0 < int(filler.sum()) < filler.numel()


def test_a_text_that_stands_forbids_fillers_before_it_and_a_filler_text_behind() -> None:
    _, constraint = rooms(1)
    noisy = torch.tensor([[False, True, False, True]])
    assert constraint.certain(torch.tensor([[2, 1, 5, 1]]), noisy).tolist() == [[-1, -1, -1, 5]]
    assert constraint.certain(torch.tensor([[2, 1, 3, 1]]), noisy).tolist() == [[-1, -1, -1, -1]]


@pytest.mark.parametrize("process", ["absorbing", "autoregressive"])
def test_targets_are_right_in_order_and_alone_as_among_others(process: str) -> None:
    infiller = trained(process)
    texts = sources(40, seed=5)
    targets = infiller.targets(texts, temperature=0.0)
    assert sum(target.text == made(text) for target, text in zip(targets, texts, strict=True)) >= 36
    along = infiller.targets(texts, temperature=0.0, lengths="along")
    assert sum(target.text == made(text) for target, text in zip(along, texts, strict=True)) >= 36
    saved = sum(a.network_calls - b.network_calls for a, b in zip(targets, along, strict=True))
    assert saved == 0 if process == "autoregressive" else saved != 0

    def drawn(texts: list[str], seed: int = 4) -> list[list[str]]:
        found = infiller.targets(texts, temperature=3.0, n=2, seed=seed)
        return [[candidate.text for candidate in target.candidates] for target in found]

    assert drawn(texts)[7:9] == drawn(texts[7:9])
    assert drawn(texts)[::-1] == drawn(texts[::-1])
    assert drawn(texts) != drawn(texts, seed=5)
    assert len({target.text for target in infiller.targets(["abc"], n=20, temperature=3.0)[0].candidates}) > 3


@pytest.mark.parametrize("process", ["absorbing", "uniform", "autoregressive"])
@pytest.mark.parametrize("n", [1, 3])
def test_network_calls_are_counted_with_those_of_ranking(process: str, n: int) -> None:
    infiller = trained(process) if process != "uniform" else untrained()
    calls, read = [], type(infiller.model).read
    backbone = type(infiller.model.backbone)
    read_on = backbone.read_on

    def counted(model: object, x_t: torch.Tensor, *rest: object) -> Readout:
        calls.append(len(x_t))
        return read(model, x_t, *rest)  # type: ignore[arg-type]

    def counted_on(network: object, cache: object, rows: torch.Tensor, *rest: object) -> torch.Tensor:
        calls.append(len(rows))
        return read_on(network, cache, rows, *rest)  # type: ignore[arg-type]

    steps = {} if process == "autoregressive" else {"steps": 5}
    with patch.object(type(infiller.model), "read", counted), patch.object(backbone, "read_on", counted_on):
        targets = infiller.targets(["ab", "dcba"], n=n, **steps)  # type: ignore[arg-type]
    assert sum(calls) == sum(target.network_calls for target in targets)
    if process == "autoregressive" and n == 1:
        assert [target.network_calls for target in targets] == [len(target.text) + 1 for target in targets]


def untrained() -> Infiller:
    from test_infiller import infiller_of

    from textdiff.processes import UniformProcess

    infiller = infiller_of(UniformProcess)
    infiller.model.config.target_length = 6
    return infiller


def test_the_likeliest_of_several_is_taken_and_a_twins_likelihoods_are_exact() -> None:
    infiller, layout = trained("autoregressive"), trained("autoregressive").pair_layout()
    target = infiller.targets(["abca"], n=12, temperature=4.0)[0]
    scores = [candidate.score for candidate in target.candidates]
    assert scores == sorted(scores, reverse=True) and len(set(scores)) > 3  # type: ignore[type-var]
    for candidate in target.candidates[:5]:
        given = layout.given(infiller.tokenizer.encode("abca"))
        ids = torch.tensor([given + layout.room(infiller.tokenizer.encode(candidate.text))])
        canvas = canvas_of(ids, (torch.arange(ids.shape[1]) < len(given))[None])
        with torch.no_grad():
            log_p = infiller.model.denoise(ids, torch.zeros(1), canvas, canvas.free).log_softmax(-1)
        direct = log_p.gather(-1, ids[canvas.free].unsqueeze(-1)).sum()
        assert candidate.score == pytest.approx(float(direct), abs=1e-4)


def test_minimum_bayes_risk_takes_what_is_most_like_the_others() -> None:
    texts = ["a red dog runs", "a red dog", "two cats", "a red dog runs", "a dog runs fast"]
    metric = CHRF()
    direct = [
        sum(100.0 if a == b else metric.sentence_score(a, [b]).score for j, b in enumerate(texts) if j != i) / 4
        for i, a in enumerate(texts)
    ]
    assert expected_chrf(texts) == pytest.approx(direct)
    infiller = trained("absorbing")
    target = infiller.targets(["abcd"], n=12, temperature=4.0, rerank="mbr")[0]
    every = [candidate.text for candidate in target.candidates]
    assert [c.utility for c in target.candidates] == pytest.approx(sorted(expected_chrf(every), reverse=True))
    assert target.text == every[0] and len(set(every)) > 3
    assert expected_chrf(["alone"]) == [100.0]


def test_line_ends_are_written_only_where_that_is_allowed() -> None:
    infiller = untrained()
    sampler = infiller.samplers.infill
    wild = dict.fromkeys((False, True), "")
    for one_line in wild:
        writer = TargetWriter(
            infiller.model, infiller.pair_layout(), replace(sampler, steps=1), 200, "mbr", 0, one_line
        )
        with patch("textdiff.infiller.targets.expected_chrf", lambda texts: [0.0] * len(texts)):
            wild[one_line] = "".join(candidate.text for candidate in writer.write(["ab"])[0].candidates)
    assert "\n" in wild[False] and not set("\n\r") & set(wild[True])


def test_what_cannot_be_asked_for_is_refused() -> None:
    infiller = trained("absorbing")
    with pytest.raises(DataError, match="source 2 has 9 tokens, and the model reads at most 8; shorten it"):
        infiller.targets(["a", "a" * 9])
    with pytest.raises(UsageError, match=r"no way to rank is named 'mbrr'\. Did you mean 'mbr'"):
        infiller.targets(["a"], rerank="mbrr")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="n must be between 1 and"):
        infiller.targets(["a"], n=0)
    assert infiller.targets([]) == []


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from textdiff.infiller import Checkpoint

    infiller = trained("absorbing")
    folder = tmp_path_factory.mktemp("pairs") / "model"
    Checkpoint(infiller.model, infiller.tokenizer, infiller.samplers).save(folder)
    return folder


def test_the_command_writes_a_line_for_each_line(model: Path, tmp_path: Path) -> None:
    texts = sources(6, seed=5)
    file, output = tmp_path / "sources.txt", tmp_path / "targets.txt"
    file.write_bytes(b"\xef\xbb\xbf" + "\r\n".join([texts[0], "", *texts[1:], "  "]).encode())
    options = ("generate", "--condition", file, "-m", model, "--temperature", 0)
    wanted = [target.text for target in trained("absorbing").targets(texts, temperature=0.0)]
    ended = run(*options)
    assert (ended.code, ended.text.split("\n")) == (0, [wanted[0], "", *wanted[1:], "", ""])
    assert run(*options, "-o", output).out == b""
    assert output.read_bytes() == ended.out
    assert run(*options[:2], "-", *options[3:], stdin=file.read_bytes()).out == ended.out
    found = json.loads(run(*options, "--json", "-n", 2).out)
    assert list(found) == ["schema", "model", "seed", "rerank", "targets", "stats"]
    assert [(one["line"], one["text"]) for one in found["targets"][:3]] == [(1, wanted[0]), (2, ""), (3, wanted[1])]
    assert len(found["targets"][0]["candidates"]) == 2
    assert found["stats"]["network_calls"] == sum(one.get("network_calls", 0) for one in found["targets"])


def test_rows_of_json_keep_every_byte(model: Path, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    rows = ['{"de":"ab", "n": 1.50e400, "target": "x\\u00e9"}', '{ "de": "" }', '{"de": "dc"  } ']
    file.write_text("\n".join([*rows[:2], "", rows[2]]))
    ended = run("generate", "--condition", file, "--field", "de", "-m", model, "--temperature", 0)
    assert ended.text.splitlines() == [
        '{"de":"ab", "n": 1.50e400, "target": "x\\u00e9", "generated": "BA"}',
        '{ "de": "", "generated": ""}',
        '{"de": "dc", "generated": "CD"}',
    ]


@pytest.mark.parametrize(
    ("name", "content", "words", "message"),
    [
        ("a.jsonl", b'{"a": 1}', (), r"a.jsonl:1: there is no text in a field 'source'"),
        ("a.jsonl", b"\n[", (), r"a.jsonl:2: this is no JSON object"),
        ("a.jsonl", b'{"source": "a", "generated": "b"}', (), "a field 'generated' already"),
        ("a.txt", b"a\n\xff", (), r"a.txt is not UTF-8: byte 2 is 0xff"),
        ("a.txt", b"a\naaaaaaaaa", (), r"a.txt:2: the source has 9 tokens, and the model reads at most 8"),
        ("a.txt", b"a", ("prompt",), "--condition takes no prompt"),
        ("a.txt", b"a", ("--watch",), "--condition takes no prompt"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_written(
    model: Path, name: str, content: bytes, words: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    ended = run("generate", *words, "--condition", tmp_path / name, "-m", model, "-o", tmp_path / "out")
    assert ended.code in (2, 4) and message in ended.err and not (tmp_path / "out").exists()


def test_a_model_of_pairs_does_nothing_else_and_says_so(model: Path, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a [MASK] b")
    for command in (("infill", tmp_path / "a.txt"), ("generate", "ab"), ("score", tmp_path / "a.txt")):
        ended = run(*command, "-m", model)
        assert ended.code == 2 and "makes targets of sources, and nothing else" in ended.err
    assert "targets of up to 6 tokens of sources" in run("info", model).text
    assert json.loads(run("info", model, "--json").out)["target_length"] == 6


def test_output_without_condition_and_models_of_another_kind_are_refused(tmp_path: Path) -> None:
    ended = run("generate", "-m", "default", "-o", tmp_path / "x")
    assert ended.code == 2 and "--output goes with --condition" in ended.err
    (tmp_path / "a.txt").write_text("a")
    ended = run("generate", "--condition", tmp_path / "a.txt", "-m", save_tiny(tmp_path / "tiny"))
    assert ended.code == 2 and "was not trained on pairs of sources and targets" in ended.err
