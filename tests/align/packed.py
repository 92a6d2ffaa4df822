"""Forward passes on rows that hold several conversations each, in place of padded ones.

    monkeypatch.setattr(logprobs, "response_logits", in_packed_rows(logprobs.response_logits))
    monkeypatch.setattr(ValueModel, "__call__", packed_values)

Everything else is the program's: what it computes from logits and values must not change.
"""

import numpy as np

from tinylm.autograd import scatter_add
from tinylm.finetune.instruct.instructions import InstructionBatch
from tinylm.pretrain.batch import IGNORE, pad_rows

TOGETHER = 3  # conversations in a row


def packed_rows(inputs, targets, mask):
    """Padded rows as fewer rows without padding inside: InstructionBatch with segments.

    inputs, targets  (B, T);  mask (B, T) bool, True for tokens
    """
    parts = [range(b, min(b + TOGETHER, len(mask))) for b in range(0, len(mask), TOGETHER)]
    lengths = mask.sum(axis=1)

    def joined(rows, fill):
        return pad_rows([np.concatenate([rows[b] for b in part]) for part in parts], fill)[0]

    tokens = [row[held] for row, held in zip(inputs, mask)]
    expected = [row[held] for row, held in zip(targets, mask)]
    numbers = [np.full(n, b % TOGETHER) for b, n in enumerate(lengths)]
    places = [np.arange(n) for n in lengths]
    segments = joined(numbers, -1)
    prompt = np.zeros(len(parts), int)  # of no use here
    rows = (joined(tokens, 0), joined(expected, IGNORE))
    return InstructionBatch(*rows, prompt, segments >= 0, segments, joined(places, 0))


def in_packed_rows(response_logits):
    """response_logits() that reads packed rows; the counted tokens keep their order."""

    def found(model, batch, temperature=1.0):
        mask = batch.mask
        if mask is None:
            mask = np.ones(batch.inputs.shape, bool)
        packed = packed_rows(batch.inputs, batch.targets, mask)
        assert len(packed) < len(batch)
        return response_logits(model, packed, temperature)

    return found


def packed_values(self, ids, mask=None):
    """ValueModel.__call__ that reads packed rows."""
    if mask is None:
        mask = np.ones(ids.shape, bool)
    packed = packed_rows(ids, ids, mask)
    assert len(packed) < len(ids)
    h = self.decoder.hidden(packed.inputs, **packed.options)  # (rows, T, D)
    values = self.head(h)[:, :, 0][np.nonzero(packed.mask)]  # (n,): row by row, as in `mask`
    return scatter_add(mask.shape, np.nonzero(mask), values)
