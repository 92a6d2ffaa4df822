"""Formulas as MathML, which browsers draw by themselves: no script, no picture, no network.

The library latex2mathml translates; it is wanted for pages alone (the extra "site"). Read first:
latex.py, the formulas and their plain text.
"""

from collections.abc import Callable
from html import escape

from tinylm.book import latex
from tinylm.errors import MissingExtra


def converter() -> Callable:
    """The function that turns LaTeX into MathML.

    raises   MissingExtra without latex2mathml
    """
    try:
        from latex2mathml.converter import convert
    except ImportError:
        raise MissingExtra(
            'formulas on pages need latex2mathml: pip install "tinylm[site]"'
        ) from None
    return convert


def block(formula: str, convert: Callable) -> str:
    """A formula on lines of its own, with its plain text for readers that know no MathML.

    formula  LaTeX, as in book/formulas
    convert  converter()
    """
    math = convert(formula, display="block")
    plain = escape(latex.plain(formula))
    math = math.replace("<math ", f'<math alttext="{plain}" ', 1)
    return f'<div class=formula tabindex=0 role=group aria-label="formula">{math}</div>'
