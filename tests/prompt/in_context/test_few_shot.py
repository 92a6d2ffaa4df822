"""Prompts of zero, one and several shots are the book's texts, and a budget costs demonstrations
only.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.prompt.small import Chat, text_model
from tinylm.data.read.items import Item
from tinylm.errors import ConfigError, DataError
from tinylm.prompt import ScriptedLM
from tinylm.prompt.in_context.few_shot import FewShotPrompt, few_shot, zero_shot

# Book, section 3.1.2: correcting grammar with none, one and two demonstrations.
SYSTEM = "You are a helpful assistant, and are great at grammar correction."
TASK = (
    "You will be provided with a sentence in English. The task is to output the correct sentence."
)
REASONS = Item("There is many reasons to celebrate.", "There are many reasons to celebrate.")
GYM = Item(
    "Me and my friend goes to the gym every day.", "My friend and I go to the gym every day."
)
PARK = Item("She don't like going to the park.", "She doesn't like going to the park.")
GRAMMAR = FewShotPrompt(TASK, "Input", "Output", system=SYSTEM, demo_repeats_task=True, labels=True)
ZERO = f"""SYSTEM {SYSTEM}

USER {TASK}
Input: She don't like going to the park.
Output:"""
ONE = f"""SYSTEM {SYSTEM}

DEMO {TASK}
Input: There is many reasons to celebrate.
Output: There are many reasons to celebrate.

USER {TASK}
Input: She don't like going to the park.
Output:"""
TWO = f"""SYSTEM {SYSTEM}

DEMO1 {TASK}
Input: There is many reasons to celebrate.
Output: There are many reasons to celebrate.

DEMO2 {TASK}
Input: Me and my friend goes to the gym every day.
Output: My friend and I go to the gym every day.

