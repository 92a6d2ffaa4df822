"""Random small decoders and layouts, trained for some steps alone and together, and compared."""

from dataclasses import dataclass

import numpy as np

from tinylm.models import GPT, GPTConfig
from tinylm.nn.position.bias import POSITION_BIASES
from tinylm.nn.promised import promised
from tinylm.optim import AdamW
from tinylm.optim.flat import FlatParameters
from tinylm.parallel.communicate.simulator import simulate
from tinylm.parallel.experts.routers import expert_layers, is_expert
from tinylm.parallel.mesh import Layout, Mesh
from tinylm.parallel.step import ParallelTrainer
from tinylm.parallel.together import Together
from tinylm.pretrain import CausalLM
from tinylm.train.trainer import Trainer

# FIRE's last bias is added to all scores alike, so its gradient is 0 up to rounding, which Adam
# divides by its own size.
UNSEEN = "position_bias.out.bias"
STEPS, RATE, CLIP, SEED = 2, 1e-2, 0.5, 7


@dataclass(frozen=True)
class Draw:
    """A decoder, its objective, and how it is shared."""

    config: GPTConfig
    objective: CausalLM
    layout: Layout
    micros: int
    rows: int
    length: int

    def __str__(self):
        return f"{self.layout}; {self.micros} micro-batches"


