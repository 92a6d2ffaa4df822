"""The next token: the model's own probabilities, what sampling makes of them, and the logit lens.

The logits travel as they are, float32, and the page applies temperature, top-k, top-p and min-p to
them as generate/sample.py does, so that the reader can turn each. The lens reads every layer
through the model's last norm and output: what it would predict if it ended there (nostalgebraist
2020; as an early exit, finetune/compress/token_exit.py). An encoder is read at its [MASK]s. Read
next: web/next_token.js.
"""

import numpy as np

from tinylm.autograd import no_grad
from tinylm.errors import ConfigError
from tinylm.explore.at_hand import AtHand, Unsuitable
from tinylm.explore.page import Figure, source_of
from tinylm.explore.reading import Reading
from tinylm.finetune.compress.token_exit import TokenExit
from tinylm.generate.sample import filtered, probabilities

ROOM = 240_000  # bytes of logits that travel; those of the last position always do
NAMED = 60  # tokens of a position that have a name on the page: more bars say nothing
BEST = 8  # tokens of a layer that the lens shows
PLACES = 32  # positions of the lens, the last ones


def figures(at_hand: AtHand) -> list[Figure]:
    """The figure of the next token; of an encoder, of its hidden tokens."""
    reading = at_hand.reading
    if reading.kind == "encoder" and reading.model.config.head not in ("token", "token_plain"):
        raise Unsuitable("this encoder has no head that predicts tokens")
    text = (
        "The probability of every next token (eq. 2.1 of the book), before and after the filters "
        f"of `{source_of(filtered)}`, which the page recomputes as you turn them. Below, what each "
        f"layer would predict through the last norm and output, `{source_of(TokenExit)}`: "
        "the logit lens."
    )
    title = "The next token"
    if reading.kind == "encoder-decoder":
        title = "The next token of the target"
    if not reading.ahead:
        title = "Hidden tokens"
        text = text.replace("every next token (eq. 2.1", "every token at a place (eq. 1.9")
    return [Figure("next_token", title, text, traced(at_hand, reading))]


def traced(at_hand: AtHand, reading: Reading) -> dict:
    """The numbers of the figure.

    returns  {"ahead", "tokens": of the text (T,), "places": (n,) positions that are predicted from,
             "logits": {position: (V,)} for as many as fit, the last first, "lens": None, or
             {"layers": L, "ids": (L, n, BEST), "probabilities": the same shape, "final": (L, n) the
             probability of what the last layer prefers, "rank": (L, n) its rank, from 1},
             "names": {id: token}, "vocabulary": V, "why": reason if there is no lens}
    """
    text = reading.target if reading.kind == "encoder-decoder" else reading.ids
    places = np.arange(len(text))[-PLACES:]
    if reading.kind == "encoder" and len(reading.hidden):
        places = reading.hidden[-PLACES:]
    elif reading.kind == "encoder" and reading.ahead:
        places = places[-1:]  # the others have seen what comes next
    layers, why = _layers(reading, places)
    last = layers[-1]  # (n, V)
    kept = max(1, ROOM // last[0].nbytes)
    named = set()
    for row in last[-kept:]:
        named |= set(np.argsort(-row, kind="stable")[:NAMED].tolist())
    lens = None
    if why is None:
        lens = lens_of(layers)
        named |= set(np.ravel(lens["ids"]).tolist())
    return {
        "ahead": reading.ahead,
        "tokens": at_hand.tokens(text),
        "places": places,
        "logits": {str(p): row for p, row in list(zip(places, last))[-kept:]},
        "lens": lens,
        "why": why,
        "names": {str(i): token for i, token in zip(sorted(named), at_hand.tokens(sorted(named)))},
        "vocabulary": last.shape[-1],
    }


def lens_of(layers: list[np.ndarray]) -> dict:
    """What each layer would predict: arrays of "lens" in traced().

    layers   logits (n, V) of each layer, the model's own last
    """
    final = layers[-1].argmax(axis=-1)  # (n,)
    ids, shares, chosen, rank = [], [], [], []
    for logits in layers:
        share = probabilities(logits)  # (n, V) float64
        best = np.argsort(-logits, axis=-1, kind="stable")[:, :BEST]
        own = np.take_along_axis(logits, final[:, None], axis=-1)
        ids.append(best)
        shares.append(np.take_along_axis(share, best, axis=-1))
        chosen.append(np.take_along_axis(share, final[:, None], axis=-1)[:, 0])
        rank.append(1 + (logits > own).sum(axis=-1))
    return {
        "layers": len(layers),
        "ids": np.stack(ids),
        "probabilities": np.stack(shares),
        "final": np.stack(chosen),
        "rank": np.stack(rank),
    }


def _layers(reading, places):
    """([logits (n, V) of each layer at these places], None); if there is no lens, those of the
    last layer alone and the reason.
    """
    model, ids = reading.model, reading.ids[None]
    with no_grad():
        if reading.kind == "encoder-decoder":
            logits = model(ids, reading.target[None]).numpy()
            return [logits[0, places]], "a lens is made for models with one stack of layers"
        if reading.kind == "encoder":
            streams = list(model.layers(ids))
            if model.norm is not None:  # of the last alone it is normed already
                streams[:-1] = [model.norm(h) for h in streams[:-1]]
            return [model.logits(h[:, places]).numpy()[0] for h in streams[1:]], None
        try:
            exits = TokenExit(model)
        except ConfigError as error:
            own = model.logits(model.hidden(ids)[:, places]).numpy()[0]
            return [own], str(error)
        return [model.logits(h[:, places]).numpy()[0] for h in exits.layers(ids)], None
