"""Textual gradients: a model criticizes a prompt by its errors, and revises it (ProTeGi, Pryzant et
al. 2023; book section 3.3.1).

    gradient = Critic(prompt, errors on a batch)        prompt' = Revise(prompt, errors, gradient)

The critique is to the prompt what a gradient is to weights: it names the direction in which the
prompt should change. Around it is a beam search: every prompt of the beam is revised in several
ways and paraphrased, and a bandit selects the next beam with few evaluations. Read first:
measures.py, bandit.py.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinylm.prompt.optimize.bandit import select_prompts, successive_rejects
from tinylm.prompt.optimize.estimate import Found, PromptEvaluator
from tinylm.prompt.optimize.paraphrase import lm_paraphrases
from tinylm.prompt.optimize.proposals import draw_seed, propose, tagged
from tinylm.prompt.protocol.text_lm import TextLM

CRITIC = """This is a prompt for a task:
{prompt}

With it, these examples were answered wrongly:
{errors}

Give {count} reasons why the prompt could have led to these errors, as a numbered list.
"""
REVISE = """This is a prompt for a task:
{prompt}

With it, these examples were answered wrongly:
{errors}

The problem of this prompt is: {reason}
Write {count} different improved prompts, each between <prompt> and </prompt>.
"""


@dataclass(frozen=True)
class Mistake:
    """An item and the wrong answer to it; None: the reply could not be read."""

    item: object
    answer: str | None

    @property
    def text(self) -> str:
        """The mistake as the critic reads it."""
        answer = self.answer or "(none)"
        return f"Input: {self.item.question}\nRight answer: {self.item.answer}\nAnswer: {answer}"


def mistakes(evaluate: PromptEvaluator, prompt: str, which: np.ndarray) -> list[Mistake]:
    """The examples of a batch that a prompt does not solve (a score below 1).

    evaluate  PromptEvaluator whose measure is a TaskMetric, which keeps the answers
    which     numbers of the batch's examples
    returns   list of Mistake, in the order of the batch
    """
    values = evaluate.values([prompt], which)[0]
    items = [evaluate.items[i] for i, value in zip(which, values) if value < 1]
    return [Mistake(item, evaluate.measure.given[prompt, item]) for item in items]


def gradients(
    lm: TextLM,
    prompt: str,
    wrong: Sequence[Mistake],
    count: int = 4,
    seed: int = 0,
    max_tokens: int = 256,
    **options: Any,
) -> list[str]:
    """Reasons for mistakes, written by a model: list of at most `count` str.

    wrong    list of Mistake
    options  of propose()
    """
    request = CRITIC.format(prompt=prompt, errors=_texts(wrong), count=count)
    options = {"begin": "1.", "per_reply": count, "rounds": 1, **options}
    return propose(lm, request, count, seed=seed, max_tokens=max_tokens, **options)


def revise(
    lm: TextLM,
    prompt: str,
    wrong: Sequence[Mistake],
    reason: str,
    count: int = 1,
    seed: int = 0,
    max_tokens: int = 256,
    **options: Any,
) -> list[str]:
    """Prompts that avoid a problem, written by a model: list of at most `count` str."""
    request = REVISE.format(prompt=prompt, errors=_texts(wrong), reason=reason, count=count)
    options = {"begin": "<prompt>", "read": tagged, "per_reply": count, "rounds": 1, **options}
    # A text without end tag goes on after the prompt, so there "\n\n" ends the reply too.
    return propose(lm, request, count, seed=seed, max_tokens=max_tokens, **options)


def _texts(wrong):
    return "\n\n".join(mistake.text for mistake in wrong)


def feedback_revise(
    lm: TextLM,
    prompt: str,
    wrong: Sequence[Mistake],
    rng: np.random.Generator,
    errors: int = 4,
    groups: int = 4,
    reasons: int = 1,
    revisions: int = 1,
    paraphrases: int = 2,
) -> list[str]:
    """Expand one prompt: critiques of groups of its mistakes, revisions, and paraphrases of these
    and of the prompt itself.

    lm           TextLM that criticizes and writes
    errors       mistakes that a critic reads at a time
    groups       such groups, each drawn from all mistakes
    reasons      of each group;  revisions  for each reason;  paraphrases  of each prompt
    returns      list of different str without the prompt
    """
    revised = []
    # A critic that reads few mistakes at a time finds what these have in common.
    for _ in range(groups):
        some = [wrong[i] for i in rng.permutation(len(wrong))[:errors]]
        if not some:
            break
        for reason in gradients(lm, prompt, some, reasons, draw_seed(rng)):
            revised += revise(lm, prompt, some, reason, revisions, draw_seed(rng))
    found = list(revised)
    if paraphrases:
        for old in dict.fromkeys([*revised, prompt]):
            found += lm_paraphrases(lm, old, paraphrases, draw_seed(rng))
    return [new for new in dict.fromkeys(found) if new != prompt]


def protegi(
    lm: TextLM,
    evaluate: PromptEvaluator,
    prompts: Sequence,
    width: int = 4,
    rounds: int = 6,
    batch: int = 64,
    most: int = 8,
    pulls: int = 300,
    algorithm: Callable = successive_rejects,
    held: Sequence[int] = (),
    seed: int = 0,
    **expansion: Any,
) -> Found:
    """Beam search with textual gradients: Found.

    lm         TextLM that criticizes and writes
    evaluate   PromptEvaluator with a TaskMetric, whose budget also ends the search
    prompts    the first prompts
    width      of the beam
    batch      examples on which a prompt's mistakes are sought
    most       new prompts of each member of the beam, drawn from all that were written
    pulls      evaluations in which a bandit selects the next beam
    algorithm  of bandit.py
    held       held-out examples, on which the winner is scored
    expansion  errors, groups, reasons, revisions, paraphrases of feedback_revise()
    """
    rng, beam = np.random.default_rng(seed), list(dict.fromkeys(prompts))
    with evaluate.search():
        for _ in range(rounds):
            # One batch for the whole beam, so that its members are criticized alike.
            new, which = [], rng.permutation(len(evaluate.items))[:batch]
            for prompt in beam:
                wrong = mistakes(evaluate, prompt, which)
                written = feedback_revise(lm, prompt, wrong, rng, **expansion)
                new += [written[i] for i in rng.permutation(len(written))[:most]]
            candidates = list(dict.fromkeys([*beam, *new]))  # the beam competes with its revisions
            beam = candidates
            if len(candidates) > width:
                beam = select_prompts(evaluate, candidates, width, pulls, rng, algorithm)
        evaluate(beam)
    return evaluate.found(held)
