"""A trained simplifier: its loss is the cross-entropy of the short form, and its results are
measured by words, by meaning and by length.
"""

import numpy as np
import pytest

from tinylm.autograd import log_softmax
from tinylm.data.read.items import Item
from tinylm.data.synthetic.prompted.verbose import verbose_items
from tinylm.finetune.fitting import fit
from tinylm.prompt.compress.simplifier import Simplifier, measure, simplify_examples

ITEMS = verbose_items(12, seed=1)


def test_an_example_names_the_task():
    example = simplify_examples(ITEMS)[0]
    assert example.source == f"simplify: {ITEMS[0].question}"
    assert example.target == ITEMS[0].answer


def test_every_word_of_the_items_is_in_the_vocabulary():
    task = Simplifier.untrained(ITEMS).task
    for example in simplify_examples(ITEMS):
        for text in (example.source, example.target):
            assert task.tokenizer.encode(text).max() < len(task.tokenizer.words)
            assert (
                task.tokenizer.decode(task.tokenizer.encode(text)).split()
                == text.replace(":", " :").split()
            )
    assert task.longest == 32
    assert task.special.vocab_size == task.tokenizer.vocab_size + 9  # its special ids, no more


def test_the_loss_is_the_cross_entropy_of_the_short_form():
    simplifier = Simplifier.untrained(ITEMS, d_model=16, n_layer=1)
    batch = simplifier.task.make_batch(simplify_examples(ITEMS[:3]))
    loss, _ = simplifier.task.loss(simplifier.model, batch)
    logits = simplifier.model(batch.inputs, batch.decoder, batch.mask, None)
    logp, total, count = log_softmax(logits).data, 0.0, 0
    for b, item in enumerate(ITEMS[:3]):
        target = [*simplifier.task.tokenizer.encode(item.answer), simplifier.task.special.end]
        total -= sum(logp[b, t, y] for t, y in enumerate(target))
        count += len(target)
    np.testing.assert_allclose(float(loss.data), total / count, rtol=1e-5)


def test_the_seed_decides_the_weights():
    first, again, other = (Simplifier.untrained(ITEMS, seed=s).model for s in (0, 0, 1))
    assert (first.tokens.weight.data == again.tokens.weight.data).all()
    assert (first.tokens.weight.data != other.tokens.weight.data).any()


def test_a_few_pairs_are_learnt_by_heart():
    items = [Item("please go now", "go"), Item("kindly stop", "stop")]
    simplifier = Simplifier.untrained(items, d_model=16, n_layer=1, longest=4)
    examples = simplify_examples(items)
    fit(simplifier.model, simplifier.task, examples, steps=60, learning_rate=0.02)
    assert simplifier([item.question for item in items]) == ["go", "stop"]


def test_short_forms_have_three_measures():
    items = [
        Item("please summarize the given text in 10 words", "summarize the text in 10 words"),
        Item("now list the dates of the letter", "list the dates of the letter"),
    ]
    gold = [item.answer for item in items]
    assert measure(gold, items) == {"exact": 1.0, "meaning": 1.0, "ratio": 12 / 15}
    # a redundant word more has the same meaning; another slot, or no instruction, has not
    kept = [items[0].question, "list the dates of the report"]
    assert measure(kept, items) == {"exact": 0.0, "meaning": 0.5, "ratio": 14 / 15}
    assert measure(["go", gold[1]], items)["meaning"] == 0.5
    with pytest.raises(ValueError):
        measure(gold[:1], items)
