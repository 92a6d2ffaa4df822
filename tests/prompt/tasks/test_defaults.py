"""Methods draw nothing unless told to: seed 0, and room for a reply of the task's length."""

import inspect

import pytest

from tinylm.prompt import tasks

# {method: the defaults after seed=0: max_tokens, and what else is a choice}
DEFAULTS = {
    "classify_generated": {"max_tokens": 48, "mapper": None},
    "classify_by_cloze": {"max_tokens": 8, "mapper": None},
    # Eq. 3.1 compares probabilities as they are.
    "classify_by_scores": {"max_tokens": 0, "normalization": "sum"},
    "classify_by_verbalizer": {"max_tokens": 0, "normalization": "sum"},
    "extract": {"max_tokens": 256},
    "extract_entities": {"max_tokens": 256, "types": None},
    "extract_names": {"max_tokens": 128},
    "extract_relations": {"max_tokens": 256},
    "continue_story": {"max_tokens": 256},
    "continue_dialogue": {"max_tokens": 64, "turns": 2},
    "write": {"max_tokens": 256, "tries": 4, "constraints": ()},
    "generate_until": {"max_tokens": 256, "tries": 4},
    "write_function": {"max_tokens": 256, "cases": ()},
    "complete_function": {"max_tokens": 256, "cases": ()},
    "translate": {"max_tokens": 128, "source": "English", "target": "Spanish"},
    "summarize": {"max_tokens": 128, "limit": 50, "tries": 4},  # the book's 50 words
    "rewrite": {"max_tokens": 128, "style": "formal"},
    "answer_question": {"max_tokens": 32},
    "answer_word_problem": {"max_tokens": 256},
    "choose_by_letter": {"max_tokens": 0},
    "choose_by_option": {"max_tokens": 0, "normalization": "character"},
    "choose_by_cloze": {"max_tokens": 0, "normalization": "unconditional"},
    "choose_generated": {"max_tokens": 64},
}


@pytest.mark.parametrize("name", DEFAULTS)
def test_defaults_are_as_stated(name):
    parameters = inspect.signature(getattr(tasks, name)).parameters
    assert parameters["seed"].default == 0
    for option, value in DEFAULTS[name].items():
        assert parameters[option].default == value


def test_prompts_and_results_cannot_be_changed():
    prompt = tasks.ClassificationPrompt()
    assert (prompt.attribute, prompt.definitions, prompt.only_label) == ("polarity", (), False)
    for one in (prompt, tasks.Mapped("a", "exact"), tasks.Limits(), tasks.Ran("passed")):
        assert len({one, one}) == 1  # values that do not change can be keys
