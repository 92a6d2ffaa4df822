"""Makes trl_losses.json: what TRL's trainers give for log-probabilities that are a formula.

Run once, by hand, away from tinylm; nothing is fetched:

    pip install torch==2.13.0 trl==1.16.0
    python -m tests.oracle.trl_losses

A trainer's own loss is called on log-probabilities in place of a model's outputs. Each entry of the
file is a loss of the whole batch, a mean over its pairs, responses or tokens as TRL takes it; what
differs from tinylm is said beside the entry in tests/align/test_against_trl.py, which compares the
two, and is read next.
"""

import json
from collections import defaultdict
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import numpy as np

FILE = Path(__file__).with_suffix(".json")
BETA, SMOOTHING, ALPHA, GAMMA = 0.3, 0.1, 0.4, 0.5
LOW, HIGH, KL_WEIGHT, LONGEST, GROUP, LAMBDA_GOOD = 0.2, 0.28, 0.04, 7, 4, 1.2
POINTS_OF = ("sigmoid", "hinge", "ipo", "robust", "apo_zero", "apo_down", "sigmoid_norm")
DIVERGENCES = ("forward_kl", "js_divergence", "alpha_divergence")
TOKEN_LOSSES = ("grpo", "bnpo", "dapo", "dr_grpo", "cispo")
# Others have LOW on both sides. CISPO's is the bound of the ratio itself in TRL.
UPPER = {"dapo": HIGH, "cispo": 1 + HIGH}


def wave(number, *shape):
    """Numbers from -1 to 1, the same everywhere."""
    k = np.arange(np.prod(shape), dtype=np.float64).reshape(shape)
    return np.sin(1 + number + 0.37 * k**2)


def case():
    """{name: array} of four pairs, or of two groups of four responses: (8, 5) tokens at most.

    The first four rows are chosen answers, the last four their rejected ones.
    """
    lengths = np.array([5, 3, 4, 1, 2, 5, 3, 4])
    counted = np.arange(5) < lengths[:, None]
    logp = np.where(counted, -1.2 + wave(0, 8, 5), 0.0)
    return {
        "counted": counted,
        "logp": logp,
        "reference": np.where(counted, logp - 0.4 * wave(1, 8, 5), 0.0),
        "old": np.where(counted, logp - 0.5 * wave(2, 8, 5), 0.0),
        "other": -3 + wave(3, 8),  # sums of answers to other prompts, of policy and reference
        "other_reference": -3.4 + wave(4, 8),
        "desirable": np.array([1, 0, 1, 1, 0, 0, 1, 0], bool),
        "rewards": wave(5, 8),
        "margins": np.array([0.0, 0.5, 1.0, 2.0]),
        "student": wave(6, 8, 5, 6) * 2,
        "teacher": wave(7, 8, 5, 6) * 2,
    }


def stub(**settings):
    """What a trainer's loss reads of its trainer: in evaluation mode, on one process."""
    same = lambda values, **options: values  # noqa: E731
    accelerator = SimpleNamespace(
        device="cpu", gather=same, gather_for_metrics=same, reduce=same, num_processes=1
    )
    return SimpleNamespace(
        model=SimpleNamespace(training=False),
        accelerator=accelerator,
        aux_loss_enabled=False,
        _metrics=defaultdict(lambda: defaultdict(list)),
        _total_train_tokens=0,
        **settings,
    )


def outputs_of(torch, logp):
    """A model whose outputs are these log-probabilities."""
    zeros = torch.zeros_like(logp)
    found = SimpleNamespace(log_probs=logp, entropy=zeros, mean_logits=zeros, is_top1=zeros.bool())
    return lambda **options: found


