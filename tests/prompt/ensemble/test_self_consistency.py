"""Self-consistency: chains of thought vote on their answers."""

import itertools
import math
from collections import Counter

import numpy as np
import pytest

from tests.generate.small import chi_square_bound
from tests.prompt.ensemble.sampler import Sampler, reply
from tests.prompt.small import text_model
from tinylm.data.read.items import Item
from tinylm.errors import ConfigError
from tinylm.generate import EnumerableLM
from tinylm.prompt import TextModel
from tinylm.prompt.ensemble.combine import vote
from tinylm.prompt.ensemble.self_consistency import (
    majority_law,
    path_weights,
    self_consistency,
    vote_at_m,
    vote_law,
)
from tinylm.prompt.reasoning.chain_of_thought import zero_shot_cot
from tinylm.prompt.reasoning.conclusion import first_number
from tinylm.tokenizers import CharTokenizer

COINS = Item("Three friends each flip one coin. What is the probability of exactly one head?")
# The three paths of the book: by listing outcomes, by the binomial formula, and a wrong one.
PATHS = [
    " There are 8 outcomes. HTT, THT and TTH have exactly one head. The answer is 3/8.",
    " C(3,1) (0.5)^1 (0.5)^(3-1) = 3 * 0.5 * 0.25. So the answer is 0.375.",
    " Each friend is as likely to have the head as the others. The answer is 1/3.",
]


def test_the_three_paths_of_the_book():
    lm = Sampler(PATHS)
    with lm.tracing() as trace:
        answer = self_consistency(lm, COINS, samples=3, seed=8)
    assert answer.value == "0.375" and answer.details["confidence"] == 2 / 3
    assert answer.details["answers"] == ["3/8", "0.375", "1/3"]
    assert answer.details["shares"] == {"0.375": 2 / 3, "1/3": 1 / 3}
    assert answer.text == PATHS[1] and answer.details["texts"] == PATHS
    assert trace.calls[-1].parsed == [("answers", ["3/8", "0.375", "1/3"])]
    _, max_tokens, _, seed, sampling = lm.seen[0]
    assert lm.prompts == [f"Q: {COINS.question}\nA: Let's think step by step."] * 3
    assert (max_tokens, seed, sampling) == (256, 8, {"temperature": 0.7})


def test_chains_vote_by_the_number_where_one_is_wanted():
    def read(text, item):
        return text

    paths = ["The answer is 8", "The answer is 7 coins", "The answer is 3 + 4 = 7"]
    answer = self_consistency(Sampler(paths), Item("?", "7"), samples=3, read=read)
    assert answer.details["shares"] == {"3 + 4 = 7": 2 / 3, "8": 1 / 3}


def test_without_comparing_values_it_is_a_tie():
    answer = self_consistency(Sampler(PATHS), COINS, samples=3, key=str)
    assert answer.details["confidence"] == 1 / 3 and answer.value == "0.375"


def test_options_are_voted_on_as_texts():
    cable = Item("What needs cable?", options=("radio", "television"))
    lm = Sampler(["So the answer is (b).", "The answer is television.", "The answer is (a)."])
    answer = self_consistency(lm, cable, samples=3)
    assert answer.details["shares"] == {"television": 2 / 3, "radio": 1 / 3}


def test_demonstrations_and_options_of_a_path_are_handed_on():
    demo = Item("1+1?", "2", rationale="One and one.")
    lm = Sampler(["The answer is 4 or so."])
    answer = self_consistency(lm, Item("2+2?"), [demo], samples=1, read=first_number)
    assert answer.value == "4" and lm.prompts[0].startswith("Q: 1+1?\nA: One and one.")


def test_one_sample_is_that_sample():
    lm, question = text_model(context=128), Item("2+2?")
    options = {"seed": 3, "max_tokens": 5}
    answer = self_consistency(lm, question, samples=1, extract=None, **options)
    single = zero_shot_cot(lm, question, temperature=0.7, **options)
    assert (answer.value, answer.text) == (single.value, single.text)
    with pytest.raises(ConfigError, match="samples=0 must be 1 or more"):
        self_consistency(lm, question, samples=0)


def test_paths_without_an_answer_lower_the_confidence():
    answer = self_consistency(
        Sampler(["The answer is 1.", "no", "no"]), COINS, samples=3, extract=None
    )
    assert (answer.value, answer.details["confidence"]) == ("1", 1 / 3)
    answer = self_consistency(Sampler(["no", "none"]), COINS, samples=2, extract=None)
    assert (answer.value, answer.text, answer.details["confidence"]) == (None, "none", 0.0)


