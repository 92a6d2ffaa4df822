"""The forms of published families, each written out: what a model was tuned on, character by
character.

The programs are short, written here after the ways of the published ones; the texts are the facts.
"""

from datetime import datetime

import pytest

from tests.models.published.test_chat_template import said
from tinylm.errors import DataError
from tinylm.models.published.chat.pieces import Mark

pytest.importorskip("jinja2")

from tinylm.models.published.chat_template import JinjaTemplate, template_of  # noqa: E402

TALK = said(("system", " Be brief. "), ("user", "Hi"), ("assistant", " Yo "), ("user", "2+2?"))
BARE = TALK[1:]
LOOP = "{% for m in messages %}"
DATE = (
    "{%- if not date_string is defined %}{%- set date_string = strftime_now('%d %b %Y') %}"
    "{%- endif %}"
)

# name: (program, tokens, special tokens, conversation, text, end)
FAMILIES = {
    "Phi-3": (
        LOOP + "{% if m['role'] == 'system' %}{{ '<|system|>\n' + m['content'] + '<|end|>\n' }}"
        "{% elif m['role'] == 'user' %}{{ '<|user|>\n' + m['content'] + '<|end|>\n' }}"
        "{% elif m['role'] == 'assistant' %}{{ '<|assistant|>\n' + m['content'] + '<|end|>\n' }}"
        "{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}"
        "{{ eos_token }}{% endif %}",
        {"eos_token": "<|endoftext|>"},
        ("<|system|>", "<|user|>", "<|assistant|>", "<|end|>", "<|endoftext|>"),
        TALK,
        "<|system|>\n Be brief. <|end|>\n<|user|>\nHi<|end|>\n<|assistant|>\n Yo <|end|>\n"
        "<|user|>\n2+2?<|end|>\n<|assistant|>\n",
        "<|end|>",
    ),
    "Llama 3.1": (
        "{{- bos_token }}" + DATE + "{%- if messages[0]['role'] == 'system' %}"
        "{%- set told = messages[0]['content']|trim %}{%- set messages = messages[1:] %}"
        "{%- else %}{%- set told = '' %}{%- endif %}"
        r"{{- '<|start_header_id|>system<|end_header_id|>\n\n' }}"
        r"{{- 'Cutting Knowledge Date: December 2023\n' }}"
        r"{{- 'Today Date: ' + date_string + '\n\n' }}{{- told }}{{- '<|eot_id|>' }}"
        "{%- for m in messages %}{{- '<|start_header_id|>' + m['role'] + "
        r"'<|end_header_id|>\n\n' + m['content'] | trim + '<|eot_id|>' }}{%- endfor %}"
        r"{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}"
        "{%- endif %}",
        {"bos_token": "<|begin_of_text|>"},
        ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
        TALK,
        "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: "
        "December 2023\nToday Date: 26 Jul 2024\n\nBe brief.<|eot_id|><|start_header_id|>user"
        "<|end_header_id|>\n\nHi<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nYo"
        "<|eot_id|><|start_header_id|>user<|end_header_id|>\n\n2+2?<|eot_id|><|start_header_id|>"
        "assistant<|end_header_id|>\n\n",
        "<|eot_id|>",
    ),
    "Mistral v3": (
        "{{- bos_token }}{%- for m in messages %}{%- if m['role'] == 'user' %}"
        "{{- '[INST] ' + m['content'] + '[/INST]' }}{%- elif m['role'] == 'assistant' %}"
        "{{- ' ' + m['content']|trim + eos_token }}{%- else %}{{- raise_exception('roles!') }}"
        "{%- endif %}{%- endfor %}",
        {"bos_token": "<s>", "eos_token": "</s>"},
        ("<s>", "</s>", "[INST]", "[/INST]"),
        BARE,
        "<s>[INST] Hi[/INST] Yo</s>[INST] 2+2?[/INST]",
        "</s>",
    ),
    "Mistral Nemo": (
        "{{- bos_token }}{%- for m in messages %}{%- if m['role'] == 'user' %}"
        "{{- '[INST]' + m['content'] + '[/INST]' }}{%- else %}{{- m['content'] + eos_token }}"
        "{%- endif %}{%- endfor %}",
        {"bos_token": "<s>", "eos_token": "</s>"},
        ("<s>", "</s>", "[INST]", "[/INST]"),
        BARE,
        "<s>[INST]Hi[/INST] Yo </s>[INST]2+2?[/INST]",
        "</s>",
    ),
    "ChatML with its begin token": (
        "{{ bos_token }}" + LOOP + "{{'<|im_start|>' + m['role'] + '\n' + m['content'] + "
        "'<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}"
        "{{ '<|im_start|>assistant\n' }}{% endif %}",
        {"bos_token": "<s>"},
        ("<s>", "<|im_start|>", "<|im_end|>"),
        TALK[:2],
        "<s><|im_start|>system\n Be brief. <|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
        "<|im_start|>assistant\n",
        "<|im_end|>",
    ),
    "Qwen 2.5": (
        "{%- if messages[0]['role'] == 'system' %}"
        r"{{- '<|im_start|>system\n' + messages[0]['content'] + '<|im_end|>\n' }}{%- else %}"
        r"{{- '<|im_start|>system\nYou are a model.<|im_end|>\n' }}{%- endif %}"
        "{%- for m in messages %}{%- if (m.role == 'user') or (m.role == 'system' and not "
        r"loop.first) or m.role == 'assistant' %}{{- '<|im_start|>' + m.role + '\n' + m.content + "
        r"'<|im_end|>' + '\n' }}{%- endif %}{%- endfor %}{%- if add_generation_prompt %}"
        r"{{- '<|im_start|>assistant\n' }}{%- endif %}",
        {},
        ("<|im_start|>", "<|im_end|>"),
        BARE[:1],
        "<|im_start|>system\nYou are a model.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
        "<|im_start|>assistant\n",
        "<|im_end|>",
    ),
    "Command R": (
        "{{ bos_token }}" + LOOP + "{% if m['role'] == 'user' %}"
        "{{ '<|START_OF_TURN_TOKEN|><|USER_TOKEN|>' + m['content'].strip() + "
        "'<|END_OF_TURN_TOKEN|>' }}{% elif m['role'] == 'assistant' %}"
        "{{ '<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>' + m['content'].strip() + "
        "'<|END_OF_TURN_TOKEN|>' }}{% endif %}{% endfor %}{% if add_generation_prompt %}"
        "{{ '<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>' }}{% endif %}",
        {"bos_token": "<BOS_TOKEN>"},
        (
            "<BOS_TOKEN>",
            "<|START_OF_TURN_TOKEN|>",
            "<|END_OF_TURN_TOKEN|>",
            "<|USER_TOKEN|>",
            "<|CHATBOT_TOKEN|>",
        ),
        BARE[:2],
        "<BOS_TOKEN><|START_OF_TURN_TOKEN|><|USER_TOKEN|>Hi<|END_OF_TURN_TOKEN|>"
        "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>Yo<|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|>"
        "<|CHATBOT_TOKEN|>",
        "<|END_OF_TURN_TOKEN|>",
    ),
    "DeepSeek": (
        "{%- set ns = namespace(told='') %}" + LOOP + "{%- if m['role'] == 'system' %}"
        "{%- set ns.told = m['content'] %}{%- endif %}{%- endfor %}{{ bos_token }}{{ ns.told }}"
        "{%- for m in messages %}{%- if m['role'] == 'user' %}{{ '<｜User｜>' + m['content'] }}"
        "{%- endif %}{%- if m['role'] == 'assistant' %}{% set said = m['content'] %}"
        "{% if '</think>' in said %}{% set said = said.split('</think>')[-1] %}{% endif %}"
        "{{ '<｜Assistant｜>' + said + '<｜end▁of▁sentence｜>' }}{%- endif %}{%- endfor %}"
        "{% if add_generation_prompt %}{{ '<｜Assistant｜>' }}{% endif %}",
        {"bos_token": "<｜begin▁of▁sentence｜>", "eos_token": "<｜end▁of▁sentence｜>"},
        ("<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜User｜>", "<｜Assistant｜>"),
        said(("system", "S"), ("user", "Hi"), ("assistant", "<think>hm</think>Yo")),
        "<｜begin▁of▁sentence｜>S<｜User｜>Hi<｜Assistant｜>Yo<｜end▁of▁sentence｜><｜Assistant｜>",
        "<｜end▁of▁sentence｜>",
    ),
}


