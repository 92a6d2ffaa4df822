"""The transfer matrix: every prompt with every model, on the same examples."""

import numpy as np
import pytest

from tinylm.errors import ConfigError, DataError
from tinylm.prompt.optimize.search import exhaustive, search_prompts
from tinylm.prompt.optimize.space import PromptSpace
from tinylm.prompt.optimize.transfer import transfer_matrix

TABLES = {
    "small": {"p": 0.25, "q": 0.5, "r": 0.0},
    "large": {"p": 1.0, "q": 0.5, "r": 0.75},
}
SPACE = PromptSpace(["p", "q", "r"])


def measure(table, seen):
    def measured(pairs):
        seen.update(item for _, item in pairs)
        return [table[prompt] + item / 1000 for prompt, item in pairs]

    return measured


def run(items, test, **settings):
    seen = {name: set() for name in TABLES}
    measures = {name: measure(table, seen[name]) for name, table in TABLES.items()}
    optimize = lambda evaluate: search_prompts(SPACE, evaluate, exhaustive, batch=1)  # noqa: E731
    return transfer_matrix(measures, items, test, optimize, **settings), seen


def test_rows_are_prompts_and_columns_models():
    found, seen = run([0, 1], [4, 8])
    assert found.names == ("small", "large") and found.prompts == ["q", "p"]
    # q with small and large, then p; 6 / 1000 is the mean of the test examples
    np.testing.assert_allclose(found.scores, np.array([[0.5, 0.5], [0.25, 1.0]]) + 0.006)
    assert seen == {"small": {0, 1, 4, 8}, "large": {0, 1, 4, 8}}
    np.testing.assert_allclose(found.losses, [[0, 0.5], [0.25, 0]], atol=1e-12)


def test_the_budget_is_that_of_each_search():
    found, _ = run([0, 1], [4], budget=2)
    assert found.prompts == ["p", "p"]  # each saw the first prompt alone
    np.testing.assert_array_equal(found.losses, np.zeros((2, 2)))


def test_the_table_names_both_sides():
    lines = run([0], [4])[0].table().split("\n")
    assert lines == [
        "found with    small    large",
        "     small    0.504    0.504",
        "     large    0.254    1.004",
    ]


def test_test_examples_take_no_part_in_a_search():
    with pytest.raises(DataError, match="a test example"):
        run([0, 1], [1, 2])
    with pytest.raises(ConfigError, match="one model or more"):
        transfer_matrix({}, [0], [1], None)
