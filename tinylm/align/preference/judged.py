"""Training on answers that are good or bad, without pairs: KTO   (Ethayarajh et al. 2024).

Users press a thumb up or down, and rarely compare two answers to one prompt. KTO needs no more:
each answer is moved against the reference point, the mean log ratio of answers to other prompts.
Read first: kto.py, tuning.py.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from tinylm.align.feedback.pairs import LeftOut
from tinylm.align.preference.kto import kto
from tinylm.align.preference.pairs import EncodedAnswer, PreferenceBatch, make_pairs_batch
from tinylm.align.preference.tuning import point_of, reference_point, row_logprobs
from tinylm.autograd import Tensor
from tinylm.backend import ArrayLike, Random, to_cpu
from tinylm.data.read.preferences import Judged
from tinylm.errors import DataError
from tinylm.finetune.instruct.conversations import Encoded, encode_conversation
from tinylm.models.decoder.gpt import GPT
from tinylm.models.published.chat.builtin import ChatTemplate
from tinylm.tokenizers.base import Tokenizer
from tinylm.train.alone import ALONE, Alone


def encode_judged(
    tokenizer: Tokenizer,
    template: ChatTemplate,
    judged: Sequence[Judged],
    limit: int | None = None,
    begin: int | None = None,
) -> tuple:
    """Judged answers as examples for KTO.

    judged   list of Judged (data/read/preferences.py)
    limit    most tokens of a text, cut at its end; None: any number
    begin    id put before each text, or None
    returns  (list of EncodedAnswer, LeftOut: cut, and empty without a token of the answer)
    """
    examples, cut, empty = [], [], []
    for number, one in enumerate(judged):
        whole = encode_conversation(tokenizer, template, one.messages(), turns="last")
        if begin is not None:
            whole = Encoded(np.append(begin, whole.ids), np.append(False, whole.answer))
        kept = Encoded(whole.ids[:limit], whole.answer[:limit])
        if len(kept) < len(whole):
            cut.append(number)
        if kept.answer.any():
            examples.append(EncodedAnswer(kept, one.desirable))
        else:
            empty.append(number)
    return examples, LeftOut(tuple(cut), empty=tuple(empty))


def kto_weights(desirable: ArrayLike) -> tuple[float, float]:
    """Weights that give good and bad answers the same total: (weight_good, weight_bad), the less
    frequent kind above 1   (Ethayarajh et al. 2024, section 4.2, at a ratio of 1)

    desirable  (n,) bool
    raises     DataError if one of the kinds is not there
    """
    good = int(np.sum(desirable))
    bad = len(desirable) - good
    if not good or not bad:
        raise DataError(
            f"KTO learns from good and bad answers, and here are {good} good and {bad} bad ones: "
            "add some of the other kind, or set both weight_good and weight_bad"
        )
    return max(1.0, bad / good), max(1.0, good / bad)


@dataclass(frozen=True)
class KTO:
    """The task for tune(); an example is an EncodedAnswer.

    beta                     as in kto()
    weight_good, weight_bad  of desirable answers and others: see kto_weights
    temperature              as in DPO. The reference point is that of the whole batch, too
    """

    beta: float = 0.1
    weight_good: float = 1.0
    weight_bad: float = 1.0
    temperature: float = 1.0
    compares = others = True  # a reference policy, and answers to other prompts

    def make_batch(
        self, examples: Sequence[EncodedAnswer], rng: Random | None = None
    ) -> PreferenceBatch:
        """Answers as rows: PreferenceBatch of 2 rows each."""
        return make_pairs_batch(examples)

    def whole_batch(self, model: GPT, parts: Iterator, comm: Alone = ALONE) -> dict[str, float]:
        """The reference point {"point": z}, of a batch in parts."""
        return {"point": reference_point(self, model, parts, comm)}

    def check(self, batch: PreferenceBatch) -> None:
        """Raise DataError for answers without a reference or an answer to another prompt."""
        if batch.reference is None or batch.inputs.shape[1] != 2:
            raise DataError(
                "KTO: an answer needs one to another prompt and a reference: give the examples to "
                "with_others(), then to with_reference()"
            )

    def loss(self, model: GPT, batch: PreferenceBatch) -> tuple[Tensor, dict[str, float]]:
        """The mean of kto() over answers.

        returns  (Tensor (), {"tokens": answers, "loss": float, "point", "reward_good",
                 "reward_bad": mean implicit rewards, nan without such an answer, "largest_ratio":
                 of the answers, "counts": good and bad answers})
        raises   as check()
        """
        self.check(batch)
        point = point_of(self, model, batch)
        answer = batch.answers(0, 1)
        logp = row_logprobs(model, answer, self.temperature)[:, 0]  # (B,)
        reference, good = answer.reference[:, 0], batch.probability == 1
        weights = {"weight_good": self.weight_good, "weight_bad": self.weight_bad}
        loss = kto(logp, reference, good, point, self.beta, **weights).mean()
        rho, good = to_cpu(logp.data - reference), to_cpu(good)  # (B,)
        return loss, {
            "tokens": len(batch),
            "loss": float(loss.item()),
            "point": point,
            "reward_good": _mean(self.beta * rho[good]),
            "reward_bad": _mean(self.beta * rho[~good]),
            "largest_ratio": float(np.abs(rho).max()),
            "counts": {"reward_good": int(good.sum()), "reward_bad": int((~good).sum())},
        }


def _mean(values):
    if not len(values):
        return float("nan")
    return float(values.mean())
