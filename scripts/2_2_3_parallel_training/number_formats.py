"""What numbers of fewer digits cost in training: float64 to float8, with and without a scale of the
loss, with and without master weights.

Book sections 2.2.3 (mixed precision) and 2.3.1 (low-precision implementation). The same GPT (2
blocks, width 64, 137 thousand parameters) is trained by the trainers of `tinylm train --dtype` on
the text of `tinylm train`, 300 steps of 16 windows of 64 tokens, AdamW with warm-up and cosine; the
runs of a seed have the same first weights and the same batches. Scored by the loss on the whole
validation text of the weights that are kept.

Written down before the run. A format "costs nothing that matters" if the interval (95 %, over
seeds, of paired differences) of its loss above that of float32 lies below 0.01 nats, for float8
below 0.02. Without a scale, and without master weights, training "ends higher" if the interval lies
above 0. Where a claim is too small to tell, the line says what could have been seen.

Besides: where the gradients are. In the passes of the float32 runs after 1, 100 and 300 steps, of
all cotangents that operations send and that are not 0, the share that is 0 in float16 (below 2^-25)
and the share with digits missing (below 2^-14), at a scale of 1 and of 2^15; and the share beyond
its largest number. Of the updates of the weights, the share that changes nothing if the weights are
kept in the format. And what the finished float32 weights lose when they are read in each format
without training in it. 11 minutes on one core of a busy machine. `python
scripts/2_2_3_parallel_training/number_formats.py [--seed N] [--device cpu|gpu] [--quick] [--plot
FILE]`; --quick is two seeds of 30 steps. Read next: ../../tinylm/train/precision/mixed.py.

Measured output (5 seeds, mean with the least and the most; Xeon with AVX-512, one thread):

    validation loss after 300 steps, above float32's (paired), steps left out
    float64                      3.7741 (3.7662 .. 3.7829)      -0.0000 (-0.0000 .. +0.0000)   0.0
    float32                      3.7741 (3.7662 .. 3.7829)      +0.0000 (+0.0000 .. +0.0000)   0.0
    float16, loss scale          3.7741 (3.7663 .. 3.7829)      +0.0000 (-0.0002 .. +0.0002)   0.0
    float16, no scale            3.7751 (3.7670 .. 3.7855)      +0.0010 (+0.0003 .. +0.0026)   0.0
    bfloat16                     3.7743 (3.7667 .. 3.7849)      +0.0002 (-0.0016 .. +0.0020)   0.0
    bfloat16, no master          3.8180 (3.8033 .. 3.8248)      +0.0439 (+0.0371 .. +0.0502)   0.0
    float8                       3.7750 (3.7699 .. 3.7833)      +0.0009 (-0.0027 .. +0.0050)   0.0
    float32 costs nothing that matters over float64 (section 2.2.3): -6.44e-07 [-2.65e-06,
      +1.36e-06], 5 seeds: shows
    float16, loss scale costs nothing that matters over float32 (section 2.2.3): -2.24e-05
      [-0.000226, +0.000181], 5 seeds: shows
    bfloat16 costs nothing that matters over float32 (section 2.2.3): -0.000215 [-0.00206,
      +0.00163], 5 seeds: shows
    float8 costs nothing that matters over float32 (section 2.2.3): -0.000895 [-0.0051, +0.00331], 5
      seeds: shows
    float16, loss scale ends lower than without the scale (section 2.2.3): +0.000958 [-0.000195,
      +0.00211], 5 seeds: too small to tell; 0.0012 could have been seen
    bfloat16 ends lower than without master weights (section 2.2.3): +0.0437 [+0.036, +0.0515], 5
      seeds: shows

    cotangents in float16: share that is 0, subnormal (digits missing), infinite
    after step                               scale 1                         scale 32768
    1                        1.27 %  64.74 %  0.00 %              0.04 %  0.09 %  0.00 %
    100                      1.29 %  67.26 %  0.00 %              0.03 %  0.05 %  0.00 %
    300                      6.05 %  60.39 %  0.00 %              0.02 %  0.36 %  0.00 %

    updates that change nothing where weights are kept in the format, in per cent
    steps              float16    bfloat16
    1 .. 100               1.2         9.2
    101 .. 200             2.0        14.2
    201 .. 300            10.6        38.3

    float32 weights read in each format: loss above float64's, largest |logit - its|
    float32          +1.2e-08 (-3.0e-08 .. +4.9e-08)        3.2e-06 (3.0e-06 .. 3.4e-06)
    float16          -5.6e-06 (-1.3e-04 .. +9.6e-05)        5.6e-03 (5.3e-03 .. 6.0e-03)
    bfloat16         +7.8e-05 (-2.2e-05 .. +2.9e-04)        4.6e-02 (4.2e-02 .. 5.0e-02)
    float8           +6.5e-04 (+2.4e-04 .. +1.1e-03)        2.6e-01 (2.5e-01 .. 2.9e-01)

At this size float32, float16 with a scale, bfloat16 and float8 in linear maps all train as float64
does: float16 may cost up to 0.0003 nats, bfloat16 0.002 and float8 0.005. What costs is to keep the
weights themselves in bfloat16: +0.044 nats, since 9, 14 and 38 of a hundred updates would change
nothing in the first, second and third hundred steps (counted along the float32 runs). Without the
scale 1 to 6 of a hundred cotangents are 0 in float16, and two thirds have digits missing; with it
nearly all are whole. The loss shows little of that: +0.001 nats, too small to tell from 5 seeds.

Reading finished weights in 16 bits moves logits by 0.006 (float16) and 0.05 (bfloat16) and the loss
by less than 0.0003; float8 moves logits by 0.26 and the loss by 0.0007. No step had to be left out
here; in 60 steps of `tinylm train --dtype float16`, of width 128 and with a warm-up of 6 steps, two
were, and the scale ended at 8,192.
"""

