"""Makes aligned_losses.json: what torchtune, verl, an older TRL and OpenAI's weak-to-strong give
for the losses of alignment that the TRL of trl_losses.py does not have.

Run once, by hand, away from tinylm; nothing is fetched:

    pip install torch==2.13.0 torchtune==0.6.1 torchao==0.10.0 trl==0.19.1 transformers==4.53.3
    pip install --no-deps verl==0.9.1
    pip install ray codetiming hydra-core peft torchdata 'tensordict<=0.10.0'
    PYTHONPATH=tests python -m oracle.aligned_losses loss.py

loss.py is the file weak_to_strong/loss.py of github.com/openai/weak-to-strong at COMMIT, which no
registry holds. Each entry of the file names the package and the function that gave it; what differs
from tinylm is said beside the entry in tests/align/test_against_others.py, which compares the two,
and is read next.
"""

import json
import runpy
import sys
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from . import trl_losses
from .trl_losses import wave

FILE = Path(__file__).with_suffix(".json")
COMMIT = "15a0fab38b253713b407ebe5db92fe4bb0f69a76"
PACKAGES = ("torch", "torchtune", "trl", "transformers", "verl")
CLIP, VALUE_CLIP, LOW, HIGH, BOUND = 0.2, 0.15, 0.2, 0.28, 1.8
GAMMA, LAMBDA, KL_WEIGHT = 0.97, 0.9, 0.07
BETA, GOOD, BAD, TEMPERATURE = 0.3, 1.2, 0.8, 1.7
OWN = 0.35  # the weight of a strong model's own answers
PROMPT, STEPS, RIGHT = "2 + 3 * 4", ("3 * 4 = 12", "2 + 12 = 15", "15"), (True, False, False)


def case():
    """trl_losses.case() with what PPO, the confidence loss and steps of a solution need.

    (8, 5) tokens at most; values and rewards are 0 where no token counts.
    """
    given = trl_losses.case()
    counted, logp = given["counted"], given["logp"]
    here = lambda number, size: np.where(counted, size * wave(number, 8, 5), 0.0)  # noqa: E731
    weak = 1 / (1 + np.exp(-2 * wave(14, 10)))  # probability of class 1
    return given | {
        "far": np.where(counted, logp - 1.1 * wave(8, 8, 5), 0.0),  # ratios from 1/3 to 3
        "each": here(9, 1.5),  # advantages of tokens
        "values": here(10, 0.8),
        "old_values": here(10, 0.8) - here(11, 0.4),
        "token_rewards": here(12, 0.6),
        "logits": 3 * wave(13, 10, 2),
        "weak": np.stack([1 - weak, weak], axis=1),
        "step_logits": 2 * wave(15, 1, 40, 2),
    }


def derivatives(loss, *inputs):
    """[value, derivative by each input]"""
    loss.backward()
    return [loss.item(), *(x.grad.tolist() for x in inputs)]


def of_torchtune(torch, given):
    """PPO's two losses, rewards, returns and advantages, and divergences (in float32)."""
    from torchtune import rlhf
    from torchtune.modules.loss.kd_losses import ForwardKLLoss, ReverseKLLoss
    from torchtune.rlhf.loss import PPOLoss

    counted = given["counted"]
    rewards = rlhf.get_rewards_ppo(
        given["rewards"], given["logp"], given["reference"], KL_WEIGHT, counted.sum(dim=1) - 1
    )[0]
    advantages, returns = rlhf.estimate_advantages(
        given["old_values"], given["token_rewards"], GAMMA, LAMBDA, counted
    )
    logp, values = (given[name].clone().requires_grad_() for name in ("logp", "values"))
    ppo = PPOLoss(epsilon=CLIP, value_clip_range=VALUE_CLIP, value_coeff=1.0)
    both, policy, value, _, clipped = ppo(
        given["old"], logp, given["each"], given["old_values"], values, returns, counted, counted
    )
    _, *slopes = derivatives(both, logp, values)
    labels = torch.where(counted, 0, -100)
    logits = given["student"] / TEMPERATURE, given["teacher"] / TEMPERATURE
    return {
        "rlhf.get_rewards_ppo": rewards.tolist(),
        "rlhf.estimate_advantages, advantages": advantages.tolist(),
        "rlhf.estimate_advantages, returns": returns.tolist(),
        "rlhf.loss.PPOLoss, policy": [policy.item(), slopes[0]],
        "rlhf.loss.PPOLoss, value": [value.item(), slopes[1]],
        "rlhf.loss.PPOLoss, clipped": clipped.item(),
        "modules.loss.ForwardKLLoss": ForwardKLLoss()(*logits, labels).item(),
        "modules.loss.ReverseKLLoss": ReverseKLLoss()(*logits, labels).item(),
    }


