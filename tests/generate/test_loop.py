"""The loop: streaming, stopping, batches, the sliding window, seeds; and that generated strings are
samples.
"""

import warnings

import numpy as np
import pytest

from tests.generate.small import make_gpt
from tinylm.errors import ConfigError, DataError, ShapeError
from tinylm.generate import (
    EnumerableLM,
    ModelLM,
    generate,
    generate_batch,
    generate_text,
    stream_text,
)
from tinylm.generate.cache.key_value import check_padding
from tinylm.generate.loop import Rows, generate_rows
from tinylm.generate.protocol.enumerable import TokenCache
from tinylm.generate.protocol.score import (
    conditional_logprob,
    log_probabilities,
    sequence_logprob,
)
from tinylm.generate.sample import Sampling, filtered, probabilities, seen_tokens
from tinylm.tokenizers import ByteTokenizer, CharTokenizer


class Script:
    """A language model over bytes that says one text, whatever it reads, and then zeros."""

    vocab_size, context = 256, None

    def __init__(self, text, prompt_length):
        self.bytes, self.prompt_length = text.encode(), prompt_length

    def new_cache(self, batch, padding=None):
        assert check_padding(padding, batch) is None
        return TokenCache(batch)

    def next_logits(self, tokens, cache):
        cache.tokens = np.concatenate([cache.tokens, tokens], axis=1)
        at = cache.length - self.prompt_length
        return (
            1e3 * np.eye(256)[[self.bytes[at] if at < len(self.bytes) else 0]]
        )  # e^-1000 for all others


PROMPTS = [
    [3, 1],
    [0, 4, 2, 2, 1, 3, 0, 2, 2, 4, 1],
    [1],
    [2, 2, 3, 1, 0, 0, 4, 1],
]  # around the context of 8


def silent(message):
    """A notice that nobody needs."""


@pytest.mark.parametrize(
    "changes",
    [{}, {"positions": "rope", "n_kv_head": 1}, {"norm_placement": "post"}],
    ids=["learned", "rope", "post-norm"],
)
@pytest.mark.parametrize(
    "options",
    [{"temperature": 0}, {"temperature": 0.8, "repetition_penalty": 1.2, "top_k": 4}],
    ids=["greedy", "sampled"],
)
def test_every_row_of_a_batch_gets_what_it_gets_alone(gpt, changes, options):
    model = gpt(context=8, **changes)
    # 20 tokens past a context of 8: every row slides its window several times, at different steps
    together = generate_batch(model, PROMPTS, 20, seed=5, notice=silent, **options)
    for r, prompt in enumerate(PROMPTS):
        assert together[r] == list(
            generate(model, prompt, 20, seed=5 + r, notice=silent, **options)
        )


def test_rows_that_end_early_leave_the_others_as_they_are(gpt):
    model = gpt(context=8)
    together = generate_batch(model, PROMPTS, 20, seed=5, eos=2, notice=silent)
    for r, prompt in enumerate(PROMPTS):
        assert together[r] == list(generate(model, prompt, 20, seed=5 + r, eos=2, notice=silent))
    assert len({len(row) for row in together}) > 1  # they did end at different times
    assert all(2 not in row[:-1] for row in together)


def test_greedy_follows_the_argmax_of_the_uncached_model(gpt):
    model = gpt(context=12)
    sequence = [1, 4]
    for _ in range(10):
        sequence.append(int(ModelLM(model).logits(np.array([sequence]))[0, -1].argmax()))
    assert list(generate(model, [1, 4], 10, temperature=0)) == sequence[2:]


def test_logprob_accumulated_during_generation_is_that_of_the_finished_string(gpt):
    lm = ModelLM(gpt(context=12))
    rows, total = Rows(lm, [[0]]), 0.0
    for token in generate(lm, [0], 11, seed=3):
        total += log_probabilities(rows.next_logits())[0, token]
        rows.append([token])
    assert abs(total - sequence_logprob(lm, rows.tokens[0])) < 1e-12 * 11


def test_greedy_is_temperature_zero_is_the_limit_is_top_k_one(gpt):
    model = gpt(context=16)
    best = list(generate(model, [0], 15, temperature=0))
    for options in {"top_k": 1}, {"temperature": 1e-7}, {"top_p": 1e-9}, {"min_p": 1.0}:
        assert list(generate(model, [0], 15, seed=9, **options)) == best


def test_sampled_strings_follow_the_enumerated_distribution(assert_sampled_from):
    lm = EnumerableLM.random(3, 3, seed=4, eos=2)
    strings, exact = lm.all_strings(bos=1)
    n = 5_000
    rows = generate_batch(lm, [[1]] * n, 3, eos=2)
    index = {tuple(string): i for i, string in enumerate(strings)}
    drawn = [
        index[tuple(row + [2] * (3 - len(row)))] for row in rows
    ]  # after eos there is only more of it
    assert_sampled_from(np.bincount(drawn, minlength=len(strings)), exact)


