"""A recipe: everything that a training run is made of, typed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from textdiff.backbones import BackboneConfig, DiTConfig, LoraConfig
from textdiff.corpus import Detokenizer, PairOptions, ReadOptions, check_encoding
from textdiff.data import GapMaker, WholeTask
from textdiff.errors import ConfigError
from textdiff.infiller import DefaultSamplers
from textdiff.objectives import CrossEntropyObjective, Objective
from textdiff.processes import ForwardProcess
from textdiff.registry import build
from textdiff.training import TrainingConfig
from textdiff.vocabulary import Vocabulary


@dataclass(frozen=True)
class PairsConfig:
    """Sequence to sequence: the text comes as pairs of a source, which is given, and a target, which is free.

    The files are then `.jsonl`, or text files two at a time: sources, a line each, and targets in the same lines.

    Attributes:
        target_length: positions that a target has; how many of them it takes is learned. A source has the rest of the context.
        known_length: how often a sample shows where its target ends, so that a length can be chosen before the text is written.
        source_column, target_column: the fields of a line of JSON.
    """

    target_length: int
    known_length: float = 0.5
    source_column: str = "source"
    target_column: str = "target"

    def __post_init__(self) -> None:
        if self.target_length < 1:
            raise ConfigError(f"target_length must be at least 1, got {self.target_length}")
        if not 0 <= self.known_length < 1:
            raise ConfigError(f"known_length must be at least 0 and below 1, got {self.known_length}")


@dataclass(frozen=True)
class DataConfig:
    """Where the text is.

    Attributes:
        train: a file or a list of files; see `read_corpus`. Or a folder that `textdiff data prepare` made.
            A relative path is looked for in the current folder, beside the recipe, and in the folder that the environment
            variable TEXTDIFF_DATA names.
        validation: held-out files. Without any, the last documents of the training text are held out: as many as come nearest
            to `validation_share` of its tokens. Where that would be less than a quarter or more than four times of it, or
            more than half of the text, just that share is held out, and begins inside of a document.
        unit: what a document of a text file is: `file`, `blank_line` (a part between blank lines) or `line`.
        column: the column of a table that holds the text.
        encoding: of text files and of tables as text.
        detokenize: the standard set that the text is from, such as `wikitext`, if its tokens are to be put together to text as
            people write it; see `textdiff.corpus.detokenize`. Held-out text is read likewise, and scored in its own bytes.
        skip_bad: whether rows of tables, and lines where the unit is `line`, that cannot be used are left out instead of being
            an error; a number is how many at most.
        separate_documents: whether the documents of a sample do not see each other (intra-document masking): for short ones,
            which are alone when they are filled. Each then has both of its ends and gaps of its own. Held-out documents are
            scored alone too, also by `textdiff evaluate`. Source: arXiv 2402.13991.
        pairs: of sources and targets, where the files hold such; `unit` and `column` then mean nothing.
    """

    train: str | tuple[str, ...]
    validation: str | tuple[str, ...] = ()
    validation_share: float = 0.05
    unit: Literal["file", "blank_line", "line"] = "file"
    column: str = "text"
    encoding: str = "utf-8"
    detokenize: Detokenizer | None = None
    skip_bad: bool | int = False
    separate_documents: bool = False
    pairs: PairsConfig | None = None

    def __post_init__(self) -> None:
        check_encoding(self.encoding)
        if self.skip_bad < 0:
            raise ConfigError(f"skip_bad must be true, false or a number of rows of at least 0, got {self.skip_bad}")
        if not 0 <= self.validation_share <= 0.5:
            raise ConfigError(f"validation_share must be between 0 and 0.5, got {self.validation_share}")
        if self.pairs is not None and self.separate_documents:
            raise ConfigError("separate_documents: a pair stands alone in its sample as it is; leave it out")
        if self.pairs is not None and self.detokenize is not None:
            raise ConfigError("detokenize: pairs are read as they are; leave it out")

    def options(self) -> ReadOptions:
        """How the files are read."""
        return ReadOptions(self.unit, self.column, self.encoding, self.detokenize)

    def pair_options(self) -> PairOptions | None:
        """How the files are read as pairs, if they are."""
        if self.pairs is None:
            return None
        return PairOptions(self.pairs.source_column, self.pairs.target_column, self.encoding)


@dataclass(frozen=True)
class TokenizerConfig:
    """The tokenizer: loaded from a folder where `path` is given, else trained on the training text.

    Attributes:
        kind: byte_bpe, sentencepiece_unigram, sentencepiece_bpe or characters.
        vocab_size: the number of ids at most.
        path: a folder with a tokenizer.
    """

    kind: Literal["byte_bpe", "sentencepiece_unigram", "sentencepiece_bpe", "characters"] = "byte_bpe"
    vocab_size: int = 8192
    path: str | None = None


@dataclass(frozen=True)
class CardConfig:
    """What the head of the model card says to those who look for models.

    Attributes:
        license: of the model, by its SPDX name in small letters, such as apache-2.0.
        language: of the text, by ISO 639 codes, such as en.
        datasets: their names on the hub of models.
    """

    license: str | None = None
    language: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()


@dataclass(frozen=True)
class Recipe:
    """A training run. The fields are the keys of the YAML file.

    Attributes:
        description: what it is for, and what it costs.
        card: what is known of the model besides, for its card.
        seed: of all randomness.
        context_length: L, the tokens of a sample.
        data, tokenizer: the text and how it is cut.
        process: the configuration of a `ForwardProcess`.
        backbone: the network. The time embedding `auto` becomes `none` for absorbing noise, else `sinusoidal`.
        prediction: what the network's output means; see `DiffusionConfig`.
        objective: the training loss.
        tasks: what is given and what is free in a sample.
        condition_dropout: how often all that is given is hidden, so that guidance is possible later.
        training: how long, how fast.
        lora: fine-tuning by low-rank adapters, which are added to the weights when the model is saved; by default all weights
            are trained. Where the tokenizer or the output layer is new, all that is not in the blocks is trained besides.
        samplers: how the model fills and writes where nothing else is asked; by default what suits the process.
    """

    data: DataConfig
    description: str = ""
    card: CardConfig = field(default_factory=CardConfig)
    seed: int = 0
    context_length: int = 256
    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)
    process: str | dict[str, Any] = "absorbing"
    backbone: BackboneConfig = field(default_factory=DiTConfig)
    prediction: Literal["leave_one_out", "posterior"] = "leave_one_out"
    objective: Objective = field(default_factory=CrossEntropyObjective)
    tasks: tuple[GapMaker, ...] = (WholeTask(),)
    condition_dropout: float = 0.0
    training: TrainingConfig = field(default_factory=TrainingConfig)
    lora: LoraConfig | None = None
    samplers: DefaultSamplers | None = None

    def __post_init__(self) -> None:
        if self.context_length < 2:
            raise ConfigError(f"context_length must be at least 2, got {self.context_length}")
        if not 0 <= self.condition_dropout < 1:
            raise ConfigError(f"condition_dropout must be at least 0 and below 1, got {self.condition_dropout}")
        if self.lora is not None and self.training.fsdp:
            raise ConfigError("lora and training.fsdp do not go together: leave one of them out")
        if not self.tasks:
            raise ConfigError("tasks must name at least one task")
        if self.data.pairs is not None and self.tasks != (WholeTask(),):
            raise ConfigError("tasks: what is given and what is free in a pair is plain already; leave them out")
        # The process needs a vocabulary that training will make; one of any size shows whether its options are right.
        process = self.make_process(Vocabulary(size=8, special_ids=(0, 1), mask_id=1))
        if self.data.pairs is not None and process.causal_blocks is not None:
            raise ConfigError("process: targets of pairs are not written block by block; take absorbing noise")

    def make_process(self, vocabulary: Vocabulary) -> ForwardProcess:
        """The process over a vocabulary."""
        return build(ForwardProcess, self.process, "process", vocabulary=vocabulary)
