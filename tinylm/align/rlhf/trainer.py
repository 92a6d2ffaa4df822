"""Training with a reward: sample, evaluate, update, repeat   (book sections 4.3.1, 4.3.3)

One step of PolicyTrainer is one turn of that loop:

    sample     a group of responses to each of some prompts, from the policy as it is now
    evaluate   their rewards; log-probabilities of policy and reference, values; advantages
    update     epochs x minibatches steps of the optimizer

The updates are those of train.Trainer, with the method's loss. All state is explicit, and a prompt,
its random streams and the order of minibatches are functions of the number of the draw, so a run
that is resumed after a step goes on as if it had never stopped. Several workers share the rows of a
rollout and of every minibatch. Read first: methods/method.py.
"""

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tinylm.align.policy.advantages import whitened
from tinylm.align.policy.kl import AdaptiveKL
from tinylm.align.rlhf.collect import Collector, PolicySettings
from tinylm.align.rlhf.experience import with_advantages
from tinylm.align.rlhf.methods.method import Method
from tinylm.align.rlhf.objective import PolicyObjective
from tinylm.align.rlhf.rollout import check_prompts
from tinylm.errors import CheckpointError, ConfigError
from tinylm.finetune.fitting import Shuffled
from tinylm.finetune.freezing import trainable
from tinylm.finetune.tasks.heads import innermost
from tinylm.nn import Module
from tinylm.optim import AdamW, FlatParameters
from tinylm.train.alone import ALONE, Alone
from tinylm.train.interrupt import finish_first
from tinylm.train.trainer import Trainer

if TYPE_CHECKING:
    from tinylm.align.rlhf.models import FourModels


class PolicyTrainer:
    """The training of a policy by a method.

    models    FourModels; policy and value are trained in place
    prompts   list of sequences of ids, read in a new order every epoch
    method    Method
    settings  PolicySettings
    eos       id that ends a response, several, or None: then all have max_tokens
    rate      learning rate, a number or a function of the update
    comm      communicator of workers that train together, each with the same arguments

    iteration  steps done
    """

    def __init__(
        self,
        models: "FourModels",
        prompts: Sequence[list[int]],
        method: Method,
        settings: PolicySettings,
        *,
        eos: int | None = None,
        rate: float | Callable = 1e-4,
        comm: Alone | None = None,
    ) -> None:
        self.models, self.method, self.settings = models, method, settings
        self.comm = comm or ALONE
        _check(models, prompts, method, settings)
        self.collector = Collector(models, prompts, method, settings, eos, self.comm)
        rows = self.collector.rows  # N responses of a step
        method.check(rows, settings.max_tokens)
        if rows % method.minibatches:
            raise ConfigError(
                f"{rows} responses of a step do not make {method.minibatches} minibatches of one "
                f"size: let batch_size times group, now {self.collector.prompts.batch_size} times "
                f"{method.group}, be a multiple of minibatches"
            )
        size = rows // method.minibatches
        self.samples = Shuffled([None] * rows, size, settings.seed)  # anew in every step
        self.objective = PolicyObjective(method, settings.max_tokens, settings.temperature)
        trained = models.trained()
        shared = getattr(comm, "empty", None)  # workers on one machine share memory
        flat = FlatParameters(trainable(trained), shared)
        self.trainer = Trainer(
            trained,
            self.objective,
            AdamW(flat, weight_decay=settings.weight_decay),
            self.samples.batch,
            size,
            rate,
            settings.clip_norm,
            settings.micro_batch,
            settings.seed,
            comm,
        )
        self.kl = None
        if settings.target_kl is not None:
            self.kl = AdaptiveKL(method.beta, settings.target_kl, settings.horizon)
        self.iteration = 0

    @property
    def beta(self) -> float:
        """The weight of the penalty now."""
        if self.kl is not None:
            return self.kl.beta
        return self.method.beta

    @property
    def stopped_by(self) -> Any:
        """The signal that ended the last run() early, or None."""
        return self.trainer.stopped_by

    def run(
        self, steps: int, after_step: Callable | None = None, say: Callable = lambda: None
    ) -> list[dict[str, float]]:
        """Train until `steps` steps are done, or until Ctrl-C, SIGTERM or SIGHUP.

        after_step  called as after_step(metrics) after each step, of step() below; a true result
                    ends the training
        say         called once when a signal comes: the current step is finished first
        returns     list of the metrics of all steps done here
        """
        found, stopped = [], None
        with finish_first(say) as received:
            while self.iteration < steps and not stopped:
                metrics, stopped = self._step(lambda: received.signal)
                found.append(metrics)
                if after_step is not None and after_step(metrics):
                    break
                if self.comm.size == 1:  # others must agree first, in their next step
                    stopped = stopped or received.signal
        self.trainer.stopped_by = stopped
        self.trainer.model.eval()
        return found

    def step(self) -> dict[str, float]:
        """Sample, evaluate and update once.

        returns  metrics, {name: float}: step, reward and reward_std (mean and standard deviation of
                 the scores), kl (of a response, to the reference), beta, length, truncated (share),
                 informative (share of groups with different rewards), entropy, moved (KL of old to
                 new policy), clip_fraction, largest_ratio (before the first update), loss,
                 value_loss, explained (share of the variance of returns that the value model knew),
                 grad_norm (of the last update), seconds, sampling and scoring (shares of them; the
                 rest is the updates)
        raises   TrainingError if the loss is not finite, or a frozen model has changed
        """
        return self._step()[0]

    def _step(self, signal=None):
        """(metrics, the signal that any worker received or None); signal() that of this one."""
        started = time.perf_counter()
        experience, spent = self.collector.collect()
        rewards = self._rewards(experience)
        advantages, returns = self.method.advantages(experience, rewards)
        if self.method.whiten in ("advantages", "both"):
            advantages = _whitened(advantages, experience.counted)
        experience = with_advantages(experience, advantages, returns)
        self.samples.examples = experience.samples()
        self.objective.begin(self.beta)
        for _ in range(self.method.updates):
            step = self.trainer.advance(signal)
            self.objective.fresh = False
            stopped = step.stop
        self.models.check_frozen()
        self.iteration += 1
        metrics = self._metrics(experience)
        if self.kl is not None:
            self.kl.update(metrics["kl"], self.collector.rows)
        total = time.perf_counter() - started
        shares = {part: seconds / total for part, seconds in spent.items()}
        return {**metrics, "grad_norm": step.grad_norm, "seconds": total, **shares}, stopped

    def _rewards(self, experience):
        beta = 0.0
        if self.method.kl == "reward":
            beta = self.beta
        rewards = experience.rewards(beta, self.settings.missing_end)
        if self.method.whiten in ("rewards", "both"):
            rewards = whitened(rewards, experience.counted, shift=False)
        return rewards

    def _metrics(self, experience):
        rollout = experience.rollout
        found = {
            "step": self.iteration,
            "reward": float(experience.scores.mean()),
            "reward_std": float(experience.scores.std()),
            "length": float(rollout.lengths.mean()),
            "truncated": float(rollout.truncated.mean()),
            "beta": self.beta,
        }
        if experience.reference is not None:
            found["kl"] = float(experience.divergence().mean())
        if self.method.group > 1:
            found["informative"] = float(self.collector.different(experience.scores).mean())
        if experience.returns is not None:
            found["explained"] = _explained(experience)
        return {**found, **self.objective.measured(self.comm)}

    def state(self) -> tuple[dict[str, dict[str, np.ndarray]], dict[str, Any]]:
        """All state after a step: ({"model": arrays, "value": arrays, "optimizer": arrays},
        JSON-able dict). "model" is the policy alone, under its own names.

        Every worker must call it. The arrays are no copies: write them before the next step.
        """
        arrays, trainer = self.trainer.state()
        parts = {"model": "policy.", "value": "value."}
        named = {
            file: _without(arrays["model"], prefix)
            for file, prefix in parts.items()
            if prefix == "policy." or self.models.value is not None
        }
        state = {
            "trainer": trainer,
            "iteration": self.iteration,
            "draws": self.collector.draws,
            "beta": self.beta,
            "frozen": self.models.hashes,
        }
        return {**named, "optimizer": arrays["optimizer"]}, state

    def load_state(
        self,
        arrays: dict[str, dict[str, np.ndarray]],
        state: dict[str, Any],
        where: str = "the checkpoint",
    ) -> None:
        """Take over a state(), of any number of workers.

        raises  CheckpointError if it is of other models, then nothing has been changed
        """
        for name, found in self.models.hashes.items():
            if state["frozen"].get(name) != found:
                raise CheckpointError(
                    f"{where}: the {name} is not the one that the policy was trained with; give "
                    "the same, from the same file"
                )
        model = {f"policy.{name}": array for name, array in arrays["model"].items()}
        for name, array in arrays.get("value", {}).items():
            model[f"value.{name}"] = array
        given = {"model": model, "optimizer": arrays["optimizer"]}
        self.trainer.load_state(given, state["trainer"], where)
        self.iteration, self.collector.draws = state["iteration"], state["draws"]
        if self.kl is not None:
            self.kl.beta = state["beta"]


