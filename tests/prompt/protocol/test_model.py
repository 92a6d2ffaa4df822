"""A model behind the text protocol: batches, stores and chunks change no reply and no score."""

import inspect
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.generate.small import make_gpt
from tests.prompt.small import END, KINDS, text_model
from tinylm.errors import ConfigError, DataError, ShapeError
from tinylm.generate import EnumerableLM, generate
from tinylm.generate.fast.direct import DirectDecoder
from tinylm.generate.protocol.score import conditional_logprob
from tinylm.models.published.chat.builtin import TEMPLATES
from tinylm.prompt import ScriptedLM, TextModel
from tinylm.prompt.protocol.score_rows import score_rows
from tinylm.tokenizers import ByteTokenizer, CharTokenizer, WordTokenizer

QUESTIONS = [f"A prompt that all of them begin with. Question: {q}" for q in ("a", "bcd", "ef gh")]
LABELS = [" yes", " no", " x"]


def by_hand(lm, prompt, continuation):
    """log Pr of each token of a continuation by one plain forward pass without any cache."""
    ids = [END, *lm.tokenizer.encode(prompt)]
    model = lm.opened.lm
    return conditional_logprob(model, ids, lm.tokenizer.encode(continuation), reduction="none")


@pytest.mark.parametrize("changes", KINDS)
def test_scores_are_those_of_a_plain_forward_pass(changes):
    lm = text_model(**changes)
    for prompt, scores in zip(QUESTIONS, lm.score_batch(QUESTIONS, LABELS)):
        for text, terms in zip(LABELS, scores.terms):
            np.testing.assert_allclose(terms, by_hand(lm, prompt, text), rtol=0, atol=1e-10)
    np.testing.assert_allclose(
        lm.score(QUESTIONS[1], LABELS).sums, scores_of(lm, QUESTIONS[1]), rtol=0, atol=1e-10
    )


def scores_of(lm, prompt):
    return [by_hand(lm, prompt, text).sum() for text in LABELS]


@given(
    prompts=st.lists(st.text("ab ", min_size=0, max_size=12), min_size=1, max_size=5),
    shared=st.sampled_from(["", "a shared beginning, "]),
    texts=st.lists(st.text("ab", min_size=1, max_size=5), min_size=1, max_size=4),
    batch_size=st.integers(1, 3),
)
def test_a_batch_of_any_prompts_and_continuations_scores_as_each_alone(
    prompts, shared, texts, batch_size
):
    lm = text_model(n_layer=1, batch_size=batch_size)
    prompts = [f"{shared}{prompt}." for prompt in prompts]  # the point: no space at the end
    found = lm.score_batch(prompts, texts)
    for prompt, scores in zip(prompts, found):
        for text, terms in zip(texts, scores.terms):
            np.testing.assert_allclose(terms, by_hand(lm, prompt, text), rtol=0, atol=1e-10)


def test_each_prompt_may_have_continuations_of_its_own():
    lm = text_model()
    first, second = lm.score_batch(["p.", "q."], [["a"], ["bc", "d"]])
    assert first.continuations == ("a",) and second.continuations == ("bc", "d")
    np.testing.assert_allclose(second.terms[0], by_hand(lm, "q.", "bc"), atol=1e-10)
    with pytest.raises(ConfigError, match="1 lists of continuations for 2 prompts"):
        lm.score_batch(["p.", "q."], [["a"]])


def test_the_continuations_of_each_prompt_may_follow_a_text_of_their_own():
    lm = text_model()
    prompts, begins = ["p.", "q.", "r."], ["A:", "Answer:", "A:"]
    found = lm.score_batch(prompts, LABELS, begin=begins, unconditional="x.")
    for prompt, begin, scores in zip(prompts, begins, found):
        for text, terms, prior in zip(LABELS, scores.terms, scores.prior):
            np.testing.assert_allclose(terms, by_hand(lm, prompt + begin, text), atol=1e-10)
            np.testing.assert_allclose(prior, by_hand(lm, "x." + begin, text).sum(), atol=1e-10)
    assert lm.account.calls == 3 + 2  # one prior for each different beginning
    with lm.tracing() as trace:
        lm.score_batch(["p.", "q."], ["a"], begin=["A:", ""])
    assert [call.begin for call in trace.calls] == ["A:", ""]
    with pytest.raises(ShapeError, match="score_batch: 1 beginnings for 2 prompts; give one each"):
        lm.score_batch(["p.", "q."], ["a"], begin=["A:"])


