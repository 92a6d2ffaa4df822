"""Sample and evaluate: the first half of a step   (book section 4.3.1)

Each draw reads the next prompts, G responses to each, in rows that workers share: a row has its own
random stream, so it is the same whoever draws it, and every worker gets all rows in the end. With
dynamic sampling (DAPO) one draws on until all groups have rewards that differ; if that does not
happen in time, groups that teach nothing fill up the step. Read next: objective.py.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tinylm.align.policy.groups import informative
from tinylm.align.rlhf.experience import Experience, assess
from tinylm.align.rlhf.methods.method import Method
from tinylm.align.rlhf.rollout import Rollout, roll_out, row_streams
from tinylm.align.rlhf.scoring import score_responses
from tinylm.finetune.fitting import Shuffled
from tinylm.settings import above, at_least, finite, setting, validate
from tinylm.train.alone import Alone

if TYPE_CHECKING:
    from tinylm.align.rlhf.models import FourModels


@dataclass(frozen=True)
class PolicySettings:
    """What is common to all methods."""

    batch_size: int = setting(16, "prompts of a step; each gets a group of responses", at_least(1))
    max_tokens: int = setting(32, "most tokens of a response", at_least(1))
    temperature: float = setting(1.0, "of the distribution that is sampled", above(0))
    weight_decay: float = setting(0.0, "of AdamW, on matrices", at_least(0))
    clip_norm: float = setting(1.0, "largest norm of a gradient; 0: any", at_least(0))
    micro_batch: int = setting(0, "responses differentiated at a time; 0: all", at_least(0))
    score_batch: int = setting(16, "responses evaluated at a time", at_least(1))
    missing_end: float | None = setting(None, "reward of a response that was cut off", finite)
    target_kl: float | None = setting(None, "KL that beta is adapted to keep", above(0))
    horizon: int = setting(10_000, "responses over which beta adapts", at_least(1))
    seed: int = setting(0, "of prompts, responses and minibatches")

    def __post_init__(self) -> None:
        validate(self)


class Collector:
    """Draws and evaluates the responses of each step.

    models, method, settings, eos, comm  as in PolicyTrainer

    rows    N, responses of a step
    draws   so far: the position in the prompts and in the random streams
    """

    def __init__(
        self,
        models: "FourModels",
        prompts: Sequence[list[int]],
        method: Method,
        settings: PolicySettings,
        eos: int,
        comm: Alone,
    ) -> None:
        self.models, self.method, self.settings = models, method, settings
        self.eos, self.comm = eos, comm
        self.prompts = Shuffled(prompts, settings.batch_size, settings.seed)
        self.rows = self.prompts.batch_size * method.group
        self.draws = 0

    def collect(self) -> tuple[Experience, dict[str, float]]:
        """The responses of a step, on every worker.

        returns  Experience of N rows; {"sampling", "scoring"}: seconds of this worker in drawing
                 responses, and in their rewards, log-probabilities and values

        Where a reward raises, nothing has been drawn: the step may be tried again.
        """
        first = self.draws
        try:
            return self._collected()
        except BaseException:
            self.draws = first
            raise

    def _collected(self):
        started = time.perf_counter()
        rollout, scores, sampling = self._draw()
        for _ in range(self.method.draws - 1):
            if self.different(scores).all():
                break
            more, more_scores, seconds = self._draw()
            sampling += seconds
            rollout, scores = rollout.joined(more), np.concatenate([scores, more_scores])
            rows = self._best_groups(scores)
            rollout, scores = rollout.take(rows), scores[rows]
        experience = self._assessed(rollout, scores)
        scoring = time.perf_counter() - started - sampling
        return experience, {"sampling": sampling, "scoring": scoring}

    def different(self, scores: np.ndarray) -> np.ndarray:
        """Whether the rewards of each group differ: (P G,) -> (P,) bool."""
        return informative(scores.reshape(-1, self.method.group))

    def _best_groups(self, scores):
        """Rows of as many groups as a step has, those first whose rewards differ: (N,) indices."""
        G = self.method.group
        order = np.argsort(~self.different(scores), kind="stable")[: self.rows // G]
        return (order[:, None] * G + np.arange(G)).reshape(-1)  # (P,) groups -> (P G,) rows

    def _draw(self):
        """(Rollout of N rows, scores (N,), seconds of sampling)."""
        s, G = self.settings, self.method.group
        prompts = self.prompts.batch(self.draws, 0, self.prompts.batch_size)
        prompts = [prompt for prompt in prompts for _ in range(G)]
        first, stop = self._own()
        seeds = row_streams(s.seed, self.draws, first, stop)
        self.draws += 1
        started = time.perf_counter()
        options = {"eos": self.eos, "temperature": s.temperature}
        own = roll_out(self.models.policy, prompts[first:stop], s.max_tokens, seeds, **options)
        seconds = time.perf_counter() - started
        scores = self._of_all(score_responses(self.models.reward, own))
        arrays = (own.ids, own.counted, own.truncated, own.drawn)
        return Rollout(prompts, *map(self._of_all, arrays)), scores, seconds

    def _assessed(self, rollout, scores):
        """The Experience of all rows, of which this worker evaluates its own."""
        s, own = self.settings, np.arange(*self._own())
        given = self.models, rollout.take(own), scores[own]
        found = assess(*given, s.temperature, s.score_batch)
        arrays = (found.old, found.reference, found.values)
        return Experience(rollout, scores, *map(self._of_all, arrays))

    def _own(self):
        """(first, stop) of this worker's rows."""
        rank, size = self.comm.rank, self.comm.size
        return rank * self.rows // size, (rank + 1) * self.rows // size

    def _of_all(self, array):
        """This worker's rows (n, ..) -> those of all workers (N, ..); None stays None."""
        if array is None or self.comm.size == 1:
            return array
        first, stop = self._own()
        whole = np.zeros((self.rows, *array.shape[1:]))
        whole[first:stop] = array
        return self.comm.all_reduce(whole).astype(array.dtype)  # a sum: the others hold zeros
