"""`tinylm bench prompting`: what it saves to read what prompts have in common once, and to generate
in batches.

A model labels reviews, made up or of a file, after 16 demonstrations with which all prompts begin,
with and without a store of what was read; and it continues 8 prompts together and one by one. The
two ways take turns, and the result is the ratio within a round. Replies and scores must agree, or
it was not the same work. Where transformers is installed it does the same with the same weights and
its own cache (peer_transformers.py). Read next: prompt/protocol/prefix_store.py.
"""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tinylm.errors import DataError, TinylmError

if TYPE_CHECKING:
    from tinylm.prompt.protocol.model import TextModel


SHOTS = 16
SCORED, SCORED_PLAIN = 48, 8  # reviews in a turn with the store, and without it, where each is slow
HEROES = "a cat", "an old man", "a train", "a clock", "a king", "a girl", "a key", "a moon"
TOKENS = 32  # of each reply
LABELS = [" negative", " positive"]
REVIEW = "ms a review"


def review_prompts(
    count: int, shots: int = SHOTS, examples: Sequence[tuple[str, int]] | None = None
) -> list[str]:
    """`count` prompts to label a review, after the same demonstrations: list of str.

    examples  list of (text, label 0 or 1), of which the first `shots` are shown; None: made up
    """
    from tinylm.data.synthetic.reviews import made_up_reviews

    if examples is None:
        examples = made_up_reviews(count + shots)
    head = "".join(
        f"Review: {text}\nSentiment:{LABELS[label]}\n\n" for text, label in examples[:shots]
    )
    return [f"{head}Review: {text}\nSentiment:" for text, _ in examples[shots : shots + count]]


def labeled_reviews(path: str | Path, shots: int = SHOTS) -> list[tuple[str, int]]:
    """The reviews of a file of bench prompting --data: list of (text, label).

    raises  DataError for labels other than 0 and 1, or too few lines for the demonstrations
    """
    from tinylm.data.read.labeled import read_labeled

    examples = read_labeled(path)
    if {label for _, label in examples} - {0, 1}:
        raise DataError(f"{path}: the labels of reviews are 0, negative, and 1, positive")
    if len(examples) <= shots + SCORED_PLAIN:
        raise DataError(
            f"{path} has {len(examples)} reviews: give more than the {shots} that are shown and "
            f"the {SCORED_PLAIN} that are labelled without the store"
        )
    return examples


def story_prompts() -> list[str]:
    """The prompts that are continued, beginnings that a model goes on from: list of str."""
    return [f"Once upon a time there was {hero} that" for hero in HEROES]


def timed(function: Callable) -> tuple[float, list]:
    """(seconds, result) of a call."""
    begun = time.perf_counter()
    result = function()
    return time.perf_counter() - begun, result


def scoring(
    lm: "TextModel",
    rounds: int,
    shots: int = SHOTS,
    peer: Any = None,
    examples: Sequence[tuple[str, int]] | None = None,
) -> tuple[list[float], list[float], list]:
    """Seconds a review, without the store, with it, and of the peer: three lists of `rounds`.

    peer      TransformersPeer, or None: the third list is empty
    examples  of labeled_reviews(), all of which are labelled but those shown; None: made up
    raises    TinylmError if the scores differ by more than 1e-3 nats
    """
    count = SCORED
    if examples is not None:
        count = len(examples) - shots
    prompts = review_prompts(count, shots, examples)
    plain = lm.without_store()
    slow, fast, theirs = [], [], []
    # All ways take turns in a round: a busy minute of the machine slows them alike.
    for _ in range(rounds):
        lm.weights_changed()  # an empty store: its first reading is part of the time
        seconds, found = timed(lambda: lm.score_batch(prompts, LABELS))
        fast.append(seconds / len(prompts))
        sums = np.array([scores.sums for scores in found])  # (n, labels)
        seconds, others = timed(lambda: plain.score_batch(prompts[:SCORED_PLAIN], LABELS))
        slow.append(seconds / SCORED_PLAIN)
        same_scores("without the store", sums, np.array([scores.sums for scores in others]))
        if peer:
            seconds, others = timed(lambda: peer.score(prompts, LABELS))
            theirs.append(seconds / len(prompts))
            same_scores("of transformers", sums, others)
    return slow, fast, theirs


