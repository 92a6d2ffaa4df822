import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.finetune.tasks.heads_small import INPUTS, SPECIAL, decoder, encoder, texts, untrained
from tinylm.data.read.bio import bio_decode, bio_encode
from tinylm.errors import DataError
from tinylm.finetune import answers, evaluate, fit
from tinylm.finetune.inputs import EncoderInput
from tinylm.finetune.tasks.crf import viterbi
from tinylm.finetune.tasks.tagging import (
    Tagging,
    TokenClassifier,
    bio_constraints,
)
from tinylm.pretrain.batch import IGNORE

BIO = ("O", "B-A", "I-A", "B-B", "I-B")


@given(st.lists(st.sampled_from(BIO), max_size=10))
def test_encoding_undoes_decoding_but_for_an_i_that_continues_nothing(tags):
    again = bio_encode(bio_decode(tags), len(tags))
    transitions, start = bio_constraints(BIO)
    valid = all(
        np.isfinite(transitions[BIO.index(a), BIO.index(b)]) for a, b in zip(tags, tags[1:])
    )
    valid &= not tags or np.isfinite(start[BIO.index(tags[0])])
    assert (again == tags) == valid
    assert [t[1:] for t in again] == [t[1:] for t in tags]  # such an I becomes a B; no more changes


def test_the_best_valid_sequence_is_not_the_best_tag_of_each_word():
    tags, p = ("B", "I", "O"), np.array([[0.2, 0.5, 0.3], [0.1, 0.6, 0.3]])
    assert p.argmax(axis=1).tolist() == [1, 1]  # I I, in which nothing begins
    transitions, start = bio_constraints(tags)
    best, score = viterbi(np.log(p), transitions, start)
    assert [tags[i] for i in best] == ["B", "I"] and np.exp(score) == pytest.approx(0.12, abs=1e-15)


def test_parts_of_speech_are_no_spans():
    transitions, start = bio_constraints(("INTJ", "NOUN", "O"))
    assert (transitions == 0).all() and (start == 0).all()
    assert bio_decode(["INTJ", "NOUN"]) == []


def test_the_loss_is_the_mean_over_words_and_asks_no_mark():
    task, model = Tagging(INPUTS, BIO), TokenClassifier(encoder(), 5).eval()
    batch = task.make_batch([([1, 2, 3], ["O", "B-A", "I-A"]), ([4], ["O"])])
    assert batch.words.tolist() == [[1, 2, 3], [1, 0, 0]] and batch.held.sum() == 4
    emissions = model(batch).numpy()
    assert emissions.shape == (2, 3, 5)  # one distribution for each word
    h = model.encoder.hidden(batch.inputs, **batch.options).numpy()
    expected = h[0, 1:4] @ model.out.weight.numpy() + model.out.bias.numpy()
    np.testing.assert_allclose(emissions[0], expected, rtol=0, atol=1e-12)
    log_p = emissions - np.logaddexp.reduce(emissions, axis=-1, keepdims=True)
    by_hand = -(log_p[0, 0, 0] + log_p[0, 1, 1] + log_p[0, 2, 2] + log_p[1, 0, 0]) / 4
    loss, said = task.loss(model, batch)
    assert loss.item() == pytest.approx(by_hand, abs=1e-12) and said["tokens"] == batch.tokens == 4
    model.out.weight.data[...] = 0
    assert task.loss(model, batch)[0].item() == pytest.approx(
        np.log(5), abs=1e-12
    )  # uniform: log |tags|


def test_a_new_crf_loses_what_independent_tags_lose():
    task, bert = Tagging(INPUTS, BIO), encoder()
    batch = task.make_batch([([1, 2, 3], ["O", "B-A", "I-A"]), ([4], ["O"]), ([5, 6], None)])
    plain, crf = (
        task.loss(TokenClassifier(bert, 5, crf).eval(), batch)[0].item() for crf in (False, True)
    )
    assert crf == pytest.approx(plain, abs=1e-12)


def test_one_word_costs_the_same_with_and_without_a_chain():
    task, bert = Tagging(INPUTS, BIO), encoder()
    assert TokenClassifier(bert, 5).chain is None
    assert TokenClassifier(bert, 5, crf=True).chain.transitions.shape == (5, 5)
    batch = task.make_batch([([4], ["B-A"])])
    plain, crf = (
        task.loss(TokenClassifier(bert, 5, crf).eval(), batch)[0].item() for crf in (False, True)
    )
    assert crf == pytest.approx(plain, abs=1e-12)


def test_entities_are_counted_only_where_tags_are_those_of_entities():
    speech, names = Tagging(INPUTS, ("NOUN", "VERB")), Tagging(INPUTS, BIO)
    assert speech.measure([["NOUN", "NOUN"]], [([1, 2], ["NOUN", "VERB"])]) == {"accuracy": 0.5}
    # of two entities one is found, beside none that is not there
    found = names.measure([["B-A", "O", "O"]], [([1, 2, 3], ["B-A", "O", "B-B"])])
    assert found == {
        "accuracy": pytest.approx(2 / 3),
        "precision": 1.0,
        "recall": 0.5,
        "f1": pytest.approx(2 / 3),
    }


