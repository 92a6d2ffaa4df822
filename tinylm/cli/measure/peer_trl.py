"""The peer of `tinylm bench align`: TRL's own losses on GPT-2 of transformers, with fused AdamW.

A trainer's `_compute_loss` is called with what it reads of its trainer, as
tests/oracle/trl_losses.py does, so that neither data loaders nor logs are timed. TRL 1 has no PPO
any more: the policy's part of PPO's update is the same clipped loss with means over tokens
("bnpo"), and the critic's part stands here as TRL 0.x had it. Responses are drawn by transformers'
generate(), as GRPOTrainer does without vLLM. Used only to measure; written for TRL 1.16.
"""

import contextlib
import tempfile
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import transformers
from trl import DPOTrainer, GRPOTrainer
from trl.trainer.utils import add_fused_lm_head

from tinylm.cli.measure.align_works import BETA, BOUND, DRAWING, SIZES, UPDATES, Drawing
from tinylm.cli.measure.workloads import ADAMW, CLIP
from tinylm.models.published.save import save_pretrained


def trl_alignment(job: dict[str, Any], data: Any, comm: Any) -> Callable:
    """A function that does one update and returns its loss, or draws responses."""
    torch.set_num_threads(job["threads"])
    size = SIZES[job["work"]]
    if job["update"] == DRAWING:
        peer = DrawingPeer(Drawing(size))
    else:
        _, examples = UPDATES[job["update"]](size)
        options = {}
        if job["default"]:
            options["known"] = False
        peer = PEERS[job["update"]](size, examples, **options)
    return lambda i: peer.step()


def loaded(model: Any) -> Any:
    """A GPT as transformers runs it, without dropout."""
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as folder:
        save_pretrained(model, folder)
        load = transformers.AutoModelForCausalLM.from_pretrained
        return load(folder, dtype=torch.float32).eval()


class Peer:
    """An update by TRL; subclasses have loss().

    size   AlignWork
    """

    def __init__(self, size: Any) -> None:
        self.model = loaded(size.base())
        add_fused_lm_head(self.model, outputs=self.outputs)

    def optimize(self, parameters: Any) -> None:
        """Make the optimizer."""
        self.parameters = list(parameters)
        self.optimizer = torch.optim.AdamW(
            self.parameters,
            lr=ADAMW["lr"],
            betas=ADAMW["betas"],
            eps=ADAMW["eps"],
            weight_decay=ADAMW["weight_decay"],
            fused=True,
        )

    def step(self) -> float:
        """Loss, backward pass and optimizer: the loss before the update."""
        loss = self.loss()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, CLIP)
        self.optimizer.step()
        return loss.item()


class DPOPeer(Peer):
    """A step of DPO.

    pairs  EncodedPairs with their reference
    known  True: the reference's log-probabilities are given; False: a frozen model is read in every
           step, as DPOTrainer does unless precompute_ref_log_probs is set
    """

    outputs = ("log_probs", "entropy", "mean_logits", "is_top1")

    def __init__(self, size: Any, pairs: Any, known: Any = True) -> None:
        super().__init__(size)
        self.optimize(self.model.parameters())
        reference = None
        if not known:
            reference = loaded(size.base())
            add_fused_lm_head(reference, outputs=self.outputs)
        rows = [pair.chosen for pair in pairs] + [pair.rejected for pair in pairs]
        self.inputs = {
            "input_ids": padded([row.ids for row in rows]),
            "attention_mask": padded([np.ones_like(row.ids) for row in rows]),
            "completion_mask": padded([row.answer.astype(np.int64) for row in rows]),
        }
        if known:
            logps = padded([pair.reference for pair in pairs]).float()  # (B, 2)
            self.inputs |= {"ref_chosen_logps": logps[:, 0], "ref_rejected_logps": logps[:, 1]}
        self.trainer = _trainer(
            ld_alpha=None,
            precompute_ref_logps=known,
            ref_model=reference,
            args=SimpleNamespace(gradient_checkpointing_kwargs=None),
            f_divergence_type="reverse_kl",
            beta=BETA,
            loss_types=["sigmoid"],
            loss_weights=[1.0],
            label_smoothing=0.0,
            use_weighting=False,
            _tp_size=1,
        )
        self.trainer.model.is_gradient_checkpointing = False

    def loss(self) -> Any:
        """The mean of the loss over pairs."""
        return DPOTrainer._compute_loss(self.trainer, self.model, self.inputs, False)


