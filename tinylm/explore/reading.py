"""How the model of a run reads a prompt: with what is put around it, and what it writes to it.

A decoder reads the ids that begin a text, then the prompt. An encoder reads [CLS] in front, and the
text may hide words as [MASK]. An encoder-decoder reads the prompt as its source, [MASK] as a
sentinel, and writes a target, the most probable tokens one by one. Read next: attention.py.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tinylm.errors import DataError
from tinylm.models import GPT
from tinylm.models.encoder.encoder import Electra, Encoder
from tinylm.models.encoder.seq2seq import Seq2Seq
from tinylm.nn import Module

if TYPE_CHECKING:
    from tinylm.explore.at_hand import OpenedModel


HIDDEN = "[MASK]"
MOST_WRITTEN = 16  # tokens of a target


@dataclass(frozen=True)
class Reading:
    """A model and what it reads.

    kind     "decoder", "encoder" or "encoder-decoder"
    model    GPT, Encoder or Seq2Seq
    ids      (T,) the prompt with what is around it; the source of an encoder-decoder
    target   (U,) what an encoder-decoder wrote, the start token first; else None
    hidden   (n,) places of [MASK]
    ahead    True if tokens that come next are predicted, False for those that are hidden
    """

    kind: str
    model: Module
    ids: np.ndarray
    target: np.ndarray | None
    hidden: np.ndarray
    ahead: bool = True


def part_of(model: Module) -> Module | None:
    """The transformer in the model of a run: without heads for more tokens, of ELECTRA the
    discriminator. None for a kind that reads in another way, such as XLNet.
    """
    if isinstance(model, Electra):
        model = model.discriminator
    model = getattr(model, "model", model)
    if isinstance(model, (GPT, Encoder, Seq2Seq)):
        return model
    return None


def decoder_ids(opened: "OpenedModel", prompt: str) -> np.ndarray:
    """The ids that a decoder reads for a prompt, as `tinylm generate` gives them.

    opened   Model, of at_hand.py
    raises   DataError for no token at all
    """
    ids = [*opened.begin, *opened.tokenizer.encode(prompt).tolist()]
    if not ids:
        raise DataError('needs a prompt: --prompt "To be or not"')
    return np.array(ids, np.int64)


def encoder_ids(opened: "OpenedModel", prompt: str) -> np.ndarray:
    """The ids that an encoder reads: [CLS] first, [MASK] where the prompt says so."""
    hidden = opened.special_id("mask", HIDDEN)
    ids = _with_hidden(opened.tokenizer, prompt, lambda n: hidden)
    frame = getattr(opened.tokenizer, "frame", None)
    if frame is not None:  # of a published tokenizer: "A" stands for the text
        items = [one for one, _ in frame[0]]
        at = items.index("A")
        ids = [*items[:at], *ids, *items[at + 1 :]]
    else:
        cls = opened.special_id("cls", "[CLS]")
        ids = ids if cls is None else [cls, *ids]
    return np.array(ids, np.int64)


def source_ids(opened: "OpenedModel", prompt: str) -> np.ndarray:
    """The source of an encoder-decoder: the n-th [MASK] is the n-th sentinel."""
    sentinels = opened.sentinels
    return np.array(_with_hidden(opened.tokenizer, prompt, lambda n: sentinels[n]), np.int64)


def written(model: Seq2Seq, source: np.ndarray, ends: tuple) -> np.ndarray:
    """(U,) what an encoder-decoder writes to a source, the start token first."""
    from tinylm.generate import generate
    from tinylm.generate.protocol.conditional import Conditional

    start = model.config.start
    tokens = generate(
        Conditional(model, source), [start], MOST_WRITTEN, eos=ends or None, temperature=0.0
    )
    return np.array([start, *tokens], np.int64)


def _with_hidden(tokenizer, prompt, id_of):
    """The ids of a text, with id_of(n) in the place of the n-th [MASK]."""
    ids = []
    for n, part in enumerate(prompt.split(HIDDEN)):
        if n:
            hidden = id_of(n - 1)
            if hidden is None:
                raise DataError(f"the vocabulary of this model has no {HIDDEN}: leave it out")
            ids.append(hidden)
        ids += tokenizer.encode(part).tolist()
    return ids
