"""Instructions are read from every form of file that people keep them in."""

import contextlib
import gzip
import io
import json

import pytest

from tinylm.data.read.book_instructions import BOOK_DIALOGUE, BOOK_EXAMPLES, BOOK_SAMPLES
from tinylm.data.read.instructions import (
    Conversation,
    Instruction,
    as_sample,
    read_instructions,
)
from tinylm.errors import DataError

ALPACA = {"instruction": "Add.", "input": "1 2", "output": "3"}


@pytest.mark.parametrize(
    "record, expected",
    [
        (ALPACA, Instruction("Add.", "3", "1 2")),
        ({"instruction": "Hi", "output": "Ho"}, Instruction("Hi", "Ho")),
        (
            {"instruction": "Hi", "input": None, "output": "Ho", "system": "Sing."},
            Instruction("Hi", "Ho", system="Sing."),
        ),
        ({"instruction": "Hi", "input": "<noinput>", "output": "Ho"}, Instruction("Hi", "Ho")),
        ({"prompt": "Hi", "completion": "Ho"}, Instruction("Hi", "Ho")),
        ({"prompt": "Hi", "chosen": "Ho", "rejected": "No"}, Instruction("Hi", "Ho")),
        ({**ALPACA, "chosen": "three", "rejected": "4"}, Instruction("Add.", "3", "1 2")),
        (
            {
                "id": "1",
                "name": "add",
                "instruction": "Add.",
                "instances": [{"input": "1 2", "output": "3"}],
            },
            Instruction("Add.", "3", "1 2", task="add"),
        ),
        (
            {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]},
            Conversation((("user", "a"), ("assistant", "b"))),
        ),
        (
            {
                "system": "s",
                "conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}],
            },
            Conversation((("system", "s"), ("user", "a"), ("assistant", "b"))),
        ),
        ([{"role": "user", "content": "a"}], Conversation((("user", "a"),))),
    ],
)
def test_every_form_is_understood(record, expected):
    assert as_sample(record) == expected


@pytest.mark.parametrize(
    "text",
    [
        json.dumps([ALPACA, ALPACA]),
        f"{json.dumps(ALPACA)}\n\n{json.dumps(ALPACA)}\n",
        "\ufeff" + json.dumps([ALPACA, ALPACA], indent=1),
    ],
)
def test_a_file_is_a_list_or_lines(text, tmp_path):
    (tmp_path / "a.json").write_text(text, encoding="utf-8")
    assert read_instructions(tmp_path / "a.json") == [Instruction("Add.", "3", "1 2")] * 2


def test_a_line_separator_inside_text_ends_no_line(tmp_path):
    (tmp_path / "a.jsonl").write_text(
        json.dumps({**ALPACA, "output": "3\u20284"}, ensure_ascii=False), encoding="utf-8"
    )
    assert read_instructions(tmp_path / "a.jsonl")[0].output == "3\u20284"


def test_compressed_lines_are_read(tmp_path):
    with gzip.open(tmp_path / "a.jsonl.gz", "wt") as file:
        file.write(json.dumps(ALPACA))
    assert len(read_instructions(tmp_path / "a.jsonl.gz")) == 1


def test_a_seed_task_gives_a_sample_for_each_instance(tmp_path):
    record = {
        "instruction": "Add.",
        "instances": [{"input": str(i), "output": str(i)} for i in range(3)],
    }
    (tmp_path / "a.jsonl").write_text(json.dumps(record))
    assert [sample.input for sample in read_instructions(tmp_path / "a.jsonl")] == ["0", "1", "2"]


