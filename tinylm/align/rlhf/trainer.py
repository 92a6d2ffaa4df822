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
from dataclasses import dataclass

import numpy as np

from tinylm.align.policy.advantages import whitened
from tinylm.align.policy.groups import informative
from tinylm.align.policy.kl import AdaptiveKL
from tinylm.align.rlhf.experience import Experience, assess, with_advantages
from tinylm.align.rlhf.objective import PolicyObjective
from tinylm.align.rlhf.rollout import Rollout, check_prompts, roll_out, row_streams
from tinylm.align.rlhf.scoring import score_responses
from tinylm.errors import CheckpointError, ConfigError
from tinylm.finetune.fitting import Shuffled
from tinylm.finetune.freezing import trainable
from tinylm.optim import AdamW, FlatParameters
from tinylm.settings import above, at_least, finite, setting, validate
from tinylm.train.alone import ALONE
from tinylm.train.interrupt import finish_first
from tinylm.train.trainer import Trainer


@dataclass(frozen=True)
class PolicySettings:
    """What is common to all methods."""

    batch_size: int = setting(16, "prompts of a step; each gets a group of responses", at_least(1))
    max_tokens: int = setting(32, "most tokens of a response", at_least(1))
    temperature: float = setting(1.0, "of the distribution that is sampled", above(0))
    learning_rate: float = setting(1e-4, "of AdamW", above(0))
    weight_decay: float = setting(0.0, "of AdamW, on matrices", at_least(0))
    clip_norm: float = setting(1.0, "largest norm of a gradient; 0: any", at_least(0))
    micro_batch: int = setting(0, "responses differentiated at a time; 0: all", at_least(0))
    score_batch: int = setting(16, "responses evaluated at a time", at_least(1))
    missing_end: float | None = setting(None, "reward of a response that was cut off", finite)
    target_kl: float | None = setting(None, "KL that beta is adapted to keep", above(0))
    horizon: int = setting(10_000, "responses over which beta adapts", at_least(1))
    seed: int = setting(0, "of prompts, responses and minibatches")

    def __post_init__(self):
        validate(self)


