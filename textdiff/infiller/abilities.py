"""What a model can be asked for."""

from __future__ import annotations

from textdiff.denoiser import Reader
from textdiff.errors import UsageError
from textdiff.model import DiffusionModel
from textdiff.sampling import Classifier
from textdiff.text.pairs import PairLayout
from textdiff.text.tokenizers import Tokenizer


class Abilities:
    """What follows from a model and its tokenizer about what they can do, with a sentence where they cannot.

    Attributes:
        model, tokenizer, name: see `Infiller`.
    """

    model: DiffusionModel
    tokenizer: Tokenizer
    name: str

    @property
    def context_length(self) -> int:
        """Positions that the model can see at once."""
        return int(self.model.config.context_length)

    def require_both_sides(self) -> None:
        """Raises UsageError where the model never looks at what stands behind a place, or knows nothing but pairs."""
        self.require_documents()
        if not self.model.process.both_sides:
            way = "from left to right" if self.model.process.left_to_right else "block by block"
            raise UsageError(
                f"the model {self.name} reads {way} and knows nothing of the text behind a gap: "
                "it can generate and be evaluated, but to fill gaps or judge words in their place take a diffusion model"
            )

    def require_documents(self) -> None:
        """Raises UsageError where the model has seen nothing but pairs of sources and targets."""
        if self.model.config.target_length is not None:
            raise UsageError(
                f"the model {self.name} makes targets of sources, and nothing else: `generate --condition FILE`"
            )

    def pair_layout(self) -> PairLayout:
        """Where a source and its target stand.

        Raises:
            UsageError: the model was not trained to make targets of sources.
        """
        length = self.model.config.target_length
        if length is None:
            advice = "train one with data.pairs in a recipe"
            raise UsageError(f"the model {self.name} was not trained on pairs of sources and targets; {advice}")
        return PairLayout(self.tokenizer, length, self.context_length, self.model.process.left_to_right)

    def new_tokens(self, given: int, asked: int | None) -> int:
        """How many tokens to write behind so many given ones.

        Raises:
            UsageError: it is asked for none.
        """
        if asked is not None and asked < 1:
            raise UsageError(f"max_new_tokens must be at least 1, got {asked}")
        left = self.context_length - given
        return asked or (min(128, left) if left > 0 else 128)

    def guiding(self, guide: Abilities | None) -> Reader | None:
        """The network of another model, which knows the same tokens, noise and lengths.

        Raises:
            UsageError: it does not.
        """
        if guide is None:
            return None
        if guide.tokenizer.pieces != self.tokenizer.pieces or guide.tokenizer.vocabulary != self.tokenizer.vocabulary:
            raise UsageError(
                f"the models {guide.name} and {self.name} have different tokens: one cannot guide the other"
            )
        if guide.model.process != self.model.process or guide.context_length < self.context_length:
            raise UsageError(
                f"the models {guide.name} and {self.name} know different noise or lengths: one cannot guide the other"
            )
        return guide.model.read

    def classifying(self, source: str, label: str) -> Classifier:
        """A sequence classifier of Hugging Face, for a label; see `load_classifier`."""
        from textdiff.infiller.classifying import load_classifier

        return load_classifier(source, label, self.tokenizer, self.context_length, self.model.device)