def test_the_prior_is_the_score_after_the_unconditional_prompt():
    lm = text_model()
    scores = lm.score("Question: a\nAnswer:", LABELS, unconditional="Answer:")
    prior = [by_hand(lm, "Answer:", text).sum() for text in LABELS]
    np.testing.assert_allclose(scores.prior, prior, rtol=0, atol=1e-10)
    np.testing.assert_allclose(scores.by("unconditional"), scores.sums - prior, atol=1e-10)


def test_probabilities_of_all_single_tokens_sum_to_one():
    # The 257 one-token continuations are the whole vocabulary but the end token, which is no text,
    # and bytes that are no characters alone; here only the 128 of ASCII: their mass is below 1.
    lm = text_model()
    ascii_ = [chr(c) for c in range(128)]
    mass = np.exp(lm.score("A prompt.", ascii_).sums).sum()
    rest = np.exp(lm.opened.lm.next_logits(np.array([[END, *b"A prompt."]]))[0])
    assert mass == pytest.approx(rest[:128].sum() / rest.sum(), abs=1e-12)


@pytest.mark.parametrize("changes", KINDS)
@pytest.mark.parametrize("sampling", [{}, {"temperature": 0.8, "top_k": 5}])
def test_every_prompt_of_a_batch_gets_the_reply_that_it_gets_alone(changes, sampling):
    lm = text_model(**changes)
    together = lm.complete_batch(QUESTIONS, max_tokens=12, seed=5, **sampling)
    for r, (prompt, reply) in enumerate(zip(QUESTIONS, together)):
        alone = text_model(**changes).complete(prompt, max_tokens=12, seed=5 + r, **sampling)
        assert reply.tokens == alone.tokens and reply.text == alone.text
        assert reply.finish == alone.finish
        np.testing.assert_allclose(reply.logprobs, alone.logprobs, rtol=0, atol=1e-9)


def test_small_batches_give_the_replies_of_a_large_one():
    large = text_model().complete_batch(QUESTIONS, max_tokens=6, temperature=1.0)
    small = text_model(batch_size=2).complete_batch(QUESTIONS, max_tokens=6, temperature=1.0)
    assert [reply.tokens for reply in small] == [reply.tokens for reply in large]


def test_log_probabilities_of_a_reply_are_its_scores():
    lm = text_model()
    reply = lm.complete("A prompt that is long enough.", max_tokens=5, temperature=0.5, seed=1)
    ids = [END, *b"A prompt that is long enough."]
    expected = conditional_logprob(lm.opened.lm, ids, reply.tokens, reduction="none")
    # Of the model itself, not of the sharper distribution that was sampled from.
    np.testing.assert_allclose(reply.logprobs, expected, rtol=0, atol=1e-10)
    assert reply.logprob == pytest.approx(expected.sum())


def test_samples_differ_and_are_repeated_by_their_seed():
    lm = text_model()
    samples = lm.sample("A prompt.", 6, seed=3, max_tokens=4)
    assert len({tuple(reply.tokens) for reply in samples}) > 1
    again = lm.sample("A prompt.", 6, seed=3, max_tokens=4)
    assert [reply.tokens for reply in again] == [reply.tokens for reply in samples]
    assert samples[2].tokens == lm.sample("A prompt.", 1, seed=5, max_tokens=4)[0].tokens


def test_a_reply_ends_before_a_stop_string_or_when_tokens_run_out():
    lm = text_model()
    free = lm.complete("A prompt.", max_tokens=20)
    assert free.finish == "length" and len(free.tokens) == 20
    stop = free.text[5:7]
    cut = lm.complete("A prompt.", max_tokens=20, stop=stop)
    assert cut.finish == "stop" and cut.text == free.text[: free.text.index(stop)]
    assert len(cut.logprobs) == len(cut.tokens)


