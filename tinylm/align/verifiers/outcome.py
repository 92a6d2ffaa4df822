"""The outcome verifier: Pr(the answer is right | question, path so far)   (book section 3.2.4;
Cobbe et al. 2021).

    z_t = w h_t + b,    Pr(right | x, y_<=t) = sigma(z_t)
    L_verify = mean over paths of  mean over t of  -log Pr(label)        every token, or the last
    L = L_verify + language * L_LM                                        both objectives of a model

All tokens of a path have the label of its end. A verifier that is trained at every token is a value
function: it learns which beginnings lead to right answers, and can steer a search; at the last
token it only judges what is complete. Cobbe et al. found every token better, and the language-model
objective beside it better than none. Read first: paths.py. Read next: scorers.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tinylm.align.constant import constant
from tinylm.align.rewards.marked import MarkedText
from tinylm.autograd import Tensor, sigmoid, softplus
from tinylm.backend import ArrayLike, Random, to_cpu
from tinylm.errors import ConfigError, ShapeError
from tinylm.finetune.metrics import accuracy, auc
from tinylm.finetune.tasks.heads import hidden_states, innermost
from tinylm.models.decoder.gpt import GPT
from tinylm.nn import Linear, Module
from tinylm.pretrain.batch import IGNORE, Batch, pad_rows
from tinylm.pretrain.score import masked_row_mean, row_means, score_rows

if TYPE_CHECKING:
    from tinylm.align.verifiers.paths import JudgedPath


PLACES = ("token", "last")


class OutcomeVerifier(Module):
    """A decoder with one number at every token: the logit that the path so far ends right.

    decoder  GPT, or one behind a prompt or adapters (finetune.peft); not copied. Its output layer
             keeps the language-model objective
    seed     of the new layer's weights
    """

    def __init__(self, decoder: GPT, seed: int = 0) -> None:
        model = innermost(decoder)
        weight, D = model.tokens.weight, model.config.d_model
        self.decoder = decoder
        self.head = Linear(D, 1, Random(seed, "verifier head"), dtype=weight.dtype)
        self.head.to(weight.device)

    def states(self, ids: np.ndarray, mask: np.ndarray | None = None) -> Tensor:
        """Hidden states, which both objectives read: (B, T) integers, padded right -> (B, T, D)."""
        return hidden_states(self.decoder, ids, mask)

    def judge(self, h: Tensor) -> Tensor:
        """Logits z_t of hidden states: (B, T, D) -> (B, T)."""
        return self.head(h)[:, :, 0]

    def __call__(self, ids: np.ndarray, mask: np.ndarray | None = None) -> Tensor:
        """Logits z_t: (B, T) integers, padded at the right -> (B, T) Tensor."""
        return self.judge(self.states(ids, mask))


def verification_loss(logits: Tensor, right: ArrayLike, counted: np.ndarray) -> Tensor:
    """mean over rows of the mean over counted tokens of -log Pr(label)   (binary cross-entropy)

    logits   (B, T) Tensor z_t
    right    (B,) labels 1 or 0; no gradient
    counted  (B, T) bool, where the row is judged; a row without any adds 0, and is a row still
    returns  Tensor ()

    Check: tinylm gradcheck align.verification_loss
    """
    y = constant(right, logits)
    if y.shape != logits.shape[:1] or logits.shape != counted.shape:
        raise ShapeError(
            f"verification_loss: logits {logits.shape}, labels {y.shape}, counted {counted.shape}; "
            "need (B, T), (B,), (B, T)"
        )
    # -[y log sigma(z) + (1 - y) log sigma(-z)] = softplus(z) - y z;  d/dz = sigma(z) - y
    terms = softplus(logits) - logits * y[:, None]
    return row_means(terms, counted).mean()  # (B, T) -> (B,) -> ()


@dataclass(frozen=True)
class PathBatch(Batch):
    """Rows of judged paths, padded at the right.

    targets  (B, T) the next token, where it is one of a path to imitate; elsewhere IGNORE
    right    (B,) 1.0 or 0.0
    counted  (B, T) bool, tokens at which the row is judged
    mask     (B, T) bool, True for tokens
    """

    right: np.ndarray = None
    counted: np.ndarray = None
    mask: np.ndarray = None

    @property
    def tokens(self) -> int:
        """The number of paths: the loss is a mean over them."""
        return len(self)


@dataclass(frozen=True)
class OutcomeVerification:
    """The task for finetune.fit with an OutcomeVerifier; an example is a JudgedPath.

    at        where a path is judged in training: at every "token" of it, or at the "last"
    language  weight of the language-model objective: the mean over rows of the mean cross-entropy
              of the tokens of paths that are not wrong. 0: none
    raises    ConfigError for another place, or a weight below 0
    """

    at: str = "token"
    language: float = 1.0

    def __post_init__(self) -> None:
        if self.at not in PLACES or self.language < 0:
            raise ConfigError(
                f"OutcomeVerification: at {self.at!r} must be one of {', '.join(PLACES)}, and "
                f"language {self.language} 0 or more"
            )

    def make_batch(self, examples: "Sequence[JudgedPath]", rng: Random | None = None) -> PathBatch:
        """list of JudgedPath -> PathBatch."""
        ids, mask = pad_rows([one.ids for one in examples], 0)  # (B, T) twice
        targets, counted = np.full(ids.shape, IGNORE), np.zeros(ids.shape, bool)
        for row, one in enumerate(examples):
            n = len(one.ids)
            if one.imitated:
                # The first token of the path is predicted at the last one of the question.
                targets[row, one.start - 1 : n - 1] = one.ids[one.start :]
            if one.right is None:
                continue
            first = n - 1
            if self.at == "token":
                first = one.start
            counted[row, first:n] = True
        right = np.array([bool(one.right) for one in examples], np.float64)
        return PathBatch(ids, targets, right, counted, mask)

    def loss(self, model: OutcomeVerifier, batch: PathBatch) -> tuple[Tensor, dict[str, float]]:
        """L_verify + language * L_LM.

        returns  (Tensor (), {"tokens": paths, "loss": float, "verify": float, "language": float})
        """
        h = model.states(batch.inputs, batch.mask)  # (B, T, D), read by both
        verify = verification_loss(model.judge(h), batch.right, batch.counted)
        if not self.language:
            return score_rows(verify, len(batch), verify=verify)
        language, _ = masked_row_mean(innermost(model.decoder), h, batch.targets)
        loss = verify + self.language * language
        return score_rows(loss, len(batch), verify=verify, language=language)

    def predict(self, model: OutcomeVerifier, batch: PathBatch) -> list[float]:
        """Pr(right) of each path, read at its last token: list of B floats."""
        last = to_cpu(batch.mask).sum(axis=1) - 1
        found = sigmoid(model(batch.inputs, batch.mask)).numpy()  # (B, T)
        return found[np.arange(len(found)), last].tolist()

    def measure(
        self, answers: Sequence[np.ndarray], examples: Sequence[MarkedText]
    ) -> dict[str, float]:
        """accuracy at 1/2, and auc: the chance that a right path scores above a wrong one."""
        right = [one.right for one in examples]
        return {"accuracy": accuracy([p > 0.5 for p in answers], right), "auc": auc(answers, right)}
