"""A template carried out as a program writes the same, and is the same template when read back."""

import dataclasses

import pytest

from tests.models.published.test_chat_template import CONVERSATIONS, jinja
from tinylm.errors import DataError
from tinylm.models.published.chat.written import OWN
from tinylm.models.published.chat_template import (
    ROLES,
    TEMPLATES,
    program_of,
    template_of,
    tokens_of,
)

KNOWN = {**TEMPLATES, "roles": ROLES}
KNOWN["chatml that says what it is"] = dataclasses.replace(
    TEMPLATES["chatml"], default="You're a \\ helpful\nmodel."
)


@pytest.mark.parametrize("name", KNOWN)
@pytest.mark.parametrize("add_prompt", [True, False])
def test_the_program_writes_what_the_function_writes(name, add_prompt):
    template = KNOWN[name]
    for messages in CONVERSATIONS:
        expected = jinja(program_of(template), messages, add_prompt, template.begin, template.end)
        if expected is None:
            with pytest.raises(DataError, match="take turns"):
                template.text(messages, add_prompt)
        else:
            assert template.text(messages, add_prompt) == expected


@pytest.mark.parametrize("name", KNOWN)
def test_read_back_it_is_the_function_again(name):
    template = KNOWN[name]
    again = template_of(program_of(template), tokens_of(template))
    assert again == dataclasses.replace(template, program=program_of(template))


def test_every_family_has_a_program():
    assert set(OWN) == {*TEMPLATES, ROLES.name}


def test_a_models_own_program_is_carried_out_as_it_came():
    pytest.importorskip("jinja2")
    assert program_of(template_of("{{ messages }}")) == "{{ messages }}"
    assert program_of(template_of({"default": "a", "rag": "b"})) == {"default": "a", "rag": "b"}
    assert tokens_of(TEMPLATES["mistral"]) == {"bos_token": "<s>", "eos_token": "</s>"}
    assert tokens_of(TEMPLATES["chatml"]) == {}
