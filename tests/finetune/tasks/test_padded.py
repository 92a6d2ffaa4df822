"""What stands under padding changes no head's loss and no answer, whatever its vector is."""

import numpy as np
import pytest

from tests.finetune.tasks.heads_small import SPECIAL, decoder, encoder, seq2seq
from tinylm.errors import DataError, DtypeError, ShapeError
from tinylm.finetune.compress.early_exit import EarlyExit
from tinylm.finetune.compress.length_adaptive import most_significant, shortened
from tinylm.finetune.peft.prefix import key_value_prefix
from tinylm.finetune.peft.soft_prompts import prompt_tuning, random_start
from tinylm.finetune.tasks import cases
from tinylm.finetune.tasks.grafted import Grafted
from tinylm.finetune.tasks.heads import POOLS, Classifier, hidden_states
from tinylm.models.early.cases import ready
from tinylm.models.encoder.presets import tiny

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")

BAD = {"nan": np.nan, "inf": np.inf, "huge": 1e150}
SHORT, LONG = [1, 2], [3, 4, 5, 6, 7]
IDS = np.array([[*SHORT, *[SPECIAL.pad] * 3], LONG])
MASK = np.array([[True, True, False, False, False], [True] * 5])


def tokens_of(model):
    """The table of tokens of a model, which may stand inside another."""
    for name in ("tokens", "encoder", "model", "score"):
        inner = getattr(model, name, None)
        if inner is not None:
            if name == "tokens":
                return inner.weight
            return tokens_of(inner)
    raise AssertionError("no table of tokens")


# One more example of each task, longer than its others, so that these are padded.
WORDS = [0, 1, 2, 3, 3, 2]
LONGER = {
    "Classification": (WORDS, 1),
    "Regression": (WORDS, 0.75),
    "SpanPrediction": ((WORDS, [1, 2]), (0, 1)),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
@pytest.mark.parametrize("name", cases.HEADS)
def test_a_task_s_loss(name, bad):
    head, task, examples = cases.HEADS[name]
    model = ready(head(cases.encoder(np.random.default_rng(0))).eval())
    batch = task.make_batch([*examples, LONGER.get(name.split("(")[0], examples[0])])
    assert not batch.mask.all()  # there is padding to look at
    before = task.loss(model, batch)[0].item()
    tokens_of(model).data[cases.SPECIAL.pad] = bad
    assert task.loss(model, batch)[0].item() == pytest.approx(before, rel=1e-12)


def behind_a_prompt(model):
    return prompt_tuning(model, random_start(model.tokens.weight, 2))


MODELS = {
    "encoder": encoder,
    "decoder": decoder,
    "encoder-decoder": seq2seq,
    "decoder behind a prefix": lambda: key_value_prefix(decoder(), 2),
    "encoder behind a prompt": lambda: behind_a_prompt(encoder()),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_a_classifier_s_logits(model, pool, bad):
    made = model()
    if pool == "pooler" and model not in (encoder, MODELS["encoder behind a prompt"]):
        pytest.skip("only encoders have a pooler")
    head = Classifier(made, 3, pool).eval()
    tokens_of(made).data[SPECIAL.pad] = bad
    logits = head(IDS, MASK).data
    for row, text in enumerate((SHORT, LONG)):
        alone = head(np.array([text]), np.ones((1, len(text)), bool)).data[0]
        np.testing.assert_allclose(logits[row], alone, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_a_decoder_grafted_on_an_encoder(bad):
    sizes = dict(
        vocab_size=SPECIAL.vocab_size, n_layer=1, n_head=2, context=32, start=SPECIAL.start
    )
    model = Grafted(encoder(), tiny("bart-base", **sizes)).eval()
    model.encoder.tokens.weight.data[SPECIAL.pad] = bad
    target = np.array([[SPECIAL.start, 3], [SPECIAL.start, 5]])
    scores = model(IDS, target, MASK).data
    for row, text in enumerate((SHORT, LONG)):
        alone = model(np.array([text]), target[row : row + 1]).data[0]
        np.testing.assert_allclose(scores[row], alone, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_early_exits_and_shorter_layers(bad):
    model = encoder(n_layer=2).eval()
    exits = EarlyExit(model, 2)
    said = [x.data for x in exits(IDS, mask=MASK)]
    short = shortened(model, IDS, [4, 3], MASK)
    model.tokens.weight.data[SPECIAL.pad] = bad
    for now, was in zip(exits(IDS, mask=MASK), said):
        np.testing.assert_allclose(now.data, was, rtol=1e-12)
    again = shortened(model, IDS, [4, 3], MASK)
    first = [x[0] for x in (short, again)]
    np.testing.assert_allclose(first[1].data[0, :2], first[0].data[0, :2], rtol=1e-9)


@pytest.mark.parametrize("mask", [None, np.ones((2, 0), bool)], ids=["no mask", "mask"])
@pytest.mark.parametrize("pool", ["first", "last", "pooler"])
def test_texts_of_no_token_are_named(pool, mask):
    with pytest.raises(ShapeError, match="of no token"):
        Classifier(encoder(), 3, pool)(np.zeros((2, 0), int), mask)
    assert Classifier(encoder(), 3, pool)(np.zeros((0, 3), int)).shape == (0, 3)


def test_a_decoder_wants_its_padding_behind():
    with pytest.raises(DataError, match="padded at their ends"):
        hidden_states(decoder(), IDS[:, ::-1], MASK[:, ::-1])


@pytest.mark.parametrize("kind", [float, int])
def test_masks_that_are_not_bool_are_refused_by_all_that_take_them(kind):
    mask = MASK.astype(kind)
    for model in (encoder(), decoder(), seq2seq()):
        with pytest.raises(DtypeError, match="must be bool"):
            Classifier(model, 2, "mean")(IDS, mask)
    with pytest.raises(DtypeError, match="must be bool"):
        most_significant(np.ones((2, 5)), 2, mask)
    with pytest.raises(DtypeError, match="must be bool"):
        shortened(encoder(), IDS, [4], mask)
    with pytest.raises(DtypeError, match="must be bool"):
        behind_a_prompt(encoder()).hidden(IDS, mask=mask)
