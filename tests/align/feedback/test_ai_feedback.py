import math
from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from tests.prompt.small import text_model
from tinylm.align.feedback.ai_feedback import (
    CUSTOMER_SERVICE,
    GENERAL,
    REASONING,
    PreferencePrompt,
    Verdicts,
    agreement,
    average_log_odds,
    average_orders,
    hard_labels,
    label_distribution,
    position_bias,
    preferences_of,
    rating_rewards,
    read_verdict,
    soft_labels,
)
from tinylm.align.feedback.formats import WeighedPreference
from tinylm.align.rewards.pairwise import soft_pairwise_loss
from tinylm.autograd import Tensor
from tinylm.data.read.preferences import Preference
from tinylm.errors import ConfigError, ShapeError
from tinylm.prompt import ScriptedLM

# The book's example, with its line breaks
REQUEST = (
    "Hello, I noticed that my order hasn't arrived yet, although it was scheduled to arrive "
    "several days ago. Could you tell me its status? Thank you!"
)
KIND = (
    "I'm sorry for the delay and understand how disappointing this is. We are doing our best to "
    "resolve this quickly for you."
)
RUDE = "Hey, things happen! Your package will get there when it gets there, no need to stress."
BOOK = f"""\
Consider a customer service scenario in which a customer makes a request. You will review two \
responses to this request. Please state which response is preferred. Note that a good response \
should be polite, clear and concise. It should address the customer's issue directly, give helpful \
information or a solution, and keep a positive tone.
Request:
{REQUEST}
Response A:
{KIND}
Response B:
{RUDE}
"""
SERVICE = PreferencePrompt(CUSTOMER_SERVICE)
PAIR = ("x", "good", "bad")


def test_the_books_prompt_and_its_verdict():
    assert SERVICE.prompt(REQUEST, KIND, RUDE) == BOOK
    lm = ScriptedLM({BOOK: "Response A is preferred.", SERVICE.prompt(REQUEST, RUDE, KIND): "B"})
    pairs = [(REQUEST, KIND, RUDE)]
    verdicts = hard_labels(lm, SERVICE, pairs)
    assert verdicts == [Verdicts("A", "B")]
    assert preferences_of(pairs, verdicts) == [Preference(REQUEST, KIND, RUDE)]


def test_demonstrations_come_first_with_their_verdicts():
    prompt = PreferencePrompt(
        "Judge.", (("r", "p", "q", "B"), ("s", "u", "v", ("u is kind.", "A"))), reasoning=True
    )
    assert prompt.prompt("x", "y", "z") == (
        f"Judge. {REASONING}\n"
        "Request:\nr\nResponse A:\np\nResponse B:\nq\nResponse B is preferred.\n"
        "Request:\ns\nResponse A:\nu\nResponse B:\nv\nu is kind. Response A is preferred.\n"
        "Request:\nx\nResponse A:\ny\nResponse B:\nz\n"
    )
    assert PreferencePrompt().prompt("x", "y", "z").startswith(f"{GENERAL}\nRequest:\nx\n")


@pytest.mark.parametrize(
    "reply, label",
    [
        ("Response A is preferred.", "A"),
        ("response b is preferred", "B"),
        ("Response A is polite. Response B is clearly better.", "B"),
        ("At first Response A is better, but in the end Response B is preferred.", "B"),
        ("I prefer Response A because it is kind.", "A"),
        (" B", "B"),
        ("**A**", "A"),
        ("(b).", "B"),
        ("Response B.", "B"),
        ("A good answer is polite.", None),
        ("Response A is not preferred.", None),
        ("Both are equally good.", None),
        ("", None),
    ],
)
def test_a_verdict_is_read_and_never_guessed(reply, label):
    assert read_verdict(reply) == label


def test_a_verdict_that_changes_with_the_order_is_no_label():
    assert Verdicts("A", "B").winner == "a"
    assert Verdicts("B", "A").winner == "b"
    # the first place twice, the second twice
    assert Verdicts("A", "A").winner is Verdicts("B", "B").winner is None
    assert Verdicts("A", None).winner is Verdicts(None, "A").winner is None
    assert not Verdicts(None, "B").readable and Verdicts("A", "A").readable


def test_verdicts_and_prompts_do_not_change():
    with pytest.raises(ValueError, match="argument"):  # one verdict for each pair
        preferences_of([PAIR], [])
    for one, field in ((Verdicts("A", "B"), "shown"), (PreferencePrompt(), "reasoning")):
        with pytest.raises(FrozenInstanceError):
            setattr(one, field, None)


