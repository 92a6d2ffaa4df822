"""Chain-of-thought prompting: the steps before the answer   (book section 3.2.1; Wei et al. 2022;
Kojima et al. 2022).

    few-shot      demonstrations show steps, so the reply has steps too
    zero-shot     the reply begins with "Let's think step by step."
    two stages    the steps of the zero-shot reply, then "Therefore, the answer is" after them

A transformer has a fixed depth for each token it writes. Steps give it more tokens, and each step
can read the ones before it. Read next: calculator.py.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from tinylm.data.read.items import Item
from tinylm.errors import DataError
from tinylm.prompt.answer import Answer
from tinylm.prompt.in_context.few_shot import FewShotPrompt
from tinylm.prompt.in_context.fitted import Fitted, fit_context
from tinylm.prompt.protocol.text_lm import TextLM
from tinylm.prompt.reasoning.calculator import calculate
from tinylm.prompt.reasoning.calculator_loop import complete_with_calculator
from tinylm.prompt.reasoning.conclusion import LETTERS, read_conclusion, reader, with_options
from tinylm.prompt.reasoning.second_call import SecondCall
from tinylm.prompt.template.fields import stop_strings

TRIGGERS = (
    "Let's think step by step.",
    "Let's think logically.",
    "Please show me your thinking steps first.",
)
EXTRACT = "\nTherefore, the answer is"


def with_trigger(prompt: str, trigger: str = TRIGGERS[0]) -> str:
    """The prompt with the sentence at its end, once   (book section 3.1.3)."""
    # Applied twice it changes nothing.
    if prompt.endswith(trigger):
        return prompt
    if prompt and not prompt[-1].isspace():
        return f"{prompt} {trigger}"
    return f"{prompt}{trigger}"


def cot_prompt(
    item: Item, demonstrations: Sequence[Item] = (), prompt: FewShotPrompt | None = None
) -> str:
    """The few-shot prompt whose demonstrations have their rationale before the answer: str.

    A multiple-choice question is given with its options, and its answer as (a), (b), ..
    raises   DataError for a demonstration without answer or rationale
    """
    prompt = prompt or FewShotPrompt()
    # The options are a part of the question, so a chain ends with a letter: "The answer is (b)."
    shown = [replace(_asked(demo), answer=_lettered(demo)) for demo in demonstrations]
    return prompt.prompt(_asked(item), shown, rationale=True)


def fitted_cot_prompt(
    lm: TextLM,
    item: Item,
    demonstrations: Sequence[Item],
    prompt: FewShotPrompt,
    max_tokens: int,
    begin: str = "",
) -> Fitted:
    """cot_prompt with as many demonstrations as leave room for a reply: Fitted.

    begin  text that the reply is made to begin with
    """

    def write(kept):
        return cot_prompt(item, kept, prompt)

    return fit_context(lm, write, demonstrations, max_tokens, begin)


def _asked(item):
    """The item with its options in the question."""
    return replace(item, question=with_options(item), options=(), answer=None)


def _lettered(demo):
    """The answer as a demonstration states it."""
    if not demo.options or demo.answer is None:
        return demo.answer
    return f"({LETTERS[demo.gold]})"


def chain_of_thought(
    lm: TextLM,
    item: Item,
    demonstrations: Sequence[Item] = (),
    *,
    prompt: FewShotPrompt | None = None,
    read: Callable | None = None,
    calculator: bool = False,
    seed: int = 0,
    max_tokens: int = 256,
    **sampling: Any,
) -> Answer:
    """Few-shot chain of thought   (Wei et al. 2022)

    demonstrations  Items with answer and rationale; without any, the prompt is that of zero-shot
                    prompting, but a reply without "the answer is" has no answer
    prompt          FewShotPrompt; None: "Q: .. A: .."
    read            reader of the answer (conclusion.py); None: by the item
    calculator      True: the annotations <<a=b>> of the reply are computed (calculator_loop.py), or
                    by a function like `calculate`; False: the model does
    returns         Answer; details: "rationale", "finish", "computed"; "kept" and "dropped"
                    demonstrations
    """
    prompt = prompt or FewShotPrompt()
    fitted = fitted_cot_prompt(lm, item, demonstrations, prompt, max_tokens)
    # One reply (r, a) ~ Pr(. | (x_1, r_1, a_1), .., (x_k, r_k, a_k), x): rationale, then answer.
    stop = prompt.stop_for(lm, fitted.kept)
    options = {"stop": stop, "max_tokens": max_tokens, "seed": seed, **sampling}
    answer = _answer(lm, item, fitted.text, read, calculator, options, fitted.kept)
    answer.details.update(fitted.details)
    return answer


def zero_shot_cot(
    lm: TextLM,
    item: Item,
    demonstrations: Sequence[Item] = (),
    *,
    trigger: str = TRIGGERS[0],
    prompt: FewShotPrompt | None = None,
    read: Callable | None = None,
    calculator: bool | Callable = False,
    seed: int = 0,
    max_tokens: int = 256,
    **sampling: Any,
) -> Answer:
    """The reply begins with a trigger sentence, and its conclusion is the answer   (Kojima et al.
    2022). Demonstrations are not used.

    trigger  text that the reply begins with; any other sentence is a control
    returns  Answer; details: "rationale", "finish", "computed"; the others as chain_of_thought
    """
    text, options = zero_shot_prompt(lm, item, prompt, trigger)
    options.update(max_tokens=max_tokens, seed=seed, **sampling)
    return _answer(lm, item, text, read, calculator, options)


def two_stage_cot(
    lm: TextLM,
    item: Item,
    demonstrations: Sequence[Item] = (),
    *,
    trigger: str = TRIGGERS[0],
    extract: str = EXTRACT,
    prompt: FewShotPrompt | None = None,
    read: Callable | None = None,
    calculator: bool | Callable = False,
    seed: int = 0,
    max_tokens: int = 256,
    answer_tokens: int = 32,
    **sampling: Any,
) -> Answer:
    """Zero-shot chain of thought, and a second call for the answer   (Kojima et al. 2022)

    The second prompt is the first one, the reply to it, and the extracting sentence: whatever comes
    next is the answer, and no mark is looked for. Demonstrations are not used.

    max_tokens     of the steps;  answer_tokens  of the answer; both as far as the context allows
                   (second_call.py)
    returns        Answer; details: "rationale", "finish" of the steps, "computed"
    """
    text, options = zero_shot_prompt(lm, item, prompt, trigger)
    second = SecondCall.of(lm, text, options["begin"], extract, answer_tokens)
    options.update(max_tokens=second.steps(max_tokens), seed=seed, **sampling)
    # Stage 1: r ~ Pr(. | x, trigger)
    steps, computed = _reply(lm, text, calculator, options)
    rationale = lm.parsed("rationale", steps.text.strip())
    # Stage 2: a ~ Pr(. | x, trigger, r, "Therefore, the answer is")
    options.update(begin=second.after(lm, steps.text), max_tokens=second.answer)
    reply = lm.complete(text, **options)
    value = lm.parsed("answer", (read or reader(item))(reply.text.strip(), item))
    details = {"rationale": rationale, "finish": steps.finish, "computed": computed}
    return Answer(value, reply.text, details)


def zero_shot_prompt(
    lm: TextLM, item: Item, prompt: FewShotPrompt, trigger: str
) -> tuple[str, dict[str, Any]]:
    """(prompt, {"begin", "stop"} of the call): the trigger begins the reply."""
    if not trigger.strip():
        raise DataError("zero-shot chain of thought needs a sentence for the reply to begin with")
    prompt = prompt or FewShotPrompt()
    names = (prompt.question_name, prompt.answer_name)
    # Steps may have blank lines, so only the next field ends them.
    stop = stop_strings([name for name in names if name]) or prompt.stop_for(lm)
    return cot_prompt(item, (), prompt), {"begin": f" {trigger}", "stop": stop}


def _reply(lm, text, calculator, options):
    """(reply, computed annotations)."""
    if not calculator:
        return lm.complete(text, **options), []
    if calculator is True:
        calculator = calculate
    reply = complete_with_calculator(lm, text, calculator=calculator, **options)
    return reply, reply.computed


def _answer(lm, item, text, read, calculator, options, demonstrations=()):
    """The Answer of one call: its reply has steps and a conclusion."""
    reply, computed = _reply(lm, text, calculator, options)
    rationale, value = read_conclusion(reply.text, item, read, demonstrations)
    lm.parsed("answer", value)
    details = {"rationale": rationale, "finish": reply.finish, "computed": computed}
    return Answer(value, reply.text, details)
