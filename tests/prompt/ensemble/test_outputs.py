"""Several outputs of one model, ranked by a score."""

import itertools

import pytest

from tests.prompt.ensemble.sampler import Sampler, reply
from tests.prompt.small import text_model
from tinylm.data.read.items import Item
from tinylm.errors import ConfigError, DataError
from tinylm.generate import EnumerableLM, sequence_logprob
from tinylm.generate.strategies.beam import beam_search, power_penalty
from tinylm.prompt.ensemble.outputs import (
    beam_outputs,
    best_of_n,
    mean_logprob,
    most_agreed,
    own_logprob,
    rerank,
)
from tinylm.prompt.ensemble.self_consistency import majority_law
from tinylm.prompt.in_context.few_shot import FewShotPrompt


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
    found = beam_outputs(lm, "abcd", 2, width=3)
    assert max(len(one.tokens) for one in found) <= 3  # 5 tokens of prompt, and 8 are read
    account = lm.account
    assert (account.calls, account.prompt_tokens, account.read_tokens) == (1, 5, 5)
    assert account.generated_tokens == 3 * max(len(one.tokens) for one in found)
    for count in (0, 4):
        with pytest.raises(ConfigError, match=f"{count} hypotheses of a beam of width 3"):
            beam_outputs(lm, "abcd", count, width=3)


def test_hypotheses_that_ended_come_without_the_end_token():
    lm = text_model(spread=1.0)
    # Any token may be the end: take one that the best hypothesis has.
    end = beam_outputs(lm, "abc", 1, max_tokens=4, width=4)[0].tokens[-1]
    lm.opened = type(lm.opened)(**{**vars(lm.opened), "eos": end, "ends": (end,)})
    found = beam_outputs(lm, "abc", 4, max_tokens=4, width=4)
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


def test_a_verifier_chooses_the_output():
    lm = Sampler([" 5", " four", " 4\nQ: more"])
    calls = []

    def score(question, path):
        calls.append((question, path))
        return path.strip() == "4"

    with lm.tracing() as trace:
        answer = best_of_n(lm, ITEM, n=3, score=score, seed=6)
    assert calls == [("2+2?", " 5"), ("2+2?", " four"), ("2+2?", " 4")]
    assert (answer.value, answer.text) == ("4", " 4")
    assert answer.details == {"outputs": [" 4", " 5", " four"], "scores": [1.0, 0.0, 0.0]}
    prompts, max_tokens, stop, seed, sampling = lm.seen[0]
    assert prompts == ["Q: 2+2?\nA:"] * 3 and (max_tokens, seed) == (64, 6)
    assert sampling == {"temperature": 1.0} and "\nQ:" in stop
    assert trace.calls[-1].parsed == [("answer", "4")]


def test_without_a_verifier_it_is_the_most_probable_sample():
    lm = Sampler([" 5", " 4", " 6"], [-3.0, -1.0, -2.0])
    answer = best_of_n(lm, ITEM, n=3)
    assert answer.value == "4" and answer.details["scores"] == [-1.0, -2.0, -3.0]


def test_an_output_without_an_answer_stays_the_best():
    answer = best_of_n(Sampler([" ", " 4"]), ITEM, n=2, score=lambda q, path: -len(path))
    assert answer.value is None and answer.details["outputs"] == [" ", " 4"]


def test_one_output_is_one_sample():
    lm = text_model()
    answer = best_of_n(lm, ITEM, n=1, seed=5, max_tokens=4)
    options = {"temperature": 1.0, "max_tokens": 4, "stop": FewShotPrompt().stop}
    single = lm.complete("Q: 2+2?\nA:", seed=5, **options)
    assert answer.text == single.text
    with pytest.raises(ConfigError, match="n must be 1 or more, not 0"):
        best_of_n(lm, ITEM, n=0)
    assert best_of_n.__kwdefaults__["n"] == 8


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
    assert vote == pytest.approx(majority_law(q, n), abs=1e-12)
    assert vote < accuracy  # the vote of the same samples knows less
