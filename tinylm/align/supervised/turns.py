"""A conversation of K answers as training data: K sequences, or one   (book eqs. 4.5 to 4.7).

    sum over k of log Pr(y^k | x^1, y^1, .., y^{k-1}, x^k)

Literally, answer k is scored after a history of its own: K passes, which read the first turns K
times. A causal model predicts the same from one sequence, in which all answers count and no
question does:

    x^1 y^1 x^2 y^2 .. x^K y^K         counted: y^1, .., y^K, each with the mark that ends it

Both have the same loss and gradient, unless the model sees later tokens. For texts and chat
templates see finetune/instruct/conversations.py. Read next: response_only.py.
"""

from collections.abc import Sequence

import numpy as np

from tinylm.errors import DataError
from tinylm.finetune.instruct.conversations import Encoded


def encode_turns(turns: Sequence[tuple[list[int], list[int]]]) -> Encoded:
    """A conversation as one sequence in which every answer counts   (book eqs. 4.6, 4.7)

    turns    list of K pairs (x, y) of ids; x^1 has the token that begins a text, every y the mark
             that ends it. No part may be empty
    returns  Encoded of all x and y; the answers count, so lengths 3, 2, 2, 3 give the targets
             0 0 1 1 0 0 1 1 1
    raises   DataError without turns, or for an empty part
    """
    turns = list(turns)
    if not turns or not all(len(x) and len(y) for x, y in turns):
        sizes = [(len(x), len(y)) for x, y in turns]
        raise DataError(
            f"encode_turns: the turns have {sizes} tokens; each needs one of question and of answer"
        )
    parts = [np.asarray(part, np.int64) for turn in turns for part in turn]  # x^1, y^1, x^2, ..
    lengths = [len(part) for part in parts]
    is_answer = np.arange(len(parts)) % 2 == 1
    return Encoded(np.concatenate(parts), np.repeat(is_answer, lengths))


def one_answer_each(encoded: Encoded) -> list[Encoded]:
    """The K sequences of eq. 4.5: answer k alone counts, after all that comes before it.

    encoded  Encoded of a conversation, see encode_turns() and encode_conversation()
    returns  list of K Encoded; the tokens that count in them are those that count in `encoded`,
             each once
    """
    # +1 where an answer begins, -1 after its end: 0 0 1 1 0 1 -> 0 0 1 0 -1 1, and -1 at the end
    steps = np.diff(encoded.answer.astype(np.int8), prepend=0, append=0)
    starts, stops = np.flatnonzero(steps == 1), np.flatnonzero(steps == -1)
    found = []
    for start, stop in zip(starts, stops):
        found.append(Encoded(encoded.ids[:stop], np.arange(stop) >= start))
    return found
