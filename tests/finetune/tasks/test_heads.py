import dataclasses

import numpy as np
import pytest

import tinylm as tl
from tests.finetune.tasks.heads_small import INPUTS, SPECIAL, decoder, encoder, seq2seq, texts
from tinylm.autograd import Tensor, cross_entropy
from tinylm.errors import ConfigError, DataError, ShapeError
from tinylm.finetune import fit
from tinylm.finetune.continual.many_tasks import ManyHeads
from tinylm.finetune.freezing import trainable
from tinylm.finetune.peft.prefix import hidden_prefix, key_value_prefix
from tinylm.finetune.peft.prompt_cache import prompt_keys_values
from tinylm.finetune.peft.soft_prompts import prompt_tuning, random_start, text_start
from tinylm.finetune.tasks.classify import Classification
from tinylm.finetune.tasks.heads import (
    Classifier,
    Regressor,
    first_state,
    hidden_states,
    last_state,
    replace_head,
)
from tinylm.finetune.tasks.spans import SpanPredictor
from tinylm.finetune.tasks.tagging import Tagging, TokenClassifier
from tinylm.models.encoder.encoder import without_head
from tinylm.nn import evaluating

EXACT = 1e-12  # the same sums in another order, float64
IDS, FIELDS = INPUTS.rows([[1, 2, 3], [4, 5, 6, 7, 8]])


def softmax(z):
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def test_a_classifier_is_the_head_after_the_encoder():
    bert = encoder()
    model = Classifier(bert, 3).eval()
    h = bert.hidden(IDS, **FIELDS).numpy()
    expected = h[:, 0] @ model.out.weight.numpy() + model.out.bias.numpy()
    np.testing.assert_allclose(model(IDS, **FIELDS).numpy(), expected, rtol=0, atol=EXACT)
    np.testing.assert_allclose(softmax(expected).sum(axis=-1), 1, rtol=0, atol=EXACT)


def test_the_gradient_of_a_linear_head_is_p_minus_y_times_h_cls():
    bert = encoder()
    model, gold = Classifier(bert, 3).eval(), 2
    h = model.features(IDS[:1]).numpy()[0]
    logits = model(IDS[:1])
    cross_entropy(logits, np.array([gold])).backward()
    p = softmax(logits.numpy()[0])
    np.testing.assert_allclose(
        model.out.weight.grad.numpy(), np.outer(h, p - np.eye(3)[gold]), rtol=0, atol=EXACT
    )
    np.testing.assert_allclose(model.out.bias.grad.numpy(), p - np.eye(3)[gold], rtol=0, atol=EXACT)


def test_fine_tuning_starts_from_the_pretrained_encoder_and_changes_all_of_it():
    bert = encoder(head="token")
    bare = without_head(bert)
    before = bare.state_dict()
    model, task = Classifier(bare, 2), Classification(INPUTS)
    examples = [(text, len(text) % 2) for text in texts(8)]
    for name, p in model.encoder.named_parameters().items():
        np.testing.assert_array_equal(p.numpy(), before[name])
    batch = task.make_batch(examples)
    task.loss(model, batch)[0].backward()
    unused = ("pooler.weight", "pooler.bias")  # this head reads h_cls itself
    for name, p in model.named_parameters().items():
        if not name.endswith(unused):
            assert np.abs(p.grad.numpy()).max() > 0, name
    fit(model, task, examples, epochs=1, batch_size=8, learning_rate=0.0)
    for name, p in model.encoder.named_parameters().items():
        np.testing.assert_array_equal(
            p.numpy(), before[name]
        )  # a learning rate of 0 changes nothing
    fit(model, task, examples, epochs=1, batch_size=8, weight_decay=0.0, clip=0.0)
    changed = [
        name
        for name, p in model.encoder.named_parameters().items()
        if (p.numpy() != before[name]).any()
    ]
    assert set(before) - set(changed) == set(unused)


def test_a_new_head_leaves_the_encoder_to_the_last_bit():
    model = Classifier(encoder(), 2, "mean")
    before = model.encoder.state_dict()
    other = replace_head(model, 4, seed=1)
    assert (
        other.encoder is model.encoder
        and other.pool is model.pool
        and other.out.weight.shape == (16, 4)
    )
    for name, array in other.encoder.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_padding_does_not_change_the_answer():
    for pool in ("first", "pooler", "mean", "last"):
        model = Classifier(encoder(), 2, pool).eval()
        np.testing.assert_allclose(
            model(IDS, **FIELDS).numpy()[0], model(IDS[:1, :5]).numpy()[0], rtol=0, atol=EXACT
        )


