"""The fastest decoder for a model: weights folded once, weights read in place, steps of a batch
written out on arrays, or the model itself.

Read next: loop.py, which uses it.
"""

from tinylm.generate.fast.batched import BatchDecoder
from tinylm.generate.fast.direct import DirectDecoder
from tinylm.generate.fast.folded import FastDecoder, supports
from tinylm.generate.protocol.language_model import Model, ModelLM

# 64 MiB of weights do not fit a processor's cache: decoding then runs at the speed of memory, and a
# folded copy of the weights would double the memory and save no time.
LARGE = 1 << 26


def fastest(lm: Model, rows: int = 1) -> object:
    """A decoder of this folder for the model of `lm` and so many rows if one supports it, else
    `lm`.
    """
    if not isinstance(lm, ModelLM) or not supports(lm.model):
        return lm
    if rows > 1:
        if lm.model.tokens.weight.dtype.itemsize < 4:
            return lm  # the model's own operations compute in float32
        return BatchDecoder(lm.model)
    if sum(p.data.nbytes for p in lm.model.parameters()) < LARGE:
        return FastDecoder(lm.model)
    return DirectDecoder(lm.model)
