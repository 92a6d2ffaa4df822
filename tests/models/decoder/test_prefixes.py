"""Hidden states of rows that begin alike are those of rows read whole; each prefix is read once."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.generate.small import make_gpt
from tinylm.autograd import grad
from tinylm.errors import ShapeError
from tinylm.finetune import freeze
from tinylm.finetune.peft.lora import lora
from tinylm.models.decoder.prefixes import prefix_tree, shares_prefixes, states_at

LLAMA = {"norm": "rms", "positions": "rope", "activation": "swiglu", "bias": False, "tied": False}
KINDS = [{}, LLAMA, LLAMA | {"n_kv_head": 1}, {"embedding_scale": 2.0, "n_layer": 1}]
# Two groups, a row of one token, a row that is another one, one that goes on after another's end.
ROWS = [[1, 2, 3, 4, 0], [1, 2, 0], [1, 2, 3, 0, 0], [3], [4, 4, 1], [1, 2, 0], [4, 4]]


def padded(rows, fill=0):
    T = max(map(len, rows))
    held = np.arange(T) < np.array([[len(row)] for row in rows])
    ids = np.full(held.shape, fill)
    ids[held] = np.concatenate(rows)
    return ids, held


def test_nodes_are_the_distinct_prefixes():
    ids, held = padded([[7, 8, 9, 5], [7, 8, 2], [7]])
    tree = prefix_tree(ids, held)
    assert len(tree) == 5  # 7, 7 8, 7 8 9, 7 8 9 5, 7 8 2
    assert len(set(tree.nodes[:, 0])) == 1 and tree.nodes[0, 1] == tree.nodes[1, 1]
    assert tree.nodes[0, 2] != tree.nodes[1, 2]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=6), min_size=1, max_size=9))
def test_every_place_has_the_node_of_its_prefix(rows):
    ids, held = padded(rows)
    tree = prefix_tree(ids, held)
    prefixes = {}
    for b, row in enumerate(rows):
        for t in range(len(row)):
            prefixes.setdefault(tree.nodes[b, t], set()).add(tuple(row[: t + 1]))
    assert sorted(prefixes) == list(range(len(tree)))  # numbered from 0 without a gap
    assert all(len(found) == 1 for found in prefixes.values())
    assert len(set().union(*prefixes.values())) == len(tree)
    assert (tree.nodes.reshape(-1)[tree.first] == np.arange(len(tree))).all()
    assert (tree.nodes[~held] == 0).all()  # a node that there always is
    outputs = np.concatenate([one.outputs for one in tree.paths])
    assert sorted(outputs) == list(range(len(tree)))  # each node is asked for once
    for one in tree.paths:
        assert (one.nodes.reshape(-1)[one.places] == one.outputs).all()
        assert (one.places % ids.shape[1] >= one.start).all()


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("fill", [0, 4])
def test_states_and_gradients_are_those_of_rows_read_whole(kind, fill, rng):
    model = make_gpt(**kind).eval()
    ids, held = padded(ROWS, fill)
    wanted = held & (rng.random(held.shape) < 0.5)
    wanted[3, 0] = wanted[1, 2] = wanted[5, 2] = True  # equal rows, both of which are read
    found = states_at(model, ids, held, wanted)
    whole = model.hidden(ids)[np.nonzero(wanted)]
    np.testing.assert_allclose(found.numpy(), whole.numpy(), rtol=1e-12, atol=1e-12)
    weights, parameters = rng.normal(size=found.shape), model.parameters()
    used = [p for p in parameters if p is not model.head]
    ours, theirs = (grad((y * weights).sum(), used) for y in (found, whole))
    for a, b in zip(ours, theirs):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-10, atol=1e-12)


def test_in_float32_too(rng):
    model = make_gpt(dtype=np.float32, **LLAMA).eval()
    ids, held = padded(ROWS)
    found = states_at(model, ids, held, held).numpy()
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, model.hidden(ids).numpy()[held], rtol=1e-4, atol=1e-5)


def test_low_rank_changes_are_read_as_well(rng):
    model = lora(freeze(make_gpt()), "blocks.*", r=2).eval()
    for p in model.parameters():
        p.data[...] += 0.1 * rng.normal(size=p.shape)
    ids, held = padded(ROWS)
    assert shares_prefixes(model)
    found, whole = states_at(model, ids, held, held).numpy(), model.hidden(ids).numpy()[held]
    np.testing.assert_allclose(found, whole, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "kind",
    [
        {"positions": "alibi"},
        {"attention": "window", "window": 3},
        {"norm_placement": "post"},
        {"norm_placement": "parallel"},
        {"qk_norm": "head"},
        {"attention_cap": 5.0},
        {"feed_forward": "experts", "experts": 2},
        {"kv_sharing": 2},
    ],
    ids=str,
)
def test_other_models_are_left_to_read_rows_whole(kind):
    assert not shares_prefixes(make_gpt(**kind))


def test_dropout_is_drawn_for_rows_read_whole():
    model = make_gpt(dropout=0.1)
    assert not shares_prefixes(model.train()) and shares_prefixes(model.eval())


def test_rows_longer_than_the_context_are_refused():
    ids = np.zeros((2, 9), int)
    with pytest.raises(ShapeError, match="9 tokens do not fit the context of 8"):
        states_at(make_gpt(), ids, None, ids == 0)
