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


class Counting(ScriptedLM):
    """Notes how many questions are scored at a time."""

    def __init__(self, script, context=None):
        super().__init__(script, context)
        self.sizes = []

    def _score(self, prompts, lists, begins):
        self.sizes.append(len(prompts))
        return super()._score(prompts, lists, begins)


def test_demonstrations_without_room_are_dropped_and_reported():
    # The question has 3 words, a demonstration 4, an option 1.
    demos = [Item("x?", "a", ("a", "bcd")), Item("y?", "a", ("a", "bcd"))]
    last = "Question: y?\nAnswer: a\n\n"
    script = {last + key if key.startswith("Q") else key: value for key, value in SCRIPT.items()}
    report = evaluate_choices(ScriptedLM(script, context=8), TASKS["arc-easy"], ITEMS, demos)
    assert report.dropped == ((0, 1), (1, 1)) and report.failed == ()
    assert report.prompt == f"{last}Question: one?\nAnswer:"
    report = evaluate_choices(ScriptedLM(SCRIPT), TASKS["arc-easy"], ITEMS)
    assert report.dropped == ()


def test_an_item_that_is_too_long_counts_as_wrong():
    long = Item("one two three four five?", "a", ("a", "bcd"))
    lm = ScriptedLM(SCRIPT, context=5)
    report = evaluate_choices(lm, TASKS["arc-easy"], [long, *ITEMS])
    assert report.count == 3 and report.right["sum"] == 1
    ((number, reason),) = report.failed
    assert number == 0 and "question alone have 7 tokens, and 4 are allowed" in reason
    assert report.prompt == "Question: one?\nAnswer:"
    with pytest.raises(DataError, match="no item could be scored: instruction and question"):
        evaluate_choices(lm, TASKS["arc-easy"], [long])


def test_a_resumed_run_has_the_report_of_one_that_was_not_interrupted(tmp_path):
    items = [Item(f"{i}?" * (1 + i % 3), "a", ("a", "bcd")) for i in range(TOGETHER + 9)]
    items.insert(3, Item("x" * 99, "a", ("a", "bcd")))
    demos, file = [Item("y?", "bcd", ("a", "bcd"))], tmp_path / "scores.jsonl"

    def run(file=None, items=items, **options):
        return evaluate_choices(text_model(), TASKS["piqa"], items, demos, file=file, **options)

    whole = run()

    def interrupt(done, count):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(file, show=interrupt)
    assert len(file.read_text().splitlines()) == 1 + TOGETHER
    assert run(file) == whole and whole.failed[0][0] == 3
    # Nothing is scored again, and the numbers are the same to the bit.
    assert (
        evaluate_choices(Counting([], context=96), TASKS["piqa"], items, demos, file=file).right
        == whole.right
    )
    # Of a file that ends within a batch, the rest of that batch is scored, then whole batches.
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(lines[: 1 + TOGETHER - 2]))
    shown = []
    assert run(file, show=lambda *now: shown.append(now)).right == whole.right
    assert [done for done, _ in shown] == [TOGETHER, len(items)]
    assert run(file, items[:5]).count == 5
    # Another customary ranking has the same scores, another prompt has not.
    evaluate_choices(Counting([], context=96), ChoiceTask(), items, demos, file=file)
    with pytest.raises(ConfigError, match="unconditional was 'Answer:' and is 'A:'"):
        evaluate_choices(text_model(), ChoiceTask(unconditional="A:"), items, demos, file=file)
    with pytest.raises(ConfigError, match="the weights of the model have changed"):
        run(file, about={"weights": "x"})
    with pytest.raises(ConfigError, match="the demonstrations differ"):
        evaluate_choices(text_model(), TASKS["piqa"], items, file=file)
