"""The book's Table 2.1 as data: its very rows, and numbers that multiply up."""

import math

import numpy as np

from tinylm.generate import EnumerableLM, sequence_logprob, trace_generation

NAMES = ["<s>", "a", "b", "c", "d"]


def alphabet():
    """Five tokens; after each, the next of the alphabet with probability .6, any other with .1."""
    step = np.full((5, 5), 0.1) + 0.5 * np.roll(np.eye(5), 1, axis=1)
    return EnumerableLM([np.broadcast_to(step, (5,) * i + (5,)) for i in range(1, 5)])


def test_the_rows_are_those_of_table_2_1():
    table = trace_generation(alphabet(), [0, 1], 3, names=NAMES.__getitem__, show=None)
    assert [(row.context, row.predict, row.rule, row.product) for row in table] == [
        ("<s> a", "b", "argmax_{x2 in V} Pr(x2 | <s> a)", "Pr(<s>) Pr(a|<s>) Pr(b|<s> a)"),
        (
            "<s> a b",
            "c",
            "argmax_{x3 in V} Pr(x3 | <s> a b)",
            "Pr(<s>) Pr(a|<s>) Pr(b|<s> a) Pr(c|<s> a b)",
        ),
        (
            "<s> a b c",
            "d",
            "argmax_{x4 in V} Pr(x4 | <s> a b c)",
            "Pr(<s>) Pr(a|<s>) Pr(b|<s> a) Pr(c|<s> a b) Pr(d|<s> a b c)",
        ),
    ]
    # Pr(a|<s>) = .6 is in the first row already
    np.testing.assert_allclose(
        [row.probability for row in table], [0.6**2, 0.6**3, 0.6**4], rtol=1e-12
    )


def test_each_probability_is_the_one_before_times_the_last_factor(gpt):
    model, prompt = gpt(), [0, 3]
    table = trace_generation(model, prompt, 5, show=None)
    before = math.exp(sequence_logprob(model, prompt))
    for row in table:
        assert math.isclose(row.probability, before * row.factor, rel_tol=1e-12)
        before = row.probability
    finished = [int(x) for x in (table[-1].context + " " + table[-1].predict).split()]
    assert math.isclose(before, math.exp(sequence_logprob(model, finished)), rel_tol=1e-12)


def test_the_table_is_shown_and_ends_with_the_end_token():
    shown = []
    table = trace_generation(alphabet(), [0], 4, eos=2, names=NAMES.__getitem__, show=shown.append)
    assert [row.predict for row in table] == ["a", "b"]
    lines = shown[0].splitlines()
    assert (
        lines[0].split()
        == "Context Predict Decision rule Sequence probability Factor Value".split()
    )
    assert len(lines) == 3 and lines[2].endswith("0.6000  0.36")
