"""Programs drawn at random from all that the sandbox allows: transformers' text, or a refusal."""

import random

import pytest

from tinylm.errors import TinylmError
from tinylm.models.published.chat_template import JinjaTemplate

oracle = pytest.importorskip("transformers.utils.chat_template_utils")

VALUES = """messages|messages[0]|messages[0].content|messages[-1]['role']|'a,b c'|3|1.5|none|true
[1,2,3]|['b','a','b']|{'x': 1, 'y': 'z'}|x|nothing|messages[1:]|tools|bos_token|ns.n|'<b>&'|item
messages[0].get('name')|(1, 2)|messages[0].nothing"""
FILTERS = """abs;capitalize;default('d');default('d', true);dictsort;e;first;float;indent(2, true)
int;items|list;join(', ');join(attribute='role');last;length;list;lower;map('upper')|list;max;min
round;map(attribute='content')|join;reject('none')|list;rejectattr('role','eq','user')|list;string
reverse;replace('a','b');select('string')|list;selectattr('role','in',['user'])|list;sort;title
trim;sort(attribute='role');unique|list;upper;tojson;tojson(indent=2)"""
TESTS = """defined;undefined;none;string;number;integer;float;mapping;sequence;iterable;boolean
true;false;odd;even;lower;upper;eq(1);equalto('a');in([1,'a']);divisibleby(2);ne('x');== 3"""
METHODS = """.split(',');.strip();.upper();.startswith('a');.endswith('c');.replace('a','x');[-1]
.title();.find('b');.items()|list;.get('x');.get('q', 'dd');.split();.rstrip('c');.count('a');[0]
.isdigit();.partition(',');.join(['q','r']);[::-1];['x'];.x;.role;[1:3]"""
VALUES = VALUES.replace("\n", "|").split("|")
FILTERS, TESTS, METHODS = (text.replace("\n", ";").split(";") for text in (FILTERS, TESTS, METHODS))
OPERATORS = "+ - * / // % ~ == != < and or in".split()
TALKS = (
    [{"role": "user", "content": "a,b c"}, {"role": "assistant", "content": "Yo <x>\n"}],
    [{"role": "system", "content": "3"}, {"role": "user", "content": " abc "}],
)


def expression(rng, depth=0):
    made = rng.choice(VALUES)
    for _ in range(rng.randint(0, 2)):
        kind = rng.random()
        if kind < 0.4:
            made = f"({made})|{rng.choice(FILTERS)}"
        elif kind < 0.75:
            made = f"({made}){rng.choice(METHODS)}"
        elif kind < 0.85 and depth < 2:
            made = f"({made} {rng.choice(OPERATORS)} {expression(rng, depth + 1)})"
        else:
            made = f"({made} is {rng.choice(['', 'not '])}{rng.choice(TESTS)})"
    return made


def statement(rng, depth=0):
    value, inner = expression(rng), "" if depth > 1 else statement(rng, depth + 1)
    return (
        rng.choice(
            [
                "{{ V }}",
                "{{ V }} ",
                "{% for item in V %}{{ loop.index }}I{{ loop.last }}{% endfor %}",
                "{% if V %}yI{% else %}n{% endif %}\n",
                "{% set x = V %}I",
                "{% filter trim %}I{% endfilter %}",
                "{% set ns.n = V %}{{ ns.n }}",
                "{% set x %}I{% endset %}{{ x|length }}",
                "{% macro f(item, b=3) %}I{{ b }}{% endmacro %}{{ f(V) }}",
            ]
        )
        .replace("V", value)
        .replace("I", inner)
    )


def test_programs_drawn_at_random():
    rng, same = random.Random(0), 0
    for _ in range(250):
        program = "{% set ns = namespace(n=0) %}" + statement(rng) + statement(rng)
        for messages in TALKS:
            try:
                (theirs,), _ = oracle.render_jinja_template(
                    [messages], chat_template=program, bos_token="<s>"
                )
            except Exception:
                theirs = None
            try:
                ours = JinjaTemplate(program, {"bos_token": "<s>"}).text(messages, False)
            except TinylmError:
                continue  # refused: never another text
            assert ours == theirs, program
            same += 1
    assert same > 100