def test_a_gpt_samples_strings_with_the_probabilities_it_gives_them(gpt, assert_sampled_from):
    model = gpt(vocab_size=3, context=3)
    strings = np.stack(np.meshgrid(*[range(3)] * 3, indexing="ij"), -1).reshape(-1, 3)  # all 27
    exact = np.exp(
        sequence_logprob(model, np.concatenate([np.zeros((27, 1), int), strings], axis=1))
    )
    rows = np.array(generate_batch(model, [[0]] * 4_000, 3))
    assert_sampled_from(np.bincount(rows @ [9, 3, 1], minlength=27), exact)


def test_a_model_on_any_device_gives_the_tokens_of_the_cpu(gpt, device):
    prompts = [[0, 3, 1], [2]]
    there = generate_batch(gpt().to(device), prompts, 12, seed=1)
    assert there == generate_batch(gpt(), prompts, 12, seed=1)
    assert list(generate(gpt().to(device), prompts[0], 12, seed=1)) == there[0]


def test_the_same_seed_gives_the_same_tokens_and_another_seed_others(gpt):
    a, b, c = (list(generate(gpt(), [0], 30, seed=seed)) for seed in (1, 1, 2))
    assert a == b != c


def test_past_the_context_generation_goes_on_from_the_last_half(gpt):
    lm = ModelLM(gpt(context=6))
    rows = Rows(lm, [[0, 1, 2, 3, 4]])
    rows.next_logits()
    for token, window in (
        (1, [0, 1, 2, 3, 4, 1]),
        (2, [4, 1, 2]),
    ):  # a 6th token fits; a 7th: the last 3 are read anew
        rows.append([token])
        np.testing.assert_allclose(
            rows.next_logits(), lm.logits(np.array([window]))[:, -1], rtol=0, atol=1e-12
        )


