"""`textdiff generate`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tiny import run, save_tiny, senseless_checkpoint, tiny_checkpoint

import textdiff
from textdiff.sampling import Sampler, preset
from textdiff.sampling.accept import EntropyBoundAccept, ThresholdAccept
from textdiff.sampling.warps import MinPWarp


@pytest.fixture(scope="session", params=["absorbing", "uniform"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("model") / "tiny", process=request.param)


def generated(model: Path, *options: object, stdin: bytes = b"") -> dict[str, Any]:
    ended = run("generate", "-m", model, "--max-new-tokens", 6, *options, "--json", stdin=stdin)
    assert (ended.code, ended.err, ended.out.count(b"\n")) == (0, "", 1)
    found: dict[str, Any] = json.loads(ended.out)
    return found


def test_the_json_object_is_the_one_that_was_promised(model: Path) -> None:
    found = generated(model, "The old", "-n", 2, "--seed", 5)
    assert list(found) == ["schema", "model", "seed", "samples", "stats"]
    assert (found["schema"], found["model"], found["seed"]) == ("textdiff.generate/1", str(model), 5)
    assert [set(sample) for sample in found["samples"]] == [{"text", "tokens"}] * 2
    assert set(found["stats"]) == {"steps", "nfe", "tokens", "seconds"}
    assert [sample["tokens"] for sample in found["samples"]] == [6, 6]
    api = textdiff.load(model).generate("The old", n=2, max_new_tokens=6, seed=5)
    assert [sample["text"] for sample in found["samples"]] == [sample.text for sample in api.samples]
    assert all(sample["text"].startswith("The old") for sample in found["samples"])


def test_a_sample_depends_on_the_seed_and_its_number_only(model: Path) -> None:
    three = generated(model, "-n", 3, "--seed", 1)["samples"]
    assert generated(model, "--seed", 1)["samples"] == three[:1]
    assert len({sample["text"] for sample in three}) == 3
    assert generated(model, "--seed", 2)["samples"] != three[:1]


def test_samples_are_parted_by_a_line(model: Path) -> None:
    texts = [sample["text"] for sample in generated(model, "Oh ", "-n", 3)["samples"]]
    ended = run("generate", "Oh ", "-m", model, "--max-new-tokens", 6, "-n", 3)
    lines = [text if text.endswith("\n") else text + "\n" for text in texts]
    assert (ended.code, ended.err, ended.text) == (0, "", "---\n".join(lines))


def test_standard_input_is_a_prompt_to_the_byte(model: Path) -> None:
    prompt = "one\r\n\ttwo \N{SNOWMAN}\n"
    assert generated(model, "-", stdin=prompt.encode())["samples"][0]["text"].startswith(prompt)
    assert generated(model, "-", stdin=b"") | {"stats": 0} == generated(model) | {"stats": 0}
    ended = run("generate", "-", "-m", model, stdin=b"ab\xff")
    assert (ended.code, ended.err) == (4, "textdiff: error: the prompt is not UTF-8: byte 2 is 0xff\n")


def test_a_terminal_shows_what_was_written_in_colour(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    ended = run("generate", "A\x07b", "-m", model, "--max-new-tokens", 6, terminal=True)
    assert ended.text.startswith("A␇b\x1b[1;32m")
    assert ended.text.endswith("\x1b[0m\n")


@pytest.mark.parametrize("sampler", ["posterior", "ancestral", "first_hitting", "remdm"])
def test_samplers_go_by_their_names(model: Path, sampler: str) -> None:
    steps = ["--steps", 4] if preset(sampler).grid.counts_steps else []
    found = generated(model, "--sampler", sampler, *steps)
    assert len(found["samples"]) == 1
    assert found["stats"]["nfe"] >= 1


def test_a_sampler_may_stand_in_a_file(model: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("steps: 3\naccept: {name: entropy_bound, gamma: 0.5}\nwarps: [{name: min_p, p: 0.1}]\n")
    wanted = Sampler(steps=3, accept=EntropyBoundAccept(0.5), warps=(MinPWarp(0.1),))
    expected = textdiff.load(model).generate("The ", max_new_tokens=6, sampler=wanted).samples[0].text
    assert generated(model, "The ", "--sampler", file)["samples"][0]["text"] == expected
    assert generated(model, "The ")["samples"][0]["text"] != expected
    file.write_text("accept: {name: entropy_bound, gama: 0.5}\n")
    ended = run("generate", "-m", model, "--sampler", file)
    assert (ended.code, ended.out) == (2, b"")
    assert f"{file}: accept.gama: unknown key. Did you mean 'gamma'?" in ended.err
    missing = run("generate", "-m", model, "--sampler", tmp_path / "none.yml")
    assert missing.code == 2 and "none.yml cannot be read: no such file" in missing.err


def test_guidance_leads_away_from_what_is_said_without_the_prompt(tmp_path: Path) -> None:
    """At weight 0 the prompt does not matter, at others it does; a guide is another model of the same tokens."""
    senseless_checkpoint().save(folder := tmp_path / "one")
    encode = textdiff.load(folder).tokenizer.encode
    prompts = [
        "The old",
        next(p for p in ("house ", "by the", "river,", "all day") if len(encode(p)) == len(encode("The old"))),
    ]

    def written(prompt: str, *options: object) -> tuple[str, int]:
        found = generated(folder, prompt, "--steps", 4, *options)
        return found["samples"][0]["text"].removeprefix(prompt), found["stats"]["nfe"]

    blind = [written(prompt, "--guidance", 0)[0] for prompt in prompts]
    assert blind[0] == blind[1]
    texts = {written(prompts[0], *options)[0] for options in [(), ("--guidance", 0), ("--guidance", 4)]}
    assert len(texts) == 3
    assert written(prompts[0], "--guidance", 4)[1] == 2 * written(prompts[0])[1]
    assert written(prompts[0], "--guidance", 1) == written(prompts[0])
    tiny_checkpoint().save(tmp_path / "two")
    assert written(prompts[0], "--guidance", 0, "--guide", tmp_path / "two")[0] == (
        generated(tmp_path / "two", prompts[0], "--steps", 4)["samples"][0]["text"].removeprefix(prompts[0])
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--guidance", 2], "give a prompt, or a guide"),
        (["The", "--guidance", -1], "is not a finite number of at least 0"),
        (["The", "--guide", "default"], "--guide goes with --guidance W"),
        (["The", "--guidance", 2, "--guide", "default"], "have different tokens: one cannot guide the other"),
    ],
)
def test_guidance_that_cannot_be_is_refused(model: Path, options: list[object], message: str) -> None:
    ended = run("generate", "-m", model, *options)
    assert (ended.code, ended.out) == (2, b"")
    assert message in " ".join(ended.err.split())


def test_steps_may_be_left_to_the_sampler(model: Path) -> None:
    """As many tokens at once as an error budget allows: with none it is one a step, with a large one all."""

    def calls(gamma: float) -> int:
        found = run(
            "generate",
            "-m",
            model,
            "--max-new-tokens",
            6,
            "--steps",
            "auto",
            "--set",
            f"accept.gamma={gamma}",
            "--json",
        )
        stats = json.loads(found.out)["stats"]
        assert (found.code, found.err) == (0, f"{stats['nfe']} network calls for 6 tokens\n")
        return int(stats["nfe"])

    assert (calls(0), calls(1000)) == (6, 1)
    assert 1 < calls(10) < 6


def test_keys_of_the_sampler_are_set_one_by_one(model: Path) -> None:
    asked = generated(model, "--sampler", "fast-dllm", "--set", "accept.threshold=1e-9", "--min-p", 0.5)
    assert asked["stats"]["nfe"] == 1
    sampler = preset("fast_dllm")
    own = replace(sampler, accept=ThresholdAccept(1e-9), warps=(*sampler.warps, MinPWarp(0.5)))
    api = textdiff.load(model).generate(sampler=own, max_new_tokens=6)
    assert [sample["text"] for sample in asked["samples"]] == [sample.text for sample in api.samples]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--steps", 0], "'0' is neither a number of at least 1 nor the word auto"),
        (["--steps", "many"], "'many' is neither a number of at least 1 nor the word auto"),
        (["--min-p", 1.5], "1.5 is not from 0 to 1"),
        (["--set", "accept.treshold=1", "--sampler", "threshold"], "Did you mean 'threshold'?"),
        (["--set", "accept.threshold=2", "--sampler", "threshold"], "threshold must be above 0 and at most 1, got 2"),
        (["--set", "grid=adaptive"], "the adaptive grid needs an accept policy that settles some tokens in every step"),
        (["--set", "steps"], "--set expects key=value"),
        *(
            (["--sampler", name, "--steps", 4], "this sampler chooses its number of steps by itself: leave steps out")
            for name in ("first_hitting", "left_to_right", "dilated", "fast-dllm")
        ),
    ],
)
def test_sampler_options_that_cannot_be_are_refused(model: Path, options: list[object], message: str) -> None:
    ended = run("generate", "-m", model, "--max-new-tokens", 6, *options)
    assert (ended.code, ended.out) == (2, b"")
    assert message in " ".join(ended.err.split())
