"""More reward by a learned model, less of what was wanted: over-optimization against a gold reward.

Book section 4.4.1.4, eqs. 4.72 and 4.85; Gao et al. 2023; Coste et al. 2024. Responses are all
4,096 strings of six tokens. The gold reward rises with the first two marks of politeness (one of
the four tokens), falls with more of them, and has a table of neighbouring tokens beside; it labels
pairs and measures, and nothing is trained on it. The reference rarely writes three marks or more,
and labels are of its own pairs, so that reward models know the rise better than the fall. All
begin as the reference:

    one           300 labels
    five          five models on samples with replacement of the same 300 labels: their mean, their
                  minimum, their mean less half of their variance
    more labels   2,400 labels
    careless      300 labels, half of them coins

Best-of-n follows its exact law, for n up to 4,096, and pi* = ref exp(r / beta) / Z is exact. A
transformer is also trained, by RLOO on 64 samples a step with a weak penalty in the reward, against
the one model and against the mean of five. Rewards have mean 0 and variance 1 under the reference;
divergences are KL(policy || reference) in nats.

Five seeds, about 2 minutes on one core. `python scripts/4_alignment/over_optimisation.py [--seed N]
[--device cpu|gpu] [--plot FILE] [--quick]`; --plot saves the curves as a picture (matplotlib),
--quick is two seeds and a tenth of the training. Read next: tinylm/align/inference/law.py,
tinylm/align/rewards/ensemble.py.

Measured output (one core of a busy machine):

    best of n by each reward: the reward itself / gold, means over seeds
        n                              4          16          64         256        1024        4096
        KL, of one                  0.64        1.84        3.17        4.55        5.93        7.30
        gold itself           1.05/ 1.05  1.65/ 1.65  2.01/ 2.01  2.27/ 2.27  2.45/ 2.45  2.56/ 2.56
        one                   1.02/ 0.78  1.65/ 0.97  2.08/ 0.82  2.51/ 0.41  2.77/-0.06  2.91/-0.81
        five, mean            1.06/ 0.78  1.68/ 1.00  2.08/ 1.03  2.36/ 0.96  2.56/ 0.76  2.69/ 0.54
        five, minimum         0.99/ 0.76  1.59/ 0.98  1.87/ 1.05  2.01/ 1.05  2.11/ 1.04  2.19/ 1.00
        five, less variance   1.01/ 0.78  1.58/ 1.00  1.90/ 1.03  2.08/ 1.00  2.17/ 0.88  2.23/ 0.62
        more labels           1.02/ 0.87  1.50/ 1.23  1.74/ 1.47  1.86/ 1.65  1.95/ 1.68  2.02/ 1.65
        careless              1.05/ 0.66  1.83/ 0.90  2.47/ 0.95  3.07/ 0.83  3.64/ 0.36  3.97/-0.44
    pi* of each reward: KL, gold
        beta                           2           1         0.5        0.25      0.0625      0.0156
        gold itself           0.12, 0.50  0.44, 0.92  1.24, 1.48  2.76, 2.01  6.92, 2.57  8.89, 2.64
        one                   0.13, 0.36  0.58, 0.64  1.85, 0.79  3.16, 0.37  7.42,-1.94  9.43,-2.44
        five, mean            0.13, 0.38  0.46, 0.66  1.34, 0.95  3.16, 1.13  6.68, 0.90  8.71, 0.59
        five, minimum         0.11, 0.33  0.40, 0.60  1.14, 0.88  2.12, 0.98  5.64, 0.90  8.42, 0.88
        five, less variance   0.11, 0.35  0.40, 0.63  1.11, 0.90  2.25, 1.01  5.52, 0.91  9.05,-0.21
        more labels           0.12, 0.41  0.38, 0.72  0.95, 1.05  1.92, 1.32  4.63, 1.65  7.49, 1.66
        careless              0.15, 0.30  0.86, 0.53  3.34, 0.34  5.36,-0.52  8.44,-2.72 10.93,-4.54
    trained on samples: after tenths of the steps, KL, the reward itself / gold
        one
            KL            0.00   4.01   6.49   7.31   8.02   8.81   9.47  10.11  10.64  10.80  10.93
            reward        0.00   1.43   1.76   1.62   1.87   2.09   2.40   2.56   2.69   2.71   2.73
            gold          0.00  -1.71  -3.47  -3.19  -4.10  -4.53  -4.53  -4.57  -4.74  -4.72  -4.75
        five, mean
            KL            0.00   3.23   4.12   5.00   6.30   7.50   8.50   9.35   9.09   9.82  10.13
            reward        0.00   1.29   1.56   1.89   2.15   2.29   2.38   2.06   2.13   2.50   2.51
            gold          0.00  -0.34  -0.14   0.27   0.80   0.84   0.42   0.20   0.14   0.33   0.54
        gold at the end against one: -4.75 (-10.81 .. 2.26)
    5 seeds; 108 s of one core
    one model: gold of the best of 256 more than 0.1 below that of the best of 16 (section 4.4.1.4):
      +0.557 [+0.137, +0.976], 5 seeds: shows
    best of 256 by one model: gold more than 1 below its own reward (section 4.4.1.4): +2.1 [+1.25,
      +2.96], 5 seeds: shows
    best of 256: more gold by the mean of five than by one (section 4.4.1.4, eq. 4.72): +0.556
      [+0.502, +0.61], 5 seeds: shows
    best of 256: more gold by the minimum of five than by their mean (section 4.4.1.4): +0.0879
      [-0.434, +0.61], 5 seeds: too small to tell; 0.52 could have been seen
    best of 256: more gold by eight times the labels (section 4.4.1.4): +1.24 [+0.95, +1.53], 5
      seeds: shows
    best of 16: less gold by careless labels (section 4.4.1.4): +0.0629 [-0.407, +0.532], 5 seeds:
      too small to tell; 0.47 could have been seen
    pi* of one model: more gold at beta 1 than at beta 1/64 (section 4.4.1.4): +3.08 [+0.183,
      +5.97], 5 seeds: shows
    trained against one model: less gold at the end than at its best of 10 measurements (section
      4.4.1.4): +5.57 [-0.912, +12], 5 seeds: too small to tell; 6.7 could have been seen
    trained to the end: more gold against the mean of five than one (section 4.4.1.4): +5.28 [-3,
      +13.6], 5 seeds: too small to tell; 8.3 could have been seen

Choosing harder by a reward model of 300 labels first helps, then harms: by the best of 4,096 the
gold reward is below that of the reference, while the model's own reward has never stopped rising.
The mean of five models of the same labels puts this off, and by their minimum little is lost up to
4,096; eight times the labels do more than either. As pi*, a reward has a beta that is best for it,
1/2 for one model and 1/4 for five. A policy trained with next to no penalty goes
further than any best of n, and in the mean of seeds against one model falls at once; but the five
ends lie from -10.81 to 2.26, so that nothing can be said of the next. The gold reward is made so
that more of a good thing is bad in the end; in a pilot with a flatter one (seed 100) the best of
256 by one model still gained.
"""

