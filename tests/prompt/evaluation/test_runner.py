"""A method on a list of questions, kept in a file that can be continued."""

import json

import pytest

from tests.prompt.small import text_model
from tinylm.data.read.items import Item
from tinylm.errors import ConfigError, DataError
from tinylm.prompt import Answer, ScriptedLM
from tinylm.prompt.evaluation.answer_file import file_head, fingerprint
from tinylm.prompt.evaluation.runner import Record, answer_items, read_record
from tinylm.prompt.in_context.few_shot import zero_shot

ITEMS = [Item("one?", "1"), Item("two?", "2"), Item("three?")]
ABOUT = {"model": "scripted", "method": "echo"}


def method(lm, item, demonstrations=(), *, seed=0, suffix=""):
    reply = lm.complete(item.question + suffix)
    return Answer(reply.text or None, reply.text, {"seed": seed})


def script():
    return ScriptedLM([("one?", "1"), ("two?", ""), ("three?", "3 or 4")])


def run(lm, file=None, items=ITEMS, **options):
    return list(answer_items(lm, method, items, file=file, about=ABOUT, **options))


def test_every_item_is_answered_judged_and_accounted():
    first, second, third = run(script())
    assert (first.item, first.value, first.right) == (0, "1", True)
    assert (second.value, second.right) == (None, False)
    assert (third.value, third.right, third.generated_tokens) == ("3 or 4", None, 3)
    assert (first.calls, first.prompt_tokens, first.tokens) == (1, 1, 2)


def test_each_item_has_a_seed_of_its_own():
    seeds = []

    def seeded(lm, item, demonstrations=(), *, seed=0):
        seeds.append(seed)
        return Answer("x")

    list(answer_items(ScriptedLM([]), seeded, ITEMS, seed=7))
    assert seeds == [7, 1007, 2007]


def test_an_interrupted_run_goes_on_behind_its_last_answer(tmp_path):
    file = tmp_path / "deep" / "answers.jsonl"
    going = answer_items(script(), method, ITEMS, file=file, about=ABOUT)
    kept = [next(going)]
    assert len(file.read_text().splitlines()) == 2  # written at once
    going.close()
    # The rest of the script is enough: the first question is not sent again.
    lm = ScriptedLM([("two?", ""), ("three?", "3 or 4")])
    records = run(lm, file)
    assert records[0] == kept[0] and [r.item for r in records] == [0, 1, 2] and lm.finished
    assert run(ScriptedLM([]), file) == records
    head, *lines = file.read_text().splitlines()
    assert json.loads(head) == file_head(ABOUT, {}, [], 0)
    found = [json.loads(line) for line in lines]
    assert [line.pop("question") for line in found] == [fingerprint([item]) for item in ITEMS]
    assert [Record(**line) for line in found] == records


def test_a_half_written_line_is_answered_again(tmp_path):
    file = tmp_path / "answers.jsonl"
    run(script(), file)
    whole = file.read_text()
    file.write_text(whole[:-20])
    run(ScriptedLM([("three?", "3 or 4")]), file)
    assert [line.split('"seconds"')[0] for line in file.read_text().splitlines()] == [
        line.split('"seconds"')[0] for line in whole.splitlines()
    ]


def test_a_file_of_another_run_is_refused(tmp_path):
    file = tmp_path / "answers.jsonl"
    run(script(), file)
    with pytest.raises(ConfigError, match="another run: seed was 0 and is 3; give"):
        run(script(), file, seed=3)
    with pytest.raises(ConfigError, match="another run: suffix was None and is '!'; give"):
        run(script(), file, suffix="!")
    with pytest.raises(ConfigError, match="another run: the demonstrations differ; give"):
        run(script(), file, demonstrations=[Item("zero?", "0")])
    with pytest.raises(ConfigError, match="the questions differ, the first at line 3"):
        run(script(), file, items=[ITEMS[0], *ITEMS])


def test_more_questions_extend_a_run_and_fewer_read_its_beginning(tmp_path):
    file = tmp_path / "answers.jsonl"
    run(script(), file, items=ITEMS[:2])
    lm = ScriptedLM([("three?", "3 or 4")])
    assert len(run(lm, file)) == 3 and lm.finished
    assert [record.item for record in run(ScriptedLM([]), file, items=ITEMS[:1])] == [0]
    assert len(file.read_text().splitlines()) == 4  # nothing is lost


def test_a_file_with_lines_missing_is_refused(tmp_path):
    file = tmp_path / "answers.jsonl"
    run(script(), file)
    head, _, *rest = file.read_text().splitlines()
    file.write_text("\n".join([head, *rest]) + "\n")
    with pytest.raises(DataError, match="line 2: item 1, where 0 was expected"):
        run(script(), file)


def test_options_reach_the_method():
    records = run(ScriptedLM([("one?!", "1")]), items=ITEMS[:1], suffix="!")
    assert records[0].right


def picky(lm, item, demonstrations=(), *, seed=0, wrong=False):
    if wrong:
        raise ConfigError("no such setting")
    reply = lm.complete(item.question)
    if item.question == "two?":
        raise DataError("too long")
    return Answer(reply.text, reply.text, {"dropped": ("a", "b")})


def test_an_item_that_cannot_be_answered_does_not_end_the_run(tmp_path):
    file = tmp_path / "answers.jsonl"
    records = list(answer_items(script(), picky, ITEMS, file=file))
    assert [(r.value, r.right, r.error, r.dropped) for r in records] == [
        ("1", True, "", 2),
        (None, False, "too long", 0),
        ("3 or 4", None, "", 2),
    ]
    assert records[1].calls == 1 and records[1].text == ""  # what it cost before it failed
    # It is not tried again: the same command would stop at it once more.
    assert list(answer_items(ScriptedLM([]), picky, ITEMS, file=file)) == records


def test_an_error_of_the_setting_ends_the_run_at_once():
    going = answer_items(script(), picky, ITEMS, wrong=True)
    with pytest.raises(ConfigError, match="no such setting"):
        next(going)


def test_a_prompt_longer_than_the_context_is_such_an_item():
    lm = text_model(context=64)
    items = [Item("a?"), Item("x" * 70), Item("b?")]
    records = list(answer_items(lm, zero_shot, items, max_tokens=8))
    assert [bool(record.error) for record in records] == [False, True, False]
    assert "77 tokens" in records[1].error  # end of text, "Q: ", 70 bytes, "\nA:"


VALUES = vars(Record(0, "x", True, "x.", 1, 2, 2, 3, 0, 0.5))


def test_a_record_is_read_from_its_values():
    assert vars(read_record(VALUES)) == VALUES
    assert read_record({**VALUES, "value": None, "right": None, "seconds": 1}).value is None


@pytest.mark.parametrize(
    "change, message",
    [
        ({"right": "no"}, "right must be bool or NoneType, not 'no'"),
        ({"right": 1}, "right must be bool"),
        ({"value": 5}, "value must be str"),
        ({"text": None}, "text must be str"),
        ({"item": True}, "item must be int"),
        ({"calls": 1.5}, "calls must be int"),
        ({"seconds": float("inf")}, "seconds must be int or float"),
        ({"error": None}, "error must be str"),
        ({"dropped": "2"}, "dropped must be int"),
        ({"more": 1}, "missing or unknown: more"),
    ],
)
def test_what_is_no_record_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        read_record({**VALUES, **change})
    with pytest.raises(ValueError, match="missing or unknown: calls"):
        read_record({name: value for name, value in VALUES.items() if name != "calls"})
