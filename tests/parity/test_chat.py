"""Chat programs give the text that transformers gives, to the letter, or refuse what it refuses.

The programs are written here in the ways of published ones: every construct that those use.
"""

import json
import random
from datetime import datetime

import pytest

from tests.models.published.test_chat_template import PROGRAMS
from tinylm.errors import DataError
from tinylm.finetune.instruct.conversations import encode_conversation
from tinylm.models.published.chat_template import template_of
from tinylm.tokenizers.published import PipelineTokenizer

oracle = pytest.importorskip("transformers.utils.chat_template_utils")
TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}

DATES = """{{- bos_token }}
{%- if not date_string is defined %}
    {%- if strftime_now is defined %}
        {%- set date_string = strftime_now("%d %b %Y") %}
    {%- else %}
        {%- set date_string = "26 Jul 2024" %}
    {%- endif %}
{%- endif %}
{#- The system message goes into the first turn. #}
{%- if messages[0]['role'] == 'system' %}
    {%- set system = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system = "" %}
{%- endif %}
{{- "<|head|>system<|tail|>\\n\\nToday Date: " + date_string + "\\n\\n" }}
{%- if tools is not none %}
    {%- for t in tools %}
        {{- t | tojson(indent=4) }}
        {{- "\\n\\n" }}
    {%- endfor %}
{%- endif %}
{{- system }}
{{- "<|eot|>" }}
{%- for message in messages %}
    {%- if 'tool_calls' in message %}
        {%- if not message.tool_calls|length == 1 %}
            {{- raise_exception("one call at a time") }}
        {%- endif %}
        {%- set call = message.tool_calls[0].function %}
        {{- '{"name": "' + call.name + '", "parameters": ' }}
        {{- call.arguments | tojson }}
        {{- "}<|eot|>" }}
    {%- elif message.role == "tool" %}
        {{- "<|head|>ipython<|tail|>\\n\\n" }}
        {%- if message.content is mapping or message.content is iterable %}
            {{- message.content | tojson }}
        {%- endif %}
        {{- "<|eot|>" }}
    {%- else %}
        {{- '<|head|>' + message['role'] + '<|tail|>\\n\\n' }}
        {{- message['content'] | trim + '<|eot|>' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|head|>assistant<|tail|>\\n\\n' }}
{%- endif %}
"""

ALTERNATES = """{%- set others = messages | rejectattr("role", "equalto", "tool") | list %}
{%- set users = others | selectattr("role", "equalto", "user") | list %}
{{- bos_token }}
{%- for message in messages %}
    {%- if message["role"] == "user" %}
        {%- if tools is not none and (message == users[-1]) %}
            {{- "[TOOLS] [" }}
            {%- for tool in tools %}
                {%- set tool = tool.function %}
                {%- for key, val in tool.items() if key != "return" %}
                    {%- if val is string %}
                        {{- '"' + key + '": "' + val + '"' }}
                    {%- else %}
                        {{- '"' + key + '": ' + val|tojson }}
                    {%- endif %}
                    {%- if not loop.last %}, {% endif %}
                {%- endfor %}
                {{- "]" if loop.last else ", " }}
            {%- endfor %}
        {%- endif %}
        {{- "[INST] " + message["content"] + "[/INST]" }}
    {%- elif message.tool_calls is defined %}
        {%- for call in message.tool_calls %}
            {%- set out = call.function|tojson %}
            {{- out[:-1] ~ ', "id": "' ~ loop.index0 ~ '"}' }}
        {%- endfor %}
        {{- eos_token }}
    {%- elif message["role"] == "assistant" %}
        {{- " " + message["content"]|trim + eos_token}}
    {%- elif message["role"] == "tool" %}
        {{- '[RESULT] {"content": ' + message.content|string + '}' }}
    {%- else %}
        {{- raise_exception("Only user and assistant roles are supported!") }}
    {%- endif %}
{%- endfor %}
"""

