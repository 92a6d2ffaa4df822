"""Several chains of thought for one question, and the answer that each of them reaches   (book
section 3.2.4).

They are what self-consistency votes on and what a verifier scores. With demonstrations that have
rationales the model follows their form; without, the reply begins with "Let's think step by step.",
and a chain that ends without an answer is continued by "Therefore, the answer is" (Kojima et al.
2022). Read next: self_consistency.py, outputs.py.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tinylm.data.read.items import Item
from tinylm.errors import ConfigError
from tinylm.prompt.answer import check_counts
from tinylm.prompt.in_context.few_shot import FewShotPrompt
from tinylm.prompt.protocol import Completion
from tinylm.prompt.protocol.text_lm import TextLM
from tinylm.prompt.reasoning.chain_of_thought import (
    EXTRACT,
    TRIGGERS,
    fitted_cot_prompt,
    zero_shot_prompt,
)
from tinylm.prompt.reasoning.conclusion import reader, split_conclusion
from tinylm.prompt.reasoning.second_call import SecondCall


@dataclass(frozen=True)
class Path:
    """A chain of thought.

    reply   Completion
    answer  str that it reaches, or None
    fitted  "kept" and "dropped" demonstrations of its prompt; {} without any
    """

    reply: Completion
    answer: str | None
    fitted: dict = field(default_factory=dict)


def sample_paths(
    lm: TextLM,
    item: Item,
    demonstrations: Sequence[Item] = (),
    *,
    count: int,
    seed: int = 0,
    max_tokens: int = 256,
    temperature: float = 0.7,
    prompt: FewShotPrompt | None = None,
    trigger: str = TRIGGERS[0],
    extract: str | None = EXTRACT,
    answer_tokens: int = 32,
    read: Callable | None = None,
) -> list[Path]:
    """Sample chains of thought: list of `count` Path.

    demonstrations  Items with rationales; none: the reply begins with the trigger
    prompt          FewShotPrompt; None: "Q: .. A: .."
    extract         text with which a chain of the zero-shot form that has no conclusion goes on;
                    what follows, most probable token by token, is the answer. None: there is none
    answer_tokens   most tokens of an answer after `extract`; the chains leave room for it
    read            reader of the answer (reasoning/conclusion.py); None: by the item
    raises          ConfigError for a count below 1
    """
    check_counts("sample_paths", answer_tokens=answer_tokens)
    if count < 1:
        raise ConfigError(f"sample_paths: sample 1 chain of thought or more, not {count}")
    prompt, second, details = prompt or FewShotPrompt(), None, {}
    options: dict[str, Any]
    if demonstrations:
        fitted = fitted_cot_prompt(lm, item, demonstrations, prompt, max_tokens)
        text, details = fitted.text, fitted.details
        options = {"stop": prompt.stop_for(lm, fitted.kept)}  # they show how a chain ends
    else:
        text, options = zero_shot_prompt(lm, item, prompt, trigger)
        if extract is not None:
            second = SecondCall.of(lm, text, options["begin"], extract, answer_tokens)
            max_tokens = second.steps(max_tokens)
    # All chains are rows of one batch: the prompt is read once, and then each row has its own seed.
    replies = lm.sample(
        text, count, seed, max_tokens=max_tokens, temperature=temperature, **options
    )
    conclusions = [split_conclusion(reply.text)[1] for reply in replies]
    if second is not None:
        conclusions = _extracted(lm, text, replies, conclusions, second, options["stop"], seed)
    read = read or reader(item, demonstrations)
    paths = []
    for reply, conclusion in zip(replies, conclusions):
        answer = None  # a chain without a conclusion reaches no answer: none is guessed from it
        if conclusion is not None:
            answer = read(conclusion, item)
        paths.append(Path(reply, answer, details))
    lm.parsed("answers", [path.answer for path in paths])
    return paths


def _extracted(lm, text, replies, conclusions, second, stop, seed):
    """The conclusions, with an answer after `extract` where a chain has none (None).

    second  SecondCall
    """
    going_on = [i for i, conclusion in enumerate(conclusions) if conclusion is None]
    # The chains are fixed now, and their answers are no further chance: one seed for all.
    found = lm.complete_batch(
        [text] * len(going_on),
        begin=[second.after(lm, replies[i].text) for i in going_on],
        stop=stop,
        max_tokens=second.answer,
        seed=[seed] * len(going_on),
    )
    completed = list(conclusions)
    for i, reply in zip(going_on, found):
        completed[i] = reply.text.strip()
    return completed
