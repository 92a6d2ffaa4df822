"""What should not matter to an answer, and how much it does."""

import math

import numpy as np
import pytest

from tests.prompt.small import text_model
from tinylm.data.read.items import Item
from tinylm.errors import ConfigError, DataError
from tinylm.prompt import Answer
from tinylm.prompt.in_context.few_shot import FewShotPrompt
from tinylm.prompt.in_context.sensitivity import (
    Sensitivity,
    form_sensitivity,
    order_sensitivity,
    orders,
    paraphrase_sensitivity,
    sensitivity,
)

DEMOS = [Item(f"demo {i}", str(i)) for i in range(3)]
ITEMS = [Item("x", "0"), Item("y", "1")]


def last_answer(lm, item, demonstrations, **options):
    """A model that repeats the last answer it read."""
    return Answer(demonstrations[-1].answer)


def smallest_answer(lm, item, demonstrations, **options):
    """A model to which demonstrations are a set."""
    return Answer(min(demo.answer for demo in demonstrations))


def test_all_orders_or_different_ones_by_chance():
    assert orders(3)[0] == (0, 1, 2) and len(set(orders(3))) == 6
    assert len(orders(5)) == 120 == math.factorial(5) and orders(0) == [()]
    some = orders(6)
    assert len(some) == 120 == len(set(some)) and all(
        sorted(order) == [*range(6)] for order in some
    )
    assert orders(6) == orders(6, seed=0) != orders(6, seed=1)
    assert len(set(orders(3, most=5))) == 5 and len(orders(3, most=1)) == 1
    with pytest.raises(ConfigError, match="1 or more, not 0"):
        orders(3, most=0)


def test_a_model_without_order_has_no_variance():
    found = order_sensitivity(None, ITEMS, DEMOS, method=smallest_answer)
    assert found.variance == found.spread == found.unstable == 0
    assert found.accuracies.tolist() == [0.5] * 6


def test_a_model_that_reads_the_last_demonstration_has_the_spread_of_its_answers():
    found = order_sensitivity(None, ITEMS, DEMOS, method=last_answer)
    # "0" is right for x and "1" for y, each last in 2 of 6 orders; "2" is right for none.
    assert found.variants == tuple(orders(3))
    assert found.accuracies.tolist() == [0.5 * (order[-1] < 2) for order in orders(3)]
    assert found.spread == 0.5 and found.unstable == 1
    assert np.isclose(found.variance, 4 / 6 * 2 / 6 * 0.25)  # p (1 - p) d^2 of two values
    assert found.values[0] == ("2", "2") and not found.correct[0].any()
    drawn = order_sensitivity(None, ITEMS, DEMOS, most=2, seed=5, method=last_answer)
    assert drawn.variants == tuple(orders(3, 2, 5)) != tuple(orders(3, 2))
    two = order_sensitivity(None, ITEMS, DEMOS, most=2, method=last_answer)
    assert two.variants == tuple(orders(3, 2))
    many = order_sensitivity(None, ITEMS, DEMOS * 2, method=last_answer)
    assert many.variants == tuple(orders(6)) and len(many.variants) == 120


def test_only_some_answers_may_be_unstable():
    found = Sensitivity((1, 2), (("a", None, "c"), ("b", None, "c")), np.zeros((2, 3), bool))
    assert np.isclose(found.unstable, 1 / 3)


def test_forms_and_paraphrases_are_variants_too():
    seen = []

    def method(lm, item, demonstrations, prompt, seed):
        seen.append((prompt, demonstrations, seed))
        return Answer(str(len(prompt.instruction)))

    forms = [FewShotPrompt(), FewShotPrompt("?")]
    found = form_sensitivity(None, ITEMS, DEMOS, forms, method=method, seed=3)
    assert found.variants == tuple(forms) and found.accuracies.tolist() == [0.5, 0.5]
    assert [prompt for prompt, _, _ in seen] == [forms[0]] * 2 + [forms[1]] * 2
    assert all(demos == DEMOS and seed == 3 for _, demos, seed in seen)
    form = FewShotPrompt("unused", "In", "Out")
    found = paraphrase_sensitivity(None, ITEMS, DEMOS, ["", "!"], form, method=method, seed=0)
    assert found.variants == ("", "!") and found.values == (("0", "0"), ("1", "1"))
    assert seen[-1][0] == FewShotPrompt("!", "In", "Out")
    paraphrase_sensitivity(None, ITEMS, DEMOS, ["a"], method=method, seed=0)
    assert seen[-1][0] == FewShotPrompt("a")


def test_answers_are_compared_as_they_should_be():
    def method(lm, item, demonstrations):
        return Answer({"x": "0.0", "y": None}[item.question])

    settings = [{"demonstrations": []}]
    found = sensitivity(None, ITEMS, ["only"], settings, method)
    assert found.correct.tolist() == [[True, False]]  # 0.0 is 0; what cannot be read is not right
    exact = sensitivity(None, ITEMS, ["only"], settings, method, lambda a, item: a == item.answer)
    assert exact.correct.tolist() == [[False, False]]


def test_without_gold_answers_or_variants_there_is_no_accuracy():
    with pytest.raises(DataError, match="'z' has none"):
        order_sensitivity(None, [*ITEMS, Item("z")], DEMOS)
    with pytest.raises(DataError, match="of 0 items under 6 variants"):
        order_sensitivity(None, [], DEMOS)
    with pytest.raises(DataError, match="of 2 items under 0 variants"):
        form_sensitivity(None, ITEMS, DEMOS, [])


def test_a_real_model_depends_on_the_order():
    items = [Item("up?", "yes", ("yes", "no"))]
    demos = [Item("down?", "no"), Item("left?", "yes")]
    found = order_sensitivity(text_model(), items, demos)
    assert len(found.values) == 2 and found.values[0][0] in ("yes", "no")
