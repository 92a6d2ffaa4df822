"""What a stranger's program can reach, use up and write: what published programs need, no more."""

import pytest

from tinylm.errors import ConfigError, DataError, TinylmError

pytest.importorskip("jinja2")

from tinylm.models.published.chat.program import JinjaTemplate  # noqa: E402

TALK = [{"role": "user", "content": "Hi {0.__class__}"}, {"role": "assistant", "content": "Yo"}]
GROW = "{% set ns = namespace(x=START) %}{% for i in range(99) %}{% set ns.x = NEXT %}{% endfor %}"


def run(program, **given):
    return JinjaTemplate(program).text(TALK, **given)


def grown(start, following):
    return GROW.replace("START", start).replace("NEXT", following)


@pytest.mark.parametrize(
    "program",
    [
        "{{ ''.__class__ }}",
        "{{ ''['__class__'] }}",
        "{{ ''|attr('__class__') }}",
        "{{ messages|map(attribute='__class__')|list }}",
        "{{ messages|map(attribute='content.__class__')|list }}",
        "{{ messages|map('attr', '__class__')|list }}",
        "{{ messages|selectattr('__class__')|list }}",
        "{{ messages|sort(attribute='__class__') }}",
        "{{ ''['_' * 2 ~ 'class' ~ '_' * 2] }}",
        r"{{ ''['\x5f\x5fclass\x5f\x5f'] }}",
        "{{ none.__class__ }}",
        "{{ messages.x.__class__ }}",
        "{{ '{0.__class__}'.format(1) }}",
        "{{ ('{0.__class__}'|safe).format(1) }}",
        "{{ '{a.__class__}'.format_map({'a': 1}) }}",
        "{{ messages[0].content.format(1) }}",
        "{{ ['{0.__class__}']|map('format', 1)|list }}",
        "{{ '%s'|format(1) }}",
        "{{ self.__init__ }}",
        "{{ self }}",
        "{{ cycler.__init__.__globals__ }}",
        "{{ lipsum() }}",
        "{{ namespace.__init__ }}",
        "{{ raise_exception.__globals__ }}",
        "{{ range.mro() }}",
        "{{ range }}",
        "{{ strftime_now }}",
        "{{ dict.fromkeys.__self__ }}",
        "{% for m in messages %}{{ loop.__class__ }}{% endfor %}",
        "{% for m in messages %}{{ loop['_iterable'] }}{% endfor %}",
        "{% for m in messages %}{{ loop }}{% endfor %}",
        "{% macro f() %}{% endmacro %}{{ f._func }}",
        "{% macro f() %}{% endmacro %}{{ f.name }}",
        "{% macro f() %}{{ caller['__class__'] }}{% endmacro %}{% call f() %}{% endcall %}",
        "{{ [x]|map(attribute='_undefined_name')|list }}",
        "{{ 'a'.upper }}",
        "{{ messages|map('list')|safe }}",
        "{{ messages|map('map', 'list')|join }}",
        "{{ messages|map('list')|string }}",
        "{{ messages[0].items()|upper }}",
        "{{ 'a'.encode('utf8') }}",
        "{{ (1).real }}",
        "{{ __import__('os') }}",
    ],
)
def test_nothing_of_python_is_reached(program):
    with pytest.raises(TinylmError):
        run(program)


@pytest.mark.parametrize(
    "program",
    [
        "{{ _x }}",
        "{% set __x = 1 %}",
        "{% for __x in messages %}{% endfor %}",
        "{% macro __m() %}{% endmacro %}",
        "{% macro m(_a) %}{% endmacro %}{{ m(_a=1) }}",
        "{% set _x = namespace() %}{{ _x._y }}",
        "{% set _x = namespace() %}{% set _x._y = 1 %}",
        "{% set ns = namespace() %}{% set ns._x = 1 %}",
        "{{ namespace(_x=1) }}",
        "{{ namespace(**{'__class__': 1}) }}",
        "{% set x = namespace %}{{ x(_a=1) }}",
    ],
)
def test_no_name_begins_with_an_underscore(program):
    with pytest.raises(ConfigError, match="begins with an underscore"):
        run(program)


