"""Reward models: a number for a prompt and a response   (book sections 4.3.2, 4.4.1, 4.4.4).

Losses of scores, pure functions:

pairwise.py   which of two is better: Bradley-Terry, with a margin, with ties, with soft labels
rankings.py   a ranking of N: all pairs, Plackett-Luce, RankNet, ListNet
pointwise.py  a rating, or a side: regression, hinge

Models of rewards:

reward_model.py  a head on a decoder: one number for a text, or one for every token
modeling.py      its training on pairs, with finetune.fit
placement.py     where in a response a reward stands
shaping.py       potentials that make rewards dense, and a process that is solved exactly

Rewards of parts:

segments.py          how a response is cut into segments, and scores of segments
prompted_segments.py segments that a language model finds
marked.py            texts with a label at the end of each part
segment_modeling.py  a value model trained on scores of segments
process_model.py     a model that labels the steps of a solution
process_rewards.py   rewards of a solution by its answer, or by its steps
step_labels.py       labels of steps from the marks of real solutions

Several rewards:

ensemble.py  models combined: mean, minimum, less where they disagree, Bayesian
fusion.py    a combination that is learned
pareto.py    rewards that cannot all be high
"""

from tinylm.align.rewards.ensemble import RewardEnsemble
from tinylm.align.rewards.modeling import RewardModeling, bench_accuracy
from tinylm.align.rewards.pairwise import (
    pairwise_loss,
    preference_accuracy,
    preference_probability,
    soft_pairwise_loss,
)
from tinylm.align.rewards.placement import place_segment_rewards, place_terminal_reward
from tinylm.align.rewards.pointwise import hinge_loss, pointwise_loss
from tinylm.align.rewards.process_model import ProcessModeling, ProcessRewardModel
from tinylm.align.rewards.rankings import (
    listnet_loss,
    listwise_pairwise_loss,
    plackett_luce_loss,
    ranknet_loss,
)
from tinylm.align.rewards.reward_model import RewardModel, ValueModel
from tinylm.align.rewards.segment_modeling import SegmentModeling

__all__ = [
    "ProcessModeling",
    "ProcessRewardModel",
    "RewardEnsemble",
    "RewardModel",
    "RewardModeling",
    "SegmentModeling",
    "ValueModel",
    "bench_accuracy",
    "hinge_loss",
    "listnet_loss",
    "listwise_pairwise_loss",
    "pairwise_loss",
    "place_segment_rewards",
    "place_terminal_reward",
    "plackett_luce_loss",
    "pointwise_loss",
    "preference_accuracy",
    "preference_probability",
    "ranknet_loss",
    "soft_pairwise_loss",
]