class GRPOPeer(Peer):
    """An update by the clipped loss of GRPO.

    samples  with old log-probabilities and advantages
    kind     TRL's loss_type
    """

    outputs = ("log_probs", "entropy")

    def __init__(self, size: Any, samples: Any, kind: Any = "grpo") -> None:
        super().__init__(size)
        self.optimize(self.model.parameters())
        cut = size.prompt
        completions = [one.example.ids[cut:] for one in samples]
        mask = padded([np.ones_like(ids) for ids in completions])
        prompts = padded([one.example.ids[:cut] for one in samples])
        advantages = [np.broadcast_to(one.advantages, one.old.shape) for one in samples]
        self.inputs = {
            "prompt_ids": prompts,
            "prompt_mask": torch.ones_like(prompts),
            "completion_ids": padded(completions),
            "completion_mask": mask,
            "advantages": padded(advantages).float(),
            "old_per_token_logps": padded([one.old for one in samples]).float(),
            "num_items_in_batch": mask.sum(),
        }
        trainer = self.trainer = _trainer(
            beta=0.0,
            loss_type=kind,
            importance_sampling_level="token",
            epsilon_low=BOUND,
            epsilon_high=BOUND,
            max_completion_length=mask.shape[1],
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

    def loss(self) -> Any:
        """The mean of the clipped loss."""
        return GRPOTrainer._compute_loss(self.trainer, self.model, self.inputs)


class PPOPeer(GRPOPeer):
    """An update of policy and critic by one optimizer.

    The critic is a body with a head of one number for each token; its loss is half the mean of the
    larger of the squared errors of the value and of the value clipped around the old one.
    """

    def __init__(self, size: Any, samples: Any) -> None:
        super().__init__(size, samples, "bnpo")
        self.body = loaded(size.base()).transformer
        self.head = torch.nn.Linear(size.work.d_model, 1, bias=False)
        torch.nn.init.zeros_(self.head.weight)
        modules = self.model, self.body, self.head
        self.optimize(p for module in modules for p in module.parameters())
        self.old_values = padded([one.values for one in samples]).float()
        self.returns = padded([one.returns for one in samples]).float()

    def loss(self) -> Any:
        """The policy's loss and the critic's."""
        return super().loss() + self.value_loss()

    def value_loss(self) -> Any:
        """As PPOTrainer of TRL 0.x, with vf_coef 1."""
        i = self.inputs
        ids = torch.cat([i["prompt_ids"], i["completion_ids"]], dim=1)
        attended = torch.cat([i["prompt_mask"], i["completion_mask"]], dim=1)
        states = self.body(input_ids=ids, attention_mask=attended, use_cache=False)
        L = self.returns.shape[1]
        values = self.head(states.last_hidden_state)[:, -L - 1 : -1, 0]  # before each token
        old, mask = self.old_values, i["completion_mask"]
        clipped = torch.clamp(values, old - BOUND, old + BOUND)
        errors = (values - self.returns) ** 2, (clipped - self.returns) ** 2
        return 0.5 * (torch.max(*errors) * mask).sum() / mask.sum()


class DrawingPeer:
    """Drawing responses with transformers' generate().

    drawing  Drawing
    """

    def __init__(self, drawing: Any) -> None:
        self.model = loaded(drawing.model)
        ids = torch.from_numpy(drawing.prompts)
        self.inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        self.config = transformers.GenerationConfig(
            max_new_tokens=drawing.tokens,
            min_new_tokens=drawing.tokens,
            do_sample=True,
            temperature=1.0,
            top_p=1.0,
            top_k=0,
            pad_token_id=0,
            eos_token_id=None,
            bos_token_id=None,
        )

    def step(self) -> float:
        """Draw all of them: the number of tokens."""
        options = {"generation_config": self.config, "disable_compile": True}
        with torch.no_grad():
            found = self.model.generate(**self.inputs, **options)
        return found[:, self.inputs["input_ids"].shape[1] :].numel()


PEERS = {"DPO step": DPOPeer, "GRPO update": GRPOPeer, "PPO update": PPOPeer}


def padded(rows: Any) -> Any:
    """Rows of numbers as one tensor, with 0 at the ends of shorter ones."""
    found = np.zeros((len(rows), max(map(len, rows))), rows[0].dtype)
    for place, row in zip(found, rows):
        place[: len(row)] = row
    return torch.from_numpy(found)


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
