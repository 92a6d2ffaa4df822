"""Everything in tinylm.prompt that has a derivative is registered, and computes what it should.

Gradient checks find a wrong derivative, not a wrong loss. So every entry has a rule here, in loops
over the drawn numbers, and errors planted in the code must break it: targets one place later, a
mean over the wrong count, a mask off by one, and their like.
"""

import importlib
import inspect
import pkgutil

import numpy as np
import pytest

from tinylm import prompt
from tinylm.autograd import Tensor, log_softmax, no_grad, registry
from tinylm.pretrain.denoising import seq2seq
from tinylm.pretrain.discriminative.contrastive import info_nce
from tinylm.prompt.in_context import learned_retriever, real_decoder
from tinylm.prompt.in_context.gradient_descent import LinearSelfAttention
from tinylm.prompt.in_context.real_decoder import interleaved

ENTRIES = {name: e for name, e in registry.load_all().items() if name.startswith("prompt.")}
NAMES = sorted(ENTRIES)
TOLERANCE = 1e-9  # float64 sums of some 20 terms, in another order

# What stands in a file that uses models or Tensors and has no derivative of its own
OTHERS = {
    "filler.Candidate": "a text and a number",
    "filler.Filled": "texts and numbers",
    "filler.Filler": "predicts without a gradient",
    "filler.frame_of": "ids",
    "filler.open_filler": "opens a Filler",
    "gradient_descent.best_rate": "numbers",
    "gradient_descent.construction": "makes a LinearSelfAttention",
    "gradient_descent.dual_form": "arrays of NumPy",
    "gradient_descent.gradient_steps": "arrays of NumPy",
    "gradient_descent.predictions": "an array: what LinearSelfAttention gives",
    "gradient_descent.tokens_of": "makes a constant",
    "induction.after_earlier": "a mask",
    "induction.attention_patterns": "observes a model without a gradient",
    "induction.best_accuracy": "a number",
    "induction.induction_scores": "arrays of NumPy",
    "induction.mapping_prompts": "random ids",
    "induction.previous_token_scores": "arrays of NumPy",
    "induction.repeated": "random ids",
    "induction_circuit.induction_circuit": "makes a GPT",
    "induction_circuit.set_attention": "sets weights",
    "learned_retriever.Contrast": "numbers of Items",
    "learned_retriever.contrasts": "numbers of Items",
    "learned_retriever.learn_retriever": "training: of RetrievalTask",
    "learned_retriever.LearnedRetriever": "ranks without a gradient: in TwoEncoders",
    "learned_retriever.likelihoods": "an array of a TextLM",
    "learned_retriever.shown_text": "a text",
    "masked_cloze.classify_by_mask": "an answer",
    "masked_cloze.MaskedCloze": "reads probabilities without a gradient",
    "opened.check_decoder": "a check",
    "opened.check_there": "a check",
    "opened.is_published": "a bool",
    "opened.open_decoder": "opens a model",
    "opened.open_model": "opens a model",
    "opened.Opened": "a model with its tokenizer",
    "opened.Read": "a model as its files have it",
    "opened.read_model": "opens a model",
    "prefix_store.common_length": "a number",
    "prefix_store.ContinuedLM": "arrays of a language model",
    "prefix_store.PrefixStore": "keys and values, read without a gradient",
    "prefix_store.shared_length": "a number",
    "reader.Reader": "a language model in one place",
    "real_decoder.interleaved": "makes a constant",
    "real_decoder.small_decoder": "makes a RealDecoder",
    "simplifier.measure": "shares of texts",
    "simplifier.simplify_examples": "texts",
    "text_to_text.is_text_to_text": "a bool",
    "text_to_text.open_answer": "opens a decoder",
    "weights.weights_hash": "a hash",
}
TRAINABLE = "autograd", "nn", "models.decoder", "models.encoder", "pretrain"


