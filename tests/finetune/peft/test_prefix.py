"""Prefix tuning in both forms: what they have in common, what they count, and where they begin."""

import numpy as np
import pytest

from tests.finetune.peft.few_parameters import IDS, assert_only_these_learn, encoder, gpt
from tinylm.autograd import attention
from tinylm.backend import Random, to_cpu, to_device
from tinylm.errors import ConfigError, ShapeError
from tinylm.finetune.freezing import trainable
from tinylm.finetune.peft.adapters import houlsby
from tinylm.finetune.peft.lora import lora
from tinylm.finetune.peft.prefix import (
    PrefixedBlock,
    Reparametrized,
    as_key_values,
    hidden_prefix,
    key_value_prefix,
)
from tinylm.finetune.peft.prompt_cache import PrefixedLM, language_model, prompt_keys_values
from tinylm.finetune.peft.prompt_encoder import PromptEncoder
from tinylm.finetune.peft.soft_prompts import prompt_tuning, text_start
from tinylm.generate import generate

SHAPES = [
    {},
    {"positions": "rope", "n_kv_head": 1, "norm": "rms"},
    {"norm_placement": "post"},
    {"norm_placement": "branch"},
    {"norm_placement": "sandwich"},
    {"norm_placement": "parallel"},
    {"positions": "rope", "qk_norm": "head", "rotary_width": 2, "rotation": ("none", "rope")},
    {"positions": "rope", "qk_norm": "width", "n_kv_head": 1, "norm_placement": "branch"},
]


def shaken(tuned):
    """A prefix of any values."""
    for i, p in enumerate(trainable(tuned).values()):
        p.data[...] = to_device(Random(3, i).normal(p.shape, np.float64), p.device)
    return tuned


@pytest.mark.parametrize("changes", SHAPES)
def test_states_in_front_are_keys_and_values_made_of_them(changes):
    states = shaken(hidden_prefix(gpt(**changes), 3))
    said = states(IDS).numpy()
    pairs = as_key_values(states)
    assert np.allclose(
        pairs(IDS).numpy(), said, rtol=0, atol=1e-12
    )  # float64, sums in another order
    assert not any(isinstance(block, PrefixedBlock) for block in pairs.model.blocks)


def test_the_layer_reads_prefix_and_text_and_gives_out_the_text():
    tuned = shaken(hidden_prefix(gpt(n_layer=1), 2))
    wrapped, h = tuned.model.blocks[0], np.random.default_rng(0).normal(size=(1, 4, 8))
    whole = wrapped.base(np.concatenate([wrapped.states.numpy()[None], h], axis=1)).numpy()
    assert np.array_equal(wrapped(h).numpy(), whole[:, 2:])  # eq. 3.21: H[-m-1:]


def test_a_head_mixes_what_it_reads_in_prefix_and_text():
    rng = np.random.default_rng(0)
    q, (kp, vp), (kh, vh) = (
        rng.normal(size=(1, 1, 1, 4)),
        rng.normal(size=(2, 1, 1, 3, 4)),
        rng.normal(size=(2, 1, 1, 5, 4)),
    )
    both = attention(q, np.concatenate([kp, kh], 2), np.concatenate([vp, vh], 2)).numpy()
    in_prefix, in_text = (
        np.exp(q @ k.swapaxes(-1, -2) / 2).sum() for k in (kp, kh)
    )  # 1/sqrt(K) = 1/2
    share = in_prefix / (in_prefix + in_text)
    mixture = share * attention(q, kp, vp).numpy() + (1 - share) * attention(q, kh, vh).numpy()
    assert np.allclose(both, mixture, rtol=1e-13)


@pytest.mark.parametrize("form", [hidden_prefix, key_value_prefix])
def test_no_prefix_is_the_base(form):
    before = gpt()(IDS).numpy()
    assert np.allclose(form(gpt(), 0)(IDS).numpy(), before, rtol=0, atol=1e-14)
    assert np.array_equal(key_value_prefix(gpt(), 0)(IDS).numpy(), before)


def test_only_the_prefix_learns_and_its_size_is_the_formulas():
    L, n, D, G, K = 2, 3, 8, 1, 4
    assert_only_these_learn(
        hidden_prefix(gpt(n_kv_head=1), n), L * n * D, {f"model.blocks.{i}.states" for i in (0, 1)}
    )
    assert_only_these_learn(
        key_value_prefix(gpt(n_kv_head=1), n), 2 * L * n * G * K, {"source.keys_values"}
    )
    # u (n, 8), W (8, 5), b, W' (5, 2 L G K), b'
    made = key_value_prefix(gpt(n_kv_head=1), n, d_hidden=5)
    assert_only_these_learn(made, n * 8 + 9 * 5 + 6 * (2 * L * G * K))


def test_after_training_the_network_can_be_dropped():
    made = shaken(key_value_prefix(gpt(), 3, d_hidden=5))
    kept = key_value_prefix(gpt(), start=made.exported())
    assert isinstance(made.source, Reparametrized) and np.array_equal(
        kept(IDS).numpy(), made(IDS).numpy()
    )


