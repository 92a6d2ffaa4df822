"""What a prompt is worth on one example   (book section 3.3.1).

    s(x, u, v) = metric(LM(x, u), v)           the answer is generated, or chosen, and compared
    s(x, u, v) = log Pr(v | x, u)              no text is generated, and every prompt gets a grade

The first is the goal itself but steps from 0 to 1; the second tells good prompts apart where all
answers are wrong, and may rank them otherwise. Both are measures of a PromptEvaluator. Read first:
estimate.py.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from tinylm.data.read.items import Item
from tinylm.prompt.evaluation.judge import answer_key
from tinylm.prompt.in_context.few_shot import FewShotPrompt
from tinylm.prompt.protocol.text_lm import TextLM

if TYPE_CHECKING:
    from tinylm.prompt.rag.prompt import RagPrompt


def same_answer(value: str | None, gold: str) -> float:
    """1.0 if two answers have the same words, as SQuAD's exact match, or the same number, by the
    rule of all votes (judge.answer_key); 0.0 for no answer.
    """
    return float(value is not None and answer_key(value) == answer_key(gold))


class _Measure:
    """What both measures have in common: the prompts and their form."""

    def __init__(self, lm, form=None, demonstrations=()):
        self.lm, self.demonstrations = lm, tuple(demonstrations)
        self.form = form or FewShotPrompt()

    def prompt(self, instruction, item):
        """The whole prompt of an instruction for an item: str."""
        form = dataclasses.replace(self.form, instruction=instruction)
        return form.prompt(item, self.demonstrations)

    def _scores(self, pairs, endings):
        """Scores of each pair's endings, lists of texts that may follow its prompt."""
        found = [None] * len(pairs)
        # A batch for each instruction: what its prompts begin with is read once.
        for instruction in dict.fromkeys(instruction for instruction, _ in pairs):
            rows = [r for r, (own, _) in enumerate(pairs) if own == instruction]
            prompts = [self.prompt(*pairs[r]) for r in rows]
            scores = self.lm.score_batch(prompts, [endings[r] for r in rows])
            for r, score in zip(rows, scores):
                found[r] = score
        return found


class TaskMetric(_Measure):
    """metric(answer of the model, gold answer), for every pair of (instruction, Item).

    An item with options gets the most probable of them, another the text up to a stop string.

    lm              TextLM
    form            FewShotPrompt whose instruction is replaced; None: "Q: .. A: .."
    demonstrations  Items that every prompt shows
    metric          function(answer or None, gold) -> number
    normalization   of the options' scores, as in Scores.by

    given   {(instruction, Item): answer or None} of every pair so far, for a critic to read
    """

    def __init__(
        self,
        lm: TextLM,
        form: FewShotPrompt | None = None,
        demonstrations: Sequence[Item] = (),
        metric: Callable = same_answer,
        normalization: str = "sum",
        max_tokens: int = 32,
    ) -> None:
        super().__init__(lm, form, demonstrations)
        self.metric, self.normalization, self.max_tokens = metric, normalization, max_tokens
        self.given = {}

    def answers(self, pairs: Sequence[tuple[str, Item]]) -> list:
        """The answer to each pair: str, or None where a reply has none."""
        # Items with and without options in a batch each; the order of the pairs is kept.
        found = [None] * len(pairs)
        choices = [r for r, (_, item) in enumerate(pairs) if item.options]
        texts = [r for r, (_, item) in enumerate(pairs) if not item.options]
        items = [pairs[r][1] for r in choices]
        endings = [[self.form.continuation(item, o) for o in item.options] for item in items]
        scores = self._scores([pairs[r] for r in choices], endings)
        for r, item, score in zip(choices, items, scores):
            found[r] = item.options[score.best(self.normalization)]
        prompts = [self.prompt(*pairs[r]) for r in texts]
        stop = self.form.stop_for(self.lm, self.demonstrations)
        options = {"max_tokens": self.max_tokens, "stop": stop}
        for r, reply in zip(texts, self.lm.complete_batch(prompts, **options)):
            found[r] = self.form.read(reply.text, stop)
        return found

    def __call__(self, pairs: Sequence[tuple[str, Item]]) -> list[float]:
        """list of metric(answer, gold)."""
        answers = self.answers(pairs)
        self.given.update(zip(pairs, answers))
        return [self.metric(answer, item.answer) for answer, (_, item) in zip(answers, pairs)]


class LogLikelihood(_Measure):
    """log Pr(gold answer | instruction, question) in nats, for every pair of (instruction, Item).

    Arguments as in TaskMetric; normalization "token" gives the mean over the answer's tokens, which
    is minus the cross-entropy.
    """

    def __init__(
        self,
        lm: TextLM,
        form: "RagPrompt | None" = None,
        demonstrations: Sequence[Item] = (),
        normalization: str = "sum",
    ) -> None:
        super().__init__(lm, form, demonstrations)
        self.normalization = normalization

    def __call__(self, pairs: Sequence[tuple[str, Item]]) -> list[float]:
        """list of log-likelihoods."""
        # A score for each pair: y is the gold answer alone, after its prompt.
        endings = [[self.form.continuation(item, item.answer)] for _, item in pairs]
        scores = self._scores(pairs, endings)
        return [float(score.by(self.normalization)[0]) for score in scores]
