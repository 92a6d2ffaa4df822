"""Ways to tell a model where a token stands, side by side   (book section 2.3.5, Table 2.4).

Vectors that are added to the embeddings, rotations of queries and keys, numbers that are added to
the scores: each as a matrix, and as what a distance of n tokens does to a score. What the run has
learned is shown as it was learned; what it does not use is built with its sizes, and where that has
weights they are the initial ones. Read next: nn/position/bias.py.
"""

import numpy as np

from tinylm.autograd import Tensor, no_grad, rotary
from tinylm.backend import Random, to_cpu
from tinylm.explore.at_hand import AtHand, Unsuitable
from tinylm.explore.page import Figure, source_of
from tinylm.explore.reading import part_of
from tinylm.models import GPT, GPTConfig
from tinylm.models.encoder.encoder import Encoder
from tinylm.nn.position import LearnedPositions
from tinylm.nn.position.bias import POSITION_BIASES, AlibiBias
from tinylm.nn.position.rotary import rotary_frequencies, turns
from tinylm.nn.position.rotary_forms import rotary_periods
from tinylm.nn.position.sinusoidal import sinusoidal
from tinylm.nn.position.t5_buckets import t5_bucket

SHOWN = 32  # positions in a matrix: its cells are still wide enough to be pointed at on a phone
FAR = 160  # distances of a curve: T5's last bucket begins at 113
HEADS = 4  # drawn at most
WAVES = 48  # columns of a matrix of vectors at most
SMALL = GPTConfig(vocab_size=64, context=256, n_layer=1, n_head=8, d_model=64)  # without a run

# name: (title, formula, what is special, where the book has it)
ABOUT = {
    "sinusoidal": (
        "Sinusoidal",
        "PE(i, 2k) = sin(i / 10000^(2k/D)), PE(i, 2k+1) = the cosine",
        "Waves from 2 pi to 20,000 pi positions long, added to the embedding. The inner product "
        "of two positions depends on their distance alone.",
        "2.3.5",
    ),
    "learned": (
        "Learned",
        "x_t + P[t]",
        "A row of numbers for each position, added to the embedding. Beyond the last row there "
        "is nothing.",
        "2.1.1",
    ),
    "rope": (
        "Rotary (RoPE)",
        "q_i R(i) (k_j R(j))^T = q_i R(i - j) k_j^T",
        "Each pair of channels of a query and a key is turned by an angle that grows with the "
        "position; only the difference of the angles reaches the score.",
        "eqs. 2.85-2.98",
    ),
    "offset": (
        "One number per distance",
        "u_(i-j)",
        "The simplest bias: a learned number for each distance and head.",
        "2.3.5",
    ),
    "t5": (
        "T5's buckets",
        "u_b(i-j)",
        "Near distances have a bucket each, far ones share wider and wider buckets, and each "
        "bucket and head has one learned number.",
        "eqs. 2.77-2.79",
    ),
    "alibi": (
        "ALiBi",
        "-beta_h (i - j), beta_h = 2^(-8h/H)",
        "A straight line for each head, steep ones and flat ones. Nothing is learned.",
        "eqs. 2.82-2.84",
    ),
    "kerple_power": (
        "KERPLE, power",
        "-beta1 n^beta2",
        "ALiBi with a learned slope and a learned exponent; the initial exponent is 1.",
        "Table 2.4",
    ),
    "kerple_log": (
        "KERPLE, logarithm",
        "-beta1 log(1 + beta2 n)",
        "It falls quickly at first and hardly at all later.",
        "Table 2.4",
    ),
    "sandwich": (
        "Sandwich",
        "sum_k cos(n / 10000^(2k/w))",
        "The inner product of two sinusoidal vectors, used as a bias.",
        "Table 2.4",
    ),
    "fire": (
        "FIRE",
        "f(log(c n + 1) / log(c max(m, i) + 1))",
        "A small network of the distance, measured from m on against the whole past: the only one "
        "here that depends on more than the distance.",
        "Table 2.4",
    ),
}


def position_encodings(model: GPT | Encoder) -> dict:
    """The encodings, as matrices and by distance.

    model    its sizes are used for all, its weights for the encoding that it has
    returns  {"used": name of the run's own, "shown": T, "encodings": list of dicts}, each with
             name, title, formula, about, section, file, values ("computed", "learned by this
             run" or "initial values"), and
             rows    (T, C) float64: a vector a position, or None
             scores  (H, T, T) float64: query i, key j, nan where j > i
             far     (H, n) float64: by distance 0 .. n - 1
             names   of the H lines
             more    further numbers of one encoding: buckets, cosines, periods
    """
    c = model.config
    found = [_sinusoidal(c.d_model)]
    if isinstance(model.positions, LearnedPositions):
        found.append(_learned(model.positions, getattr(c, "first_position", 0)))
    found.append(_rope(model))
    found += [_bias(name, model) for name in POSITION_BIASES]
    used = "alibi" if c.positions == "alibi_in_root" else c.positions
    for one in found:
        title, formula, about, section = ABOUT[one["name"]]
        one |= {"title": title, "formula": formula, "about": about, "section": section}
    return {"used": used, "shown": SHOWN, "encodings": found}


def _sinusoidal(width):
    width += width % 2
    vectors = sinusoidal(np.arange(FAR), width, dtype=np.float64)  # (FAR, D)
    # Divided by its largest value, D/2, the inner product is 1 for a position with itself.
    products = vectors @ vectors.T / (width / 2)
    return {
        "name": "sinusoidal",
        "values": "computed",
        "file": source_of(sinusoidal),
        "rows": vectors[:SHOWN, :WAVES],
        "scores": _causal(products[None, :SHOWN, :SHOWN]),
        "far": products[None, 0],
        "names": ["PE(i) PE(j) / (D/2)"],
        "unit": "inner product, 1 at distance 0",
    }


