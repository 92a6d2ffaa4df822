"""The heads give what Hugging Face's give, on the same weights: outputs, losses, and gradients of
the heads.
"""

import dataclasses

import numpy as np
import pytest

from tests.finetune.tasks.heads_small import INPUTS, SPECIAL
from tinylm.finetune.tasks.classify import Classification, MultipleChoice
from tinylm.finetune.tasks.heads import Classifier
from tinylm.finetune.tasks.spans import SpanPrediction, SpanPredictor
from tinylm.finetune.tasks.tagging import Tagging, TokenClassifier
from tinylm.models.published.build import fill, new_model
from tinylm.models.published.layouts import LAYOUTS, prefix_of
from tinylm.models.published.load import read_layout

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.filterwarnings("ignore")

TOLERANCE = 1e-10  # float64 on both sides, sums in another order
BERT = dict(
    vocab_size=SPECIAL.vocab_size,
    hidden_size=16,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=24,
    max_position_embeddings=32,
    pad_token_id=SPECIAL.pad,
)


def theirs(name, **options):
    """A model of Hugging Face's with random weights, in float64."""
    torch.manual_seed(0)
    model = getattr(transformers, name)(transformers.BertConfig(**BERT, **options)).double().eval()
    with torch.no_grad():
        for p in model.parameters():
            p += 0.2 * torch.randn_like(p)
    return model


def compare(model, make, task, examples, head, pooler=True, **labels):
    """Their loss and gradients of head and embeddings are ours; make(encoder) -> our model."""
    weights = {name: w.numpy() for name, w in model.state_dict().items()}
    names = [n for n in weights if n.startswith("bert.")]
    config, kind = read_layout(model.config.to_dict(), weights=names)
    bert, tensors = new_model(config, np.float64), {n: weights[n] for n in names}
    fill(
        bert, LAYOUTS[kind].rules(config, kind), tensors, np.float64, prefix_of(kind), LAYOUTS[kind]
    )
    assert (bert.pooler is not None) == pooler
    mine = make(bert).eval()
    mine.out.weight.data[...] = weights[f"{head}.weight"].T
    mine.out.bias.data[...] = weights[f"{head}.bias"]
    batch = task.make_batch(examples)
    inputs = {
        "input_ids": batch.inputs,
        "token_type_ids": batch.segments,
        "attention_mask": batch.mask.astype(np.int64),
    }
    found = model(**{name: torch.tensor(value) for name, value in inputs.items()}, **labels)
    loss = task.loss(mine, batch)[0]
    assert abs(loss.item() - found.loss.item()) < TOLERANCE
    found.loss.backward()
    loss.backward()
    grads = dict(model.named_parameters())
    pairs = [
        (mine.out.weight.grad.numpy(), grads[f"{head}.weight"].grad.numpy().T),
        (
            bert.tokens.weight.grad.numpy(),
            grads["bert.embeddings.word_embeddings.weight"].grad.numpy(),
        ),
    ]
    pairs[1] = [
        np.delete(grad, SPECIAL.pad, axis=0) for grad in pairs[1]
    ]  # theirs never trains [PAD]'s row
    for a, b in pairs:
        np.testing.assert_allclose(a, b, rtol=0, atol=TOLERANCE * np.abs(b).max() + 1e-14)
    return mine, batch, found


PAIRS = [(([1, 2, 3], [4, 5]), 2), (([6], [7, 8]), 0)]


def test_classification_of_pairs_agrees():
    model = theirs("BertForSequenceClassification", num_labels=3)
    mine, batch, found = compare(
        model,
        lambda bert: Classifier(bert, 3, "pooler"),
        Classification(INPUTS),
        PAIRS,
        "classifier",
        labels=torch.tensor([2, 0]),
    )
    np.testing.assert_allclose(
        mine(batch.inputs, **batch.options).numpy(),
        found.logits.detach().numpy(),
        rtol=0,
        atol=TOLERANCE,
    )


def test_tagging_agrees():
    model = theirs("BertForTokenClassification", num_labels=3)
    examples = [([1, 2, 3], "abc"), ([4], "b")]
    labels = torch.tensor([[-100, 0, 1, 2, -100], [-100, 1, -100, -100, -100]])
    compare(
        model,
        lambda bert: TokenClassifier(bert, 3),
        Tagging(INPUTS, ("a", "b", "c")),
        examples,
        "classifier",
        pooler=False,
        labels=labels,
    )


def test_choices_agree():
    model = theirs("BertForMultipleChoice")
    examples = [(([1, 2], [[3], [4, 5]]), 1), (([6], [[7], [8]]), 0)]
    compare(
        model,
        lambda bert: Classifier(bert, 1, "pooler"),
        MultipleChoice(INPUTS),
        examples,
        "classifier",
        labels=torch.tensor([1, 0]),
    )


def test_spans_agree_where_all_words_may_be_the_answer():
    # Theirs is a softmax over all tokens, question and marks too; ours over the words of the text.
    # Given all tokens as places, and their loss being the mean of two halves where ours is the sum,
    # the two are one.
    model = theirs("BertForQuestionAnswering")
    examples = [(([1, 2], [3, 4, 5]), (1, 2)), (([6, 7], [8, 9]), (0, 0))]

    class Everywhere(SpanPrediction):
        def make_batch(self, examples, rng=None):
            batch = super().make_batch(examples)
            places = np.broadcast_to(np.arange(batch.inputs.shape[1]), batch.inputs.shape)
            everywhere = np.ones(places.shape, bool)  # theirs sees padding too
            gold = np.take_along_axis(batch.words, batch.targets, axis=1)
            return dataclasses.replace(batch, words=places, held=everywhere, targets=gold)

        def loss(self, model, batch):
            loss, said = super().loss(model, batch)
            return loss / 2, said

    ends = {"start_positions": torch.tensor([5, 4]), "end_positions": torch.tensor([6, 4])}
    compare(model, SpanPredictor, Everywhere(INPUTS), examples, "qa_outputs", pooler=False, **ends)