def modules_with_tensors():
    """Files of tinylm.prompt whose names include something of the floors that models stand on."""
    floors = tuple(f"tinylm.{floor}" for floor in TRAINABLE)
    for found in pkgutil.walk_packages(prompt.__path__, "tinylm.prompt."):
        module = importlib.import_module(found.name)
        origins = {getattr(value, "__module__", None) or "" for value in vars(module).values()}
        if not found.name.endswith(".cases") and any(o.startswith(floors) for o in origins):
            yield module


def test_everything_that_computes_with_tensors_has_an_entry():
    public = set()
    for module in modules_with_tensors():
        for name, f in vars(module).items():
            own = getattr(f, "__module__", "") == module.__name__ and not name.startswith("_")
            if own and (inspect.isfunction(f) or inspect.isclass(f)):
                public.add(f"{module.__name__.split('.')[-1]}.{name}")
    entered = {name for name in public if f"prompt.{name.split('.')[1]}" in ENTRIES}
    missing = public - entered - set(OTHERS)
    assert not missing, f"register cases for {sorted(missing)}, or say in this file why not"
    assert set(OTHERS) <= public, "this list names what is gone"
    assert len(entered) == len(ENTRIES), "an entry of something that is gone"


# The rules: what an entry's call must give, as a list of arrays.


def encoded(model, questions, demonstrations):
    return [
        questions @ model.question.weight.data,
        demonstrations @ model.demonstration.weight.data,
    ]


def retrieval_loss(model, asked, shown, contrasts):
    """Candidates of a question are its positive, and all drawn ones that are not its positive."""
    positives = [contrast.positives[0] for contrast in contrasts]
    drawn = [*positives, *(contrast.negatives[0] for contrast in contrasts)]
    losses = []
    for contrast, positive in zip(contrasts, positives):
        q, c = encoded(model, asked[contrast.question], shown)
        total = np.exp(q @ c[positive])
        total += sum(np.exp(q @ c[number]) for number in drawn if number != positive)
        losses.append(np.log(total) - q @ c[positive])
    return [np.mean(losses)]


def linear_attention(layer, tokens, context):
    """e_j + P sum over i of V e_i (K e_i . Q e_j)."""
    names = ("projection", "values", "keys", "queries")
    P, V, K, Q = (getattr(layer, name).data for name in names)
    wanted = tokens.copy()
    for row, out in zip(tokens, wanted):
        for j, e_j in enumerate(row):
            for e_i in row[:context]:
                out[j] += P @ (V @ e_i) * (K @ e_i @ (Q @ e_j))
    return [wanted]


def values(model, x, y):
    """Every value from a prompt of its own, which ends where the value would stand."""
    B, K, d = x.shape
    wanted = np.zeros((B, K))
    for b in range(B):
        for k in range(K):
            vectors = []
            for i in range(k):
                vectors += [x[b, i], [y[b, i], *[0] * (d - 1)]]
            tokens = Tensor(np.array([[*vectors, x[b, k]]]))
            positions = np.arange(2 * k + 1)
            h = model.trunk.add_positions(model.enter(tokens), positions)
            h = model.trunk.transform(h, positions)
            wanted[b, k] = model.leave(h[:, -1]).item()
    return [wanted]


def value_loss(model, x, y):
    (predicted,) = values(model, x, y)
    return [sum((p - v) ** 2 for p, v in zip(predicted.ravel(), y.ravel())) / y.size]


def short_form_loss(model, task, examples):
    """-log Pr(short | long), one example at a time and so without padding; mean over all words."""
    total, count, special = 0.0, 0, task.special
    for example in examples:
        source = np.array([[special.cls, *task.tokenizer.encode(example.source)]])
        target = [*task.tokenizer.encode(example.target), special.end]
        logits = model(source, np.array([[special.start, *target[:-1]]]))
        logp = log_softmax(logits).data[0]
        total -= sum(logp[t, id] for t, id in enumerate(target))
        count += len(target)
    return [total / count]


RULES = {
    "prompt.LinearSelfAttention": linear_attention,
    "prompt.RealDecoder": values,
    "prompt.RetrievalTask": retrieval_loss,
    "prompt.Simplifier": short_form_loss,
    "prompt.TwoEncoders": encoded,
    "prompt.squared_error": value_loss,
}


