"""Generation: texts that a model writes, one number beside the other, and held-out text of the same lengths beside them.

No number says alone how good generated texts are. A generative perplexity falls when texts become plain or repeat
themselves, so entropy, repetition and diversity stand beside it, and a model is a row for each of several temperatures: a
frontier. What the same figures are for held-out text is what to aim at: neither more nor less.

- **Texts.** `samples` texts of `new_tokens` tokens each, written from nothing, or from prompts of `prompt_tokens` tokens of
  held-out text. The held-out row has the true continuations, or as many stretches of the same number of tokens. Cut at a
  number of tokens, texts may end within a word.
- `generative_perplexity` of the texts under an outside left-to-right model, the scorer: exp of its nats over its own pieces,
  all texts together; the interval is by text, on the log scale. See `Scorer.nats` for what is read and counted.
- `mauve`: how near the law of generated texts is to that of the held-out ones, by the scorer's last hidden states; only where
  it is asked for, as it needs some thousand texts. See `textdiff.metrics.mauve`.
- `text_entropy`: the mean over texts of the entropy of a text's tokens by their own counts in it, nats (tokens are those of the
  model's tokenizer, which reads the text anew).
- `repetition`: the share of the 4-grams of words that stood in the same text before.
- `distinct_n`: the share of the n-grams of all texts together that are different.
- `self_bleu`: the mean BLEU of a text with all the others for references (at most 200 texts).
- `novelty`: the share of the 8-grams of words that do not stand in the reference, the text that the model has learned from.
- `network_calls` a text.

Words are what blanks part; those at the ends of a text that may have been cut are left out (but for `self_bleu`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from textdiff.corpus import ReadOptions, Unit, load_corpus, read_corpus, require_file
from textdiff.errors import UsageError
from textdiff.evaluation.generation.excerpts import Excerpt, Passage, take_excerpts
from textdiff.evaluation.generation.scorer import Scorer
from textdiff.evaluation.generation.scoring import NOVEL, Known, perplexity_score, text_scores, wanted_grams
from textdiff.evaluation.signing import digest, model_parts, sampler_digest
from textdiff.files import sha256_of
from textdiff.infiller import Infiller, SamplerOptions
from textdiff.infiller.going_on import go_on
from textdiff.infiller.samplers import require_order
from textdiff.infiller.writing import ROWS
from textdiff.metrics import Score, jackknife, known_grams, mauve, ratio, require_mauve, signature
from textdiff.sampling import Sampler

GENERATION = "generation"
"""The metric of `evaluate_generation`, which is measured only where it is asked for."""

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class GenerationTask:
    """What is generated, and what it is compared with.

    Attributes:
        samples: how many texts.
        new_tokens: of each.
        prompt_tokens: of held-out text that each goes on from; 0 writes from nothing.
        reference: files to look for n-grams in, read as the held-out text is, or ().
        mauve: whether it is measured, which takes a scorer.
    """

    samples: int = 64
    new_tokens: int = 64
    prompt_tokens: int = 0
    reference: tuple[Path, ...] = ()
    mauve: bool = False

    def __post_init__(self) -> None:
        if self.samples < 2 or self.new_tokens < 1 or self.prompt_tokens < 0:
            raise UsageError("generation takes at least 2 samples of at least 1 token, and prompts of at least 0")


@dataclass(frozen=True)
class GenerationRow:
    """The figures of some texts.

    Attributes:
        options: with which they were generated; None for those that were held out.
        texts: without their prompts.
        scores: see above.
    """

    options: SamplerOptions | None
    texts: tuple[str, ...]
    scores: tuple[Score, ...]


def evaluate_generation(
    infiller: Infiller,
    files: Sequence[str | Path],
    rows: Sequence[SamplerOptions | None],
    task: GenerationTask | None = None,
    *,
    scorer: Scorer | None = None,
    seed: int = 0,
    unit: Unit = "file",
    column: str = "text",
    on_progress: Progress = lambda what, done, total: None,
) -> list[GenerationRow]:
    """Generates texts in several ways, and scores them; see the head of this module.

    Args:
        infiller: the model.
        files: held-out text; see `load_corpus`.
        rows: how the model draws, a row each; None is a row for the held-out text itself. A left-to-right model has no steps.
        task: what is generated.
        scorer: says how probable the texts are; without one there is no perplexity.
        seed: text i of each row depends on (seed, i), its prompt and the options alone.
        unit, column: see `load_corpus`; the reference is read likewise.
        on_progress: called with what is done, how many texts are, and how many there are.

    Raises:
        DataError: a file cannot be used, or is too short.
        UsageError: an option is out of its range or does not fit the model.
    """
    task = task or GenerationTask()
    infiller.require_documents()
    room = infiller.context_length - len(infiller.tokenizer.prefix_ids)
    if task.prompt_tokens + task.new_tokens > room:
        raise UsageError(
            f"the model's context has room for {room} tokens, and {task.prompt_tokens + task.new_tokens} are asked for: "
            "take fewer new tokens, or shorter prompts"
        )
    for path in task.reference:
        require_file(path)
    if task.mauve:
        require_mauve()
        if scorer is None:
            raise UsageError("mauve compares the hidden states of a scorer: name one")
    excerpts = take_excerpts(
        load_corpus(files, unit, column), infiller.tokenizer, task.samples, task.prompt_tokens, task.new_tokens
    )
    bench = _Bench(infiller, excerpts, task, seed, on_progress)
    drawn = [bench.held_out() if options is None else bench.drawn(options) for options in rows]
    known = _known(task.reference, [passages for passages, _, _ in drawn], ReadOptions(unit, column))
    found = []
    for options, (passages, calls, sign) in zip(rows, drawn, strict=True):
        scores = text_scores(passages, infiller.tokenizer, known, sign)
        if scorer is not None:
            nats = scorer.nats(passages, lambda done: on_progress("perplexity", done, len(excerpts)))
            scores.insert(0, perplexity_score(nats, {**sign, **scorer.parts}))
            if task.mauve and options is not None:
                scores.insert(1, bench.mauve(scorer, passages, sign))
        texts = tuple(passage.text for passage in passages)
        found.append(GenerationRow(options, texts, (*scores, *calls)))
    return found


_Drawn = tuple[list[Passage], list[Score], dict[str, object]]


@dataclass(frozen=True)
class _Bench:
    """What all rows have in common."""

    infiller: Infiller
    excerpts: Sequence[Excerpt]
    task: GenerationTask
    seed: int
    on_progress: Progress

    def held_out(self) -> _Drawn:
        """The texts that were held out; nothing of the model but its tokenizer matters to them."""
        passages = [excerpt.passage(self.infiller.tokenizer) for excerpt in self.excerpts]
        parts = model_parts(self.infiller)
        return passages, [], {key: parts[key] for key in ("tokenizer", "version")} | self._parts(passages)

    def drawn(self, options: SamplerOptions) -> _Drawn:
        """Texts that the model writes."""
        infiller = self.infiller
        sampler = options.apply(infiller.samplers.generate)
        require_order(infiller.model.process, sampler)
        passages, calls = self._written(sampler)
        truth = [excerpt.passage(infiller.tokenizer) for excerpt in self.excerpts]
        own = {"sampler": sampler_digest(sampler), "steps": sampler.steps, "seed": self.seed}
        sign = {**model_parts(infiller), **self._parts(truth), **own}
        value, error = jackknife(np.array([(count, 1.0) for count in calls]), ratio)
        return passages, [Score("network_calls", value, "calls/text", len(calls), error, signature(sign))], sign

    def mauve(self, scorer: Scorer, passages: Sequence[Passage], sign: Mapping[str, object]) -> Score:
        """MAUVE of generated texts."""
        truth = [excerpt.passage(self.infiller.tokenizer) for excerpt in self.excerpts]
        value = mauve(scorer.features(truth), scorer.features(passages), self.seed)
        parts = {**sign, **scorer.parts, "mauve": require_mauve()}
        return Score("mauve", value, "0 to 1", len(passages), math.inf, signature(parts))

    def _written(self, sampler: Sampler) -> tuple[list[Passage], list[int]]:
        infiller, tokenizer = self.infiller, self.infiller.tokenizer
        passages: list[Passage] = []
        calls: list[int] = []
        for first in range(0, len(self.excerpts), ROWS):
            some = self.excerpts[first : first + ROWS]
            given = [[*tokenizer.prefix_ids, *excerpt.prompt] for excerpt in some]
            numbers = range(first, first + len(some))
            written = go_on(infiller.model, tokenizer, sampler, given, self.task.new_tokens, self.seed, numbers=numbers)
            calls += written.nfe.tolist()
            for excerpt, ids in zip(some, written.ids.tolist(), strict=True):
                passages.append(excerpt.passage(tokenizer, ids[-self.task.new_tokens :]))
            self.on_progress("texts", len(passages), len(self.excerpts))
        return passages, calls

    def _parts(self, truth: Sequence[Passage]) -> dict[str, object]:
        """The parts of a signature that say what the texts are."""
        task = self.task
        held_out = digest(f"{passage.prompt}\x1f{passage.text}" for passage in truth)
        return {
            "data": held_out,
            "samples": task.samples,
            "new_tokens": task.new_tokens,
            "prompt_tokens": task.prompt_tokens,
        }


def _known(reference: Sequence[Path], drawn: Sequence[Sequence[Passage]], options: ReadOptions) -> Known | None:
    """What of all rows stands in the reference, which is read once."""
    if not reference:
        return None
    wanted = set().union(*map(wanted_grams, drawn))
    return Known(known_grams(wanted, read_corpus(reference, options), NOVEL), digest(map(sha256_of, reference)))
