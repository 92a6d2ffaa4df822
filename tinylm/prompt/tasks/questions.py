"""Question answering: open-domain questions and word problems   (book section 3.1.4.5).

    Question: Which river flows through Vienna?
    Answer: ____

GSM8K's answers are worked solutions that end with "#### number", so a reply is read there and
nowhere else. Read next: multiple_choice.py; ../reasoning/, methods for such problems.
"""

from collections.abc import Sequence

from tinylm.data.measure.numbers import extract_gsm8k_answer
from tinylm.data.read.items import Item
from tinylm.prompt.answer import Answer
from tinylm.prompt.in_context.few_shot import FewShotPrompt, few_shot
from tinylm.prompt.in_context.fitted import fit_context
from tinylm.prompt.protocol.text_lm import TextLM

NAMED = FewShotPrompt(question_name="Question", answer_name="Answer")
WORKED = FewShotPrompt(conclusion="\n#### {}")


def answer_question(
    lm: TextLM,
    item: Item,
    demonstrations: Sequence[Item] = (),
    *,
    prompt: FewShotPrompt = NAMED,
    seed: int = 0,
    max_tokens: int = 32,
) -> Answer:
    """Answer an open-domain question: Answer, up to the end of its field.

    prompt  FewShotPrompt; by default "Question: .." and "Answer: .."
    """
    return few_shot(lm, item, demonstrations, prompt=prompt, seed=seed, max_tokens=max_tokens)


def answer_word_problem(
    lm: TextLM,
    item: Item,
    demonstrations: Sequence[Item] = (),
    *,
    prompt: FewShotPrompt = WORKED,
    seed: int = 0,
    max_tokens: int = 256,
) -> Answer:
    """Answer a word problem of GSM8K after worked solutions that end with "#### number".

    demonstrations  Items with rationale and answer
    returns         Answer: the number after the mark; None without one. details: "kept" and
                    "dropped" demonstrations
    """
    # Each demonstration: Q, the worked solution, "####" and the number.
    fitted = fit_context(
        lm, lambda kept: prompt.prompt(item, kept, rationale=True), demonstrations, max_tokens
    )
    stop = prompt.stop_for(lm, fitted.kept)  # a worked solution of a chat has paragraphs
    reply = lm.complete(fitted.text, stop=stop, seed=seed, max_tokens=max_tokens)
    value = lm.parsed("answer", extract_gsm8k_answer(reply.text))
    return Answer(value, reply.text, fitted.details)