import copy
import functools
import sys
import time

import numpy as np

from tinylm import backend
from tinylm.align.exact import expectation, kl, optimal_policy
from tinylm.align.exact.policies import ListedPolicy
from tinylm.align.feedback.annotators import SimulatedAnnotator
from tinylm.align.feedback.pairs import EncodedPair
from tinylm.align.inference.law import over_optimization_curve
from tinylm.align.logprobs import frozen_logprobs, response_logprobs
from tinylm.align.policy.groups import rloo_advantages, rloo_loss
from tinylm.align.rewards.ensemble import bootstrap, least, uncertainty_weighted, weighted_mean
from tinylm.align.rewards.modeling import RewardModeling
from tinylm.align.rewards.reward_model import RewardModel, mean_and_deviation
from tinylm.autograd import no_grad
from tinylm.finetune import fit
from tinylm.finetune.instruct.conversations import encode_sft
from tinylm.finetune.instruct.instructions import InstructionTuning
from tinylm.generate.loop import generate_batch
from tinylm.models import GPT, GPTConfig
from tinylm.optim import AdamW
from tinylm.train.experiments.compare import Claim, mean_and_range
from tinylm.train.experiments.picture import Picture
from tinylm.train.experiments.script import command_line

V, LENGTH, MARK = 4, 6, 3  # tokens, of a response, the mark of politeness
PROMPT = [0]
# What the reference is trained on: independent tokens, so that 3 marks or more come in 16 of 1,000.
CHANCES = 0.42, 0.30, 0.18, 0.10
TEXTS, LABELS, MORE, MEMBERS = 3000, 300, 2400, 5
NS = [4**k for k in range(7)]  # 1 .. 4096
BETAS = [2.0 ** (1 - k) for k in range(8)]  # 2 .. 1/64
STEPS, SAMPLES, RATE, BETA, EVERY = 200, 64, 2e-3, 0.02, 20
COMBINED = {
    "five, mean": weighted_mean,
    "five, minimum": least,
    "five, less variance": uncertainty_weighted,
}
LISTED = [0, 1, 2, 3, 5, 7]  # of BETAS, in the table
MODERATE, EXTREME = 2, 4  # positions in NS: best of 16, best of 256

