"""The loss of instruction tuning: on answers alone, in one pass, packed or not."""

from dataclasses import replace

import numpy as np
import pytest

from tests.finetune.instruct.talks import END, TALK, TALKS, TOKENIZER, examples, model, said
from tinylm.autograd import Tensor, grad
from tinylm.backend import Random
from tinylm.errors import DataError, ShapeError
from tinylm.finetune import evaluate, fit
from tinylm.finetune.instruct.conversations import (
    ROLES,
    Encoded,
    encode_conversation,
    encode_samples,
    encode_sft,
    pack,
)
from tinylm.finetune.instruct.instructions import InstructionTuning, answer_loss
from tinylm.generate import conditional_logprob, generate
from tinylm.models import GPT, GPTConfig
from tinylm.pretrain import CausalLM
from tinylm.pretrain.batch import IGNORE
from tinylm.pretrain.score import score

TASK = InstructionTuning()
BARE = Encoded(np.array([1, 2, 3]), np.zeros(3, bool))  # without an answer
EXACT = dict(rtol=1e-12, atol=1e-12)  # sums of a few dozen float64 terms of size 1 to 10


def total(found):
    """The sum over tokens of a (mean loss, metrics)."""
    return found[1]["loss"] * found[1]["tokens"]


def test_the_loss_of_a_sample_is_minus_log_pr_of_the_answer():
    m, one = model(), encode_sft([5, 6, 7], [8, 9])
    found = total(TASK.loss(m, TASK.make_batch([one])))
    np.testing.assert_allclose(found, -conditional_logprob(m, [5, 6, 7], [8, 9]), **EXACT)


def test_it_is_the_loss_of_the_whole_minus_that_of_the_prompt():
    m, one = model(), examples()[1]
    whole = total(
        InstructionTuning(whole=True).loss(m, InstructionTuning(whole=True).make_batch([one]))
    )
    causal = total(CausalLM().loss(m, CausalLM().make_batch(one.ids[None])))
    prompt = total(CausalLM().loss(m, CausalLM().make_batch(one.ids[None, : one.prompt])))
    np.testing.assert_allclose(whole, causal, **EXACT)
    np.testing.assert_allclose(total(TASK.loss(m, TASK.make_batch([one]))), whole - prompt, **EXACT)


def test_no_gradient_reaches_the_logits_where_the_prompt_is_predicted():
    one = examples()[0]
    batch = TASK.make_batch([one])
    logits = Tensor(
        np.random.default_rng(0).normal(size=(*batch.targets.shape, TOKENIZER.vocab_size)),
        requires_grad=True,
    )
    (g,) = grad(score(logits, batch.targets)[0], [logits])
    said_here = one.answer[1:]  # row t says token t + 1
    assert (g.data[0, ~said_here] == 0).all()  # exactly
    assert (np.abs(g.data[0, said_here]).max(axis=-1) > 0).all()
    assert (
        said_here[one.prompt - 1] and not said_here[: one.prompt - 1].any()
    )  # first at the last token of the prompt


def test_parameters_do_get_gradient_through_the_prompt():
    m, batch = model(positions="learned"), TASK.make_batch([encode_sft([5, 6, 7], [8, 9])])
    (g,) = grad(TASK.loss(m, batch)[0], [m.tokens.weight])
    # Tied weights: every row has a part from the output layer. Untie by asking what changes if only
    # inputs change.
    other = model(positions="learned")
    x = other.tokens(batch.inputs).detach()
    x.requires_grad = True
    h = other.transform(other.add_positions(x, np.arange(4)), np.arange(4))
    (through,) = grad(score(other.logits(h), batch.targets)[0], [x])
    assert (
        np.abs(through.data[0, 0]).max() > 1e-6 and np.abs(g.data[5]).max() > 0
    )  # token 5 stands in the prompt alone


def test_what_the_prompt_says_next_does_not_matter_but_what_it_says_does():
    m = model()

    def loss(ids, answer):
        return TASK.loss(m, TASK.make_batch([Encoded(np.array(ids), np.array(answer))]))[0].item()

    mask = [False, False, False, True]
    assert loss([1, 2, 3, 4], mask) != loss([1, 9, 3, 4], mask)
    batch = TASK.make_batch([Encoded(np.array([1, 2, 3, 4]), np.array(mask))])
    assert batch.targets.tolist() == [[IGNORE, IGNORE, 4]]