def test_a_prompt_longer_than_the_context_is_cut_and_said_so(gpt):
    model, notices = gpt(context=4), []
    tokens = list(generate(model, [0, 1, 2, 3, 4, 0], 1, temperature=0, notice=notices.append))
    assert notices == [
        "the prompt has 6 tokens, more than the context of 4: its last 4 are kept, the first 2 are not "
        "seen by the model"
    ]
    assert tokens == list(generate(model, [2, 3, 4, 0], 1, temperature=0))
    with pytest.warns(UserWarning, match="its last 4 are kept"):
        generate(model, [0] * 5, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        generate(model, [0] * 4, 1)


def test_text_ends_before_a_stop_string_that_crosses_token_borders():
    lm, tokenizer = Script("one\n\ntwo", 2), ByteTokenizer()
    assert generate_text(lm, tokenizer, "ab", 8, stop="\n\n") == "one"
    assert bytes(generate(lm, list(b"ab"), 8, stop=["\n\nt", "zzz"], tokenizer=tokenizer)) == b"one"
    assert (
        generate_text(lm, tokenizer, "ab", 4, stop="\n\n") == "one\n"
    )  # never completed, so it is text


def test_text_is_streamed_in_whole_characters():
    lm = Script("aé€b", 1)
    assert list(stream_text(lm, ByteTokenizer(), "x", 7)) == ["a", "é", "€", "b"]
    assert (
        generate_text(lm, ByteTokenizer(), "x", 2) == "a\ufffd"
    )  # half a character at the end is shown as broken


def test_the_end_token_ends_text_and_is_given_out_last():
    lm = Script("ab\0cd", 1)
    assert generate_text(lm, ByteTokenizer(), "x", 5, eos=0) == "ab"
    assert list(generate(lm, [120], 5, eos=0)) == [97, 98, 0]


def test_tokens_come_one_by_one_as_they_are_made():
    lm = Script("abc", 1)
    calls, real = [], lm.next_logits
    lm.next_logits = lambda *args: (calls.append(1), real(*args))[1]
    stream = generate(lm, [120], 3)
    assert [next(stream), len(calls), next(stream), len(calls)] == [97, 1, 98, 2]


def test_a_start_token_is_put_before_the_prompt(gpt):
    tokenizer = CharTokenizer("abcd", special=["<s>"])
    with_start = generate_text(gpt(), tokenizer, "ab", 5, bos=4, temperature=0)
    assert with_start == tokenizer.decode(list(generate(gpt(), [4, 0, 1], 5, temperature=0)))


def test_a_repetition_penalty_counts_the_prompt_and_what_was_generated(gpt):
    lm, sequence = ModelLM(gpt(vocab_size=12, context=16)), [3, 1]
    for _ in range(6):
        scores = lm.next_logits(np.array([sequence]))[0]
        for i in set(sequence):
            scores[i] = scores[i] / 2 if scores[i] > 0 else scores[i] * 2
        sequence.append(int(np.argmax(scores)))
    assert list(generate(lm, [3, 1], 6, temperature=0, repetition_penalty=2)) == sequence[2:]
    assert sequence[2:] != list(generate(lm, [3, 1], 6, temperature=0))  # it made a difference


def test_nothing_is_generated_for_no_tokens_or_no_prompts(gpt):
    assert list(generate(gpt(), [0], 0)) == []
    assert generate_batch(gpt(), [], 5) == []


@pytest.mark.parametrize(
    "prompt, error, message",
    [
        ([], ShapeError, "at least one token"),
        ([[0, 1]], ShapeError, r"\(1, 2\)"),
        ([0, 7], DataError, "token id 7 .* vocabulary of 5"),
        ("text", DataError, "generate_text"),
        ([0.5], DataError, "float64"),
    ],
    ids=str,
)
def test_bad_prompts_are_refused_at_the_call(gpt, prompt, error, message):
    with pytest.raises(error, match=message):
        generate(gpt(), prompt, 3)


def test_bad_options_are_refused_at_the_call(gpt):
    with pytest.raises(ConfigError, match="no option 'temprature'; did you mean temperature"):
        generate(gpt(), [0], 3, temprature=1)
    with pytest.raises(ConfigError, match="top_p"):
        generate(gpt(), [0], 3, top_p=2)
    with pytest.raises(ConfigError, match="max_tokens"):
        generate(gpt(), [0], -1)
    with pytest.raises(ConfigError, match="tokenizer"):
        generate(gpt(), [0], 3, stop="x")
    with pytest.raises(ShapeError, match="1 seeds for 2 prompts"):
        generate_batch(gpt(), [[0], [1]], 3, seed=[1])


def test_rows_carry_text_log_probabilities_and_the_reason_of_their_end():
    model, tokenizer = make_gpt(256, 32, spread=0.6), ByteTokenizer()
    prompts = [[1, 2, 3], [4]]
    plain = generate_batch(model, prompts, 6, seed=3, temperature=0.7)
    rows = generate_rows(model, prompts, 6, seed=3, tokenizer=tokenizer, temperature=0.7)
    for prompt, tokens, row in zip(prompts, plain, rows):
        assert row.tokens == tokens and row.finish == "length"
        assert row.text == bytes(tokens).decode("utf-8", "replace")
        # log Pr under the model itself, not of the distribution at temperature 0.7
        terms = conditional_logprob(model, prompt, tokens, reduction="none")
        np.testing.assert_allclose(row.logprobs, terms, rtol=0, atol=1e-10)
    ended = generate_rows(
        model, prompts, 6, seed=3, tokenizer=tokenizer, eos=plain[0][1], temperature=0.7
    )[0]
    assert ended.finish == "end" and ended.tokens == plain[0][:2] and len(ended.logprobs) == 2


@pytest.mark.parametrize(
    "sampling",
    [
        {},
        {"temperature": 0.7},
        {"temperature": 1.5, "top_k": 5},
        {"top_p": 0.5, "repetition_penalty": 1.2},
    ],
    ids=str,
)
def test_rows_carry_log_probabilities_of_the_distribution_they_were_drawn_from(sampling):
    model, prompts = make_gpt(256, 32, spread=0.6), [[1, 2, 3], [4]]
    rows = generate_rows(model, prompts, 6, seed=3, tokenizer=ByteTokenizer(), **sampling)
    for prompt, row in zip(prompts, rows):
        for t, token in enumerate(row.tokens):
            seen = [*prompt, *row.tokens[:t]]
            logits = ModelLM(model).next_logits(np.array([seen]))
            left = filtered(logits, Sampling(**sampling), seen_tokens([seen], 256))
            wanted = np.log(probabilities(left)[0, token])
            assert row.drawn[t] == pytest.approx(wanted, abs=1e-10)
        if not sampling:
            np.testing.assert_array_equal(row.drawn, row.logprobs)


@pytest.mark.parametrize("sampling", [{"temperature": 0.0}, {"top_k": 1}])
def test_where_no_other_token_can_be_chosen_the_choice_is_certain(sampling):
    (row,) = generate_rows(
        make_gpt(256, 32), [[1]], 3, tokenizer=ByteTokenizer(), seed=1, **sampling
    )
    assert row.drawn.tolist() == [0, 0, 0] and (row.logprobs < 0).all()


def test_a_stop_string_is_the_reason_of_an_end():
    model = Script("xyAB", 1)
    (row,) = generate_rows(model, [[1]], 6, stop=["AB"], tokenizer=ByteTokenizer(), temperature=0.0)
    assert (row.text, row.finish, row.tokens) == ("xy", "stop", [*b"xy"])
    assert len(row.logprobs) == 2  # of the tokens that are part of the text
    assert row.stopped_by == "AB"


def test_of_several_stop_strings_the_one_that_ended_the_text_is_named():
    for script, name in [("xyAB", "AB"), ("xBA", "B"), ("xBAB", "B")]:
        model, stop = Script(script, 1), ["AB", "B"]
        (row,) = generate_rows(model, [[1]], 6, stop=stop, tokenizer=ByteTokenizer())
        assert row.stopped_by == name
    (row,) = generate_rows(Script("xyz", 1), [[1]], 3, stop=["AB"], tokenizer=ByteTokenizer())
    assert (row.finish, row.stopped_by) == ("length", "")
    (row,) = generate_rows(Script("xyz", 1), [[1]], 3, tokenizer=ByteTokenizer())
    assert row.stopped_by == ""


def test_tokens_cut_off_by_a_stop_string_are_counted():
    options = {"tokenizer": ByteTokenizer(), "temperature": 0.0, "stop": ["AB"]}
    for steps, cut in (6, 2), (3, 0):  # of "xyA" nothing is cut
        (row,) = generate_rows(Script("xyAB", 1), [[1]], steps, **options)
        assert row.cut == cut and len(row.tokens) + row.cut == min(steps, 4)


def test_stop_strings_are_looked_for_after_the_lead_of_each_row():
    options = {"tokenizer": ByteTokenizer(), "temperature": 0.0, "stop": ["x"]}
    for lead, text in ("x", "xy"), ("", ""), ("y", ""):
        (row,) = generate_rows(Script("xyxA", 1), [[1]], 6, leads=[lead], **options)
        assert (row.text, row.finish) == (text, "stop")


def test_ids_read_before_the_prompt_are_seen_by_the_repetition_penalty():
    model, prompts = make_gpt(8, 32, spread=0.6), [[1, 2, 3, 4], [5, 6, 4]]
    options = {"tokenizer": ByteTokenizer(), "temperature": 0.0}
    # A model that looks at the last token alone, so that only the penalty sees those before it.
    lm = LastToken(model)
    whole = generate_rows(lm, prompts, 6, repetition_penalty=5.0, **options)
    rest = [ids[-1:] for ids in prompts]
    before = [ids[:-1] for ids in prompts]
    rows = generate_rows(lm, rest, 6, before=before, repetition_penalty=5.0, **options)
    assert [row.tokens for row in rows] == [row.tokens for row in whole]
    plain = generate_rows(lm, rest, 6, repetition_penalty=5.0, **options)
    assert [row.tokens for row in plain] != [row.tokens for row in whole]


class LastToken:
    """A language model of bigrams: the scores of a model after the last token alone."""

    context = None

    def __init__(self, model):
        self.table = ModelLM(model).next_logits(np.arange(8)[:, None])
        self.vocab_size = 8

    def new_cache(self, batch, padding=None):
        return ModelLM(make_gpt(8)).new_cache(batch, padding)

    def next_logits(self, tokens, cache=None):
        return self.table[tokens[:, -1]]


def test_rows_with_one_prompt_are_read_once():
    """Samples of a prompt: it is read once, and each row gives what it would give alone."""
    model, prompts = make_gpt(), [[1, 2], [3], [1, 2], [1, 2]]
    plain, read = ModelLM(model), []
    next_logits = plain.next_logits

    def counted(tokens, cache=None):
        read.append(tokens.tolist())
        return next_logits(tokens, cache)

    plain.next_logits = counted
    options = {"seed": [5, 6, 7, 5], "temperature": 1.0}
    rows = Rows(plain, prompts)
    first = rows.next_logits()
    assert read == [[[1, 2], [0, 3]]] and first.shape == (4, 5)
    rows.append([0, 1, 2, 3])
    second = rows.next_logits()
    for r, prompt in enumerate(prompts):
        alone = Rows(ModelLM(model), [prompt])
        np.testing.assert_allclose(first[r], alone.next_logits()[0], rtol=1e-12)
        alone.append([r])
        np.testing.assert_allclose(second[r], alone.next_logits()[0], rtol=1e-12)
    found = generate_batch(model, prompts, 4, **options)
    for r, prompt in enumerate(prompts):
        assert found[r] == list(generate(model, prompt, 4, seed=options["seed"][r]))
    assert found[0] == found[3]


def test_a_model_that_tells_rows_apart_reads_all_of_them():
    """Without `rows_alike` each row is read: it may have a source of its own."""

    class Sources(Script):
        def next_logits(self, tokens, cache):
            cache.tokens = np.concatenate([cache.tokens, tokens], axis=1)
            return np.eye(256)[[7 + r for r in range(len(tokens))]]

    assert generate_batch(Sources("", 0), [[1], [1]], 1, temperature=0.0) == [[7], [8]]