THINKS = """{%- set ns = namespace(multi=true, last=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi and message.role == "user" and message.content is string
        and not(message.content.startswith('<tool>') and message.content.endswith('</tool>')) %}
        {%- set ns.multi = false %}
        {%- set ns.last = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- set content = message.content if message.content is string else '' %}
    {%- if message.role == "assistant" %}
        {%- set reasoning = '' %}
        {%- if message.reasoning_content is string %}
            {%- set reasoning = message.reasoning_content %}
        {%- elif '</think>' in content %}
            {%- set reasoning = content.split('</think>')[0].rstrip('\\n') %}
            {%- set reasoning = reasoning.split('<think>')[-1].lstrip('\\n') %}
            {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
        {%- endif %}
        {%- if loop.index0 > ns.last and (loop.last or reasoning) %}
            {{- '<|a|>\\n<think>\\n' + reasoning.strip('\\n') + '\\n</think>\\n\\n' + content }}
        {%- else %}
            {{- '<|a|>\\n' + content }}
        {%- endif %}
    {%- elif message.role == "tool" %}
        {%- if loop.first or (messages[loop.index0 - 1].role != "tool") %}{{- '<|u|>' }}{%- endif %}
        {{- '\\n<tool>\\n' ~ content ~ '\\n</tool>' }}
    {%- else %}
        {{- '<|' + message.role[0] + '|>\\n' + content + '<|end|>' + '\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|a|>\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}
"""

MACROS = """{% macro kind(spec) -%}
  {%- set names = {"string": "str", "number": "float", "integer": "int"} -%}
  {%- if names[spec.type] is defined -%}{{ names[spec.type] }}
  {%- elif spec.type == "array" -%}list[{{ kind(spec['items']) }}]
  {%- elif spec.type is iterable and spec.type is not string -%}
    {%- for t in spec.type -%}{{ kind({"type": t}) }}{{ "|" if not loop.last }}{%- endfor -%}
  {%- else -%}Any{%- endif -%}
{%- endmacro %}
{%- macro turn(message, close='<end>') %}
<turn>{{ message.role|upper }}: {{ message.get('content') or '' }}{{ close }}
{% endmacro -%}
{% for tool in tools or [] %}
  {{ tool.function.name }}(
  {%- for name, spec in tool.function.parameters.properties|items -%}
    {{ name }}: {{ kind(spec) }}{{ ", " if not loop.last }}
  {%- endfor -%})
{% endfor %}
{%- for d in documents or [] %}
Document: {{ loop.index0 }}{% for k, v in d.items()|list|sort %} {{ k }}={{ v }}{% endfor %}

{% endfor %}
{%- for message in messages %}
    {%- if message.role == 'tool' %}{% continue %}{% endif %}
    {%- if loop.index > 6 %}{% break %}{% endif %}
{{ turn(message) if loop.first else turn(message, close='<stop>') }}
{%- endfor %}
{% set text %}{{ messages|length }} turns{% endset %}
{% filter upper %}{{ text }}{% endfilter %}{{ messages|map(attribute='role')|unique|join(',') }}
"""

PARTS = """{{ bos_token }}{% for message in messages %}
{%- set role = 'model' if message['role'] == 'assistant' else message['role'] %}
{{- '<t>' + role }}
{%- if message['content'] is string %}
        {{ message['content'] | trim }}
{%- elif message['content'] is iterable -%}
        {%- for item in message['content'] -%}{{ item['text'] | trim }}{%- endfor -%}
{%- elif message.content is not defined -%}(none)
{%- endif -%}
{{ '<e>\\n' }}{% endfor %}{{ 'model' if add_generation_prompt }}"""

OURS = {
    "dates": DATES,
    "alternates": ALTERNATES,
    "thinks": THINKS,
    "macros": MACROS,
    "parts": PARTS,
}
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "add",
            "description": 'Adds <two> numbers & "more", é.',
            "return": {"type": "number"},
            "parameters": {
                "type": "object",
                "properties": {
                    "x": {"type": "number"},
                    "y": {"type": ["integer", "string"]},
                    "z": {"type": "array", "items": {"type": "string"}},
                },
                "required": ["x"],
            },
        },
    }
]
TEXTS = [
    "a",
    " What is 2+2?\n",
    "",
    "<think>\nhm\n</think>\n\nfour",
    "<tool>x</tool>",
    "é\u2028\t'\"&<>",
    "{{ 7 * 7 }}{% raw %}",
    "</s><s>[INST]",
]


