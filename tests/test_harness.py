"""What lm-evaluation-harness asks, and what it is answered; the harness itself where it is installed."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
from tiny import TEXT, run, save_tiny, senseless_checkpoint

from textdiff.errors import DataError, UsageError
from textdiff.evaluation.continuations import Continuation, continuation_nats, summed_nats
from textdiff.evaluation.harness import Answers, HarnessReport, Question, Tally
from textdiff.evaluation.infilling.likelihood import known_length
from textdiff.files import dump_yaml
from textdiff.infiller import Infiller


def infiller_of(process: str = "absorbing") -> Infiller:
    made = senseless_checkpoint(process)
    return Infiller(made.model, made.tokenizer, made.samplers, "senseless")


@pytest.fixture(scope="module")
def infiller() -> Infiller:
    return infiller_of()


def test_a_continuation_is_cut_off_where_its_context_ends(infiller: Infiller) -> None:
    """Both are read together; the tally says how each was measured."""
    context, continuation = "The old house stood", " by the river"
    ids = infiller.tokenizer.encode(context + continuation)
    first = len(infiller.tokenizer.encode(context))
    assert infiller.tokenizer.decode(ids[:first]) == context
    row = Continuation((*infiller.tokenizer.prefix_ids, *ids[:first]), tuple(ids[first:]))
    process, law = infiller.model.process, known_length(infiller)
    answers = Answers(infiller, draws=4)
    ((bound, _),) = answers.likelihoods([Question(context, continuation, 0)])
    assert len(row.new) > 2 and bound == -continuation_nats(law, process, [row], 4)[0]
    assert (answers.tally.exact, answers.tally.bounds) == (0, 1)
    answers = Answers(infiller, draws=2 ** len(row.new) - 1)
    ((exact, _),) = answers.likelihoods([Question(context, continuation, 0)])
    assert exact == -summed_nats(law, process, row) and answers.tally == Tally(1, 0, 0)


def test_what_is_compared_is_measured_alike(infiller: Infiller) -> None:
    """One choice is short, the other is not: both are bounds, or with more draws both exact; another question is by itself."""
    questions = [
        Question("The rain", " x", "a"),
        Question("The rain", " and the house", "a"),
        Question("The", " x", "b"),
    ]
    answers = Answers(infiller, draws=7)
    found = answers.likelihoods(questions)
    assert (answers.tally.exact, answers.tally.bounds) == (1, 2)
    alone = Answers(infiller, draws=7)
    assert alone.likelihoods(questions[1:2])[0][0] == pytest.approx(found[1][0], rel=1e-6)
    assert alone.likelihoods(questions[2:])[0][0] == pytest.approx(found[2][0], rel=1e-6)
    assert Answers(infiller, draws=7).likelihoods([Question("The rain", "", "a")]) == [(0.0, True)]


def test_from_left_to_right_what_is_written_is_greedy_and_likelihoods_are_exact() -> None:
    infiller = infiller_of("autoregressive")
    answers = Answers(infiller, draws=3)
    (written,) = answers.continuations([("The old house", {"until": [], "max_gen_toks": 3})])
    # it reads back as the tokens that were written, or this would say nothing
    ids = [infiller.tokenizer.encode(text) for text in ("The old house", "The old house" + written)]
    assert len(ids[1]) == len(ids[0]) + 3
    found = answers.likelihoods([Question("The old house", text, 0) for text in (written, "zqz")])
    assert [greedy for _, greedy in found] == [True, False] and answers.tally == Tally(2, 0, 0)
    row = Continuation((*infiller.tokenizer.prefix_ids, *ids[0]), tuple(ids[1][len(ids[0]) :]))
    assert found[0][0] == pytest.approx(-continuation_nats(infiller.model.read, infiller.model.process, [row], 1)[0])


@pytest.mark.parametrize("process", ["absorbing", "uniform"])
def test_of_single_tokens_one_is_greedy(process: str) -> None:
    """With masks it is the most probable piece of text."""
    infiller = infiller_of(process)
    vocabulary = infiller.tokenizer.vocabulary.writable().nonzero().flatten().tolist()
    rows = [Continuation((*infiller.tokenizer.prefix_ids, 70, 71), (token,)) for token in vocabulary]
    greedy = Answers(infiller)._greedy(rows)
    assert sum(greedy) == 1
    if process == "absorbing":
        law = known_length(infiller)
        costs = {row.new[0]: summed_nats(law, infiller.model.process, row) for row in rows}
        spelling = infiller.tokenizer.spelling
        written = spelling.texts(spelling.plain)
        assert vocabulary[greedy.index(True)] == min(
            (t for t in costs if written[t] is not None), key=costs.__getitem__
        )


def test_a_whole_text_is_the_sum_of_its_windows(infiller: Infiller) -> None:
    ids = infiller.tokenizer.encode(TEXT)
    prefix = tuple(infiller.tokenizer.prefix_ids)
    size = infiller.context_length - len(prefix)
    windows = [Continuation(prefix, tuple(ids[i : i + size])) for i in range(0, len(ids), size)]
    answers = Answers(infiller, draws=3)
    long, short, none = answers.whole([TEXT, "The rain", ""])
    costs = continuation_nats(known_length(infiller), infiller.model.process, windows, 3)
    assert len(windows) > 1 and long == pytest.approx(-sum(costs), rel=1e-6) and none == 0 > short
    assert answers.tally.bounds == len(windows) + 1


def test_contexts_lose_their_beginning_and_that_is_counted(infiller: Infiller) -> None:
    answers = Answers(infiller, draws=1)
    long = TEXT + " The rain"
    first, second = (answers.likelihoods([Question(text, " fell", 0)])[0][0] for text in (long, "xyz " + long))
    assert first == second and answers.tally.cut == 2
    with pytest.raises(DataError, match=r"a continuation has \d+ tokens, and the model's context holds 63"):
        answers.likelihoods([Question("", TEXT, 0)])
    assert len(answers.continuations([(TEXT, {"max_gen_toks": 1000, "until": None})])[0]) > 0


def test_writing_stops_and_depends_on_nothing_else(infiller: Infiller) -> None:
    answers = Answers(infiller, seed=4)
    warm = {"do_sample": True, "temperature": 1.0, "max_gen_toks": 12}
    asked: list[tuple[str, dict[str, Any]]] = [
        ("The rain", warm),
        ("The old ", {"max_gen_toks": 5}),
        ("The rain", warm),
    ]
    found = answers.continuations(asked)
    assert found[0] != found[2] and found[:2] == answers.continuations(asked[:2])
    assert answers.continuations([asked[2]] * 3)[2] == found[2]
    stop = found[0][3:5]
    (cut,) = answers.continuations([("The rain", warm | {"until": ["never this", stop]})])
    assert cut == found[0][: found[0].index(stop)]


def test_the_report_says_what_likelihoods_are() -> None:
    def said(*counts: int) -> str:
        return HarnessReport({}, {}, {}, Tally(*counts), "").said

    assert said(0, 0, 0) == "" and said(2, 0, 0) == "Log-likelihoods: 2 exact."
    assert said(1, 3, 0) == "Log-likelihoods: 1 exact, 3 estimated lower bounds."
    assert said(0, 3, 1).endswith("bounds. 1 contexts lost their beginning, as the model's context is shorter.")
    with pytest.raises(UsageError, match="draws must be at least 1"):
        Answers(infiller_of(), draws=0)


def write_tasks(folder: Path) -> Path:
    """A task of each kind, on three lines."""
    rows = [{"q": "The old house", "a": ["stood", "by"], "n": 0}, {"q": "The rain", "a": ["fell", "the"], "n": 0}]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    kinds: dict[str, dict[str, Any]] = {
        "multiple_choice": {"doc_to_choice": "{{a}}", "doc_to_target": "n", "metric_list": [{"metric": "acc"}]},
        "loglikelihood": {"doc_to_target": " {{a[n]}}", "metric_list": [{"metric": "perplexity"}, {"metric": "acc"}]},
        "loglikelihood_rolling": {
            "doc_to_text": "",
            "doc_to_target": "{{q}}",
            "metric_list": [{"metric": "bits_per_byte"}],
        },
        "generate_until": {
            "doc_to_target": "{{a[n]}}",
            "generation_kwargs": {"until": ["."], "max_gen_toks": 4},
            "metric_list": [{"metric": "exact_match"}],
        },
    }
    for kind, own in kinds.items():
        task = {"task": f"toy_{kind}", "dataset_path": "json", "test_split": "test", "output_type": kind}
        task |= {"dataset_kwargs": {"data_files": {"test": str(folder / "rows.jsonl")}}, "doc_to_text": "{{q}}"}
        (folder / f"{kind}.yaml").write_text(dump_yaml(task | own))
    return folder


def test_the_command_runs_tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, touched: list[object]) -> None:
    pytest.importorskip("lm_eval")
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    (tmp_path / "tasks").mkdir()
    command = ["benchmark", "-m", save_tiny(tmp_path / "tiny"), "--include-path", write_tasks(tmp_path / "tasks")]
    ended = run(*command, "--harness", "toy_*", "--draws", 3)
    assert ended.code == 0, ended.err
    lines = ended.text.splitlines()
    assert lines[0].split() == ["task", "metric", "filter", "value", "shots", "n"]
    assert {line.split()[0].removeprefix("toy_") for line in lines[1:6]} == {
        "multiple_choice",
        "loglikelihood",
        "loglikelihood_rolling",
        "generate_until",
    }
    assert "Log-likelihoods: " in ended.text and "|draws:3|seed:0|limit:none" in ended.text
    found = json.loads(run(*command, "--harness", "toy_multiple_choice", "--limit", 1, "--json").out)
    assert found["schema"] == "textdiff.harness/1" and found["results"]["toy_multiple_choice"]["sample_len"] == 1
    assert sum(found["tally"].values()) == 2
    ended = run(*command, "--harness", "toy_choice")
    assert ended.code == 2 and "no task is named 'toy_choice'. Did you mean 'toy_multiple_choice'?" in ended.err
    (tmp_path / "tasks" / "rows.jsonl").unlink()
    ended = run(*command, "--harness", "toy_generate_until")
    assert ended.code == 4 and "the tasks toy_generate_until cannot be loaded" in ended.err
    assert not touched


def test_what_cannot_be_run_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = save_tiny(tmp_path / "tiny")
    assert "not several" in run("benchmark", "suite.yaml", "--harness", "a").err
    find = importlib.util.find_spec
    there = lambda name, *rest: find("json" if name == "lm_eval" else name, *rest)  # noqa: E731
    monkeypatch.setattr("textdiff.evaluation.harness.running.find_spec", there)
    ended = run("benchmark", "--harness", "a", "-m", tiny, "--include-path", tmp_path / "gone")
    assert ended.code == 4 and "gone is no folder" in ended.err
    monkeypatch.setattr("textdiff.evaluation.harness.running.find_spec", lambda name, *rest: None)
    ended = run("benchmark", "--harness", "a", "-m", tiny)
    assert ended.code == 6 and "lm-evaluation-harness is not installed: pip install" in ended.err
