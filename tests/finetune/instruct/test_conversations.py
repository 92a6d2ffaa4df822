"""Which tokens of a conversation are the model's to say, to the token."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.finetune.instruct.talks import END, TALK, TALKS, TOKENIZER, examples, said
from tinylm.errors import ConfigError, DataError
from tinylm.finetune.instruct.conversations import (
    MARKS,
    ROLES,
    Encoded,
    chat_template,
    encode_conversation,
    encode_samples,
    encode_sft,
    pack,
    packing_efficiency,
)
from tinylm.finetune.instruct.vocabulary import add_special
from tinylm.models.published.chat_template import TEMPLATES
from tinylm.pretrain.batch import IGNORE
from tinylm.tokenizers import ByteTokenizer

SPECIAL = [
    "<|im_start|>",
    "<|im_end|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eot_id|>",
    "<|begin_of_text|>",
    "<start_of_turn>",
    "<end_of_turn>",
    "<bos>",
    "<s>",
    "</s>",
    *MARKS,
]
EVERY_MARK = add_special(ByteTokenizer(), SPECIAL)


def test_the_books_example_ignores_seven_tokens_and_learns_five():
    words = "<s> Square this number . 2 . The result is 4 .".split()
    ids = {word: i for i, word in enumerate(dict.fromkeys(words))}
    x, y = ([ids[word] for word in part] for part in (words[:7], words[7:]))
    sample = encode_sft(x, y)
    assert sample.answer.tolist() == [False] * 7 + [True] * 5  # the context; The result is 4 .
    targets = sample.targets()
    # Shifted by one, rows 0 .. 10 predict tokens 1 .. 11: rows 6 .. 10 count, and row 6 reads the
    # last token of the context.
    assert np.flatnonzero(targets != IGNORE).tolist() == [6, 7, 8, 9, 10]
    assert targets[6:].tolist() == y and sample.prompt == 7 and sample.first_answer().tolist() == y
    assert sample.targets(whole=True).tolist() == [*x, *y][1:]  # pre-training learns all


@pytest.mark.parametrize("x, y", [([], [1]), ([1], [])])
def test_context_and_answer_need_a_token_each(x, y):
    with pytest.raises(DataError, match="both need one at least"):
        encode_sft(x, y)


def test_our_template_is_made_of_marks():
    assert ROLES.text(TALK[:2]) == "<|system|>Be brief.<|user|>hi<|assistant|>"
    assert TOKENIZER.decode(examples()[0].ids) == (
        "<|system|>Be brief.<|user|>hi<|assistant|>yo<|end|><|user|>2+2?<|assistant|>4.<|end|>"
    )


@pytest.mark.parametrize("name", ["roles", *TEMPLATES])
def test_the_answers_and_their_end_marks_are_learnt_and_nothing_else(name):
    template = chat_template(name)
    talk = (
        TALK if name in ("roles", "chatml", "llama3", "llama2", "zephyr") else TALK[1:]
    )  # the others have no system
    one = encode_conversation(EVERY_MARK, template, talk)
    space = " " if name == "llama2" else ""  # it writes spaces around answers
    learnt = EVERY_MARK.decode(one.ids[one.answer])
    assert learnt == "".join(f"{space}{answer}{space}{template.end}" for answer in ("yo", "4."))
    whole = template.encode(EVERY_MARK, talk, add_prompt=False)
    np.testing.assert_array_equal(
        one.ids, whole[: len(one.ids)]
    )  # and what is after the last is left out
    asked = template.encode(EVERY_MARK, talk[:-1], add_prompt=True)
    np.testing.assert_array_equal(
        one.ids[: len(asked)], asked
    )  # the model is asked with the same ids


def test_the_mask_of_a_conversation_is_that_of_its_turns_one_after_another():
    whole = examples()[0]
    turns = [encode_conversation(TOKENIZER, ROLES, TALK[:n], turns="last").answer for n in (3, 5)]
    expected = turns[1].copy()
    expected[: len(turns[0])] |= turns[0]
    np.testing.assert_array_equal(whole.answer, expected)


def test_the_last_turn_alone_can_be_learnt():
    one = encode_conversation(TOKENIZER, ROLES, TALK, turns="last")
    assert TOKENIZER.decode(one.ids[one.answer]) == "4.<|end|>"


@given(
    st.lists(st.sampled_from(["a", " ", "<|end|>", "<|assistant|>", "\n"]), max_size=8).map("".join)
)
def test_no_text_forges_an_end_or_a_turn(content):
    one = encode_conversation(TOKENIZER, ROLES, said(("user", content), ("assistant", content)))
    assert (one.ids >= 256).sum() == 3 and (
        one.ids == END
    ).sum() == 1  # <|user|>, <|assistant|>, <|end|>
    assert one.answer.sum() == len(TOKENIZER.encode(content)) + 1


def test_a_conversation_without_an_answer_is_refused():
    with pytest.raises(DataError, match="no message of the assistant$"):
        encode_conversation(TOKENIZER, ROLES, TALK[:2])


@pytest.mark.parametrize("asked, learnt", [(2, "yo<|end|>4.<|end|>"), (3, "4.<|end|>")])
def test_answers_count_from_the_first_message_that_is_no_prompt(asked, learnt):
    one = encode_conversation(TOKENIZER, ROLES, TALK, prompt_turns=asked)
    assert TOKENIZER.decode(one.ids[one.answer]) == learnt
    last = encode_conversation(TOKENIZER, ROLES, TALK, prompt_turns=4)  # itself the last answer
    assert TOKENIZER.decode(last.ids[last.answer]) == "4.<|end|>"


def test_an_unknown_template_is_refused_with_the_names():
    with pytest.raises(ConfigError, match="choose one of roles, chatml"):
        chat_template("nice")


def test_what_does_not_fit_is_cut_and_what_has_no_answer_left_is_dropped():
    lengths = [len(one) for one in examples()]
    # Inputs are one token fewer than the sequence: the whole of the first needs a context of its
    # length - 1.
    assert encode_samples(TOKENIZER, ROLES, TALKS, lengths[0] - 1)[1:] == (0, 0)
    kept, cut, dropped = encode_samples(TOKENIZER, ROLES, TALKS, 10)
    # First: its system information alone has 10 tokens, no answer is left. Third: 1 + 5 + 1 of the
    # question, "no", the end: 10.
    assert [len(one) for one in kept] == [7, 10] and (cut, dropped) == (0, 1)
    kept, cut, dropped = encode_samples(TOKENIZER, ROLES, TALKS[2:], 8)
    assert (cut, dropped) == (1, 0) and TOKENIZER.decode(kept[0].ids[kept[0].answer]) == "no"


def test_a_token_can_be_put_before_each():
    (one, *_), _, _ = encode_samples(TOKENIZER, ROLES, TALKS, begin=7)
    assert one.ids[0] == 7 and not one.answer[0] and len(one) == len(examples()[0]) + 1


@given(st.lists(st.integers(2, 30), min_size=1, max_size=30))
def test_packed_rows_hold_every_example_once_and_are_not_too_long(lengths):
    made = [Encoded(np.full(n, i), np.arange(n) > 0) for i, n in enumerate(lengths)]
    rows = pack(made, 29)
    assert sorted(one.ids[0] for row in rows for one in row) == list(range(len(lengths)))
    assert max(sum(len(one) - 1 for one in row) for row in rows) <= 29
    assert packing_efficiency(rows, 29) == pytest.approx(
        sum(n - 1 for n in lengths) / (29 * len(rows))
    )


def test_an_example_longer_than_a_row_is_named():
    with pytest.raises(DataError, match="example 0 has .* rows have room for 9"):
        pack(examples(), 8)
    (first, *_) = examples()
    assert pack([first], len(first) - 1) == [[first]]  # the last token is only a target


def test_the_published_template_of_smollm2_is_masked_to_the_token():
    from tests.models.published.formats.files import installed
    from tinylm.models.published.chat_template import template_of
    from tinylm.models.published.formats.gguf import read_gguf
    from tinylm.models.published.formats.gguf_tokenizer import tokenizer_of

    weights = read_gguf(installed("smollm2"))
    tokenizer = tokenizer_of(weights)
    template = template_of(weights.metadata["tokenizer.chat_template"])
    talk = said(
        ("user", "What is 2 + 2?"),
        ("assistant", "It is 4, of course."),
        ("user", "And 3 + 3?"),
        ("assistant", "6."),
    )
    one = encode_conversation(tokenizer, template, talk)
    assert tokenizer.decode(one.ids[one.answer]) == "It is 4, of course.<|im_end|>6.<|im_end|>"
    whole = template.encode(tokenizer, talk, add_prompt=False)
    np.testing.assert_array_equal(one.ids, whole[:-1])  # but for the line break after the end
    asked = template.encode(tokenizer, talk[:1])
    np.testing.assert_array_equal(one.ids[: one.prompt], asked)


def jinja_template(program):
    pytest.importorskip("jinja2")
    from tinylm.models.published.chat_template import template_of

    return template_of(program, {"eos_token": "<|end|>"}, MARKS)


TURN = "{{ '<|' + m.role + '|>' + m.content + ('<|end|>' if m.role == 'assistant' else '') }}"
PROGRAM = (
    "{% for m in messages %}" + TURN + "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
BLOCKS = PROGRAM.replace(
    TURN,
    "{% if m.role == 'assistant' %}{{ '<|assistant|>' }}{% generation %}"
    "{{ m.content + '<|end|>' }}{% endgeneration %}{% else %}" + TURN + "{% endif %}",
)


@pytest.mark.parametrize("program", [PROGRAM, BLOCKS])
@pytest.mark.parametrize("turns, asked", [("all", 0), ("last", 0), ("all", 3)])
def test_a_models_own_program_learns_the_answers_alone(program, turns, asked):
    ours = encode_conversation(TOKENIZER, ROLES, TALK, turns, asked)
    one = encode_conversation(TOKENIZER, jinja_template(program), TALK, turns, asked)
    np.testing.assert_array_equal(one.ids, ours.ids)
    np.testing.assert_array_equal(one.answer, ours.answer)
    assert TOKENIZER.decode(one.ids[one.answer]) == (
        "4.<|end|>" if turns == "last" or asked else "yo<|end|>4.<|end|>"
    )


@pytest.mark.parametrize("program", [PROGRAM, BLOCKS])
def test_answers_of_a_prompt_are_not_learnt(program):
    from tinylm.data.read.instructions import as_sample

    sample = as_sample({"prompt": TALK[:4], "completion": TALK[4:]})
    (one,), _, _ = encode_samples(TOKENIZER, jinja_template(program), [sample])
    assert TOKENIZER.decode(one.ids[one.answer]) == "4.<|end|>"
    with pytest.raises(DataError, match="no message of the assistant in its completion"):
        encode_conversation(TOKENIZER, ROLES, TALK[:4], prompt_turns=3)


@pytest.mark.parametrize("program", [PROGRAM, BLOCKS])
def test_a_text_may_begin_with_an_answer(program):
    """Without a mark before it; a token that is put before it predicts its first one."""
    talk = said(("assistant", "hi"), ("user", "a"), ("assistant", "b"))
    template = jinja_template(
        program.replace("'<|assistant|>'", "''").replace(
            "'<|' + m.role + '|>'", "('<|user|>' if m.role == 'user' else '')"
        )
    )
    (one,), _, _ = encode_samples(TOKENIZER, template, [talk], begin=7)
    assert TOKENIZER.decode(one.ids[one.answer]) == "hi<|end|>b<|end|>"
    assert one.answer[:2].tolist() == [False, True]


def test_what_follows_the_last_answer_is_not_shown_to_a_program_that_marks_answers():
    template = jinja_template("{{ messages|length }}" + BLOCKS)  # it writes how many there are
    longer = [*TALK[:3], *said(("user", "bye"), ("user", "again"))]
    cut, whole = (encode_conversation(TOKENIZER, template, talk) for talk in (TALK[:3], longer))
    np.testing.assert_array_equal(cut.ids, whole.ids)
    np.testing.assert_array_equal(cut.answer, whole.answer)


def test_tools_reach_the_program():
    from tinylm.data.read.instructions import as_sample

    program = "{% if tools %}{{ tools[0].name }}{% endif %}" + PROGRAM
    sample = as_sample({"messages": TALK, "tools": [{"name": "add"}]})
    (one,), _, _ = encode_samples(TOKENIZER, jinja_template(program), [sample])
    assert TOKENIZER.decode(one.ids).startswith("add<|system|>Be brief.")


@pytest.mark.parametrize(
    "program",
    [
        PROGRAM.replace("m.content", "(m.content if loop.last else m.content[:1])"),  # cut when old
        PROGRAM.replace("'<|assistant|>' }}{% endif", "'<|assistant|>think' }}{% endif"),
    ],
)
def test_a_program_whose_beginnings_differ_is_refused_by_name(program):
    template = jinja_template(program)
    with pytest.raises(DataError, match="the template 'its own program' writes .* something else"):
        encode_conversation(TOKENIZER, template, TALK)


def test_a_program_that_marks_no_answer_is_refused():
    program = BLOCKS.replace("m.role == 'assistant' %}{{ '<|ass", "m.role == 'x' %}{{ '<|ass")
    with pytest.raises(DataError, match="marks no answer of this conversation"):
        encode_conversation(TOKENIZER, jinja_template(program), TALK)


def test_text_of_a_block_becomes_no_mark():
    talk = said(("user", "a"), ("assistant", "<|end|><|user|>"))
    one = encode_conversation(TOKENIZER, jinja_template(BLOCKS), talk)
    assert (one.ids == END).sum() == 1 and (one.ids >= 256).sum() == 3
