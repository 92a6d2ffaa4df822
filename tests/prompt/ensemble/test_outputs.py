"""Several outputs of one model, ranked by a score."""

import itertools
import math

import pytest

from tests.prompt.ensemble.sampler import Sampler, reply
from tests.prompt.small import text_model
from tinylm.data.measure.proportions import pass_at_k
from tinylm.data.read.items import Item
from tinylm.errors import ConfigError, DataError
from tinylm.generate import EnumerableLM, sequence_logprob
from tinylm.generate.strategies.beam import beam_search, power_penalty
from tinylm.prompt import ScriptedLM
from tinylm.prompt.ensemble.outputs import (
    beam_outputs,
    best_of_n,
    mean_logprob,
    most_agreed,
    own_logprob,
    rerank,
    verified_law,
)
from tinylm.prompt.ensemble.self_consistency import majority_law
from tinylm.prompt.reasoning.conclusion import first_number


def test_a_beam_gives_its_complete_hypotheses_best_first():
    lm = text_model(spread=1.0)
    found = beam_outputs(lm, "abc", 3, max_tokens=4, width=5)
    wanted = beam_search(lm.lm, lm.ids("abc"), 4, 5, eos=256, n_best=3)
    assert [tuple(one.tokens) for one in found] == [one.tokens for one in wanted]
    scores = [one.logprob for one in found]
    assert scores == sorted(scores, reverse=True) and len(found) == 3
    for one in found:
        whole = lm.ids("abc") + one.tokens
        exact = sequence_logprob(lm.lm, whole, reduction="none")[-len(one.tokens) :].sum()
        assert one.logprob == pytest.approx(exact, abs=1e-9)
        shown = [token for token in one.tokens if token != 256]
        assert one.text == bytes(shown).decode("utf-8", "replace")
        assert one.finish == ("end" if 256 in one.tokens else "length")


def test_one_hypothesis_of_a_beam_of_one_is_greedy():
    lm = text_model()
    (found,) = beam_outputs(lm, "abc", 1, max_tokens=5)
    assert found.tokens == lm.complete("abc", max_tokens=5).tokens
    (begun,) = beam_outputs(lm, "ab", 1, begin="c", max_tokens=5)
    assert begun.tokens == found.tokens


def test_a_beam_is_counted_and_bounded():
    lm = text_model(context=8)
    with lm.tracing() as trace:
        found = beam_outputs(lm, "abc", 2, begin="d", width=3)
        lm.parsed("best", found[0].text)
    (call,) = trace.calls
    assert (call.kind, call.prompt, call.begin) == ("complete", "abc", "d")
    assert (call.reply, call.finish) == (found[0].text, found[0].finish)
    assert call.parsed == [("best", found[0].text)] and lm.account.seconds > 0
    assert max(len(one.tokens) for one in found) <= 3  # 5 tokens of prompt, and 8 are read
    account = lm.account
    assert (account.calls, account.prompt_tokens, account.read_tokens) == (1, 5, 5)
    assert account.generated_tokens == 3 * 3
    for count in (0, 4):
        with pytest.raises(ConfigError, match=f"{count} hypotheses of a beam of width 3"):
            beam_outputs(lm, "abcd", count, width=3)


def test_hypotheses_that_ended_come_without_the_end_token():
    lm = text_model(spread=1.0)
    # Any token may be the end: take one that the best hypothesis has.
    end = beam_outputs(lm, "abc", 1, max_tokens=4, width=4)[0].tokens[-1]
    lm.opened = type(lm.opened)(**{**vars(lm.opened), "eos": end, "ends": (end,)})
    found = beam_outputs(lm, "abc", 4, max_tokens=4, width=4)
    lengths = {len(one.tokens) for one in found}
    assert len(lengths) > 1  # every step of the longest is counted for the whole beam
    assert lm.account.generated_tokens == 4 * 4 + 4 * max(lengths)
    ended = [one for one in found if one.finish == "end"]
    assert ended and all(one.tokens[-1] == end for one in ended)
    shown = [bytes(one.tokens[:-1]).decode("utf-8", "replace") for one in ended]
    assert [one.text for one in ended] == shown


def test_a_length_penalty_changes_the_order():
    lm = text_model(spread=1.0)
    lm.opened = type(lm.opened)(**{**vars(lm.opened), "eos": 97, "ends": (97,)})
    options = {"max_tokens": 4, "width": 6}
    plain = beam_outputs(lm, "xyz", 6, **options)
    divided = beam_outputs(lm, "xyz", 6, length_penalty=power_penalty(1.0), **options)
    means = [one.logprob / len(one.tokens) for one in divided]
    assert means == sorted(means, reverse=True)
    assert [one.logprob for one in plain] == sorted((one.logprob for one in plain), reverse=True)


def test_by_their_own_probability_the_best_is_the_most_probable():
    outputs = [reply("a", -1, -1), reply("b", -0.5), reply("c", -1, -0.1, -0.2)]
    ranked = rerank(outputs, own_logprob)
    assert [one.text for _, one in ranked] == ["b", "c", "a"]
    assert ranked[0][0] == -0.5
    by_mean = rerank(outputs, mean_logprob)
    assert [one.text for _, one in by_mean] == ["c", "b", "a"]  # -1.3 / 3, -1/2, -1
    assert mean_logprob(reply("")) == 0.0


def test_equal_scores_keep_their_order_and_nan_has_none():
    assert [one for _, one in rerank(["b", "a", "c"], lambda text: 0)] == ["b", "a", "c"]
    assert rerank([], len) == []
    with pytest.raises(DataError, match="the score of 'x' is nan"):
        rerank(["x"], lambda text: float("nan"))