def preference_losses(torch, given):
    """Of DPOTrainer and CPOTrainer and the odds ratio of ORPOTrainer."""
    from trl import DPOTrainer
    from trl.experimental.cpo import CPOTrainer
    from trl.experimental.orpo import ORPOTrainer

    found = {}
    # A prompt of one token stands before each answer.
    mask = torch.cat([torch.zeros(8, 1), given["counted"].double()], dim=1)
    totals = given["reference"].sum(dim=1)

    def dpo(kind, divergence="reverse_kl", dtype=torch.float64):
        trainer = stub(
            ld_alpha=None,
            precompute_ref_logps=True,
            f_divergence_type=divergence,
            f_alpha_divergence_coef=1 - ALPHA,
            beta=BETA,
            loss_types=[kind],
            loss_weights=[1.0],
            label_smoothing=SMOOTHING,
            use_weighting=False,
        )
        inputs = {
            "input_ids": torch.zeros(8, 6, dtype=torch.long),
            "attention_mask": torch.ones(8, 6),
            "completion_mask": mask.long(),
            "ref_chosen_logps": totals[:4].to(dtype),
            "ref_rejected_logps": totals[4:].to(dtype),
        }
        model = outputs_of(torch, given["logp"].to(dtype))
        return DPOTrainer._compute_loss(trainer, model, inputs, False).item()

    for kind in POINTS_OF:
        found[f"dpo {kind}"] = dpo(kind)
    for divergence in DIVERGENCES:  # float64 has no entry in TRL's table for alpha
        found[f"dpo {divergence}"] = dpo("sigmoid", divergence, torch.float32)

    sums = given["logp"].sum(dim=1)
    means = sums / given["counted"].sum(dim=1)

    def cpo(kind, values, smoothing=0.0, beta=BETA):
        trainer = stub(
            alpha=0.0, loss_type=kind, beta=beta, simpo_gamma=GAMMA, label_smoothing=smoothing
        )
        return CPOTrainer.cpo_loss(trainer, values[:4], values[4:])[0].mean().item()

    found["cpo sigmoid"] = cpo("sigmoid", sums)
    found["cpo sigmoid, smoothed"] = cpo("sigmoid", sums, SMOOTHING)
    found["cpo simpo"] = cpo("simpo", means)
    found["cpo hinge, beta 1"] = cpo("hinge", sums, beta=1.0)
    losses = ORPOTrainer.odds_ratio_loss(stub(beta=BETA), means[:4], means[4:])[0]
    found["orpo odds ratio"] = -losses.mean().item()
    return found


def judged_losses(torch, given):
    """Of KTOTrainer: single answers that are good or bad."""
    from trl import KTOTrainer

    trainer = stub(
        beta=BETA,
        loss_type="kto",
        calculate_KL=True,
        precompute_ref_logps=True,
        desirable_weight=LAMBDA_GOOD,
        undesirable_weight=1.0,
        _compute_kl_logps=lambda model, batch: given["other"],
    )
    mask = torch.cat([torch.zeros(8, 1), given["counted"].double()], dim=1)
    batch = {
        "input_ids": torch.zeros(8, 6, dtype=torch.long),
        "attention_mask": torch.ones(8, 6),
        "completion_mask": mask.long(),
        "label": given["desirable"],
        "ref_logps": given["reference"].sum(dim=1),
        "ref_KL_logps": given["other_reference"],
    }
    model = outputs_of(torch, given["logp"])
    return {"kto": KTOTrainer._compute_loss(trainer, model, batch, False).item()}