def of_verl(torch, given):
    """Dual clipping, GSPO with ratios of tokens, the clipped value loss, advantages and returns."""
    from verl.trainer.ppo import core_algos
    from verl.workers.config import ActorConfig

    counted = given["counted"].double()
    settings = {"strategy": "fsdp", "rollout_n": 1, "ppo_micro_batch_size_per_gpu": 1}
    settings |= {"clip_ratio_low": LOW, "clip_ratio_high": HIGH, "clip_ratio_c": BOUND}
    config = ActorConfig(**settings)

    def policy(loss, old, how):
        logp = given["logp"].clone().requires_grad_()
        found = loss(old, logp, given["each"], counted, how, config)[0]
        return derivatives(found, logp)

    advantages, returns = core_algos.compute_gae_advantage_return(
        given["token_rewards"], given["old_values"], counted, GAMMA, LAMBDA
    )
    values = given["values"].clone().requires_grad_()
    value = core_algos.compute_value_loss(
        values, returns, given["old_values"], counted, VALUE_CLIP
    )[0]
    vanilla, gspo = core_algos.compute_policy_loss_vanilla, core_algos.compute_policy_loss_gspo
    return {
        "compute_gae_advantage_return, advantages": advantages.tolist(),
        "compute_gae_advantage_return, returns": returns.tolist(),
        "compute_value_loss": derivatives(value, values),
        "compute_policy_loss_vanilla, token-mean": policy(vanilla, given["far"], "token-mean"),
        "compute_policy_loss_vanilla, seq-mean-token-mean": policy(
            vanilla, given["far"], "seq-mean-token-mean"
        ),
        "compute_policy_loss_gspo": policy(gspo, given["far"], "seq-mean-token-mean"),
    }


def of_trl(torch, given):
    """KTO on pairs, distillation at a temperature, whitening, and the labels of steps."""
    from transformers.loss.loss_utils import ForTokenClassification
    from trl import GKDTrainer, KTOTrainer, PRMTrainer
    from trl.core import masked_whiten

    logp = given["logp"].clone().requires_grad_()
    sums, reference = (logp * given["counted"]).sum(dim=1), given["reference"].sum(dim=1)
    trainer = trl_losses.stub(
        beta=BETA,
        loss_type="kto",
        calculate_KL=True,
        desirable_weight=GOOD,
        undesirable_weight=BAD,
    )
    each, _, _, point = KTOTrainer.kto_loss(
        trainer,
        sums[:4],
        sums[4:],
        given["other"],
        reference[:4],
        reference[4:],
        given["other_reference"],
    )
    student = given["student"].clone().requires_grad_()
    labels = torch.where(given["counted"], 0, -100)
    distill = lambda beta: GKDTrainer.generalized_jsd_loss(  # noqa: E731
        student, given["teacher"], labels=labels, beta=beta, temperature=TEMPERATURE
    )
    forward = derivatives(distill(0), student)
    row = PRMTrainer.tokenize_row(
        {"prompt": PROMPT, "completions": list(STEPS), "labels": list(RIGHT)},
        Letters(),
        step_separator="\n",
        max_length=None,
        max_prompt_length=None,
        max_completion_length=None,
        train_on_last_step_only=False,
        is_eval=False,
    )
    ids = torch.tensor(row["labels"])[None]
    logits = given["step_logits"][:, : ids.shape[1]].clone().requires_grad_()
    tokens = given["each"], given["counted"].double()
    steps = ForTokenClassification(logits, ids, SimpleNamespace(num_labels=2))
    return {
        "KTOTrainer.kto_loss": derivatives(each.mean(), logp),
        "KTOTrainer.kto_loss, KL": point.item(),
        "GKDTrainer.generalized_jsd_loss, beta 0": [forward[0], np.array(forward[1])[2].tolist()],
        "GKDTrainer.generalized_jsd_loss, beta 1": distill(1).item(),
        "core.masked_whiten": masked_whiten(*tokens).tolist(),
        "core.masked_whiten, shift_mean=False": masked_whiten(*tokens, shift_mean=False).tolist(),
        "PRMTrainer.tokenize_row": row,
        "PRMTrainer, its loss": derivatives(steps, logits),
    }


class Letters:
    """A tokenizer whose ids are the code points of letters."""

    bos_token_id = None

    def __call__(self, text, add_special_tokens=False):
        return {"input_ids": self.encode(text)}

    def encode(self, text, add_special_tokens=False):
        return [ord(letter) for letter in text]


def of_weak_to_strong(torch, given, path):
    """The confidence loss after its warm-up, in float32."""
    logconf = runpy.run_path(path)["logconf_loss_fn"](aux_coef=OWN)
    found = {}
    for name, weak in (("soft", given["weak"]), ("hard", given["weak"].round())):
        logits = given["logits"].clone().requires_grad_()
        found[f"logconf_loss_fn, {name}"] = derivatives(logconf(logits, weak, 1.0), logits)
    return found


def main():
    """Write the file: an entry a line."""
    import torch

    given = {name: torch.tensor(array) for name, array in case().items()}
    found = {"versions": {name: version(name) for name in PACKAGES}}
    found["versions"]["openai/weak-to-strong"] = COMMIT
    parts = {
        "torchtune": of_torchtune(torch, given),
        "verl": of_verl(torch, given),
        "trl": of_trl(torch, given),
        "weak_to_strong": of_weak_to_strong(torch, given, sys.argv[1]),
    }
    for package, numbers in parts.items():
        found |= {f"{package}: {name}": number for name, number in numbers.items()}
    lines = (f"{json.dumps(name)}: {json.dumps(number)}" for name, number in found.items())
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
