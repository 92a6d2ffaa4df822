"""Answers, figures and tables as `tinylm prompt` prints them."""

from dataclasses import replace

from tinylm.cli.use.prompt_output import (
    MOST,
    answer_line,
    comparison_table,
    failed_lines,
    report_lines,
    summary_lines,
)
from tinylm.data.read.items import Item
from tinylm.prompt.evaluation.compare import Row, Summary
from tinylm.prompt.evaluation.runner import Record


def test_lines_of_answers():
    record = Record(0, None, False, "a long reply", 1, 1, 1, 1, 0, 0.1)
    assert answer_line(record, Item("?", "5"), 2) == (
        "   1  (no answer could be read from 'a long reply')  wrong, it is 5"
    )
    assert answer_line(record, Item("?"), 1).startswith("(no answer")


def test_a_long_reply_is_cut():
    def line(text):
        return answer_line(Record(0, None, None, text, 1, 1, 1, 1, 0, 0.1), Item("?"), 1)

    assert line("x" * 200).endswith(f"from '{'x' * 200}')")
    assert line("x" * 199 + " yz").endswith(f"from '{'x' * 199} ..')")


def summary(right, count):
    return Summary(count, right, 0, 0.1, 0.9, 10.0, 1.0, 0.5)


def test_the_plain_side_of_a_comparison():
    rows = [Row("plain", summary(1, 2))]
    for samples, scored in [(12, False), (1, False), (1, True)]:
        rows.append(Row("m", summary(1, 2), samples, scored, summary(2, 2), (-0.5, -0.9, 0.3)))
    header, plain, *others = comparison_table(rows).splitlines()
    assert plain.rstrip().endswith("0.50")
    assert [line.partition("1.000 ")[2] for line in others] == [
        "( 12 samples)  -0.500 [-0.900, +0.300]",
        "(  1 sample)   -0.500 [-0.900, +0.300]",
        "(scored)       -0.500 [-0.900, +0.300]",
    ]


def test_questions_that_could_not_be_answered_are_named_with_the_reason():
    items = [Item("a?\nmore", "1"), Item("b" * 50, "2")] + [Item("c?")] * 20
    record = Record(1, None, False, "", 0, 0, 0, 0, 0, 0.0, "it is too long")
    assert answer_line(record, items[1], 22) == (
        "   2  (not answered: it is too long)  wrong, it is 2"
    )
    failed = ((0, "it is so long"), (1, "it is too long"))
    one = Summary(2, 0, 0, 0.0, 0.7, 3.0, 1.0, 0.5, failed, 4)
    assert summary_lines("few-shot", one, items).splitlines()[3:] == [
        "  4 prompts had no room for all demonstrations or texts",
        "  not answered, and counted as wrong: 2 of 22",
        "       1  a?: it is so long",
        f"       2  {'b' * 40}: it is too long",
    ]
    many = Summary(2, 0, 0, 0.0, 0.7, 3.0, 1.0, 0.5, tuple((i, "no") for i in range(MOST + 2)))
    lines = summary_lines("few-shot", many, items).splitlines()[3:]
    assert len(lines) == 1 + MOST + 1 and lines[-1] == "    and 2 more"
    assert "not answered" not in summary_lines("few-shot", summary(1, 2), items)


def test_what_a_method_reports_stands_in_lines():
    report = {"prompt": 'Say "a\nb".\x1b', "score": 0.123456789, "tokens": 12345.0}
    lines = [
        r'  prompt  "Say \"a\nb\".\u001b"',
        "  score   0.123457",
        "  tokens  12,345",
    ]
    assert report_lines(report) == lines and report_lines({}) == []
    one = replace(summary(1, 2), report=report)
    assert summary_lines("ape", one, [Item("?")] * 2).splitlines()[3:] == lines


def test_controls_of_a_reply_are_escapes():
    record = Record(0, "x\x1b[2J", False, "", 1, 1, 1, 1, 0, 0.1)
    line = answer_line(record, Item("?", "y\x08"), 2)
    assert line == r"   1  x\x1b[2J  wrong, it is y\x08"
    assert answer_line(record, Item("?"), 1) == r"x\x1b[2J"
    (_, failed) = failed_lines(((0, "long\x1b"),), [Item("q\x00?")])
    assert failed == r"       1  q\x00?: long\x1b"
