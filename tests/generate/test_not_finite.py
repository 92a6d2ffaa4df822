"""Every way to choose a token refuses logits that are nan, all -inf, or +inf, with one message."""

import numpy as np
import pytest

from tests.generate.small import make_gpt
from tinylm.backend import Random
from tinylm.errors import DataError
from tinylm.generate import generate, generate_batch, generate_text, sample, stream_text
from tinylm.generate.measure.compression import counts
from tinylm.generate.protocol.language_model import ModelLM
from tinylm.generate.protocol.score import exhaustive_map, perplexity
from tinylm.generate.strategies import contrastive
from tinylm.generate.strategies.beam import beam_search, diverse_beam_search
from tinylm.generate.strategies.constrained import StringSet, TokenAutomaton, constrained_generate
from tinylm.generate.strategies.rerank import rescore_nbest
from tinylm.generate.strategies.speculative import speculative_generate
from tinylm.generate.strategies.stochastic_beam import stochastic_beam_search
from tinylm.generate.trace import trace_generation
from tinylm.models.early.ngram import NGramLM
from tinylm.tokenizers import ByteTokenizer
from tinylm.train.evaluation import perplexity_of_loss

MESSAGE = "of the logits has no finite maximum"
NAN, INF = float("nan"), float("inf")
ROWS = {
    "one nan": [0.0, NAN, 1.0, 2.0],
    "all nan": [NAN] * 4,
    "nan and -inf": [-INF, NAN, -INF, -INF],
    "all -inf": [-INF] * 4,
    "+inf": [0.0, INF, 1.0, 2.0],
}
PURE = {
    "temperature": lambda x: sample.temperature(x, 0.5),
    "top_k": lambda x: sample.top_k(x, 2),
    "top_k of all": lambda x: sample.top_k(x, 9),
    "top_p": lambda x: sample.top_p(x, 0.9),
    "min_p": lambda x: sample.min_p(x, 0.1),
    "min_p 0": lambda x: sample.min_p(x, 0),
    "typical": lambda x: sample.typical(x, 0.9),
    "epsilon": lambda x: sample.epsilon(x, 0.1),
    "eta": lambda x: sample.eta(x, 0.1),
    "greedy": sample.greedy,
    "draw_inverse": lambda x: sample.draw_inverse(x, [0.5]),
    "probabilities": sample.probabilities,
    "gumbel": lambda x: sample.draw_gumbel(x, np.full((1, 4), 0.5)),
    "contrastive, expert": lambda x: contrastive.contrastive_scores(x, np.zeros((1, 4))),
    "contrastive, amateur": lambda x: contrastive.contrastive_scores(np.zeros((1, 4)), x),
    "compression": lambda x: counts(x[0]),
}


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("way", PURE)
def test_every_function_from_logits_to_tokens_refuses(way, row):
    with pytest.raises(DataError, match=MESSAGE):
        PURE[way](np.array([ROWS[row]]))


class Broken:
    """A language model whose scores turn bad after the first token it generates."""

    vocab_size, context = 257, None

    def __init__(self, bad, from_length=4):
        self.inner, self.bad, self.from_length = ModelLM(GPT), bad, from_length

    def new_cache(self, batch, padding=None):
        return self.inner.new_cache(batch, padding)

    def _spoilt(self, scores, cache, tokens):
        scores = np.array(scores)
        if cache.length >= self.from_length:
            scores[..., -1, :] = {"nan": NAN, "-inf": -INF}.get(self.bad, scores[..., -1, :])
            if self.bad == "+inf":
                scores[..., -1, 7] = INF
        return scores

    def logits(self, tokens, cache=None):
        if cache is None:
            cache = self.new_cache(len(tokens))
        return self._spoilt(self.inner.logits(tokens, cache), cache, tokens)

    def next_logits(self, tokens, cache=None):
        return self.logits(tokens, cache)[:, -1]

    def hidden_and_logits(self, tokens, cache=None):
        states, scores = self.inner.hidden_and_logits(tokens, cache)
        return states, self._spoilt(scores, cache, tokens)


GPT = make_gpt(vocab_size=257, context=32)
GOOD, TOKENIZER, PROMPT = ModelLM(GPT), ByteTokenizer(("<end>",)), [1, 2, 3]
ANY = TokenAutomaton(StringSet([bytes([1]) * 20]), TOKENIZER, 256)
OPTIONS = {
    "sampled": {},
    "warm": {"temperature": 2.0},
    "greedy": {"temperature": 0},
    "k": {"top_k": 3},
    "k 1": {"top_k": 1},
    "p": {"top_p": 0.9},
    "m": {"min_p": 0.1},
    "typical": {"typical_p": 0.9},
    "epsilon": {"epsilon": 0.01},
    "eta": {"eta": 0.01},
    "penalty": {"repetition_penalty": 1.3, "temperature": 0},
}