class Always:
    """A language model that is sure of one token, then of the end."""

    vocab_size, context = 257, 8

    def __init__(self, token, length):
        self.token, self.length = token, length

    def new_cache(self, batch, padding=None):
        class Cache:
            length = 0

            def select(self, rows):
                pass

        return Cache()

    def next_logits(self, tokens, cache=None):
        cache.length += tokens.shape[1]
        scores = np.full((len(tokens), 257), -1.0)
        scores[:, self.token if cache.length < self.length else END] = 1.0
        return scores


def test_the_end_token_ends_a_reply_and_has_no_text():
    lm = TextModel.of(Always(ord("a"), 4), ByteTokenizer(["<|e|>"]), ends=(END,))
    reply = lm.complete("xy", max_tokens=10)
    assert (reply.text, reply.finish, reply.tokens) == ("aa", "end", [97, 97, END])


def test_a_reply_never_goes_past_the_context():
    lm = text_model(context=16)
    prompts = ["abcdefghijkl", "ab"]
    long, short = lm.complete_batch(prompts, max_tokens=9)
    assert len(long.tokens) == 16 - 13 and long.finish == "length"
    assert len(short.tokens) == 9
    with pytest.raises(DataError, match="the prompt has 16 tokens and the model reads 16"):
        lm.complete("a" * 15)
    with pytest.raises(DataError, match="fewer demonstrations"):
        lm.score("a" * 14, ["bcd"])


def test_white_space_at_the_end_of_a_prompt_belongs_to_the_reply():
    lm = text_model()
    plain = lm.complete("A prompt:", max_tokens=6)
    spaced = lm.complete("A prompt: ", max_tokens=6)
    assert spaced.tokens == plain.tokens
    assert spaced.text == plain.text.removeprefix(" ")
    np.testing.assert_allclose(
        lm.score("A prompt: ", ["b"]).sums, lm.score("A prompt:", [" b"]).sums, atol=1e-12
    )


def test_a_reply_that_is_made_to_begin_with_a_text_continues_it():
    lm = text_model()
    joined = lm.complete("A prompt.\nA: Let us think.", max_tokens=6)
    begun = lm.complete("A prompt.\nA:", begin=" Let us think.", max_tokens=6)
    assert begun.tokens == joined.tokens and begun.text == joined.text
    np.testing.assert_allclose(
        lm.score("A prompt.\nA:", ["b"], begin=" I").sums,
        lm.score("A prompt.\nA: I", ["b"]).sums,
        atol=1e-12,
    )


# A model with a chat template: ids 256 and 257 are its marks.
def chat_model(**settings):
    tokenizer = ByteTokenizer(["<|im_start|>", "<|im_end|>"])
    gpt = make_gpt(258, 256, spread=0.5)
    template = TEMPLATES["chatml"]
    return TextModel.of(gpt, tokenizer, ends=(257,), template=template, **settings)


def test_a_prompt_is_a_turn_of_the_chat_template():
    lm = chat_model()
    ids, _ = lm._ids("Hi", "")
    marks = [256, *b"user\nHi", 257, *b"\n", 256, *b"assistant\n"]
    assert ids[-len(marks) :] == marks
    same = lm.complete([{"role": "user", "content": "Hi"}], max_tokens=4)
    assert same.tokens == lm.complete("Hi", max_tokens=4).tokens


def test_a_system_message_goes_first_unless_the_prompt_has_one():
    lm = chat_model(system="Be short.")
    ids, _ = lm._ids("Hi", "")
    assert ids[: len(b"xsystem\nBe short.")] == [256, *b"system\nBe short."]
    messages = [{"role": "system", "content": "No."}, {"role": "user", "content": "Hi"}]
    ids, _ = lm._ids(messages, "")
    assert ids[: len(b"xsystem\nNo.")] == [256, *b"system\nNo."]


def test_the_first_word_of_a_turn_has_no_space_before_it():
    lm = chat_model()
    np.testing.assert_array_equal(lm.score("Hi", [" yes"]).sums, lm.score("Hi", ["yes"]).sums)
    begun = lm.score("Hi", [" yes"], begin="I say").terms[0]
    assert len(begun) == len(b" yes")
    # The same method gives " Let us" to models that continue "A:".
    assert lm._ids("Hi", " Let us") == lm._ids("Hi", "Let us")
    spaced = lm.score("Hi", [" yes"], begin=" I say").terms[0]
    np.testing.assert_array_equal(spaced, begun)