def test_rows_without_tags_cost_nothing():
    task = Tagging(INPUTS, BIO)
    for crf in (False, True):
        model = TokenClassifier(encoder(), 5, crf).eval()
        known, both = [([1, 2], ["O", "O"])], [([1, 2], ["O", "O"]), ([3], None)]
        losses = [
            task.loss(model, task.make_batch(examples))[0].item() for examples in (known, both)
        ]
        assert losses[0] == pytest.approx(losses[1], abs=1e-12)


def test_constrained_answers_can_always_be_read_as_spans():
    task = Tagging(INPUTS, BIO, constrained=True)
    transitions, start = bio_constraints(BIO)
    for crf in (False, True):
        model = TokenClassifier(encoder(), 5, crf)
        model.out.weight.data *= 50  # tags that are far from each other, and often invalid
        for tags in answers(model, task, [(text, None) for text in texts(20, high=12)]):
            assert bio_encode(bio_decode(tags), len(tags)) == tags


def test_words_beyond_the_limit_are_answered_with_the_first_tag():
    task = Tagging(EncoderInput(SPECIAL, limit=4), BIO)
    examples = [([1, 2, 3], ["O", "O", "B-A"])]
    assert task.make_batch(examples).targets.tolist() == [[0, 0]]
    model = TokenClassifier(encoder(), 5)
    model.out.bias.data[0] = 1000  # always O
    assert evaluate(model, task, examples)["accuracy"] == pytest.approx(2 / 3)


@pytest.mark.parametrize("crf", [False, True])
def test_tags_are_learnt(crf):
    # A word below 5 begins a name, and words from 5 to 9 after it belong to it.
    def tagged(text):
        tags = []
        for word in text:
            inside = tags and tags[-1] != "O" and 5 <= word < 10
            tags.append("B-A" if word < 5 else "I-A" if inside else "O")
        return text, tags

    task, model = Tagging(INPUTS, ("O", "B-A", "I-A")), TokenClassifier(untrained(), 3, crf)
    examples = [tagged(text) for text in texts(96)]
    losses = fit(model, task, examples, epochs=10, learning_rate=1e-2)
    found = evaluate(model, task, examples)
    assert losses[-1] < 0.3 * losses[0] and found["accuracy"] > 0.9 and found["f1"] > 0.85


def test_an_unknown_tag_is_named():
    with pytest.raises(DataError, match="'X' is not one of O, B-A"):
        Tagging(INPUTS, BIO).make_batch([([1], ["X"])])


def test_tagging_runs_on_every_device(device):
    task = Tagging(INPUTS, BIO, constrained=True)
    examples = [([1, 2, 3], ["O", "B-A", "I-A"]), ([4], ["O"])]
    batch = task.make_batch(examples)
    for crf in (False, True):
        here, there = (
            TokenClassifier(encoder(), 5, crf).eval().to(place) for place in ("cpu", device)
        )
        assert task.loss(there, batch.to(device))[0].item() == pytest.approx(
            task.loss(here, batch)[0].item(), abs=1e-12
        )
        assert task.predict(there, batch.to(device)) == task.predict(here, batch)
    assert batch.targets.tolist() == [[0, 1, 2], [0, IGNORE, IGNORE]]


@pytest.mark.slow
def test_a_causal_model_cannot_tag_by_what_comes_next():
    # A word's tag says what the next word is. A decoder reads the words to the left alone: it can
    # only guess.
    def tagged(text):
        return text, ["low" if word < 10 else "high" for word in text[1:]] + ["low"]

    task, found = Tagging(INPUTS, ("low", "high")), []
    for base in (untrained(d_hidden=32), decoder(dtype=np.float32, positions="learned")):
        model = TokenClassifier(base, 2)
        fit(model, task, [tagged(text) for text in texts(256)], epochs=15, learning_rate=1e-2)
        found.append(
            evaluate(model, task, [tagged(text) for text in texts(256, seed=1)])["accuracy"]
        )
    assert (
        found[0] > 0.9 and found[1] < 0.7
    )  # the last word's tag is given: 1 of 5 words, so guessing is 0.6


@pytest.mark.parametrize("crf", [False, True])
@pytest.mark.parametrize("constrained", [False, True])
def test_sentences_without_words_cost_nothing(crf, constrained):
    task, model = Tagging(INPUTS, BIO, constrained), TokenClassifier(encoder(), 5, crf).eval()
    batch = task.make_batch([([], []), ([], None)])
    loss, metrics = task.loss(model, batch)
    loss.backward()
    assert metrics == {"tokens": 0, "loss": 0.0} and loss.item() == 0
    assert task.predict(model, batch) == [[], []]