def _check(models, prompts, method, settings):
    """Refuse what cannot be trained before anything is drawn."""
    if not prompts:
        raise ConfigError("there are no prompts to draw responses to")
    check_prompts(models.policy, prompts, settings.max_tokens)
    for name in ("reference", "value", "reward"):
        model = getattr(models, name)
        if isinstance(model, Module):
            more = f"{name} model", name == "reward"
            check_prompts(_decoder(model), prompts, settings.max_tokens, *more)
    check_settings(method, settings)
    if method.needs_reference and models.reference is None:
        raise ConfigError(f"{type(method).__name__} with kl {method.kl!r} needs a reference policy")
    if method.critic and models.value is None:
        raise ConfigError(f"{type(method).__name__} needs a value model")


def _decoder(model):
    """The decoder of a policy, of a value model or of a reward model."""
    model = getattr(model, "values", model)  # of a reward model
    return innermost(getattr(model, "decoder", model))


def check_settings(method: Method, settings: PolicySettings) -> None:
    """Refuse settings that do not go together, whatever the models and the prompts.

    raises   ConfigError
    """
    if settings.target_kl is not None and not method.needs_reference:
        raise ConfigError("target_kl: with kl 'none' there is no penalty to adapt")
    method.check(settings.batch_size * method.group, settings.max_tokens)


def _whitened(advantages, counted):
    """Advantages of tokens (N, L) or of responses (N,) with mean 0 and variance 1."""
    if advantages.ndim == 1:
        one = np.ones((len(advantages), 1), bool)
        return whitened(advantages[:, None], one)[:, 0]
    return whitened(advantages, counted)


def _explained(experience):
    """1 - Var(G - V) / Var(G) over all tokens: 1 for a value model that knows the returns."""
    counted = experience.counted
    G, V = experience.returns[counted], experience.values[counted]
    return float(1 - (G - V).var() / max(G.var(), 1e-12))


def _without(arrays, prefix):
    """The arrays whose names begin with a prefix, without it."""
    return {name[len(prefix) :]: array for name, array in arrays.items() if name.startswith(prefix)}
