"""Mutants: one changed place each, made from the source of a symbol."""

import ast
import sys

import pytest

from tinylm.book import mutate

SOURCE = '''"""A module."""
import functools


def half(x: int = 3, *, up=False):
    """Half of x; 2 is in the docstring."""
    if up:
        return -(-x // 2)
    if x < 0:
        raise ValueError(f"x is {x + 1}")
    return max(x, 0) / 2 if x != 1 else 0.5


class Pair:
    size = 2

    @functools.cached_property
    def total(self):
        return self.a + self.b

    @property
    def both(self):
        return self.a and self.b
'''


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "mutated_sample.py").write_text(SOURCE, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    yield "mutated_sample"
    sys.modules.pop("mutated_sample", None)


def changes(symbol):
    return {(mutant.before, mutant.after) for mutant in mutate.mutants(symbol)}


def test_every_kind_of_place_of_a_function_is_changed(module):
    assert changes(f"{module}:half") == {
        ("3", "4"),
        ("False", "True"),
        ("up", "not up"),
        ("-(-x // 2)", "-x // 2"),
        ("-x // 2", "-x * 2"),
        ("-x", "x"),
        ("2", "3"),
        ("x < 0", "x <= 0"),
        ("0", "1"),
        ("max(x, 0) / 2 if x != 1 else 0.5", "0.5 if x != 1 else max(x, 0) / 2"),
        ("x != 1", "x == 1"),
        ("1", "2"),
        ("max(x, 0) / 2", "max(x, 0) * 2"),
        ("max(x, 0)", "min(x, 0)"),
        ("0.5", "0.75"),
    }


def test_properties_are_seen_through_and_classes_are_whole(module):
    assert changes(f"{module}:Pair.total") == {("self.a + self.b", "self.a - self.b")}
    assert changes(f"{module}:Pair.both") == {("self.a and self.b", "self.a or self.b")}
    assert changes(f"{module}:Pair") == {
        ("2", "3"),
        ("self.a + self.b", "self.a - self.b"),
        ("self.a and self.b", "self.a or self.b"),
    }


def test_a_mutant_is_the_file_with_one_line_changed(module):
    for mutant in mutate.mutants(f"{module}:half"):
        ast.parse(mutant.text)
        pairs = list(zip(SOURCE.splitlines(), mutant.text.splitlines(), strict=True))
        assert [n for n, (old, new) in enumerate(pairs, 1) if old != new] == [mutant.line]


def test_text_that_is_not_ascii_moves_no_column(tmp_path, monkeypatch):
    (tmp_path / "mutated_greek.py").write_text('def f(x):\n    return "é→λ", x + 1\n', "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    texts = [mutant.text for mutant in mutate.mutants("mutated_greek:f")]
    sys.modules.pop("mutated_greek")
    assert texts == [
        'def f(x):\n    return "é→λ", (x - 1)\n',
        'def f(x):\n    return "é→λ", x + (2)\n',
    ]


def test_a_registered_primitive_has_the_source_of_its_kernel():
    path, first, last = mutate.source("tinylm:layer_norm")
    assert path.name == "norms.py" and first < last


def test_what_has_no_source_raises_and_a_sample_passes_it_over(module):
    with pytest.raises(LookupError, match="no source"):
        mutate.mutants(f"{module}:Pair.size")
    drawn = mutate.sample([f"{module}:Pair.size", f"{module}:half"], 4, seed=1)
    assert len(drawn) == 4 and drawn == mutate.sample([f"{module}:half"], 4, seed=1)
