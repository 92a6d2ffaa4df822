"""Inputs on which the fused operations are checked: every option, with and without each argument.

Most of these have a kernel for first order and a composed twin for the orders above; the checks
compare the two. Read next: check/mutants.py.
"""

import numpy as np

from tinylm import autograd as ad
from tinylm.autograd.kernels import masks
from tinylm.autograd.kernels.tree_attention import NodeSums, Paths
from tinylm.autograd.primitives.cases import normal, uniform
from tinylm.autograd.registry import call, register
from tinylm.backend import Random

register(
    "linear",
    ad.linear,
    lambda rng: [
        call(normal(rng, 2, 2, 3), normal(rng, 3, 3), normal(rng, 3)),  # (B, T, D), W square
        call(normal(rng, 2, 3), normal(rng, 3, 4), normal(rng, 4)),
        call(normal(rng, 3), normal(rng, 3, 2)),  # a single row, no bias
        call(normal(rng, 2, 3), normal(rng, 3, 2), None),
    ],
    source="book eq. 2.25",
)
register(
    "unembedding",
    ad.unembedding,
    lambda rng: [
        call(normal(rng, 2, 2, 3), normal(rng, 3, 3)),
        call(normal(rng, 2, 3), normal(rng, 4, 3)),
        call(normal(rng, 3), normal(rng, 2, 3)),
    ],
    source="book eq. 2.12; Press & Wolf 2017",
)
register(
    "embedding",
    ad.embedding,
    lambda rng: [
        call(np.array([0, 2, 2, 1, 2]), normal(rng, 4, 3)),  # ids that repeat, and one never read
        call(np.array([[1, 1], [3, 0]]), normal(rng, 4, 2)),
        call(np.array(1), normal(rng, 3, 2)),
        call(np.array([513, 7, 513, 0]), normal(rng, 600, 2)),  # above 512 rows ids are sorted
    ],
    source="book section 2.1.1",
)
register(
    "add_embedding",
    ad.add_embedding,
    lambda rng: [
        call(normal(rng, 2, 3, 2), np.array([1, 0, 3]), normal(rng, 4, 2)),  # all rows alike
        call(normal(rng, 2, 2, 3), np.array([[1, 1], [3, 0]]), normal(rng, 4, 3)),
        call(normal(rng, 3, 2), np.array([2, 2, 0]), normal(rng, 3, 2)),
    ],
    source="book section 2.1.1",
)

register(
    "layer_norm",
    ad.layer_norm,
    lambda rng: [
        call(normal(rng, 3, 4), uniform(rng, 0.5, 2, 4), normal(rng, 4)),
        call(normal(rng, 2, 2, 3), uniform(rng, 0.5, 2, 3)),
        call(normal(rng, 5), uniform(rng, 0.5, 2, 5), normal(rng, 5), eps=0.1),
        # a variance of 1e-4, where eps of 1e-5 counts; gains of both signs
        call(0.01 * normal(rng, 2, 3), normal(rng, 3), None),
    ],
    source="book eq. 2.23",
)
register(
    "rms_norm",
    ad.rms_norm,
    lambda rng: [
        call(normal(rng, 3, 4), uniform(rng, 0.5, 2, 4)),
        call(normal(rng, 2, 2, 3), normal(rng, 3), eps=0.1),
        call(normal(rng, 5), normal(rng, 5)),
    ],
    source="book eq. 2.24",
)

# (shape, options)
ALONG = [
    ((3, 4), {}),
    ((2, 3, 2), {"axis": 1}),
    ((3, 2), {"axis": 0}),
    ((5,), {}),
]
register(
    "softmax",
    ad.softmax,
    lambda rng: [call(normal(rng, *shape), **axis) for shape, axis in ALONG],
    source="book eq. 2.12",
)
register(
    "log_softmax",
    ad.log_softmax,
    lambda rng: [call(normal(rng, *shape), **axis) for shape, axis in ALONG],
    source="book eq. 2.12",
)

# -100 is the default of ignore_index
TARGETS = np.array([[3, -100, 1], [0, 0, -100]])
register(
    "cross_entropy",
    ad.cross_entropy,
    lambda rng: [
        call(normal(rng, 4, 5), np.array([0, 4, 1, 1])),
        call(normal(rng, 2, 3, 4), TARGETS),
        call(normal(rng, 3), np.array(1)),
        *(
            call(
                normal(rng, 2, 3, 4),
                TARGETS,
                reduction=reduction,
                label_smoothing=smoothing,
                z_loss=z,
            )
            for reduction, smoothing, z in [
                ("none", 0.0, 0.0),
                ("sum", 0.1, 0.0),
                ("mean", 0.0, 0.2),
                ("none", 0.2, 0.1),
            ]
        ),
        call(normal(rng, 3, 4), np.array([0, 0, 2]), ignore_index=0),  # an id of the vocabulary
    ],
    source="book eqs. 1.5, 2.13",
)

