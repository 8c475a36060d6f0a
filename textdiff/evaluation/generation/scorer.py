"""A left-to-right language model from outside, which says how probable a text is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from textdiff.backbones.loading import load_weights, refuse, refusing
from textdiff.errors import CheckpointError, UsageError
from textdiff.evaluation.generation.excerpts import Passage
from textdiff.files import require_self_contained
from textdiff.infiller import find_model, fingerprint
from textdiff.infiller.checkpoint import without_progress_bars
from textdiff.metrics import Parts
from textdiff.text.tokenizers import Tokenizer, load_tokenizer

Features = npt.NDArray[np.float32]

_SCORES = 1 << 26
"""Numbers that a batch may have in its scores of all ids."""
_TRIED = 8


@dataclass(frozen=True)
class Scorer:
    """A causal language model, its tokenizer, and what stands for both in signatures.

    Attributes:
        network, tokenizer: of the model.
        bos: the id that is read before each text, or None: then a text's first piece costs nothing and is not counted.
        sha256: of its files, 12 digits.
    """

    network: PreTrainedModel
    tokenizer: Tokenizer
    bos: int | None
    sha256: str

    @staticmethod
    def load(model: str, device: torch.device | str = "cpu") -> Scorer:
        """Loads a model of Hugging Face, in single precision.

        Args:
            model: a folder, or a name on the hub.
            device: where it runs.

        Raises:
            CheckpointError: there is no such model, it cannot be used, or it sees what it is to predict.
        """
        folder = find_model(model)
        require_self_contained(folder)
        tokenizer = load_tokenizer(folder)
        with refusing(f"{model} cannot be a scorer"):
            config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        options = {"config": config, "trust_remote_code": False, "dtype": torch.float32}
        fresh = lambda: AutoModelForCausalLM.from_config(config, trust_remote_code=False)  # noqa: E731
        with without_progress_bars():
            network, report = load_weights(AutoModelForCausalLM.from_pretrained, str(folder), fresh, **options)
        refuse(str(folder), "no weights for", report["missing_keys"])
        network = network.eval().to(device)
        _require_causal(network, model)
        if tokenizer.vocabulary.size > network.get_input_embeddings().num_embeddings:
            raise CheckpointError(f"{model} cannot be a scorer: its tokenizer has more ids than its network")
        name = tokenizer.roles.get("bos_token")
        bos = None if name is None else tokenizer.backend.token_to_id(name)
        return Scorer(network, tokenizer, bos, fingerprint(model)[:12])

    @property
    def parts(self) -> dict[str, object]:
        """Its parts of a signature."""
        return {"scorer": self.sha256, "bos": "none" if self.bos is None else self.tokenizer.entries[self.bos]}

    @torch.no_grad()
    def nats(self, passages: Sequence[Passage], on_texts: Callable[[int], None] = lambda done: None) -> Parts:
        """[N, 2]: what each text costs after its prompt, nats, and how many pieces that is for.

        A text is read together with its prompt, in the scorer's own pieces, without the blanks around both; counted are the
        pieces that end in the text.

        Raises:
            UsageError: one is longer than the scorer can read.
        """
        rows = [self._row(passage) for passage in passages]
        found = torch.zeros(len(rows), 2, dtype=torch.float64)
        done = 0
        for batch in self._batches([len(ids) for ids, _ in rows]):
            found[batch] = self._costs([rows[i] for i in batch])
            done += len(batch)
            on_texts(done)
        return found.numpy()

    @torch.no_grad()
    def features(self, passages: Sequence[Passage]) -> Features:
        """[N, D]: the network's last hidden state at the last piece of each text, which is read as in `nats`.

        Source: the features of MAUVE, arXiv 2102.01454, there of GPT-2 large.
        """
        rows = [ids for ids, _ in map(self._row, passages)]
        found = torch.zeros(len(rows), self.network.config.hidden_size)
        for batch in self._batches(list(map(len, rows))):
            ids = self._padded([rows[i] for i in batch])
            states = self.network(input_ids=ids, use_cache=False, output_hidden_states=True).hidden_states[-1]
            for place, i in enumerate(batch):
                if rows[i]:
                    found[i] = states[place, len(rows[i]) - 1]
        return found.numpy()

    def _row(self, passage: Passage) -> tuple[list[int], int]:
        """Ids, the one before the text included, and how many at their end are counted."""
        whole = passage.prompt + passage.text
        given = len(passage.prompt) - (len(whole) - len(whole.lstrip()))
        ids, ends = self.tokenizer.encode_with_ends(whole.strip())
        counted = sum(end > given for end in ends)
        row = ids if self.bos is None else [self.bos, *ids]
        limit = getattr(self.network.config, "max_position_embeddings", None)
        if limit is not None and len(row) > limit:
            raise UsageError(
                f"a text has {len(row)} pieces of the scorer, which reads at most {limit}: take fewer tokens"
            )
        return row, min(counted, max(0, len(row) - 1))

    def _batches(self, lengths: Sequence[int]) -> Iterator[list[int]]:
        """The numbers of rows that are read together: of about one length, and no more than fit."""
        vocabulary = self.network.get_input_embeddings().num_embeddings
        batch: list[int] = []
        for i in sorted(range(len(lengths)), key=lengths.__getitem__):
            if batch and (len(batch) + 1) * lengths[i] * vocabulary > _SCORES:
                yield batch
                batch = []
            batch.append(i)
        if batch:
            yield batch

    def _costs(self, rows: Sequence[tuple[list[int], int]]) -> Tensor:
        """[R, 2] of rows that are padded behind, where a network that reads from the left does not look."""
        ids = self._padded([row for row, _ in rows])
        counted = torch.zeros_like(ids, dtype=torch.bool)
        for i, (row, count) in enumerate(rows):
            counted[i, len(row) - count : len(row)] = True
        logits = self.network(input_ids=ids, use_cache=False).logits[:, :-1]
        nats = torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
        nats = nats.view(len(rows), -1).double().masked_fill(~counted[:, 1:], 0)
        return torch.stack([nats.sum(-1), counted.sum(-1).double()], -1).cpu()

    def _padded(self, rows: Sequence[Sequence[int]]) -> Tensor:
        """Long [R, L] on the network's device, two positions wide at least."""
        ids = torch.zeros(len(rows), max(2, *map(len, rows)), dtype=torch.long)
        for i, row in enumerate(rows):
            ids[i, : len(row)] = torch.tensor(row, dtype=torch.long)
        return ids.to(self.network.device)


@torch.no_grad()
def _require_causal(network: PreTrainedModel, name: str) -> None:
    """Raises CheckpointError where what follows a place changes what is predicted for it."""
    ids = torch.arange(2 * _TRIED, device=network.device).view(2, -1) % network.get_input_embeddings().num_embeddings
    ids[1, :-1] = ids[0, :-1]
    with refusing(f"{name} cannot be a scorer"):
        first, second = network(input_ids=ids, use_cache=False).logits[:, :-1]
    if not torch.allclose(first, second, rtol=1e-3, atol=1e-4 * float(first.abs().max())):
        raise CheckpointError(f"{name} cannot be a scorer: it reads in both directions, and sees what it is to predict")