def test_the_pooler_is_the_encoders_own():
    model = Classifier(encoder(), 2, "pooler").eval()
    pooled = model.encoder.pool(model.encoder.hidden(IDS[:1])).numpy()
    np.testing.assert_array_equal(model.features(IDS[:1]).numpy(), pooled)


def test_a_decoder_is_classified_at_its_last_token():
    gpt = decoder()
    model = Classifier(gpt, 2).eval()
    h = gpt.hidden(IDS).numpy()
    found = model.features(IDS, FIELDS["mask"]).numpy()
    np.testing.assert_array_equal(found, np.stack([h[0, 4], h[1, 6]]))


def test_of_a_decoder_only_the_last_state_has_seen_all():
    gpt = decoder().eval()
    x = Tensor(gpt.tokens(IDS).numpy(), requires_grad=True)
    h = gpt.transform(gpt.add_positions(x, np.arange(7)), np.arange(7))
    for i in (0, 3, 6):
        (g,) = tl.grad(h[1, i, 0], [x], retain_graph=True)
        size = np.abs(g.numpy()[1]).max(axis=1)
        assert (size[: i + 1] > 0).all() and (
            size[i + 1 :] == 0
        ).all()  # d h_i / d e_j = 0 for j > i


def test_the_encoder_of_an_encoder_decoder_serves_too():
    t5 = seq2seq()
    h = hidden_states(t5, IDS, FIELDS["mask"]).numpy()
    np.testing.assert_array_equal(h, t5.encode(IDS, FIELDS["mask"]).numpy())
    assert Classifier(t5, 3, "mean")(IDS, **FIELDS).shape == (2, 3)


def test_segments_reach_only_models_that_know_them():
    pair, fields = INPUTS.rows([([1, 2], [3])])
    bert = encoder()
    with_segments = hidden_states(bert, pair, **fields).numpy()
    assert np.abs(with_segments - hidden_states(bert, pair).numpy()).max() > 1e-3
    plain = encoder(segments=0)
    np.testing.assert_array_equal(
        hidden_states(plain, pair, **fields).numpy(), hidden_states(plain, pair).numpy()
    )


def test_a_bounded_score_lies_between_0_and_1():
    bert = encoder()
    bounded, free = Regressor(bert).eval(), Regressor(bert, bounded=False).eval()
    for model in (bounded, free):
        model.score.out.weight.data *= 1000  # scores far from 0
    y, z = bounded(IDS, **FIELDS).numpy(), free(IDS, **FIELDS).numpy()
    assert y.shape == (2,) and (y >= 0).all() and (y <= 1).all()
    assert bounded.score.out.weight.shape == (16, 1)  # one number, so one column
    np.testing.assert_allclose(y, 1 / (1 + np.exp(-z)), rtol=0, atol=EXACT)


def test_the_last_state_of_a_full_row():
    h = Tensor(np.arange(12.0).reshape(2, 3, 2))
    assert last_state(None, h).numpy().tolist() == [[4, 5], [10, 11]]


@pytest.mark.parametrize("pool, at", [(first_state, [1, 0]), (last_state, [2, 1])])
def test_the_first_and_the_last_state_are_those_of_tokens_not_of_padding(pool, at):
    h = Tensor(np.arange(12.0).reshape(2, 3, 2))
    mask = np.array([[False, True, True], [True, True, False]])
    np.testing.assert_array_equal(pool(None, h, mask).numpy(), h.numpy()[[0, 1], at])
    np.testing.assert_array_equal(pool(None, h[:, :1]).numpy(), h.numpy()[:, 0])  # a single token
    with pytest.raises(ShapeError, match="needs at least one"):
        pool(None, h[:, :0])


def test_a_decoder_refuses_padding_in_front_and_ignores_it_behind():
    gpt, mask = decoder(), FIELDS["mask"]
    with pytest.raises(DataError, match="padded at their ends"):
        hidden_states(gpt, IDS, mask[:, ::-1])
    np.testing.assert_array_equal(hidden_states(gpt, IDS, mask).numpy(), gpt.hidden(IDS).numpy())


