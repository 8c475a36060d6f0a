"""`textdiff evaluate`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from textdiff.cli.generation import generated_rows, generation_table, plain_generation, sweep
from textdiff.cli.infill_tables import plain, printed
from textdiff.cli.loading import load_infiller
from textdiff.cli.options import AsJson, Data, Detokenize, Device, Model, SamplerName, Seed, Temperature, check_sampler
from textdiff.cli.orders import order_scores
from textdiff.cli.output import put, put_json
from textdiff.cli.score_tables import score_table
from textdiff.cli.translation import plain_rows, translation_table
from textdiff.errors import UsageError

if TYPE_CHECKING:
    from textdiff.evaluation import GenerationRow, InfillReport, TranslationRow
    from textdiff.metrics import Score

EXAMPLES = r"""Examples:
  textdiff evaluate --data held-out.txt
  textdiff evaluate -m runs/mine --data test.txt --metrics nelbo --repeats 4
  textdiff evaluate -m runs/mine --data test.jsonl --column body --json
  textdiff evaluate -m runs/mine --data test.txt --metrics nelbo --stride 32
  textdiff evaluate -m runs/mine --data wiki.test.tokens --detokenize wikitext
  textdiff evaluate --data held-out.txt --metrics infill --baselines
  textdiff evaluate -m runs/de --data a.jsonl --metrics translation --steps 4
  textdiff evaluate --data a.txt --metrics generation --temperatures 0.7,1
  textdiff evaluate --data a.txt --metrics nelbo,order_bound --max-windows 4
  textdiff evaluate --data a.txt --metrics decoder --sampler margin --steps 64

Texts longer than the context are scored in windows, one behind the other.
With --stride N they overlap, and each scores its last N tokens given those
before them: every token once, with at least context - N tokens before it.
That is the likelihood of continuations of N tokens, given their prompts.

--detokenize puts the tokens of a standard set together to text as people
write it. All figures are then of that text, its bytes and words too.

The metric infill cuts gaps out of the texts by seed (one word; 2 to 12 words;
a sentence; 2 to 4 gaps in one document), fills them, and compares the fills
with what stood there: exact match, BLEU, chrF, lengths, likelihood in bits a
byte. A .json or .jsonl file whose rows have before, middle (a text, or a list
of references) and after gives its own cases. --lengths says what the infiller
is told: true (tokens), words, auto, model, search, or a number of tokens.
The whole protocol: python -c "help('textdiff.evaluation.infilling.running')"

A model that was trained on pairs is scored on targets given their sources:
--data is a .jsonl with source and target, or a text of sources and one of
targets. The metric translation writes a target for every source, and gives
BLEU and chrF with sacrebleu's signatures, and the network calls a source.

The metric generation writes texts, from nothing or from --prompt-tokens of
held-out text, once for each combination of --temperatures, --top-ps and
--steps, and sets held-out text of the same lengths beside them: perplexity
under --scorer (a folder or the name of any left-to-right model of Hugging
Face), unigram entropy, repetition, distinct-n, self-BLEU, and with
--reference the share of 8-grams that this text does not have. Definitions:
python -c "help('textdiff.evaluation.generation.running')"