# Written before the run. Gold rewards, one a seed.
FALLS = Claim(
    "one model: gold of the best of 256 more than 0.1 below that of the best of 16",
    "4.4.1.4",
    larger=False,
    least=0.1,
)
GAP = Claim(
    "best of 256 by one model: gold more than 1 below its own reward",
    "4.4.1.4",
    larger=False,
    least=1.0,
)
MEAN = Claim("best of 256: more gold by the mean of five than by one", "4.4.1.4, eq. 4.72")
CAREFUL = Claim("best of 256: more gold by the minimum of five than by their mean", "4.4.1.4")
DATA = Claim("best of 256: more gold by eight times the labels", "4.4.1.4")
CARELESS = Claim("best of 16: less gold by careless labels", "4.4.1.4", larger=False)
PENALTY = Claim("pi* of one model: more gold at beta 1 than at beta 1/64", "4.4.1.4")
TRAINED = Claim(
    "trained against one model: less gold at the end than at its best of 10 measurements",
    "4.4.1.4",
    larger=False,
    least=0.2,
)
ENSEMBLE = Claim("trained to the end: more gold against the mean of five than one", "4.4.1.4")


def gold_rewards(responses, seed):
    """The hidden reward of all responses, (K,)."""
    rng = np.random.default_rng(seed)
    marks = (responses == MARK).sum(axis=1)
    neighbours = 0.2 * rng.normal(size=(V, V))
    beside = neighbours[responses[:, :-1], responses[:, 1:]].sum(axis=1)
    # 0, 1.05, 1.2, .45, -1.2, -3.75, -7.2: the second mark is the last that helps
    return 1.5 * marks - 0.45 * marks**2 + beside


def reference_model(seed, share):
    """A transformer that has learnt to write independent tokens."""
    config = GPTConfig(V, LENGTH + 1, n_layer=2, n_head=2, d_model=32, positions="rope")
    model = GPT(config, seed)
    texts = np.random.default_rng(100 + seed).choice(V, (TEXTS, LENGTH), p=CHANCES)
    examples = [encode_sft(PROMPT, text) for text in texts]
    steps = max(1, int(share * TEXTS / 32))
    task = InstructionTuning()
    fit(model, task, examples, steps=steps, batch_size=32, learning_rate=3e-3, seed=seed)
    return model


def reward_table(reference, responses, chance, pairs, number, share):
    """Rewards of all responses by a model trained on pairs: (K,), mean 0 and variance 1."""
    model = RewardModel(copy.deepcopy(reference), seed=number)
    epochs = 10 * (LABELS / len(pairs)) ** 0.5  # more labels: more steps, fewer epochs
    steps = max(1, int(share * epochs * len(pairs) / 16))
    given = {"steps": steps, "batch_size": 16, "learning_rate": 1e-3, "seed": number}
    fit(model, RewardModeling(), pairs, **given)
    prompts = np.broadcast_to(PROMPT, (len(responses), len(PROMPT)))
    scores = model.score(np.concatenate([prompts, responses], axis=1), batch_size=1024)
    return standard(scores, chance)


def standard(rewards, chance):
    """Rewards with mean 0 and variance 1 under the reference."""
    mean, deviation = mean_and_deviation(rewards, chance)
    return (rewards - mean) / deviation


def labelled(responses, chance, gold, count, rng, careless=0.0):
    """Pairs of the reference's own responses, labelled: list of EncodedPair."""
    annotator = SimulatedAnnotator(lambda prompt, k: gold[k], careless=careless)
    pairs = []
    while len(pairs) < count:
        a, b = rng.choice(len(chance), size=2, p=chance)
        if a != b:
            found = annotator.compare("", a, b, rng)
            sides = (encode_sft(PROMPT, responses[k]) for k in (found.chosen, found.rejected))
            pairs.append(EncodedPair(*sides))
    return pairs


