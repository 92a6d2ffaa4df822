"""Reinforcement learning from human feedback, or from any other reward   (book sections 4.3, 4.3.3)

    from tinylm.align.rlhf import train_policy
    from tinylm.models import GPT, GPTConfig

    policy = GPT(GPTConfig(vocab_size=6, context=16, n_layer=1, n_head=2, d_model=16))
    prompts, end = [[1], [2, 3], [4, 5, 1]], 0

    def reward(prompt, response):          # of ids; of_texts(function, tokenizer) for texts
        return float(response[-1] == end)

    options = {"batch_size": 3, "group": 4, "max_tokens": 4, "learning_rate": 1e-2}
    found = train_policy(policy, prompts, reward, "rloo", steps=25, eos=end, **options)
    print(found[0]["reward"], found[-1]["reward"])     # the share of responses that end in time

policy_trainer() makes the same to go through step by step, with state() and load_state() between
steps. Read in this order:

rollout.py     responses of the policy, drawn with the key-value cache, all rows at once
scoring.py     their rewards: a function, a reward model, a verifier
models.py      the four models: policy, reference, reward, value
experience.py  what an update needs to know of responses; batches of them
methods/       REINFORCE, A2C, RLOO, PPO, GRPO and its corrections
collect.py     sample and evaluate: the first half of a step, alone or with other workers
objective.py   the loss of a minibatch, with the checks and measures that go with it
trainer.py     sample, evaluate, update
train.py       train_policy and policy_trainer, by the name of a method
"""

from tinylm.align.rlhf.collect import PolicySettings
from tinylm.align.rlhf.methods import METHODS
from tinylm.align.rlhf.models import FourModels, four_models
from tinylm.align.rlhf.rollout import Rollout, roll_out
from tinylm.align.rlhf.scoring import of_texts
from tinylm.align.rlhf.train import method_class, policy_trainer, setting_names, train_policy
from tinylm.align.rlhf.trainer import PolicyTrainer

__all__ = [
    "METHODS",
    "FourModels",
    "PolicySettings",
    "PolicyTrainer",
    "Rollout",
    "four_models",
    "method_class",
    "of_texts",
    "policy_trainer",
    "roll_out",
    "setting_names",
    "train_policy",
]
