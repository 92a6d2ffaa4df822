"""Auto-CoT: one worked question of each cluster, the simple one nearest to the center."""

import numpy as np
import pytest

from tinylm.data.read.items import Item
from tinylm.errors import ConfigError
from tinylm.prompt import Answer, ScriptedLM
from tinylm.prompt.in_context.clusters import auto_cot, by_cluster, is_simple
from tinylm.prompt.in_context.few_shot import FewShotPrompt

# Two groups on a line, around 1 and around 11; the middle of each is its center.
POINTS = [0.0, 1.1, 2.0, 10.0, 11.1, 12.0]
POOL = [Item(f"at {x}?", "a wrong gold answer") for x in POINTS]


def line(texts):
    return np.array([[float(text[3:-1])] for text in texts])


def solve(lm, item, seed=0):
    reply = lm.complete(item.question, seed=seed)
    return Answer(reply.text.split()[-1], reply.text, {"seed": seed})


def test_clusters_hold_every_question_once_the_nearest_to_the_center_first():
    for seed in range(5):
        groups = sorted(by_cluster(np.array(POINTS)[:, None], 2, seed))
        # Centers 31/30 and 331/30: the middle ones are nearest, and the upper ones next.
        assert groups == [[1, 2, 0], [4, 5, 3]]
    assert sorted(by_cluster(np.zeros((3, 2)), 2)) == [[], [0, 1, 2]]
    with pytest.raises(ConfigError, match="7 clusters of 6 points"):
        by_cluster(np.array(POINTS)[:, None], 7)


def test_the_seed_chooses_where_clusters_begin():
    points = np.random.default_rng(0).normal(size=(30, 2))
    found = {str(sorted(by_cluster(points, 4, seed))) for seed in range(5)}
    assert len(found) > 1 and by_cluster(points, 4) == by_cluster(points, 4, 0)


def test_one_demonstration_of_each_cluster_with_the_rationale_of_the_model():
    lm = ScriptedLM({"at 1.1?": "It is near 1, so 1", "at 11.1?": "It is near 11, so 11"})
    found = auto_cot(lm, POOL, 2, line, solve=solve, opening="")
    assert sorted(found, key=lambda item: item.question) == [
        Item("at 1.1?", "1", rationale="It is near 1, so 1"),
        Item("at 11.1?", "11", rationale="It is near 11, so 11"),
    ]


def test_what_is_not_simple_is_passed_over_and_a_cluster_may_have_nothing():
    replies = {"at 1.1?": "one\ntwo\nthree\nfour\nfive\nsix", "at 2.0?": "short so 2"}
    replies.update({item.question: "a\nb\nc\nd\ne\nf" for item in POOL[3:]})
    lm = ScriptedLM(replies)
    found = auto_cot(lm, POOL, 2, line, solve=solve, opening="Well:")
    assert found == [Item("at 2.0?", "2", rationale="Well: short so 2")]
    assert sorted(lm.prompts) == sorted(["at 1.1?", "at 2.0?", *(i.question for i in POOL[3:])])
    assert len(auto_cot(lm, POOL, 2, line, solve=solve, steps=6)) == 2
    assert auto_cot(lm, POOL[:3], 1, line, solve=solve, words=2)[0].answer == "2"
    lm = ScriptedLM({item.question: "so 2" for item in POOL})
    assert auto_cot(lm, POOL, 2, line, solve=solve, words=1) == []


def test_the_gold_answer_is_not_given_away_and_the_seed_is_handed_on():
    seen = []

    def record(lm, item, seed=0):
        seen.append((item.answer, item.rationale, seed))
        return Answer("7", "unused", {"rationale": " so 7\n"})

    found = auto_cot(None, POOL, 1, line, solve=record, opening="", seed=3)
    assert seen == [(None, "", 3)] and found[0].rationale == "so 7" and found[0].answer == "7"
    auto_cot(None, POOL, 1, line, solve=record)
    assert seen[-1][2] == 0


def test_the_model_reasons_zero_shot_as_its_demonstrations_will_show():
    opening = "Let's think step by step."
    pool = [Item("2 + 3?"), Item("2 + 4?")]
    lm = ScriptedLM([(f"Q: 2 + 3?\nA: {opening}", " 2 and 3 are 5. The answer is 5.")])
    shown = auto_cot(lm, pool, 1, lambda texts: np.zeros((2, 1)))
    assert shown == [Item("2 + 3?", "5", rationale=f"{opening} 2 and 3 are 5.")]
    assert FewShotPrompt().demonstration(shown[0], rationale=True) == (
        f"Q: 2 + 3?\nA: {opening} 2 and 3 are 5. The answer is 5."
    )


def test_a_simple_demonstration():
    short = Item("one two three")
    assert is_simple(short, "4", "it is 4", words=3, steps=1)
    assert not is_simple(short, "4", "it is 4", words=2)
    assert is_simple(short, "4", "a\n\nb\n4", steps=3) and not is_simple(
        short, "4", "a\nb\n4", steps=2
    )
    assert not is_simple(short, "5", "it is 4") and not is_simple(short, None, "it is 4")
    assert is_simple(Item("w " * 60), "4", "a\n" * 4 + "4")  # the paper's limits
    assert not is_simple(Item("w " * 61), "4", "4") and not is_simple(short, "4", "a\n" * 5 + "4")
    assert not is_simple(Item("a b", context="c d"), "4", "4", words=3)
