"""Instruction fine-tuning: training on answers to instructions, with the loss on the answers alone.

With x the prompt and y the answer   (book eqs. 2.16 to 2.18, 3.11, 3.12),

    loss(sample) = -log Pr(y | x) = - sum over i in y of log Pr(y_i | x, y_<i)

One pass reads all of [x, y]; the predictions of tokens of x do not count in the loss. Gradients
still reach the parameters through x, since answers attend to it. The first token of y is predicted
at the last token of x. Read first: conversations.py, which makes the examples.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np

from tinylm.autograd import Tensor
from tinylm.backend import Random, to_cpu
from tinylm.errors import DataError, ShapeError
from tinylm.generate import generate_batch
from tinylm.nn.module import Module
from tinylm.pretrain.batch import IGNORE, Batch, pad_rows
from tinylm.pretrain.score import chosen, padding_options, score
from tinylm.train.evaluation import evaluate


@dataclass(frozen=True)
class InstructionBatch(Batch):
    """Rows of one or several conversations.

    prompt     (B,) number of tokens before the first answer
    mask       (B, T) bool, True for tokens; None if no row is padded
    segments   (B, T) number of a token's conversation in its row, -1 for padding; None if every row
               holds one conversation
    positions  (B, T) counted from 0 within the conversation; None with segments None
    """

    prompt: np.ndarray = None
    mask: np.ndarray | None = None
    segments: np.ndarray | None = None
    positions: np.ndarray | None = None

    def visible(self) -> np.ndarray:
        """The mask that separates conversations in a row, (B, 1, T, T) bool; None if not packed."""
        if self.segments is None:
            return None
        # (B, T, 1) == (B, 1, T) -> (B, T, T); the model adds causality
        same = self.segments[:, :, None] == self.segments[:, None, :]
        is_token = (self.segments >= 0)[:, None]  # keys in padding are hidden from all
        return (same & is_token)[:, None]

    @property
    def options(self) -> dict[str, np.ndarray]:
        """Arguments of the model beside the inputs. Causality hides padding at the ends of rows."""
        return {"positions": self.positions, "mask": self.visible()}


def reading_options(model: Module, batch: InstructionBatch) -> dict[str, np.ndarray]:
    """Arguments of a causal model beside the inputs, for rows padded at either end, or packed.

    batch    with mask (B, T), True for tokens, or without; packed if it has segments
    returns  dict of what is needed of mask and positions
    """
    if getattr(batch, "segments", None) is not None:
        return batch.options
    held = getattr(batch, "mask", None)  # (B, T)
    if held is None or (held[:, 1:] <= held[:, :-1]).all():
        return padding_options(model, held)  # at the end, which causality hides
    # Padding before a token: hidden from it, and positions are counted without it.
    positions = np.maximum(np.cumsum(held, axis=1) - 1, 0)
    return {"mask": held[:, None, None, :], "positions": positions}


@dataclass(frozen=True)
class InstructionTuning:
    """The task for finetune.fit; an example is an Encoded (conversations.py).

    Or a list of these that share a row, see pack().

    whole       False: the loss is on answers alone. True: on every token but the first, as in
                pre-training, for comparison
    tokenizer   for predict(): decode(ids) -> text; None: answers are ids
    end         id of the mark that ends an answer, or None
    max_tokens  longest answer of predict()
    """

    whole: bool = False
    tokenizer: object = None
    end: int | None = None
    max_tokens: int = 32

    def make_batch(self, examples: Sequence, rng: Random | None = None) -> Any:
        """Examples as rows, shifted by one and padded at the right.

        returns  InstructionBatch; with segments and positions if a row is a list of conversations
        raises   DataError for a row of fewer than two tokens, which has nothing to predict
        """
        packed = [isinstance(example, (list, tuple)) for example in examples]
        rows = [row if is_list else [row] for row, is_list in zip(examples, packed)]
        if any(not row or min(len(one.ids) for one in row) < 2 for row in rows):
            raise DataError(
                "InstructionTuning: an example has fewer than two tokens, "
                "so nothing is to be predicted in it"
            )
        # Each conversation is shifted by itself: its last token is no input, its first no target.
        inputs = [np.concatenate([one.ids[:-1] for one in row]) for row in rows]
        targets = [np.concatenate([one.targets(self.whole) for one in row]) for row in rows]
        inputs, mask = pad_rows(inputs, 0)  # (B, T) twice
        targets, _ = pad_rows(targets, IGNORE)
        if mask.all():
            mask = None
        prompt = np.array([row[0].prompt for row in rows])
        if not any(packed):
            return InstructionBatch(inputs, targets, prompt, mask)
        # lengths 3, 2 in one row: segments 0 0 0 1 1, positions 0 1 2 0 1
        lengths = [[len(one.ids) - 1 for one in row] for row in rows]
        segments, _ = pad_rows([np.repeat(np.arange(len(row)), row) for row in lengths], -1)
        positions, _ = pad_rows([np.concatenate([np.arange(n) for n in row]) for row in lengths], 0)
        return InstructionBatch(inputs, targets, prompt, mask, segments, positions)

    def loss(self, model: Module, batch: Any) -> tuple[Tensor, dict[str, float]]:
        """Mean cross-entropy of the targets; the output layer is computed for these alone.

        model    GPT, or a model with hidden(ids, positions=, mask=) and logits(h)
        returns  (Tensor (), {"tokens": targets that count, "loss": float})
        """
        h = model.hidden(batch.inputs, **reading_options(model, batch))  # (B, T, D)
        places = batch.places
        h, targets = chosen(h, batch.targets, places)  # (n, D), (n,): those that are not IGNORE
        return score(model.logits(h), targets, len(places))

    def predict(self, model: Module, batch: Any) -> list:
        """Greedy answers to the prompts: list of B str, or of tuples of ids without a tokenizer.

        batch    rows padded at either end
        raises   ShapeError for packed rows: unpack them; DataError for an example without an answer
        """
        if batch.segments is not None:
            raise ShapeError(
                "InstructionTuning.predict: rows hold several conversations; give one example a row"
            )
        inputs, prompt = to_cpu(batch.inputs), to_cpu(batch.prompt).tolist()
        held = np.ones(inputs.shape, bool)
        if batch.mask is not None:
            held = to_cpu(batch.mask)  # (B, T)
        bare = np.flatnonzero(prompt > held.sum(axis=1)).tolist()
        if bare:
            raise DataError(
                f"InstructionTuning.predict: no token of row {bare[0]} is an answer, so its prompt "
                "has no end: encode it with an answer, or give the prompt itself to generate_batch"
            )
        # The first n tokens of a row, wherever its padding stands.
        prompts = [row[real][:n].tolist() for row, real, n in zip(inputs, held, prompt)]
        options = {"eos": self.end, "temperature": 0.0, "notice": None}
        found = generate_batch(model, prompts, self.max_tokens, **options)
        return [self._text(ids) for ids in found]

    def measure(self, answers: Sequence, examples: Sequence) -> dict[str, float]:
        """{"accuracy": share of answers that equal the examples' first answer exactly}."""
        expected = [self._text(example.first_answer()) for example in examples]
        right = [a == b for a, b in zip(answers, expected, strict=True)]
        return {"accuracy": float(np.mean(right))}

    def _text(self, ids):
        """The text of an answer without its end mark; a tuple of ids without a tokenizer."""
        ids = [int(i) for i in ids]
        if ids and ids[-1] == self.end:
            ids = ids[:-1]
        if self.tokenizer is None:
            return tuple(ids)
        return self.tokenizer.decode(ids).strip()


def answer_loss(
    model: Module, task: Any, examples: Sequence, batch_size: int = 16, device: str = "cpu"
) -> tuple[float, int]:
    """Mean loss in nats per token over all examples, dropout off, for validation.

    returns  (mean, number of tokens that count)
    """

    def batches(size):
        for start in range(0, len(examples), size):
            yield examples[start : start + size]

    rows = SimpleNamespace(batches=batches)  # the interface of rows that evaluate() needs
    return evaluate(model, task, rows, batch_size, device=device)
