"""The methods, each a few lines on the losses of tinylm/align/policy.

method.py     what a method is; the penalty on leaving the reference
on_policy.py  REINFORCE, A2C, RLOO
ppo.py        PPO: several updates for each rollout
grpo.py       GRPO, DrGRPO, DAPO, GSPO, CISPO
"""

from tinylm.align.rlhf.methods.grpo import CISPO, DAPO, GRPO, GSPO, DrGRPO
from tinylm.align.rlhf.methods.method import Method
from tinylm.align.rlhf.methods.on_policy import A2C, RLOO, Reinforce
from tinylm.align.rlhf.methods.ppo import PPO

METHODS = {
    "reinforce": Reinforce,
    "a2c": A2C,
    "ppo": PPO,
    "rloo": RLOO,
    "grpo": GRPO,
    "dr_grpo": DrGRPO,
    "dapo": DAPO,
    "gspo": GSPO,
    "cispo": CISPO,
}
