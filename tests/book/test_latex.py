"""Formulas as plain text: what each command prints, with Greek letters and in ASCII."""

import pytest

from tinylm import book
from tinylm.book import latex
from tinylm.errors import DataError


@pytest.mark.parametrize(
    "formula, text, ascii",
    [
        (r"\frac{Q K^\top}{\sqrt{d}}", "(Q K^T)/√d", "(Q K^T)/sqrt(d)"),
        (r"\frac{1}{m} \sum_{i=1}^{m} x_i", "1/m Σ_{i=1..m} x_i", "1/m sum_{i=1..m} x_i"),
        (r"\prod_j \mathrm{Pr}(y_j \mid x)", "Π_j Pr(y_j | x)", "prod_j Pr(y_j | x)"),
        (r"\theta_{t+1} \le \eta \nabla L", "θ_{t+1} ≤ η ∇L", "theta_{t+1} <= eta grad L"),
        (r"\hat{y} = \operatorname{argmax}_y", "y\u0302 = argmax_y", "hat(y) = argmax_y"),
        (r"\mathbb{E}[x]^{-1/2}", "𝔼[x]^{-1/2}", "E[x]^{-1/2}"),
        (r"\left\lfloor j \frac{G}{H} \right\rfloor", "⌊j G/H⌋", "floor(j G/H)"),
        (r"\{i, \dots, j\}", "{i, .., j}", "{i, .., j}"),
        (r"a = b, \quad c = -d", "a = b,  c = -d", "a = b,  c = -d"),
        (r"x^{*} + \theta'", "x* + θ'", "x* + theta'"),
        (r"\mathrm{softmax}(z)_{x_i}", "softmax(z)_{x_i}", "softmax(z)_{x_i}"),
        (r"2 \pi \cdot b^{2}", "2 π·b^2", "2 pi * b^2"),
        (
            r"\begin{bmatrix} \cos\theta & -1 \\ 0 & 1 \end{bmatrix}",
            "[cos θ -1; 0 1]",
            "[cos theta -1; 0 1]",
        ),
        (r"\left. x \right|_0", "x|_0", "x|_0"),
        (r"K_{\le i}", "K_{≤i}", "K_{<=i}"),
    ],
)
def test_a_formula_in_plain_text(formula, text, ascii):
    assert latex.plain(formula) == text
    assert latex.plain(formula, ascii=True) == ascii


@pytest.mark.parametrize("formula", [r"\unknown{x}", r"\frac{a}", "x_"])
def test_what_has_no_text_is_an_error(formula):
    with pytest.raises(DataError):
        latex.plain(formula)


def test_lines_of_an_id_stay_in_their_order(tmp_path):
    (tmp_path / "1.tsv").write_text("id\tformula\nA\tx\nB\ty\nA\tz\n", encoding="utf-8")
    assert latex.formulas(tmp_path) == {"A": ("x", "z"), "B": ("y",)}


def test_a_table_that_is_wrong_is_named_with_its_line(tmp_path):
    (tmp_path / "1.tsv").write_text("id\tformula\nA\n", encoding="utf-8")
    with pytest.raises(DataError, match="1.tsv, line 2"):
        latex.formulas(tmp_path)


def test_every_formula_of_the_tables_has_a_row_and_prints_both_ways():
    ids = {row.id for row in book.rows()}
    for id, lines in latex.formulas().items():
        assert id in ids
        for line in lines:
            assert "\\" not in latex.plain(line), line
            text = latex.plain(line, ascii=True)
            # A character without a spelling in ASCII would come out as a question mark.
            assert text.isascii() and "\\" not in text and "?" not in text, line
