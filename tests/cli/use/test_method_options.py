"""Options of the command line go to the methods that have them."""

import pytest

from tinylm.cli.use.method_options import named_options
from tinylm.errors import ConfigError
from tinylm.prompt.evaluation.methods import METHODS


def test_an_option_goes_to_the_methods_that_have_it():
    methods = [METHODS[name] for name in ("zero-shot", "self-consistency", "best-of-n", "tools")]
    found = named_options(methods, ("temperature=0.5", "samples=3", "sc.answer-tokens=4"))
    assert found == {
        "zero-shot": {},
        "self-consistency": {"temperature": 0.5, "samples": 3, "answer_tokens": 4},
        "best-of-n": {"temperature": 0.5},
        "tools": {"temperature": 0.5},
    }
    assert named_options(methods, ("tools.top_p=0.9",))["tools"] == {"top_p": 0.9}
    with pytest.raises(ConfigError, match="the method zero-shot has .*; the method self-consist"):
        named_options(methods, ("nothing=3",))
    with pytest.raises(ConfigError, match="temperature must be a number"):
        named_options(methods, ("tools.temperature=hot",))