import dataclasses
import sys
import tempfile
from pathlib import Path

import numpy as np

from tinylm.autograd import no_grad
from tinylm.autograd.engine.rounding import Rounding, rounding
from tinylm.backend import to_cpu
from tinylm.models.low_bit.bfloat16 import simulate
from tinylm.optim import AdamW, FlatParameters
from tinylm.train import TrainConfig, prepare_run
from tinylm.train.experiments.compare import Claim, mean_and_range
from tinylm.train.experiments.picture import Picture
from tinylm.train.experiments.script import command_line
from tinylm.train.precision.formats import FORMATS
from tinylm.train.precision.mixed import LossScale, MixedPrecision
from tinylm.train.run.build import new_model
from tinylm.train.run.rows import training_rows
from tinylm.train.trainer import Trainer, share_of_gradient

MODEL = {"n_layer": 2, "d_model": 64, "n_head": 4, "context": 64, "batch_size": 16}
MODEL |= {"positions": "learned", "init": "gpt2", "dropout": 0.0, "weight_decay": 0.1}
MODEL |= {"vocab_size": 512, "schedule": "cosine", "min_lr": None}  # None: a tenth of lr
STEPS, QUICK_STEPS = 300, 30
# Name -> what makes the trainer of it: None for plain arrays, else options of MixedPrecision.
KINDS = {
    "float64": None,
    "float32": None,
    "float16, loss scale": {"format": "float16"},
    "float16, no scale": {"format": "float16", "scale": LossScale(1.0, patience=1 << 62)},
    "bfloat16": {"format": "bfloat16"},
    "bfloat16, no master": {"format": "bfloat16", "master": False},
    "float8": {"format": "float8"},
}
FREE, FREE8 = 0.01, 0.02  # nats
CLAIMS = [
    ("float32", "float64", "costs nothing that matters over float64", -FREE),
    ("float16, loss scale", "float32", "costs nothing that matters over float32", -FREE),
    ("bfloat16", "float32", "costs nothing that matters over float32", -FREE),
    ("float8", "float32", "costs nothing that matters over float32", -FREE8),
    ("float16, loss scale", "float16, no scale", "ends lower than without the scale", 0.0),
    ("bfloat16", "bfloat16, no master", "ends lower than without master weights", 0.0),
]


