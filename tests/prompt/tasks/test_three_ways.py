"""The three ways to classify, with a model whose probabilities are known: where they agree, and why
they need not.
"""

import numpy as np
import pytest

from tests.prompt.small import END
from tinylm.data.read.items import Item
from tinylm.generate.protocol.enumerable import TokenCache
from tinylm.generate.protocol.language_model import check_tokens
from tinylm.prompt import TextModel
from tinylm.prompt.tasks import classify_by_cloze, classify_by_scores, classify_generated
from tinylm.tokenizers import ByteTokenizer

LABELS = ("positive", "negative", "neutral")
ITEM = Item("The tram was late.", options=LABELS)


class Calibrated:
    """A language model over bytes that ends every text with a sentence about its polarity, the
    label drawn from a given distribution.
    """

    vocab_size, context, eos = 257, 4096, END

    def __init__(self, probabilities):
        self.endings = {
            f"The polarity of the text is {label}.".encode(): p
            for label, p in probabilities.items()
        }

    def new_cache(self, batch, padding=None):
        return TokenCache(batch, padding)

    def logits(self, tokens, cache=None):
        tokens = check_tokens(tokens, self, cache)
        if cache is None:
            cache = self.new_cache(len(tokens))
        before = cache.length
        cache.tokens = np.concatenate([cache.tokens, tokens], axis=1)
        out = np.full((*tokens.shape, self.vocab_size), -np.inf)
        for b, row in enumerate(cache.tokens):
            for t in range(before, cache.length):
                text = bytes(int(i) for i in row[: t + 1] if i < 256)
                out[b, t - before] = self._next(text.rpartition(b"\n")[2])
        return out

    def next_logits(self, tokens, cache=None):
        return self.logits(tokens, cache)[:, -1]

    def _next(self, line):
        """Logits after the last line of the text so far."""
        shares = np.zeros(self.vocab_size)
        for ending, p in self.endings.items():
            if ending == line:
                shares[END] += p
            elif ending.startswith(line):
                shares[ending[len(line)]] += p
        if not shares.any():  # after a line of the prompt
            shares[ord("\n")] = 1
        with np.errstate(divide="ignore"):
            return np.log(shares)


def classified(probabilities):
    lm = TextModel.of(
        Calibrated(probabilities),
        ByteTokenizer(["<|endoftext|>"]),
        begin=(END,),
        ends=(END,),
        start=END,
    )
    ways = classify_generated, classify_by_cloze, classify_by_scores
    return [way(lm, ITEM, max_tokens=64) for way in ways]  # tokens are bytes


@pytest.mark.parametrize("best", LABELS)
def test_all_ways_agree_on_a_label_with_more_than_half_of_the_probability(best):
    probabilities = {label: 0.6 if label == best else 0.2 for label in LABELS}
    assert [answer.value for answer in classified(probabilities)] == [best] * 3


def test_scores_are_the_models_own_probabilities():
    probabilities = {"positive": 0.5, "negative": 0.4, "neutral": 0.1}
    answer = classified(probabilities)[-1]
    assert answer.details["probabilities"] == pytest.approx(probabilities)


def test_labels_that_begin_alike_share_their_probability_when_text_is_generated():
    # "ne" has 0.3 + 0.3, so the most probable next character leads away from the best label.
    answers = classified({"positive": 0.4, "negative": 0.31, "neutral": 0.29})
    assert [answer.value for answer in answers] == ["negative", "negative", "positive"]
