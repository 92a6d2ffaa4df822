"""The formulas of the index: one LaTeX formula a line, under the id of the row it belongs to."""

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tinylm import book

FOLDER = Path(book.__file__).parent / "formulas"
TABLES = sorted(FOLDER.glob("*.tsv"))

# What latex2mathml turns into MathML that browsers draw well. \arg is not among them (it comes out
# as the text "\arg"; \operatorname{argmax} does), nor \mathbb{1} and \lVert without \left.
COMMANDS = set(
    r"""
    frac sqrt sum prod int left right begin end quad , ; mathrm mathbf mathcal mathbb operatorname
    log ln sin cos tan tanh exp max min hat bar tilde top infty partial nabla cdot times odot circ
    le ge ne approx in sim propto mid dots leftarrow to succ pm Vert lVert rVert lvert rvert
    lfloor rfloor lceil rceil langle rangle cup cap vee binom
    alpha beta gamma delta epsilon eta theta kappa lambda mu nu xi pi rho sigma tau phi psi omega
    Delta Phi Psi Omega { } \
    """.split()
)
RELATION = re.compile(
    r"[=<>]|\\(approx|le|ge|ne|in|sim|propto|leftarrow|to|succ|pm)(?![A-Za-z])"  # ends the name
)
# Rows whose section names an equation, and which have no formula of their own.
WITHOUT = {}


def lines(table):
    """(id, formula) of every line of a table but the heading."""
    text = table.read_text(encoding="utf-8").splitlines()
    return [tuple(line.split("\t")) for line in text[1:]]


def commands(formula):
    return re.findall(r"\\([A-Za-z]+|.)", formula)


def signs(formula):
    """About how many signs are printed: the parts of fractions count as if side by side."""
    styles = r"\\(math(rm|bf|cal|bb)|operatorname|left|right|quad|begin|end|bar|hat|tilde)(?![a-z])"
    letters = re.sub(r"\\[A-Za-z]+", "x", re.sub(styles, "", formula))
    return len(re.sub(r"\\.|[{}_^&\s]", "", letters))


EVERY = [line for table in TABLES for line in lines(table)]


def test_each_table_of_the_index_has_formulas():
    assert [table.name for table in TABLES] == sorted(
        table.name for table in FOLDER.parent.glob("*.tsv")
    )


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.stem)
def test_ids_are_rows_of_the_table_of_the_same_name_in_its_order(table):
    assert table.read_text(encoding="utf-8").splitlines()[0] == "id\tformula"
    index = (FOLDER.parent / table.name).read_text(encoding="utf-8").splitlines()[1:]
    order = [line.split("\t")[0] for line in index]
    found = [line[0] for line in lines(table)]
    assert set(found) <= set(order)
    assert found == sorted(found, key=order.index)


def test_a_line_is_an_id_and_one_formula_and_stands_there_once():
    assert all(len(line) == 2 and all(line) for line in EVERY)
    assert len(EVERY) == len(set(EVERY))


def test_every_formula_says_what_something_is():
    assert [line for line in EVERY if not RELATION.search(line[1])] == []


def test_formulas_fit_across_a_page():
    # 72 signs are about the width of a text column; what is longer stands in two lines here too.
    assert [line for line in EVERY if signs(line[1]) > 72] == []


def test_only_commands_that_convert_well():
    unknown = {name for _, formula in EVERY for name in commands(formula)} - COMMANDS
    assert unknown == set()


@pytest.mark.parametrize("opening, closing", [("{", "}"), ("\\left", "\\right")])
def test_what_opens_is_closed(opening, closing):
    for id, formula in EVERY:
        # \{ and \} are signs, not groups; \leftarrow is no \left.
        tokens = re.findall(r"\\[A-Za-z]+|\\.|[{}]", formula)
        depth = 0
        for token in tokens:
            depth += (token == opening) - (token == closing)
            assert depth >= 0, (id, formula)
        assert depth == 0, (id, formula)


def test_rows_of_an_equation_have_a_formula():
    have = {id for id, _ in EVERY}
    wanted = {row.id for row in book.rows() if re.search(r"\beqs?\b", row.section)}
    assert wanted - have == set(WITHOUT)


def test_each_converts_to_mathml_without_a_command_left_over():
    converter = pytest.importorskip("latex2mathml.converter")
    for id, formula in EVERY:
        tree = ET.fromstring(converter.convert(formula, display="block"))
        assert "\\" not in "".join(tree.itertext()), (id, formula)
