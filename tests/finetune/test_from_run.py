"""A run of `tinylm train` is fine-tuned without looking inside it."""

import numpy as np
import pytest

from tinylm.finetune import evaluate, fit
from tinylm.finetune.from_run import pretrained_part
from tinylm.finetune.tasks.classify import Classification
from tinylm.finetune.tasks.heads import Classifier
from tinylm.models import GPT
from tinylm.models.encoder.encoder import Encoder
from tinylm.models.encoder.seq2seq import Seq2Seq
from tinylm.train import TrainConfig, prepare_run, train_run

LABELED = [
    (f"the {thing} was {word}", label)
    for thing in ("cat", "dog", "sun", "sea", "day")
    for word, label in (("good", "yes"), ("bad", "no"))
]


@pytest.mark.parametrize(
    "objective, kind",
    [("masked", Encoder), ("replaced", Encoder), ("causal", GPT), ("sentinels", Seq2Seq)],
)
def test_ten_sentences_are_learnt_from_any_run(tmp_path, objective, kind):
    text = tmp_path / "text.txt"
    text.write_text(
        "the cat was good. the dog was bad. the sun is warm. the sea is cold all day. " * 20
    )
    config = TrainConfig(
        data=str(text),
        tokenizer="chars",
        objective=objective,
        n_layer=1,
        n_head=2,
        d_model=16,
        context=24,
        steps=2,
        batch_size=4,
        warmup=1,
        eval_batches=1,
        workers=1,
        out=str(tmp_path / "run"),
    )
    train_run(prepare_run(config, lambda *_: None, {}), report=lambda *_: None)
    model, inputs = pretrained_part(tmp_path / "run")
    assert isinstance(model, kind)
    classifier = Classifier(model, 2, None if kind is GPT else "mean")
    task = Classification(inputs, ("no", "yes"))
    before = np.array(model.tokens.weight.data)
    fit(classifier, task, LABELED[:2], steps=1, learning_rate=0.0)
    assert np.array_equal(before, model.tokens.weight.data)  # it starts from what the run learnt
    fit(classifier, task, LABELED, steps=100, batch_size=10, learning_rate=1e-2)
    assert evaluate(classifier, task, LABELED)["accuracy"] == 1.0
