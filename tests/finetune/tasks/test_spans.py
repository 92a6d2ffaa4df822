import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.finetune.tasks.heads_small import INPUTS, SPECIAL, encoder, texts, untrained
from tinylm.autograd import Tensor, log_softmax
from tinylm.errors import DataError, ShapeError
from tinylm.finetune import evaluate, fit
from tinylm.finetune.inputs import EncoderInput
from tinylm.finetune.tasks.spans import (
    SpanPrediction,
    SpanPredictor,
    best_span,
    binary_log_p,
    binary_span_loss,
    softmax_log_p,
    softmax_span_loss,
)
from tinylm.pretrain.batch import IGNORE

EXACT = 1e-12
HELD = np.array([[True, True, True], [True, True, False]])
GOLD = np.array([[0, 2], [1, 1]])


def test_the_best_span_of_the_example():
    begin, end = np.log([0.1, 0.6, 0.3]), np.log([0.5, 0.2, 0.3])
    assert (begin.argmax(), end.argmax()) == (
        1,
        0,
    )  # each best alone is no span: it ends before it begins
    first, last = best_span(begin, end)
    assert (first + 1, last + 1) == (2, 3) and np.exp(begin[first] + end[last]) == pytest.approx(
        0.18, abs=1e-15
    )


@given(
    seed=st.integers(0, 10**6),
    n=st.integers(1, 12),
    longest=st.one_of(st.none(), st.integers(1, 13)),
    whole=st.booleans(),
)
def test_the_best_span_is_that_of_enumeration(seed, n, longest, whole):
    rng = np.random.default_rng(seed)
    begin, end = (
        rng.normal(size=(2, n)) if not whole else rng.integers(-2, 3, size=(2, n)).astype(float)
    )  # ties too
    spans = [
        (begin[a] + end[b], -b, -a)
        for b in range(n)
        for a in range(b + 1)
        if longest is None or b - a < longest
    ]
    score, b, a = max(spans)
    assert (
        best_span(begin, end, longest) == (-a, -b)
        or not whole
        and score
        == pytest.approx(
            begin[best_span(begin, end, longest)[0]] + end[best_span(begin, end, longest)[1]],
            abs=EXACT,
        )
    )


def test_words_without_probability_are_not_chosen():
    assert best_span([-np.inf, -1.0, -np.inf], [-np.inf, -np.inf, -2.0]) == (1, 2)
    with pytest.raises(ShapeError, match="best_span"):
        best_span([], [])


def test_where_no_span_is_possible_the_first_word_is_the_answer():
    assert best_span([-np.inf] * 2, [-np.inf] * 2) == (0, 0)


@pytest.mark.parametrize(
    "begin, end, longest",
    [([0.0], [0.0, 0.0], None), (np.zeros((2, 2)), np.zeros((2, 2)), None), ([0.0], [0.0], 0)],
)
def test_spans_need_two_equal_rows_and_a_word(begin, end, longest):
    with pytest.raises(ShapeError, match="best_span"):
        best_span(begin, end, longest)


def test_a_text_of_one_word():
    z, held = Tensor(np.array([[[0.3, -1.2]]])), np.ones((1, 1), bool)
    none, whole = np.full((1, 2), IGNORE), np.zeros((1, 2), int)
    # As a distribution the one word is certain; word by word it begins and ends with
    # Pr = 1 / (1 + exp(-z)) each.
    assert softmax_span_loss(z, whole, held).item() == pytest.approx(0, abs=EXACT)
    assert binary_span_loss(z, whole, held).item() == pytest.approx(
        np.log1p(np.exp(-0.3)) + np.log1p(np.exp(1.2)), abs=EXACT
    )
    for loss in (softmax_span_loss, binary_span_loss):
        assert loss(z, none, held).item() == 0


def test_the_softmax_loss_by_hand():
    z = np.random.default_rng(0).normal(size=(2, 3, 2))
    found = softmax_span_loss(Tensor(z), GOLD, HELD).numpy()
    for row, (n, (s, e)) in enumerate(zip((3, 2), GOLD)):
        log_p = z[row, :n] - np.logaddexp.reduce(z[row, :n], axis=0)
        assert found[row] == pytest.approx(-(log_p[s, 0] + log_p[e, 1]), abs=EXACT)


def test_the_binary_loss_by_hand():
    z = np.random.default_rng(1).normal(size=(2, 3, 2))
    found = binary_span_loss(Tensor(z), GOLD, HELD).numpy()
    p = 1 / (1 + np.exp(-z))
    for row, n in enumerate((3, 2)):
        true = np.arange(n)[:, None] == GOLD[row]  # (n, 2): where the answer begins, where it ends
        assert found[row] == pytest.approx(
            -np.log(np.where(true, p[row, :n], 1 - p[row, :n])).sum() / n, abs=EXACT
        )


def test_the_binary_loss_is_stable_for_any_logit():
    z = Tensor(np.array([[[1e4, -1e4], [-1e4, 1e4]]]), requires_grad=True)
    loss = binary_span_loss(z, np.array([[0, 1]]), np.ones((1, 2), bool))
    loss.sum().backward()
    assert loss.item() == 0 and np.isfinite(z.grad.numpy()).all()