def test_a_raw_model_shares_account_and_store_and_continues_text():
    lm = chat_model()
    raw = lm.raw()
    raw.complete("Some text.", max_tokens=2)
    assert lm.account.calls == 1 and not raw.chat and lm.chat
    with pytest.raises(DataError, match="needs the chat template"):
        raw.complete([{"role": "user", "content": "Hi"}])


def test_settings_that_do_not_fit_are_refused():
    with pytest.raises(ConfigError, match="no chat template"):
        text_model().of(text_model().opened.lm, ByteTokenizer(), chat=True)
    with pytest.raises(ConfigError, match="needs chat=True"):
        TextModel.of(text_model().opened.lm, ByteTokenizer(), system="Be short.")
    with pytest.raises(ConfigError, match="batch_size 0"):
        TextModel.of(text_model().opened.lm, ByteTokenizer(), batch_size=0)


def test_the_account_counts_whole_prompts_and_what_was_really_read():
    lm, begun = text_model(), time.perf_counter()
    lm.complete("The prompt has text.", max_tokens=3)
    assert lm.account.seconds <= time.perf_counter() - begun
    n = 1 + len("The prompt has text.")
    assert (lm.account.calls, lm.account.prompt_tokens, lm.account.read_tokens) == (1, n, n)
    assert lm.account.generated_tokens == 3 and lm.account.seconds > 0
    lm.complete("The prompt has text. More", max_tokens=1)
    # 5 new bytes; the last byte of a prompt is always read, since its logits are needed
    assert lm.account.read_tokens == n + 5 + 1
    before = lm.account.copy()
    lm.score_batch(["The prompt has text. One", "The prompt has text. Two!"], ["a", "bc"])
    spent = lm.account.since(before)
    assert (spent.calls, spent.scored_tokens) == (2, 6)
    assert spent.prompt_tokens == 2 * n + len(" One") + len(" Two!")
    assert spent.read_tokens == len("One") + len("Two!")  # the common prefix was in the store
    assert spent.tokens == spent.prompt_tokens + 6
    assert lm.account.seconds <= time.perf_counter() - begun


def test_candidates_of_one_prompt_read_it_once():
    lm = text_model()
    lm.score("A prompt of some length.", ["a", "bc", "def"])
    assert lm.account.read_tokens == lm.account.prompt_tokens == 1 + len("A prompt of some length.")


def test_new_weights_are_read_anew():
    lm = text_model()
    prompt = "A prompt of some length."
    old = lm.score(prompt, ["a"]).sums
    lm.opened.lm.model.blocks[0].norms[0].gain.data[:] = 0.5
    lm.weights_changed()
    new = lm.score(prompt, ["a"]).sums
    assert abs(new - old) > 1e-6
    np.testing.assert_allclose(new, by_hand(lm, prompt, "a").sum(), atol=1e-10)


def test_a_model_of_tables_has_the_protocol_too():
    # Every score can be computed by hand: a product of table entries.
    tables = EnumerableLM.random(3, 3, seed=1)
    lm = TextModel.of(tables, CharTokenizer("abc"), start=0)
    scores = lm.score("a", ["b", "bc"])
    p_b = tables.tables[0][0, 1]
    np.testing.assert_allclose(scores.sums, np.log([p_b, p_b * tables.tables[1][0, 1, 2]]))
    best = lm.complete("a", max_tokens=1)
    assert best.tokens == [int(tables.tables[0][0].argmax())]


def test_no_prompts_give_no_replies():
    lm = text_model()
    assert lm.complete_batch([]) == [] and lm.score_batch([], []) == []
    with pytest.raises(DataError, match="at least one continuation"):
        lm.score("a", [])


def test_every_reply_may_begin_in_its_own_way():
    lm = text_model(context=40)
    both = lm.complete_batch(["ab", "ab"], begin=[" c", " de"], max_tokens=4, seed=[3, 3])
    alone = [lm.complete("ab", begin=begin, max_tokens=4, seed=3) for begin in (" c", " de")]
    assert [reply.tokens for reply in both] == [reply.tokens for reply in alone]
    with lm.tracing() as trace:
        lm.complete_batch(["ab", "ab"], begin=(" c", ""), max_tokens=1)
    assert [call.begin for call in trace.calls] == [" c", ""]
    with pytest.raises(ShapeError, match="complete_batch: 1 beginnings for 2 prompts; give one e"):
        lm.complete_batch(["a", "b"], begin=["x"])