SOURCES = {
    "gelu": "book eq. 2.27",
    "gelu_tanh": "Hendrycks & Gimpel 2016",
    "silu": "book section 2.2.2",
    "swiglu": "book eq. 2.30",
    "geglu": "book eq. 2.29",
}
for name in ("gelu", "gelu_tanh", "silu"):
    register(
        name,
        getattr(ad, name),
        lambda rng: [
            call(uniform(rng, 0.3, 2)),
            call(2 * normal(rng, 5)),
            call(2 * normal(rng, 2, 3)),
        ],
        source=SOURCES[name],
    )
for name in ("swiglu", "geglu"):
    register(
        name,
        getattr(ad, name),
        lambda rng: [
            call(normal(rng, 5), normal(rng, 5)),
            call(normal(rng, 2, 3), normal(rng, 2, 3)),
        ],
        source=SOURCES[name],
    )

register(
    "dropout",
    lambda x, p, seed: ad.dropout(x, p, Random(seed, device=x.device)),
    lambda rng: [
        call(normal(rng, 3, 4), 0.5, 1),
        call(normal(rng, 6), 0.2, 2),
        call(normal(rng, 3), 0.0, 3),
    ],
    covers=(),
    source="Srivastava et al. 2014",
)


def angles(rng, *shape):
    """Cosine and sine of random angles: a rotation per position and pair."""
    angle = uniform(rng, -3, 3, *shape)
    return np.cos(angle), np.sin(angle)


def rotary_call(rng, shape, angle_shape):
    """A call with random values and angles."""
    cos, sin = angles(rng, *angle_shape)
    return call(normal(rng, *shape), cos=cos, sin=sin)


register(
    "rotary",
    ad.rotary,
    lambda rng: [
        rotary_call(rng, (3, 4), (3, 2)),
        rotary_call(rng, (2, 2, 3, 4), (3, 2)),
        rotary_call(rng, (2, 2, 2, 2), (2, 1, 2, 1)),
    ],
    source="book section 2.3.5; Su et al. 2021",
)


def attention(q, k, v, bias=None, p=0.0, **options):
    """attention() with dropout from a stream that starts anew each time."""
    return ad.attention(q, k, v, bias, dropout=p, rng=Random(0, device=q.device), **options)


def qkv(rng, B=1, H=2, G=2, T=3, S=3, K=2, J=2):
    """Queries (B, H, T, K), keys (B, G, S, K) and values (B, G, S, J)."""
    return normal(rng, B, H, T, K), normal(rng, B, G, S, K), normal(rng, B, G, S, J)


# Masks (T, S). SOME: every query sees two keys. BLIND: the second query sees nothing.
SOME = np.array(
    [
        [True, False, True],
        [True, True, False],
        [False, True, True],
    ]
)
BLIND = np.array(
    [
        [True, True, True],
        [False, False, False],
        [True, False, False],
    ]
)
register(
    "mix_of_seen",
    masks.mix_of_seen,
    lambda rng: [
        call(normal(rng, 3, 3), normal(rng, 3, 2), seen=SOME),
        call(normal(rng, 2, 2, 3, 3), normal(rng, 2, 1, 3, 2), seen=BLIND),
    ],
)
register(
    "scores_of_seen",
    masks.scores_of_seen,
    lambda rng: [
        call(normal(rng, 3, 2), normal(rng, 3, 2), seen=SOME),
        call(normal(rng, 2, 2, 3, 2), normal(rng, 2, 1, 3, 2), seen=BLIND),
    ],
)
register(
    "attention",
    attention,
    lambda rng: [
        call(*qkv(rng)),
        call(*qkv(rng), causal=True),
        call(*qkv(rng, H=4, T=2), causal=True),  # two groups of two heads
        call(*qkv(rng, H=2, G=1), scale=0.7),  # multi-query
        call(*qkv(rng, T=2, S=4, J=3), causal=True),  # a cache: the last query sees all
        # masks of one matrix, one per sequence, one per head; with causal; a blind query
        call(*qkv(rng), mask=SOME),
        call(*qkv(rng, B=2), mask=np.stack([SOME, SOME[::-1]])[:, None], causal=False),
        call(*qkv(rng, H=2), mask=np.stack([SOME, SOME.T])[None]),
        call(*qkv(rng), mask=np.tril(SOME), causal=True),
        call(*qkv(rng), mask=BLIND),
        # biases that broadcast along the batch, the heads and the queries
        call(*qkv(rng), normal(rng, 1, 2, 3, 3)),
        call(*qkv(rng, B=2), normal(rng, 2, 1, 3), causal=True),
        call(*qkv(rng), normal(rng, 3)),
        call(*qkv(rng), p=0.3),
        call(*qkv(rng, H=4, T=2), p=0.3, causal=True),
        call(*qkv(rng), 80 + normal(rng, 3, 3)),  # scores beyond SAFE_SCORE
    ],
    source="book eq. 2.6, Table 2.2",
)


def self_attention(qkv, heads, kv_heads=None, p=0.0, **options):
    """self_attention() with dropout from a stream that starts anew each time."""
    return ad.self_attention(
        qkv, heads, kv_heads, dropout=p, rng=Random(0, device=qkv.device), **options
    )


