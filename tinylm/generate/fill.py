"""What may stand at the hidden places of a text   (book sections 1.2.2, 1.2.3; Taylor 1953, cloze)

    hidden_logits     an encoder reads both sides at once and scores every token at every place
    written_logits    a decoder that predicts hidden tokens, or rewrites the text, scores them one
                      after the other
    best_written      the most probable texts that an encoder-decoder writes; `spans` cuts them at
                      sentinels
    best_continued    the same of a decoder

Several hidden tokens are predicted independently by an encoder, as it was trained: each is the best
for itself, not with the others. A decoder has read its earlier choices. Read next:
prompt/protocol/filler.py, the same on text; tinylm/cli/use/fill.py.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinylm import backend
from tinylm.backend import ArrayLike
from tinylm.generate.protocol.conditional import Conditional
from tinylm.generate.protocol.language_model import Model
from tinylm.generate.strategies.beam import beam_search
from tinylm.models.encoder.encoder import Electra
from tinylm.models.encoder.xlnet import XLNet
from tinylm.nn.module import Module


def hidden_logits(model: Module, ids: np.ndarray, places: np.ndarray, **options: Any) -> np.ndarray:
    """Scores of all tokens at hidden places.

    model    Encoder, Electra (whose generator predicts tokens) or XLNet, in evaluation mode
    ids      (T,) integers, with [MASK] at the places; XLNet does not read what stands there
    places   (n,) positions
    options  segments, languages: (1, T), as the model takes them
    returns  (n, V)
    """
    if isinstance(model, XLNet):
        return _permuted_logits(model, ids, places)
    if isinstance(model, Electra):
        model = model.generator
    given = {name: _on(model, value) for name, value in options.items()}
    states = model.hidden(_on(model, ids[None]), **given)[:, places]  # (1, T, D) -> (1, n, D)
    return model.logits(states).numpy()[0]


def _on(model, ids):
    """Integers on the device of a model."""
    return backend.to_device(ids, model.parameters()[0].device)


def _permuted_logits(model, ids, places):
    """(n, V) logits of an XLNet at n places. It reads no [MASK]: for each place, the order of
    prediction puts the visible tokens first, then that place, then the other hidden ones.
    """
    others = np.setdiff1d(np.arange(len(ids)), places)
    rows = []
    for place in places:
        order = np.concatenate([others, [place], places[places != place]])
        logits = model(_on(model, ids[None]), order=order[None])  # (1, T, V)
        rows.append(logits.numpy()[0, place])
    return np.stack(rows)


def written_logits(
    model: Module,
    source: np.ndarray,
    row: np.ndarray,
    places: np.ndarray,
    start: int,
    hidden: int | None,
) -> np.ndarray:
    """Scores of all tokens at hidden places by an encoder-decoder, from left to right.

    model    Seq2Seq in evaluation mode
    source   (S,) integers that the encoder reads, [MASK] at the places
    row      (T,) the text that the decoder writes; what stands at the places is not read
    places   (n,) positions in `row`
    start    the id that the decoder reads first
    hidden   the decoder reads this id ([MASK]) for what stood in the text, as where it was trained
             on hidden tokens alone   (book section 1.2.3.1, MASS); None: it reads the text itself
    returns  (n, V): row k after the best tokens of the places before
    """
    reads = row.copy()
    if hidden is not None:
        reads[:] = hidden
    rows = []
    for place in places:
        # Before it: what was given, and the best tokens of the places on its left.
        decoder = np.concatenate([[start], reads[:place]])
        read, written = _on(model, source[None]), _on(model, decoder[None])
        logits = model(read, written).numpy()[0, -1]  # (V,)
        rows.append(logits)
        reads[place] = logits.argmax()
    return np.stack(rows)


def best_written(
    model: Module,
    source: np.ndarray,
    start: int,
    end: int,
    count: int,
    longest: int,
    lead: Sequence[int] = (),
) -> list:
    """The most probable texts that an encoder-decoder writes for a source.

    source   (S,) integers
    count    how many;  longest  tokens of a text at most
    lead     ids with which the text begins, given and not scored
    returns  list of Hypothesis (strategies/beam.py), best first
    """
    return best_continued(Conditional(model, source), [start, *lead], end, count, longest)


def best_continued(lm: Model, prompt: list, end: int, count: int, longest: int) -> list:
    """The most probable continuations of a prompt; arguments as in best_written."""
    if lm.config.context is not None:
        longest = max(1, min(longest, lm.config.context - len(prompt)))
    # Twice as many strings as are wanted: the list then changes little with the width.
    return beam_search(lm, prompt, longest, 2 * count, end, count, notice=None)


def spans(tokens: ArrayLike, sentinels: tuple) -> dict:
    """A target of text and sentinels, cut at them   (Raffel et al. 2020).

    tokens   "[X] not to [Y] question [Z]" as ids
    returns  {place of the sentinel in `sentinels`: list of ids behind it}; ids before the first
             sentinel are left out
    """
    found, current = {}, None
    for token in map(int, tokens):
        if token in sentinels:
            current = found.setdefault(sentinels.index(token), [])
        elif current is not None:
            current.append(token)
    return found
