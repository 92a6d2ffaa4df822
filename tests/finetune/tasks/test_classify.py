import numpy as np
import pytest

from tests.finetune.tasks.heads_small import INPUTS, decoder, encoder, texts, untrained
from tinylm.errors import DataError
from tinylm.finetune import answers, evaluate, fit
from tinylm.finetune.inputs import EncoderInput
from tinylm.finetune.tasks.classify import Classification, MultipleChoice, Regression
from tinylm.finetune.tasks.heads import Classifier, Regressor
from tinylm.pretrain.batch import IGNORE
from tinylm.tokenizers import WordTokenizer, words_and_punctuation

TASK = Classification(INPUTS)


def test_a_review_is_told_positive_by_a_fine_tuned_encoder():
    text = "I love the food here. It's amazing!"
    good = [text, "I love it!", "The food is amazing."]
    bad = ["I hate the food.", "It's terrible here!", "I hate it."]
    assert words_and_punctuation(text) == [
        "I",
        "love",
        "the",
        "food",
        "here",
        ".",
        "It",
        "'s",
        "amazing",
        "!",
    ]
    marks = ("<pad>", "<cls>", "<sep>")
    tokenizer = WordTokenizer.from_text(" ".join(good + bad), special=marks)
    task = Classification(EncoderInput.of(tokenizer), ("positive", "negative", "neutral"))
    model = Classifier(encoder(vocab_size=tokenizer.vocab_size), 3)
    examples = [
        *((t, "positive") for t in good[1:]),
        *((t, "negative") for t in bad),
        ("The food is here.", "neutral"),
    ]
    fit(model, task, examples, epochs=40, batch_size=6, learning_rate=3e-3)
    assert evaluate(model, task, examples)["accuracy"] == 1.0
    assert answers(model, task, [(text, None)]) == ["positive"]


def test_a_uniform_head_loses_log_of_the_classes():
    model = Classifier(encoder(), 5).eval()
    model.out.weight.data[...] = 0
    loss, said = TASK.loss(model, TASK.make_batch([([1], 0), ([2, 3], 4)]))
    assert loss.item() == pytest.approx(np.log(5), abs=1e-12) and said["tokens"] == 2


def test_the_loss_is_the_same_in_micro_batches_as_in_one():
    model = encoder(dropout=0.1)
    task = TASK
    examples = [(text, i % 2) for i, text in enumerate(texts(8))]
    states = model.state_dict()
    found = []
    for micro in (0, 3):
        model = encoder(dropout=0.1)
        model.load_state_dict(states)
        found.append(
            fit(Classifier(model, 2), task, examples, epochs=2, batch_size=8, micro_batch=micro)
        )
    np.testing.assert_allclose(
        found[0], found[1], rtol=0, atol=1e-9
    )  # sums in another order, three updates


def test_labels_may_be_names_or_missing():
    task = Classification(INPUTS, ("no", "yes"))
    assert task.make_batch([([1], "yes"), ([2], None)]).targets.tolist() == [1, IGNORE]
    with pytest.raises(DataError, match="'maybe' is not one of no, yes"):
        task.make_batch([([1], "maybe")])

    choice = MultipleChoice(INPUTS).make_batch([(([1], [[2], [3]]), None), (([1], [[2], [3]]), 1)])
    assert choice.targets.tolist() == [IGNORE, 1]


def test_answers_have_the_names_of_their_classes():
    model, examples = Classifier(encoder(), 2), [(text, None) for text in texts(12)]
    numbers = answers(model, TASK, examples)
    assert set(numbers) == {0, 1}
    named = answers(model, Classification(INPUTS, ("no", "yes")), examples)
    assert named == [("no", "yes")[i] for i in numbers]
    batch = TASK.make_batch(examples[:1])
    logits = model.eval()(batch.inputs, **batch.options).numpy()
    assert numbers[0] == logits.argmax()


def test_the_measures_of_numbers_by_hand():
    found = Regression(INPUTS).measure([0.5, 1.0, 3.0], [([], 0.0), ([], 1.0), ([], 4.0)])
    assert found["mse"] == pytest.approx((0.25 + 0 + 1) / 3)
    assert found["spearman"] == pytest.approx(1)  # the same order
    assert found["pearson"] == pytest.approx(np.corrcoef([0.5, 1, 3], [0, 1, 4])[0, 1])