def draw(seed):
    """A random Draw."""
    rng = np.random.default_rng([5, seed])

    def one(*values):
        return values[rng.integers(len(values))]

    groups = one(1, 2, 3)
    heads = groups * one(1, 2)
    tp = int(rng.integers(1, groups + 1))
    pp, chunks, dp = one(1, 1, 2, 3), one(1, 1, 2), one(1, 1, 2, 3)
    schedule = one("gpipe", "1f1b", "zb-h1", "zb-h2", "naive")
    if schedule.startswith("zb"):
        chunks = 1
    micros = one(1, 2, 3)
    if schedule == "1f1b" and chunks > 1:
        micros = pp * one(1, 2)
    sharing = one(1, 1, 1, 2, 3)  # layers with the same keys and values, of which a stage has all
    layers = (pp * chunks - 1) * sharing + one(1, 2, 3)
    cap = one(None, None, 2.0)
    positions = one("learned", "rope", "sinusoidal", "none", *POSITION_BIASES, "alibi_in_root")
    config = GPTConfig(
        vocab_size=one(11, 16, 23),
        context=12,
        n_layer=layers,
        n_head=heads,
        n_kv_head=groups,
        d_model=heads * 4,
        d_hidden=one(7, 12, 16),
        norm=one("layer", "rms"),
        norm_placement=one("pre", "pre", "post", "branch", "sandwich", "parallel", "parallel_pair"),
        activation=one("gelu", "relu", "swiglu"),
        positions=positions,
        bias=one(True, False),
        tied=one(True, True, False),
        dropout=one(0.0, 0.2) if cap is None else 0.0,  # capped attention has none
        attention_cap=cap,
        attention=one(("full",), ("full",), ("window", "full")),
        window=3,
        kv_sharing=sharing,
        qk_norm=one(None, None, "head", "width"),
        embedding_norm=one(False, True),
        logit_cap=one(None, 3.0),
        **draw_experts(one),
    )
    objective = CausalLM(
        one(None, 0), one(0.0, 0.1), one(0.0, 1e-2), one(0.0, 0.3, 0.3), one(0.0, 0.1)
    )
    cp, by_heads = one(1, 1, 2, 3), bool(rng.integers(2))
    if by_heads:
        cp = min(cp, groups // tp * (heads // groups))  # heads of the smallest tensor share
    ep = 1
    if expert_layers(config):
        ep = min(one(1, 2, 2, 3), config.experts)
    if cp * dp * tp * pp * ep > 16:
        dp = 1
    if cp * dp * tp * pp * ep > 16:
        cp = 1
    flags = bool(rng.integers(2)), chunks, schedule, by_heads, one(0, 1, 2, 3)
    layout = Layout(dp, tp, pp, cp, *flags, ep)
    rows = dp * ep * micros + int(rng.integers(3))
    return Draw(config, objective, layout, micros, rows, one(4, 7, 12))


def draw_experts(one):
    """Settings of a decoder with experts, in about half of the draws; {} for others."""
    pattern = one(("dense",), ("dense",), ("experts",), ("dense", "experts"))
    if pattern == ("dense",):
        return {}
    experts = one(2, 3, 5)
    return {
        "feed_forward": pattern,
        "experts": experts,
        "experts_per_token": one(1, 2),
        "gates": one("probability", "share"),
        "capacity_factor": one(None, 0.7, 1.2),
    }


def batches(found):
    """Batches of a Draw: (step, start, stop) -> rows."""

    def rows(step, start, stop):
        shape = found.rows, found.length + 1
        ids = np.random.default_rng([step, 3]).integers(0, found.config.vocab_size, shape)
        return ids[start:stop]

    return rows


def alone(found, dtype=np.float64):
    """(steps, {name: parameter}, {"m", "v": {name: moment}}, state) of the single process."""
    model = GPT(found.config, SEED, dtype)
    flat = FlatParameters(model.named_parameters())
    optimizer = AdamW(flat)
    rest = batches(found), found.rows, RATE, CLIP
    trainer = Trainer(model, found.objective, optimizer, *rest, seed=SEED)
    steps = [trainer.advance() for _ in range(STEPS)]
    arrays, state = trainer.state()
    moments = {kind: flat.named(buffer) for kind, buffer in arrays["optimizer"].items()}
    return steps, arrays["model"], moments, state


def shared(comm, found, dtype=np.float64):
    """The same by the ranks of a communicator, with moments {"m", "v": (N,)}, and what this rank
    holds: whole arrays are on rank 0 alone.
    """
    with promised():
        model = GPT(found.config, SEED, dtype)
    together = Together(model, Mesh(comm, found.layout))
    trainer = ParallelTrainer(
        together,
        found.objective,
        AdamW,
        batches(found),
        found.rows,
        RATE,
        CLIP,
        found.micros,
        SEED,
    )
    steps = [trainer.advance() for _ in range(STEPS)]
    arrays, state = trainer.state()
    at = trainer.mesh.at
    held = {
        (name, at["tp"], at["ep"] * is_expert(name)): share.copy()
        for piece in trainer.optimizer.parameters()
        for name, share in piece.items()
    }
    return steps, arrays["model"], arrays["optimizer"], state, held


def largest_difference(found, dtype=np.float64, run=None):
    """The largest difference between alone and together: of losses, norms, parameters, moments.

    Of parameters and moments relative to the largest of each array.
    """
    run = run or (lambda body, size, *args: simulate(body, size, *args).results)
    expected = alone(found, dtype)
    results = run(shared, found.layout.size, found, dtype)
    differences, same = [], {}
    for steps, _, _, state, held in results:
        if state != expected[3]:  # the counters of dropout and of the optimizer
            return np.inf
        for got, own in zip(steps, expected[0]):
            assert got.tokens == own.tokens
            differences += abs(got.loss / own.loss - 1), abs(got.grad_norm / own.grad_norm - 1)
        for key, share in held.items():  # ranks that hold the same hold the same bits
            if not np.array_equal(same.setdefault(key, share), share):
                return np.inf
    _, whole, moments, *_ = results[0]
    assert list(whole) == list(expected[1]) and list(moments) == list(expected[2])
    pairs = [(whole, expected[1])]
    for kind, named in expected[2].items():
        ends = np.cumsum([array.size for array in named.values()])
        parts = np.split(moments[kind], ends[:-1])
        pairs.append(({n: p.reshape(named[n].shape) for n, p in zip(named, parts)}, named))
    for mine, theirs in pairs:
        for name, array in theirs.items():
            if name == UNSEEN:
                continue
            assert mine[name].shape == array.shape, name
            # Of squares 1e-16: what is 0 but for rounding is compared with nothing smaller.
            scale = max(np.abs(array).max(), 1e-8 if theirs is not expected[2].get("v") else 1e-16)
            differences.append(np.abs(mine[name] - array).max() / scale)
    # What is not a number is as different as can be; max() would pass it over.
    return float(np.nan_to_num(np.max(differences), nan=np.inf))