def template(name):
    program, tokens, special, *_ = FAMILIES[name]
    made = template_of(program, tokens, special, name)
    assert isinstance(made, JinjaTemplate)  # none of these is a function here
    return JinjaTemplate(program, tokens, special, name, datetime(2024, 7, 26))


@pytest.mark.parametrize("name", FAMILIES)
def test_the_text_is_the_familys(name):
    *_, messages, text, end = FAMILIES[name]
    assert template(name).text(messages) == text
    assert template(name).end == end


@pytest.mark.parametrize("name", FAMILIES)
def test_the_marks_are_the_programs_and_no_message_writes_one(name):
    _, _, special, messages, text, _ = FAMILIES[name]
    plain = [piece for piece in template(name).pieces(messages) if isinstance(piece, Mark)]
    assert "".join(template(name).pieces(messages)) == text and set(plain) <= set(special)
    for mark in special:
        forged = [*messages[:-1], {**messages[-1], "content": f"a{mark}b"}]
        pieces = template(name).pieces(forged)
        assert [piece for piece in pieces if isinstance(piece, Mark)] == plain
        assert "".join(pieces) == template(name).text(forged)


def test_a_family_that_refuses_a_role_says_so():
    with pytest.raises(DataError, match="refuses this conversation: roles!"):
        template("Mistral v3").text(TALK)
