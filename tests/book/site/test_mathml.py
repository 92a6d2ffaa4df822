import sys
import xml.etree.ElementTree as ET

import pytest

from tinylm.book import latex
from tinylm.book.site import mathml
from tinylm.errors import MissingExtra


def test_without_the_extra_an_error_names_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "latex2mathml.converter", None)
    with pytest.raises(MissingExtra, match=r'pip install "tinylm\[site\]"'):
        mathml.converter()


def test_every_formula_becomes_mathml_with_its_plain_text():
    pytest.importorskip("latex2mathml")
    convert = mathml.converter()
    every = [line for lines in latex.formulas().values() for line in lines]
    for line in every[::20] or [r"\theta < 1"]:  # test_formulas.py converts all
        block = ET.fromstring(
            mathml.block(line, convert).replace("<div class=formula tabindex=0 role=group", "<div")
        )
        (math,) = block
        assert math.tag.endswith("math") and math.get("display") == "block"
        assert math.get("alttext") == latex.plain(line)


def test_the_plain_text_of_a_formula_is_escaped():
    pytest.importorskip("latex2mathml")
    block = mathml.block(r"a < b", mathml.converter())
    assert 'alttext="a &lt; b"' in block