@given(text=st.text("aé 語\n", max_size=8))
def test_the_texts_of_tokens_join_to_the_text(text):
    lm = text_model(n_layer=1)
    pieces = lm.token_texts(text)
    assert "".join(pieces) == text and len(pieces) == lm.count(text)


def test_the_texts_of_words_have_spaces_between_them():
    tokenizer = WordTokenizer(["a", "bc"])
    lm = TextModel.of(make_gpt(tokenizer.vocab_size), tokenizer)
    assert lm.token_texts("bc a bc") == ["bc", " a", " bc"]


def test_the_last_token_of_a_character_has_it():
    assert text_model(n_layer=1).token_texts("né") == ["n", "", "é"]  # é is two bytes


def test_a_character_without_an_end_is_replaced():
    class Half(ByteTokenizer):
        def encode(self, text):
            return super().encode(text)[:-1]

    lm = TextModel.of(make_gpt(256), Half())
    assert lm.token_texts("né") == ["n", "\N{REPLACEMENT CHARACTER}"]
    assert lm.token_texts("n") == []


def test_the_ids_of_a_prompt_are_those_that_are_read():
    lm = text_model(context=8)
    assert lm.ids("ab ", begin="c ") == [END, *b"ab c"]  # the space belongs to the reply
    assert lm.lm is lm.opened.lm
    with pytest.raises(DataError, match="the prompt has 8 tokens and the model reads 8"):
        lm.ids("abcdefg")


# Settings under which what is read once, and by which decoder, could change a reply.


@pytest.mark.parametrize("changes", KINDS)
@pytest.mark.parametrize("sampling", [{"temperature": 0.0}, {"temperature": 0.9}])
def test_a_repetition_penalty_counts_the_whole_prompt_however_it_was_read(changes, sampling):
    sampling = {"repetition_penalty": 3.0, **sampling}
    tokens = {}
    for seed, prompt in enumerate(QUESTIONS):
        model = text_model(**changes).opened.lm
        tokens[prompt] = list(
            generate(model, [END, *prompt.encode()], 8, seed=seed, eos=END, **sampling)
        )
    lm = text_model(**changes)
    together = lm.complete_batch(QUESTIONS, max_tokens=8, **sampling)  # the beginning is shared
    assert [reply.tokens for reply in together] == list(tokens.values())
    for seed, prompt in enumerate(QUESTIONS):
        for _ in range(2):  # the second time, all of it is in the store
            alone = lm.complete(prompt, max_tokens=8, seed=seed, **sampling)
            assert alone.tokens == tokens[prompt]
    whole = lm.without_store().complete_batch(QUESTIONS, max_tokens=8, **sampling)
    assert [reply.tokens for reply in whole] == list(tokens.values())


def quantized_model():
    """A TextModel that completes with weights of 4 bits, in float64 otherwise."""
    gpt = make_gpt(257, 96, spread=0.5, d_model=32)  # blocks of 32 weights have a scale
    tokenizer = ByteTokenizer(["<|endoftext|>"])
    return TextModel.of(DirectDecoder(gpt, 4), tokenizer, begin=(END,), ends=(END,), start=END)


def test_quantized_weights_complete_a_batch_as_each_prompt_alone():
    # "ab" is read token by token, the others first together and from the store.
    prompts = [*QUESTIONS, "ab", "abcdefgh", QUESTIONS[0]]
    lm = quantized_model()
    decoder, precise = lm.opened.lm, TextModel.of(lm.lm, lm.tokenizer, begin=(END,), ends=(END,))
    expected = [
        list(generate(decoder, [END, *p.encode()], 9, temperature=0.0, eos=END)) for p in prompts
    ]
    together = lm.complete_batch(prompts, max_tokens=9)
    assert [reply.tokens for reply in together] == expected
    assert [lm.complete(prompt, max_tokens=9).tokens for prompt in prompts] == expected
    whole = lm.without_store().complete_batch(prompts, max_tokens=9)
    assert [reply.tokens for reply in whole] == expected
    for a, b in zip(together, whole):
        np.testing.assert_allclose(a.logprobs, b.logprobs, rtol=0, atol=1e-10)
    # 4 bits make a difference here, so the above shows which weights were used.
    assert [r.tokens for r in precise.complete_batch(prompts, max_tokens=9)] != expected