register(
    "self_attention",
    self_attention,
    lambda rng: [
        # qkv (B, T, (H + 2G) K), H, G
        call(normal(rng, 1, 3, 12), 2),
        call(normal(rng, 2, 3, 6), 1, causal=False),
        call(normal(rng, 1, 3, 12), 4, 1),
        call(normal(rng, 1, 3, 16), 4, 2, rotation=angles(rng, 3, 1)),
        call(normal(rng, 2, 2, 12), 1, rotation=angles(rng, 2, 1, 2, 2)),
        call(normal(rng, 1, 3, 12), 2, mask=np.tril(SOME)),
        call(normal(rng, 1, 3, 12), 2, scale=0.5, p=0.3),
    ],
    source="book eqs. 2.7-2.11",
)


def three_rows(wanted=range(7)):
    """Rows 0 1 2 3, 0 1 4 and 0 1 5 6 of a tree of seven nodes, of which the outputs of some are
    wanted: list of Paths.
    """
    rows = np.array([[0, 1, 2, 3], [0, 1, 4, 0], [0, 1, 5, 6]])
    held = np.array([[1, 1, 1, 1], [1, 1, 1, 0], [1, 1, 1, 1]], bool)
    found = []
    for part, start, places in ((slice(1), 0, [0, 1, 2, 3]), (slice(1, 3), 2, [2, 6, 7])):
        nodes, sums = rows[part], NodeSums(rows[part], held[part])
        places = [p for p in places if nodes.flat[p] in wanted]
        outputs = [list(wanted).index(nodes.flat[p]) for p in places]
        found.append(Paths(nodes, start, np.array(places, int), np.array(outputs, int), sums))
    return found


register(
    "tree_attention",
    ad.tree_attention,
    lambda rng: [
        call(normal(rng, 7, 6), three_rows(), 1),
        call(normal(rng, 7, 8), three_rows(), 2, 1, rotation=angles(rng, 7, 1)),
        call(normal(rng, 7, 6), three_rows([6, 1, 2]), 1, scale=0.5),
    ],
    source="book eq. 2.11",
)


# Activations and a loss without a kernel: `covers` is empty, since their rules are those of the
# primitives.
register(
    "swish",
    ad.swish,
    lambda rng: [
        call(2 * normal(rng, 5)),
        call(normal(rng, 2, 3), np.array(0.7)),
        call(normal(rng, 2, 3), uniform(rng, -2, 2, 3)),
    ],
    covers=(),
    source="book section 2.2.2; Ramachandran et al. 2017",
)
register(
    "gelu_sigmoid",
    ad.gelu_sigmoid,
    lambda rng: [
        call(2 * normal(rng, 5)),
        call(normal(rng, 2, 3)),
    ],
    covers=(),
    source="Hendrycks & Gimpel 2016",
)
register(
    "glu",
    ad.glu,
    lambda rng: [
        call(normal(rng, 5), normal(rng, 5)),
        call(normal(rng, 2, 3), normal(rng, 2, 3)),
    ],
    covers=(),
    source="book eq. 2.28; Dauphin et al. 2017",
)


def distribution(rng, *shape):
    """Positive rows, also differentiated; the derivative does not need them to sum to 1."""
    return uniform(rng, 0.1, 1, *shape)


register(
    "soft_cross_entropy",
    ad.soft_cross_entropy,
    lambda rng: [
        call(normal(rng, 4), distribution(rng, 4)),
        call(normal(rng, 2, 3), distribution(rng, 2, 3)),
        *(
            call(normal(rng, 2, 2, 3), distribution(rng, 2, 2, 3), reduction=reduction)
            for reduction in ("sum", "none")
        ),
    ],
    covers=(),
    source="book eq. 1.5",
)


# Tiles that divide the sequence and that do not, rows that see nothing, shared heads.
def one(rng, **sizes):
    """Queries, keys and values of one head, unless `sizes` give more."""
    return qkv(rng, **{"H": 1, "G": 1, **sizes})


register(
    "tiled_attention",
    ad.tiled_attention,
    lambda rng: [
        call(*one(rng), block_q=1, block_k=1),
        call(*one(rng, H=2, T=2), block_q=1, block_k=2, causal=True, scale=0.7),
        call(*one(rng, T=2, S=4, J=3), block_q=2, block_k=3, causal=True),
        call(*one(rng), mask=BLIND, block_k=2),
        call(*one(rng, B=2), mask=np.stack([SOME, SOME[::-1]])[:, None], block_q=2, block_k=2),
        call(
            *qkv(rng, T=2, S=2),
            mask=np.stack([SOME, SOME.T])[None, :, :2, 1:],
            block_q=2,
            block_k=1,
        ),
        # padding: one row of the mask for all queries
        call(*one(rng, T=1), mask=np.array([True, False, True]), block_q=2, block_k=2),
    ],
    source="book section 2.3.1; Dao et al. 2022",
)