def test_loss_and_gradient_are_those_of_torch():
    torch = pytest.importorskip("torch")
    batch = TASK.make_batch(examples())
    values = np.random.default_rng(1).normal(size=(*batch.targets.shape, TOKENIZER.vocab_size))
    ours, theirs = Tensor(values, requires_grad=True), torch.tensor(values, requires_grad=True)
    loss = score(ours, batch.targets)[0]
    expected = torch.nn.functional.cross_entropy(
        theirs.flatten(0, 1), torch.tensor(batch.targets).flatten(), ignore_index=IGNORE
    )
    expected.backward()
    np.testing.assert_allclose(loss.item(), expected.item(), rtol=1e-13)
    np.testing.assert_allclose(
        grad(loss, [ours])[0].data, theirs.grad.numpy(), rtol=1e-11, atol=1e-17
    )


def test_one_pass_over_a_conversation_is_the_sum_over_its_turns():
    m = model()
    once = TASK.loss(m, TASK.make_batch([encode_conversation(TOKENIZER, ROLES, TALK)]))
    turns = [
        TASK.loss(
            m, TASK.make_batch([encode_conversation(TOKENIZER, ROLES, TALK[:n], turns="last")])
        )
        for n in (3, 5)
    ]
    np.testing.assert_allclose(total(once), sum(map(total, turns)), **EXACT)
    # As means over tokens, turns weigh by theirs: (n_1 m_1 + n_2 m_2) / (n_1 + n_2). So do
    # gradients.
    weights = [found[1]["tokens"] / once[1]["tokens"] for found in turns]
    parameters = m.parameters()
    expected = [
        sum(w * g.data for w, g in zip(weights, gs))
        for gs in zip(*(grad(loss, parameters) for loss, _ in turns))
    ]
    for g, e in zip(grad(once[0], parameters), expected):
        np.testing.assert_allclose(g.data, e, **EXACT)
    assert sum(weights) == 1


@pytest.mark.parametrize("positions", ["rope", "learned"])
def test_packed_rows_cost_what_separate_ones_do(positions):
    m, made = model(positions=positions), [*examples(), encode_sft([1, 2], [3])]
    rows = pack(made, 30)
    assert [len(row) for row in rows] == [2, 2]  # inputs: 25 and 2, 9 and 6
    packed, alone = TASK.make_batch(rows), TASK.make_batch(made)
    assert packed.tokens == alone.tokens
    (one, _), (other, _) = TASK.loss(m, packed), TASK.loss(m, alone)
    np.testing.assert_allclose(one.item(), other.item(), **EXACT)
    for a, b in zip(grad(one, m.parameters()), grad(other, m.parameters())):
        np.testing.assert_allclose(a.data, b.data, **EXACT)


def test_a_packed_conversation_is_blind_to_its_neighbors():
    m, made = model(), examples()
    changed = encode_conversation(
        TOKENIZER, ROLES, said(("user", "b"), ("assistant", "xyz"))
    )  # as long as the second
    rows = [TASK.make_batch([[made[0], second]]) for second in (made[1], changed)]
    n = len(made[0]) - 1
    first, other = (
        m.hidden(batch.inputs, positions=batch.positions, mask=batch.visible()).data
        for batch in rows
    )
    np.testing.assert_array_equal(first[:, :n], other[:, :n])
    swapped = TASK.make_batch([[changed, made[0]]])
    h = m.hidden(swapped.inputs, positions=swapped.positions, mask=swapped.visible()).data
    np.testing.assert_allclose(h[:, -n:], first[:, :n], **EXACT)


def test_the_output_layer_is_computed_for_answers_alone():
    m, seen = model(), []
    inner = m.logits
    m.logits = lambda h: seen.append(h.shape) or inner(h)
    TASK.loss(m, TASK.make_batch(examples()))
    assert seen == [(sum(int(one.answer.sum()) for one in examples()), 16)]


def test_nothing_to_predict_is_refused():
    with pytest.raises(DataError, match="fewer than two tokens"):
        TASK.make_batch([Encoded(np.array([1]), np.array([False]))])


def test_no_step_changes_nothing_and_a_warm_start_is_ahead():
    m, state = model(np.float32), None
    state = {name: value.copy() for name, value in m.state_dict().items()}
    fit(m, TASK, examples(), steps=0)
    assert all((state[name] == value).all() for name, value in m.state_dict().items())
    fit(m, TASK, examples(), steps=60, learning_rate=1e-2)
    cold, warm = model(np.float32, seed=5), m
    other = encode_samples(TOKENIZER, ROLES, [said(("user", "hi"), ("assistant", "yo"))])[0]
    losses = [fit(start, TASK, other, steps=3, learning_rate=1e-3)[0] for start in (cold, warm)]
    assert losses[1] < losses[0]