def test_quantized_weights_do_not_score():
    lm = quantized_model()
    precise = TextModel.of(lm.lm, lm.tokenizer, begin=(END,))
    for prompts in QUESTIONS, QUESTIONS[:1]:
        for a, b in zip(lm.score_batch(prompts, LABELS), precise.score_batch(prompts, LABELS)):
            np.testing.assert_allclose(a.sums, b.sums, rtol=0, atol=1e-10)


def test_new_weights_are_read_anew_by_all_that_share_a_model():
    lm = text_model()
    raw, whole = lm.raw(), lm.without_store()
    prompt = "A prompt of some length."
    gpt = lm.lm.model
    for one in lm, raw, whole:
        one.complete(prompt, max_tokens=1)
    for asked, gain in zip((whole, raw, lm), (0.5, 0.7, 0.9)):
        gpt.blocks[0].norms[0].gain.data[:] = gain
        asked.weights_changed()
        for one in lm, raw, whole:
            reply = one.complete(prompt, max_tokens=6)
            ids = [END, *prompt.encode()]
            expected = conditional_logprob(gpt, ids, reply.tokens, reduction="none")
            np.testing.assert_allclose(reply.logprobs, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("space", ["\n", "\n\n", " \n"])
def test_stop_strings_are_looked_for_after_the_white_space_that_is_given_back(space):
    tokenizer = ByteTokenizer(["<|e|>"])
    lm = TextModel.of(Written("Q", f"{space}Paris\nfoo"), tokenizer)
    for prompts in [f"Q{space}"], [f"Q{space}", "Q"]:
        first, *others = lm.complete_batch(prompts, max_tokens=20, stop="\n")
        assert (first.text, first.finish, first.stopped_by) == ("Paris", "stop", "\n")
        for other in others:  # without white space in the prompt, the reply may end at once
            assert other.text == space[: space.index("\n")] and other.finish == "stop"
    # White space that the reply does not give back is none: the stop string ends it.
    lm = TextModel.of(Written("Q", "\tParis\nfoo"), tokenizer)
    assert lm.complete(f"Q{space}", max_tokens=20, stop="Paris").text == "\t"


class Written:
    """A language model that is sure of one text after a prompt of one byte."""

    vocab_size, context = 257, None

    def __init__(self, prompt, reply):
        self.text = f"{prompt}{reply}".encode()

    def new_cache(self, batch, padding=None):
        return Always(0, 0).new_cache(batch)

    def next_logits(self, tokens, cache=None):
        cache.length += tokens.shape[1]
        scores = np.zeros((len(tokens), 257))
        scores[:, self.text[cache.length]] = 1.0
        return scores


def test_rows_that_fit_alone_but_not_together_are_scored_apart():
    prompts, continuations = ["x" * 85, "y"], [["a", "ab"], ["z" * 80]]
    lm = text_model(context=96)
    for prompt, texts, scores in zip(
        prompts, continuations, lm.score_batch(prompts, continuations)
    ):
        for text, terms in zip(texts, scores.terms):
            np.testing.assert_allclose(terms, by_hand(lm, prompt, text), rtol=0, atol=1e-10)


def test_groups_fill_the_context_and_not_more():
    lm = text_model(context=16)
    assert lm._groups([13, 2], [3, 3]) == [[1, 0]]  # shorter ones first
    assert lm._groups([13, 2], [3, 4]) == [[1], [0]]  # 13 + 4 > 16
    assert lm._groups([15, 2, 3], [9, 9, 9]) == [[1, 2], [0]]  # too long even alone
    assert text_model(batch_size=2)._groups([3, 1, 2], [0, 0, 0]) == [[1, 2], [0]]


def test_a_group_takes_the_memory_of_its_longest_row(monkeypatch):
    lm = text_model()
    a_token = 2 * 2 * 8 * 8  # keys and values, layers, width, bytes of a float64
    monkeypatch.setattr("tinylm.prompt.protocol.model.CACHE_BYTES", 20 * a_token)
    # Three rows of 5 tokens fit, and with one of 10 only two do.
    assert lm._groups([5, 5, 5], [0, 0, 0]) == [[0, 1, 2]]
    assert lm._groups([5, 5, 5, 10], [0, 0, 0, 0]) == [[0, 1, 2], [3]]
    assert lm.without_store()._groups([5, 10, 5, 5], [0, 0, 0, 0]) == [[0, 2, 3], [1]]


def test_a_reply_that_begins_with_spaces_alone_begins_with_nothing():
    lm = chat_model()
    plain = lm.complete("Hi", max_tokens=4)
    for begin, text in (" ", "yes"), (" ", " yes"), ("  ", "yes"):
        assert lm.complete("Hi", begin=begin, max_tokens=4).tokens == plain.tokens
        found = lm.score("Hi", [text], begin=begin).terms[0]
        np.testing.assert_allclose(found, lm.score("Hi", ["yes"]).terms[0], rtol=0, atol=1e-12)
    # White space after a text belongs to what follows it.
    np.testing.assert_allclose(
        lm.score("Hi", ["b"], begin="a ").terms[0],
        lm.score("Hi", [" b"], begin="a").terms[0],
        rtol=0,
        atol=1e-12,
    )


def test_a_prompt_without_messages_is_refused():
    for lm in chat_model(), chat_model(system="Be short."):
        with pytest.raises(DataError, match="without messages"):
            lm.complete([])


def test_there_is_one_seed_for_each_prompt():
    lm = text_model()
    for seed in [1], [1, 2, 3]:
        with pytest.raises(ShapeError, match=f"{len(seed)} seeds for 2 prompts"):
            lm.complete_batch(["a.", "b."], seed=seed, temperature=1.0)
        with pytest.raises(ShapeError, match="seeds for 2 prompts"):
            ScriptedLM([(None, "a")] * 2).complete_batch(["a.", "b."], seed=seed)
    each = lm.complete_batch(["a.", "b."], seed=[4, 9], temperature=1.0, max_tokens=5)
    for prompt, seed, reply in zip(["a.", "b."], [4, 9], each):
        alone = lm.complete(prompt, seed=seed, temperature=1.0, max_tokens=5)
        assert alone.tokens == reply.tokens


def test_tokens_that_a_stop_string_cuts_off_were_generated():
    lm = TextModel.of(Written("Q", "abc\n\nfoo"), ByteTokenizer(["<|e|>"]))
    reply = lm.complete("Q", max_tokens=20, stop="\n\n")
    assert (reply.text, len(reply.tokens), reply.cut) == ("abc", 3, 2)
    assert lm.account.generated_tokens == 5
    assert lm.complete("Q", max_tokens=4, stop="\n\n").cut == 0  # "abc\n", out of tokens
    assert lm.account.generated_tokens == 9


def test_without_its_store_a_model_reads_every_prompt_whole():
    lm = text_model()
    whole, prompt = lm.without_store(), "A prompt of some length."
    n = 1 + len(prompt)
    for prompts, tokens in ([prompt], n), ([prompt, prompt], 2 * n):
        lm.complete_batch(prompts, max_tokens=2)
        before = lm.account.copy()
        whole.complete_batch(prompts, max_tokens=2)
        whole.score_batch(prompts, ["a"])
        assert lm.account.since(before).read_tokens == 2 * tokens  # the account is shared
    assert lm.complete(prompt).tokens == whole.complete(prompt).tokens
    before = lm.account.copy()
    lm.complete(prompt, max_tokens=2)
    assert lm.account.since(before).read_tokens == 1


def test_the_last_token_of_a_continuation_takes_no_room(monkeypatch):
    calls = []

    def counted(lm, rows, continuations):
        calls.append(len(rows))
        return score_rows(lm, rows, continuations)

    monkeypatch.setattr("tinylm.prompt.protocol.model.score_rows", counted)
    # 13 tokens of the longest prompt and 3 of 4 that are scored: all of the context.
    text_model(context=16).score_batch(["x" * 12, "y"], [["a"], ["abcd"]])
    text_model(context=16).score_batch(["x" * 12, "y"], [["a"], ["abcde"]])
    assert calls == [2, 1, 1]


def test_a_reply_has_at_most_256_tokens_by_default():
    for method in (TextModel.complete_batch, ScriptedLM.complete_batch):
        assert inspect.signature(method).parameters["max_tokens"].default == 256
