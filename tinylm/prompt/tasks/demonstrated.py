"""A template's prompt after demonstrations in the same form   (book section 3.1.2).

    Rewrite this text in a formal tone.        filled in with a demonstration
    Hey, how are you?
    Hello, how are you?                        its answer

    Rewrite this text in a formal tone.        filled in with the item
    ..

in_context/few_shot.py does the same for questions and answers in fields. Read next: extraction.py;
transformation.py.
"""

from collections.abc import Sequence

from tinylm.data.read.items import Item
from tinylm.finetune.instruct.prompt_template import PromptTemplate
from tinylm.prompt.in_context.few_shot import answer_of
from tinylm.prompt.in_context.fitted import Fitted, fit_context
from tinylm.prompt.protocol.text_lm import TextLM
from tinylm.prompt.template.fields import reply_stops

BETWEEN = "\n\n"  # ends a demonstration, and so the reply of a model that would write another


def ends(lm: TextLM, demonstrations: Sequence[Item] = ()) -> tuple[str, ...]:
    """The stop strings of a model's reply to such a prompt: see reply_stops."""
    return reply_stops(lm, (BETWEEN,), demonstrations)


def demonstrated(
    template: PromptTemplate, item: Item, demonstrations: Sequence[Item] = (), slot: str = "text"
) -> str:
    """The prompt of a template for an item, after demonstrations and their answers.

    template        PromptTemplate with one slot left, for the item's question
    demonstrations  Items with answers
    slot            its name
    returns         str that ends where the answer begins: in a line break, if there is no blank
    raises          DataError for a demonstration without an answer
    """
    shown = [demonstration(template, demo, slot) for demo in demonstrations]
    # Without a blank the answer is on the next line, so the prompt ends with the line break. The
    # space before a blank belongs to the answer.
    prompt, space = template.pair("", **{slot: item.question})
    if space.strip(" "):
        prompt += space
    return BETWEEN.join([*shown, prompt])


def demonstration(template: PromptTemplate, item: Item, slot: str = "text") -> str:
    """A template's prompt for an item, and the item's answer: str. Arguments as in demonstrated."""
    return "".join(template.pair(answer_of(item), **{slot: item.question}))


def fit_demonstrated(
    lm: TextLM,
    template: PromptTemplate,
    item: Item,
    demonstrations: Sequence[Item],
    answer: int,
    slot: str = "text",
) -> Fitted:
    """`demonstrated` with as many demonstrations as leave room for an answer: Fitted.

    answer  its tokens at most
    """
    return fit_context(
        lm, lambda kept: demonstrated(template, item, kept, slot), demonstrations, answer
    )