def test_votes_may_be_weighted_by_the_probability_of_their_path():
    paths = ["The answer is a.", "The answer is b.", "The answer is b."]
    options = {"samples": 3, "weights": "probability"}
    lm = Sampler(paths, [math.log(0.5), math.log(0.1), math.log(0.2)])
    answer = self_consistency(lm, COINS, **options)
    assert answer.value == "a" and answer.details["confidence"] == pytest.approx(0.5 / 0.8)
    assert self_consistency(Sampler(paths), COINS, samples=3).value == "b"


def test_the_weights_of_paths():
    paths = [reply("x", -1, -3), reply("y", -2), reply("")]
    assert path_weights(paths).tolist() == [1, 1, 1]
    np.testing.assert_allclose(path_weights(paths, "probability"), np.exp([-4, -2, 0]))
    np.testing.assert_allclose(path_weights(paths, "mean"), np.exp([-2, -2, 0]))
    improbable = [reply("x", -2000.0), reply("y", -2001.0)]
    np.testing.assert_allclose(path_weights(improbable, "probability"), np.exp([0, -1]))
    assert path_weights([], "probability").tolist() == []
    with pytest.raises(ConfigError, match="'best' is none of count, probability, mean"):
        path_weights(paths, "best")


# The vote as an estimate of Pr(a | x), on chains that can be listed.

LM = EnumerableLM.random(3, 2, seed=11, spread=1.2)
STRINGS, PROBABILITIES = LM.all_strings(0)
ANSWERS = ["abc"[y] for _, y in STRINGS]  # r is the first token, and a the second
MARGINAL = {a: math.fsum(p for p, b in zip(PROBABILITIES, ANSWERS) if a == b) for a in "abc"}
# This one reads three tokens: a prompt of one and a reply of two.
LM_OF_THREE = EnumerableLM.random(3, 3, seed=11, spread=1.2)
LM_OF_THREE_STRINGS = [
    ((x, y), LM_OF_THREE.probability((x, y), bos=0)) for x in range(3) for y in range(3)
]


def test_all_paths_weighted_by_their_probability_are_the_exact_marginal():
    ballot = vote(ANSWERS, PROBABILITIES)
    assert ballot.shares == pytest.approx(MARGINAL)
    paths = [reply(a, *np.log([p])) for a, p in zip(ANSWERS, PROBABILITIES)]
    weighted = vote(ANSWERS, path_weights(paths, "probability"))
    assert weighted.shares == pytest.approx(MARGINAL)


def test_the_vote_may_differ_from_the_answer_of_the_best_path():
    # A path of .4 against two of .3 that agree.
    strings = [("r1", "a"), ("r2", "b"), ("r3", "b")]
    probabilities = [0.4, 0.3, 0.3]
    assert vote([a for _, a in strings], probabilities).value == "b"
    assert strings[int(np.argmax(probabilities))][1] == "a"


def test_shares_are_unbiased_by_listing_all_samples():
    expected = Counter()
    for drawn in itertools.product(range(len(STRINGS)), repeat=2):
        chance = PROBABILITIES[list(drawn)].prod()
        for a, share in vote([ANSWERS[i] for i in drawn]).shares.items():
            expected[a] += chance * share
    assert dict(expected) == pytest.approx(MARGINAL)


@pytest.mark.parametrize("m", [1, 2, 3])
def test_the_law_of_the_winner_by_listing_all_samples(m):
    found = Counter()
    for drawn in itertools.product(range(len(STRINGS)), repeat=m):
        chance = PROBABILITIES[list(drawn)].prod()
        found[vote([ANSWERS[i] for i in drawn]).value] += chance
    assert vote_law(MARGINAL, m) == pytest.approx(dict(found))


def test_the_law_is_a_distribution_and_goes_to_the_most_probable_answer():
    best = max(MARGINAL, key=MARGINAL.get)
    laws = [vote_law(MARGINAL, m) for m in (1, 5, 25, 60)]
    for law in laws:
        assert sum(law.values()) == pytest.approx(1)
    assert laws[0] == pytest.approx(MARGINAL)
    rising = [law[best] for law in laws]
    assert rising == sorted(rising) and rising[-1] > 0.95


def test_the_law_of_many_votes_on_many_answers():
    # 10015005 outcomes of 20 votes. Equally probable answers differ by the rule of ties alone.
    law = list(vote_law({str(a): 0.1 for a in range(10)}, 20).values())
    assert sum(law) == pytest.approx(1)
    assert law == sorted(law, reverse=True) and law[0] > 0.13 > 0.07 > law[-1]