def conversation(rng):
    """Some messages: turns, a system message perhaps, calls of tools, parts, thoughts, nulls."""
    messages = [{"role": "system", "content": rng.choice(TEXTS)}] if rng.random() < 0.4 else []
    for _ in range(rng.randint(1, 4)):
        messages.append({"role": "user", "content": rng.choice(TEXTS)})
        if rng.random() < 0.2:
            call = {"name": "add", "arguments": {"x": 1, "s": rng.choice(TEXTS)}}
            messages += [
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [{"id": "a", "type": "function", "function": call}],
                },
                {"role": "tool", "name": "add", "content": rng.choice(TEXTS)},
            ]
        if rng.random() < 0.8:
            messages.append({"role": "assistant", "content": rng.choice(TEXTS)})
            if rng.random() < 0.2:
                messages[-1]["reasoning_content"] = rng.choice(TEXTS)
    return messages


def theirs(program, messages, add_prompt, **given):
    """The text of transformers, or None where it refuses."""
    messages = [{k: v for k, v in m.items() if v is not None} for m in messages]
    try:
        (text,), _ = oracle.render_jinja_template(
            [messages], chat_template=program, add_generation_prompt=add_prompt, **TOKENS, **given
        )
        return text
    except Exception:
        return None


@pytest.mark.parametrize("name", [*OURS, *PROGRAMS])
def test_the_text_is_transformers_own(name):
    program, rng, refused = {**PROGRAMS, **OURS}[name], random.Random(name), 0
    template = template_of(program, TOKENS)
    for _ in range(60):
        messages, add_prompt = conversation(rng), rng.random() < 0.5
        given = {}
        if name in ("dates", "alternates", "macros") and rng.random() < 0.5:
            given["tools"] = TOOLS
        if name == "macros" and rng.random() < 0.5:
            given["documents"] = [{"title": "t", "text": rng.choice(TEXTS)}]
        if name == "thinks" and rng.random() < 0.5:
            given["enable_thinking"] = rng.random() < 0.5
        expected = theirs(program, messages, add_prompt, **given)
        plain = all(set(m) == {"role", "content"} and m["role"] != "tool" for m in messages)
        if expected is None or name in PROGRAMS and not plain:
            refused += 1
            with pytest.raises(DataError):  # a function here refuses what would be dropped
                template.text(messages, add_prompt, **given)
        else:
            assert template.text(messages, add_prompt, **given) == expected
    assert refused < 60


@pytest.mark.parametrize("name", ["dates", "parts"])
def test_text_in_parts(name):
    parts = [{"type": "text", "text": " a "}, {"type": "text", "text": "b"}]
    messages = [{"role": "user", "content": parts}]
    if name == "parts":
        assert template_of(PARTS, TOKENS).text(messages) == theirs(PARTS, messages, True)
    else:  # it adds texts: the parts are one text
        joined = [{"role": "user", "content": " a b"}]
        assert template_of(DATES, TOKENS).text(messages) == theirs(DATES, joined, True)


def test_the_date_is_the_one_given():
    given = {"date_string": "26 Jul 2024"}
    messages = [{"role": "user", "content": "a"}]
    ours = template_of(DATES, TOKENS).text(messages, **given)
    assert ours == theirs(DATES, messages, True, **given)
    assert datetime.now().strftime("%b %Y") in template_of(DATES, TOKENS).text(messages)


BLOCKS = (
    "{% for m in messages %}{{ '<|' + m.role + '|>' }}{% if m.role == 'assistant' %}"
    "{% generation %}{{ m.content + eos_token }}{% endgeneration %}{% else %}{{ m.content }}"
    "{% endif %}{% endfor %}"
)


