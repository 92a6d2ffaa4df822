"""Self-consistency: sample several chains of thought, and vote on their answers   (book section
3.2.4; Wang et al. 2023).

    Pr(a | x) = sum over r of Pr(a, r | x)      a = argmax, estimated by the votes of m samples

Many ways of reasoning r lead to one answer a; greedy decoding follows one of them. The vote sums
over all, so it is the answers, not the texts, that are compared, and numbers by their value. Read
next: outputs.py; bayes_risk.py, of which a vote is one case.
"""

import math

import numpy as np

from tinylm.errors import ConfigError
from tinylm.prompt.answer import Answer
from tinylm.prompt.ensemble.combine import vote
from tinylm.prompt.ensemble.paths import sample_paths
from tinylm.prompt.evaluation.judge import answer_key


def path_weights(replies, kind="count"):
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
    lm,
    item,
    demonstrations=(),
    *,
    seed=0,
    max_tokens=256,
    samples=10,
    temperature=0.7,
    weights="count",
    key=answer_key,
    **options,
):
    """Sample chains of thought and return the answer that most of them reach   (Wang et al. 2023)

    demonstrations  Items with rationales; none: the reply begins with "Let's think step by step."
    samples         number of chains m, at the temperature
    weights         of the votes, as in path_weights
    key             function: answer -> what is compared
    options         of sample_paths: prompt, trigger, extract, read
    returns         Answer, its text a chain that reaches the answer; details: answers (None where
                    a chain reached none), shares and confidence of the vote, and texts
    """
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
    ballot = vote(answers, path_weights(replies, weights), key)
    details = {
        "answers": answers,
        "shares": ballot.shares,
        "confidence": ballot.confidence,
        "texts": [reply.text for reply in replies],
    }
    # No chain reached an answer: none is guessed.
    if ballot.value is None:
        return Answer(None, replies[-1].text, details)
    chosen = answers.index(ballot.value)  # the winner is spelt as one of the answers
    return Answer(ballot.value, replies[chosen].text, details)


# The law of the vote, for answers that are drawn independently.


def majority_law(q, m):
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


def vote_law(probabilities, m):
    """The distribution of the winner of m votes among any number of answers: {answer: float}.

    probabilities  {answer: Pr(a | x)}, of None: that a sample has no answer, and so no vote; ties
                   are decided as in vote()
    m              independent samples
    returns        None wins where no sample has an answer
    """
    # The votes are multinomial, P(n) = m! prod_a p_a^n_a / n_a!, so the probability of a set of
    # counts is m! times the coefficient of x^m in a product of sums  e_a = sum_j (p_a x)^j / j!
    # over the counts j that a may have.
    factorials = [math.factorial(j) for j in range(m + 1)]
    answers = sorted(answer for answer in probabilities if answer is not None)
    law = dict.fromkeys(probabilities, 0.0)
    if None in law:
        law[None] = probabilities[None] ** m

    def series(answer, most):
        p = probabilities.get(answer, 0.0)
        terms = [p**j / factorials[j] if j <= most else 0.0 for j in range(m + 1)]
        return np.array(terms)

    def times(a, b):
        return np.convolve(a, b)[: m + 1]

    for c in range(1, m + 1):
        # The winner has c votes, answers after it in the order of text no more ...
        after = [series(None, 0)]  # the one of this product: only j = 0
        for answer in answers[:0:-1]:
            after.append(times(after[-1], series(answer, c)))
        # ... and answers before it fewer. Of samples without an answer there may be any number.
        before = series(None, m)
        for answer in answers:
            rest = times(before, after.pop())[m - c]
            law[answer] += factorials[m] / factorials[c] * probabilities[answer] ** c * float(rest)
            before = times(before, series(answer, c - 1))
    return law
