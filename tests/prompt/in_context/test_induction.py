"""Patterns are continued by heads that attend after earlier occurrences, and these are found."""

import numpy as np
import pytest

from tests.generate.small import make_gpt
from tinylm.data.read.items import Item
from tinylm.errors import ConfigError
from tinylm.prompt.in_context.induction import (
    PATTERN,
    after_earlier,
    attention_patterns,
    best_accuracy,
    induction_scores,
    mapping_prompts,
    previous_token_scores,
    repeated,
)
from tinylm.prompt.in_context.induction_circuit import induction_circuit

KINDS = [
    {},
    {"positions": "rope", "n_kv_head": 1, "norm": "rms"},
    {"positions": "alibi"},
    {"attention_cap": 2.0, "positions": "rope"},
    {"qk_norm": "head", "attention": ("window",), "window": 3},
]


def test_a_pattern_is_lines_without_instruction():
    pairs = [Item("男孩", "boy"), Item("来", "come")]
    assert PATTERN.prompt(Item("女孩"), pairs) == "男孩 → boy\n来 → come\n女孩 →"


def test_the_place_after_an_earlier_occurrence():
    found = after_earlier([[5, 6, 5, 7, 5, 5]])[0]
    # For each position: what follows the earlier fives, or nothing.
    assert [np.flatnonzero(row).tolist() for row in found] == [[], [], [1], [], [1, 3], [1, 3, 5]]


