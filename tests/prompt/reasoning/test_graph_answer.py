"""Solutions of a question are generated, merged and improved, and the best of all is the answer."""

import pytest

from tinylm.data.read.items import Item
from tinylm.errors import ConfigError
from tinylm.prompt import ScriptedLM
from tinylm.prompt.reasoning.graph_answer import COMBINE, IMPROVE, graph_of_thoughts

ITEM = Item("2+2?", "4")


def evaluation(sure):
    """The scores of a solution that is sure to be right with about this probability."""
    return {" sure": -1.0 if sure else -9.0, " likely": -5.0, " impossible": -9.0 if sure else -1.0}


def script(*replies):
    return ScriptedLM([(None, reply) for reply in replies])


def test_the_best_solutions_are_merged_and_improved():
    lm = script(
        " One. The answer is 3.",
        " Two. The answer is 5.",
        " Six. The answer is 6.",
        evaluation(False),
        evaluation(True),
        evaluation(True),
        " Both. The answer is 4.",
        evaluation(True),
        " Better. The answer is 4.",
        " Worse. The answer is 7.",
        evaluation(False),
        evaluation(False),
    )
    answer = graph_of_thoughts(lm, ITEM, branches=3, keep=2, merges=1)
    assert lm.finished and answer.value == "5" and answer.text == " Two. The answer is 5."
    merge = lm.prompts[6]
    # The two that were kept, the better one last, and not the third.
    assert merge.startswith(f"{COMBINE}\nQuestion: 2+2?\nSolution 1: Six. The answer is 6.\n")
    assert merge.endswith("Solution 2: Two. The answer is 5.\nCombined solution:")
    assert lm.prompts[8].startswith(f"{IMPROVE}\nQuestion: 2+2?\nSolution 1: Two.")
    assert lm.prompts[8].endswith("\nImproved solution:") and "Solution 2" not in lm.prompts[8]
    graph = answer.details["graph"]
    assert [len(one.parents) for one in graph.thoughts] == [0, 1, 1, 1, 2, 1, 1]
    assert graph.thoughts[4].parents == (2, 3) and graph.volume(4) == 3
    assert answer.details["best"] == 2


def test_a_merged_solution_that_is_best_is_the_answer():
    lm = script(" The answer is 3.", evaluation(False), " The answer is 4.", evaluation(True))
    options = {"branches": 1, "keep": 1, "merges": 1, "rounds": 0}
    answer = graph_of_thoughts(lm, ITEM, **options)
    assert answer.value == "4" and answer.details["best"] == 2 and lm.finished


def test_the_best_without_an_answer_has_none():
    lm = script(" The answer is 3.", evaluation(False), " Hm.", evaluation(True))
    options = {"branches": 1, "keep": 1, "merges": 1, "rounds": 0}
    assert graph_of_thoughts(lm, ITEM, **options).value is None


def test_no_two_replies_have_the_same_seed_and_settings_reach_the_model():
    class Noted(ScriptedLM):
        seen = []

        def _complete(self, prompts, begins, max_tokens, stop, seed, sampling):
            self.seen.append((len(prompts), seed, max_tokens, sampling["temperature"]))
            return super()._complete(prompts, begins, max_tokens, stop, seed, sampling)

    solution = " The answer is 4."
    lm = Noted(
        [(None, solution)] * 4
        + [(None, evaluation(True))] * 4
        + [(None, solution)] * 2
        + [(None, evaluation(True))] * 2
        + [(None, solution)] * 2
        + [(None, evaluation(True))] * 2
    )
    graph_of_thoughts(lm, ITEM, seed=10)
    # Four chains, two merged ones, and one round of two refinements.
    assert [(n, seed) for n, seed, *_ in lm.seen] == [(4, 10), (1, 14), (1, 15), (1, 16), (1, 17)]
    assert {tuple(settings) for _, _, *settings in lm.seen} == {(256, 0.7)}
    assert lm.finished


def test_demonstrations_are_shown_where_solutions_begin():
    demo = Item("1+1?", "2", rationale="One and one.")
    lm = script(" The answer is 4.", evaluation(True), " The answer is 4.", evaluation(True))
    options = {"branches": 1, "keep": 1, "merges": 1, "rounds": 0}
    answer = graph_of_thoughts(lm, ITEM, [demo], **options)
    assert "Q: 1+1?\nA: One and one. The answer is 2." in lm.prompts[0]
    assert "1+1?" not in lm.prompts[2]
    assert answer.details["kept"] == (demo,) and answer.details["dropped"] == ()


def test_solutions_without_room_are_left_out_the_worst_first():
    long = " word" * 40 + " The answer is 3."
    lm = ScriptedLM(
        [
            (None, long),
            (None, " The answer is 4."),
            (None, evaluation(False)),
            (None, evaluation(True)),
            (None, " The answer is 8."),
            (None, evaluation(True)),
        ],
        context=90,
    )
    options = {"branches": 2, "keep": 2, "merges": 1, "rounds": 0, "max_tokens": 45}
    graph_of_thoughts(lm, ITEM, **options)
    assert "word" not in lm.prompts[4] and "Solution 1: The answer is 4." in lm.prompts[4]


@pytest.mark.parametrize("name", ["branches", "keep", "merges"])
def test_impossible_graphs_are_refused(name):
    with pytest.raises(ConfigError, match=f"graph_of_thoughts: {name}=0 must be 1 or more"):
        graph_of_thoughts(ScriptedLM([]), ITEM, **{name: 0})
