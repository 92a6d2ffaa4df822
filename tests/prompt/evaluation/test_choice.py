"""Multiple choice: each way of ranking the options counts what it should."""

import pytest

from tests.prompt.small import text_model
from tinylm.data.measure.calibration import expected_calibration_error
from tinylm.data.measure.proportions import wilson_interval
from tinylm.data.read.items import Item
from tinylm.errors import ConfigError, DataError
from tinylm.prompt import ScriptedLM
from tinylm.prompt.evaluation.choice import (
    TASKS,
    TOGETHER,
    ChoiceTask,
    evaluate_choices,
    task_named,
)

ITEMS = [Item("one?", "a", ("a", "bcd")), Item("two?", "bcd", ("a", "bcd"))]
# " a" is always the more probable, a character of " bcd" is after the second question, and
# against the prior " bcd" is after both.
SCRIPT = {
    "Answer:": {" a": -0.5, " bcd": -6.0},
    "Question: one?\nAnswer:": {" a": -1.0, " bcd": -4.5},
    "Question: two?\nAnswer:": {" a": -1.0, " bcd": -2.4},
}


def test_every_way_of_ranking_is_counted_from_the_same_scores():
    report = evaluate_choices(ScriptedLM(SCRIPT), TASKS["arc-easy"], ITEMS)
    assert report.count == 2 and report.chance == 0.5 and report.apart == 0
    assert report.right == {"sum": 1, "token": 1, "character": 2, "byte": 2, "unconditional": 1}
    assert report.prompt == "Question: one?\nAnswer:"
    assert report.interval("character") == (1.0, *wilson_interval(2, 2))


def test_calibration_is_of_the_customary_ranking():
    report = evaluate_choices(ScriptedLM(SCRIPT), TASKS["arc-easy"], ITEMS)
    sigmoid = [1 / (1 + 2.718281828**-d) for d in (3.5, 1.4)]
    assert report.error == pytest.approx(expected_calibration_error(sigmoid, [True, False]))
    # PIQA is reported a character: scores -1 and -1.5, then -1 and -0.8; both are right.
    other = evaluate_choices(ScriptedLM(SCRIPT), TASKS["piqa"], ITEMS)
    sigmoid = [1 / (1 + 2.718281828**-d) for d in (0.5, 0.2)]
    assert other.error == pytest.approx(expected_calibration_error(sigmoid, [True, True]))


def test_the_words_of_a_task_stand_for_the_options_of_the_file():
    item = Item("is it so?", "true", ("true", "false"))
    script = {
        "Answer:": {" yes": -1.0, " no": -1.0},
        "Question: is it so?\nAnswer: yes\n\nQuestion: is it so?\nAnswer:": {
            " yes": -1.0,
            " no": -2.0,
        },
    }
    report = evaluate_choices(ScriptedLM(script), TASKS["boolq"], [item], [item])
    assert report.right["sum"] == 1


def test_progress_is_shown_after_every_call():
    items = [Item(f"{i}?", "a", ("a", "b")) for i in range(TOGETHER + 3)]
    shown = []
    report = evaluate_choices(text_model(), ChoiceTask(), items, show=lambda *x: shown.append(x))
    assert shown == [(TOGETHER, TOGETHER + 3), (TOGETHER + 3, TOGETHER + 3)]
    assert report.count == TOGETHER + 3


def test_what_cannot_be_scored_is_refused():
    lm = text_model()
    with pytest.raises(DataError, match="there are no items"):
        evaluate_choices(lm, ChoiceTask(), [])
    with pytest.raises(DataError, match="has no gold option"):
        evaluate_choices(lm, ChoiceTask(), [Item("open?", "yes")])
    with pytest.raises(ConfigError, match="no task 'arc'; there are choice, arc-easy"):
        task_named("arc")


def test_tasks_are_reported_as_is_customary():
    assert {name: task.normalization for name, task in TASKS.items()} == {
        "choice": "sum",
        "arc-easy": "sum",
        "piqa": "character",
        "boolq": "sum",
    }
