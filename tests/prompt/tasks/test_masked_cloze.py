"""Words are scored in the place of [MASK] by an encoder, which needs no training for it."""

import numpy as np
import pytest

from tests.pretrain.tiny import encoder
from tinylm.autograd import Tensor
from tinylm.data.read.items import Item
from tinylm.errors import ConfigError, DataError
from tinylm.generate.protocol.score import log_probabilities
from tinylm.pretrain.special import Special
from tinylm.pretrain.words import Words
from tinylm.prompt.tasks.masked_cloze import MaskedCloze, classify_by_mask
from tinylm.prompt.template import PromptTemplate

VOCABULARY = Words("the tram was late again . it good bad very")
SPECIAL = VOCABULARY.special
TEXT = "the tram was late . it was [MASK] ."
LABELS = {"positive": ("good",), "negative": ("bad",)}


def model():
    return encoder(vocab_size=SPECIAL.vocab_size, languages=0, classes=0)


def logs_at(ids, place):
    return log_probabilities(model()(np.array([ids])).data[0, place].astype(np.float64))


def test_a_word_has_the_probability_at_the_mask():
    cloze = MaskedCloze(model(), VOCABULARY.ids, SPECIAL)
    scores = cloze.score(TEXT, ["good", "bad"])
    words = VOCABULARY.ids("the tram was late . it was").tolist()
    dot = VOCABULARY.ids(".").tolist()
    ids = [SPECIAL.cls, *words, SPECIAL.mask, *dot, SPECIAL.sep]
    good, bad = VOCABULARY.ids("good bad")
    logs = logs_at(ids, len(words) + 1)
    np.testing.assert_allclose(scores.sums, [logs[good], logs[bad]], rtol=1e-6)
    assert scores.continuations == ("good", "bad") and scores.apart == (False, False)


def test_the_blank_may_stand_anywhere_and_both_sides_are_read():
    cloze = MaskedCloze(model(), VOCABULARY.ids, SPECIAL)
    first = cloze.score("[MASK] tram", ["the"]).sums
    ids = [SPECIAL.cls, SPECIAL.mask, *VOCABULARY.ids("tram").tolist(), SPECIAL.sep]
    np.testing.assert_allclose(first, logs_at(ids, 1)[VOCABULARY.ids("the")], rtol=1e-6)
    assert cloze.score("[MASK] late", ["the"]).sums != pytest.approx(first)


def test_a_word_of_several_tokens_is_filled_in_from_the_left():
    cloze = MaskedCloze(model(), VOCABULARY.ids, SPECIAL)
    scores = cloze.score("it was [MASK]", ["good", "very good", "very very bad"])
    before = [SPECIAL.cls, *VOCABULARY.ids("it was").tolist()]
    very, good = VOCABULARY.ids("very good").tolist()
    mask, end = SPECIAL.mask, SPECIAL.sep
    expected = [
        logs_at([*before, mask, mask, end], 3)[very],
        logs_at([*before, very, mask, end], 4)[good],
    ]
    np.testing.assert_allclose(scores.terms[1], expected, rtol=1e-6)
    # Each word has what it has alone, whatever stands beside it.
    assert [len(terms) for terms in scores.terms] == [1, 2, 3]
    for k, word in enumerate(scores.continuations):
        np.testing.assert_allclose(
            scores.terms[k], cloze.score("it was [MASK]", [word]).terms[0], rtol=1e-6
        )
    assert scores.by("token")[1] == pytest.approx(sum(expected) / 2)


def test_words_that_begin_alike_are_read_in_one_row():
    seen, encoder_model = [], model()

    def recorded(ids):
        seen.append(ids.shape[0])
        return encoder_model(ids)

    cloze = MaskedCloze(recorded, VOCABULARY.ids, SPECIAL)
    words = ["good", "bad", "very good", "very bad", "good bad"]
    scores = cloze.score("it was [MASK]", words)
    # one mask: good, bad; two masks; then after "very", after "good"
    assert seen == [1, 1, 2]
    alone = [cloze.score("it was [MASK]", [word]).sums[0] for word in words]
    np.testing.assert_allclose(scores.sums, alone, rtol=1e-6)


def test_two_tokens_in_a_blank_have_probabilities_that_sum_to_one():
    cloze = MaskedCloze(model(), VOCABULARY.ids, SPECIAL)
    words = ["good", "bad"]
    first = cloze.score("it was [MASK]", [f"very {word}" for word in words])
    ids = [SPECIAL.cls, *VOCABULARY.ids("it was very").tolist(), SPECIAL.mask, SPECIAL.sep]
    assert np.exp(logs_at(ids, 4)).sum() == pytest.approx(1)
    # p(very, w) / p(very) is the distribution of the second mask
    both = [terms[1] for terms in first.terms]
    np.testing.assert_allclose(both, logs_at(ids, 4)[VOCABULARY.ids("good bad")], rtol=1e-6)


def test_the_space_before_the_blank_belongs_to_the_word():
    seen = []

    def encode(text):
        seen.append(text)
        return [3] * len(text.split())

    def logits(ids):
        return Tensor(np.zeros((*ids.shape, 8)))

    plain = MaskedCloze(logits, encode, Special(8, mask=7))
    scores = plain.score("It was [MASK].", ["good"])
    assert seen == ["It was", ".", " good"]
    assert scores.sums == pytest.approx([-np.log(8)])  # without [CLS] and [SEP]
    plain.score("[MASK] it", ["Was"])
    assert seen[3:] == ["", " it", "Was"]


def test_a_model_in_training_is_put_back():
    trained = model()
    trained.train()
    MaskedCloze(trained, VOCABULARY.ids, SPECIAL).score("[MASK]", ["it"])
    assert trained.training


def test_the_label_is_that_of_the_more_probable_words():
    template = PromptTemplate("{*text*} it was [MASK] .")
    cloze = MaskedCloze(model(), VOCABULARY.ids, SPECIAL)
    item = Item("the tram was late .")
    answer = classify_by_mask(cloze, item, template, LABELS)
    sums = cloze.score(TEXT, ["good", "bad"]).sums
    assert answer.value == ["positive", "negative"][int(sums.argmax())]
    assert answer.text == ["good", "bad"][int(sums.argmax())]
    assert answer.details["masses"] == pytest.approx({"positive": sums[0], "negative": sums[1]})
    # The bias of the head decides: raised for the other word, the other label is chosen.
    for label, word in (("positive", "good"), ("negative", "bad")):
        biased = model()
        biased.head.bias.data[VOCABULARY.ids(word)] += 9
        biased = MaskedCloze(biased, VOCABULARY.ids, SPECIAL)
        assert classify_by_mask(biased, item, template, LABELS).value == label
    by_token = classify_by_mask(cloze, item, template, {"a": ("very good",)}, normalization="token")
    assert by_token.details["masses"]["a"] == by_token.details["scores"].sums[0] / 2


def test_what_cannot_be_scored_is_refused():
    cloze = MaskedCloze(model(), VOCABULARY.ids, SPECIAL)
    for text in ("it was good", "[MASK] [MASK]"):
        with pytest.raises(DataError, match=r"must have \[MASK\] in one place, not (0|2)"):
            cloze.score(text, ["good"])
    for words in ([], [""], ["good", " "]):
        with pytest.raises(DataError, match="at least one word"):
            cloze.score("it was [MASK]", words)
    with pytest.raises(ConfigError, match="mask"):
        MaskedCloze(model(), VOCABULARY.ids, Special(9))
