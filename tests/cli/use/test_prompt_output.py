"""Answers, figures and tables as `tinylm prompt` prints them."""

from tinylm.cli.use.prompt_output import answer_line, comparison_table
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