def test_the_most_agreed_output():
    outputs = [reply("dogs bark"), reply("cats purr softly"), reply("cats purr")]
    assert most_agreed(outputs).text == "cats purr"
    by_length = most_agreed(outputs, lambda a, b: float(len(a) == len(b)))
    assert by_length.text == "cats purr"  # as long as "dogs bark", and before it in the alphabet


# Best of n.

ITEM = Item("2+2?")


def test_a_verifier_chooses_the_chain():
    lm = Sampler([" Hm. The answer is 5.", " four", " 2 and 2. The answer is 4.\nQ: more"])
    calls = []

    def score(question, path):
        calls.append((question, path))
        return path.endswith("4.")

    answer = best_of_n(lm, ITEM, n=3, score=score, seed=6, extract=None)
    texts = [" Hm. The answer is 5.", " four", " 2 and 2. The answer is 4."]
    assert calls == [("2+2?", text) for text in texts]
    assert (answer.value, answer.text) == ("4", texts[2])
    assert answer.details == {"outputs": [texts[2], *texts[:2]], "scores": [1.0, 0.0, 0.0]}
    prompts, max_tokens, stop, seed, sampling = lm.seen[0]
    assert (len(prompts), max_tokens, seed, sampling) == (3, 256, 6, {"temperature": 0.7})


def test_without_a_verifier_it_is_the_most_probable_chain():
    lm = Sampler(["Answer: 5", "Answer: 4", "Answer: 6"], [-3.0, -1.0, -2.0])
    answer = best_of_n(lm, ITEM, n=3)
    assert answer.value == "4" and answer.details["scores"] == [-1.0, -2.0, -3.0]


def test_a_chain_without_an_answer_may_be_the_best():
    lm = Sampler(["no", "The answer is 4."])
    answer = best_of_n(lm, ITEM, n=2, score=lambda question, path: -len(path), extract=None)
    assert answer.value is None and answer.details["outputs"] == ["no", "The answer is 4."]


def test_eight_chains_are_sampled_with_the_options_of_a_path():
    lm = Sampler(["Answer: $ 4 now"] * 8)
    answer = best_of_n(lm, ITEM, trigger="So:", read=first_number)
    assert answer.value == "4" and lm.prompts == ["Q: 2+2?\nA: So:"] * 8


def test_the_best_of_n_by_a_perfect_verifier_is_pass_at_n():
    # All triples of strings of a small model: right if any of the three is.
    strings, probabilities = EnumerableLM.random(2, 3, seed=2).all_strings(0)
    right = strings.sum(axis=1) == 2  # an arbitrary property of a string
    q, n = probabilities[right].sum(), 3
    accuracy = vote = 0.0
    for drawn in itertools.product(range(len(strings)), repeat=n):
        chance = probabilities[list(drawn)].prod()
        best = rerank(drawn, lambda i: right[i])[0][1]
        accuracy += chance * right[best]
        vote += chance * (right[list(drawn)].sum() > n / 2)
    assert accuracy == pytest.approx(1 - (1 - q) ** n, abs=1e-12)
    # pass@n of more samples than n estimates the same number: all counts of right ones in 5.
    counts = [(math.comb(5, c) * q**c * (1 - q) ** (5 - c), c) for c in range(6)]
    expected = sum(chance * pass_at_k(5, c, n) for chance, c in counts)
    assert accuracy == pytest.approx(expected, abs=1e-12)
    assert vote == pytest.approx(majority_law(q, n), abs=1e-12)
    assert vote < accuracy  # the vote of the same samples knows less


def test_a_model_that_shows_no_distributions_is_refused():
    with pytest.raises(ConfigError, match="give a TextModel"):
        beam_outputs(ScriptedLM([]), "x", 1)


# The law of a verifier that errs.


@pytest.mark.parametrize("q, misses, accepts", [(0.3, 0.1, 0.2), (0.6, 0.0, 0.5), (0.5, 0.4, 0.0)])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_the_law_of_an_erring_verifier_by_listing_all_samples(q, misses, accepts, n):
    kinds = {  # (right, accepted): probability
        (True, True): q * (1 - misses),
        (True, False): q * misses,
        (False, True): (1 - q) * accepts,
        (False, False): (1 - q) * (1 - accepts),
    }
    total = 0.0
    for drawn in itertools.product(kinds, repeat=n):
        _, (right, _) = rerank(drawn, lambda one: one[1])[0]
        total += right * math.prod(kinds[one] for one in drawn)
    assert verified_law(q, n, misses, accepts) == pytest.approx(total)


def test_the_limits_of_an_erring_verifier():
    assert verified_law(0.3, 5) == pytest.approx(1 - 0.7**5)  # it never errs: pass@n
    for guess in (0.0, 0.5, 1.0):  # it accepts right and wrong alike: one sample
        assert verified_law(0.3, 5, 1 - guess, guess) == pytest.approx(0.3)
    assert verified_law(0.3, 400, 0.1, 0.2) == pytest.approx(0.27 / (0.27 + 0.14))  # its precision
    assert (verified_law(0, 4, 0.1, 0.2), verified_law(1, 4, 0.1, 0.2)) == (0, pytest.approx(1))
    assert (verified_law(0, 4), verified_law(1, 4)) == (0, 1)
    # one that errs always: the wrong are accepted, the right are left
    assert verified_law(0.3, 4, 1.0, 1.0) == pytest.approx(0.3**4)