def proxies(reference, responses, chance, gold, seed, share):
    """{name of a learned reward: its table (K,)}."""
    rng = np.random.default_rng(200 + seed)
    draw = functools.partial(labelled, responses, chance, gold)
    learn = functools.partial(reward_table, reference, responses, chance, share=share)
    few = draw(LABELS, rng)
    found = {"one": learn(few, 10 * seed)}
    samples = bootstrap(few, MEMBERS, rng)
    members = np.stack([learn(pairs, 10 * seed + 1 + k) for k, pairs in enumerate(samples)])
    for name, combine in COMBINED.items():
        found[name] = standard(combine(members), chance)
    found["more labels"] = learn(draw(MORE, rng), 10 * seed + 7)
    found["careless"] = learn(draw(LABELS, rng, careless=0.5), 10 * seed + 8)
    return found


def curves(logref, gold, proxy):
    """Best-of-n and pi* of a reward: {"best", "pi*": rows of (KL, proxy, gold)}."""
    chance = np.exp(logref)
    best = over_optimization_curve(chance, proxy, gold, NS)
    optimal = []
    for beta in BETAS:
        logp = optimal_policy(logref, proxy, beta)
        values = (float(expectation(logp, one)) for one in (proxy, gold))
        optimal.append((float(kl(logp, logref)), *values))
    return {"best": best, "pi*": np.array(optimal)}