def test_generation_blocks_cover_the_same_characters():
    messages = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b</s>"},
        {"role": "user", "content": "c"},
        {"role": "assistant", "content": "d"},
    ]
    (text,), (spans,) = oracle.render_jinja_template(
        [messages], chat_template=BLOCKS, return_assistant_tokens_mask=True, **TOKENS
    )
    pieces, said = template_of(BLOCKS, TOKENS, ("<s>", "</s>")).spans(messages)
    ours = "".join(("1" if told else "0") * len(piece) for piece, told in zip(pieces, said))
    assert "".join(pieces) == text
    assert ours == "".join(
        "1" if any(a <= i < b for a, b in spans) else "0" for i in range(len(text))
    )


FORMS = {
    "brackets": "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}"
    "{{ '[INST] ' + m.content + ' [/INST]' }}{% else %}"
    "{{ ' ' + m.content + ' ' + eos_token + bos_token }}{% endif %}{% endfor %}",
    "marks": "{% for m in messages %}{{ '<|' + m.role + '|>\n' + m.content + '<|end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}",
}
SPACES = ["hi", " hi", "hi hi ", "é\n", "", "<think>hi", " \n x "]


def made_tokenizer(kind):
    """A tokenizer of transformers' own library: bytes, or SentencePiece's ways with spaces."""
    lib = pytest.importorskip("tokenizers")
    if kind == "bytes":
        alphabet = sorted(lib.pre_tokenizers.ByteLevel.alphabet())
        made = lib.Tokenizer(lib.models.BPE({one: i for i, one in enumerate(alphabet)}, []))
        made.pre_tokenizer = lib.pre_tokenizers.ByteLevel(add_prefix_space=False)
    else:
        tokens = [
            "<unk>",
            *(f"<0x{i:02X}>" for i in range(256)),
            *map(chr, range(32, 127)),
            "▁",
            "▁▁",
            "▁h",
            "hi",
            "▁hi",
        ]
        merges = [("▁", "▁"), ("▁", "h"), ("h", "i"), ("▁h", "i")]
        made = lib.Tokenizer(
            lib.models.BPE(
                {one: i for i, one in enumerate(tokens)},
                merges,
                unk_token="<unk>",
                fuse_unk=True,
                byte_fallback=True,
            )
        )
        if kind == "prepended":
            made.normalizer = lib.normalizers.Sequence(
                [lib.normalizers.Prepend("▁"), lib.normalizers.Replace(" ", "▁")]
            )
        else:
            made.pre_tokenizer = lib.pre_tokenizers.Metaspace(prepend_scheme=kind, split=False)
    made.add_special_tokens([lib.AddedToken(one, normalized=False) for one in TOKENS.values()])
    made.add_special_tokens(
        [
            lib.AddedToken(one, normalized=False, rstrip=True)
            for one in ("<|user|>", "<|assistant|>", "<|end|>")
        ]
    )
    made.add_tokens([lib.AddedToken("<think>", normalized=False)])
    return made


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", ["bytes", "first", "always", "never", "prepended"])
def test_the_ids_are_transformers_own(kind, form):
    transformers = pytest.importorskip("transformers")
    made, rng = made_tokenizer(kind), random.Random(form)
    theirs_ = transformers.PreTrainedTokenizerFast(tokenizer_object=made, **TOKENS)
    ours = PipelineTokenizer(json.loads(made.to_str()))
    template = template_of(FORMS[form], TOKENS, tuple(ours.special))
    for _ in range(25):
        talk = [
            {"role": ("user", "assistant")[i % 2], "content": rng.choice(SPACES)}
            for i in range(rng.randint(1, 4))
        ]
        asked = len(talk) % 2 == 1
        expected = theirs_.apply_chat_template(
            talk, chat_template=FORMS[form], add_generation_prompt=asked, return_dict=False
        )
        assert template.encode(ours, talk, asked).tolist() == expected
        if not asked:  # and learning reads what is asked with
            learnt = encode_conversation(ours, template, talk)
            assert learnt.ids.tolist() == expected[: len(learnt)]
            answer = expected[: len(learnt)][learnt.prompt :]
            assert answer[-1] == ours.special["</s>" if form == "brackets" else "<|end|>"]
