import numpy as np
import pytest

from tests.finetune.tasks.heads_small import SPECIAL, decoder, seq2seq
from tinylm.autograd import Tensor
from tinylm.errors import ConfigError
from tinylm.finetune import answers, evaluate, fit
from tinylm.finetune.inputs import special_of
from tinylm.finetune.instruct.instructions import InstructionTuning
from tinylm.finetune.tasks.text_to_text import Answering, prompt_and_answer, summarize
from tinylm.models.early.cases import ready
from tinylm.pretrain.batch import IGNORE
from tinylm.pretrain.denoising.text_to_text import TextToText
from tinylm.pretrain.special import Special
from tinylm.tokenizers import WordTokenizer

TASK = Answering(SPECIAL, longest=6)


def test_the_source_says_the_task():
    example = summarize("the article", "the")
    assert example.source == "summarize: the article" and example.target == "the"
    assert TextToText("sentiment:", "I love it", "positive").source == "sentiment: I love it"


def test_targets_end_in_the_end_mark_and_the_decoder_reads_them_shifted():
    batch = TASK.make_batch([([1, 2], [3]), ([4], [5, 6])])
    start, end, pad, cls = SPECIAL.start, SPECIAL.end, SPECIAL.pad, SPECIAL.cls
    assert batch.inputs.tolist() == [[cls, 1, 2], [cls, 4, pad]]
    assert batch.targets.tolist() == [[3, end, IGNORE], [5, 6, end]]
    assert batch.decoder.tolist() == [[start, 3, pad], [start, 5, 6]]
    assert Answering(SPECIAL, framed=True).make_batch([([1], [2])]).inputs.tolist() == [
        [cls, 1, SPECIAL.sep]
    ]


def says(token):
    """An encoder-decoder that says one token for ever."""
    model = seq2seq().eval()
    one_hot = np.eye(SPECIAL.vocab_size)[token]
    model.logits = lambda h: Tensor(np.broadcast_to(one_hot, (*h.shape[:2], len(one_hot))).copy())
    return model


@pytest.mark.parametrize("sources", [[[1, 2], [3]], [[1, 2], [3, 4]]])  # with and without padding
def test_an_answer_lasts_until_the_end_mark_or_the_longest(sources):
    batch = TASK.make_batch([(source, None) for source in sources])
    assert TASK.predict(says(SPECIAL.end), batch) == [[], []]  # the mark itself is not said
    assert TASK.predict(says(4), batch) == [[4] * 6] * 2  # TASK's longest


def test_answers_of_ids_are_measured_whole_and_by_tokens():
    examples = [([1], np.array([5, 6])), ([2], [7, 8])]
    # the first is right; of the second one token of two is found among three said: F1 is 2 / 5
    measured = TASK.measure([[5, 6], [7, 1, 2]], examples)
    assert measured == {"exact": 0.5, "f1": pytest.approx((1 + 2 / 5) / 2)}
    two_of_three = TASK.measure([[5, 6], [7, 1, 2], [7, 8]], [*examples, examples[1]])
    assert two_of_three["exact"] == pytest.approx(2 / 3)


def test_texts_are_read_and_said_through_the_tokenizer():
    tokenizer = WordTokenizer(["good", "it", "is", ":", "yes"], ("<pad>", "<s>", "</s>"))
    task = Answering(special_of(tokenizer), tokenizer, longest=2)
    assert task.pair(TextToText("good:", "it is", "yes")) == ([0, 3, 1, 2], [4])
    assert task.pair(TextToText("good:", "it is", None)) == ([0, 3, 1, 2], [])
    model = seq2seq(vocab_size=tokenizer.vocab_size, start=tokenizer.special["<s>"]).eval()
    said = np.eye(tokenizer.vocab_size)[4]
    model.logits = lambda h: Tensor(np.broadcast_to(said, (*h.shape[:2], len(said))).copy())
    batch = task.make_batch([TextToText("good:", "it is", None)])
    assert task.predict(model, batch) == ["yes yes"]
    measured = task.measure(["yes yes"], [TextToText("good:", "it is", "yes")])
    assert measured == {"exact": 0.0, "f1": pytest.approx(2 / 3)}  # precision 1/2, recall 1


def test_an_encoder_decoder_answers_on_every_device(device):
    model, examples = ready(seq2seq()), [([1, 2, 3], None), ([4], None)]
    expected = answers(model, TASK, examples)
    assert answers(model.to(device), TASK, examples) == expected


