"""Two programs have one fingerprint exactly when they differ in spelling alone."""

import random

import pytest

from tests.models.published.test_chat_template import PROGRAMS
from tinylm.models.published.chat.normal import canonical, fingerprint

PLAIN = "{% for m in messages %}{{ '<a>\\n' + m['role'] }}{% endfor %}"


@pytest.mark.parametrize(
    "other",
    [
        "{%for m in messages%}{{'<a>\\n'+m['role']}}{%endfor%}",
        '{% for m in messages %}{{ "<a>\n" + m["role"] }}{% endfor %}',
        "{%- for m in messages -%}\n  {{- '<a>\\n' + m['role'] -}}\n{%- endfor -%}\n",
        "{# a comment #}{% for m in messages %}\n{{ '<a>\\n' + m['role'] }}{% endfor %}\n",
        "  {% for m in messages %}\r\n{{ '<a>\\x0a' + m['role'] }}{% endfor %}",
    ],
)
def test_spelling_does_not_matter(other):
    assert fingerprint(other) == fingerprint(PLAIN)


@pytest.mark.parametrize(
    "other",
    [
        PLAIN.replace("<a>", "<b>"),
        PLAIN.replace("'role'", "'content'"),
        PLAIN + " ",
        PLAIN.replace("{{ ", "{{ ' ' + "),
        PLAIN.replace("%}{{", "%} {{"),
        PLAIN.replace("m[", "n["),
        PLAIN.replace("\\n", " \\n"),
        PLAIN.replace("\\n", "\\\\n"),
    ],
)
def test_meaning_does(other):
    assert fingerprint(other)[0] != fingerprint(PLAIN)[0]


@pytest.mark.parametrize(
    "broken", ["{{", "{% if 'a %}", "{# x", "{{ ? }}", "{% raw %}{{}}{% endraw %}"]
)
def test_what_cannot_be_cut_is_no_known_program(broken):
    assert canonical(broken) is None and fingerprint(broken) == (None, None)


SPACE = ["", "", " ", "\n", "  \n  ", "\t", "\r\n", "x", "x \n", "\n\n", "\r", " x "]
INSIDE = [
    "a",
    "'}}'",
    "a['b']",
    "{'a': {'b': 1}}",
    "'\\n' + \"x\"",
    "'a\nb'",
    "1.5 + -2",
    "a|trim~b",
    "(a, [b])",
    "a\n.b",
    "'\\x41\\'é'",
    "m.é",
    "a>=b//c**d",
    "'{%'",
]
BRACKETS = {"variable_begin": "{{", "variable_end": "}}", "block_begin": "{%", "block_end": "%}"}
BLOCKS = ["if a", "set b = 'x'", "endif", "for m in n", 'if a == "%}"', "else"]


def drawn(rng):
    """A row of tags with white space around and inside, and with every sign that takes some."""

    def sign():
        return rng.choice(["", "-", "+", ""])

    def tag():
        kind = rng.randrange(3)
        if kind == 0:
            return "{%" + sign() + f" {rng.choice(BLOCKS)} " + sign() + "%}"
        if kind == 1:
            return (
                "{{"
                + rng.choice(["", "-"])
                + f" {rng.choice(INSIDE)}"
                + rng.choice(["", " "])
                + rng.choice(["", "-"])
                + "}}"
            )
        return "{#" + sign() + rng.choice([" c ", "{{ x }}", "\n"]) + sign() + "#}"

    return "".join(rng.choice(SPACE) + tag() for _ in range(rng.randint(1, 6))) + rng.choice(SPACE)


def test_white_space_is_taken_as_jinja_takes_it():
    jinja2 = pytest.importorskip("jinja2")
    environment, rng = jinja2.Environment(trim_blocks=True, lstrip_blocks=True), random.Random(0)
    for _ in range(1_500):
        program, theirs = drawn(rng), []
        for token in environment._tokenize(program, None):
            if token.type == "data" and theirs and theirs[-1][0]:
                theirs[-1] = True, theirs[-1][1] + token.value
            elif token.type == "data":
                theirs += [(True, token.value)] if token.value else []
            elif token.type.endswith(("_begin", "_end")):
                theirs.append((False, BRACKETS[token.type]))
            else:
                theirs.append((False, str(token.value)))
        ours = [(kind == "data", text) for kind, text in canonical(program)]
        assert ours == theirs, program


@pytest.mark.parametrize("name", PROGRAMS)
def test_jinja_cuts_the_programs_alike(name):
    # Jinja's own lexer, with the whitespace of the same settings: its tokens are those found here.
    jinja2 = pytest.importorskip("jinja2")
    lexed = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)._tokenize(PROGRAMS[name], None)
    theirs = [str(token.value) for token in lexed]
    ours = [text for _, text in canonical(PROGRAMS[name])]
    brackets = "{{", "}}", "{%", "%}"
    assert [text for text in theirs if text.strip("-\n") not in brackets] == [
        text for text in ours if text not in brackets
    ]
