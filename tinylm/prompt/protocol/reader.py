"""What reads the prompts of a model, and what it keeps of them from its weights.

Batches are read by the model itself, a single sequence by the fastest decoder for it, which may
hold copies of the weights; the prefix store holds keys and values that were computed with them. All
of this is out of date once the model is trained further, so one object has it, and `renew` makes it
anew. Read next: opened.py, model.py.
"""

from typing import Any

from tinylm.generate.fast.direct import DirectDecoder
from tinylm.generate.fast.fastest import fastest
from tinylm.generate.fast.folded import TOGETHER, FastDecoder
from tinylm.generate.protocol.language_model import ModelLM
from tinylm.models import GPT
from tinylm.prompt.protocol.prefix_store import PrefixStore


class Reader:
    """The decoders and the prefix store of a language model.

    opened  language model (generate/protocol/language_model.py), also a fast decoder

    lm      reads batches, with all bits of the weights
    single  reads one sequence
    store   PrefixStore, or None for a model other than a GPT
    last    how many tokens at the end of a prompt `single` reads itself, behind the store
    """

    def __init__(self, opened: Any) -> None:
        self.lm, self.single = opened, fastest(opened)
        if isinstance(opened, FastDecoder):
            self.lm = opened.model
        self.store = None
        if isinstance(self.lm, ModelLM) and isinstance(self.lm.model, GPT):
            self.store = PrefixStore(self.lm.model)
        self.bits = getattr(opened, "bits", None)
        self.last = 1
        if self.quantized:
            # Fewer tokens would be read one by one, with fewer bits than in a prompt read whole.
            self.last = TOGETHER

    @property
    def quantized(self) -> bool:
        """True where a single token is read with fewer bits than a batch."""
        return self.bits is not None

    def renew(self) -> None:
        """Copy the weights again and forget what was read with the old ones."""
        if self.store is not None:
            self.store.clear()
        if self.quantized:
            self.single = DirectDecoder(self.lm.model, self.bits)
        else:
            self.single = fastest(self.lm)
