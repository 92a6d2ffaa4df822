"""`tinylm bench prompting`: what it saves to read what prompts have in common once, and to generate
in batches.

A model labels made-up reviews after 16 demonstrations, all of whose prompts begin alike, with and
without a store of what was read; and it continues 8 prompts together and one by one. The two ways
take turns, and the result is the ratio within a round. Replies and scores must agree, or it was not
the same work. Read next: prompt/protocol/prefix_store.py.
"""

import statistics
import time

import numpy as np

from tinylm.errors import TinylmError

SHOTS = 16
SCORED, SCORED_PLAIN = 48, 8  # reviews in a turn with the store, and without it, where each is slow
TOPICS = "a cat", "the sea", "a train", "a clock", "winter", "two friends", "a key", "the moon"
TOKENS = 32  # of each reply
LABELS = [" negative", " positive"]


def review_prompts(count, shots=SHOTS):
    """`count` prompts to label a review, after the same demonstrations: list of str."""
    from tinylm.data.synthetic.reviews import made_up_reviews

    examples = made_up_reviews(count + shots)
    head = "".join(
        f"Review: {text}\nSentiment:{LABELS[label]}\n\n" for text, label in examples[:shots]
    )
    return [f"{head}Review: {text}\nSentiment:" for text, _ in examples[shots:]]


def story_prompts():
    """The prompts that are continued: list of str."""
    return [f"Write a short story about {topic}." for topic in TOPICS]


def timed(function):
    """(seconds, result) of a call."""
    begun = time.perf_counter()
    result = function()
    return time.perf_counter() - begun, result


def scoring(lm, rounds, shots=SHOTS):
    """Seconds a review, without and with the store: (list, list) of a ratio each.

    raises   TinylmError if the scores differ by more than 1e-3 nats
    """
    prompts = review_prompts(SCORED, shots)
    plain = lm.without_store()
    slow, fast = [], []
    for _ in range(rounds):
        lm.weights_changed()  # an empty store: its first reading is part of the time
        seconds, found = timed(lambda: lm.score_batch(prompts, LABELS))
        fast.append(seconds / len(prompts))
        seconds, others = timed(lambda: plain.score_batch(prompts[:SCORED_PLAIN], LABELS))
        slow.append(seconds / SCORED_PLAIN)
        apart = max(np.abs(a.sums - b.sums).max() for a, b in zip(found, others))
        if apart > 1e-3:
            raise TinylmError(f"bench prompting: scores with the store differ by {apart:.1e} nats")
    return slow, fast


def generation(lm, rounds, tokens=TOKENS):
    """Seconds a token, one prompt at a time and all at once: (list, list).

    raises   TinylmError if the replies differ in more than their last part
    """
    prompts = story_prompts()
    slow, fast = [], []
    for _ in range(rounds):
        seconds, together = timed(lambda: lm.complete_batch(prompts, max_tokens=tokens))
        fast.append(seconds / sum(len(reply.tokens) for reply in together))
        seconds, alone = timed(
            lambda: [lm.complete(prompt, max_tokens=tokens) for prompt in prompts]
        )
        slow.append(seconds / sum(len(reply.tokens) for reply in alone))
        same = [a.tokens[:8] == b.tokens[:8] for a, b in zip(together, alone)]
        # Rounding differs, and where two tokens are as probable the replies may part.
        if sum(same) < len(same) - 1:
            raise TinylmError("bench prompting: replies in a batch are not those of each prompt")
    return slow, fast


def row(name, unit, slow, fast):
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


def bench(name, rounds):
    """Yield the rows of `tinylm bench prompting` for a model."""
    from tinylm.prompt import TextModel

    lm = TextModel.open(name, chat=False)
    scored = f"{SHOTS}-shot labels: each prompt whole, the common part once"
    yield row(scored, "ms a review", *scoring(lm, rounds))
    lm.weights_changed()
    yield row("8 prompts: one by one, together", "ms a token", *generation(lm, rounds))


def line(found):
    """A row as text."""
    return (
        f"  {found['name']}: {1e3 * found['slow']:.1f} and {1e3 * found['fast']:.1f} "
        f"{found['unit']}, {found['ratio_median']:.2f} times as fast "
        f"({found['ratio_min']:.2f} .. {found['ratio_max']:.2f})"
    )