def plain(options):
    return lambda lm: list(generate(lm, PROMPT, 5, **options))


WAYS = {
    **{name: plain(options) for name, options in OPTIONS.items()},
    "batch": lambda lm: generate_batch(lm, [PROMPT, PROMPT], 5, top_k=4),
    "stream": lambda lm: list(stream_text(lm, TOKENIZER, PROMPT, 5, top_k=4)),
    "text": lambda lm: generate_text(lm, TOKENIZER, "abc", 5, top_p=0.5),
    "beams": lambda lm: beam_search(lm, PROMPT, 5, width=3),
    "diverse beams": lambda lm: diverse_beam_search(lm, PROMPT, 5),
    "stochastic beams": lambda lm: stochastic_beam_search(lm, PROMPT, 5, 3, Random(0, "beams")),
    "speculative": lambda lm: speculative_generate(lm, GOOD, PROMPT, 5, 2),
    "speculative, draft": lambda lm: speculative_generate(GOOD, lm, PROMPT, 5, 2),
    "speculative, greedy": lambda lm: speculative_generate(lm, GOOD, PROMPT, 5, 2, temperature=0),
    "contrastive": lambda lm: contrastive.contrastive_decode(lm, GOOD, PROMPT, 5),
    "contrastive, amateur": lambda lm: contrastive.contrastive_decode(GOOD, lm, PROMPT, 5),
    "contrastive search": lambda lm: contrastive.contrastive_search(lm, PROMPT, 5),
    "constrained": lambda lm: constrained_generate(lm, PROMPT, ANY, 5),
    "trace": lambda lm: trace_generation(lm, PROMPT, 5, show=None),
}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # inf - inf on the way to the refusal
@pytest.mark.parametrize("bad", ["nan", "-inf", "+inf"])
@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_generate_refuses_a_model_that_breaks_on_the_way(way, bad):
    with pytest.raises(DataError, match=MESSAGE):
        WAYS[way](Broken(bad))


@pytest.mark.parametrize("way", [way for way in WAYS if "draft" not in way])
def test_a_sound_model_passes_every_way(way):
    WAYS[way](Broken("nothing"))


def test_parameters_that_are_nan_are_refused_by_the_fast_decoder_too():
    broken = make_gpt(vocab_size=257, context=32)
    broken.parameters()[-1].data[...] = NAN
    for options in {"temperature": 0}, {"top_k": 3}, {}:
        with pytest.raises(DataError, match=MESSAGE):
            list(generate(broken, PROMPT, 5, **options))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_no_order_is_made_of_nan():
    broken = Broken("nan", from_length=1)
    with pytest.raises(DataError, match="is nan"):
        exhaustive_map(broken, [1], 1)
    with pytest.raises(DataError, match="is nan"):
        rescore_nbest([((1, 2), 0.0)], broken, 1.0, [0])


@pytest.mark.filterwarnings("error")
def test_perplexity_of_nan_is_nan_and_of_what_overflows_inf():
    assert np.isnan(perplexity_of_loss(NAN)) and perplexity_of_loss(1e4) == INF
    assert np.isnan(perplexity(Broken("nan", from_length=1), [1, 2, 3]))
    assert perplexity(Far(), [0, 1, 1]) == INF  # -log Pr is 1e5 a token
    lm = NGramLM(2, 3, "add_k").fit(np.array([0, 1, 2]))
    for logprob, expected in (-1e5, INF), (NAN, NAN), (-INF, INF):
        lm.logprob = lambda sequence, value=logprob: np.array([value])
        np.testing.assert_equal(lm.perplexity([0]), expected)


class Far(Broken):
    """Token 1 costs 1e5 nats."""

    vocab_size = 2

    def __init__(self):
        pass

    def logits(self, tokens, cache=None):
        return np.broadcast_to([0.0, -1e5], (*np.shape(tokens), 2))


@pytest.mark.parametrize("shape", [(4,), (2, 4), (3, 2, 4)])
def test_functions_of_the_last_axis_alone_take_any_shape(rng, shape):
    logits = rng.normal(size=shape)
    p = sample.probabilities(logits)
    np.testing.assert_allclose(p.sum(axis=-1), 1)
    np.testing.assert_allclose(
        sample.probabilities(sample.temperature(logits, 2.0)),
        p**0.5 / (p**0.5).sum(axis=-1, keepdims=True),
    )
    logits[..., 1] = NAN
    for function in sample.probabilities, sample.greedy, lambda x: sample.min_p(x, 0.1):
        with pytest.raises(DataError, match=MESSAGE):
            function(logits)