@pytest.mark.parametrize("m", [1, 2, 4])
def test_samples_without_an_answer_do_not_vote(m):
    shares, found = {"a": 0.2, None: 0.5, "b": 0.3}, Counter()
    for drawn in itertools.product(shares, repeat=m):
        found[vote(list(drawn)).value] += math.prod(shares[one] for one in drawn)
    law = vote_law(shares, m)
    assert law == pytest.approx(dict(found)) and law[None] == 0.5**m


@pytest.mark.parametrize("m", [1, 2, 3, 7])
def test_votes_of_some_samples_by_listing_all_choices(m):
    # Seven samples, of which m vote: every choice of m is equally probable.
    samples = ["a", "b", "b", None, "a", "c", "b"]
    found = Counter()
    for chosen in itertools.combinations(samples, m):
        found[vote(list(chosen)).value] += 1 / math.comb(7, m)
    assert {a: p for a, p in vote_at_m(Counter(samples), m).items() if p} == pytest.approx(found)


@pytest.mark.parametrize("m", [2, 3])
def test_votes_of_some_samples_are_an_unbiased_law(m):
    # The mean over all outcomes of four samples is the law itself; that of shares is not.
    truth, mean, plugged = {"a": 0.6, "b": 0.3, None: 0.1}, Counter(), Counter()
    for drawn in itertools.product(truth, repeat=4):
        chance, counts = math.prod(truth[one] for one in drawn), Counter(drawn)
        for answer, p in vote_at_m(counts, m).items():
            mean[answer] += chance * p
        shares = {answer: n / 4 for answer, n in counts.items()}
        for answer, p in vote_law(shares, m).items():
            plugged[answer] += chance * p
    assert dict(mean) == pytest.approx(vote_law(truth, m))
    assert abs(plugged["a"] - vote_law(truth, m)["a"]) > 0.01


def test_votes_of_very_many_samples_are_nearly_independent():
    # C(200000, 100) has 373 digits, more than a float holds.
    counts = {"a": 105_000, "b": 95_000}
    law = vote_law({"a": 0.525, "b": 0.475}, 100)
    assert vote_at_m(counts, 100)["a"] == pytest.approx(law["a"], abs=1e-3)


def test_more_votes_than_samples_are_refused():
    with pytest.raises(ConfigError, match="3 votes of 2 samples"):
        vote_at_m({"a": 2}, 3)
    assert vote_at_m({"a": 2}, 2) == {"a": 1.0}


def test_votes_of_sampled_replies_follow_the_law():
    lm = TextModel.of(LM_OF_THREE, CharTokenizer("abc"))
    runs, m = 400, 3
    replies = lm.sample("a", runs * m, seed=0, max_tokens=2)
    answers = [reply.text[1] for reply in replies]
    votes = Counter(vote(answers[i : i + m]).value for i in range(0, runs * m, m))
    marginal = Counter()
    for (_, y), p in LM_OF_THREE_STRINGS:
        marginal["abc"[y]] += p
    law = vote_law(marginal, m)
    statistic = sum((votes[a] - runs * law[a]) ** 2 / (runs * law[a]) for a in "abc")
    assert statistic < chi_square_bound(3)


def test_the_binomial_law_by_hand():
    # q = .6, m = 3: .6^3 + 3 * .6^2 * .4
    assert majority_law(0.6, 3) == pytest.approx(0.648)
    assert majority_law(0.6, 1) == pytest.approx(0.6)
    assert majority_law(0.6, 2) == pytest.approx(0.6)  # .36 + .48 / 2: the second vote is lost
    assert majority_law(0.5, 7) == pytest.approx(0.5)
    assert (majority_law(0, 3), majority_law(1, 3)) == (0, 1)


def test_majorities_help_above_one_half_and_harm_below():
    odd = [1, 3, 5, 21, 101]
    better = [majority_law(0.6, m) for m in odd]
    assert better == sorted(better) and better[-1] > 0.97
    worse = [majority_law(0.4, m) for m in odd]
    np.testing.assert_allclose(worse, 1 - np.array(better), rtol=0, atol=1e-12)


def test_both_laws_agree_on_two_answers():
    for m in (1, 3, 7):  # odd: no ties
        assert vote_law({"right": 0.7, "wrong": 0.3}, m)["right"] == pytest.approx(
            majority_law(0.7, m)
        )
    # A tie of two votes goes to the first in the order of text, not to a coin.
    assert vote_law({"right": 0.7, "wrong": 0.3}, 2)["right"] == pytest.approx(0.49 + 0.42)
