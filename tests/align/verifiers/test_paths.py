import numpy as np
import pytest

from tinylm.align.rewards.step_labels import LabeledStep, first_error, step_labels
from tinylm.align.verifiers.paths import JudgedPath, judged_path, labeled_parts, text_reader
from tinylm.errors import DataError
from tinylm.tokenizers import ByteTokenizer

GOLD = "2 + 2 = <<2+2=4>>4 red\n4 * 3 = <<4*3=12>>12 in all"


def step(text, label):
    return LabeledStep(text, label)


def test_a_question_and_the_lines_of_a_path_become_ids():
    read = text_reader(ByteTokenizer(), begin=(256,))
    question, steps = read("Q?", "a\nbc")
    assert question.tolist() == [256, *b"Q?\n"]
    assert [part.tolist() for part in steps] == [list(b"a\n"), list(b"bc")]
    assert text_reader(ByteTokenizer(), between=" ")("Q", "")[0].tolist() == list(b"Q ")
    one = judged_path(read, "Q?", "a\nbc", True)
    assert one.ids.tolist() == [256, *b"Q?\na\nbc"] and one.start == 4 and one.right is True
    assert judged_path(read, "Q?", "a").right is None


def test_what_is_not_wrong_is_imitated():
    ids = np.arange(3)
    assert [JudgedPath(ids, 1, right).imitated for right in (True, None, False)] == [1, 1, 0]


@pytest.mark.parametrize("start", [0, 3])
def test_question_and_path_have_a_token_each(start):
    with pytest.raises(DataError, match=f"{start} of 3 tokens"):
        JudgedPath(np.arange(3), start, True)
    assert JudgedPath(np.arange(3), 2, True).start == 2


def test_a_line_without_a_mark_belongs_to_the_part_after_it():
    steps = [
        step("so\n", None),
        step("1\n", "correct"),
        step("then\n", None),
        step("2\n", "neutral"),
    ]
    assert labeled_parts(steps) == [("so\n1\n", "correct"), ("then\n2\n", "neutral")]
    # and at the end to the last part
    assert labeled_parts([*steps[:2], step("done", None)]) == [("so\n1\ndone", "correct")]
    assert labeled_parts([step("so", None)]) == labeled_parts([]) == []


def test_after_the_first_error_labels_are_of_no_use():
    labels = ["correct", "incorrect", "correct"]
    steps = [step(f"{i}\n", label) for i, label in enumerate(labels)]
    assert [label for _, label in labeled_parts(steps)] == labels[:2]
    assert [label for _, label in labeled_parts(steps, after_error=True)] == labels
    # an unlabeled line after the error is not part of it either
    assert labeled_parts([step("x\n", "incorrect"), step("y", None)]) == [("x\n", "incorrect")]


def test_two_errors_that_cancel_are_right_by_outcome_and_wrong_by_steps():
    # 2 + 2 = 5 is wrong, and so is 5 * 3 = 12: the answer is that of the gold solution
    path = "2 + 2 = <<2+2=5>>5 red\n5 * 3 = <<5*3=12>>12 in all"
    steps = step_labels(path, GOLD, "12")
    assert first_error(steps) == 0
    assert labeled_parts(steps) == [("2 + 2 = <<2+2=5>>5 red\n", "incorrect")]
    assert [label for _, label in labeled_parts(step_labels(GOLD, GOLD, "12"))] == ["correct"] * 2