@pytest.mark.parametrize("kind", KINDS)
def test_patterns_are_the_weights_that_the_model_uses(kind):
    model = make_gpt(7, 8, seed=1, **kind)
    ids = np.array([[1, 2, 3, 1, 2, 3], [0, 6, 0, 6, 5, 4]])
    patterns = attention_patterns(model, ids)
    assert len(patterns) == 2 and patterns[0].shape == (2, 2, 6, 6)
    for pattern in patterns:
        assert np.allclose(pattern.sum(axis=3), 1) and not np.triu(pattern, 1).any()
    # Weights times values and the output map are what a layer adds.
    seen = []
    block = model.blocks[0]
    inner = block.attention

    class Spy:
        kv_heads = inner.kv_heads

        def __call__(self, x, **options):
            y = inner(x, **options)
            seen.append((x.data, y.data))
            return y

    block.attention = Spy()
    model.hidden(ids)
    block.attention = inner
    x, y = seen[0]
    width = inner.out.weight.shape[0] // 2
    values = inner.qkv(x).data[..., -inner.kv_heads * width :].reshape(2, 6, inner.kv_heads, width)
    values = np.repeat(values, 2 // inner.kv_heads, axis=2)
    mixed = np.einsum("bhts,bshk->bthk", patterns[0], values).reshape(2, 6, -1)
    assert np.allclose(inner.out(mixed).data, y, atol=1e-12)


def test_a_model_is_as_it_was_after_it_was_watched():
    model = make_gpt(7, 8, dropout=0.5)
    model.train()
    before = [block.attention for block in model.blocks]
    first = attention_patterns(model, [[1, 2, 3]])
    assert np.array_equal(first[1], attention_patterns(model, [[1, 2, 3]])[1])  # no dropout
    assert model.training and [block.attention for block in model.blocks] == before
    with pytest.raises(ConfigError, match="without keys of its own"):
        attention_patterns(make_gpt(7, 8, kv_sharing=2), [[1, 2, 3]])


def test_scores_of_heads_that_are_known():
    ids = np.array([[0, 1, 2, 0, 1, 2]])
    targets = after_earlier(ids)[0]
    alike = np.tri(6) / np.arange(1, 7)[:, None]
    perfect = np.where(targets.any(1, keepdims=True), targets, alike)
    before = np.eye(6, k=-1)
    scores, chance = induction_scores([np.stack([perfect, alike, before])[None]], ids)
    assert np.isclose(chance, (1 / 4 + 1 / 5 + 1 / 6) / 3)  # one target of 4, 5 and 6 visible
    assert np.allclose(scores, [[1, chance, 0]])
    assert np.allclose(
        previous_token_scores([np.stack([perfect, alike, before])[None]])[0][1:],
        [np.mean([1 / t for t in range(2, 7)]), 1],
    )
    with pytest.raises(ConfigError, match="no token of these texts occurs twice"):
        induction_scores([alike[None, None]], [[0, 1, 2]])


def test_a_repeated_text():
    ids = repeated(50, 6, 9)
    assert ids.shape == (50, 12) and np.array_equal(ids[:, :6], ids[:, 6:])
    assert all(len(set(row[:6])) == 6 for row in ids.tolist()) and ids.min() == 0 and ids.max() == 8
    assert np.array_equal(ids, repeated(50, 6, 9, seed=0))
    assert not np.array_equal(ids, repeated(50, 6, 9, seed=1))
    assert sorted(repeated(1, 3, 3)[0, :3]) == [0, 1, 2] and repeated(1, 1, 3).shape == (1, 2)
    for length in (0, 4):
        with pytest.raises(ConfigError, match=f"{length} different tokens out of 3"):
            repeated(1, length, 3)


def test_mappings_are_new_in_every_row_and_only_the_prompt_shows_them():
    ids, answers = mapping_prompts(500, 4, 3, 5)
    assert ids.shape == (500, 9)
    sources, targets = ids[:, ::2], ids[:, 1::2]
    assert sources.min() == 0 and sources.max() == 2 and targets.min() == 3 and targets.max() == 7
    for row, right in zip(ids.tolist(), answers):
        shown = dict(zip(row[:-1:2], row[1::2]))
        assert len(set(zip(row[:-1:2], row[1::2]))) == len(shown)  # one target for each source
        if row[-1] in shown:
            assert shown[row[-1]] == right
    assert mapping_prompts(2, 0, 3, 5)[0].shape == (2, 1)
    assert not np.array_equal(mapping_prompts(500, 4, 3, 5, seed=1)[0], ids)


def test_a_mapping_can_be_given_for_each_row_or_for_all():
    each = np.array([[0, 1, 2], [4, 3, 4]])
    ids, answers = mapping_prompts(2, 6, 3, 5, mapping=each)
    for row, right, mapping in zip(ids, answers, each):
        assert np.array_equal(row[1::2], 3 + mapping[row[:-1:2]]) and right == 3 + mapping[row[-1]]
    ids, answers = mapping_prompts(40, 1, 3, 5, mapping=[4, 0, 2])
    assert np.array_equal(answers, np.array([7, 3, 5])[ids[:, -1]]) and len(set(ids[:, -1])) == 3


def test_shuffled_demonstrations_say_nothing():
    ids, answers = mapping_prompts(3000, 4, 3, 5, shuffled=True)
    same = [[t for s, t in zip(row[:-1:2], row[1::2]) if s == row[-1]] for row in ids.tolist()]
    right = [t == answer for found, answer in zip(same, answers) for t in found]
    # Chance is 1/5; of about 4000 demonstrations the standard error is 0.006.
    assert abs(np.mean(right) - 0.2) < 0.03


def test_the_best_accuracy_is_that_of_reading_the_demonstrations():
    ids, answers = mapping_prompts(20_000, 3, 4, 5)
    guesses = []
    for row in ids.tolist():
        shown = dict(zip(row[:-1:2], row[1::2]))
        guesses.append(shown.get(row[-1], 4))  # or always the first target
    measured = np.mean(np.array(guesses) == answers)
    assert abs(measured - best_accuracy(3, 4, 5)) < 5 * 0.5 / 20_000**0.5
    assert best_accuracy(0, 4, 5) == 0.2 and np.isclose(best_accuracy(1, 4, 5), 1 / 4 + 3 / 4 / 5)


def test_the_circuit_continues_what_it_has_seen():
    ids = repeated(20, 8, 10, seed=3)
    model = induction_circuit(10, 16)
    patterns = attention_patterns(model, ids)
    assert previous_token_scores(patterns)[0, 0] > 1 - 1e-12
    scores, chance = induction_scores(patterns, ids)
    assert scores[1, 0] > 1 - 1e-12 and chance < 0.1
    # The first layer attends to the position before: never the one after an earlier occurrence,
    # except where they are neighbors.
    assert scores[0, 0] < 1e-12
    copied = model(ids).data[:, 8:-1].argmax(-1)
    assert np.array_equal(copied, ids[:, 9:])


def test_the_circuit_reads_a_mapping_from_its_prompt():
    ids, answers = mapping_prompts(300, 6, 4, 5)
    found = induction_circuit(9, 13)(ids).data[:, -1].argmax(-1)
    shown = np.array([row[-1] in row[:-1:2] for row in ids.tolist()])
    assert (found == answers)[shown].all() and 0.5 < shown.mean() < 1


def test_the_circuit_does_not_mistake_the_first_token_for_one_with_a_token_before():
    model = induction_circuit(5, 8)
    # 3 stands first and again; what follows it is 1, and not 3 itself.
    assert model(np.array([[3, 1, 2, 3]])).data[0, -1].argmax() == 1
    pattern = attention_patterns(model, [[3, 1, 2, 3]])[1][0, 0]
    assert pattern[3].argmax() == 1 and pattern[3, 0] < 1e-12
    # Of two occurrences both are copied alike.
    both = model(np.array([[1, 2, 0, 1, 4, 0, 1]])).data[0, -1]
    assert np.isclose(both[2], both[4]) and both[2] > both[[0, 1, 3]].max()


def test_every_number_of_the_circuit_is_what_it_was_made_for():
    V, context = 5, 8
    model = induction_circuit(V, context)
    ids = np.array([[3, 1, 2, 0, 1]])
    first, second = (pattern[0, 0] for pattern in attention_patterns(model, ids))
    # A match is e^40 times as likely as anything else, and the first position e^-80 times.
    assert np.isclose(np.log(first[4, 3] / first[4, 0]), 40)
    assert np.isclose(np.log(second[4, 2] / second[4, 3]), 40)
    assert np.isclose(np.log(second[4, 3] / second[4, 0]), 80)
    # After the first layer the stream holds the token, its position and the token before, one each.
    stream = model.add_positions(model.tokens(ids), np.arange(5))
    stream = model.blocks[0](stream).data[0]
    parts = np.split(stream, [V, V + context], axis=1)
    for part, ones in zip(parts, (ids[0], range(5), [3, 3, 1, 2, 0])):
        assert np.allclose(part, np.eye(part.shape[1])[list(ones)], atol=1e-5)
    # What is copied counts four times as much as the token itself.
    logits = model(ids).data[0, 4]
    assert np.isclose(logits[2] / logits[1], 4, rtol=1e-5)


def test_half_of_the_circuit_is_not_enough():
    ids = repeated(20, 8, 10, seed=3)
    model = induction_circuit(10, 16)
    model.blocks = model.blocks[1:]  # the induction head without the head before it
    copied = model(ids).data[:, 8:-1].argmax(-1)
    assert (copied == ids[:, 9:]).mean() < 0.2
