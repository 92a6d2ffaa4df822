"""Reward models and verifiers as feedback for refinement   (book section 3.2.3; Pan et al. 2024).

    reward model      "The quality of this response is 0.37."        a number, in words
    process verifier  "Step 2 is probably wrong: 5 - 1 = 3"           where to begin

Both are sources of feedback as prompt/refine/feedback.py has them: a function (lm, item, draft,
**options) -> Feedback. A score that is learnt may be wrong; refinement then moves towards what it
likes. Read first: prompt/refine/self_refine.py. Read next: corrector.py.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from tinylm.align.rewards.process_model import ProcessRewardModel
from tinylm.align.rewards.reward_model import RewardModel
from tinylm.align.rewards.step_labels import solution_steps
from tinylm.align.verifiers.scorers import first_wrong_step, step_probabilities
from tinylm.prompt.refine.feedback import Feedback, score_feedback


def reward_score(model: RewardModel, read: Callable) -> Callable:
    """The score of a RewardModel: function (question, draft) -> float.

    read   function (question, draft) -> (ids, list of ids of steps), as of training
           (verifiers/paths.py)
    """

    def score(question, draft):
        opened, steps = read(question, draft)
        ids = np.concatenate([np.asarray(part, np.int64) for part in (opened, *steps)])
        return float(model.score([ids])[0])

    return score


def reward_feedback(model: RewardModel, read: Callable, **options: Any) -> Callable:
    """Feedback from a RewardModel: its score in words, a source.

    options  of score_feedback: text
    """
    return score_feedback(reward_score(model, read), **options)


def step_feedback(
    model: ProcessRewardModel,
    read: Callable,
    least: float = 0.5,
    text: str = "Step {number} is probably wrong: {step}",
    enough: str = "Every step is probably right.",
) -> Callable:
    """Feedback from a ProcessRewardModel: the first step that is probably wrong, a source.

    read     function (question, draft) -> (ids, list of ids): one for each line of the draft
    least    probability below which a step is taken for wrong
    text     with the fields number (from 1) and step of str.format
    enough   the text where no step is below it: refinement may end
    returns  source; the score is the probability of the weakest step, 0 for a draft without a step
    """

    def source(lm, item, draft, **options):
        opened, steps = read(item.question, draft)
        if not steps:
            return Feedback("There is no step.", score=0.0)
        (p,) = step_probabilities(model, [(opened, steps)])
        wrong = first_wrong_step(p, least)
        if wrong is None:
            return Feedback(enough, score=float(p.min()), enough=True)
        shown = solution_steps(draft)[wrong].strip()
        return Feedback(text.format(number=wrong + 1, step=shown), score=float(p.min()))

    return source