def same_scores(name: str, found: np.ndarray, others: np.ndarray) -> None:
    """Raise TinylmError unless the scores agree, as far as there are others."""
    apart = np.abs(found[: len(others)] - others).max()
    if not apart <= 1e-3:
        raise TinylmError(f"bench prompting: scores {name} differ by {apart:.1e} nats")


def generation(
    lm: "TextModel", rounds: int, tokens: int = TOKENS, peer: Any = None
) -> tuple[list[float], list[float], list]:
    """Seconds a token: one prompt at a time, all at once, and all at once by the peer: three lists.

    raises   TinylmError if replies end early, or differ in more than their last part
    """
    prompts = story_prompts()
    slow, fast, theirs = [], [], []
    for _ in range(rounds):
        seconds, together = timed(lambda: lm.complete_batch(prompts, max_tokens=tokens))
        replies = [list(reply.tokens) for reply in together]
        if sum(map(len, replies)) < len(prompts) * tokens / 2:
            # The time would be that of reading the prompts.
            raise TinylmError("bench prompting: this model ends most of its stories at once")
        fast.append(seconds / sum(map(len, replies)))
        seconds, alone = timed(
            lambda: [lm.complete(prompt, max_tokens=tokens) for prompt in prompts]
        )
        slow.append(seconds / sum(len(reply.tokens) for reply in alone))
        same_replies("of each prompt alone", replies, [list(reply.tokens) for reply in alone])
        if peer:
            seconds, others = timed(lambda: peer.generate(prompts, tokens))
            theirs.append(seconds / sum(map(len, others)))
            same_replies("of transformers", replies, others)
    return slow, fast, theirs


def same_replies(name: str, replies: Sequence[list[int]], others: Sequence[list[int]]) -> None:
    """Raise TinylmError unless all replies but one begin with the same tokens.

    Rounding differs, and where two tokens are as probable the replies may part.
    """
    same = [a[:8] == b[: len(a)][:8] for a, b in zip(replies, others)]
    if sum(same) < len(same) - 1:
        raise TinylmError(f"bench prompting: replies in a batch are not those {name}")


def row(name: str, unit: str, slow: Any, fast: Any) -> dict[str, Any]:
    """A dict of the figures of one comparison."""
    ratios = [a / b for a, b in zip(slow, fast)]
    return {
        "name": name,
        "unit": unit,
        "slow": statistics.median(slow),
        "fast": statistics.median(fast),
        "ratio_min": min(ratios),
        "ratio_median": statistics.median(ratios),
        "ratio_max": max(ratios),
    }


def bench(name: str, rounds: int, peers: bool = True, data: Any = None) -> Iterator[dict[str, Any]]:
    """Yield the rows of `tinylm bench prompting` for a model.

    peers  whether transformers takes its turns, if it is installed
    data   file of labelled reviews, or None
    """
    from tinylm.prompt import TextModel

    examples = None
    if data:
        examples = labeled_reviews(data)
    lm = TextModel.open(name, chat=False)
    peer = None
    if peers and find_spec("torch") and find_spec("transformers"):
        from tinylm.cli.measure.peer_transformers import TransformersPeer

        peer = TransformersPeer(lm)
    slow, fast, theirs = scoring(lm, rounds, peer=peer, examples=examples)
    yield row(f"{SHOTS}-shot labels: each prompt whole, the common part once", REVIEW, slow, fast)
    if theirs:
        yield row(f"{SHOTS}-shot labels: transformers with a cache, tinylm", REVIEW, theirs, fast)
    lm.weights_changed()
    slow, fast, theirs = generation(lm, rounds, peer=peer)
    yield row("8 prompts: one by one, together", "ms a token", slow, fast)
    if theirs:
        yield row("8 prompts together: transformers, tinylm", "ms a token", theirs, fast)


def line(found: dict[str, Any]) -> str:
    """A row as text."""
    return (
        f"  {found['name']}: {1e3 * found['slow']:.1f} and {1e3 * found['fast']:.1f} "
        f"{found['unit']}, {found['ratio_median']:.2f} times as fast "
        f"({found['ratio_min']:.2f} .. {found['ratio_max']:.2f})"
    )