def test_it_learns_to_answer_and_to_end():
    m = model(np.float32)
    pairs = ("red", "rot"), ("two", "zwei"), ("yes", "ja")
    talks = [said(("user", question), ("assistant", answer)) for question, answer in pairs]
    made = encode_samples(TOKENIZER, ROLES, talks)[0]
    task = InstructionTuning(tokenizer=TOKENIZER, end=END, max_tokens=8)
    fit(m, task, made, steps=150, batch_size=3, learning_rate=1e-2)
    assert evaluate(m, task, made) == {"accuracy": 1.0}
    batch = task.make_batch(made)
    assert task.predict(m, batch) == ["rot", "zwei", "ja"]
    assert InstructionTuning(end=END, max_tokens=8).predict(m, batch)[2] == tuple(b"ja")


def test_system_information_can_change_the_answer():
    m = model(np.float32)
    talks = [
        said(("system", s), ("user", "ok?"), ("assistant", a))
        for s, a in (("+", "yes"), ("-", "no"))
    ]
    made = encode_samples(TOKENIZER, ROLES, talks)[0]
    task = InstructionTuning(tokenizer=TOKENIZER, end=END)
    assert not made[0].answer[: made[0].prompt].any()  # and it is not learnt itself
    fit(m, task, made, steps=150, batch_size=2, learning_rate=1e-2)
    assert task.predict(m, task.make_batch(made)) == ["yes", "no"]


def test_answers_are_the_most_probable_tokens():
    m = model()
    prompts = [[1, 2, 3], [9]]
    batch = TASK.make_batch([encode_sft(prompt, [4, 5]) for prompt in prompts])
    found = InstructionTuning(max_tokens=5).predict(m, batch)
    assert found == [tuple(generate(m, prompt, 5, temperature=0)) for prompt in prompts]
    assert InstructionTuning() == InstructionTuning(False, None, None, 32)  # what it is by default


def test_answers_that_belong_to_no_example_are_not_measured():
    with pytest.raises(ValueError, match="zip"):
        TASK.measure([(8,)], [encode_sft([5], [8]), encode_sft([6], [9])])
    assert TASK.measure([(8,), (7,)], [encode_sft([5], [8]), encode_sft([6], [9])]) == {
        "accuracy": 0.5
    }


def test_packed_rows_are_not_asked():
    with pytest.raises(ShapeError, match="give one example a row"):
        TASK.predict(model(), TASK.make_batch(pack(examples(), 60)))


def test_validation_is_the_mean_over_all_answer_tokens():
    m, made = model(), examples()
    mean, tokens = answer_loss(m, TASK, made, batch_size=2)
    singles = [TASK.loss(m, TASK.make_batch([one])) for one in made]
    assert tokens == sum(int(one.answer.sum()) for one in made)
    np.testing.assert_allclose(mean, sum(map(total, singles)) / tokens, **EXACT)


def test_batches_can_be_cut_and_moved():
    batch = TASK.make_batch([[one] for one in examples()], Random(0))
    assert batch.rows(1, 3).segments.shape[0] == 2 and batch.to("cpu").prompt.tolist() == [
        one.prompt for one in examples()
    ]
    assert len(TALKS) == len(batch)


def test_every_device_computes_the_same(device):
    m, here = model(), TASK.make_batch(pack(examples(), 30))
    expected, task = TASK.loss(m, here)[0].item(), InstructionTuning(max_tokens=2)
    answers = task.predict(m, task.make_batch(examples()))
    m.to(device)
    np.testing.assert_allclose(TASK.loss(m, here.to(device))[0].item(), expected, **EXACT)
    assert task.predict(m, task.make_batch(examples()).to(device)) == answers
    np.testing.assert_allclose(
        answer_loss(m, TASK, pack(examples(), 30), device=device)[0], expected, **EXACT
    )


def test_conversations_in_a_row_are_numbered_and_each_is_counted_from_0():
    three, two, one = encode_sft([5, 6], [7, 8]), encode_sft([1], [2, 3]), encode_sft([4], [9])
    batch = TASK.make_batch([[three, two], [one]])  # 3 + 2 inputs, and one beside them
    assert batch.inputs.tolist() == [[5, 6, 7, 1, 2], [4, 0, 0, 0, 0]]
    assert batch.targets.tolist() == [[IGNORE, 7, 8, 2, 3], [9] + [IGNORE] * 4]
    assert batch.segments.tolist() == [[0, 0, 0, 1, 1], [0, -1, -1, -1, -1]]
    assert batch.positions.tolist() == [[0, 1, 2, 0, 1], [0, 0, 0, 0, 0]]
    assert batch.mask.tolist() == [[True] * 5, [True] + [False] * 4]
    assert batch.prompt.tolist() == [2, 1]
    alone = TASK.make_batch([three])  # nothing is packed and nothing padded
    assert alone.mask is None and alone.segments is None and alone.positions is None


