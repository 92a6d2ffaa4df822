"""A word merge by merge, as byte-pair encoding puts it together   (Sennrich, Haddow & Birch 2016).

Encoding begins with bytes and joins, again and again, the pair that was learnt first. Every pair
of neighbors is shown with the rank of its merge, so that the choice can be followed. Read first:
tokenizers/bpe.py.
"""

from tinylm.explore.at_hand import AtHand, Unsuitable
from tinylm.explore.page import Figure, source_of
from tinylm.explore.values import token
from tinylm.tokenizers import BPETokenizer
from tinylm.tokenizers.base import utf8
from tinylm.tokenizers.bpe import merge_steps
from tinylm.tokenizers.published.models import MergeModel
from tinylm.tokenizers.published.pipeline import PipelineTokenizer

TEXT = " international understanding"  # without a prompt
MOST_PIECES = 12
LONGEST = 32  # bytes of a piece


def can_merge(tokenizer: object) -> bool:
    """True for byte-pair encoding, our own or of a published tokenizer.json."""
    if isinstance(tokenizer, PipelineTokenizer):
        return isinstance(tokenizer.model, MergeModel)
    return isinstance(tokenizer, BPETokenizer)


def _pieces(tokenizer, text):
    """The pieces of a text as the tokenizer takes them: bytes, or for a published one text."""
    if isinstance(tokenizer, BPETokenizer):
        return [utf8(piece) for piece in tokenizer.pattern.pieces(text)]
    return tokenizer.pieces(text)


def merges_of(tokenizer: object, text: str) -> list[dict]:
    """How the pieces of a text are encoded.

    tokenizer  of can_merge()
    returns  list of {"piece": as of values.token, "ids": of the result, "steps": list of {"tokens",
             "sizes": bytes of each, "ranks": of each pair of neighbors, None where no merge joins
             them, "place": the pair that is merged, "rank"}}; the last of the steps is the result,
             with place -1. Pieces come once, at most 12 of them, of at most 32 bytes
    """
    found = []
    for piece in dict.fromkeys(_pieces(tokenizer, text)):
        ids = tokenizer.encode_piece(piece)
        data = b"".join(map(tokenizer.token_bytes, ids))
        if len(found) == MOST_PIECES or not 0 < len(data) <= LONGEST:
            continue
        steps = [_step(tokenizer, *step) for step in tokenizer.steps_of_piece(piece)]
        none = [None] * (len(ids) - 1)  # no pair of the result was learnt
        found.append(
            {
                "piece": token(data),
                "ids": ids,
                "steps": [*steps, _step(tokenizer, ids, none, -1)],
            }
        )
    return found


def _step(tokenizer, ids, ranks, place):
    names = [token(tokenizer.token_bytes(i)) for i in ids]
    sizes = [len(tokenizer.token_bytes(i)) for i in ids]
    rank = ranks[place] if place >= 0 else None
    return {"tokens": names, "sizes": sizes, "ranks": ranks, "place": place, "rank": rank}


def figures(at_hand: AtHand) -> list[Figure]:
    """The pieces of the prompt with the tokenizer at hand.

    raises   Unsuitable for a tokenizer that does not merge
    """
    tokenizer = at_hand.tokenizer
    if not can_merge(tokenizer):
        kind = type(tokenizer).__name__
        raise Unsuitable(f"needs a tokenizer of byte-pair encoding, not a {kind}")
    text = at_hand.text or TEXT
    pieces = merges_of(tokenizer, text)
    if not pieces:
        raise Unsuitable(f"needs a word of at most {LONGEST} bytes in the prompt")
    merges = tokenizer.merges if isinstance(tokenizer, BPETokenizer) else tokenizer.model.merges
    data = {"pieces": pieces, "vocabulary": tokenizer.vocab_size, "merges": len(merges)}
    about = (
        "A word begins as bytes; of all pairs of neighbors the one that was learnt first is "
        f"joined, until no pair was learnt. Code: `{source_of(merge_steps)}`."
    )
    return [Figure("merges", "A word, merge by merge", about, data)]
