"""Demonstrations help as far as a model knows what they are about."""

import numpy as np
import pytest

from tinylm.autograd import cross_entropy
from tinylm.data.read.items import Item
from tinylm.errors import ConfigError
from tinylm.models import GPT, GPTConfig
from tinylm.nn.linear import fit_to_width
from tinylm.optim import AdamW
from tinylm.prompt import Answer, TextModel
from tinylm.prompt.in_context.induction import PATTERN
from tinylm.prompt.in_context.shots import (
    Curve,
    accuracy_by_shots,
    exchanged_answers,
    forgotten,
    table,
)
from tinylm.tokenizers import WordTokenizer

DEMOS = [Item(f"{i}?", str(i)) for i in range(4)]
ITEMS = [Item("q", "2"), Item("r", "two and a half")]


def count_answers(lm, item, demonstrations, **options):
    """A model that answers with the number of demonstrations."""
    return Answer(f"{len(demonstrations)}.")


def test_the_curve_of_a_model_that_is_known():
    found = accuracy_by_shots(None, ITEMS, DEMOS, (0, 2, 4), method=count_answers)
    assert found.accuracies.tolist() == [0, 0.5, 0] and found.shots == (0, 2, 4)
    assert found.correct.tolist() == [[False, False], [True, False], [False, False]]
    exact = accuracy_by_shots(
        None, ITEMS, DEMOS, (2,), method=count_answers, right=lambda value, item: value == "2."
    )
    assert exact.accuracies.tolist() == [1]


def test_the_first_demonstrations_are_shown_or_those_that_a_selector_chooses():
    seen = []

    def method(lm, item, demonstrations, seed):
        seen.append((lm, item.question, demonstrations, seed))
        return Answer(None)

    accuracy_by_shots("lm", ITEMS[:1], DEMOS, (0, 3), method=method, seed=5)
    assert seen == [("lm", "q", [], 5), ("lm", "q", DEMOS[:3], 5)]
    accuracy_by_shots(None, ITEMS[:1], lambda item, k: [item] * k, (2,), method=method, seed=0)
    assert seen[-1][2] == ITEMS[:1] * 2
    with pytest.raises(ConfigError, match="16 shots need more than 4"):
        accuracy_by_shots(None, ITEMS, DEMOS, method=method)
    assert accuracy_by_shots(None, ITEMS, DEMOS, (4,), method=method, seed=0).correct.sum() == 0
    with pytest.raises(ConfigError, match="no items"):
        accuracy_by_shots(None, [], DEMOS, (0,))


def test_exchanged_answers_are_the_same_answers_in_other_places():
    for seed in range(20):
        found = exchanged_answers(DEMOS, seed)
        assert [item.question for item in found] == [item.question for item in DEMOS]
        assert sorted(item.answer for item in found) == sorted(item.answer for item in DEMOS)
        assert all(a.answer != b.answer for a, b in zip(found, DEMOS))
    assert exchanged_answers(DEMOS) == exchanged_answers(DEMOS, seed=0)
    assert len({str(exchanged_answers(DEMOS, seed)) for seed in range(20)}) > 1
    assert [item.answer for item in exchanged_answers(DEMOS[:2])] == ["1", "0"]
    with pytest.raises(ConfigError, match="1 demonstrations; needs two"):
        exchanged_answers(DEMOS[:1])


def test_what_is_forgotten_was_known_before():
    before = Curve((0, 2, 4), np.array([[1, 1, 0, 1], [0, 0, 0, 0], [0, 1, 0, 0]], bool))
    after = Curve((0, 2, 4), np.array([[1, 0, 1, 0], [1, 1, 0, 0], [1, 0, 1, 1]], bool))
    assert np.allclose(forgotten(before, after), [2 / 3, 0, 1])
    for other in (Curve((0, 1, 4), before.correct), Curve((0, 2, 4), before.correct[:, :3])):
        with pytest.raises(ConfigError, match="cannot be compared"):
            forgotten(before, other)


# Two languages of eight words, each with its translation; the model has the words of both.
WORDS = {
    "old": list(zip("sun sea sky day ice oak owl bee".split(), "ka ke ki ko ku ma me mi".split())),
    "new": list(zip("cup pen key box hat bag jar pan".split(), "ta te ti to tu na ne ni".split())),
}
TOKENIZER = WordTokenizer(
    ["→", *(word for pairs in WORDS.values() for two in pairs for word in two)]
)


def train(gpt, languages, steps, rng):
    """Steps on texts of random pairs, "sun → ka sea → ke ..", of one language each."""
    optimizer = AdamW(gpt.named_parameters(), weight_decay=0.0)
    for _ in range(steps):
        texts = []
        for _ in range(16):
            pairs = WORDS[languages[rng.integers(len(languages))]]
            texts.append(" ".join(" → ".join(pairs[i]) for i in rng.integers(8, size=6)))
        ids = np.array([TOKENIZER.encode(text) for text in texts])
        optimizer.zero_grad()
        cross_entropy(gpt(ids[:, :-1]), ids[:, 1:]).backward()
        optimizer.step(1e-2)


def test_a_missing_language_is_not_prompted_into_being_but_trained():
    # Training is needed: it takes a second or two.
    rng = np.random.default_rng(0)
    config = GPTConfig(TOKENIZER.vocab_size, context=24, n_layer=1, n_head=2, d_model=32)
    gpt = fit_to_width(GPT(config), 32)
    tests = {}
    for name, pairs in WORDS.items():
        targets = tuple(target for _, target in pairs)
        # The demonstrations are other words than the questions.
        tests[name] = [
            [Item(source, target, targets) for source, target in pairs[:4]],
            [Item(source, target) for source, target in pairs[4:]],
        ]
    shots = (0, 4)

    def measure():
        lm = TextModel.of(gpt, TOKENIZER)
        return table({"it": lm}, tests, shots, prompt=PATTERN)["it"]

    train(gpt, ["old"], 40, rng)
    before = measure()
    assert before["old"].accuracies.tolist() == [1, 1]
    assert (before["new"].accuracies <= 0.5).all()  # of 8 words; 4 shots of others do not help
    weights = [p.data.copy() for p in gpt.parameters()]
    train(gpt, ["new"], 40, rng)
    alone = measure()
    assert alone["new"].accuracies.tolist() == [1, 1]
    for p, values in zip(gpt.parameters(), weights):
        p.assign_(values)
    train(gpt, ["new", "old"], 40, rng)
    replayed = measure()
    assert replayed["new"].accuracies.tolist() == [1, 1]
    assert forgotten(before["old"], replayed["old"]).tolist() == [0, 0]
    # Without the old language among its texts, some of it is lost.
    assert forgotten(before["old"], alone["old"]).max() > 0
