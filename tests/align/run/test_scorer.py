import hashlib

import numpy as np
import pytest

from tinylm.align.run.scorer import open_scorer
from tinylm.errors import ConfigError, DataError

TALK = [{"role": "user", "content": "How long?"}]


@pytest.fixture
def written(tmp_path):
    """Write a file of code; returns "FILE:name"."""

    def write(code, name="f"):
        path = tmp_path / "mine.py"
        path.write_text(code)
        return f"{path}:{name}"

    return write


def test_a_function_of_two_texts_scores_every_answer(written):
    score = open_scorer(written("def f(prompt, answer):\n    return len(prompt) + len(answer)\n"))
    found = score(TALK, ["ab", ""])
    assert found.tolist() == [11, 9] and found.dtype == np.float64  # "How long?" has 9 characters


def test_a_function_of_three_also_gets_the_record(written):
    score = open_scorer(written("def f(prompt, answer, record):\n    return record.get('x', 5)\n"))
    assert score(TALK, ["a"], {"x": 7}).tolist() == [7]
    with pytest.raises(ConfigError, match="needs the record of a prompt"):
        score(TALK, ["a"])


def test_a_record_with_a_default_is_left_to_the_function(written):
    score = open_scorer(written("def f(prompt, answer, record=5):\n    return record\n"))
    assert score(TALK, ["a"]).tolist() == [5] and score(TALK, ["a"], 7).tolist() == [7]


def test_the_file_of_a_function_has_a_hash(written):
    code = "def f(prompt, answer):\n    return 1\n"
    before, again = open_scorer(written(code)).sha256, open_scorer(written(code)).sha256
    assert before == again == hashlib.sha256(code.encode()).hexdigest()
    assert open_scorer(written(code + "\n")).sha256 != before


@pytest.mark.parametrize(
    "code, words",
    [
        ("def f(prompt):\n    return 1\n", r"is called with .*, and takes \(prompt\)"),
        ("f = 3\n", "is 3, which cannot be called"),
        ("def g(a, b):\n    return 1\n", "has no 'f'; it has g"),
        ("def f(a, b)\n    return 1\n", "SyntaxError"),
        ("import sys\nsys.exit(0)\n", r"raised SystemExit: 0 \(line 2 of mine.py\)"),
        ("import math\nmath.sqrt(-1)\n", r"raised ValueError: .* \(line 2 of mine.py\)"),
    ],
)
def test_what_is_no_reward_function_is_refused_with_the_reason(written, code, words):
    with pytest.raises(ConfigError, match=words):
        open_scorer(written(code))


@pytest.mark.parametrize(
    "body, words",
    [
        ("return 'good'", "returned 'good' for the answer 'a': return a finite number"),
        ("return float('nan')", "returned nan"),
        ("return None", "returned None"),
        ("raise SystemExit(3)", r"raised SystemExit: 3 \(line 2 of mine.py\)"),
        ("return 1 / 0", r"raised ZeroDivisionError: .* \(line 2 of mine.py\)"),
    ],
)
def test_a_reward_that_is_no_number_names_the_answer(written, body, words):
    score = open_scorer(written(f"def f(prompt, answer):\n    {body}\n"))
    with pytest.raises(DataError, match=words):
        score(TALK, ["a"])


@pytest.mark.parametrize(
    "text, words",
    [
        ("", "--reward is needed"),
        ("mine.py", "names no function: write mine.py:function"),
        ("nowhere", "there is no such run"),
        ("nowhere.py:f", "cannot open 'nowhere.py'"),
    ],
)
def test_what_cannot_be_opened_says_what_can(text, words):
    with pytest.raises(ConfigError, match=words):
        open_scorer(text)


def test_a_file_imports_from_its_own_folder(written, tmp_path):
    (tmp_path / "beside_mine.py").write_text("VALUE = 3\n")
    score = open_scorer(
        written("import beside_mine\n\n\ndef f(prompt, answer):\n    return beside_mine.VALUE\n")
    )
    assert score(TALK, ["a"]).tolist() == [3]
