"""Padding in mixtures of experts: it takes no room, counts in no penalty, and changes nothing."""

import numpy as np
import pytest

import tinylm as tl
from tests.numeric import host, leaf, plain
from tinylm.backend import Random
from tinylm.errors import DtypeError, ShapeError
from tinylm.finetune.instruct.conversations import Encoded
from tinylm.finetune.instruct.instructions import InstructionTuning
from tinylm.finetune.peft.prefix import key_value_prefix
from tinylm.finetune.peft.soft_prompts import prompt_tuning
from tinylm.finetune.tasks.heads import hidden_states
from tinylm.generate import ModelLM
from tinylm.models import GPT, GPTConfig
from tinylm.nn.experts import (
    MixtureOfExperts,
    checkpointed,
    collect_auxiliary,
    load_balancing_loss,
    route,
    router_z_loss,
)
from tinylm.pretrain.batch import pad_rows
from tinylm.pretrain.language.causal import CausalLM
from tinylm.pretrain.language.multi_token import MultiTokenHeads, MultiTokenLM

REAL = np.array([[True, True, False, False], [True, True, True, True], [True, False, False, False]])


def layer(**options):
    made = MixtureOfExperts(3, 5, Random(0), dtype=np.float64, **{"experts": 3, **options})
    made.router.weight.data[...] = np.random.default_rng(1).normal(size=(3, 3))
    return made


@pytest.mark.parametrize("k", [1, 2])
@pytest.mark.parametrize("factor", [None, 1.0, 0.5])
def test_outputs_penalties_and_gradients_are_those_without_padding(device, rng, k, factor):
    x = rng.normal(size=(3, 4, 3))
    x[~REAL] = 1e9  # whatever stands there
    moe = layer(k=k, capacity_factor=factor).to(device)
    results = []
    real = plain(REAL, device)
    for at, more in (leaf(x[REAL], device), {}), (leaf(x, device), {"mask": real}):
        y, auxiliary = moe.forward_with_auxiliary(at, **more)
        ((y * y).sum() + auxiliary).backward()
        results.append(
            [host(y), host(at.grad), host(auxiliary)]
            + [host(p.grad) for p in moe.parameters() if p.grad is not None]
        )
        moe.zero_grad()
    bare, padded = results
    for i in 0, 1:
        np.testing.assert_array_equal(padded[i][~REAL], 0)
        padded[i] = padded[i][REAL]
    for a, b in zip(bare, padded, strict=True):
        np.testing.assert_array_equal(a, b)  # the same rows in the same order


@pytest.mark.parametrize("k, factor", [(1, None), (1, 0.8), (2, 1.0), (2, 0.4)])
def test_routing_is_that_without_padding(device, rng, k, factor):
    logits, real = rng.normal(size=(12, 3)), REAL.reshape(-1)
    bare = route(plain_tensor(logits[real], device), k, factor)
    padded = route(plain_tensor(logits, device), k, factor, plain(real, device))
    for name in "experts", "gates", "kept":
        whole = host(getattr(padded, name))
        np.testing.assert_array_equal(whole[real], host(getattr(bare, name)))
        np.testing.assert_array_equal(whole[~real], 0)
    np.testing.assert_array_equal(host(padded.load), host(bare.load))
    assert padded.dropped == bare.dropped


def plain_tensor(array, device):
    return tl.Tensor(array, device=device)


def test_the_penalties_alone_take_the_mask(rng):
    logits, real = tl.Tensor(rng.normal(size=(12, 3))), REAL.reshape(-1)
    experts = logits.numpy().argmax(-1)[:, None]
    bare = tl.Tensor(logits.numpy()[real])
    assert (
        load_balancing_loss(logits, experts, real).item()
        == load_balancing_loss(bare, experts[real]).item()
    )
    assert router_z_loss(logits, real).item() == router_z_loss(bare).item()


def test_a_mask_of_numbers_or_of_another_size_is_refused(rng):
    moe, x = layer(), tl.Tensor(rng.normal(size=(3, 4, 3)))
    with pytest.raises(DtypeError, match="mask must be bool"):
        moe(x, REAL.astype(float))
    with pytest.raises(ShapeError, match=r"a mask of shape \(3, 3\) for 12 tokens"):
        moe(x, REAL[:, :3])


@pytest.mark.parametrize("k", [1, 2])
@pytest.mark.parametrize("shape", [(0, 3), (0, 4, 3), (2, 0, 3)])
def test_no_tokens_go_forward_and_backward(device, shape, k):
    moe, x = layer(k=k, capacity_factor=1.0).to(device), leaf(np.zeros(shape), device)
    for run in MixtureOfExperts.forward_with_auxiliary, checkpointed:
        y, auxiliary = run(moe, x)
        (y.sum() + auxiliary).backward()
        assert y.shape == x.grad.shape == shape and auxiliary.item() == 0
        np.testing.assert_array_equal(host(moe.router.weight.grad), 0)
    assert moe.route(x).load.sum() == 0