def as_tensor(argument):
    """What is differentiated is an array among the arguments."""
    if isinstance(argument, np.ndarray):
        return Tensor(argument)
    return argument


def in_float64(model):
    """A model of the call; T5's float32 would hide what is smaller than 1e-7."""
    for parameter in model.parameters():
        parameter.data = parameter.data.astype(np.float64)


def follows_its_rule(name):
    """True if every drawn call of an entry gives what its rule gives."""
    for seed in range(3):
        for drawn in ENTRIES[name].calls(seed):
            in_float64(drawn.args[0])
            with no_grad():
                wanted = RULES[name](*drawn.args, **drawn.options)
                found = ENTRIES[name].function(*map(as_tensor, drawn.args), **drawn.options)
            if not isinstance(found, tuple):
                found = (found,)
            for a, b in zip(found, wanted, strict=True):
                if a.shape != np.shape(b) or not np.allclose(a.data, b, rtol=0, atol=TOLERANCE):
                    return False
    return True


@pytest.mark.parametrize("name", NAMES)
def test_an_entry_computes_what_its_rule_says(name):
    assert follows_its_rule(name)


# Errors planted in the code: (entry, owner, attribute, what stands in its place: the right one ->
# the wrong one).


def later(array):
    return np.roll(array, 1, axis=1)


def later_values(array):
    """Values (B, K) one example later; vectors (B, T, d) as they are."""
    if array.ndim == 3:
        return array
    return later(array)


def wrong_pairs(change):
    """info_nce with other excluded pairs; a row's own column is not excluded by mistake."""

    def wrong(scores, excluded):
        excluded = change(excluded)
        np.fill_diagonal(excluded, False)
        return info_nce(scores, excluded)

    return lambda right: wrong


def wrong_scores(change):
    return lambda right: lambda scores, excluded: right(change(scores), excluded)


def wrong_loss(change):
    return lambda right: lambda scores, excluded: change(right(scores, excluded), scores)


def without_the_positive(scores, excluded):
    """The denominator holds the negatives only: log sum over c- of exp(q . c-), minus q . c+."""
    loss = info_nce(scores, excluded).item()
    chosen = np.where(excluded, -np.inf, scores.data)
    with_all = np.log(np.exp(chosen).sum(axis=1))
    np.fill_diagonal(chosen, -np.inf)
    return Tensor(loss + (np.log(np.exp(chosen).sum(axis=1)) - with_all).mean())


def other_context(more):
    return lambda right: lambda self, tokens, context: right(self, tokens, context + more)


def other_update(change):
    """The tokens and a changed update of them."""

    def plant(right):
        def wrong(self, tokens, context):
            return change(tokens, right(self, tokens, context) - tokens, context)

        return wrong

    return plant


def exchanged(one, other):
    """A layer of which two matrices have changed places."""

    def plant(right):
        def wrong(self, tokens, context):
            layer = LinearSelfAttention(len(self.keys.data))
            for name in ("keys", "queries", "values", "projection"):
                source = {one: other, other: one}.get(name, name)
                getattr(layer, name).assign_(getattr(self, source).data)
            return right(layer, tokens, context)

        return wrong

    return plant


def other_tokens(change):
    return lambda right: lambda x, y: change(interleaved(x, y), x, y)


