"""Rules for programs."""

import pytest

from tinylm.data.clean.code import enough_letters, short_lines, tidied
from tinylm.data.clean.pipeline import Pipeline, code_steps
from tinylm.errors import ConfigError

PROGRAM = "def f(x):\n    if x:\n        return x[1]\n\n\n\treturn  0\n"


def test_indentation_brackets_and_blank_lines_stay():
    assert tidied("\ufeff" + PROGRAM.replace("\n", "  \r\n")) == PROGRAM.strip("\n")
    assert list(Pipeline(code_steps())([PROGRAM])) == [PROGRAM.strip("\n")]


def test_minified_and_generated_files_go():
    long = "x=1;" * 300  # 1200 characters in a line
    assert short_lines()(PROGRAM) and not short_lines()(PROGRAM + long)
    assert not short_lines()("\n".join(["a" * 101] * 3)) and short_lines()("a" * 100)
    assert enough_letters()(PROGRAM) and not enough_letters()("{}[]();," * 10 + "a")


def test_copies_go_and_steps_can_be_left_out():
    assert len(list(Pipeline(code_steps())([PROGRAM, PROGRAM]))) == 1
    both = Pipeline(code_steps(without=["exact copies", "near copies"]))
    assert len(list(both([PROGRAM, PROGRAM]))) == 2
    with pytest.raises(ConfigError, match="no step 'sentences'"):
        code_steps(without=["sentences"])
