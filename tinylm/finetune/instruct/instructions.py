"""Instruction fine-tuning: go on training on answers to instructions, the loss on the answers
alone.

With x all that is given and y the answer   (book eqs. 2.16 to 2.18, 3.11, 3.12),

    loss(sample) = -log Pr(y | x) = - sum over i in y of log Pr(y_i | x, y_<i)

One pass reads the whole of [x, y]; what is said about tokens of x costs nothing and so has no
gradient. Parameters do get one through x: answers look back at it. The first token of y is
predicted where the last of x is read. Read first: conversations.py, which makes the examples.
"""

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np

from tinylm.backend import to_cpu
from tinylm.errors import DataError, ShapeError
from tinylm.generate import generate_batch
from tinylm.pretrain.batch import IGNORE, Batch, pad_rows
from tinylm.pretrain.score import chosen, padding_options, score
from tinylm.train.evaluation import evaluate


@dataclass(frozen=True)
class InstructionBatch(Batch):
    """Rows of one or several conversations.

    prompt     (B,) tokens that stand before the first token to be said
    mask       (B, T) bool, True for tokens; None where no row is padded
    segments   (B, T) which conversation of its row a token is of, -1 for padding; None where every
               row holds one
    positions  (B, T) counted from 0 within the conversation; None with segments None
    """

    prompt: np.ndarray = None
    mask: np.ndarray | None = None
    segments: np.ndarray | None = None
    positions: np.ndarray | None = None

    def visible(self):
        """The attention mask that keeps a conversation to itself, (B, 1, T, T) bool; None where
        every row holds one.
        """
        if self.segments is None:
            return None
        same = self.segments[:, :, None] == self.segments[:, None, :]  # the model itself is causal
        return (same & (self.segments >= 0)[:, None])[:, None]  # padding is seen by nothing

    @property
    def options(self):
        """What the model is given besides the inputs. Padding at the ends of rows is hidden by
        causality.
        """
        return {"positions": self.positions, "mask": self.visible()}


@dataclass(frozen=True)
class InstructionTuning:
    """The task for finetune.fit. An example is an Encoded (conversations.py), or a list of these
    that share a row (pack()).

    whole       False: the loss is on answers alone. True: on every token but the first, as in
                pre-training, to compare
    tokenizer, end, max_tokens    for predict(): of the ids; id of the mark that ends an answer, or
                                  None; longest answer
    """

    whole: bool = False
    tokenizer: object = None
    end: int | None = None
    max_tokens: int = 32

    def make_batch(self, examples, rng=None):
        """Examples as rows, shifted by one and padded at the right.

        returns  InstructionBatch; it has segments and positions where a row is a list of
                 conversations
        raises   DataError for a row of fewer than two tokens, which has nothing to predict
        """
        rows = [
            example if isinstance(example, (list, tuple)) else [example] for example in examples
        ]
        if any(not row or min(len(one.ids) for one in row) < 2 for row in rows):
            raise DataError(
                "InstructionTuning: an example has fewer than two tokens, so nothing is to be predicted in it"
            )
        inputs, held = pad_rows(
            [np.concatenate([one.ids[:-1] for one in row]) for row in rows], 0
        )  # (B, T)
        targets, _ = pad_rows(
            [np.concatenate([one.targets(self.whole) for one in row]) for row in rows], IGNORE
        )
        prompt, mask = np.array([row[0].prompt for row in rows]), None if held.all() else held
        if all(not isinstance(example, (list, tuple)) for example in examples):
            return InstructionBatch(inputs, targets, prompt, mask)
        lengths = [[len(one.ids) - 1 for one in row] for row in rows]
        segments, _ = pad_rows([np.repeat(np.arange(len(row)), row) for row in lengths], -1)
        positions, _ = pad_rows([np.concatenate([np.arange(n) for n in row]) for row in lengths], 0)
        return InstructionBatch(inputs, targets, prompt, mask, segments, positions)

    def loss(self, model, batch):
        """Mean cross-entropy of the tokens that the model is to say; the output layer is computed
        for these alone.

        model    GPT, or anything with hidden(ids, positions=, mask=) and logits(h)
        returns  (Tensor (), {"tokens": targets that count, "loss": float})
        """
        options = batch.options
        if batch.segments is None:
            options |= padding_options(model, batch.mask)
        h, targets = chosen(model.hidden(batch.inputs, **options), batch.targets)
        return score(model.logits(h), targets)

    def predict(self, model, batch):
        """The model's own answers to the prompts, its most probable token at a time: list of B str
        (ids without a tokenizer).

        raises   ShapeError for packed rows: unpack them; DataError for an example without an answer
        """
        if batch.segments is not None:
            raise ShapeError(
                "InstructionTuning.predict: rows hold several conversations; give one example a row"
            )
        if batch.mask is None:
            lengths = np.full(len(batch), batch.inputs.shape[1])
        else:
            lengths = to_cpu(batch.mask).sum(axis=1)
        bare = np.flatnonzero(to_cpu(batch.prompt) > lengths).tolist()
        if bare:
            raise DataError(
                f"InstructionTuning.predict: no token of row {bare[0]} is an answer, so its prompt has no end: encode "
                "it with an answer, or give the prompt itself to generate_batch"
            )
        prompts = [
            row[:n].tolist() for row, n in zip(to_cpu(batch.inputs), to_cpu(batch.prompt).tolist())
        ]
        found = generate_batch(
            model, prompts, self.max_tokens, eos=self.end, temperature=0.0, notice=None
        )
        return [self._text(ids) for ids in found]

    def measure(self, answers, examples):
        """{"accuracy": share of answers that are the examples' first, to the letter}."""
        wanted = [self._text(example.first_answer()) for example in examples]
        return {
            "accuracy": float(
                np.mean([said == right for said, right in zip(answers, wanted, strict=True)])
            )
        }

    def _text(self, ids):
        ids = [int(i) for i in ids]
        if ids and ids[-1] == self.end:
            ids = ids[:-1]
        if self.tokenizer is None:
            return tuple(ids)
        return self.tokenizer.decode(ids).strip()


def answer_loss(model, task, examples, batch_size=16, device="cpu"):
    """Mean nats per token that counts, over all examples, dropout off: what validation reports.

    returns  (mean, how many tokens counted)
    """
    starts = range(0, len(examples), batch_size)
    rows = SimpleNamespace(batches=lambda size: (examples[i : i + size] for i in starts))
    return evaluate(model, task, rows, batch_size, device=device)