def values_first(tokens, x, y):
    """y_1, x_1, y_2, x_2, ..: a value stands before its input, and is read."""
    B, T, d = tokens.shape
    return tokens.reshape(B, T // 2, 2, d)[:, :, ::-1].reshape(B, T, d)


def values_sooner(tokens, x, y):
    """x_1, y_2, x_2, y_3, ..: every value stands one example sooner."""
    return interleaved(x, np.roll(y, -1, axis=1))


RETRIEVAL = ("prompt.RetrievalTask", learned_retriever, "info_nce")
ATTENTION = ("prompt.LinearSelfAttention", LinearSelfAttention, "__call__")
TOKENS = ("prompt.RealDecoder", real_decoder, "interleaved")
TARGETS = ("prompt.Simplifier", seq2seq, "score")

PLANTED = {
    "no pair is excluded": (*RETRIEVAL, wrong_pairs(np.zeros_like)),
    "excluded pairs one column later": (*RETRIEVAL, wrong_pairs(later)),
    "excluded pairs one row later": (*RETRIEVAL, wrong_pairs(lambda e: np.roll(e, 1, axis=0))),
    "all but the excluded pairs are": (*RETRIEVAL, wrong_pairs(np.logical_not)),
    "positives one question later": (*RETRIEVAL, wrong_scores(lambda s: s[[1, 2, 0]])),
    "distances for inner products": (*RETRIEVAL, wrong_scores(lambda s: -s)),
    "a sum over questions": (*RETRIEVAL, wrong_loss(lambda loss, s: loss * len(s.data))),
    "a mean over candidates": (*RETRIEVAL, wrong_loss(lambda loss, s: loss / 2)),
    "a denominator without the positive": (*RETRIEVAL, lambda right: without_the_positive),
    "a context one token longer": (*ATTENTION, other_context(1)),
    "a context one token shorter": (*ATTENTION, other_context(-1)),
    "a mean over the context": (*ATTENTION, other_update(lambda e, more, N: e + more / N)),
    "no residual connection": (*ATTENTION, other_update(lambda e, more, N: more)),
    "queries are not updated": (
        *ATTENTION,
        other_update(lambda e, more, N: e + more * (np.arange(4) < 2)[:, None]),
    ),
    "keys for queries": (*ATTENTION, exchanged("keys", "queries")),
    "values for the projection": (*ATTENTION, exchanged("values", "projection")),
    "values before their inputs": (*TOKENS, other_tokens(values_first)),
    "values one example sooner": (*TOKENS, other_tokens(values_sooner)),
    "values in the last place": (*TOKENS, other_tokens(lambda t, x, y: t[..., ::-1])),
    "vectors one place later": (
        "prompt.RealDecoder",
        real_decoder,
        "_constant",
        lambda right: lambda array, model: right(later(array), model),
    ),
    "targets one example later": (
        "prompt.squared_error",
        real_decoder,
        "_constant",
        lambda right: lambda array, model: right(later_values(array), model),
    ),
    "a sum of squares": (
        "prompt.squared_error",
        real_decoder,
        "mean",
        lambda right: lambda squares: squares.sum(),
    ),
    "a mean over prompts alone": (
        "prompt.squared_error",
        real_decoder,
        "mean",
        lambda right: lambda squares: right(squares) * squares.shape[1],
    ),
    "a mean without the first example": (
        "prompt.squared_error",
        real_decoder,
        "mean",
        lambda right: lambda squares: right(squares[:, -2:]),
    ),
    "the decoder reads its targets": (
        "prompt.Simplifier",
        seq2seq,
        "shifted",
        lambda right: lambda targets, start, mask: np.where(targets < 0, mask, targets),
    ),
    "targets one place later": (*TARGETS, lambda right: lambda z, y, n=None: right(z, later(y))),
    "a loss of the first target alone": (
        *TARGETS,
        lambda right: lambda z, y, n=None: right(z[:, :1], y[:, :1]),
    ),
    "a mean over padding too": (
        *TARGETS,
        lambda right: lambda z, y, n=None: (right(z, y)[0] * ((y >= 0).mean()), None),
    ),
}


@pytest.mark.parametrize("what", PLANTED)
def test_a_planted_error_breaks_the_rule(what, monkeypatch):
    name, owner, attribute, plant = PLANTED[what]
    monkeypatch.setattr(owner, attribute, plant(getattr(owner, attribute)))
    assert not follows_its_rule(name)


def test_every_entry_has_a_rule_and_most_have_planted_errors():
    assert set(RULES) == set(NAMES)
    assert {planted[0] for planted in PLANTED.values()} >= set(NAMES) - {"prompt.TwoEncoders"}