@pytest.mark.parametrize(
    "text, words",
    [
        ("", "holds no sample at all"),
        ('{"instruction": "a", "output": 3}', "line 1: the field 'output' must be text, not 3"),
        (f'{json.dumps(ALPACA)}\n{{"a": 1}}', "line 2: the fields 'a' are of no form"),
        ('{"instruction": "a"', "line 1 is no JSON"),
        ("[1]", "record 1: a sample is an object"),
        ('{"messages": []}', "a conversation is a list"),
        (
            '{"messages": [{"role": "boss", "content": "x"}]}',
            "role 'boss'; the roles are system, user, assistant",
        ),
        ('{"messages": [{"role": "user"}]}', "the field 'content' is missing"),
        ('{"instruction": "a", "instances": [1]}', "instances must be"),
        ('{"instruction": "a", "instances": []}', "instances must be"),
        ('{"system": "s", "messages": [{"role": "system", "content": "x"}]}', "there twice"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_place(text, words, tmp_path):
    (tmp_path / "a.jsonl").write_text(text)
    with pytest.raises(DataError, match=words):
        read_instructions(tmp_path / "a.jsonl")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match="nothing.jsonl cannot be read"):
        read_instructions(tmp_path / "nothing.jsonl")


def test_one_task_in_three_phrasings_word_for_word():
    assert [sample.user for sample in BOOK_EXAMPLES[:3]] == [
        "Read the following sentence, and answer whether it is grammatically correct.\n"
        "LLMs are powerful models but are expensive to build.",
        "LLMs are powerful models but are expensive to build.\nDoes this sentence make sense grammatically?\n"
        "Answer Choices\n- Yes\n- No",
        "Yes or No? Yes = the following sentence is grammatically correct. No = it contains grammatical errors.\n"
        "LLMs are powerful models but are expensive to build.",
    ]
    assert {sample.output for sample in BOOK_EXAMPLES[:3]} == {"Yes"}


def test_the_books_arithmetic_and_program_are_right():
    arithmetic, code = BOOK_EXAMPLES[5], BOOK_EXAMPLES[6]
    assert arithmetic.output == f"${5 * 1.20:.2f}"
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code.output, {})  # the book's own program
    assert (
        printed.getvalue() == "6270\n" and 1 + 4 + 100 + 81 + 78**2 == 6270
    )  # the squares of 1 2 10 -9 78


def test_a_sample_is_a_conversation_of_one_turn():
    assert Instruction("Add.", "3", "1 2", "Be brief.").messages() == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Add.\n1 2"},
        {"role": "assistant", "content": "3"},
    ]


U, A = {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}
CALL = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"type": "function", "function": {"name": "add", "arguments": {"x": 1}}}],
}
TOOLS = [{"type": "function", "function": {"name": "add"}}]


@pytest.mark.parametrize(
    "record, messages, asked, given",
    [
        ({"messages": [U, A], "id": 3, "source": "x"}, [U, A], 0, {}),
        ({"conversations": [U, A]}, [U, A], 0, {}),
        (
            {"messages": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]},
            [U, A],
            0,
            {},
        ),
        ({"prompt": [U], "completion": [A]}, [U, A], 1, {}),
        (
            {"prompt": [U, A, U], "completion": [A], "system": "s"},
            [{"role": "system", "content": "s"}, U, A, U, A],
            4,
            {},
        ),
        ({"prompt": [U], "chosen": [A], "rejected": [U]}, [U, A], 1, {}),
        ({"chosen": [U, A], "rejected": [U, U]}, [U, A], 0, {}),
        ({"prompt": "a", "messages": [U, A]}, [U, A], 0, {}),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}, A]},
            [U, A],
            0,
            {},
        ),
        ({"messages": [{**U, "name": None, "tool_calls": None}, A]}, [U, A], 0, {}),
        ({"messages": [{**U, "role": "developer"}, A]}, [{**U, "role": "developer"}, A], 0, {}),
        (
            {
                "messages": [U, CALL, {"role": "tool", "content": "4", "name": "add"}, A],
                "tools": TOOLS,
            },
            [U, CALL, {"role": "tool", "content": "4", "name": "add"}, A],
            0,
            {"tools": TOOLS},
        ),
        ({"messages": [U, A], "tools": json.dumps(TOOLS)}, [U, A], 0, {"tools": TOOLS}),
        ({"messages": [U, A], "tools": None, "documents": []}, [U, A], 0, {}),
        (
            {"messages": [U, A], "chat_template_kwargs": {"enable_thinking": False}},
            [U, A],
            0,
            {"enable_thinking": False},
        ),
    ],
)
def test_lists_of_messages_as_they_come(record, messages, asked, given):
    found = as_sample(record)
    assert (
        found.messages() == messages
        and found.prompt_turns == asked
        and found.template_options == given
    )


@pytest.mark.parametrize(
    "record, expected",
    [
        (
            {"instruction": "Hi", "context": "c", "response": "Ho", "category": "qa"},
            Instruction("Hi", "Ho", "c"),
        ),
        (
            {"id": 1, "system_prompt": "Sing.", "question": "Hi", "response": "Ho"},
            Instruction("Hi", "Ho", system="Sing."),
        ),
    ],
)
def test_other_names_of_the_same_things(record, expected):
    assert as_sample(record) == expected


