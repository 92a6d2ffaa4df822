"""Fields of the book become turns, in one order, and a conversation is sent whole."""

import pytest

from tests.prompt.small import text_model
from tinylm.errors import DataError
from tinylm.models.published.chat_template import ROLES as MARKS
from tinylm.prompt import ScriptedLM
from tinylm.prompt.template import LIBRARY, ROLES, Conversation, render_roles, role_prompt
from tinylm.prompt.template.roles import in_order, to_messages
from tinylm.tokenizers import ByteTokenizer

SYSTEM = ROLES["grammar"]
TASK = (
    "You will be provided with a sentence in English. The task is to output the correct sentence."
)
QUERY = f"{TASK}\nInput: He like to swim.\nOutput:"
DEMO1 = (f"{TASK}\nInput: There is two doors.\nOutput:", "There are two doors.")
DEMO2 = (f"{TASK}\nInput: Me and him agrees.\nOutput:", "He and I agree.")


def test_a_role_and_a_request_are_system_and_user():
    request = LIBRARY["explain.child"].format(field="computer-related", concept="a queue")
    fields = [("SYSTEM", ROLES["computer scientist"]), ("USER", request)]
    assert to_messages(fields) == [
        {"role": "system", "content": ROLES["computer scientist"]},
        {"role": "user", "content": request},
    ]
    assert render_roles(fields) == f"SYSTEM {ROLES['computer scientist']}\n\nUSER {request}"


def test_fields_stand_in_one_order_however_they_are_given():
    names = ["SYSTEM", "TASK", "DEMO1", "DEMO2", "DEMO10", "USER", "SUB-PROB1", "SUB-PROB2"]
    names += ["FINAL"]
    fields = [(name, "x") for name in reversed(names)]
    assert [name for name, _ in in_order(fields)] == names
    assert render_roles([("USER", QUERY), ("DEMO2", DEMO2), ("DEMO1", DEMO1)]) == (
        f"DEMO1 {TASK}\nInput: There is two doors.\nOutput: There are two doors.\n\n"
        f"DEMO2 {TASK}\nInput: Me and him agrees.\nOutput: He and I agree.\n\nUSER {QUERY}"
    )


def test_demonstrations_are_turns_of_both():
    messages = to_messages([("USER", QUERY), ("SYSTEM", SYSTEM), ("DEMO1", DEMO1)])
    assert [(message["role"], message["content"]) for message in messages] == [
        ("system", SYSTEM),
        ("user", DEMO1[0]),
        ("assistant", DEMO1[1]),
        ("user", QUERY),
    ]


def test_turns_of_one_role_that_follow_each_other_are_joined():
    fields = [
        ("SYSTEM", "a"),
        ("TASK", "b"),
        ("USER", "The study began in 2011."),
        ("SUB-PROB1", ("When did it begin?", "In 2011.")),
        ("FINAL", "How long did it last?"),
    ]
    assert [(message["role"], message["content"]) for message in to_messages(fields)] == [
        ("system", "a\nb"),
        ("user", "The study began in 2011.\nWhen did it begin?"),
        ("assistant", "In 2011."),
        ("user", "How long did it last?"),
    ]


def test_messages_are_the_tokens_of_the_models_own_template():
    tokenizer = ByteTokenizer(["<|system|>", "<|user|>", "<|assistant|>", "<|end|>"])
    system, user, assistant, end = (tokenizer.special[mark] for mark in tokenizer.special)
    ids = MARKS.encode(
        tokenizer, to_messages([("SYSTEM", "ab"), ("DEMO", ("c", "d")), ("USER", "e")])
    )
    a, b, c, d, e = b"abcde"
    assert ids.tolist() == [system, a, b, user, c, assistant, d, end, user, e, assistant]


def test_what_the_book_has_not_is_refused():
    for name in ("DEMOS", "USER1", "user", "SYSTEM2", "DEMO0", "FINAL1", "TASK1", ""):
        with pytest.raises(DataError, match="the book has no field"):
            in_order([(name, "x")])
    with pytest.raises(DataError, match="DEMO is given twice: number them, DEMO1, DEMO2"):
        in_order([("DEMO", "x"), ("DEMO", "y")])
    for fields in ([], [("SYSTEM", "x")], [("USER", "x"), ("SUB-PROB1", ("a", "b"))]):
        with pytest.raises(DataError, match="the last field must be an input"):
            to_messages(fields)


def test_a_chat_model_is_sent_messages_and_others_text():
    fields = [("SYSTEM", "s"), ("USER", "u")]
    lm = text_model()
    assert role_prompt(lm, fields) == "SYSTEM s\n\nUSER u"
    lm.chat = True
    assert role_prompt(lm, fields) == to_messages(fields)
    assert role_prompt(ScriptedLM({}), fields) == "SYSTEM s\n\nUSER u"


def test_every_turn_is_sent_with_all_turns_before_it():
    start = "System says hi."
    first = f"{start}\nUser: Who won the cup in 2022?\nAssistant:"
    second = f"{first} Argentina.\nUser: Where was it held?\nAssistant:"
    third = f"{second} In Qatar.\nUser: How often has Argentina won?\nAssistant:"
    lm = ScriptedLM([(first, "Argentina.\nUser: And"), (second, "In Qatar."), (third, "3 times.")])
    talk = Conversation(start)
    assert talk.render("Who won the cup in 2022?") == first
    assert talk.reply(lm, "Who won the cup in 2022?") == "Argentina."
    assert talk.reply(lm, "Where was it held?") == "In Qatar."
    assert talk.reply(lm, "How often has Argentina won?") == "3 times."
    lengths = [len(prompt) for prompt in lm.prompts]
    assert lengths == sorted(set(lengths))
    # "it" has something to refer to only with the turns before.
    assert "it held" in Conversation().render("Where was it held?")
    assert "cup" not in Conversation().render("Where was it held?")
    assert Conversation(names=("A", "B")).render("x") == "A: x\nB:"


def test_a_conversation_with_a_chat_model_is_messages():
    lm = ScriptedLM([(None, " Yes. "), (None, "No.")])
    lm.chat = True
    talk = Conversation("Be brief.")
    assert talk.reply(lm, "Rain?") == "Yes."
    talk.reply(lm, "Sun?")
    assert lm.prompts[1] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Rain?"},
        {"role": "assistant", "content": "Yes."},
        {"role": "user", "content": "Sun?"},
    ]
    assert Conversation().messages("x") == [{"role": "user", "content": "x"}]
