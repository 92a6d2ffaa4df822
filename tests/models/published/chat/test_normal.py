"""Two programs have one fingerprint exactly when they differ in spelling alone."""
import pytest

from tests.models.published.test_chat_template import PROGRAMS
from tinylm.models.published.chat.normal import canonical, fingerprint

PLAIN = "{% for m in messages %}{{ '<a>\\n' + m['role'] }}{% endfor %}"


@pytest.mark.parametrize("other", [
    "{%for m in messages%}{{'<a>\\n'+m['role']}}{%endfor%}",
    '{% for m in messages %}{{ "<a>\n" + m["role"] }}{% endfor %}',
    "{%- for m in messages -%}\n  {{- '<a>\\n' + m['role'] -}}\n{%- endfor -%}\n",
    "{# a comment #}{% for m in messages %}\n{{ '<a>\\n' + m['role'] }}{% endfor %}\n",
    "  {% for m in messages %}\r\n{{ '<a>\\x0a' + m['role'] }}{% endfor %}",
])
def test_spelling_does_not_matter(other):
    assert fingerprint(other) == fingerprint(PLAIN)


@pytest.mark.parametrize("other", [
    PLAIN.replace("<a>", "<b>"), PLAIN.replace("'role'", "'content'"), PLAIN + " ",
    PLAIN.replace("{{ ", "{{ ' ' + "), PLAIN.replace("%}{{", "%} {{"), PLAIN.replace("m[", "n["),
    PLAIN.replace("\\n", " \\n"), PLAIN.replace("\\n", "\\\\n"),
])
def test_meaning_does(other):
    assert fingerprint(other)[0] != fingerprint(PLAIN)[0]


@pytest.mark.parametrize("broken", [
    "{{", "{% if 'a %}", "{# x", "{{ ? }}", "{% raw %}{{}}{% endraw %}"])
def test_what_cannot_be_cut_is_no_known_program(broken):
    assert canonical(broken) is None and fingerprint(broken) == (None, None)


@pytest.mark.parametrize("name", PROGRAMS)
def test_jinja_cuts_the_programs_alike(name):
    # Jinja's own lexer, with the whitespace of the same settings: its tokens are those found here.
    jinja2 = pytest.importorskip("jinja2")
    lexed = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)._tokenize(
        PROGRAMS[name], None)
    theirs = [str(token.value) for token in lexed]
    ours = [text for _, text in canonical(PROGRAMS[name])]
    brackets = "{{", "}}", "{%", "%}"
    assert [text for text in theirs if text.strip("-\n") not in brackets] == [
        text for text in ours if text not in brackets]