class Counted(AdamW):
    """AdamW that counts the updates that weights of a format would lose.

    lost  format -> the share of numbers that an update left as they were, one a step
    """

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.lost = {"float16": [], "bfloat16": []}

    def update(self, lr, start, stop, scale):
        before = self.flat.data[start:stop].copy()
        super().update(lr, start, stop, scale)
        if before.dtype == np.float64:
            return
        change = self.flat.data[start:stop] - before
        for name, lost in self.lost.items():
            kept = narrow(before, name)  # what would stand in memory
            lost.append(float(np.mean((narrow(kept + change, name) == kept)[change != 0])))


def narrow(values, name):
    """Numbers of a 16-bit format, in float32."""
    if name == "bfloat16":
        return simulate(values)
    return values.astype(np.float16).astype(np.float32)


def new_trainer(run, kind, seed):
    """The trainer of a kind and a seed: the run's text, weights and batches of the seed."""
    config = dataclasses.replace(run.config, seed=seed)
    dtype = np.float64 if kind == "float64" else np.float32
    config = dataclasses.replace(config, dtype=np.dtype(dtype).name)
    model = new_model(config, run.special)
    if kind == "float64":  # the same numbers, not the same draws in more digits
        like = new_model(dataclasses.replace(config, dtype="float32"), run.special)
        model.load_state_dict(like.state_dict())
    model = model.to(config.device)
    rows = training_rows(config, run.data.train, run.special)
    flat = FlatParameters(model.named_parameters())
    rule = Counted(flat, config.peak_lr, config.betas, weight_decay=config.weight_decay)
    shared = rows.batch, config.batch_size, config.learning_rate, config.clip
    if KINDS[kind] is None:
        return Trainer(model, run.objective, rule, *shared)
    options = dict(KINDS[kind])
    if "scale" in options:
        options["scale"] = LossScale(options["scale"].value, options["scale"].patience)
    return MixedPrecision(model, run.objective, rule, *shared, **options)


def cotangents(trainer):
    """The sizes of all cotangents of a step that are not 0, at a scale of 1: (n,)."""
    sizes = []

    def watch(g):
        size = np.abs(to_cpu(g)).ravel()
        sizes.append(size[size > 0])
        return g

    flat, batch = trainer.optimizer.flat, trainer.batch(trainer.step)
    rows = 0, trainer.batch_size, 0, trainer.comm, trainer.streams
    trainer.model.train()
    with rounding(Rounding(lambda a: a, watch)):
        share_of_gradient(trainer.model, trainer.objective, flat, batch, *rows, batch.tokens)
    flat.zero_grad()
    return np.concatenate(sizes)


def show_gradients(found):
    """Print where the cotangents are, beside the numbers of float16."""
    half = FORMATS["float16"]
    print("cotangents in float16: share that is 0, subnormal (digits missing), infinite")
    print(f"{'after step':<12}" + "".join(f"{f'scale {s:g}':>36}" for s in (1.0, 2.0**15)))
    for step, runs in found.items():
        cells = []
        for scale in (1.0, 2.0**15):
            shares = np.array([in_half(sizes * scale, half) for sizes in runs])
            cells.append("  ".join(f"{100 * share:.2f} %" for share in shares.mean(0)))
        print(f"{step:<12}" + "".join(f"{cell:>36}" for cell in cells))


def in_half(sizes, half):
    """Shares of numbers that are 0, subnormal and infinite in a format."""
    zero = sizes <= half.smallest / 2
    low = (sizes < half.least_normal) & ~zero
    return np.mean(zero), np.mean(low), np.mean(sizes >= half.largest)


def show_reading(run, models):
    """Print what finished float32 weights lose when they are read in each format."""
    print("float32 weights read in each format: loss above float64's, largest |logit - its|")
    ids = next(iter(run.validation.batches(16)))[:, :-1]
    for name in ("float32", "float16", "bfloat16", "float8"):
        rows = []
        for trainer, exact in models:
            with no_grad():
                right = to_cpu(exact.model.eval()(ids).data)
                loss = exact.evaluate(run.validation, 16)[0]
                if name == "float32":
                    logits, found = trainer.model.eval()(ids), trainer.evaluate(run.validation, 16)
                else:
                    low = MixedPrecision(*parts(trainer), format=name)
                    with low.in_passes():
                        logits = low.model.eval()(ids)
                        found = low.evaluate(run.validation, 16)
            rows.append((found[0] - loss, np.abs(to_cpu(logits.data) - right).max()))
        above, error = np.array(rows).T
        print(f"{name:<12}{mean_and_range(above, '+.1e'):>36}{mean_and_range(error, '.1e'):>36}")


