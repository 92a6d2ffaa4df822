"""Training on pairs of answers, with DPO or a relative of it   (book section 4.4.2, eq. 4.82).

The reference policy is the model as it is before training. It never changes, so the
log-probabilities of all answers under it are computed once, and training holds a single model:

    pairs = with_reference(model, pairs)        log ref(y|x) of every answer
    fit(model, DPO(), pairs)                    -E log sigmoid(beta (rho_c - rho_r))

`tune` does both, and checks between them that policy and reference agree: before the first update
every log ratio is 0. If one is not, the two were not computed alike (dropout, temperature,
template), and what is trained would be that difference. Read first: dpo.py, pairs.py.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tinylm.align.constant import constant
from tinylm.align.feedback.pairs import EncodedPair
from tinylm.align.logprobs import frozen_logprobs, response_logprobs, summed
from tinylm.align.meter import mean_figures
from tinylm.align.preference.kto import kto_reference_point
from tinylm.align.preference.losses import check_options, preference_loss
from tinylm.align.preference.metrics import preference_metrics
from tinylm.align.preference.pairs import (
    EncodedAnswer,
    PreferenceBatch,
    make_pairs_batch,
    with_others,
)
from tinylm.autograd import Tensor, no_grad
from tinylm.backend import Random, to_cpu
from tinylm.errors import DataError, TrainingError
from tinylm.finetune.fitting import fit
from tinylm.models.decoder.gpt import GPT
from tinylm.nn import evaluating
from tinylm.pretrain.batch import IGNORE
from tinylm.train.alone import ALONE, Alone
from tinylm.train.whole_batch import of_all_rows

if TYPE_CHECKING:
    from tinylm.align.preference.judged import KTO


@dataclass(frozen=True)
class DPO:
    """The task for finetune.fit; an example is an EncodedPair (feedback/pairs.py).

    loss_name    of LOSSES: dpo, ipo, kto, simpo, ...
    options      arguments of that loss: {"beta": 0.1}
    temperature  of the distribution whose probabilities are compared, as in response_logprobs

    Dropout is off in the policy's forward pass: a ratio to a reference without dropout would
    measure the noise first. No step depends on how a batch is cut into micro-batches: KTO's
    reference point is that of the whole batch. A soft label makes the loss its expectation over
    labels; for DPO that is cDPO with e = 1 - probability.
    """

    loss_name: str = "dpo"
    options: dict = field(default_factory=dict)
    temperature: float = 1.0

    def __post_init__(self) -> None:
        check_options(self.loss_name, self.options)

    @property
    def compares(self) -> bool:
        """True if the loss compares with a reference policy."""
        return preference_loss(self.loss_name).reference

    @property
    def others(self) -> bool:
        """True if it needs answers to other prompts."""
        return preference_loss(self.loss_name).point

    def make_batch(
        self, examples: Sequence[EncodedPair], rng: Random | None = None
    ) -> PreferenceBatch:
        """Pairs as rows, shifted by one and padded at the right: PreferenceBatch."""
        return make_pairs_batch(examples)

    def whole_batch(self, model: GPT, parts: Iterator, comm: Alone = ALONE) -> dict[str, float]:
        """KTO's reference point {"point": z}, of a batch in parts; {} for all other losses."""
        if not self.others:
            return {}
        return {"point": reference_point(self, model, parts, comm)}

    def check(self, batch: PreferenceBatch) -> None:
        """DataError for pairs without what the loss needs: see with_reference, with_others."""
        row = preference_loss(self.loss_name)
        if row.point and batch.inputs.shape[1] != 3:
            raise DataError(
                f"DPO: the loss {self.loss_name!r} needs answers to other prompts: give the pairs "
                "to with_others() before with_reference()"
            )
        if row.reference and batch.reference is None:
            raise DataError(
                f"DPO: the loss {self.loss_name!r} compares with a reference policy: give the "
                "pairs to with_reference() before training"
            )

    def loss(self, model: GPT, batch: PreferenceBatch) -> tuple[Tensor, dict[str, float]]:
        """The mean of the loss over pairs.

        returns  (Tensor (), {"tokens": pairs, "loss": float, and preference_metrics})
        raises   as check()
        """
        self.check(batch)
        row, options = preference_loss(self.loss_name), dict(self.options)
        if row.point:
            options["point"] = point_of(self, model, batch)
            batch = batch.answers(0, 2)
        logp = self.logprobs(model, batch)  # (B, 2)
        reference, given = self._reference(row, batch), []
        if row.reference:
            given = [reference[:, 0], reference[:, 1]]
        losses = row.function(logp[:, 0], logp[:, 1], *given, **options)  # (B,)
        loss = losses.mean()
        if (batch.probability < 1).any():
            # A soft label p counts as the pair, and with 1 - p as the pair in the other order.
            order = [given[i] for i in (1, 0)[: len(given)]]
            swapped = row.function(logp[:, 1], logp[:, 0], *order, **options)
            p = constant(batch.probability, logp)
            loss = (p * losses + (1 - p) * swapped).mean()
        columns = [*to_cpu(logp.data).T, *to_cpu(reference).T]  # four of (B,)
        found = preference_metrics(*columns, self.options.get("beta", row.beta))
        return loss, {"tokens": len(batch), "loss": float(loss.item()), **found}

    def logprobs(self, model: GPT, batch: PreferenceBatch) -> Tensor:
        """log pi(y|x) of every answer, the sum or mean that the loss reads: (B, R) Tensor."""
        return self._as_read(row_logprobs(model, batch, self.temperature), batch)

    def _reference(self, row, batch):
        """The reference's log-probabilities, as the loss reads them: (B, R), 0 without one."""
        if not row.reference:
            return np.zeros(batch.inputs.shape[:2])
        return self._as_read(batch.reference, batch)

    def _as_read(self, totals, batch):
        """Sums (B, R) as they are, or divided by the tokens of each answer for a loss of means."""
        if not preference_loss(self.loss_name).mean:
            return totals
        lengths = (batch.targets != IGNORE).sum(axis=2)
        if not lengths.all():
            raise DataError(
                f"DPO: an answer has no token, and the loss {self.loss_name!r} takes means of them"
            )
        return totals / lengths.astype(totals.dtype)


