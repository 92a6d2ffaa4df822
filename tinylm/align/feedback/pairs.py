"""Preferences as token ids: two texts with the same prompt, cut where they do not fit.

A prompt x and two responses become [x, y_chosen] and [x, y_rejected], each ending with the mark
that ends a turn. A long text is cut at its end. Two responses may then be the same: such a pair
teaches nothing, but adds ln 2 to the mean loss, so it is left out and counted. Read first:
finetune/instruct/conversations.py, which makes the ids. Read next: ../rewards/modeling.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tinylm.data.read.preferences import Preference
from tinylm.finetune.instruct.conversations import Encoded, encode_conversation
from tinylm.models.published.chat.builtin import ChatTemplate
from tinylm.tokenizers.base import Tokenizer


@dataclass(frozen=True)
class EncodedPair:
    """Two texts with the mask of their responses.

    chosen, rejected  Encoded
    probability       that the chosen one is preferred: 1 unless the label is soft
    margin            how much better it is known to be
    other, reference  what losses of preference add: see ../preference/pairs.py
    """

    chosen: Encoded
    rejected: Encoded
    probability: float = 1.0
    margin: float = 0.0
    other: Encoded | None = None
    reference: np.ndarray | None = None


@dataclass(frozen=True)
class LeftOut:
    """Numbers (from 0) of pairs that were changed or left out, in order.

    cut        a text was longer than the limit; the pair is still there
    identical  both texts are the same, perhaps since they were cut: left out
    empty      the limit leaves no token of a response: left out
    """

    cut: tuple = ()
    identical: tuple = ()
    empty: tuple = ()


def encode_pairs(
    tokenizer: Tokenizer,
    template: ChatTemplate,
    pairs: Sequence[Preference],
    limit: int | None = None,
    begin: int | None = None,
) -> tuple:
    """Preferences as examples for RewardModeling and for losses of preference.

    tokenizer  with the marks of the template
    template   ChatTemplate
    pairs      Preferences (data/read/preferences.py); those of formats.py may have a probability
               and a margin
    limit      most tokens of a text; None: any number
    begin      id put before each text, or None
    returns    (list of EncodedPair, LeftOut)
    """
    examples, cut, identical, empty = [], [], [], []
    for number, pair in enumerate(pairs):
        texts = []
        for messages in pair.conversations():
            one = encode_conversation(tokenizer, template, messages, turns="last")
            if begin is not None:
                one = Encoded(np.append(begin, one.ids), np.append(False, one.answer))
            texts.append(one)
        kept = [Encoded(one.ids[:limit], one.answer[:limit]) for one in texts]
        if any(len(after) < len(before) for after, before in zip(kept, texts)):
            cut.append(number)
        if not all(one.answer.any() for one in kept):
            empty.append(number)
            continue
        if np.array_equal(kept[0].ids, kept[1].ids):
            identical.append(number)
            continue
        given = getattr(pair, "probability", 1.0), getattr(pair, "margin", 0.0)
        examples.append(EncodedPair(*kept, *given))
    return examples, LeftOut(tuple(cut), tuple(identical), tuple(empty))
