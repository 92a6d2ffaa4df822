"""Induction heads: how a pattern in the prompt is continued   (book section 3.1.2; Olsson et al.
2022).

Bare lines "a -> b" without an instruction are enough for few-shot translation. The mechanism behind
the simplest case, "a b .. a" -> "b", is two attention heads in two layers: one copies to every
position the token before it; the other, the induction head, attends to positions whose copied token
is the present one, which are those after its earlier occurrences, and copies what stands there. One
layer has no way to know what stood before a key. Here such heads are found, by where they attend;
induction_circuit.py builds them by hand. Read next: induction_circuit.py.
"""

import copy
from collections.abc import Sequence

import numpy as np

from tinylm import backend
from tinylm.autograd import Tensor, attention, no_grad, rotary
from tinylm.backend import ArrayLike, Random
from tinylm.errors import ConfigError
from tinylm.models.decoder.gpt import GPT
from tinylm.nn import evaluating
from tinylm.nn.attention.multi_head import capped_attention, projected
from tinylm.nn.module import Module
from tinylm.prompt.in_context.few_shot import FewShotPrompt

# The form of prompts that are a pattern and nothing else: lines "source → target".
PATTERN = FewShotPrompt(question_name="", answer_name="", between=" → ", separator="\n")


def attention_patterns(model: GPT, ids: np.ndarray) -> list[np.ndarray]:
    """The attention weights of every layer of a GPT: L arrays (B, H, T, T), rows sum to 1.

    ids     (B, T) integers
    raises  ConfigError for a layer without keys of its own
    """
    patterns = []
    watched = copy.copy(model)
    watched.blocks = [copy.copy(block) for block in model.blocks]
    for block in watched.blocks:
        block.attention = _Watched(block.attention, patterns)
    with no_grad(), evaluating(watched):
        watched.hidden(np.asarray(ids))
    return patterns


class _Watched(Module):
    """A SelfAttention whose weights are appended to a list."""

    def __init__(self, inner, patterns):
        if not inner.kv_heads:
            raise ConfigError("attention_patterns: a layer without keys of its own has no pattern")
        self.inner, self.patterns = inner, patterns

    def __call__(self, x, rotation=None, mask=None, bias=None, **options):
        q, k, _ = projected(self.inner, x)  # (B, H, T, K), (B, G, T, K)
        if rotation is not None:
            q, k = (rotary(part, cos=rotation[0], sin=rotation[1]) for part in (q, k))
        # What attention returns for one-hot values is the weights.
        B, G, T, _ = k.shape
        one_hot = np.broadcast_to(np.eye(T, dtype=x.dtype), (B, G, T, T))
        values = Tensor(backend.to_device(one_hot, x.device))
        settings = {"bias": bias, "mask": mask, "causal": True, "scale": self.inner.scale}
        if self.inner.cap is not None:
            weights = capped_attention(q, k, values, self.inner.cap, **settings)
        else:
            weights = attention(q, k, values, **settings)
        self.patterns.append(backend.to_cpu(weights.data))
        return self.inner(x, rotation=rotation, mask=mask, bias=bias, **options)


def after_earlier(ids: ArrayLike) -> np.ndarray:
    """[b, t, j]: position j follows an earlier occurrence of token t, ids[b, j-1] == ids[b, t].

    ids      (B, T)
    returns  (B, T, T) bool
    """
    ids = np.asarray(ids)
    T = ids.shape[1]
    found = np.zeros((*ids.shape, T), bool)
    found[:, :, 1:] = ids[:, :, None] == ids[:, None, :-1]
    return found & np.tri(T, dtype=bool)  # the occurrence j - 1 is before t: j <= t


def induction_scores(patterns: Sequence[np.ndarray], ids: np.ndarray) -> tuple[np.ndarray, float]:
    """How much of its attention each head gives to the tokens after earlier occurrences of the
    present one, mean over the positions that have any.

    patterns  L arrays (B, H, T, T), of attention_patterns
    returns   ((L, H) scores from 0 to 1, the score of a head that attends to all alike)
    """
    targets = after_earlier(ids)  # (B, T, T)
    some = targets.any(axis=2)  # (B, T)
    if not some.any():
        raise ConfigError("induction_scores: no token of these texts occurs twice")
    mass = [(pattern * targets[:, None]).sum(axis=3) for pattern in patterns]  # (B, H, T) each
    scores = [each.transpose(0, 2, 1)[some].mean(axis=0) for each in mass]
    alike = targets.sum(axis=2) / np.arange(1, targets.shape[1] + 1)  # t + 1 tokens are visible
    return np.array(scores), float(alike[some].mean())


def previous_token_scores(patterns: Sequence[np.ndarray]) -> np.ndarray:
    """How much of its attention each head gives to the position before: (L, H), from 0 to 1."""
    diagonals = [np.diagonal(pattern, -1, axis1=2, axis2=3) for pattern in patterns]
    return np.array([each.mean(axis=(0, 2)) for each in diagonals])


def repeated(rows: int, length: int, vocab_size: int, seed: int = 0) -> np.ndarray:
    """Random tokens, then the same again: only an earlier occurrence can predict the second half.

    returns  (rows, 2 length); in a row no token is twice in one half, so length <= vocab_size
    """
    if not 1 <= length <= vocab_size:
        raise ConfigError(f"repeated: {length} different tokens out of {vocab_size}")
    rng = Random(seed, "repeated")
    half = rng.uniform((rows, vocab_size), np.float64).argsort(axis=1)[:, :length]
    return np.concatenate([half, half], axis=1)


def mapping_prompts(
    rows: int,
    shots: int,
    sources: int,
    targets: int,
    seed: int = 0,
    shuffled: bool = False,
    mapping: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Prompts of k random pairs of a mapping, by default a random one for each row, and a source.

        s_1 t_1 s_2 t_2 .. s_k t_k s_query  ->  t_query

    Sources are ids 0 .. sources - 1 and targets the `targets` ids after them; pairs are drawn with
    replacement. Nothing but the prompt says what the mapping is.

    shuffled  True: every demonstration has a random target, so that they say nothing: a control
    mapping   (rows, sources) or (sources,) numbers from 0 to targets - 1: the target of each source
    returns   (ids (rows, 2 k + 1), the right answers (rows,))
    """
    rng = Random(seed, "mappings")
    if mapping is None:
        mapping = rng.integers(0, targets, (rows, sources))
    mapping = sources + np.broadcast_to(mapping, (rows, sources))  # ids
    asked = rng.integers(0, sources, (rows, shots + 1))  # the last is the query
    answers = np.take_along_axis(mapping, asked, axis=1)
    shown = answers
    if shuffled:
        shown = sources + rng.integers(0, targets, answers.shape)
    ids = np.stack([asked, shown], axis=2).reshape(rows, 2 * shots + 2)[:, :-1]
    return ids, answers[:, -1]


def best_accuracy(shots: int, sources: int, targets: int) -> float:
    """The highest possible accuracy on mapping_prompts.

    The query is among k demonstrations with probability 1 - (1 - 1/S)^k; otherwise all T targets
    are alike.
    """
    unseen = (1 - 1 / sources) ** shots
    return (1 - unseen) + unseen / targets
