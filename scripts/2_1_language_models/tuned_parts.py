"""Instruction tuning of all parameters, of a few, or of new ones beside them; book sections 1.4 and
2.1.3 (Hu et al. 2022; Biderman et al. 2024).

Claims: LoRA, with all pre-trained weights frozen, answers about as often as tuning everything does,
if each has its own best learning rate; at the rate that is best for tuning everything it does
worse, so that a comparison at one rate would be unfair; it forgets less of the text of
pre-training; and a model of which only the last layer, or only the norms, may change follows
instructions less well. Model, facts and questions are those of instruction_tuning.py; every way has
the same samples, batches and steps, and the best of the same six learning rates, on two seeds that
are not used below. Answers are those about names for which no way was tuned, as a mean over four
groups of questions; what is forgotten is the rise of the loss on new stories of the same world.

`python scripts/2_1_language_models/tuned_parts.py [--seed N] [--device cpu|gpu] [--out FILE]
[--quick] [--plot FILE]`; finished cells are kept in FILE and not computed again. 10 seeds, about 7
minutes on one core; --quick is 2 seeds, one rate and half of the steps. Read first:
instruction_tuning.py.

Measured output:

    all parameters         0.001: 0.70   0.002: 0.57   0.004: 0.38   0.008: 0.27   0.016: 0.13
      0.032: 0.08
    LoRA of rank 8         0.001: 0.64   0.002: 0.72   0.004: 0.76   0.008: 0.73   0.016: 0.68
      0.032: 0.19
    LoRA and embeddings    0.001: 0.55   0.002: 0.52   0.004: 0.41   0.008: 0.30   0.016: 0.12
      0.032: 0.08
    attention              0.001: 0.78   0.002: 0.77   0.004: 0.79   0.008: 0.74   0.016: 0.55
      0.032: 0.30
    last layer             0.001: 0.08   0.002: 0.12   0.004: 0.13   0.008: 0.14   0.016: 0.15
      0.032: 0.12
    norms                  0.001: 0.00   0.002: 0.00   0.004: 0.00   0.008: 0.00   0.016: 0.00
      0.032: 0.28

    tuned                parameters                   answers   rise of the loss on stories
    all parameters          109,120       0.61 (0.25 .. 0.81)        2.134 (1.361 .. 2.879)
    LoRA of rank 8           16,384       0.76 (0.55 .. 0.91)        2.572 (1.915 .. 3.183)
    LoRA and embeddings      26,880       0.52 (0.11 .. 0.91)        1.308 (0.540 .. 1.755)
    attention                32,768       0.70 (0.38 .. 0.90)        3.448 (1.067 .. 5.667)
    last layer               49,344       0.14 (0.10 .. 0.17)        7.136 (5.773 .. 9.618)
    norms                       320       0.11 (0.00 .. 0.43)        2.126 (0.577 .. 3.067)
    LoRA of rank 8, at the rate of all parameters: 0.57 (0.10 .. 0.93)
    LoRA answers about as often as tuning everything (section 1.4): +0.152 [+0.0463, +0.257], 10
      seeds: shows
    LoRA gains by a rate of its own (section 1.4): +0.187 [+0.0207, +0.353], 10 seeds: too small to
      tell; 0.2 could have been seen
    LoRA forgets less (section 1.4): -0.437 [-0.848, -0.0269], 10 seeds: shows the opposite
    fewer parts answer less often, attention: -0.0883 [-0.198, +0.0218], 10 seeds: too small to
      tell; 0.14 could have been seen
    fewer parts answer less often, last layer: +0.471 [+0.316, +0.625], 10 seeds: shows
    fewer parts answer less often, norms: +0.501 [+0.349, +0.653], 10 seeds: shows
    10 seeds; 6 minutes of one core

So LoRA answers at least as often as tuning everything, .15 more in the mean, each at its best rate;
it forgets more of the stories, not less, unless the embeddings are tuned with it. The last layer
alone and the norms alone hardly learn the questions. Three best rates are at an end of those tried:
for all parameters instruction_tuning.py, which tried half of it too, found the same one; LoRA with
embeddings may gain by a lower one, the norms by a higher one.
"""

import argparse
from functools import partial

import numpy as np
from instruction_lab import STEPS, Lab

from tinylm import backend
from tinylm.autograd import no_grad
from tinylm.backend import Random
from tinylm.data.synthetic.told_facts import KNOWN
from tinylm.finetune import fit
from tinylm.finetune.freezing import count_trainable, only, unfreeze
from tinylm.finetune.peft.lora import lora
from tinylm.finetune.peft.partial import last_layers, norms_only
from tinylm.pretrain import CausalLM
from tinylm.train.experiments.cells import Cells
from tinylm.train.experiments.compare import ONLY_RUNS, Claim, mean_and_range
from tinylm.train.experiments.picture import Picture, add_plot


def with_embeddings(model):
    """LoRA, and the table of tokens with its tied output."""
    unfreeze(lora(model, r=8).tokens)
    return model


