"""What of chapter 3 learns from a reward   (book sections 3.2.2, 3.2.3, 3.3.1).

controller.py       when to decompose a problem: a decision process, by policy gradient
reward_feedback.py  reward models and verifiers as feedback for refinement
corrector.py        a corrector, trained on pairs of a worse and a better output
prompt_policy.py    RLPrompt: a frozen model with an adapter that writes prompts
prompt_reward.py    its reward: how well another model does with a prompt
"""

from tinylm.align.prompting.controller import (
    Controller,
    DecompositionProcess,
    controlled,
    train_controller,
)
from tinylm.align.prompting.corrector import CorrectionPool, corrected, draw_pairs
from tinylm.align.prompting.prompt_policy import PromptPolicy, prompt_loss, train_prompt_policy
from tinylm.align.prompting.prompt_reward import ClassificationReward, piecewise, z_scores
from tinylm.align.prompting.reward_feedback import reward_feedback, step_feedback

__all__ = [
    "ClassificationReward",
    "Controller",
    "CorrectionPool",
    "DecompositionProcess",
    "PromptPolicy",
    "controlled",
    "corrected",
    "draw_pairs",
    "piecewise",
    "prompt_loss",
    "reward_feedback",
    "step_feedback",
    "train_controller",
    "train_prompt_policy",
    "z_scores",
]