@pytest.mark.parametrize(
    "record, words",
    [
        ({"messages": [{**U, "weight": 0}, A]}, "a message has the field 'weight'"),
        ({"messages": [U, A], "weight": 2}, "the field 'weight' is not read in a sample"),
        ({**ALPACA, "history": [["a", "b"]]}, "the field 'history' is not read in a sample"),
        ({**ALPACA, "prompt": "x"}, "'instruction' and 'prompt' are both there"),
        ({**ALPACA, "context": "x"}, "'input' and 'context' are both there"),
        (
            {"prompt": "x", "completion": "a", "response": "b"},
            "'completion' and 'response' are both",
        ),
        ({"messages": [U, A], "conversations": [U, A]}, "are both there"),
        (
            {"messages": [U, A], "prompt": "another"},
            "'prompt' is not the first message of the user",
        ),
        ({"prompt": "x", "completion": [A]}, "a conversation is a list of objects"),
        ({"messages": [U, {"from": "gpt", "value": "b"}]}, "a conversation is a list of objects"),
        ({"messages": [{"role": "user", "content": None}]}, "'content' must be text, not None"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
            "a part of type 'image_url'; only parts of type 'text'",
        ),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "text", "text": "a", "cache": 1}]}
                ]
            },
            "a part with the field 'cache'",
        ),
        ({"messages": [{"role": "user", "content": [3]}]}, "a part of type 'int'"),
        ({"messages": [{"role": ["user"], "content": "a"}]}, r"of role \['user'\]"),
        ({"messages": [{**U, "tool_calls": [{}]}]}, "'tool_calls' must be a list of objects"),
        ({"messages": [{**A, "tool_calls": "x"}]}, "'tool_calls' must be a list of objects"),
        ({"messages": [{"role": "assistant", "content": None, "tool_calls": []}]}, "tool_calls"),
        ({"messages": [{**A, "name": 3}]}, "the field 'name' must be text"),
        ({"messages": [U, A], "tools": "["}, "'tools' is a text that is no JSON"),
        ({"messages": [U, A], "tools": [3]}, "'tools' must be a list of objects"),
        ({"messages": [U, A], "chat_template_kwargs": []}, "must be an object"),
    ],
)
def test_what_would_be_passed_over_is_refused_by_line(record, words, tmp_path):
    (tmp_path / "a.jsonl").write_text(f"{json.dumps(ALPACA)}\n{json.dumps(record)}")
    with pytest.raises(DataError, match=f"a.jsonl, line 2: .*{words}"):
        read_instructions(tmp_path / "a.jsonl")


def test_conversations_can_be_told_apart_in_a_set():
    one, two = (as_sample({"messages": [U, A], "tools": tools}) for tools in (TOOLS, None))
    assert len({one, two, as_sample({"messages": [U, A], "tools": TOOLS})}) == 2


def test_the_four_samples_of_chapter_4_keep_instruction_and_input_apart():
    assert [sample.instruction for sample in BOOK_SAMPLES] == [
        "Summarize the following article.",
        "Extract the key financial figures from the following earnings report.",
        "Classify the following email as spam or not spam.",
        "Provide a solution to the following technical issue.",
    ]
    assert [sample.output for sample in BOOK_SAMPLES[1:]] == [
        "Revenue: $10 million, Profit Margin: 15%",
        "Spam",
        "First, check ...",
    ]
    assert BOOK_SAMPLES[2].user == (
        "Classify the following email as spam or not spam.\n"
        "Text: Congratulations! You've won a $500 gift card. Click here to claim now."
    )
    assert BOOK_SAMPLES[0].input.startswith("Article: In recent years, solar energy has seen")
    assert BOOK_SAMPLES[3].input == "Issue: my computer is running slowly and often freezes."
    # several tasks at once: as many tasks as samples
    assert len({sample.task for sample in BOOK_SAMPLES}) == 4


def test_the_dialogue_of_chapter_4_has_four_turns_each():
    messages = BOOK_DIALOGUE.messages()
    assert [message["role"] for message in messages] == ["user", "assistant"] * 4
    assert messages[0]["content"] == "I've been feeling very tired lately."
    assert messages[3]["content"] == "How long have these symptoms been going on?"
    assert messages[7]["content"].endswith("after 5 p.m. Which day suits you better?")