def test_a_prefix_that_starts_as_a_read_text_says_what_the_text_does():
    model, words = gpt(positions="rope"), [7, 0, 10]
    hard = model(np.concatenate([np.broadcast_to(words, (2, 3)), IDS], axis=1)).numpy()[:, 3:]
    assert np.allclose(
        key_value_prefix(model, start=prompt_keys_values(model, words))(IDS).numpy(),
        hard,
        rtol=0,
        atol=1e-12,
    )


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"positions": "rope"},
        {"positions": "alibi"},
        {"attention": ("window", "full"), "window": 4},
    ],
)
def test_an_exported_prefix_generates_at_the_positions_it_was_trained_at(changes):
    tuned = shaken(key_value_prefix(gpt(**changes), 3))
    lm = PrefixedLM(tuned.model, tuned.exported())
    assert np.allclose(lm.logits(IDS), tuned(IDS).numpy(), rtol=0, atol=1e-12)
    text = [5]
    for _ in range(8):
        text.append(int(np.argmax(tuned(np.array([text])).numpy()[0, -1])))
    assert list(generate(lm, [5], 8, temperature=0.0)) == text[1:]


def test_tokens_stand_behind_the_prefix():
    tuned = shaken(key_value_prefix(gpt(), 3))
    here, there = (tuned(IDS, positions=np.arange(5) + first).numpy() for first in (3, 0))
    assert np.array_equal(tuned(IDS).numpy(), here) and not np.allclose(here, there)


def test_a_mask_hides_text_and_not_the_prefix():
    tuned = shaken(key_value_prefix(gpt(), 2))
    states = shaken(hidden_prefix(gpt(), 2))
    padded = np.concatenate([np.array([[0], [0]]), IDS], axis=1)
    mask, positions = (np.arange(6) > 0)[None, None, None], np.maximum(np.arange(6) - 1, 0) + 2
    for model in (tuned, states):
        assert np.allclose(
            model(padded, mask=mask, positions=positions).numpy()[:, 1:],
            model(IDS).numpy(),
            rtol=0,
            atol=1e-12,
        )


def test_states_in_front_of_an_encoders_layers():
    model, mask = encoder(), np.array([[True] * 5, [True] * 3 + [False] * 2])
    tuned = shaken(hidden_prefix(model, 2))
    said = tuned(IDS, mask=mask).numpy()
    changed = np.where(mask, IDS, 0)
    assert np.allclose(tuned(changed, mask=mask).numpy()[mask], said[mask], rtol=0, atol=1e-12)
    assert not np.allclose(encoder()(IDS, mask=mask).numpy(), said)


def test_what_a_prefix_cannot_stand_in_front_of_is_refused():
    for model, why in (
        (gpt(positions="alibi"), "distance"),
        (gpt(attention=("window",), window=2), "distance"),
        (encoder("albert-base-v2"), "share their weights"),
        (gpt(positions="rope", kv_sharing=2), "share keys and values"),
    ):
        with pytest.raises(ConfigError, match=why):
            hidden_prefix(model, 2)
    with pytest.raises(ConfigError, match="do not fit the context of 16"):
        hidden_prefix(gpt(), 12)(IDS)
    with pytest.raises(ShapeError, match="do not fit the context of 16"):
        key_value_prefix(gpt(), 12)(IDS)
    with pytest.raises(ConfigError, match="as_key_values"):
        list(generate(hidden_prefix(gpt(), 2).model, [1], 2))


def test_on_every_device_prefixes_and_prompts_say_and_generate_the_same(device):
    made = {}
    for place in ("cpu", device):
        model = gpt().to(place)
        ids = to_device(IDS, place)
        states = shaken(hidden_prefix(model, 2))
        said = [states(ids).numpy()]
        pairs = as_key_values(states)
        said.append(pairs(ids).numpy())
        lm = PrefixedLM(model, pairs.exported())
        soft = prompt_tuning(model, PromptEncoder(text_start(model.tokens.weight, [1, 2])))
        soft.model.tokens.sources[0] = soft.model.tokens.sources[0].cached()
        said += [
            soft(ids).numpy(),
            to_cpu(language_model(soft).logits(IDS)),
            houlsby(lora(model, r=2), 2)(ids).numpy(),
        ]
        made[place] = said, list(generate(lm, [5], 4, temperature=0.0))
    for here, there in zip(made["cpu"][0], made[device][0], strict=True):
        assert np.allclose(here, there, rtol=0, atol=1e-12)
    assert made["cpu"][1] == made[device][1]


def test_a_prefix_of_turned_states_may_be_moved_after_it_is_made(device):
    tuned = shaken(hidden_prefix(gpt(positions="rope"), 2))
    said = tuned(IDS).numpy()
    tuned.to(device)
    assert np.allclose(tuned(to_device(IDS, device)).numpy(), said, rtol=0, atol=1e-12)
    assert np.allclose(
        as_key_values(tuned)(to_device(IDS, device)).numpy(), said, rtol=0, atol=1e-12
    )


def test_drawn_states_are_spread_as_embeddings_are():
    model = gpt(vocab_size=50)
    std = float(np.std(model.tokens.weight.data))
    states = np.stack([block.states.numpy() for block in hidden_prefix(model, 2000).model.blocks])
    # 2 x 2000 x 8 draws: the deviation is within five of its standard errors, 1/sqrt(2 n)
    assert states.std() == pytest.approx(std, rel=5 / 64000**0.5)


def test_a_network_makes_its_own_start():
    with pytest.raises(ConfigError, match="a network makes its own start"):
        key_value_prefix(gpt(), start=np.zeros((2, 2, 2, 3, 4)), d_hidden=5)


@pytest.mark.parametrize("form", [hidden_prefix, key_value_prefix])
def test_a_prefix_needs_a_number_or_a_start(form):
    model = gpt()
    with pytest.raises(ConfigError, match=f"{form.__name__}: give n"):
        form(model)
    assert all(p.requires_grad for p in model.parameters())  # nothing was done
