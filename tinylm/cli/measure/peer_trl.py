"""The peer of `tinylm bench align`: TRL's own losses on GPT-2 of transformers, with fused AdamW.

A trainer's `_compute_loss` is called with what it reads of its trainer, as
tests/oracle/trl_losses.py does, so that neither data loaders nor logs are timed. Used only to
measure; written for TRL 1.16.
"""

import contextlib
import tempfile
from collections import defaultdict
from functools import partial
from types import SimpleNamespace

import numpy as np

from tinylm.cli.measure.workloads import ADAMW, CLIP
from tinylm.machine import cores

BETA, BOUND = 0.1, 0.2  # as in bench_align.py


class TRLPeer:
    """The same update by TRL.

    model     GPT to begin from
    kind      "dpo" or "grpo"
    examples  EncodedPairs with their reference, or Samples
    """

    def __init__(self, model, kind, examples):
        import torch
        import transformers
        from trl.trainer.utils import add_fused_lm_head

        from tinylm.models.published.save import save_pretrained

        torch.set_num_threads(cores())
        transformers.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()
        self.torch = torch
        with tempfile.TemporaryDirectory() as folder:
            save_pretrained(model, folder)
            load = transformers.AutoModelForCausalLM.from_pretrained
            self.model = load(folder, dtype=torch.float32).eval()  # no dropout
        outputs = {"dpo": _OF_DPO, "grpo": _OF_GRPO}[kind]
        add_fused_lm_head(self.model, outputs=outputs)
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(),
            lr=ADAMW["lr"],
            betas=ADAMW["betas"],
            eps=ADAMW["eps"],
            weight_decay=ADAMW["weight_decay"],
            fused=True,
        )
        self.loss = {"dpo": self._dpo, "grpo": self._grpo}[kind](examples)

    def step(self):
        """Loss, backward pass and optimizer: the loss before the update."""
        loss = self.loss()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.torch.nn.utils.clip_grad_norm_(self.model.parameters(), CLIP)
        self.optimizer.step()
        return loss.item()

    def _dpo(self, pairs):
        from trl import DPOTrainer

        rows = [pair.chosen for pair in pairs] + [pair.rejected for pair in pairs]
        reference = self._tensor([pair.reference for pair in pairs]).float()  # (B, 2)
        inputs = {
            "input_ids": self._tensor([row.ids for row in rows]),
            "attention_mask": self._tensor([np.ones_like(row.ids) for row in rows]),
            "completion_mask": self._tensor([row.answer.astype(np.int64) for row in rows]),
            "ref_chosen_logps": reference[:, 0],
            "ref_rejected_logps": reference[:, 1],
        }
        trainer = _trainer(
            ld_alpha=None,
            precompute_ref_logps=True,
            f_divergence_type="reverse_kl",
            beta=BETA,
            loss_types=["sigmoid"],
            loss_weights=[1.0],
            label_smoothing=0.0,
            use_weighting=False,
            _tp_size=1,
        )
        return lambda: DPOTrainer._compute_loss(trainer, self.model, inputs, False)

    def _grpo(self, samples):
        from trl import GRPOTrainer

        cut = samples[0].example.prompt
        ids = self._tensor([one.example.ids for one in samples])
        ones = self.torch.ones_like(ids)
        inputs = {
            "prompt_ids": ids[:, :cut],
            "prompt_mask": ones[:, :cut],
            "completion_ids": ids[:, cut:],
            "completion_mask": ones[:, cut:],
            "advantages": self._tensor([one.advantages for one in samples]).float(),
            "old_per_token_logps": self._tensor([one.old for one in samples]).float(),
            "num_items_in_batch": ones[:, cut:].sum(),
        }
        trainer = _trainer(
            beta=0.0,
            loss_type="grpo",
            importance_sampling_level="token",
            epsilon_low=BOUND,
            epsilon_high=BOUND,
            max_completion_length=ids.shape[1] - cut,
            top_entropy_quantile=1.0,
            off_policy_mask_threshold=None,
            use_vllm=False,
            temperature=1.0,
            model_kwarg_keys=set(),
            _entropy_bonus_enabled=False,
            args=SimpleNamespace(delta=None, use_bias_correction_kl=False),
        )
        read = GRPOTrainer._get_per_token_logps_and_entropies.__wrapped__  # without its own clock
        trainer._get_per_token_logps_and_entropies = partial(read, trainer)
        return lambda: GRPOTrainer._compute_loss(trainer, self.model, inputs)

    def _tensor(self, rows):
        return self.torch.from_numpy(np.stack(rows))


_OF_DPO = ("log_probs", "entropy", "mean_logits", "is_top1")
_OF_GRPO = ("log_probs", "entropy")


def _trainer(**settings):
    """What a loss reads of its trainer: in evaluation mode, on one process."""

    def same(values, **options):
        return values

    accelerator = SimpleNamespace(
        device="cpu",
        gather=same,
        gather_for_metrics=same,
        reduce=same,
        num_processes=1,
        autocast=contextlib.nullcontext,
        is_main_process=False,
    )
    return SimpleNamespace(
        model=SimpleNamespace(training=False),
        accelerator=accelerator,
        aux_loss_enabled=False,
        _metrics=defaultdict(lambda: defaultdict(list)),
        _total_train_tokens=0,
        **settings,
    )
