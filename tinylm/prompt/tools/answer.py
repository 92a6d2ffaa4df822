"""Answering a question with tools at hand   (book section 3.2.5).

    You may use external tools, such as web search, to assist you.
    Question: Where will the 2028 Olympics be held?
    Answer: Information regarding this question is given as follows:
            {tool: web-search, query: "2028 Olympics"}       <- replaced by what was found
            So the answer is: Los Angeles

Read next: retrieval_in_inference.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tinylm.data.read.items import Item
from tinylm.errors import DataError
from tinylm.prompt.answer import Answer, check_counts
from tinylm.prompt.in_context.fitted import fit_context
from tinylm.prompt.protocol.text_lm import TextLM
from tinylm.prompt.reasoning.conclusion import read_conclusion, with_options
from tinylm.prompt.template.fields import render_fields, stop_strings
from tinylm.prompt.tools.loop import complete_with_tools
from tinylm.prompt.tools.registry import Tools, calculator

INSTRUCTION = (
    "Your task is to answer the following question. You may use external tools, such as web "
    "search, to assist you."
)
SYNTAX = (
    "To use a tool, write {tool: NAME, ARGUMENT: VALUE}. Its result will stand in this place. "
    "End with the words: So the answer is"
)
NAMES = "Question", "Answer"


@dataclass(frozen=True)
class ToolPrompt:
    """How a question with tools is written.

    instruction  the task
    explain      True: the form of a call, and a line for each tool; False: the book's bare prompt,
                 for a model that was fine-tuned to call tools
    """

    instruction: str = INSTRUCTION
    explain: bool = True

    def prompt(self, item: Item, tools: Tools, demonstrations: Sequence[Item] = ()) -> str:
        """The prompt for a question.

        tools           Tools
        demonstrations  Items with answers; a rationale holds calls as the model shall write them
        raises          DataError for a demonstration without an answer
        """
        notes = [self.instruction]
        if self.explain:
            notes += [SYNTAX, "Tools:", tools.describe()]
        blocks = []
        for demonstration in demonstrations:
            if demonstration.answer is None:
                raise DataError(
                    f"ToolPrompt: the demonstration {demonstration.question!r:.60} has no answer"
                )
            solution = f"So the answer is: {demonstration.answer}"
            # Its calls stay calls: a demonstration shows what to write, not what a tool returns.
            if demonstration.rationale:
                solution = f"{demonstration.rationale} {solution}"
            blocks.append(list(zip(NAMES, (with_options(demonstration), solution))))
        blocks.append(list(zip(NAMES, (with_options(item), None))))
        blocks[0] = [("", "\n".join(notes)), *blocks[0]]
        return "\n\n".join(render_fields(block) for block in blocks)


FORM = ToolPrompt()


def tool_answer(
    lm: TextLM,
    item: Item,
    demonstrations: Sequence[Item] = (),
    *,
    tools: Tools | None = None,
    form: ToolPrompt = FORM,
    seed: int = 0,
    max_tokens: int = 256,
    max_calls: int = 8,
    **sampling: Any,
) -> Answer:
    """The answer to a question by a model that may call tools.

    lm              TextLM
    tools           Tools (registry.py); None: a calculator alone
    demonstrations  as in ToolPrompt.prompt
    returns         Answer. value: what follows "the answer is", None without these words. text: the
                    reply with results in the place of calls. details: calls (list of ToolCall),
                    finish, unfinished (loop.ToolText); kept and dropped demonstrations
    """
    check_counts("tool_answer", least=0, max_calls=max_calls)
    if tools is None:
        tools = Tools({"calculator": calculator})
    fitted = fit_context(
        lm, lambda kept: form.prompt(item, tools, kept), demonstrations, max_tokens
    )
    # y ~ Pr(. | x, results so far)
    found = complete_with_tools(
        lm,
        fitted.text,
        tools,
        max_tokens=max_tokens,
        stop=stop_strings(NAMES[:1]),
        seed=seed,
        max_calls=max_calls,
        **sampling,
    )
    _, value = read_conclusion(found.text, item, None, demonstrations)
    lm.parsed("answer", value)
    details = {"calls": found.calls, "finish": found.finish, "unfinished": found.unfinished}
    return Answer(value, found.text, details | fitted.details)
