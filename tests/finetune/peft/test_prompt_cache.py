"""A prompt kept as keys and values says what the prompt says, costs less to go on from, and
generates.
"""

import numpy as np
import pytest

from tests.finetune.peft.few_parameters import IDS, gpt
from tinylm.autograd import count_operations
from tinylm.errors import ConfigError, ShapeError
from tinylm.finetune.peft.prefix import hidden_prefix
from tinylm.finetune.peft.prompt_cache import (
    PrefixedLM,
    hidden_states_of_prompt,
    language_model,
    prompt_keys_values,
)
from tinylm.finetune.peft.soft_prompts import INPUT, hybrid, prompt_tuning, random_start
from tinylm.generate import generate, generate_batch
from tinylm.generate.protocol.language_model import ModelLM

PROMPT = [7, 0, 10, 2]
KINDS = [
    {},
    {"positions": "rope", "n_kv_head": 1, "norm": "rms", "activation": "swiglu", "bias": False},
    {"positions": "alibi"},
    {"attention": ("window", "full"), "window": 3},
    {"positions": "rope", "qk_norm": "head", "rotary_width": 2, "rotation": ("none", "rope")},
    {"positions": "rope", "qk_norm": "width", "n_kv_head": 1, "norm_placement": "branch"},
]


def behind(ids=IDS):
    return np.concatenate([np.broadcast_to(PROMPT, (len(ids), 4)), ids], axis=1)


@pytest.mark.parametrize("changes", KINDS)
def test_keys_and_values_of_a_hard_prompt_reproduce_its_outputs(changes):
    model = gpt(**changes)
    lm = PrefixedLM(model, prompt_keys_values(model, PROMPT))
    hard = model(behind()).numpy()[:, 4:]
    assert np.allclose(lm.logits(IDS), hard, rtol=0, atol=1e-10)  # the bound asked of float64
    assert np.allclose(lm.next_logits(IDS), hard[:, -1], rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"positions": "rope"},
        {"norm_placement": "post"},
        {"norm_placement": "sandwich"},
        {"norm_placement": "parallel"},
        {"positions": "rope", "qk_norm": "head", "rotary_width": 2, "rotation": ("none", "rope")},
        {"positions": "rope", "qk_norm": "width", "n_kv_head": 1, "norm_placement": "branch"},
    ],
)
def test_hidden_states_of_a_hard_prompt_fed_to_every_layer_reproduce_its_outputs(changes):
    model = gpt(**changes)
    hard = model(behind()).numpy()[:, 4:]
    soft = hidden_prefix(model, start=hidden_states_of_prompt(model, PROMPT))
    assert np.allclose(soft(IDS).numpy(), hard, rtol=0, atol=1e-10)


def test_going_on_from_a_kept_prompt_costs_the_text_alone():
    model = gpt(n_layer=1)
    lm = PrefixedLM(model, prompt_keys_values(model, PROMPT))
    with count_operations() as kept:
        lm.logits(IDS)
    with count_operations() as read:
        model(behind())
    # of 9 columns 5 are the text: products with weights in that proportion
    assert kept.flops["linear"] * 9 == read.flops["linear"] * 5


@pytest.mark.parametrize("changes", KINDS[:3])
def test_generation_goes_on_behind_a_prompt_as_if_it_had_been_read(changes):
    model = gpt(**changes)
    lm = PrefixedLM(model, prompt_keys_values(model, PROMPT))
    assert lm.context == 12
    options = dict(temperature=1.0, seed=3)
    assert list(generate(lm, [5], 8, **options)) == list(
        generate(ModelLM(model), [*PROMPT, 5], 8, **options)
    )
    # rows of unequal length are padded in front of the tokens and behind the prompt
    batch = generate_batch(lm, [[5], [1, 2, 3]], 6, **options)
    assert batch == [
        list(generate(lm, row, 6, temperature=1.0, seed=3 + i))
        for i, row in enumerate([[5], [1, 2, 3]])
    ]


def test_when_the_window_slides_the_prompt_stays():
    model = gpt(positions="rope")
    lm = PrefixedLM(model, prompt_keys_values(model, PROMPT))
    tokens = list(generate(lm, [5], 20, temperature=0.0))  # 12 tokens fit behind the prompt
    text = [5, *tokens]
    # after 12 tokens the last 6 are read anew, and so on: the token after the slide follows from
    # prompt and these
    again = model(np.array([[*PROMPT, *text[7:13]]])).numpy()[0, -1]
    assert len(tokens) == 20 and text[13] == int(np.argmax(again))