def parts(trainer):
    """The arguments that make another trainer of the same model."""
    rule = AdamW(FlatParameters(trainer.model.named_parameters()))
    return trainer.model, trainer.objective, rule, trainer.batches, trainer.batch_size, 0.0


def exact_twin(run, trainer, seed):
    """A float64 trainer with the weights of a float32 one."""
    twin = new_trainer(run, "float64", seed)
    twin.model.load_state_dict(trainer.model.state_dict())
    return twin


def measure(run, seeds, steps):
    """Train every kind from every seed: print all figures; returns losses {kind: (seeds,)}, and
    shares of updates that change nothing (formats, steps).
    """
    losses = {kind: [] for kind in KINDS}
    skipped = {kind: [] for kind in KINDS}
    marks = {1: [], steps // 3: [], steps: []}
    lost, models = [], []
    for seed in seeds:
        for kind in KINDS:
            trainer = new_trainer(run, kind, seed)
            while trainer.step < steps:
                trainer.advance()
                if kind == "float32" and trainer.step in marks:
                    marks[trainer.step].append(cotangents(trainer))
            losses[kind].append(trainer.evaluate(run.validation, 16)[0])
            skipped[kind].append(trainer.figures().get("skipped", 0))
            if kind == "float32":
                lost.append([trainer.optimizer.lost[name] for name in trainer.optimizer.lost])
                models.append((trainer, exact_twin(run, trainer, seed)))
    losses = {kind: np.array(values) for kind, values in losses.items()}
    print(f"validation loss after {steps} steps, above float32's (paired), steps left out")
    for kind, values in losses.items():
        above = mean_and_range(values - losses["float32"], "+.4f")
        print(
            f"{kind:<22}{mean_and_range(values, '.4f'):>32}{above:>34}{np.mean(skipped[kind]):6.1f}"
        )
    for a, b, text, least in CLAIMS:
        claim = Claim(f"{a} {text}", "2.2.3", larger=False, least=least)
        print(claim.line(losses[a], losses[b]))
    print()
    show_gradients(marks)
    shares = np.array(lost).mean(0)  # (formats, steps)
    print("\nupdates that change nothing where weights are kept in the format, in per cent")
    print(f"{'steps':<14}" + "".join(f"{name:>12}" for name in ("float16", "bfloat16")))
    third = max(steps // 3, 1)
    for first in range(0, steps, third):
        cells = 100 * shares[:, first : first + third].mean(1)
        last = min(first + third, steps)
        print(f"{f'{first + 1} .. {last}':<14}" + "".join(f"{cell:12.1f}" for cell in cells))
    print()
    show_reading(run, models)
    return losses, shares


def plot(path, losses, shares):
    """Save losses above float32's, and updates that change nothing, as a picture."""
    with Picture(path, columns=2, size=(5, 3.8)) as picture:
        panel = picture.panel("validation loss above float32's", "nats")
        panel.bars({k: v - losses["float32"] for k, v in losses.items() if k != "float32"}, "+.4f")
        title = "weights kept in the format"
        panel = picture.panel(title, "step", "updates that change nothing (%)")
        for name, values in zip(("float16", "bfloat16"), 100 * shares):
            panel.curve(name, range(1, len(values) + 1), values)


def main(argv=None):
    """Prepare the text once, then measure."""
    options, seeds = command_line(argv, __doc__, "two seeds of 30 steps", plot=True)
    steps = QUICK_STEPS if options.quick else STEPS
    with tempfile.TemporaryDirectory() as folder:
        config = TrainConfig(
            steps=steps, lr=4e-3, device=options.device, out=str(Path(folder) / "run"), **MODEL
        )
        run = prepare_run(config, lambda line: None)
        try:
            losses, shares = measure(run, seeds, steps)
        finally:
            run.lock.close()
    if options.plot:
        plot(options.plot, losses, shares)


if __name__ == "__main__":
    main(sys.argv[1:])
