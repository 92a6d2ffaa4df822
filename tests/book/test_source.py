"""What the source says of a symbol; over all rows, no idea is the docstring of a builtin."""

import builtins
import inspect
from pathlib import Path

import pytest

from tinylm import book
from tinylm.book import check, source


@pytest.mark.parametrize(
    "symbol, text",
    [
        ("tinylm.backend:Random.normal", "def normal("),
        ("tinylm.backend:Random", "class Random"),
        ("tinylm.cli:VERBS", "VERBS = "),
        ("tinylm.nn:PLACEMENTS", "PLACEMENTS = "),  # imported from norm.py
        ("tinylm.models:GPTConfig.kv_heads", "@property"),
        ("tinylm.backend", '"""'),
    ],
)
def test_the_location_is_the_line_that_a_reader_looks_for(symbol, text):
    path, line = source.location(symbol)
    assert Path(path).read_text(encoding="utf-8").splitlines()[line - 1].strip().startswith(text)


def test_the_idea_is_the_first_paragraph_of_the_docstring():
    assert (
        source.idea("tinylm.backend:Random.child")
        == "An independent stream whose path continues this one's, on the same device."
    )


@pytest.mark.parametrize(
    "symbol, words",
    [
        ("tinylm.nn:PLACEMENTS", "The placements that take one norm for each branch."),  # above
        ("tinylm.train.scaling.laws:PF_DAY", "operations of a petaflop per second in a day"),
        ("tinylm.models.decoder.presets:DECODERS", "The families of"),  # its comment heads columns
    ],
)
def test_the_idea_of_a_constant_is_its_comment_or_the_sentence_of_its_module(symbol, words):
    assert words in source.idea(symbol)


BUILTIN = {
    " ".join(inspect.getdoc(kind).split("\n\n")[0].split())
    for kind in vars(builtins).values()
    if inspect.getdoc(kind)
}
SYMBOLS = {symbol: row.id for row in book.rows() for symbol in check.names(row.symbol)}


def test_no_idea_of_any_row_is_the_docstring_of_a_builtin():
    assert "Built-in immutable sequence." in BUILTIN  # what a tuple said of itself
    wrong = [(id, symbol) for symbol, id in SYMBOLS.items() if source.idea(symbol) in BUILTIN]
    assert wrong == []


def test_constants_of_the_rows_have_an_idea_and_a_line_that_assigns_them():
    constants = [s for s in SYMBOLS if source.is_constant(source.unwrapped(check.resolve(s)))]
    assert len(constants) > 20
    for symbol in constants:
        name = symbol.rpartition(":")[2]
        assert len(source.idea(symbol)) >= len("A N^-alpha"), symbol
        assert source.code(symbol).text.startswith(name), symbol


def test_code_begins_at_its_line_without_the_indentation_of_its_class():
    code = source.code("tinylm.backend:Random.child")
    assert code.text.startswith("def child(")
    lines = code.path.read_text(encoding="utf-8").splitlines()
    assert lines[code.line - 1].strip() == code.text.splitlines()[0]


def test_shapes_are_the_arguments_as_the_docstring_has_them():
    shapes = dict(source.shapes("tinylm.autograd.kernels.attention:attention"))
    assert shapes["q"] == "(B, H, T, K)  queries"
    assert "each serves H/G query heads" in shapes["k, v"]  # a line that goes on
    assert shapes["returns"].startswith("(B, H, T, J)")
    assert source.shapes("tinylm.cli:VERBS") == []


def test_a_first_sentence_ends_at_its_full_stop():
    assert source.first_sentence("One (e.g. this\none). Two.\n\nThree.") == "One (e.g. this one)."


def test_a_constructor_without_a_docstring_has_that_of_its_class():
    made, itself = "tinylm.nn:Linear.__init__", "tinylm.nn:Linear"
    assert source.docstring(made) == source.docstring(itself) != ""
    assert source.shapes(made) == source.shapes(itself)