def test_a_pair_task_that_needs_both_texts_is_learnt():
    # Equivalence: the second text holds the words of the first, or one of them is another. Neither
    # text tells alone.
    rng = np.random.default_rng(0)
    examples = []
    for i in range(256):
        first = rng.permutation(8)[:2]
        second = first.copy()
        second[i % 2 : 1] = 8 + rng.integers(4) if i % 2 == 0 else second[:0]
        examples.append(((first.tolist(), second.tolist()), i % 2))
    assert sum(label for _, label in examples) == 128
    model = Classifier(untrained(d_hidden=32), 2, "mean")
    fit(model, TASK, examples, epochs=6, learning_rate=5e-3)
    assert evaluate(model, TASK, examples)["accuracy"] > 0.9  # guessing is 0.5


def test_the_order_of_a_pair_matters_through_segments_and_positions():
    model = Classifier(encoder(), 2).eval()
    a, b = TASK.make_batch([(([1, 2], [3, 4]), 0)]), TASK.make_batch([(([3, 4], [1, 2]), 0)])
    first, second = (model(x.inputs, **x.options).numpy() for x in (a, b))
    assert np.abs(first - second).max() > 1e-4
    for table in (
        model.encoder.segments,
        model.encoder.positions.table,
    ):  # without both, a pair is a set
        table.weight.data[...] = 0
    first, second = (model(x.inputs, **x.options).numpy() for x in (a, b))
    np.testing.assert_allclose(first, second, rtol=0, atol=1e-12)


def test_a_linear_target_is_recovered():
    model, task = Regressor(untrained(), bounded=False, pool="mean"), Regression(INPUTS)
    examples = [(text, float(np.mean(np.array(text) < 10))) for text in texts(128)]
    fit(model, task, examples, epochs=12, learning_rate=5e-3)
    found = evaluate(model, task, examples)
    assert (
        found["mse"] < 0.2 * np.var([y for _, y in examples])
        and found["pearson"] > 0.9
        and found["spearman"] > 0.85
    )


def test_the_error_of_a_regression_by_hand():
    model, task = Regressor(encoder()).eval(), Regression(INPUTS)
    model.score.out.weight.data[...] = 0  # a score of 1/2
    batch = task.make_batch([([1], 1.0), ([2, 3], 0.25)])
    assert task.loss(model, batch)[0].item() == pytest.approx((0.5**2 + 0.25**2) / 2, abs=1e-15)


def test_choices_are_scored_as_pairs_and_compared():
    model, task = Classifier(encoder(), 1).eval(), MultipleChoice(INPUTS)
    examples = [(([1, 2], [[3], [4, 5, 6], [7]]), 1), (([8], [[9], [1], [2]]), 0)]
    batch = task.make_batch(examples)
    assert batch.inputs.shape == (2, 3, 8) and batch.segments.shape == batch.mask.shape == (2, 3, 8)
    scores = task.scores(model, batch).numpy()
    pair = TASK.make_batch([(([1, 2], [4, 5, 6]), 0)])
    assert scores[0, 1] == pytest.approx(model(pair.inputs, **pair.options).item(), abs=1e-12)
    log_p = scores - np.logaddexp.reduce(scores, axis=1, keepdims=True)
    assert task.loss(model, batch)[0].item() == pytest.approx(
        -(log_p[0, 1] + log_p[1, 0]) / 2, abs=1e-12
    )
    assert answers(model, task, examples) == scores.argmax(axis=1).tolist()
    with pytest.raises(DataError, match="1, 3"):
        task.make_batch([examples[0], (([8], [[9]]), 0)])


def test_a_decoder_is_fine_tuned_the_same_way():
    model, examples = Classifier(decoder(), 2), [(text, int(text[0] < 10)) for text in texts(64)]
    fit(model, TASK, examples, epochs=20, learning_rate=5e-3)
    assert evaluate(model, TASK, examples)["accuracy"] > 0.9  # guessing is 0.5


@pytest.mark.parametrize("label", [-100.0, -100.5])
def test_every_number_is_a_label(label):
    model, task = Regressor(encoder(), bounded=False), Regression(INPUTS)
    rows = [([1, 2], label), ([3], 0.0)]  # -100 marks what is no label in other tasks
    batch = task.make_batch(rows)
    assert batch.tokens == 2
    expected = task.loss(model, batch)[1]["loss"]
    assert fit(model, task, rows, steps=1, micro_batch=1)[0] == pytest.approx(expected, rel=1e-12)