def policy_curve(reference, logref, gold, proxy, seed, steps):
    """A copy of the reference trained on samples against a reward: rows of (KL, proxy, gold)."""
    model = copy.deepcopy(reference)
    listed = ListedPolicy(model, [PROMPT], LENGTH)
    optimizer = AdamW(model.named_parameters(), weight_decay=0.0)
    places = V ** np.arange(LENGTH)[::-1]  # a response's number in the list
    rows = [_measured(listed, logref, gold, proxy)]
    for step in range(steps):
        first = 10**6 * (seed + 1) + step * SAMPLES
        drawn = generate_batch(model, [PROMPT] * SAMPLES, LENGTH, seed=first)
        batch = InstructionTuning().make_batch([encode_sft(PROMPT, y) for y in drawn])
        logp, counted = response_logprobs(model, batch)
        held, _ = frozen_logprobs(reference, batch)
        # The penalty is in the reward: one number for a response.
        away = (backend.to_cpu(logp.data) - backend.to_cpu(held)).sum(axis=1)
        rewards = proxy[np.array(drawn) @ places] - BETA * away
        optimizer.zero_grad()
        rloo_loss(logp, rloo_advantages(rewards), counted).backward()
        optimizer.step(RATE)
        if (step + 1) % (steps // 10) == 0:
            rows.append(_measured(listed, logref, gold, proxy))
    return np.array(rows)


def _measured(listed, logref, gold, proxy):
    with no_grad():
        logp = listed.logprobs().data[0].astype(np.float64)
    return float(kl(logp, logref)), float(np.exp(logp) @ proxy), float(np.exp(logp) @ gold)


def run(seed, share):
    """All measurements of one seed: {name: curves}, with "trained" among them for two."""
    reference = reference_model(seed, share)
    listed = ListedPolicy(reference, [PROMPT], LENGTH)
    with no_grad():
        logref = listed.logprobs().data[0].astype(np.float64)
    logref -= np.log(np.exp(logref).sum())  # float32 sums to 1 up to rounding
    chance, responses = np.exp(logref), listed.responses
    raw = gold_rewards(responses, 300 + seed)
    gold = standard(raw, chance)
    tables = {"gold itself": gold}
    tables |= proxies(reference, responses, chance, raw, seed, share)
    found = {name: curves(logref, gold, proxy) for name, proxy in tables.items()}
    for name in ("one", "five, mean"):
        steps = max(10, int(share * STEPS))
        given = reference, logref, gold, tables[name], seed, steps
        found[name]["trained"] = policy_curve(*given)
        last = found[name]["trained"][-1]
        print(f"seed {seed}, {name}: KL, proxy, gold {last}", file=sys.stderr, flush=True)
    return found


def show(runs):
    """Print the tables: means over seeds."""
    print("best of n by each reward: the reward itself / gold, means over seeds")
    print(f"    {'n':<20}" + "".join(f"{n:>12}" for n in NS[1:]))
    divergence = np.mean([r["one"]["best"][1:, 0] for r in runs], axis=0)
    print(f"    {'KL, of one':<20}" + "".join(f"{value:>12.2f}" for value in divergence))
    for name in runs[0]:
        mean = np.mean([r[name]["best"][1:] for r in runs], axis=0)
        print(f"    {name:<20}" + "".join(f"{p:>6.2f}/{g:>5.2f}" for _, p, g in mean))
    print("pi* of each reward: KL, gold")
    print(f"    {'beta':<20}" + "".join(f"{BETAS[k]:>12.3g}" for k in LISTED))
    for name in runs[0]:
        mean = np.mean([r[name]["pi*"] for r in runs], axis=0)[LISTED]
        print(f"    {name:<20}" + "".join(f"{d:>6.2f},{g:>5.2f}" for d, _, g in mean))
    print("trained on samples: after tenths of the steps, KL, the reward itself / gold")
    for name in ("one", "five, mean"):
        mean = np.mean([r[name]["trained"] for r in runs], axis=0)
        print(f"    {name}")
        for label, column in (("KL", 0), ("reward", 1), ("gold", 2)):
            cells = "".join(f"{value:>7.2f}" for value in mean[:, column])
            print(f"        {label:<11}{cells}")
    ends = mean_and_range([r["one"]["trained"][-1, 2] for r in runs], ".2f")
    print(f"    gold at the end against one: {ends}")


def verdicts(runs):
    """Print the verdict of every claim."""

    def best(name, at, column=2):
        return np.array([r[name]["best"][at, column] for r in runs])

    def optimal(name, beta):
        return np.array([r[name]["pi*"][BETAS.index(beta), 2] for r in runs])

    def end(name):
        return np.array([r[name]["trained"][-1, 2] for r in runs])

    print(FALLS.line(best("one", EXTREME), best("one", MODERATE)))
    print(GAP.line(best("one", EXTREME), best("one", EXTREME, 1)))
    print(MEAN.line(best("five, mean", EXTREME), best("one", EXTREME)))
    print(CAREFUL.line(best("five, minimum", EXTREME), best("five, mean", EXTREME)))
    print(DATA.line(best("more labels", EXTREME), best("one", EXTREME)))
    print(CARELESS.line(best("careless", MODERATE), best("one", MODERATE)))
    print(PENALTY.line(optimal("one", 1.0), optimal("one", 1 / 64)))
    peaks = np.array([r["one"]["trained"][:, 2].max() for r in runs])
    print(TRAINED.line(end("one"), peaks))
    print(ENSEMBLE.line(end("five, mean"), end("one")))


def plot(path, runs):
    """Save gold and proxy against the root of the divergence as a picture."""
    with Picture(path, columns=2, size=(5.4, 3.8)) as picture:
        for kind, title in (("best", "best of n"), ("trained", "trained")):
            panel = picture.panel(title, "sqrt(KL), KL in nats", "reward")
            for name in runs[0]:
                if kind not in runs[0][name]:
                    continue
                # (points, 3): KL, the reward itself, gold; those of a KL above 0
                mean = np.mean([r[name][kind] for r in runs], axis=0)[1:]
                far = mean[:, 0] ** 0.5
                panel.curve(f"{name}: gold", far, mean[:, 2], color_of=name, linestyle="-")
                if name in ("one", "five, mean"):
                    dashed = {"color_of": name, "linestyle": "--", "marker": ""}
                    panel.curve(f"{name}: the reward itself", far, mean[:, 1], **dashed)


def main(argv=None):
    """Train and measure every seed, print the tables and the verdicts."""
    options, seeds = command_line(argv, __doc__, "two seeds, a tenth of the training", plot=True)
    share = 1.0
    if options.quick:
        share = 0.1
    runs = [run(seed, share) for seed in seeds]
    show(runs)
    print(f"{len(runs)} seeds; {time.process_time():.0f} s of one core")
    verdicts(runs)
    if options.plot:
        plot(options.plot, runs)


if __name__ == "__main__":
    main()
