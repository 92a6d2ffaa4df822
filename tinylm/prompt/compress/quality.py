"""What a shorter prompt costs: answers that change, probabilities that move   (book section 3.3.3).

    agreement = share of items with the same answer after both prompts
    divergence = KL(p || q) = sum over y of p(y) (log p(y) - log q(y))

with p the model's distribution over answers after the full prompt, q after the short one. A
method must be better than deleting as many tokens at random, or it has found nothing: this baseline
is here for all of them. Read first: compressed.py.
"""

from dataclasses import dataclass

import numpy as np

from tinylm.errors import ConfigError
from tinylm.generate.protocol.score import log_probabilities
from tinylm.prompt.compress.compressed import Compressed
from tinylm.prompt.compress.information import split_units
from tinylm.prompt.optimize.measures import TaskMetric


@dataclass(frozen=True)
class Quality:
    """A short prompt against the full one.

    ratio       tokens of the short prompt / tokens of the full one
    saved       tokens that each use saves
    agreement   share of items with the same answer
    divergence  KL in nats, the mean over items
    """

    ratio: float
    saved: int
    agreement: float
    divergence: float


def agreement(lm, full, short, items, **options):
    """Share of items that two instructions lead to the same answer; no gold answers are used.

    full, short  instructions
    options      of optimize.measures.TaskMetric: form, demonstrations, max_tokens
    """
    measure = TaskMetric(lm, **options)
    both = [measure.answers([(text, item) for item in items]) for text in (full, short)]
    return float(np.mean([a == b for a, b in zip(*both)]))


def option_divergence(lm, full, short, items, **options):
    """KL between the distributions over an item's options, the mean over items: float, nats.

    items  Items with options
    """
    measure = TaskMetric(lm, **options)
    endings = [
        [measure.form.continuation(item, option) for option in item.options] for item in items
    ]
    found = []
    for text in (full, short):
        prompts = [measure.prompt(text, item) for item in items]
        found.append(lm.score_batch(prompts, endings))
    divergences = []
    for scores in zip(*found):
        log_p, log_q = (log_probabilities(one.sums) for one in scores)  # over the options alone
        possible = log_p > -np.inf  # 0 log 0 is 0
        log_p, log_q = log_p[possible], log_q[possible]
        divergences.append(np.sum(np.exp(log_p) * (log_p - log_q)))
    return float(np.mean(divergences))


def sampled_divergence(lm, full, short, items, samples=4, seed=0, max_tokens=16, **options):
    """KL between the distributions over replies, estimated without bias:

        1/n sum over replies y drawn after the full prompt of log p(y) - log q(y)

    Replies are texts up to `max_tokens` tokens; an empty one is left out.
    """
    measure = TaskMetric(lm, **options)
    differences = []
    for i, item in enumerate(items):
        prompts = [measure.prompt(text, item) for text in (full, short)]
        replies = lm.sample(prompts[0], samples, seed + samples * i, max_tokens=max_tokens)
        texts = [reply.text for reply in replies if reply.text]
        if not texts:
            continue
        # E over y ~ p of log p(y) - log q(y) is KL(p || q); single terms may be negative.
        p, q = lm.score_batch(prompts, texts)
        differences += list(p.sums - q.sums)
    return float(np.mean(differences))


def quality(lm, full, short, items, **options):
    """Quality of a short instruction in place of a full one.

    items    Items. If all of them have options, the divergence is exact, over the options; else it
             is that of replies, from samples
    options  of TaskMetric
    """
    lengths = Compressed.of(lm, full, short)
    same = agreement(lm, full, short, items, **options)
    divergence = sampled_divergence
    if all(item.options for item in items):
        divergence = option_divergence
    found = divergence(lm, full, short, items, **options)
    return Quality(lengths.ratio, lengths.saved, same, found)


def random_deletion(lm, text, tokens, rng):
    """A text without random tokens, of about `tokens` tokens that stay: the baseline.

    tokens   how many stay, 0 .. all
    rng      numpy generator
    returns  Compressed
    raises   ConfigError for another number
    """
    units = split_units(lm.token_texts(text), "token")
    if not 0 <= tokens <= len(units):
        raise ConfigError(f"random_deletion: {tokens} of {len(units)} tokens cannot stay")
    kept = np.sort(rng.permutation(len(units))[:tokens])
    return Compressed.of(lm, text, "".join(units[i] for i in kept))


def against_random(lm, full, short, items, rng, draws=5, **options):
    """(Quality of a short instruction, list of `draws` Quality of random ones of equal length)."""
    found = []
    for _ in range(draws):
        # As many tokens as the short prompt has, of the full one.
        random = random_deletion(lm, full, lm.count(short), rng)
        found.append(quality(lm, full, random.text, items, **options))
    return quality(lm, full, short, items, **options), found