def test_a_program_may_set_variables_that_begin_with_one():
    # as two published programs do; nothing of Python has such a name that a program could set
    program = (
        "{% set _ns = namespace(x='a') %}{% set _ns.x = _ns.x + 'b' %}"
        "{% for _ in messages %}{% endfor %}{{ _ns.x }}"
    )
    assert run(program) == "ab"


@pytest.mark.parametrize(
    "program",
    [
        "{{ messages.append(1) }}",
        "{{ messages.pop() }}",
        "{{ messages.clear() }}",
        "{{ messages[0].update({'a': 1}) }}",
        "{{ messages[0]['pop']('role') }}",
        "{{ messages[0].setdefault('a', 1) }}",
        "{% set messages.x = 1 %}",
    ],
)
def test_nothing_that_is_given_can_be_changed(program):
    before = repr(TALK)
    with pytest.raises(TinylmError):
        run(program)
    assert repr(TALK) == before


@pytest.mark.parametrize(
    "program",
    [
        "{% include 'x' %}",
        "{% import 'os' as os %}",
        "{% from 'os' import x %}",
        "{% extends 'x' %}",
        "{% block a %}{% endblock %}",
        "{% do messages %}",
        "{% debug %}",
        "{% autoescape true %}{% endautoescape %}",
        "{% trans %}{% endtrans %}",
        "{% for m in messages recursive %}{{ loop(messages) }}{% endfor %}",
        "{{ messages|random }}",
        "{{ messages|pprint }}",
        "{{ 'a'|center(9) }}",
        "{{ 2 ** 3 }}",
        "{{ messages|groupby('role') }}",
        "{{ 'a' is callable }}",
        "{% break %}",
    ],
)
def test_what_published_programs_do_not_need_is_not_there(program):
    with pytest.raises(ConfigError, match="chat template"):
        run(program)


@pytest.mark.parametrize(
    "program",
    [
        "{{ 'a' * 1000000000000 }}",
        "{{ 1000000000000 * 'a' }}",
        "{{ [0] * 1000000000000 }}",
        "{{ 'a'|indent(100000000000, true) }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ '%*d' % (1000000000, 1) }}",
        "{{ range(1000000000000) }}",
        "{% for i in range(100000000) %}{% endfor %}",
        "{% for i in range(9999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}",
        "{% for i in range(99999) %}" + "a" * 99 + "{% endfor %}",
        grown("'a'", "ns.x ~ ns.x"),
        grown("'a'", "ns.x + ns.x"),
        grown("[1]", "ns.x + ns.x"),
        grown("[1]", "[ns.x, ns.x]"),
        grown("[1]", "{'a': ns.x, 'b': ns.x}"),
        grown("(1, 2)", "(ns.x, ns.x)"),
        grown("'a'", "ns.x.replace('a', 'aa')"),
        grown("'a'", "ns.x|replace('a', 'aa')"),
        grown("'a'", "[ns.x, ns.x]|join(ns.x)"),
        grown("'a'", "ns.x.join([ns.x, ns.x, ns.x])"),
        grown("3", "ns.x * ns.x"),
        grown("'a'", "'%s%s' % (ns.x, ns.x)"),
        grown("'\"'", "ns.x|tojson"),
        "{% set ns = namespace(x='a') %}{% for i in range(99) %}{% set x %}{{ ns.x }}{{ ns.x }}"
        "{% endset %}{% set ns.x = x %}{% endfor %}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
        "{{ messages|tojson(indent=1000000000) }}",
        "{{ strftime_now('%1000000000Y') }}",
        "{{ " + "[" * 3000 + "]" * 3000 + " }}",
        "{{ " + "9" * 9999 + " }}",
        "x" * 300_000,
        "{% set a = 1 %}" * 2001,
    ],
)
def test_no_program_runs_or_grows_without_end(program):
    with pytest.raises(ConfigError, match="chat template"):
        run(program)