RATES = 1e-3, 2e-3, 4e-3, 8e-3, 1.6e-2, 3.2e-2
TUNING = 1001, 1002  # the seeds on which rates are chosen
SEEDS = 10
SAMPLES, TUNED, BATCH = 720, 150, 32  # samples, steps, and samples a step of tuning
ALL, LORA = "all parameters", "LoRA of rank 8"
WAYS = {
    ALL: lambda model: model,
    LORA: lambda model: lora(model, r=8),
    # the marks of a conversation are new to the model
    "LoRA and embeddings": with_embeddings,
    "attention": lambda model: only(model, "*.attention.*"),
    "last layer": lambda model: last_layers(model, 1),
    "norms": norms_only,
}
# Accuracies, paired: every way of a seed starts from the same model and reads the same samples. A
# gain of less than 0.03 is a few questions of 120.
AS_GOOD = Claim("LoRA answers about as often as tuning everything", "1.4", least=-0.03, floor=0.0)
UNFAIR = Claim("LoRA gains by a rate of its own", "1.4", least=0.03)
FORGETS = Claim("LoRA forgets less", "1.4", larger=False)
LESS = Claim("fewer parts answer less often", "1.4", larger=False, least=0.03)


def stories(lab):
    """New stories of a lab's world, (256, 33) ids."""
    rng = Random(lab.seed, "new stories")
    texts = (lab.words.encode(lab.world.story(rng)) for _ in range(256))
    return np.array([ids[:33] for ids in texts if len(ids) >= 33])


def loss(model, rows):
    """Nats a token of stories."""
    task = CausalLM()
    with no_grad():
        return float(task.loss(model.eval(), task.make_batch(rows))[1]["loss"])


def tuned(lab, way, rate, share):
    """What one way of tuning makes of the model of a lab.

    returns  {"scores": accuracy in four groups, "rise": of the loss on stories, "trained": how many
             parameters}
    """
    model = lab.new(lab.seed)
    model.load_state_dict(lab.pretrained[0])
    rows = stories(lab)
    before = loss(model, rows)
    # lora() and norms_only() change the model in place
    WAYS[way](model)
    fit(
        model,
        lab.task(),
        lab.encoded(lab.samples(KNOWN, SAMPLES)),
        steps=round(TUNED * share),
        batch_size=BATCH,
        learning_rate=rate,
        seed=lab.seed,
    )
    scores = lab.scores(model, KNOWN)
    return {
        "scores": scores,
        "rise": loss(model, rows) - before,
        "trained": count_trainable(model),
    }


def of_seed(cells, lab, way, rate, share):
    """tuned(), as it stands in the file or as it is found now."""
    cell = {"way": way, "rate": rate, "seed": lab.seed, "steps": STEPS, "share": share}
    return cells(cell, partial(tuned, lab, way, rate, share))


def show(found, unfair):
    """Print the table and the verdicts.

    found   {way: results of each seed}, each at its own rate;  unfair  LoRA's at that of ALL
    """
    right = {way: np.array([np.mean(one["scores"]) for one in runs]) for way, runs in found.items()}
    rise = {way: np.array([one["rise"] for one in runs]) for way, runs in found.items()}
    print(f"\n{'tuned':<20}{'parameters':>11}{'answers':>26}{'rise of the loss on stories':>30}")
    for way, runs in found.items():
        cells = f"{mean_and_range(right[way], '.2f'):>26}{mean_and_range(rise[way]):>30}"
        print(f"{way:<20}{runs[0]['trained']:>11,}{cells}")
    same = np.array([np.mean(one["scores"]) for one in unfair])
    print(f"{LORA}, at the rate of {ALL}: {mean_and_range(same, '.2f')}")
    print(AS_GOOD.line(right[LORA], right[ALL]))
    print(UNFAIR.line(right[LORA], same))
    print(FORGETS.line(rise[LORA], rise[ALL]))
    for way in list(WAYS)[3:]:
        print(f"{LESS.text}, {way}: {LESS.judge(right[way], right[ALL])}")


def plot(path, found):
    """Save what tuning gains against what it forgets as a picture."""
    with Picture(path, size=(6, 4)) as picture:
        x, y = "rise of the loss on stories (nats)", "share of answers that are right"
        panel = picture.panel("what is tuned", x, y)
        for way, runs in found.items():
            right = [[np.mean(one["scores"])] for one in runs]
            panel.points(way, [np.mean([one["rise"] for one in runs])], right)


def main(argv=None):
    """Choose the rates, tune in every way from every seed, print the table and the verdicts."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", metavar="FILE", help="keep finished cells there, and go on")
    parser.add_argument("--quick", action="store_true")
    add_plot(parser)
    options = parser.parse_args(argv)
    backend.blas_threads(1)
    count, rates, share, cells = SEEDS, RATES, 1.0, Cells(options.out)
    if options.quick:
        count, rates, share = 2, RATES[1:2], 0.5
        print(ONLY_RUNS)

    def lab(seed):
        return Lab(seed, options.device, share, cells, {})

    choosing, best = [lab(seed) for seed in TUNING], {}
    for way in WAYS:
        scores = [
            np.mean([of_seed(cells, one, way, rate, share)["scores"] for one in choosing])
            for rate in rates
        ]
        best[way] = rates[int(np.argmax(scores))]
        tried = "".join(f"{rate:>8g}: {score:.2f}" for rate, score in zip(rates, scores))
        print(f"{way:<20}{tried}", flush=True)
    labs = [lab(seed) for seed in range(options.seed, options.seed + count)]
    found = {way: [of_seed(cells, one, way, best[way], share) for one in labs] for way in WAYS}
    show(
        found,
        [of_seed(cells, one, LORA, best[ALL], share) for one in labs],
    )
    print(f"{count} seeds; {cells.seconds() / 60:.0f} minutes of one core")
    if options.plot:
        plot(options.plot, found)


if __name__ == "__main__":
    main()