The metrics order_bound and decoder are for absorbing noise, and score 4
windows unless told otherwise. order_bound is the bound over --orders random
orders, one token at a time, or that of sampling in --steps. decoder is the
exact likelihood of a --sampler whose order does not look at the answer:
left_to_right, dilated, margin, entropy, entropy_bound, klass or
top_probability.
Definitions: python -c "help('textdiff.evaluation.orders')"
"""


def evaluate(
    data: Data,
    model: Model = "default",
    device: Device = None,
    metrics: Annotated[
        str | None,
        typer.Option(
            "--metrics",
            metavar="NAME,…",
            help="nelbo, entropy (both by default), infill, translation, generation, order_bound, decoder.",
        ),
    ] = None,
    repeats: Annotated[
        int | None,
        typer.Option("--repeats", min=1, metavar="N", help="Noise draws: 1 for each window, 4 for each gap case."),
    ] = None,
    max_windows: Annotated[
        int | None, typer.Option("--max-windows", min=1, metavar="N", help="Score N windows or pairs, spread evenly.")
    ] = None,
    stride: Annotated[
        int | None, typer.Option("--stride", min=1, metavar="N", help="nelbo: sliding windows, each scores N tokens.")
    ] = None,
    unit: Annotated[
        Literal["file", "blank_line", "line"], typer.Option("--unit", help="What a document of a text file is.")
    ] = "file",
    column: Annotated[str, typer.Option("--column", metavar="NAME", help="The column of a table.")] = "text",
    detokenize: Detokenize = None,
    cases: Annotated[
        int, typer.Option("--cases", min=1, metavar="N", help="infill: so many documents of each kind of gap.")
    ] = 100,
    kinds: Annotated[
        str, typer.Option("--kinds", metavar="KIND,…", help="infill: which kinds of gaps.")
    ] = "word,words,sentence,several",
    lengths: Annotated[
        str, typer.Option("--lengths", metavar="LENGTH,…", help="infill: what the infiller is told about lengths.")
    ] = "true,auto",
    baselines: Annotated[
        bool, typer.Option("--baselines", help="infill: also simple methods and fixed lengths.")
    ] = False,
    source_column: Annotated[
        str, typer.Option("--source-column", metavar="NAME", help="Pairs: the field with the source.")
    ] = "source",
    target_column: Annotated[
        str, typer.Option("--target-column", metavar="NAME", help="Pairs: the field with the target.")
    ] = "target",
    steps: Annotated[
        str | None,
        typer.Option(
            "--steps", metavar="N,…", help="translation, generation, orders: numbers of refinement steps, a row each."
        ),
    ] = None,
    sampler: SamplerName = None,
    temperature: Temperature = None,
    n: Annotated[int, typer.Option("-n", min=1, metavar="N", help="translation: candidates for each source.")] = 1,
    rerank: Annotated[
        Literal["likelihood", "mbr"], typer.Option("--rerank", help="translation: how one of -n candidates is chosen.")
    ] = "likelihood",
    orders: Annotated[int, typer.Option("--orders", min=1, metavar="N", help="order_bound: orders a window.")] = 8,
    samples: Annotated[int, typer.Option("--samples", min=2, metavar="N", help="generation: texts in each row.")] = 64,
    max_new_tokens: Annotated[
        int, typer.Option("--max-new-tokens", min=1, metavar="N", help="generation: tokens of each text.")
    ] = 64,
    prompt_tokens: Annotated[
        int, typer.Option("--prompt-tokens", min=0, metavar="N", help="generation: held-out tokens before each text.")
    ] = 0,
    temperatures: Annotated[
        str | None, typer.Option("--temperatures", metavar="X,…", help="generation: temperatures, a row each.")
    ] = None,
    top_ps: Annotated[
        str | None, typer.Option("--top-ps", metavar="P,…", help="generation: values of top-p, a row each.")
    ] = None,
    scorer: Annotated[
        str | None, typer.Option("--scorer", metavar="MODEL", help="generation: who says how probable texts are.")
    ] = None,
    reference: Annotated[
        list[Path] | None,
        typer.Option("--reference", metavar="FILE…", help="generation: training text, to look for copies in."),
    ] = None,
    mauve: Annotated[
        bool, typer.Option("--mauve", help="generation: also MAUVE by --scorer, for some thousand --samples.")
    ] = False,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Measure how well a model predicts texts, how well it fills gaps and writes.

    Likelihood bounds with standard errors (of a left-to-right model the exact
    likelihood, which the signature says), and beside them the entropies that
    counting alone reaches on the same texts; or how it fills gaps, writes
    targets of sources, or writes texts.
    """
    from textdiff.corpus import PairOptions
    from textdiff.evaluation import (
        ASKED,
        GENERATION,
        INFILL,
        METRICS,
        TRANSLATION,
        GenerationTask,
        case_sets,
        evaluate_infilling,
        evaluate_translation,
    )
    from textdiff.evaluation import evaluate as run_metrics
    from textdiff.evaluation.infilling import BASELINES, check_kind, joint_way
    from textdiff.infiller import SamplerOptions

    counts = [] if steps is None else [_count(word) for word in _names(steps)]
    check_sampler(sampler)
    drawn = sweep(sampler, counts, temperature, temperatures, top_ps)
    task = GenerationTask(samples, max_new_tokens, prompt_tokens, tuple(reference or ()), mauve)
    wanted = METRICS if metrics is None else _names(metrics)
    _check_wanted(wanted, detokenize)
    for kind in _names(kinds):
        check_kind(kind)
    ways = (*map(joint_way, _names(lengths)), *(BASELINES if baselines else ()))
    infiller = load_infiller(model, device)
    from rich.console import Console

    options = SamplerOptions(sampler, None, temperature)
    pairs = PairOptions(source_column, target_column)
    scores: list[Score] = []
    report: InfillReport | None = None
    translated: list[TranslationRow] = []
    generated: list[GenerationRow] = []
    with Console(stderr=True).status("scoring") as status:
        if plainly := [name for name in wanted if name not in ASKED]:
            scores = run_metrics(
                infiller,
                data,
                plainly,
                repeats=repeats or 1,
                max_windows=max_windows,
                seed=seed,
                unit=unit,
                column=column,
                pairs=pairs,
                stride=stride,
                detokenize=detokenize,
                on_windows=lambda done: status.update(f"scored {done} windows"),
            )
        scores += order_scores(
            infiller,
            data,
            wanted,
            orders,
            counts,
            sampler,
            temperature,
            max_windows=max_windows,
            seed=seed,
            unit=unit,
            column=column,
            on_windows=lambda done: status.update(f"scored {done} windows"),
        )
        if INFILL in wanted:
            report = evaluate_infilling(
                infiller,
                case_sets(infiller, data, _names(kinds), cases, seed, unit=unit, column=column),
                ways,
                seed=seed,
                repeats=repeats or 4,
                on_progress=lambda what, done, total: status.update(f"{what}: {done} of {total}"),
            )
        if TRANSLATION in wanted:
            translated = evaluate_translation(
                infiller,
                data,
                counts,
                pairs=pairs,
                limit=max_windows,
                options=options,
                n=n,
                rerank=rerank,
                seed=seed,
                on_progress=lambda what, done, total: status.update(f"{what}: {done} of {total}"),
            )
        if GENERATION in wanted:
            generated = generated_rows(
                infiller,
                data,
                drawn,
                task,
                scorer,
                seed=seed,
                unit=unit,
                column=column,
                on_progress=lambda what, done, total: status.update(f"{what}: {done} of {total}"),
            )
    if as_json:
        rows = [score.plain() for score in scores]
        found = {"schema": "textdiff.evaluate/1", "model": infiller.name, "seed": seed, "scores": rows}
        found |= {} if report is None else {"infill": plain(report)}
        found |= {"translation": plain_rows(translated)} if translated else {}
        put_json(found | ({"generation": plain_generation(generated)} if generated else {}))
        return
    tables = [
        *([score_table(scores)] if scores else []),
        *([] if report is None else [printed(report)]),
        *([translation_table(translated)] if translated else []),
        *([generation_table(generated)] if generated else []),
    ]
    put("\n".join(tables))


def _check_wanted(names: Sequence[str], detokenize: str | None) -> None:
    from textdiff.evaluation import ASKED, check_metrics

    check_metrics(names)
    if detokenize is not None and (others := [name for name in names if name in ASKED]):
        raise UsageError(f"--detokenize is for the metrics nelbo and entropy, and not for {others[0]}")


def _count(word: str) -> int:
    if not (word.isascii() and word.isdigit() and int(word) >= 1):
        raise UsageError(f"--steps takes numbers of at least 1 such as 4,10, got {word!r}")
    return int(word)


def _names(listed: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in listed.split(","))
