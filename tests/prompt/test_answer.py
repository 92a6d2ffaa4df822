"""Options that count are 1 or more; each method checks its own before the model is called."""

import pytest

from tinylm.data.read.items import Item
from tinylm.errors import ConfigError
from tinylm.prompt import ScriptedLM
from tinylm.prompt.answer import check_counts
from tinylm.prompt.evaluation.methods import METHODS

ITEM = Item("Which one?: jump", context="One. Two.")


def test_counts_are_1_or_more():
    check_counts("method", width=1, depth=2)
    with pytest.raises(ConfigError, match="^method: depth=0 must be 1 or more$"):
        check_counts("method", width=1, depth=0)


@pytest.mark.parametrize(
    "name, option",
    [
        ("best-of-n", "n"),
        ("least-risk", "samples"),
        ("multi-hop", "k"),
        ("scan", "most"),
        ("self-consistency", "samples"),
        ("tree-of-thoughts", "branches"),
        ("tree-of-thoughts", "depth"),
        ("tree-of-thoughts", "width"),
    ],
)
def test_methods_name_the_option_that_is_wrong(name, option):
    with pytest.raises(ConfigError, match=f": {option}=0 must be 1 or more"):
        METHODS[name].load()(ScriptedLM([]), ITEM, **{option: 0})
