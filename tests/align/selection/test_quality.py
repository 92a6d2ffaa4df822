"""Samples chosen by a judge's score, or by length."""

import numpy as np
import pytest

from tinylm.align.selection import detection, lm_judge, longest, score_with_judge, top_quality
from tinylm.align.selection.quality import THRESHOLD, judge_prompt
from tinylm.align.synthesis.tasks import TASKS, task_samples
from tinylm.data.read.instructions import Instruction
from tinylm.errors import ConfigError, DataError, ShapeError
from tinylm.prompt import ScriptedLM

SAMPLE = Instruction("Add the numbers.", "3", "1 2")


def test_the_judge_reads_instruction_input_and_response_and_writes_a_score():
    prompt = judge_prompt(SAMPLE)
    assert prompt.endswith(
        "Write the score first.\nInstruction: Add the numbers.\nInput: 1 2\nResponse: 3\nScore:"
    )
    assert "\nInput:" not in judge_prompt(Instruction("Go.", "gone"))
    judge = lm_judge(ScriptedLM([(prompt, " 4.5 of 5: right."), (None, "5")]))
    assert (judge(SAMPLE), judge(SAMPLE)) == (4.5, 5.0)
    assert THRESHOLD == 4.5


@pytest.mark.parametrize("reply", ["excellent", "", "I give 9 of 10.", "5.5"])
def test_a_reply_without_a_score_of_the_scale_is_no_score(reply):
    assert np.isnan(lm_judge(ScriptedLM([(None, reply)]))(SAMPLE))


def test_the_best_are_chosen_by_number_or_by_threshold():
    scores = [2.0, np.nan, 5.0, 4.5, 5.0]
    assert top_quality(scores, k=3).tolist() == [2, 4, 3]  # of equal scores the earlier one
    assert top_quality(scores, threshold=4.5).tolist() == [2, 4, 3]
    assert top_quality(scores, threshold=4.6).tolist() == [2, 4]
    assert top_quality(scores, k=0).tolist() == [] == top_quality([], k=0).tolist()
    assert top_quality([-1.0, -np.inf], k=2).tolist() == [0, 1]


def test_what_cannot_be_chosen_is_refused():
    for options in ({}, {"k": 1, "threshold": 1.0}, {"k": 4}, {"k": -1}):
        with pytest.raises(ConfigError, match="top_quality"):
            top_quality([1.0, 2.0, 3.0], **options)
    with pytest.raises(DataError, match="2 are wanted and 1 samples have a score"):
        top_quality([1.0, np.nan], k=2)
    assert top_quality([3.0, 2.0], k=2).tolist() == [0, 1]


def test_a_perfect_judge_removes_exactly_the_corrupted_samples():
    samples, bad = task_samples(["add", "sort", "count"], 10), np.arange(30) % 3 == 0
    corrupted = [
        Instruction(one.instruction, "?" if wrong else one.output, one.input, task=one.task)
        for one, wrong in zip(samples, bad)
    ]
    scores = score_with_judge(
        lambda one: float(one.output == TASKS[one.task].solve(one.input)), corrupted
    )
    kept = top_quality(scores, threshold=1.0)
    assert kept.tolist() == np.flatnonzero(~bad).tolist()
    assert detection(scores, ~bad) == 1.0


def test_detection_is_the_share_of_pairs_in_the_right_order():
    good = [True, True, False, False]
    assert detection([3.0, 1.0, 2.0, 0.0], good) == 3 / 4
    assert detection([1.0, 1.0, 1.0, 1.0], good) == 1 / 2
    assert detection([0.0, 0.0, 1.0, 2.0], good) == 0.0
    with pytest.raises(DataError, match="needs both"):
        detection([1.0, 2.0], [True, True])
    with pytest.raises(DataError, match="needs both"):
        detection([1.0, 2.0], [False, False])
    with pytest.raises(ShapeError, match="scores for"):
        detection([1.0], [True, False])


def test_the_longest_answers_are_counted_in_words():
    samples = [Instruction("a", text) for text in ("one two", "one", "one two three", "x, y; z")]
    assert longest(samples, 2).tolist() == [2, 3]
    assert longest(samples, 1, length=lambda one: -len(one.output)).tolist() == [1]