def test_by_default_a_judge_may_write_256_tokens_with_seed_0():
    seen = []

    class Watched(ScriptedLM):
        def complete_batch(self, prompts, **options):
            seen.append((options["max_tokens"], options["seed"]))
            return super().complete_batch(prompts, **options)

    hard_labels(Watched([(None, "A"), (None, "B")]), PreferencePrompt(), [PAIR])
    assert seen == [(256, 0)]


def test_every_pair_is_shown_in_both_orders():
    prompt = PreferencePrompt("Judge.")
    lm = ScriptedLM(
        [
            (prompt.prompt("x", "good", "bad"), "Response A is preferred."),
            (prompt.prompt("x", "bad", "good"), "Response A is preferred.\nRequest:\nanother"),
            (prompt.prompt("z", "p", "q"), "Response B is preferred."),
            (prompt.prompt("z", "q", "p"), "Response A is preferred."),
        ]
    )
    pairs = [PAIR, ("z", "p", "q")]
    with lm.tracing() as trace:
        verdicts = hard_labels(lm, prompt, pairs)
    assert lm.finished and verdicts == [Verdicts("A", "A"), Verdicts("B", "A")]
    assert preferences_of(pairs, verdicts) == [Preference("z", "q", "p")]
    assert ("verdict", "A") in [read for call in trace.calls for read in call.parsed]


def test_an_oracle_agrees_with_itself_wholly():
    # a judge that prefers the longer response, read through all of the machinery
    def reply(prompt):
        a, b = prompt.split("Response A:\n")[1].rstrip("\n").split("\nResponse B:\n")
        return f"Response {'AB'[len(b) > len(a)]} is preferred."

    prompt = PreferencePrompt("Judge.")
    pairs = [("x", "long one", "short"), ("y", "a", "abc"), ("z", "12345", "123")]
    table = {}
    for x, a, b in pairs:
        for text in (prompt.prompt(x, a, b), prompt.prompt(x, b, a)):
            table[text] = reply(text)
    verdicts = hard_labels(ScriptedLM(table), prompt, pairs)
    gold = ["ab"[len(b) > len(a)] for _, a, b in pairs]
    assert agreement([one.winner for one in verdicts], gold) == {
        "share": 1.0,
        "labeled": 1.0,
        "kappa": 1.0,
    }


def test_the_vector_of_label_tokens():
    # Pr(A) = .06, Pr(B) = .02, the rest elsewhere: (.75, .25)
    full = np.log([0.5, 0.06, 0.42, 0.02])
    np.testing.assert_allclose(label_distribution(full, (1, 3)), [0.75, 0.25], rtol=1e-12)
    # logits are as good as log-probabilities, and large ones are no danger
    np.testing.assert_allclose(label_distribution(full + 1e4, (1, 3)), [0.75, 0.25], rtol=1e-9)
    rows = np.stack([full, full[::-1]])
    np.testing.assert_allclose(label_distribution(rows, (1, 3))[1], [0.42 / 0.92, 0.5 / 0.92])
    # nor are logits so far apart that exp of their difference is no number
    np.testing.assert_array_equal(label_distribution([0.0, 1000.0], (0, 1)), [0, 1])


def scored(first, second):
    """A judge that gives " A" these probabilities in the two orders of PAIR."""
    prompt, replies = PreferencePrompt("Judge."), {}
    for p, order in ((first, PAIR[1:]), (second, PAIR[:0:-1])):
        text = prompt.prompt("x", *order) + "Response"
        replies[text] = {" A": math.log(p / 10), " B": math.log((1 - p) / 10)}
    return ScriptedLM(replies), prompt


def test_soft_labels_are_averaged_over_both_orders():
    lm, prompt = scored(0.9, 0.6)
    # .9 for good where it stands first, .4 where it stands second
    assert soft_labels(lm, prompt, [PAIR]) == [
        WeighedPreference("x", "good", "bad", probability=pytest.approx(0.65, rel=1e-12))
    ]
    assert soft_labels(lm, prompt, [PAIR], average=average_log_odds)[0].probability == (
        pytest.approx(float(average_log_odds(0.9, 0.6)), rel=1e-12)
    )


