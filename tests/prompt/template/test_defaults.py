"""Methods draw nothing unless told to: seed 0, and room for a reply of the task's length."""

import inspect

import pytest

from tinylm.prompt import template

DEFAULTS = {
    "solve_stepwise": {"max_tokens": 512},
    "solve_then_judge": {"max_tokens": 512, "rounds": template.SOLVE_THEN_JUDGE},
    "answer_from_context": {"max_tokens": 128},
}


@pytest.mark.parametrize("name", DEFAULTS)
def test_defaults_are_as_stated(name):
    parameters = inspect.signature(getattr(template, name)).parameters
    assert parameters["seed"].default == 0
    for option, value in DEFAULTS[name].items():
        assert parameters[option].default == value
    run = inspect.signature(template.Rounds.run).parameters
    assert (run["seed"].default, run["max_tokens"].default) == (0, 512)


def test_what_describes_a_prompt_cannot_be_changed():
    spec = template.TaskSpec("a", "b", (("c", "d"),))
    steps = template.read_steps("")
    values = (spec, template.PromptTemplate("a"), template.Check("a", True))
    assert all(len({one, one}) == 1 for one in values)
    with pytest.raises(AttributeError):
        steps.ordered = False
