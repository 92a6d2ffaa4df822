"""What a shorter prompt costs: answers that change, probabilities that move   (book section 3.3.3).

    agreement = share of items with the same answer after both prompts
    divergence = KL(p || q) = sum over y of p(y) (log p(y) - log q(y))

with p the model's distribution over answers after the full prompt, q after the short one. A
method must be better than deleting as many tokens at random, or it has found nothing: this baseline
is here for all of them. Read first: compressed.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinylm.data.read.items import Item
from tinylm.errors import ConfigError
from tinylm.generate.protocol.score import log_probabilities
from tinylm.prompt.compress.compressed import Compressed
from tinylm.prompt.compress.information import split_units
from tinylm.prompt.ensemble.models import check_text_model
from tinylm.prompt.evaluation.judge import answer_key
from tinylm.prompt.optimize.measures import TaskMetric
from tinylm.prompt.protocol.score_rows import score_rows
from tinylm.prompt.protocol.text_lm import TextLM


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


def agreement(lm: TextLM, full: str, short: str, items: Sequence[Item], **options: Any) -> float:
    """Share of items that two instructions lead to the same answer, in any notation (answer_key of
    evaluation/judge.py); no gold answers are used.

    full, short  instructions
    options      of optimize.measures.TaskMetric: form, demonstrations, max_tokens
    """
    measure = TaskMetric(lm, **options)
    both = [measure.answers([(text, item) for item in items]) for text in (full, short)]
    return float(np.mean([answer_key(a) == answer_key(b) for a, b in zip(*both)]))


def option_divergence(
    lm: TextLM, full: str, short: str, items: Sequence[Item], **options: Any
) -> float:
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


def sampled_divergence(
    lm: TextLM,
    full: str,
    short: str,
    items: Sequence[Item],
    samples: int = 4,
    seed: int = 0,
    max_tokens: int = 16,
    **options: Any,
) -> float:
    """KL between the distributions over replies, estimated without bias:

        1/n sum over replies y drawn after the full prompt of log p(y) - log q(y)

    A reply is a sequence of at most `max_tokens` tokens. The token that ends it is one of them, so
    an empty reply counts too: a short prompt may change when the model stops.

    lm      TextModel
    raises  ConfigError for another TextLM, which shows no tokens
    """
    check_text_model("sampled_divergence", lm)
    measure = TaskMetric(lm, **options)
    differences = []
    for i, item in enumerate(items):
        prompts = [measure.prompt(text, item) for text in (full, short)]
        replies = lm.sample(prompts[0], samples, seed + samples * i, max_tokens=max_tokens)
        # E over y ~ p of log p(y) - log q(y) is KL(p || q); single terms may be negative.
        tokens = [reply.tokens for reply in replies]
        p, q = (token_scores(lm, prompt, tokens) for prompt in prompts)
        differences += list(p - q)
    return float(np.mean(differences))


def token_scores(lm: TextLM, prompt: str, replies: Sequence[list[int]]) -> np.ndarray:
    """log Pr of replies after a prompt, given as tokens, so that an end token counts: (n,) float64.

    lm       TextModel;  replies  n lists of ids, none of them empty
    """
    ids = lm.ids(prompt)
    (terms,) = score_rows(lm.lm, [ids], [replies])
    lm.account.add(calls=1, prompt_tokens=len(ids), read_tokens=len(ids))
    lm.account.add(scored_tokens=sum(map(len, replies)))
    return np.array([one.sum() for one in terms])


def quality(lm: TextLM, full: str, short: str, items: Sequence[Item], **options: Any) -> Quality:
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


def random_deletion(lm: TextLM, text: str, tokens: int, rng: np.random.Generator) -> Compressed:
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


def against_random(
    lm: TextLM,
    full: str,
    short: str,
    items: Sequence[Item],
    rng: np.random.Generator,
    draws: int = 5,
    **options: Any,
) -> tuple:
    """(Quality of a short instruction, list of `draws` Quality of random ones of equal length)."""
    found = []
    # As many tokens as the short prompt has, of the full one; in some tokenizers two tokens are one
    # character, and stay together.
    tokens = min(lm.count(short), len(split_units(lm.token_texts(full), "token")))
    for _ in range(draws):
        random = random_deletion(lm, full, tokens, rng)
        found.append(quality(lm, full, random.text, items, **options))
    return quality(lm, full, short, items, **options), found
