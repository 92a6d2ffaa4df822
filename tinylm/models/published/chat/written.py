"""The templates of builtin.py as programs, for models that are exported.

A model that was tuned here is saved with its template as a program in Jinja, as published models
are. Each program below writes what the function of its name in builtin.py writes; when it is read
again, its fingerprint leads back to that function, without Jinja. Read first: builtin.py.
"""

import functools

from tinylm.models.published.chat.builtin import ChatTemplate
from tinylm.models.published.chat.normal import fingerprint

_EACH, _END = "{% for m in messages %}", "{% endfor %}"
# As `_alternating` in builtin.py.
_TURNS = (
    "{% if m['role'] != ('user', 'assistant')[loop.index0 % 2] %}"
    "{{ raise_exception('user and assistant take turns, user first') }}{% endif %}"
)


def _if_prompted(opening):
    """The end of a program: the opening of the assistant's turn, on request."""
    return "{% if add_generation_prompt %}{{ '" + opening + "' }}{% endif %}"


# {name of a ChatTemplate: its program}. Raw strings where Jinja reads the "\\n".
OWN = {
    "roles": _EACH + "{{ '<|' + m['role'] + '|>' + m['content'] }}"
    "{% if m['role'] == 'assistant' %}{{ '<|end|>' }}{% endif %}"
    + _END
    + _if_prompted("<|assistant|>"),
    "chatml": _EACH
    + r"{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}"
    + _END
    + _if_prompted(r"<|im_start|>assistant\n"),
    "llama3": "{{ bos_token }}" + _EACH + r"{{ '<|start_header_id|>' + m['role'] + "
    r"'<|end_header_id|>\n\n' + m['content'] | trim + '<|eot_id|>' }}"
    + _END
    + _if_prompted(r"<|start_header_id|>assistant<|end_header_id|>\n\n"),
    "gemma": "{{ bos_token }}" + _EACH + _TURNS + "{{ '<start_of_turn>' + "
    r"('model' if m['role'] == 'assistant' else 'user') + '\n' + m['content'] | trim + "
    r"'<end_of_turn>\n' }}" + _END + _if_prompted(r"<start_of_turn>model\n"),
    "llama2": "{% set told = '' %}{% if messages[0]['role'] == 'system' %}"
    r"{% set told = '<<SYS>>\n' + messages[0]['content'] + '\n<</SYS>>\n\n' %}"
    "{% set messages = messages[1:] %}{% endif %}"
    + _EACH
    + _TURNS
    + "{% if m['role'] == 'user' %}{{ bos_token + '[INST] ' + "
    "((told if loop.first else '') + m['content']) | trim + ' [/INST]' }}{% else %}"
    "{{ ' ' + m['content'] | trim + ' ' + eos_token }}{% endif %}" + _END,
    "mistral": "{{ bos_token }}" + _EACH + _TURNS + "{% if m['role'] == 'user' %}"
    "{{ '[INST] ' + m['content'] + ' [/INST]' }}{% else %}"
    "{{ m['content'] + eos_token }}{% endif %}" + _END,
    "zephyr": _EACH
    + r"{{ '<|' + m['role'] + '|>\n' + m['content'] + eos_token + '\n' }}"
    + _END
    + _if_prompted(r"<|assistant|>\n"),
}


def program_of(template: ChatTemplate) -> str:
    """The program of a template: that of the model itself, or ours for the family.

    returns  str; for NamedTemplates a dict of programs
    """
    if template.program is not None or not isinstance(template, ChatTemplate):
        return template.program
    if template.default is None:
        return OWN[template.name]
    # ChatML with a system message of its own, escaped for a literal in quotes.
    escaped = template.default.replace("\\", r"\\").replace("'", r"\'").replace("\n", r"\n")
    literal = rf"'<|im_start|>system\n{escaped}<|im_end|>\n'"
    return (
        "{% if messages[0]['role'] != 'system' %}{{ "
        + literal
        + " }}{% endif %}"
        + OWN[template.name]
    )


def tokens_of(template: ChatTemplate) -> dict[str, str]:
    """{"bos_token": str, "eos_token": str} of those that the program of the template names."""
    program = program_of(template)
    named = {"bos_token": getattr(template, "begin", None), "eos_token": template.end}
    return {name: mark for name, mark in named.items() if mark and name in str(program)}


@functools.cache
def fingerprints() -> dict[str, str]:
    """{fingerprint: name} of the programs in this file."""
    # The fingerprint is the same for every system message.
    default = program_of(ChatTemplate("chatml", None, "", default="a"))
    own = {fingerprint(program)[0]: name for name, program in OWN.items()}
    return own | {fingerprint(default)[0]: "chatml"}