def test_a_constant_bias_of_the_log_odds_cancels():
    def sigma(z):
        return 1 / (1 + math.exp(-z))

    d, bias = 0.7, 1.5  # the judge's own opinion, and its liking of the first place
    shown, swapped = sigma(d + bias), sigma(-d + bias)
    assert average_log_odds(shown, swapped) == pytest.approx(sigma(d), rel=1e-12)
    # the mean of probabilities comes nearer than one order alone
    mean = average_orders(shown, swapped)
    assert abs(mean - sigma(d)) < abs(shown - sigma(d))
    assert position_bias([shown], [swapped]) == pytest.approx((shown + swapped) / 2 - 0.5)


def test_without_bias_both_orders_sum_to_one():
    shown = np.array([0.9, 0.2, 0.5])
    assert position_bias(shown, 1 - shown) == pytest.approx(0, abs=1e-15)
    np.testing.assert_allclose(average_orders(shown, 1 - shown), shown, rtol=1e-15)
    # only the first place counts: half of all probability too much
    assert position_bias(np.ones(3), np.ones(3)) == 0.5


def test_a_soft_label_trains_a_reward_model():
    lm, prompt = scored(0.9, 0.6)
    p = soft_labels(lm, prompt, [PAIR])[0].probability
    d = math.log(p / (1 - p))
    losses = [soft_pairwise_loss(Tensor([z]), Tensor([0.0]), p).item() for z in (d - 0.1, d, d + 1)]
    assert losses[1] == min(losses)


def test_a_real_model_labels_in_both_ways():
    lm, prompt = text_model(context=512), PreferencePrompt("Judge.")
    (label,) = soft_labels(lm, prompt, [PAIR])
    shown, swapped = (
        label_distribution(
            lm.score(prompt.prompt("x", *order), [" A", " B"], begin="Response").sums, (0, 1)
        )[0]
        for order in (("good", "bad"), ("bad", "good"))
    )
    assert label.probability == pytest.approx((shown + 1 - swapped) / 2, rel=1e-9)
    (verdicts,) = hard_labels(lm, prompt, [PAIR], max_tokens=4)
    assert verdicts.winner in ("a", "b", None)


def test_agreement_beyond_chance():
    # 3 of 4 equal; by chance .5 * .75 + .5 * .25 = .5
    found = agreement(["a", "a", "b", "b"], ["a", "a", "b", "a"])
    assert found == {"share": 0.75, "labeled": 1.0, "kappa": 0.5}
    # a pair without a label counts in neither share
    found = agreement(["a", None, "b", "b"], ["a", "b", None, "b"])
    assert found["labeled"] == 0.5 and found["share"] == 1.0
    # a constant label: agreement, and none of it beyond chance
    assert agreement(["a", "a"], ["a", "a"])["kappa"] is None
    assert agreement([None], ["a"]) == {"share": None, "labeled": 0.0, "kappa": None}
    for labels in ([], ["a"]):
        with pytest.raises(ShapeError, match="one each"):
            agreement(labels, ["a", "b"] * len(labels))


def test_a_judge_is_a_reward_model_by_its_expected_rating():
    prompt = (
        "Rate the response to the request from 1 (very bad) to 3 (very good).\n"
        "Request:\nx\nResponse:\ny\nRating:"
    )
    logs = {" 1": math.log(0.01), " 2": math.log(0.01), " 3": math.log(0.06)}
    # (1 + 2 + 6 * 3) / 8
    found = rating_rewards(ScriptedLM({prompt: logs}), [("x", "y")], 1, 3)
    np.testing.assert_allclose(found, [2.625], rtol=1e-12)
    found = rating_rewards(text_model(context=256), [("x", "y"), ("x", "zz")])
    assert found.shape == (2,) and (1 <= found).all() and (found <= 9).all()
    assert found[0] != found[1]
    one_score = {prompt.replace("from 1", "from 0").replace("to 3", "to 1"): {" 0": -1, " 1": -1}}
    np.testing.assert_allclose(rating_rewards(ScriptedLM(one_score), [("x", "y")], 0, 1), [0.5])
    for scale in ((3, 3), (-1, 5), (1, 10)):
        with pytest.raises(ConfigError, match="digits"):
            rating_rewards(None, [], *scale)


def test_by_default_a_judge_rates_from_1_to_9():
    prompt = (
        "Rate the response to the request from 1 (very bad) to 9 (very good).\n"
        "Request:\nx\nResponse:\ny\nRating:"
    )
    logs = {f" {rating}": math.log(rating / 100) for rating in range(1, 10)}
    # (1^2 + ... + 9^2) / (1 + ... + 9) = 285 / 45
    found = rating_rewards(ScriptedLM({prompt: logs}), [("x", "y")])
    np.testing.assert_allclose(found, [285 / 45], rtol=1e-12)