def test_a_program_that_refers_to_itself_is_refused():
    with pytest.raises(ConfigError, match="uses a Namespace as a value"):
        run("{% set ns = namespace() %}{% set ns.a = ns %}{{ ns }}")


@pytest.mark.parametrize(
    "program, words",
    [
        ("{{ raise_exception('No system!') }}", "refuses this conversation: No system!"),
        ("{{ messages[0]['nothing'] + 'x' }}", "cannot write this conversation: UndefinedError"),
        ("{{ 1 / 0 }}", "ZeroDivisionError"),
        ("{{ messages[0] + 1 }}", "TypeError"),
    ],
)
def test_a_conversation_that_a_program_refuses_is_an_error_with_its_words(program, words):
    with pytest.raises(DataError, match=words):
        run(program)


@pytest.mark.parametrize("program", ["{{ 1 if }}", "{% if %}", "{{", "{% endfor %}", "{{ 'a }}"])
def test_what_is_no_program_is_refused(program):
    with pytest.raises(ConfigError, match="not a program that can be run"):
        run(program)


@pytest.mark.parametrize(
    "program, written",
    [
        (
            "{% for m in messages %}{{ loop.index0 }}{{ m.role[0] }}{% if loop.last %}.{% endif %}"
            "{% endfor %}",
            "0u1a.",
        ),
        (
            "{% for i in range(9) %}{% if i == 1 %}{% continue %}{% endif %}{% if i > 3 %}{% break %}"
            "{% endif %}{{ i }}{% endfor %}",
            "023",
        ),
        (
            "{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}"
            "{{ ns.n }}",
            "2",
        ),
        ("{% for k, v in {'a': 1, 'b': [2]}.items() %}{{ k ~ v }}{% endfor %}", "a1b[2]"),
        ("{{ {'a': '<é>', 'b': [1, none]}|tojson }}", '{"a": "<é>", "b": [1, null]}'),
        ("{{ {'a': 1}|tojson(indent=2) }}", '{\n  "a": 1\n}'),
        ("{{ ' a,b '.strip().split(',')[-1].upper() }}{{ 'x' in 'xy' }}", "BTrue"),
        ("{{ messages|selectattr('role', 'equalto', 'user')|map(attribute='role')|join }}", "user"),
        ("{% macro f(a, b='!') %}{{ a ~ b }}{% endmacro %}{{ f('x') }}{{ f('y', b='?') }}", "x!y?"),
        ("{%- if tools is not defined or not tools %}\n  {{- 'none' }}\n{%- endif %}", "none"),
        ("{% generation %}a{% endgeneration %}", "a"),
        ("{{ nothing }}{{ none }}", "None"),
        ("{% for m in messages %}{{ loop.cycle('a', 'b') }}{% endfor %}", "ab"),
        ("{% set x = x | default('d') %}{{ x }}{{ ['a', 'b']|last }}", "db"),
        ("{% set x %}a{% endset %}{{ x }}{{ messages[1:]|length }}{{ '%s' % 'z' }}", "a1z"),
        (
            "{{ strftime_now is defined }}{{ messages is iterable and messages is not mapping }}",
            "TrueTrue",
        ),
    ],
)
def test_what_published_programs_use_is_there(program, written):
    assert run(program) == written


def test_a_long_conversation_has_room():
    # 2,000 messages of 1,000 characters; a program that looks back at each, and accumulates.
    talk = [{"role": "user", "content": "x" * 1_000}] * 2_000
    program = (
        "{% set ns = namespace(x='') %}{% for m in messages %}"
        "{% for part in messages[-5:] %}{% endfor %}{% set ns.x = m.content %}"
        "{{ m.content|trim }}{% endfor %}"
    )
    assert len(JinjaTemplate(program).text(talk)) == 2_000_000
    # Some programs look at each part of a content for an image, which of a text is each character.
    looks = (
        "{% for m in messages %}{% for part in m.content %}{% if part['type'] == 'image' %}"
        "{% endif %}{% endfor %}{{ m.content }}{% endfor %}"
    )
    assert len(JinjaTemplate(looks).text(talk[:200])) == 200_000
