"""Which decoder is the fastest for a model: weights folded once, read in place, or the model
itself.

Read next: loop.py, which asks for it.
"""

from tinylm.generate.fast.direct import DirectDecoder
from tinylm.generate.fast.folded import FastDecoder, supports
from tinylm.generate.protocol.language_model import ModelLM

# A model of more bytes than any processor's cache is decoded at the speed of memory: its weights
# are not copied.
LARGE = 1 << 26


def fastest(lm):
    """The language model to use for a single sequence: a FastDecoder where it can stand in for
    `lm`, else `lm`.
    """
    if not isinstance(lm, ModelLM) or not supports(lm.model):
        return lm
    if sum(p.data.nbytes for p in lm.model.parameters()) < LARGE:
        return FastDecoder(lm.model)
    return DirectDecoder(lm.model)