class PolicyTrainer:
    """The training of a policy by a method.

    models    FourModels; policy and value are trained in place
    prompts   list of sequences of ids, read in a new order every epoch
    method    Method
    settings  PolicySettings
    eos       id that ends a response, several, or None: then all have max_tokens
    rate      update -> learning rate; None: that of the settings
    comm      communicator of workers that train together, each with the same arguments

    iteration  steps done;  beta  the weight of the penalty now
    """

    def __init__(self, models, prompts, method, settings, *, eos=None, rate=None, comm=None):
        self.models, self.method, self.settings, self.eos = models, method, settings, eos
        self.comm = comm or ALONE
        _check(models, prompts, method, settings)
        self.prompts = Shuffled(prompts, settings.batch_size, settings.seed)
        self.rows = self.prompts.batch_size * method.group  # N responses of a step
        if self.rows % method.minibatches:
            raise ConfigError(
                f"{self.rows} responses of a step do not make {method.minibatches} minibatches of "
                "one size"
            )
        size = self.rows // method.minibatches
        self.samples = Shuffled([None] * self.rows, size, settings.seed)
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
            rate or settings.learning_rate,
            settings.clip_norm,
            settings.micro_batch,
            settings.seed,
            comm,
        )
        self.kl = None
        if settings.target_kl is not None:
            self.kl = AdaptiveKL(method.beta, settings.target_kl, settings.horizon)
        self.iteration = self.draws = 0

    @property
    def beta(self):
        """The weight of the penalty now."""
        if self.kl is not None:
            return self.kl.beta
        return self.method.beta

    def run(self, steps, after_step=None, say=lambda: None):
        """Train until `steps` steps are done, or until Ctrl-C, SIGTERM or SIGHUP.

        after_step  called as after_step(metrics) after each step, of step() below; a true result
                    ends the training
        say         called once when a signal comes: the current step is finished first
        returns     list of the metrics of all steps done here
        """
        found, stopped = [], None
        with finish_first(say) as received:
            while self.iteration < steps and not stopped:
                metrics, stopped = self._step(received)
                found.append(metrics)
                if after_step is not None and after_step(metrics):
                    break
        self.trainer.stopped_by = stopped
        self.trainer.model.eval()
        return found

    def step(self):
        """Sample, evaluate and update once.

        returns  metrics, {name: float}: step, reward (mean score), kl (of a response, to the
                 reference), beta, length, truncated (share), informative (share of groups with
                 different rewards), entropy, moved (KL of old to new policy), clip_fraction,
                 largest_ratio (before the first update), loss, value_loss, explained (share of the
                 variance of returns that the value model knew), seconds, sampling (share of them)
        raises   TrainingError if the loss is not finite, or a frozen model has changed
        """
        return self._step(None)[0]

    def _step(self, received):
        started = time.perf_counter()
        experience, seconds = self._collect()
        rewards = self._rewards(experience)
        advantages, returns = self.method.advantages(experience, rewards)
        if self.method.whiten in ("advantages", "both"):
            advantages = _whitened(advantages, experience.counted)
        experience = with_advantages(experience, advantages, returns)
        self.samples.examples = experience.samples()
        self.objective.begin(self.beta)
        stopped = None
        for _ in range(self.method.updates):
            step = self.trainer.advance(received and received.signal)
            self.objective.fresh = False
            stopped = stopped or step.stop
        self.models.check_frozen()
        self.iteration += 1
        metrics = self._metrics(experience)
        if self.kl is not None:
            self.kl.update(metrics["kl"], self.rows)
        total = time.perf_counter() - started
        return {**metrics, "seconds": total, "sampling": seconds / total}, stopped

    def _collect(self):
        """(Experience of all N rows, seconds of sampling)."""
        rollout, scores, seconds = None, None, 0.0
        for _ in range(getattr(self.method, "draws", 1)):
            more, more_scores, took = self._draw()
            rollout, scores = self._join(rollout, scores, more, more_scores)
            seconds += took
            if len(rollout) == self.rows and self._different(scores).all():
                break
        s, comm = self.settings, self.comm
        first, stop = self._own()
        own = assess(
            self.models,
            rollout.take(np.arange(first, stop)),
            scores[first:stop],
            s.temperature,
            s.score_batch,
        )
        arrays = (
            _of_all(comm, array, first, self.rows) for array in (own.old, own.reference, own.values)
        )
        return Experience(rollout, scores, *arrays), seconds

    def _draw(self):
        """(Rollout of N rows, scores (N,), seconds of sampling): each worker draws its own rows."""
        s = self.settings
        prompts = self.prompts.batch(self.draws, 0, self.prompts.batch_size)
        prompts = [prompt for prompt in prompts for _ in range(self.method.group)]
        first, stop = self._own()
        seeds = row_streams(s.seed, self.draws, first, stop)
        self.draws += 1
        started = time.perf_counter()
        options = {"eos": self.eos, "temperature": s.temperature}
        own = roll_out(self.models.policy, prompts[first:stop], s.max_tokens, seeds, **options)
        seconds = time.perf_counter() - started
        scores = score_responses(self.models.reward, own)
        arrays = (
            _of_all(self.comm, array, first, self.rows)
            for array in (own.ids, own.counted, own.truncated, own.drawn, scores)
        )
        *arrays, scores = arrays
        return Rollout(prompts, *arrays), scores, seconds

    def _own(self):
        """(first, stop) of this worker's rows of a rollout."""
        rank, size = self.comm.rank, self.comm.size
        return rank * self.rows // size, (rank + 1) * self.rows // size

    def _different(self, scores):
        """Whether the rewards of each group differ: (N,) -> (P,) bool."""
        return informative(scores.reshape(-1, self.method.group))

    def _join(self, rollout, scores, more, more_scores):
        """The groups of two draws, those whose rewards differ first, as many as a step has."""
        if rollout is not None:
            more = rollout.joined(more)
            more_scores = np.concatenate([scores, more_scores])
        if getattr(self.method, "draws", 1) == 1:
            return more, more_scores
        different = self._different(more_scores)
        order = np.argsort(~different, kind="stable")[: self.rows // self.method.group]
        G = self.method.group
        rows = (order[:, None] * G + np.arange(G)).reshape(-1)  # groups -> their rows
        return more.take(rows), more_scores[rows]

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
            "length": float(rollout.lengths.mean()),
            "truncated": float(rollout.truncated.mean()),
            "beta": self.beta,
        }
        if experience.reference is not None:
            found["kl"] = float(experience.divergence().mean())
        if self.method.group > 1:
            found["informative"] = float(self._different(experience.scores).mean())
        if experience.returns is not None:
            found["explained"] = _explained(experience)
        return {**found, **self.objective.measured(self.comm)}

    def state(self):
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
            "draws": self.draws,
            "beta": self.beta,
            "frozen": self.models.hashes,
        }
        return {**named, "optimizer": arrays["optimizer"]}, state

    def load_state(self, arrays, state, where="the checkpoint"):
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
        self.iteration, self.draws = state["iteration"], state["draws"]
        if self.kl is not None:
            self.kl.beta = state["beta"]


def _check(models, prompts, method, settings):
    """Refuse what cannot be trained before anything is drawn."""
    if not prompts:
        raise ConfigError("there are no prompts to draw responses to")
    check_prompts(models.policy, prompts, settings.max_tokens)
    if method.needs_reference and models.reference is None:
        raise ConfigError(f"{type(method).__name__} with kl {method.kl!r} needs a reference policy")
    if method.critic and models.value is None:
        raise ConfigError(f"{type(method).__name__} needs a value model")
    if settings.target_kl is not None and not method.needs_reference:
        raise ConfigError("target_kl: with kl 'none' there is no penalty to adapt")


def _of_all(comm, array, first, total):
    """The rows of all workers; this one has first, first + 1, ..: (n, ..) -> (total, ..)."""
    if array is None or comm.size == 1:
        return array
    whole = np.zeros((total, *array.shape[1:]))
    whole[first : first + len(array)] = array
    return comm.all_reduce(whole).astype(array.dtype)


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