def test_a_batch_of_mixed_tasks_has_the_gradient_of_its_parts():
    # One loss for all tasks: a mean over tokens, so parts count by their tokens.
    model, grads, counts = ready(seq2seq()).eval(), [], []
    parts = [[([1, 2], [3]), ([2], [4])], [([5, 6, 7], [7, 6, 5])]]
    for examples in [*parts, parts[0] + parts[1]]:
        model.zero_grad()
        loss, said = TASK.loss(model, TASK.make_batch(examples))
        loss.backward()
        grads.append([p.grad.numpy() for p in model.parameters()])
        counts.append(said["tokens"])
    assert counts == [4, 4, 8]
    for first, second, both in zip(*grads):
        np.testing.assert_allclose(
            (counts[0] * first + counts[1] * second) / counts[2], both, rtol=0, atol=1e-12
        )


@pytest.mark.slow
def test_fine_tuning_adds_no_layer_and_learns_to_answer_and_to_stop():
    # Two tasks in one stream: say the word that is first in the alphabet, or both words in its
    # order.
    words = ["ant", "bee", "cat", "dog", "eel", "fox", "gnu", "hen"]
    tokenizer = WordTokenizer([*words, "first", "both", ":"], ("<pad>", "<s>", "</s>"))
    special = special_of(tokenizer)
    examples = [
        TextToText(task, f"{a} {b}", " ".join(sorted([a, b])[: 1 if task == "first:" else 2]))
        for a in words
        for b in words
        if a != b
        for task in ("first:", "both:")
    ]
    examples = [examples[i] for i in np.random.default_rng(0).permutation(len(examples))]
    held, seen = examples[:12], examples[12:]
    model = seq2seq(
        dtype=np.float32,
        vocab_size=tokenizer.vocab_size,
        start=special.start,
        d_model=32,
        d_hidden=64,
    )
    task = Answering(special, tokenizer, longest=6)
    before = {name: p.shape for name, p in model.named_parameters().items()}
    loss = task.loss(model.eval(), task.make_batch(held))[0].item()
    fit(model, task, seen, epochs=30, batch_size=10, learning_rate=5e-3)
    assert (
        task.loss(model, task.make_batch(held))[0].item() < 0.3 * loss
    )  # nats of pairs it was not trained on
    assert evaluate(model, task, held)["exact"] > 0.8
    assert {name: p.shape for name, p in model.named_parameters().items()} == before
    assert {len(said.split()) for said in answers(model, task, held)} == {
        1,
        2,
    }  # as each task wants; the limit is 6


def test_a_decoder_says_the_label_as_text():
    tokenizer = WordTokenizer(
        ["good", "bad", "fine", "poor", "is", "it", ":", "positive", "negative"], ("</s>",)
    )
    special = Special(tokenizer.vocab_size, end=tokenizer.special["</s>"])
    reviews = [
        ("it is good", "positive"),
        ("it is bad", "negative"),
        ("fine", "positive"),
        ("poor", "negative"),
    ]
    examples = [
        prompt_and_answer(TextToText("it is:", text, label), special, tokenizer)
        for text, label in reviews
    ]
    end = special.end
    assert examples[0].ids.tolist() == [5, 4, 6, 5, 4, 0, end, 7, end]
    assert examples[0].targets().tolist() == [IGNORE] * 6 + [
        7,
        end,
    ]  # the loss is on the answer alone
    model = decoder(vocab_size=tokenizer.vocab_size)
    task = InstructionTuning(tokenizer=tokenizer, end=end, max_tokens=3)
    names = list(model.named_parameters().keys())
    fit(model, task, examples, epochs=40, batch_size=4, learning_rate=5e-3)
    assert (
        evaluate(model, task, examples)["accuracy"] == 1.0
        and list(model.named_parameters().keys()) == names
    )


def test_probabilities_of_all_targets_of_a_length_sum_to_one():
    # Pr(y | x) = prod_t Pr(y_t | y_<t, x): over all 3^3 targets, words 0 to 2 being the whole
    # vocabulary.
    model = ready(seq2seq(vocab_size=3, start=0)).eval()
    source = np.array([[1, 2, 2]] * 27)
    targets = np.stack(np.meshgrid(*[np.arange(3)] * 3, indexing="ij"), axis=-1).reshape(27, 3)
    logits = model(
        source, np.concatenate([np.zeros((27, 1), int), targets[:, :-1]], axis=1)
    ).numpy()
    log_p = logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True)
    p = np.exp(np.take_along_axis(log_p, targets[..., None], -1).sum(axis=(1, 2)))
    assert p.sum() == pytest.approx(1, abs=1e-12) and np.ptp(p) > 1e-3


def test_an_end_mark_is_needed():
    with pytest.raises(ConfigError, match="end"):
        Answering(Special(5, start=3, pad=4))