def _learned(positions, first):
    table = np.float64(to_cpu(positions.table.weight.data))[first:]  # (context, D)
    T = min(FAR, len(table))
    rows = table[:T]
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    unit = rows / np.where(lengths > 0, lengths, 1)
    cosines = unit @ unit.T  # (T, T)
    # The mean over all pairs of rows that are n apart.
    by_distance = np.array([np.diagonal(cosines, n).mean() for n in range(T)])
    return {
        "name": "learned",
        "values": "learned by this run",
        "file": source_of(LearnedPositions),
        "rows": rows[:SHOWN, :WAVES],
        "scores": _causal(cosines[None, :SHOWN, :SHOWN]),
        "far": by_distance[None],
        "names": ["cosine of P[i] and P[j], mean over i"],
        "unit": "cosine of two rows",
    }


def _rope(model):
    """Angles of the run, scaling and all; a model with other positions gets the plain ones."""
    c, at = model.config, np.arange(FAR)
    K = getattr(c, "turned_width", c.d_model // c.n_head)
    K += K % 2
    frequencies, values = rotary_frequencies(K), "computed"
    cos, sin = turns(at, frequencies, np.float64)  # (FAR, K/2)
    if c.positions == "rope":
        values = "computed, as this run does"
        if isinstance(model, GPT):
            cos, sin = (part[:, : K // 2] for part in model.rotation(at, np.float64))
        else:
            cos, sin = turns(at, rotary_frequencies(K, c.rope_base), np.float64)
        frequencies = np.arctan2(sin[1], cos[1]) % (2 * np.pi)
    # A query and a key of ones, both turned: their score is the mean of cos((i - j) theta).
    with no_grad():
        turned = rotary(Tensor(np.full((FAR, K), K**-0.5)), cos=cos, sin=sin).data
    scores = turned @ turned.T  # (FAR, FAR)
    return {
        "name": "rope",
        "values": values,
        "file": source_of(turns),
        "rows": cos[:SHOWN],
        "scores": _causal(scores[None, :SHOWN, :SHOWN]),
        "far": scores[None, :, 0],
        "names": ["score of q = k = 1/sqrt(K)"],
        "unit": "score, 1 at distance 0",
        "more": {
            "cos": cos[:SHOWN],
            "sin": sin[:SHOWN],
            "periods": rotary_periods(frequencies),
        },
    }


def _bias(name, model):
    """The run's own bias if it has this one, else one of the run's size from seed 0."""
    kind, settings = POSITION_BIASES[name], {}
    H = model.config.n_head
    own = type(getattr(model, "position_bias", None)) is kind
    if name == "fire":  # so that the place where distances begin to be measured is in the picture
        settings["threshold"] = SHOWN // 2
    bias = kind(H, Random(0, "explore"), dtype=np.float64, **settings)
    fixed = not bias.parameters()
    if own:
        bias = model.position_bias
    # offset has no number beyond its table; the others go on for ever.
    n = min(FAR, getattr(bias, "max_offset", FAR - 1) + 1)
    T = min(SHOWN, n)
    with no_grad():
        scores = bias(np.arange(T), np.arange(T)).data  # (H, T, T)
        far = bias(np.array([n - 1]), np.arange(n)).data[:, 0, ::-1]  # (H, n): distance 0 first
    heads = _spread(len(far))
    found = {
        "name": name,
        "values": "computed" if fixed else ("learned by this run" if own else "initial values"),
        "file": source_of(kind),
        "rows": None,
        "scores": _causal(np.float64(to_cpu(scores))[heads]),
        "far": np.float64(to_cpu(far))[heads],
        "names": [f"head {h}" for h in heads] if len(far) > 1 else ["all heads"],
        "unit": "added to the score",
        "noise": name in ("offset", "t5"),  # what they begin with: random numbers near 0
    }
    if isinstance(bias, AlibiBias):
        found["names"] = [f"head {h}, slope {bias.slopes[h]:.3g}" for h in heads]
    if name == "t5":
        found["more"] = {
            "buckets": t5_bucket(
                np.arange(FAR), bias.buckets, bias.max_distance, bias.bidirectional
            )
        }
    if name == "fire":
        found["more"] = {"threshold": bias.threshold}
    return found


def _spread(heads):
    """Numbers of at most HEADS heads, from the first to the last."""
    return np.unique(np.linspace(0, heads - 1, min(heads, HEADS)).round().astype(int)).tolist()


def _causal(scores):
    """Scores (H, T, T) with nan where the key comes after the query."""
    seen = np.tri(scores.shape[-1], dtype=bool)
    return np.where(seen, scores, np.nan)


def figures(at_hand: AtHand) -> list[Figure]:
    """The encodings with the sizes and the weights of what is at hand, or of a small model.

    raises   Unsuitable for a model of two stacks, or of another kind
    """
    model = part_of(at_hand.model) if at_hand.name else GPT(SMALL, seed=0)
    if not isinstance(model, (GPT, Encoder)):
        kind = type(at_hand.model).__name__
        raise Unsuitable(f"needs a decoder or an encoder; this model is of kind {kind}")
    data = position_encodings(model)
    text = (
        "Move the query i: its row is marked in every matrix, and every clock turns. Left what a "
        "position is, right what n tokens of distance do to a score. Book section 2.3.5; code: "
        f"`{source_of(position_encodings)}`."
    )
    return [Figure("positions", "Position encodings side by side", text, data)]
