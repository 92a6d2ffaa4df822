"""LLMLingua's budget adds up, the coarse step keeps surprising demonstrations, and the fine step
keeps the most informative tokens after what it has kept.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.generate.small import make_gpt
from tests.prompt.compress.test_selective_context import is_subsequence
from tests.prompt.small import text_model
from tinylm.errors import ConfigError
from tinylm.prompt import TextModel
from tinylm.prompt.compress.information import token_information
from tinylm.prompt.compress.llmlingua import (
    Rates,
    compress_tokens,
    demonstration_rate,
    final_rates,
    llmlingua,
    select_demonstrations,
)
from tinylm.tokenizers import BPETokenizer

LM = text_model(n_layer=1, context=256)
DEMOS = ["Q: 1+1\nA: 2", "Q: two and two\nA: four", "Q: 3+3\nA: 6", "Q: 44+44\nA: 88"]

lengths = st.tuples(st.integers(0, 50), st.integers(0, 400), st.integers(0, 50))
rates = st.floats(0.05, 1)


def test_the_rate_of_demonstrations_by_hand():
    # (0.5 * 200 - 0.85 * 20 - 0.9 * 30) / 150
    assert np.isclose(demonstration_rate(0.5, (20, 150, 30)), 56 / 150)
    assert np.isclose(demonstration_rate(0.5, (20, 150, 30), 1.0, 0.5), (100 - 20 - 15) / 150)
    assert demonstration_rate(0.1, (100, 50, 100)) == 0  # the others alone use more
    assert demonstration_rate(1.0, (20, 150, 30)) == 1
    assert demonstration_rate(0.5, (10, 0, 10)) == 0


@given(rate=rates, lengths=lengths, share=st.floats(0, 1))
def test_the_final_rates_spend_the_budget_exactly(rate, lengths, share):
    selected = int(share * lengths[1])
    found = final_rates(rate, lengths, selected)
    given_rates = (found.instruction, found.demonstrations, found.question)
    assert all(-1e-9 <= value <= 1 + 1e-9 for value in given_rates)
    spent = np.dot(given_rates, (lengths[0], selected, lengths[2]))
    there = lengths[0] + selected + lengths[2]
    assert np.isclose(spent, min(rate * sum(lengths), there), atol=1e-6)


def test_the_final_rates_by_hand():
    # budget 100; 44 for the others, 56 for 112 tokens of demonstrations
    assert final_rates(0.5, (20, 150, 30), 112) == Rates(0.85, 0.5, 0.9)
    # of 51 tokens all stay; 49 for the others: the question keeps its 30, not 27 * 49 / 44
    found = final_rates(0.5, (20, 150, 30), 51)
    assert found == Rates(pytest.approx(19 / 20), 1.0, 1.0)
    # budget 25, less than the others' 44: no demonstration, and 25 / 44 of their rates
    found = final_rates(0.125, (20, 150, 30), 10)
    np.testing.assert_allclose(
        [found.instruction, found.demonstrations, found.question],
        [0.85 * 25 / 44, 0, 0.9 * 25 / 44],
    )
    # parts without tokens have the rate 0, whatever rate is asked for
    for asked in ((0.0, 0.0), (0.85, 0.9)):
        assert final_rates(0.5, (0, 100, 0), 80, *asked) == Rates(0.0, 50 / 80, 0.0)
    assert final_rates(0.5, (20, 150, 30), 0).demonstrations == 0  # none is selected
    # a part that is full hands its surplus to the other, whichever it is
    full = final_rates(0.9, (10, 20, 10), 20, 0.9, 0.1)
    assert full == Rates(1.0, 1.0, pytest.approx(0.6))
    full = final_rates(0.9, (10, 20, 10), 20, 0.1, 0.9)
    assert full == Rates(pytest.approx(0.6), 1.0, 1.0)


def test_demonstrations_are_taken_by_perplexity_until_the_budget_is_used():
    expected = [np.exp(token_information(LM, demo)[1].mean()) for demo in DEMOS]
    order = list(np.argsort(expected)[::-1])
    counts = [LM.count(demo) for demo in DEMOS]
    kept, perplexities = select_demonstrations(LM, DEMOS, 1)
    np.testing.assert_allclose(perplexities, expected)
    assert kept == order[:1]
    # The one that goes beyond the budget is the last; a budget that is just used ends it.
    two = counts[order[0]] + counts[order[1]]
    assert select_demonstrations(LM, DEMOS, two)[0] == sorted(order[:2])
    assert select_demonstrations(LM, DEMOS, two + 1)[0] == sorted(order[:3])
    assert select_demonstrations(LM, DEMOS, 0)[0] == []
    assert select_demonstrations(LM, DEMOS, 10**6)[0] == [0, 1, 2, 3]
    assert select_demonstrations(LM, [], 5)[0] == []
    # An empty one has no tokens that could surprise.
    kept, found = select_demonstrations(LM, ["", DEMOS[0], "", DEMOS[1]], 10**6)
    assert kept == [1, 3] and np.isnan(found).tolist() == [True, False, True, False]


@given(
    parts=st.lists(st.text("ab é\n", max_size=30), min_size=1, max_size=3),
    share=rates,
    segment=st.integers(1, 40),
)
def test_every_part_keeps_its_share_as_a_subsequence(parts, share, segment):
    found = compress_tokens(LM, parts, [share] * len(parts), segment)
    for short, long in zip(found, parts, strict=True):
        assert is_subsequence(short, long) and len(short) == int(share * len(long) + 1e-9)


def test_a_share_of_1_is_the_identity_and_0_nothing():
    parts = ["Sort it.", " Then count, and stop. " * 4, ""]
    assert compress_tokens(LM, parts, [1, 1, 1], 7) == parts
    assert compress_tokens(LM, parts, [1, 0, 1]) == ["Sort it.", "", ""]
    assert len(compress_tokens(LM, ["x" * 100], [0.29])[0]) == 29  # 0.29 * 100 < 29 in floats


def test_a_segment_is_read_after_what_was_kept_of_those_before():
    text = "Sort the words. Then count."
    (found,) = compress_tokens(LM, [text], [0.5], segment=14)
    first, second = "Sort the words.", " Then count."  # cut at the first space after 14 tokens
    _, information = token_information(LM, first)
    kept = "".join(first[i] for i in sorted(np.argsort(-information, kind="stable")[:7]))
    _, information = token_information(LM, second, kept)
    # 13 of 27 tokens stay in all, 7 of the first 15
    kept += "".join(second[i] for i in sorted(np.argsort(-information, kind="stable")[:6]))
    assert found == kept
    # Parts follow each other too.
    parts = compress_tokens(LM, ["ab", " cd ef"], [1, 0.5])
    _, information = token_information(LM, " cd ef", "ab")
    best = sorted(np.argsort(-information, kind="stable")[:3])
    assert parts[1] == "".join(" cd ef"[i] for i in best)


def test_a_separator_is_read_and_stays_without_being_counted():
    texts = ["ab", "cdef", "gh"]
    parts = compress_tokens(LM, texts, [1, 0.5, 0.5], separator="\n\n")
    _, information = token_information(LM, "\n\ncdef", "ab")
    best = sorted(np.argsort(-information[2:], kind="stable")[:2])
    assert parts[1] == "".join("cdef"[i] for i in best)
    _, information = token_information(LM, "\n\ngh", f"ab\n\n{parts[1]}")
    assert parts[2] == "gh"[information[2:].argmax()]
    # An empty part has no separator.
    alone = compress_tokens(LM, ["", "ab", "cdef"], [1, 0, 0.5], separator="\n")
    assert alone == ["", "", compress_tokens(LM, ["cdef"], [0.5])[0]]
    # A token may hold the separator and the beginning of a part.
    single = [bytes([byte]) for byte in range(256)]
    tokenizer = BPETokenizer([*single, b"ab"], [(97, 98)])
    lm = TextModel.of(make_gpt(257, 32), tokenizer, start=0)
    assert lm.token_texts("abb") == ["ab", "b"]
    assert compress_tokens(lm, ["b", "bb"], [1, 0.5], separator="a") == ["b", "b"]


def test_a_text_without_white_space_is_cut_at_two_segments(monkeypatch):
    seen = []

    def record(lm, text, before=""):
        seen.append(text)
        return token_information(lm, text, before)

    monkeypatch.setattr("tinylm.prompt.compress.llmlingua.token_information", record)
    compress_tokens(LM, ["abcdefghij kl"], [1], segment=3)
    assert seen == ["abcdef", "ghij", " kl"]
    with pytest.raises(ConfigError, match="a segment of 0 tokens"):
        compress_tokens(LM, ["a"], [1], segment=0)


@given(rate=st.floats(0.1, 1))
def test_a_prompt_keeps_its_share_of_tokens(rate):
    parts = ["Answer the question.", *DEMOS, "Q: 5+5\nA:"]
    found = llmlingua(LM, parts[0], DEMOS, parts[-1], rate)
    total = sum(map(LM.count, parts))
    kept = sum(map(LM.count, found.details["parts"]))
    # Each of at most six parts is rounded down.
    selected = sum(LM.count(DEMOS[i]) for i in found.details["selected"])
    there = LM.count(parts[0]) + LM.count(parts[-1]) + selected
    assert min(rate * total, there) - 6 < kept <= rate * total + 1e-6
    assert is_subsequence(found.text, "\n\n".join(parts))


def test_a_prompt_by_its_steps():
    found = llmlingua(LM, "Answer the question.", DEMOS, "Q: 5+5\nA:", 0.4, control=1.5, segment=5)
    sizes = 20, sum(map(LM.count, DEMOS)), 9
    share = demonstration_rate(0.4, sizes)
    selected, perplexities = select_demonstrations(LM, DEMOS, 1.5 * share * sizes[1])
    assert found.details["selected"] == selected
    np.testing.assert_allclose(found.details["perplexities"], perplexities)
    shown = [DEMOS[i] for i in selected]
    rates = final_rates(0.4, sizes, sum(map(LM.count, shown)))
    assert found.details["rates"] == rates
    shares = [rates.instruction, *[rates.demonstrations] * len(shown), rates.question]
    texts = ["Answer the question.", *shown, "Q: 5+5\nA:"]
    parts = compress_tokens(LM, texts, shares, 5, "\n\n")
    assert found.details["parts"] == parts and found.text == "\n\n".join(filter(None, parts))
    assert found.before == LM.count("\n\n".join(["Answer the question.", *DEMOS, "Q: 5+5\nA:"]))


def test_all_tokens_are_the_prompt_itself():
    whole = llmlingua(LM, "Add.", DEMOS[:2], "Q: 5+5\nA:", 1, separator="\n")
    assert whole.text == "\n".join(["Add.", *DEMOS[:2], "Q: 5+5\nA:"]) and whole.ratio == 1
    alone = llmlingua(LM, "", [], "Q: 5+5\nA:", 0.5)
    assert alone.tokens == 4 and alone.before == 9
    for rate in (0, 1.5):
        with pytest.raises(ConfigError, match=f"the share {rate}"):
            llmlingua(LM, "a", [], "b", rate)