def test_a_batch_of_padding_alone_gives_zeros(rng):
    moe, x = layer(k=2), leaf(rng.normal(size=(2, 3, 3)))
    y, auxiliary = moe.forward_with_auxiliary(x, np.zeros((2, 3), bool))
    (y.sum() + auxiliary).backward()
    for array in y.numpy(), x.grad.numpy(), auxiliary.numpy():
        np.testing.assert_array_equal(array, 0)


def model(placement="pre", window=None):
    made = GPT(
        GPTConfig(
            11,
            context=8,
            n_layer=2,
            n_head=2,
            d_model=8,
            feed_forward=("experts",),
            experts=3,
            experts_per_token=2,
            norm_placement=placement,
            attention=("window",) if window else ("full",),
            window=window,
        ),
        dtype=np.float64,
    )
    for block in made.blocks:
        block.feed_forward.capacity_factor = 1.0  # so that padding would take room
        block.feed_forward.router.weight.data *= 50
    return made


def penalties_and_gradients(made, run):
    with collect_auxiliary(made) as penalties:
        loss = run()
    (loss + sum(penalties)).backward()
    grads = [
        np.zeros(p.shape) if p.grad is None else p.grad.numpy().copy() for p in made.parameters()
    ]
    made.zero_grad()
    return [loss.item(), *(p.item() for p in penalties), *grads]


@pytest.mark.parametrize(
    "placement, window",
    [("pre", None), ("parallel", None), ("parallel_pair", None), ("sandwich", None), ("post", 2)],
)
def test_a_model_with_a_padding_mask_gives_what_the_bare_row_gives(rng, placement, window):
    made, row = model(placement, window), rng.integers(0, 11, 4)
    padded, held = pad_rows([row, rng.integers(0, 11, 0)], 0)  # the second is padding alone
    padded, held = (np.pad(a, ((0, 0), (0, 3))) for a in (padded, held))
    weights = rng.normal(size=(4, 8))
    mask = held[:, None, None, :]
    bare = penalties_and_gradients(made, lambda: (made.hidden(row[None])[0] * weights).sum())
    with_mask = penalties_and_gradients(
        made, lambda: (made.hidden(padded, mask=mask)[0, :4] * weights).sum()
    )
    for a, b in zip(bare, with_mask, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-9, atol=1e-12)  # sums in another order


def test_objectives_and_tasks_pass_the_mask_of_their_padding(rng):
    made, rows = model(), [[1, 2, 3, 4, 5, 6], [7, 8, 9]]
    examples = [Encoded(np.array(row), np.arange(len(row)) > 0) for row in rows]
    padded, _ = pad_rows([np.array(row) for row in rows], 0)
    heads = MultiTokenHeads(made, 2)
    causal, several, task = CausalLM(ignore=0), MultiTokenLM(2, ignore=0), InstructionTuning()
    runs = [
        (made, lambda: causal.loss(made, causal.make_batch(padded))[0]),
        (heads, lambda: several.loss(heads, several.make_batch(padded))[0]),
        (made, lambda: task.loss(made, task.make_batch(examples))[0]),
        (made, lambda: task.loss(made, task.make_batch([examples[:1], examples[1:]]))[0]),
    ]
    # Shifted by one, 10 places hold 5 + 3 inputs, the last without a target; a task has 5 + 2.
    for (whole, run), places in zip(runs, (8, 8, 7, 7)):
        seen = []
        for part in whole.modules():
            if isinstance(part, MixtureOfExperts):
                spy(part, seen)
        run()
        assert seen and all(count == places for count in seen), seen


def spy(part, seen):
    plain_run = type(part)._run_rows

    def counted(rows, *groups):
        seen.append(len(rows))
        return plain_run(part, rows, *groups)

    part._run_rows = counted


def test_prompts_padded_at_the_left_and_heads_on_a_decoder_pass_it_too(rng):
    made, seen = model(), []
    for block in made.blocks:
        spy(block.feed_forward, seen)
    lm = ModelLM(made)
    cache = lm.new_cache(2, np.array([0, 2]))
    lm.next_logits(np.array([[1, 2, 3], [0, 0, 4]]), cache)
    lm.next_logits(np.array([[5], [6]]), cache)  # the cache's padding is none of the new
    assert seen == [4, 4, 2, 2]
    seen.clear()
    hidden_states(made, np.array([[1, 2, 0], [3, 4, 5]]), np.array([[1, 1, 0], [1, 1, 1]]) == 1)
    assert seen == [5, 5]
    seen.clear()
    inputs, held = np.array([[1, 2, 0], [3, 4, 5]]), np.array([[1, 1, 0], [1, 1, 1]]) == 1
    prompted = prompt_tuning(made, np.ones((2, 8)))
    hidden_states(prompted, inputs, held)  # 2 vectors before each row
    hidden_states(key_value_prefix(made, 2), inputs, held)  # states, not tokens
    assert seen == [9, 9, 5, 5]