def test_every_conversation_of_a_row_needs_two_tokens():
    bare = Encoded(np.array([1]), np.array([False]))
    for row in ([], [encode_sft([1], [2]), bare], [bare, encode_sft([1], [2])]):
        with pytest.raises(DataError, match="fewer than two tokens"):
            TASK.make_batch([row])
    assert TASK.make_batch([encode_sft([1], [2])]).targets.tolist() == [[2]]  # two are enough


def test_answers_are_the_most_probable_tokens_one_by_one():
    m, task = model(), InstructionTuning(max_tokens=3)
    examples = [encode_sft([1, 2, 3], [4]), encode_sft([5], [6])]  # answers of one token, too
    expected = []
    for one in examples:
        ids = one.ids[: one.prompt].tolist()
        for _ in range(3):
            ids.append(int(m(np.array([ids])).data[0, -1].argmax()))
        expected.append(tuple(ids[one.prompt :]))
    assert task.predict(m, task.make_batch(examples)) == expected
    assert task.predict(m, task.make_batch(examples[:1])) == expected[:1]  # without padding


def test_a_row_is_asked_alike_wherever_its_padding_stands():
    m, task = model(), InstructionTuning(max_tokens=3)
    batch = task.make_batch([encode_sft([1, 2, 3], [4, 5]), encode_sft([6], [7, 8]), BARE])
    order = np.argsort(batch.mask, axis=1, kind="stable")  # padding first
    names = ("inputs", "targets", "mask")
    turned = {name: np.take_along_axis(getattr(batch, name), order, axis=1) for name in names}
    left = replace(batch, **turned)
    assert not left.mask[1, 0] and left.mask[:, -1].all()
    assert task.predict(m, left.rows(0, 2)) == task.predict(m, batch.rows(0, 2))
    with pytest.raises(DataError, match="row 2 is an answer"):
        task.predict(m, left)


def test_answers_are_right_if_they_are_equal_but_for_the_end_mark():
    task = InstructionTuning(end=END)
    examples = [encode_sft([1], [7, 8, END]), encode_sft([1], [7, 8])]
    assert task.measure([(7, 8), (7, 8)], examples) == {"accuracy": 1.0}
    assert task.measure([(7, 8), (7,)], examples) == {"accuracy": 0.5}
    assert task.measure([()], [encode_sft([1], [END])]) == {"accuracy": 1.0}  # nothing is said
    with pytest.raises(ValueError, match="argument 2 is longer"):
        task.measure([(7, 8)], examples)


def test_padding_takes_no_room_of_experts():
    # Each expert takes a share of a batch's tokens: with padding among them a row would lose some.
    config = GPTConfig(
        TOKENIZER.vocab_size,
        64,
        2,
        2,
        16,
        positions="rope",
        feed_forward=("experts",),
        experts=2,
        experts_per_token=1,
    )
    m, rows = (
        GPT(config, 0, np.float64).eval(),
        [encode_sft([5, 6, 7], [8, 9]), encode_sft([1], [2])],
    )
    seen, hidden = [], m.hidden
    m.hidden = lambda ids, **options: seen.append(options) or hidden(ids, **options)
    padded, packed = TASK.make_batch(rows), TASK.make_batch([[rows[0]], [rows[1]]])
    losses = [TASK.loss(m, batch)[0].item() for batch in (padded, packed)]
    assert seen[0]["mask"].tolist() == [[[[True] * 4]], [[[True] + [False] * 3]]]
    assert seen[1]["mask"].shape == (2, 1, 4, 4)  # of segments, which hides padding as well
    np.testing.assert_allclose(*losses, **EXACT)


def test_an_example_without_an_answer_is_not_asked():
    with pytest.raises(DataError, match="row 0 is an answer.*generate_batch"):
        TASK.predict(model(), TASK.make_batch([BARE]))
    with pytest.raises(DataError, match="row 1 is an answer"):
        TASK.predict(model(), TASK.make_batch([encode_sft([1, 2, 3], [4, 5]), BARE]))
