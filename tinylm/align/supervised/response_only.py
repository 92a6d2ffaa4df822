"""Tuning on answers without their instructions   (book section 4.2.3; Hewitt et al. 2024).

    maximize the sum over y of log Pr(y)          instead of log Pr(y | x)

A model that is tuned so follows instructions too: it learns how answers look, and what belongs to
which question it knows already. The sample is that of fine-tuning with nothing but the start token
for x; it is also how a text of pre-training is put among instructions. Read next: mitigations.py,
which replays such texts.
"""

from collections.abc import Sequence

import numpy as np

from tinylm.errors import DataError
from tinylm.finetune.instruct.conversations import Encoded, encode_sft


def response_only(encoded: Encoded, begin: int) -> Encoded:
    """The first answer of a sample, after the start token alone   (Hewitt et al. 2024)

    encoded  Encoded; its prompt is left out
    begin    id of the start token
    returns  Encoded, as encode_sft([begin], y)
    raises   DataError if no token is an answer
    """
    return encode_sft([begin], encoded.first_answer())


def plain_text(ids: Sequence[int]) -> Encoded:
    """A text as in pre-training: all its tokens count but the first, which nothing predicts.

    ids      (T,), two or more, the start token first
    returns  Encoded
    raises   DataError for fewer than two tokens
    """
    ids = np.asarray(ids, np.int64)
    if len(ids) < 2:
        raise DataError(f"plain_text: {len(ids)} tokens; the second is the first that is predicted")
    return Encoded(ids, np.arange(len(ids)) > 0)
