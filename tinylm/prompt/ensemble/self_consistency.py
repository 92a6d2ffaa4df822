"""Self-consistency: sample several chains of thought, and vote on their answers   (book section
3.2.4; Wang et al. 2023).

    Pr(a | x) = sum over r of Pr(a, r | x)      a = argmax, estimated by the votes of m samples

Many ways of reasoning r lead to one answer a; greedy decoding follows one of them. The vote sums
over all, so it is the answers, not the texts, that are compared, and numbers by their value. Read
next: outputs.py; bayes_risk.py, of which a vote is one case.
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinylm.data.read.items import Item
from tinylm.errors import ConfigError
from tinylm.prompt.answer import Answer, check_counts
from tinylm.prompt.ensemble.combine import item_key, vote
from tinylm.prompt.ensemble.paths import sample_paths
from tinylm.prompt.protocol.completion import Completion
from tinylm.prompt.protocol.text_lm import TextLM


def path_weights(replies: Sequence[Completion], kind: str = "count") -> np.ndarray:
    """The weight of each path in the vote: (m,) float64.

    replies  list of Completion
    kind     "count": 1;  "probability": Pr(r, a | x), up to a factor that all share;  "mean":
             Pr(r, a | x)^(1/n) of n tokens, the geometric mean of their probabilities
    raises   ConfigError for another kind

    Samples already come up as often as they are probable. Their probabilities are right as weights
    where every different path is listed once; on samples they make probable paths count twice.
    """
    if kind == "count":
        return np.ones(len(replies))
    logs = np.array([reply.logprob for reply in replies])
    if kind == "mean":
        lengths = np.array([max(1, len(reply.logprobs)) for reply in replies])
        return np.exp(logs / lengths)
    if kind != "probability":
        raise ConfigError(f"path_weights: {kind!r} is none of count, probability, mean")
    return np.exp(logs - logs.max(initial=-np.inf))  # the most probable path weighs 1


def self_consistency(
    lm: TextLM,
    item: Item,
    demonstrations: Sequence[Item] = (),
    *,
    seed: int = 0,
    max_tokens: int = 256,
    samples: int = 10,
    temperature: float = 0.7,
    weights: str | Callable = "count",
    key: Callable | None = None,
    **options: Any,
) -> Answer:
    """Sample chains of thought and return the answer that most of them reach   (Wang et al. 2023)

    demonstrations  Items with rationales; none: the reply begins with "Let's think step by step."
    samples         number of chains m, at the temperature
    weights         of the votes, as in path_weights; or a function (question, text of the chain) ->
                    number, 0 or more, such as a verifier's score (Li et al. 2023)
    key             function: answer -> what is compared; None: task_key of the item
    options         of sample_paths: prompt, trigger, extract, read
    returns         Answer, its text a chain that reaches the answer; details: answers (None where
                    a chain reached none), shares and confidence of the vote, and texts; "kept" and
                    "dropped" demonstrations, if there were any
    """
    check_counts("self_consistency", samples=samples)
    paths = sample_paths(
        lm,
        item,
        demonstrations,
        count=samples,
        seed=seed,
        max_tokens=max_tokens,
        temperature=temperature,
        **options,
    )
    replies, answers = [path.reply for path in paths], [path.answer for path in paths]
    if callable(weights):
        weighed = [weights(item.question, reply.text) for reply in replies]
    else:
        weighed = path_weights(replies, weights)
    ballot = vote(answers, weighed, key or item_key(item))
    details = {
        "answers": answers,
        "shares": ballot.shares,
        "confidence": ballot.confidence,
        "texts": [reply.text for reply in replies],
        **paths[0].fitted,
    }
    # No chain reached an answer: none is guessed.
    if ballot.value is None:
        return Answer(None, replies[-1].text, details)
    chosen = answers.index(ballot.value)  # the winner is spelt as one of the answers
    return Answer(ballot.value, replies[chosen].text, details)


# The law of the vote, for answers that are drawn independently.


def majority_law(q: float, m: int) -> float:
    """Probability that a vote of m finds the right one of two answers: float.

        sum over k > m/2 of C(m, k) q^k (1 - q)^(m - k)      and half of the term k = m/2

    q        probability that one sample is right
    m        samples; a tie, of even m, is decided by a coin
    """
    # k of m samples are right: a binomial number.
    total = 0.0
    for k in range(m + 1):
        term = math.comb(m, k) * q**k * (1 - q) ** (m - k)
        if 2 * k > m:
            total += term
        elif 2 * k == m:
            total += term / 2
    return total


def vote_law(probabilities: dict, m: int) -> dict:
    """The distribution of the winner of m votes among any number of answers: {answer: float}.

    probabilities  {answer: Pr(a | x)}, of None: that a sample has no answer, and so no vote; ties
                   are decided as in vote()
    m              independent samples
    returns        None wins where no sample has an answer
    """
    # The votes are multinomial: P(n) = m! prod over a of p_a^n_a / n_a!.
    factorials = [math.factorial(j) for j in range(m + 1)]

    def weight(answer, j):
        return probabilities[answer] ** j / factorials[j]

    return _law_of_winners(probabilities, m, weight, 1 / factorials[m])


def vote_at_m(counts: Counter, m: int) -> dict:
    """The same law, estimated without bias from samples of an answer each: {answer: float}.

    counts   {answer: how many of N samples have it}, None as in vote_law
    m        votes, at most N
    returns  what m of the N samples vote for, drawn without putting any back. m of N independent
             samples are independent, so the mean is vote_law of the true probabilities, as with
             pass@k (pass_at_k). vote_law(counts / N) is biased: it is no straight line in them
    raises   ConfigError for more votes than samples
    """
    total = sum(counts.values())
    if m > total:
        raise ConfigError(f"vote_at_m: {m} votes of {total} samples; draw more samples")

    # P(n) = prod over a of C(N_a, n_a) / C(N, m). All is over N^m: else floats could overflow.
    def weight(answer, j):
        return math.comb(counts[answer], j) / total**j

    return _law_of_winners(counts, m, weight, math.comb(total, m) / total**m)


def _law_of_winners(names, m, weight, whole):
    # P(n) = prod over a of weight(a, n_a) / whole. The probability of a set of counts is thus the
    # coefficient of x^m in a product of sums  e_a = sum over j of weight(a, j) x^j  over the
    # counts j that a may have.
    answers = sorted(answer for answer in names if answer is not None)
    weights = {answer: [weight(answer, j) for j in range(m + 1)] for answer in names}
    weights.setdefault(None, [1.0] + [0.0] * m)
    law = dict.fromkeys(names, 0.0)
    if None in law:
        law[None] = weights[None][m] / whole

    def series(answer, most):
        terms = np.array(weights[answer])
        terms[most + 1 :] = 0.0
        return terms

    def times(a, b):
        return np.convolve(a, b)[: m + 1]

    for c in range(1, m + 1):
        # The winner has c votes, answers after it in the order of text no more ...
        after = [np.eye(1, m + 1)[0]]  # the one of this product: only j = 0
        for answer in answers[:0:-1]:
            after.append(times(after[-1], series(answer, c)))
        # ... and answers before it fewer. Of samples without an answer there may be any number.
        before = series(None, m)
        for answer in answers:
            rest = times(before, after.pop())[m - c]
            law[answer] += weights[answer][c] * float(rest) / whole
            before = times(before, series(answer, c - 1))
    return law
