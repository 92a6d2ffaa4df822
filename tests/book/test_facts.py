import pytest

from tinylm import book
from tinylm.autograd import registry
from tinylm.book import check, facts


@pytest.mark.parametrize(
    "concept, head, rest",
    [
        ("Causal mask: 0 before, -inf after.", "Causal mask", "0 before, -inf after."),
        ("Greedy prediction takes one; the best.", "Greedy prediction takes one", "The best."),
        ("BART: token masking.", "BART", "Token masking."),
        ("Start symbol: x_0 = <s> is given.", "Start symbol", "x_0 = <s> is given."),
        ("Chain rule: log p is a sum.", "Chain rule", "log p is a sum."),
        ("ALiBi", "ALiBi", ""),
        ("A long cut (see below). Two: three.", "A long cut (see below)", "Two: three."),
    ],
)
def test_a_concept_has_a_name_and_what_is_said_of_it(concept, head, rest):
    assert facts.halves(concept) == (head, rest)


def test_halves_lose_nothing_of_any_row():
    for row in book.rows():
        head, rest = facts.halves(row.concept)
        assert head and row.concept.lower().startswith(head.lower())
        assert row.concept.rstrip(".").lower().endswith(rest.rstrip(".").lower())


@pytest.mark.parametrize(
    "symbol, name",
    [
        ("tinylm.autograd.kernels.losses:cross_entropy", "cross_entropy"),  # its docstring
        ("tinylm.align.preference.dpo:dpo", "align.dpo"),
        ("tinylm.nn.experts:MixtureOfExperts", "nn.MixtureOfExperts"),  # its name
        ("tinylm.models:GPT.hidden", "models.GPT(gpt2)"),  # of the class
    ],
)
def test_gradient_checks_of_a_symbol_are_those_of_the_registry(symbol, name):
    assert name in facts.gradients(symbol)
    assert set(facts.gradients(symbol)) <= set(registry.ENTRIES)


def test_what_has_no_derivative_has_no_check():
    assert facts.gradients("tinylm.cli:VERBS") == []
    assert facts.gradients("tinylm.nowhere:nothing") == []


def test_a_symbol_that_does_not_resolve_has_an_error_and_the_rest_is_shown():
    row = book.Row("X", "2.1", "A: b", "tinylm.backend:nothing tinylm.backend", "-", "-")
    wrong, right = facts.facts(row, None).pieces
    assert "has no 'nothing'" in wrong.error and wrong.name == "nothing"
    assert right.error == "" and right.name == "backend" and right.line == 1


def test_commands_of_a_row_know_their_script_and_its_verdict():
    row = book.Row("X", "2.1", "A: b", "-", "-", "tinylm train --steps 2 scripts/engine_tour.py")
    command, script = facts.facts(row, check.repository()).shows
    assert (command.command, command.script) == ("tinylm train --steps 2", "")
    assert script.script == "scripts/engine_tour.py"
    assert script.verdict.verdict == "exact"
    # Where only the package is installed nothing is known of scripts.
    assert [show.verdict for show in facts.shows(row, None)] == [None, None]
