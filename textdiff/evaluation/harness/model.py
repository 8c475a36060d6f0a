"""The model class of lm-evaluation-harness."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lm_eval.api.model import LM

from textdiff.evaluation.harness.answers import Answers, Question


class HarnessModel(LM):
    """A textdiff model behind the interface of the harness, which asks and is answered in text."""

    def __init__(self, answers: Answers) -> None:
        super().__init__()
        self._answers = answers

    def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
        """Of continuations given their contexts; those of one document of a task are compared."""
        return self._answers.likelihoods([_question(request) for request in requests])

    def loglikelihood_rolling(self, requests: Sequence[Any]) -> list[float]:
        """Of whole texts."""
        return self._answers.whole([request.args[0] for request in requests])

    def generate_until(self, requests: Sequence[Any]) -> list[str]:
        """Texts that follow contexts, up to where they are to stop."""
        return self._answers.continuations([request.args for request in requests])


def _question(request: Any) -> Question:
    context, continuation = request.args
    return Question(context, continuation, (request.task_name, request.doc_id))