def row_logprobs(model: GPT, batch: PreferenceBatch, temperature: float = 1.0) -> Tensor:
    """log pi(y|x) of every row of a PreferenceBatch, sums of tokens, dropout off: (B, R) Tensor."""
    with evaluating(model):
        logp, counted = response_logprobs(model, batch.flat(), temperature)
    return summed(logp, counted).reshape(batch.inputs.shape[:2])  # (B R,) -> (B, R)


def reference_point(
    task: "KTO | DPO", model: GPT, parts: Iterable[PreferenceBatch], comm: Alone = ALONE
) -> float:
    """KTO's reference point of a whole batch, of sums whatever the task: float, no gradient.

    task   DPO or KTO (judged.py), with the temperature, and a check of what the batches have
    parts  PreferenceBatches, this worker's part of the batch; the last row of each pair is the
           answer to another prompt
    comm   communicator: the mean is over the rows of all workers
    """

    def measure(part):
        task.check(part)
        other = part.answers(-1, None)
        logp = row_logprobs(model, other, task.temperature).data
        return np.concatenate([to_cpu(logp), to_cpu(other.reference)], axis=1)  # (b, 2)

    with no_grad():
        logp, reference = of_all_rows(measure, parts, comm).T  # (N,) twice
    return kto_reference_point(logp, reference)


def point_of(task: "KTO | DPO", model: GPT, batch: PreferenceBatch) -> float:
    """The reference point that a batch was given, or else that of its own rows: float."""
    if batch.point is not None:
        return float(batch.point[0])
    return reference_point(task, model, [batch])


def with_reference(
    model: GPT, pairs: Sequence, batch_size: int = 16, temperature: float = 1.0
) -> list:
    """Pairs with the log-probabilities of their answers under `model`: list of EncodedPair.

    temperature  as in the task
    """
    found = []
    device = model.parameters()[0].device
    for start in range(0, len(pairs), batch_size):
        part = [replace(pair, reference=None) for pair in pairs[start : start + batch_size]]
        batch = make_pairs_batch(part)
        logp, _ = frozen_logprobs(model, batch.flat().to(device), temperature)  # (B R, T)
        # Sums in float64: short of what the policy's float32 can tell apart.
        totals = to_cpu(logp).astype(np.float64).sum(axis=1).reshape(len(part), -1)  # (B, R)
        found += [replace(pair, reference=row) for pair, row in zip(part, totals)]
    return found


def check_start(model: GPT, task: "KTO | DPO", pairs: Sequence) -> float:
    """The largest |log ratio| of policy and reference on these pairs, which must be 0: float.

    raises  TrainingError if it is more than rounding, 1000 units of the sums' last place
    """
    batch = task.make_batch(pairs).to(model.parameters()[0].device)
    with no_grad():
        _, found = task.loss(model, batch)
    largest = found["largest_ratio"]
    size = np.abs(batch.reference).max()
    allowed = 1000 * np.finfo(model.parameters()[0].dtype).eps * (1 + float(size))
    if largest > allowed:
        raise TrainingError(
            f"before the first update a log ratio of policy and reference is {largest:.3g}, not 0: "
            "was the reference computed with another model, template or temperature?"
        )
    return largest


def tune(
    model: GPT, task: "KTO", pairs: Sequence[EncodedAnswer], batch_size: int = 16, **options: Any
) -> np.ndarray:
    """Train a model on pairs, in place: reference, check of the start, fit.

    task     DPO, or KTO (judged.py)
    pairs    list of EncodedPair; a reference that they have is kept
    options  of finetune.fit
    returns  (steps,) array: the mean loss of every step, before its update
    raises   as finetune.fit, with_others and check_start
    """
    pairs = prepared(model, task, pairs, batch_size)
    return fit(model, task, pairs, batch_size=batch_size, **options)


def prepared(
    model: GPT, task: "KTO | DPO", pairs: Sequence, batch_size: int = 16, limit: int | None = None
) -> Any:
    """Pairs with what the loss of a task needs, before the first update: a list.

    Answers to other prompts, and log-probabilities under `model`, which is the reference; that
    policy and reference agree is checked. Arguments and errors as in tune().

    limit   most tokens of a text, to which answers to other prompts are cut; None: what the model
            reads, and one more, since the last token is not read
    """
    if not pairs:
        raise DataError("tune: there are no pairs to learn from")
    if task.others and pairs[0].other is None:
        if limit is None and hasattr(getattr(model, "config", None), "context"):
            limit = model.config.context + 1
        pairs = [replace(pair, reference=None) for pair in with_others(pairs, limit)]
    if task.compares:
        if pairs[0].reference is None:
            pairs = with_reference(model, pairs, batch_size, task.temperature)
        check_start(model, task, pairs[:batch_size])
    return pairs


def preference_accuracy(
    model: GPT, task: DPO, pairs: Sequence[EncodedPair], batch_size: int = 16
) -> dict[str, float]:
    """preference_metrics over all pairs, dropout off: {name: float}, and the mean "loss".

    The share of held-out pairs whose chosen answer has the greater implicit reward is the first
    number to read; for a loss without reference, it is that of the greater log-probability.
    """
    return mean_figures(model, task, pairs, batch_size)