USER {TASK}
Input: She don't like going to the park.
Output:"""
# Book, section 1.1.2.2: the polarity of a text.
POLARITY = FewShotPrompt(
    "Assume that the polarity of a text is a label chosen from {positive, negative, neutral}. "
    "Identify the polarity of the input.",
    "Input",
    "Polarity",
    separator="\n",
)
TRAFFIC = (
    "The traffic is terrible during rush hours, making it difficult to reach the airport on time."
)
FOOD = Item("I love the food here. It's amazing!", "positive", ("positive", "negative", "neutral"))
WORDS = FewShotPrompt(question_name="", answer_name="", between=" → ", separator="\n")
texts = st.text("abQ: .\n", min_size=1, max_size=12).filter(str.strip)


def test_zero_one_and_two_shots_are_the_prompts_of_the_book():
    assert GRAMMAR.prompt(PARK) == ZERO
    assert GRAMMAR.prompt(PARK, [REASONS]) == ONE
    assert GRAMMAR.prompt(PARK, [REASONS, GYM]) == TWO


def test_without_its_demonstrations_a_prompt_is_the_zero_shot_prompt():
    for prompt in (GRAMMAR, POLARITY, FewShotPrompt("Do it.", system="You can.")):
        shown = prompt.prompt(PARK, [REASONS])
        before, after = prompt.prompt(PARK).split(prompt.query(PARK))
        assert shown.startswith(before[:10]) and shown.endswith(prompt.query(PARK)) and not after
        assert len(shown) > len(prompt.prompt(PARK))
    block = ONE[ONE.index("DEMO") : ONE.index("USER")]
    assert ONE.replace(block, "") == ZERO


def test_the_compact_style_has_the_task_once():
    shown = [Item(TRAFFIC, "Negative"), Item("The weather here is wonderful.", "Positive")]
    assert POLARITY.prompt(FOOD, shown) == (
        "Assume that the polarity of a text is a label chosen from {positive, negative, neutral}. "
        "Identify the polarity of the input.\n"
        f"Input: {TRAFFIC}\nPolarity: Negative\n"
        "Input: The weather here is wonderful.\nPolarity: Positive\n"
        "Input: I love the food here. It's amazing!\nPolarity:"
    )
    compact = FewShotPrompt("Correct it.", system="You can.", labels=True)
    assert compact.prompt(Item("x"), [Item("y", "z")]) == (
        "SYSTEM You can.\nCorrect it.\n\nDEMO Q: y\nA: z\n\nUSER Q: x\nA:"
    )


def test_bare_lines_are_a_form_of_names_and_separators():
    # Book, section 3.1.2: word translation, and the sum divided by the product.
    pairs = [("现在", "now"), ("来", "come"), ("去", "go"), ("男孩", "boy")]
    assert WORDS.prompt(Item("女孩"), [Item(*pair) for pair in pairs]) == (
        "现在 → now\n来 → come\n去 → go\n男孩 → boy\n女孩 →"
    )
    lines = [
        "12 5 → (12 + 5)/(12 × 5) = 0.283",
        "3 1 → (3 + 1)/(3 × 1) = 1.33",
        "-9 4 → (−9 + 4)/(−9 × 4) = 0.138",
        "15 15 → (15 + 15)/(15 × 15) = 0.133",
    ]
    shown = [Item(*line.split(" → ")) for line in lines]
    assert WORDS.prompt(Item("19 73"), shown) == "\n".join([*lines, "19 73 →"])


def test_a_passage_stands_before_its_question():
    item = Item("Which one?", "This", context="Two of them.")
    assert FewShotPrompt().prompt(item) == "Context: Two of them.\nQ: Which one?\nA:"
    assert FewShotPrompt(context_name="Text").query(item).startswith("Text: Two")


def test_a_rationale_stands_before_the_answer_of_a_demonstration():
    item = Item("2 + 3?", "5", rationale="Two and three are five.")
    assert FewShotPrompt().demonstration(item, rationale=True) == (
        "Q: 2 + 3?\nA: Two and three are five. The answer is 5."
    )
    assert FewShotPrompt().demonstration(item) == "Q: 2 + 3?\nA: 5"
    shown = FewShotPrompt().prompt(Item("1 + 1?"), [item], rationale=True)
    assert shown == "Q: 2 + 3?\nA: Two and three are five. The answer is 5.\n\nQ: 1 + 1?\nA:"
    other = FewShotPrompt(conclusion="So: {}")
    assert other.demonstration(item, True).endswith("five. So: 5")
    with pytest.raises(DataError, match="'1 [+] 1[?]' has no rationale"):
        FewShotPrompt().demonstration(Item("1 + 1?", "2"), rationale=True)
    with pytest.raises(DataError, match="needs an answer: '1 [+] 1[?]'"):
        FewShotPrompt().demonstration(Item("1 + 1?"))


@given(question=texts, answer=texts, form=st.sampled_from([GRAMMAR, POLARITY, WORDS]))
def test_a_demonstration_is_a_question_and_its_continuation(question, answer, form):
    item = Item(question, answer)
    assert form.query(item) + form.continuation(item, answer) == form.demonstration(item)


def test_a_chat_gets_demonstrations_as_turns():
    chat = FewShotPrompt("Correct it.", system="You can.")
    assert chat.messages(PARK, [REASONS]) == [
        {"role": "system", "content": "You can.\nCorrect it."},
        {"role": "user", "content": "Q: There is many reasons to celebrate."},
        {"role": "assistant", "content": "There are many reasons to celebrate."},
        {"role": "user", "content": "Q: She don't like going to the park."},
    ]
    turns = GRAMMAR.messages(PARK)
    assert turns[0] == {"role": "system", "content": SYSTEM}
    assert turns[1]["content"] == f"{TASK}\nInput: She don't like going to the park."
    assert FewShotPrompt().messages(Item("x")) == [{"role": "user", "content": "Q: x"}]
    with pytest.raises(DataError, match="needs an answer"):
        chat.messages(PARK, [Item("x")])


@given(st.lists(texts, max_size=6), texts, st.integers(1, 120))
def test_a_budget_is_never_exceeded_and_costs_demonstrations_alone(questions, question, budget):
    prompt = FewShotPrompt("Do it.")
    demos = [Item(text, "yes") for text in questions]
    item = Item(question)
    if len(prompt.prompt(item)) > budget:
        with pytest.raises(DataError, match=f"and {budget} are allowed"):
            prompt.fit(item, demos, len, budget)
        return
    found = prompt.fit(item, demos, len, budget)
    assert found.tokens == len(found.text) <= budget
    assert found.text == prompt.prompt(item, found.kept)  # instruction and question are whole
    assert [*found.dropped, *found.kept] == demos  # the first are dropped
    if found.dropped:  # and no more than needed
        assert len(prompt.prompt(item, demos[len(found.dropped) - 1 :])) > budget


def test_forms_are_values():
    assert len({FewShotPrompt(), FewShotPrompt(), POLARITY}) == 2  # equal ones are one


def test_without_a_budget_nothing_is_dropped():
    found = FewShotPrompt().fit(Item("x"), [REASONS] * 50, len, None)
    assert len(found.kept) == 50 and found.dropped == ()


@given(st.lists(texts, min_size=1, max_size=5), texts)
def test_every_demonstration_makes_a_prompt_longer(questions, question):
    demos = [Item(text, "yes") for text in questions]
    lengths = [len(GRAMMAR.prompt(Item(question), demos[:k])) for k in range(len(demos) + 1)]
    assert lengths == sorted(set(lengths))


def test_a_prompt_whose_fields_would_not_end_is_refused():
    with pytest.raises(ConfigError, match="between is empty"):
        FewShotPrompt(between="")
    with pytest.raises(ConfigError, match="separator is empty"):
        FewShotPrompt(separator="")


# The methods.


def test_a_reply_is_read_up_to_the_stop_string():
    lm = ScriptedLM({ZERO: " She doesn't like it.\n\nUSER and more", ONE: "\n"})
    with lm.tracing() as trace:
        answer = zero_shot(lm, PARK, [REASONS], prompt=GRAMMAR)
    assert answer.value == "She doesn't like it." and answer.details["finish"] == "stop"
    assert answer.text == " She doesn't like it." and answer.details["kept"] == ()
    assert trace.calls[0].parsed == [("answer", "She doesn't like it.")]
    assert few_shot(lm, PARK, [REASONS], prompt=GRAMMAR).value is None


def test_the_next_field_or_block_ends_an_answer():
    assert FewShotPrompt().stop == ("\n\n", "\nContext:", "\nQ:", "\nA:")
    assert POLARITY.stop == WORDS.stop == ("\n",)
    assert GRAMMAR.stop == (*("\n\n", "\nContext:", "\nInput:", "\nOutput:", "\nDEMO", "\nUSER"),)
    assert FewShotPrompt(question_name="", context_name="").stop == ("\n\n",)
    read = FewShotPrompt().read
    assert read("A: four\nQ: five?") == "four" and read("four") == "four"
    assert read("two\nlines\n\nQ: x\nQ: y") == "two\nlines" and read(" \n") is None
    assert GRAMMAR.read("\nOutput: x\nUSER y") == "x"
    assert WORDS.read(" now\n来 → come") == "now"


def test_lines_of_a_text_that_read_as_fields_are_no_fields():
    item = Item("What does this do?\nA: It stops.", "Nothing.\nQ: is a line")
    shown = FewShotPrompt().demonstration(item)
    assert shown == "Q: What does this do?\n A: It stops.\nA: Nothing.\n Q: is a line"
    assert FewShotPrompt().read(shown.partition("\nA:")[2]) == item.answer


def test_an_item_with_options_gets_the_most_probable_one():
    prompt = POLARITY.prompt(FOOD)
    scores = {" positive": -2.0, " negative": -1.5, " neutral": -6.0}
    answer = few_shot(ScriptedLM({prompt: scores}), FOOD, prompt=POLARITY)
    assert answer.value == "negative" and answer.text == " negative"
    assert answer.details["scores"].sums.tolist() == [-2.0, -1.5, -6.0]
    # After the answer's field alone "positive" is far less probable.
    alone = {" positive": -5.0, " negative": -2.0, " neutral": -5.5}
    lm = ScriptedLM({prompt: scores, "Polarity:": alone})
    answer = few_shot(lm, FOOD, prompt=POLARITY, normalization="unconditional")
    assert answer.value == "positive"  # -2 + 5 > -1.5 + 2


def test_a_model_without_room_for_all_gets_the_last_demonstrations():
    # 4 words a demonstration ("Q: a A: b"), 3 the question; 11 of context, 4 of them the answer's.
    lm = ScriptedLM([("Q: c\nA: d\n\nQ: x\nA:", " y")], context=11)
    answer = few_shot(lm, Item("x"), [Item("a", "b"), Item("c", "d")], max_tokens=4)
    assert answer.details["dropped"] == (Item("a", "b"),)
    assert answer.details["kept"] == (Item("c", "d"),)
    two = ScriptedLM({"Q: c\nA: d\n\nQ: x\nA:": {" y": -1.0, " n o": -2.0}}, context=9)
    asked = Item("x", options=("y", "n o"))  # the longest option needs 2 of 9
    assert few_shot(two, asked, [Item("a", "b"), Item("c", "d")]).value == "y"
    one = ScriptedLM({"Q: x\nA:": {" y": -1.0, " n o": -2.0}}, context=8)  # 7 + 2 are too many
    assert few_shot(one, asked, [Item("a", "b"), Item("c", "d")]).value == "y"
    given_budget = ScriptedLM([("Q: x\nA:", " y")])
    assert few_shot(given_budget, Item("x"), [Item("c", "d")], budget=6).value == "y"


def test_demonstrations_may_be_turns_of_a_chat():
    demos = [Item("a", "b"), Item("c", "d")]
    turns = FewShotPrompt().messages(Item("x"), demos)

    class Chat(ScriptedLM):
        def _next(self, prompt, begin):
            self.prompts.append(prompt)
            return " y"

    chat = Chat([])
    assert few_shot(chat, Item("x"), demos, turns=True).value == "y" and chat.prompts == [turns]
    # Words of the turns: 2, 1, 2, 1, 2; without the first demonstration 5.
    assert few_shot(chat, Item("x"), demos, turns=True, budget=7).details["kept"] == (demos[1],)
    assert chat.prompts[1] == FewShotPrompt().messages(Item("x"), demos[1:])


def test_a_real_model_answers_and_keeps_its_weights():
    lm = text_model(context=96)
    weights = [p.data.copy() for p in lm.opened.lm.model.parameters()]
    demos = [Item(f"question {i}", f"answer {i}") for i in range(8)]
    answer = few_shot(lm, Item("question 9"), demos, max_tokens=8, seed=1)
    assert len(answer.details["dropped"]) == 6  # 29 bytes and a separator each, of 96 - 8
    assert lm.account.prompt_tokens + 8 <= lm.context
    chosen = few_shot(lm, Item("question 9", options=("up", "down")), demos)
    assert chosen.value in ("up", "down")
    after = [p.data for p in lm.opened.lm.model.parameters()]
    assert all((a == b).all() for a, b in zip(weights, after))


def test_an_answer_that_leaves_no_room_for_a_prompt_is_refused():
    lm = ScriptedLM({}, context=20)
    with pytest.raises(ConfigError, match="an answer of 20 tokens leaves no room"):
        few_shot(lm, Item("?"), max_tokens=20)
    with pytest.raises(DataError, match="and 1 are allowed"):
        zero_shot(lm, Item("two words"), max_tokens=19)


def test_a_turn_of_a_chat_may_have_paragraphs():
    reply = "First, add.\n\nThe sum is 5.\nQ: another?"
    demo = Item("1 + 1?", "2")
    chat = zero_shot(Chat([(None, reply)]), Item("2 + 3?"))
    assert chat.value == chat.text == "First, add.\n\nThe sum is 5."
    # A text that is continued goes on with another block; demonstrations show where one ends.
    assert zero_shot(ScriptedLM([(None, reply)]), Item("2 + 3?")).value == "First, add."
    assert few_shot(Chat([(None, reply)]), Item("2 + 3?"), [demo]).value == "First, add."
    dropped = few_shot(Chat([(None, reply)]), Item("2 + 3?"), [demo], budget=6)
    assert dropped.value == chat.value  # the demonstration had no room
    lines = FewShotPrompt(separator="\n")
    assert lines.stop_for(Chat([])) == lines.stop == ("\n",)
    assert lines.read("a\nb") == "a" and lines.read("a\nb", ()) == "a\nb"