def policy_losses(torch, given):
    """Of GRPOTrainer and RLOOTrainer, and the gradient of the latter where policies agree."""
    from trl import GRPOTrainer, RLOOTrainer
    from trl.trainer.utils import nanstd

    rewards = given["rewards"].view(-1, GROUP)
    centered = rewards - rewards.mean(dim=1, keepdim=True)
    scaled = centered / (nanstd(rewards, dim=1, keepdim=True) + 1e-4)
    baseline = (rewards.sum(dim=1, keepdim=True) - rewards) / (GROUP - 1)
    inputs = {
        "prompt_ids": torch.zeros(8, 1, dtype=torch.long),
        "prompt_mask": torch.ones(8, 1),
        "completion_ids": torch.zeros(8, 5, dtype=torch.long),
        "completion_mask": given["counted"].double(),
        "num_items_in_batch": given["counted"].sum(),
        "old_per_token_logps": given["old"],
        "ref_per_token_logps": given["reference"],
        "old_logps": given["old"].sum(dim=1),
    }

    def loss(trainer_class, advantages, logp=given["logp"], level="token", **settings):
        chosen = {"beta": 0.0, "loss_type": "grpo", "use_bias_correction_kl": False}
        chosen |= {"epsilon_high": LOW} | settings
        trainer = stub(
            importance_sampling_level=level,
            epsilon_low=LOW,
            max_completion_length=LONGEST,
            top_entropy_quantile=1.0,
            off_policy_mask_threshold=None,
            use_vllm=False,
            _entropy_bonus_enabled=False,
            args=SimpleNamespace(
                delta=chosen.pop("delta", None),
                use_bias_correction_kl=chosen.pop("use_bias_correction_kl"),
            ),
            _get_per_token_logps_and_entropies=lambda *a, **o: (logp, logp.detach() * 0, None),
            **chosen,
        )
        return trainer_class._compute_loss(
            trainer, None, inputs | {"advantages": advantages.reshape(-1)}
        )

    found = {"advantages": scaled.reshape(-1).tolist()}
    for kind in TOKEN_LOSSES:
        given_to = {"loss_type": kind, "epsilon_high": UPPER.get(kind, LOW)}
        found[f"grpo {kind}"] = loss(GRPOTrainer, scaled, **given_to).item()
    found["grpo, k3"] = loss(GRPOTrainer, scaled, beta=KL_WEIGHT).item()
    corrected = {"beta": KL_WEIGHT, "use_bias_correction_kl": True}
    found["grpo, k3 times the ratio"] = loss(GRPOTrainer, scaled, **corrected).item()
    found["grpo sequence"] = loss(GRPOTrainer, scaled, level="sequence").item()
    found["rloo"] = loss(RLOOTrainer, rewards - baseline).item()
    logp = given["old"].clone().requires_grad_()
    loss(RLOOTrainer, rewards - baseline, logp=logp).backward()
    found["rloo gradient"] = logp.grad.tolist()
    return found


def other_losses(torch, given):
    """Of RewardTrainer, of GKDTrainer at its limit, and cross-entropy with ignored labels."""
    from trl import RewardTrainer
    from trl.experimental.gkd import GKDTrainer

    def reward(center=None, **inputs):
        trainer = stub(args=SimpleNamespace(center_rewards_coefficient=center))
        logits = SimpleNamespace(logits=given["rewards"][:, None])
        inputs["attention_mask"] = torch.ones(8, 1)
        return RewardTrainer.compute_loss(trainer, lambda **options: logits, inputs).item()

    labels = torch.where(given["counted"], 0, -100)
    flat = given["student"].flatten(0, 1), labels.flatten()
    # beta = 0: KL(teacher || student), summed over the vocabulary and divided by counted tokens
    distilled = GKDTrainer.generalized_jsd_loss(
        given["student"], given["teacher"], labels=labels, beta=0, temperature=1.0
    )
    return {
        "reward": reward(),
        "reward, margins": reward(margin=given["margins"]),
        "reward, centered": reward(center=0.01),
        "gkd, beta 0": distilled.item(),
        "sft": torch.nn.functional.cross_entropy(*flat, ignore_index=-100).item(),
    }


def main():
    """Write the file."""
    import torch

    given = {name: torch.tensor(array) for name, array in case().items()}
    found = {"versions": {name: version(name) for name in ("torch", "trl", "transformers")}}
    for part in (preference_losses, judged_losses, policy_losses, other_losses):
        found |= part(torch, given)
    FILE.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