def test_one_segment_is_no_segments():
    # a table of one row would say nothing, and the second text has no row in it
    pair, fields = INPUTS.rows([([1, 2], [3])])
    plain = encoder(segments=1)
    np.testing.assert_array_equal(
        hidden_states(plain, pair, **fields).numpy(), hidden_states(plain, pair).numpy()
    )


WORDS = Tagging(INPUTS, ("O",)).make_batch([([1, 2, 3], None), ([4], None)])


@pytest.mark.parametrize(
    "build, read",
    [
        (lambda bert: Classifier(bert, 16), lambda m: m(IDS, **FIELDS)),
        (lambda bert: TokenClassifier(bert, 16), lambda m: m(WORDS)),
        (SpanPredictor, lambda m: m(WORDS)),
        (lambda bert: ManyHeads(bert, (16,)), lambda m: m(IDS, np.zeros(2, int), **FIELDS)[0][2]),
    ],
)
def test_dropout_stands_between_encoder_and_head_and_in_training_alone(build, read):
    bert = encoder()
    bert.config = dataclasses.replace(bert.config, dropout=0.5)
    model, hidden = build(bert), bert.hidden

    def calm_states(*args, **options):
        with evaluating(bert):  # the encoder's own dropout would hide the head's
            return hidden(*args, **options)

    bert.hidden = calm_states
    out = model.classifiers[0].out if isinstance(model, ManyHeads) else model.out
    out.weight.data[...], out.bias.data[...] = np.eye(*out.weight.shape), 0  # passes features on
    calm, again = (read(model.eval()).numpy() for _ in range(2))
    wild = read(model.train()).numpy()
    np.testing.assert_array_equal(calm, again)
    # half of them are 0, and the others count double
    assert set(np.unique(np.round(wild / calm, 9))) == {0, 2}


def test_an_unknown_pooling_is_refused():
    with pytest.raises(ConfigError, match="no pooling 'max'"):
        Classifier(encoder(), 2, "max")


def test_heads_run_on_every_device(device):
    model, task = Classifier(encoder(), 2, "mean").to(device), Classification(INPUTS)
    batch = task.make_batch([([1, 2], 1), (([3], [4, 5]), 0)])
    here = task.loss(Classifier(encoder(), 2, "mean"), batch)[0].item()
    assert task.loss(model, batch.to(device))[0].item() == pytest.approx(here, abs=EXACT)
    assert len(task.predict(model, batch.to(device))) == 2 and SPECIAL.cls == batch.inputs[0, 0]


def test_a_classifier_reads_a_decoder_behind_a_prompt_or_prefix():
    ids, fields = INPUTS.rows([[1, 2, 3], [4, 5, 6, 7, 8]])
    plain = Classifier(decoder(), 3).eval()
    prompted = prompt_tuning(gpt := decoder(), text_start(gpt.tokens.weight, [7, 0]))
    words = np.concatenate([np.tile([7, 0], (2, 1)), ids], axis=1)
    expected = plain(words, np.pad(fields["mask"], ((0, 0), (2, 0)), constant_values=True)).numpy()
    np.testing.assert_allclose(
        Classifier(prompted, 3).eval()(ids, **fields).numpy(), expected, rtol=0, atol=EXACT
    )
    words_cached = key_value_prefix(gpt := decoder(), start=prompt_keys_values(gpt, [7, 0]))
    np.testing.assert_allclose(
        Classifier(words_cached, 3).eval()(ids, **fields).numpy(), expected, rtol=0, atol=EXACT
    )


@pytest.mark.parametrize(
    "wrap",
    [lambda m: prompt_tuning(m, random_start(m.tokens.weight, 2)), lambda m: hidden_prefix(m, 2)],
)
@pytest.mark.parametrize("make, pool", [(encoder, None), (encoder, "mean"), (decoder, None)])
def test_what_stands_around_a_model_and_its_head_are_learnt_together(wrap, make, pool):
    model, task = Classifier(wrap(make(dtype=np.float32)), 2, pool), Classification(INPUTS)
    before = model.state_dict()
    fit(model, task, [(text, text[0] % 2) for text in texts(8)], steps=3, batch_size=4)
    moved = {name for name, p in model.state_dict().items() if not np.array_equal(p, before[name])}
    assert moved == set(trainable(model)) and len(moved) > 2  # the head's two, and the vectors