def test_rows_without_an_answer_and_words_beyond_a_row_cost_nothing():
    for loss in (softmax_span_loss, binary_span_loss):
        z = Tensor(np.random.default_rng(2).normal(size=(2, 3, 2)), requires_grad=True)
        gold = np.array([[IGNORE, IGNORE], [0, 1]])
        found = loss(z, gold, HELD)
        found.sum().backward()
        assert (
            found.numpy()[0] == 0
            and (z.grad.numpy()[0] == 0).all()
            and (z.grad.numpy()[1, 2] == 0).all()
        )
        assert np.abs(z.grad.numpy()[1, :2]).min() > 0


def test_the_printed_loss_of_one_distribution_would_not_know_the_answer():
    # -(1/n) sum_j log p_j of a softmax: the gold span does not occur in it, and all words alike are
    # its minimum.
    rng, n = np.random.default_rng(3), 5
    uniform = np.log(n)
    for _ in range(20):
        z = Tensor(rng.normal(size=n), requires_grad=True)
        loss = -log_softmax(z).mean()
        assert loss.item() > uniform
    z = Tensor(np.zeros(n), requires_grad=True)
    loss = -log_softmax(z).mean()
    loss.backward()
    assert loss.item() == pytest.approx(uniform, abs=EXACT) and np.abs(z.grad.numpy()).max() < EXACT


def test_probabilities_of_words_sum_to_one_beyond_a_row_they_are_0():
    z = Tensor(np.random.default_rng(4).normal(size=(2, 3, 2)))
    p = np.exp(softmax_log_p(z, HELD).numpy())
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=0, atol=EXACT)
    assert (p[1, 2] == 0).all() and (np.exp(binary_log_p(z, HELD).numpy())[1, 2] == 0).all()


def test_no_word_of_the_question_is_asked():
    task, model = SpanPrediction(INPUTS), SpanPredictor(encoder()).eval()
    batch = task.make_batch([(([1, 2], [3, 4, 5]), (1, 2)), (([6], [7]), None)])
    assert batch.words.tolist() == [[4, 5, 6], [3, 0, 0]] and batch.targets.tolist() == [
        [1, 2],
        [IGNORE, IGNORE],
    ]
    states = {}
    hidden = model.encoder.hidden

    def watched(*args, **options):
        states["h"] = Tensor(hidden(*args, **options).numpy(), requires_grad=True)
        return states["h"]

    model.encoder.hidden = watched
    task.loss(model, batch)[0].backward()
    size = np.abs(states["h"].grad.numpy()).max(axis=-1)
    assert (
        (size[0, :4] == 0).all()
        and (size[0, 4:7] > 0).all()
        and (size[0, 7:] == 0).all()
        and (size[1] == 0).all()
    )


def test_an_answer_that_is_cut_off_counts_as_none():
    task = SpanPrediction(EncoderInput(SPECIAL, limit=7))  # marks and question leave 3 words
    examples = [(([1], [2, 3, 4, 5]), (2, 2)), (([1], [2, 3, 4, 5]), (2, 3))]
    assert task.make_batch(examples).targets.tolist() == [[2, 2], [IGNORE, IGNORE]]
    with pytest.raises(DataError, match="no span of a text of 4 words"):
        task.make_batch([(([1], [2, 3, 4, 5]), (2, 4))])


@pytest.mark.parametrize("kind", ["softmax", "binary"])
def test_answers_are_found_by_a_trained_model(kind):
    # The answer begins with word 0 and ends with word 1.
    rng, examples = np.random.default_rng(0), []
    for text in texts(96, low=4):
        text = [max(word, 2) for word in text]
        first = int(rng.integers(len(text)))
        last = int(rng.integers(first, len(text))) + 1
        examples.append(
            (
                ([2], [*text[:first], 0, *text[first : last - 1], 1, *text[last - 1 :]]),
                (first, last),
            )
        )
    model, task = SpanPredictor(untrained()), SpanPrediction(INPUTS, kind)
    fit(model, task, examples, epochs=12, learning_rate=1e-2)
    found = evaluate(model, task, examples)
    assert found["exact"] > 0.9 and found["f1"] >= found["exact"]  # of about 20 spans a text


def test_spans_run_on_every_device(device):
    examples = [(([1, 2], [3, 4, 5]), (1, 2)), (([6], [7]), (0, 0))]
    for kind in ("softmax", "binary"):
        task = SpanPrediction(INPUTS, kind)
        batch = task.make_batch(examples)
        models = [SpanPredictor(encoder()).eval().to(place) for place in ("cpu", device)]
        losses = [
            task.loss(m, batch.to(place))[0].item() for m, place in zip(models, ("cpu", device))
        ]
        assert losses[0] == pytest.approx(losses[1], abs=EXACT)
        assert task.predict(models[1], batch.to(device)) == task.predict(models[0], batch)


def test_a_text_without_words_has_no_span():
    with pytest.raises(DataError, match="no words"):
        SpanPrediction(INPUTS).make_batch([(([1], []), None)])
