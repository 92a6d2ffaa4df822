"""One model, several prompts for one question: the answers are combined   (book section 3.2.4,
Fig. 3.2b, eq. 3.6).

    y_i = argmax over y of Pr(y | x_i), i = 1 .. K        y = Combine(y_1, .., y_K)

Combine is a vote, or the answer with the greatest overlap with the others, which also serves for
texts that are never equal to the letter. Read next: tokens.py, where the prompts agree on every
token; diversity.py, where different prompts come from.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from tinylm.data.read.items import Item
from tinylm.errors import ConfigError
from tinylm.finetune.instruct.prompt_template import PromptTemplate
from tinylm.prompt.answer import Answer
from tinylm.prompt.ensemble.combine import item_key, max_overlap, vote
from tinylm.prompt.evaluation.judge import answer_key
from tinylm.prompt.in_context.few_shot import FewShotPrompt, answer_of
from tinylm.prompt.in_context.fitted import Fitted, dropped_of, fit_context, fit_options
from tinylm.prompt.protocol.text_lm import TextLM
from tinylm.prompt.template.fields import reply_stops


@dataclass(frozen=True)
class Phrasing:
    """A prompt written as a template, with the methods of a FewShotPrompt.

    template   str with the slot {*text*} for the question; the answer is on the next line
    separator  between demonstrations
    """

    template: str
    separator: str = "\n\n"

    def prompt(self, item: Item, demonstrations: Sequence[Item] = ()) -> str:
        """The template, filled, after demonstrations in the same form: str."""
        form = PromptTemplate(self.template)
        shown = ["".join(form.pair(answer_of(demo), text=demo.question)) for demo in demonstrations]
        return self.separator.join([*shown, form.format(text=item.question)])

    def continuation(self, item: Item, answer: str) -> str:
        """What follows the prompt if this is the answer, with the white space before it."""
        _, ending = PromptTemplate(self.template).pair(answer, text=item.question)
        return ending

    @property
    def stop(self) -> tuple[str]:
        """The strings that end an answer."""
        return (self.separator,)

    def stop_for(self, lm: TextLM, demonstrations: Sequence[Item] = ()) -> tuple[str, ...]:
        """`stop` as it is for a model's reply after these demonstrations: see reply_stops."""
        return reply_stops(lm, self.stop, demonstrations)

    def read(self, reply: str, stop: str | Sequence[str] | None = None) -> str | None:
        """The answer in a reply, or None if it is empty.

        stop  the stop strings; None: self.stop
        """
        if stop is None:
            stop = self.stop
        text = reply.strip()
        for string in stop:
            text = text.partition(string)[0]
        return text.strip() or None


# A prompt is an object with prompt(item, demonstrations), stop_for(lm, demonstrations), read(reply,
# stop), and continuation(item, answer) where options are scored: a FewShotPrompt, or a Phrasing.

# The book's three prompts for making a text simpler.
SIMPLIFY = (
    Phrasing("Make this text simpler.\n{*text*}"),
    Phrasing("Condense and simplify this text.\n{*text*}"),
    Phrasing("Rewrite for easy reading.\n{*text*}"),
)
# Three forms of a question, for any task.
PHRASINGS = (
    FewShotPrompt(),
    FewShotPrompt(question_name="Question", answer_name="Answer"),
    FewShotPrompt("Answer the question.", question_name="Input", answer_name="Output"),
)


def texts_of(
    lm: TextLM,
    prompts: Sequence,
    item: Item,
    demonstrations: Sequence[Item] = (),
    max_tokens: int = 64,
) -> list[Fitted]:
    """The K prompts, each with as many demonstrations as it has room for: list of Fitted.

    max_tokens  of a reply; of an item with options their tokens count
    raises      ConfigError without a prompt
    """
    if not prompts:
        raise ConfigError("an ensemble of prompts needs at least one")
    found = []
    for prompt in prompts:

        def write(kept, prompt=prompt):
            return prompt.prompt(item, kept)

        if item.options:
            endings = [prompt.continuation(item, option) for option in item.options]
            found.append(fit_options(lm, write, demonstrations, endings))
        else:
            found.append(fit_context(lm, write, demonstrations, max_tokens))
    return found


def stops_of(lm: TextLM, prompts: Sequence, fitted: Sequence[Fitted]) -> list[tuple[str, ...]]:
    """The strings that end a model's answer to each of the prompts: list of tuples.

    fitted  as texts_of
    """
    return [prompt.stop_for(lm, one.kept) for prompt, one in zip(prompts, fitted)]


def vote_of(
    values: Sequence[str], weights: np.ndarray | None = None, key: Callable = answer_key
) -> tuple[str, dict[str, float]]:
    """Combine by vote: (the answer, {value: its share}). Arguments as in combine.vote."""
    ballot = vote(values, weights, key)
    return ballot.value, ballot.shares


COMBINE = {
    "vote": vote_of,
    "overlap": max_overlap,
}


def prompt_ensemble(
    lm: TextLM,
    item: Item,
    demonstrations: Sequence[Item] = (),
    *,
    seed: int = 0,
    max_tokens: int = 64,
    prompts: Sequence = PHRASINGS,
    combine: str = "vote",
) -> Answer:
    """Answer after each of several prompts, and combine the answers   (book eq. 3.6)

    lm       TextLM
    item     of one with options, every prompt takes the most probable option
    seed     not used: the most probable tokens are taken
    prompts  list of FewShotPrompts, Phrasings, or other objects with their methods
    combine  "vote", "overlap", or a function: list of answers (None where one could not be read)
             -> (answer or None, what it found)
    returns  Answer; details: answers, and "combined", what the combination found: the shares of a
             vote, the sums of overlaps; "dropped" demonstrations
    """
    if isinstance(combine, str):
        if combine not in COMBINE:
            raise ConfigError(
                f"prompt_ensemble: no combination {combine!r}; there are {', '.join(COMBINE)}"
            )
        combine = COMBINE[combine]
    if combine is vote_of:
        combine = partial(vote_of, key=item_key(item))
    fitted = texts_of(lm, prompts, item, demonstrations, max_tokens)
    answers, last = _answers(lm, item, fitted, prompts, seed, max_tokens)
    value, combined = combine(answers)
    details = {"answers": answers, "combined": combined, "dropped": dropped_of(fitted)}
    return Answer(lm.parsed("answer", value), last, details)


def _answers(lm, item, fitted, prompts, seed, max_tokens):
    """(the K answers, the last text): y_i = argmax over y of Pr(y | x_i)."""
    texts = [one.text for one in fitted]
    if item.options:
        # The argmax over a few options is exact: each of them is scored.
        endings = [[form.continuation(item, y) for y in item.options] for form in prompts]
        found = [item.options[scores.best()] for scores in lm.score_batch(texts, endings)]
        return found, found[-1]
    # Prompts whose answers end in the same way are completed in one batch.
    replies = [None] * len(prompts)
    stops = stops_of(lm, prompts, fitted)
    for stop in dict.fromkeys(stops):
        rows = [k for k in range(len(prompts)) if stops[k] == stop]
        found = lm.complete_batch(
            [texts[k] for k in rows], stop=stop, max_tokens=max_tokens, seed=seed
        )
        for k, reply in zip(rows, found):
            replies[k] = reply
    answers = [form.read(reply.text, stop) for form, reply, stop in zip(prompts, replies, stops)]
    return answers, replies[-1].text