def test_caches_forget_and_choose_tokens_but_keep_the_prompt():
    model = gpt()
    lm = PrefixedLM(model, prompt_keys_values(model, PROMPT))
    cache = lm.new_cache(2)
    lm.logits(IDS, cache)
    assert cache.length == 5
    cache.crop(2)
    cache.select([1, 1])
    assert np.allclose(
        lm.logits(IDS[1:, 2:].repeat(2, 0), cache)[0], lm.logits(IDS)[1, 2:], rtol=0, atol=1e-12
    )
    with pytest.raises(ShapeError):
        cache.crop(-1)


def test_a_soft_prompt_generates_what_it_predicts():
    model = gpt()
    soft = prompt_tuning(model, random_start(model.tokens.weight, 3, seed=2))
    lm = language_model(soft)
    assert np.allclose(lm.logits(IDS), soft(IDS).numpy(), rtol=0, atol=1e-12)
    text = [5]
    for _ in range(6):
        text.append(int(np.argmax(soft(np.array([text])).numpy()[0, -1])))
    assert list(generate(lm, [5], 6, temperature=0.0)) == text[1:]
    with pytest.raises(ConfigError, match="behind the input"):
        language_model(hybrid(gpt(), [INPUT, [1]]))


def test_prompts_that_do_not_fit_are_refused():
    model = gpt()
    for prompt in ([], [PROMPT]):
        with pytest.raises(ShapeError, match="one sequence"):
            prompt_keys_values(model, prompt)
    with pytest.raises(ConfigError, match="no room"):
        PrefixedLM(model, prompt_keys_values(model, [1] * 16))
    almost = PrefixedLM(model, prompt_keys_values(model, [1] * 15))
    assert almost.context == 1 and almost.vocab_size == 12  # room for one token is room
    assert almost.logits(np.array([[3]])).shape == (1, 1, 12)
    for shape in ((1, 2, 2, 3, 4), (2, 2, 2, 3), (2, 2, 2, 3, 5)):  # of two layers, K = 4
        with pytest.raises(ShapeError, match="this model needs"):
            PrefixedLM(model, np.zeros(shape))
    with pytest.raises(ShapeError, match="past the context of 12"):
        PrefixedLM(model, prompt_keys_values(model, PROMPT)).logits(np.zeros((1, 13), int))


def test_a_prompt_is_read_without_dropout():
    model = gpt(dropout=0.5).train()
    assert np.array_equal(
        hidden_states_of_prompt(model, PROMPT), hidden_states_of_prompt(gpt(), PROMPT)
    )
    assert np.array_equal(prompt_keys_values(model, PROMPT), prompt_keys_values(gpt(), PROMPT))
    assert model.training


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(
    "changes", [*KINDS, {"positions": "t5"}, {"positions": "fire"}, {"positions": "none"}]
)
def test_padding_moves_no_text_away_from_its_prefix(changes):
    model = gpt(**changes).eval()
    if hasattr(model.position_bias, "threshold"):
        model.position_bias.threshold = 2  # of FIRE: beyond it, the place in the text counts
    lm = PrefixedLM(model, prompt_keys_values(model, np.array(PROMPT)))
    model.tokens.weight.data[1] = np.nan  # the padding's vector
    rows, width = [[4, 5, 6], [3, 4, 5, 6, 8, 9, 3], [8]], 7
    padding = np.array([width - len(row) for row in rows])  # more than the prefix is long, too
    ids = np.array([[1] * (width - len(row)) + row for row in rows])
    others = np.arange(lm.vocab_size) != 1
    for cuts in ([], [2, 3, 6]):
        cache = lm.new_cache(3, padding)
        cache.select([0, 1, 2])
        scores = np.concatenate(
            [lm.logits(part, cache) for part in np.split(ids, cuts, axis=1)], axis=1
        )
        for row, text in enumerate(rows):
            alone = lm.logits(np.array([text]), lm.new_cache(1))[0]
            now = scores[row, width - len(text) :]
            np.testing.assert_allclose(now[:, others], alone[:, others], rtol=1e-9, atol=1e-12)
