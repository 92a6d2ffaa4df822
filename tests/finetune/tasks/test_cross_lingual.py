"""A task learnt in one language and asked in another, which the encoder reads as it reads the
first.
"""

from tinylm.backend import Random
from tinylm.finetune import evaluate, fit, freeze
from tinylm.finetune.inputs import EncoderInput
from tinylm.finetune.tasks.classify import Classification
from tinylm.finetune.tasks.heads import Classifier
from tinylm.models.encoder.encoder import Encoder, EncoderConfig
from tinylm.pretrain.special import Special

WORDS = 10  # ids 0 .. 9 in the first language, 10 .. 19 in the second
SPECIAL = Special.after(2 * WORDS, sentinels=0)
TASK = Classification(EncoderInput(SPECIAL))


def encoder(vocab_size=SPECIAL.vocab_size):
    return Encoder(
        EncoderConfig(
            vocab_size,
            context=8,
            n_layer=1,
            n_head=2,
            d_model=16,
            segments=0,
            pooler=False,
            dropout=0.0,
        )
    )


def examples(n, language, seed):
    """Five words each; the label says whether most of them are among the lower half of the words."""
    ids = Random(seed).integers(0, WORDS, (n, 5))
    return [((row + WORDS * language).tolist(), int((row < WORDS // 2).sum() > 2)) for row in ids]


def taught(aligned):
    """A classifier fine-tuned on the first language alone; aligned: a word and its translation have
    one vector.
    """
    model = encoder()
    table = model.tokens.weight
    table.assign_(table.data * 20)  # vectors that differ: initial ones are nearly the same
    if aligned:
        table.data[WORDS : 2 * WORDS] = table.data[:WORDS]
    freeze(model.tokens)  # what is not seen in fine-tuning must not be left behind
    classifier = Classifier(model, 2, "mean")
    fit(classifier, TASK, examples(200, 0, seed=1), epochs=12, batch_size=20, learning_rate=1e-2)
    return classifier


def test_aligned_languages_share_a_task_without_a_label_in_the_second():
    classifier = taught(aligned=True)
    first, second = (
        evaluate(classifier, TASK, examples(200, language, seed=2))["accuracy"]
        for language in (0, 1)
    )
    assert first == second > 0.9  # the same vectors, the same answers


def test_without_alignment_nothing_carries_over():
    classifier = taught(aligned=False)
    first, second = (
        evaluate(classifier, TASK, examples(200, language, seed=2))["accuracy"]
        for language in (0, 1)
    )
    assert (
        first > 0.9 and second < 0.75
    )  # a coin gets 0.5; words of the second language mean nothing yet


def test_one_model_of_two_languages_has_the_parameters_of_two_models_less_one_stack():
    marks = SPECIAL.vocab_size - 2 * WORDS
    both, one = (encoder(n + marks).count_parameters() for n in (2 * WORDS, WORDS))
    row = 16 + 1  # D numbers of the table and one bias of the output layer
    assert both == 2 * one - (
        one - WORDS * row
    )  # a second model would repeat all but the rows of its own words
