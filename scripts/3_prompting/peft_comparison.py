"""Full fine-tuning, and ten ways to train less: what each trains, stores and reaches on the same
tasks and data.

Book section 3.3.2.2, Fig. 3.7 (and 3.3.2's claim that prompts learnt as vectors can take the place
of words). A GPT of two layers is pretrained on rewriting six letters: an order (copy, reverse,
rotate) and a step in the alphabet (0, 1, 3), in all pairs but one. In front of the letters stand
two words, one for each, twice; or four blanks, and then it may be any pair. It is then adapted to
three tasks from 200 examples without words: one it was pretrained on (rotate, 1), the pair left out
(reverse, 3), and an order it never saw (places 0, 2, 4, 1, 3, 5). Prompts and prefixes are four
vectors in the place of the words; all other methods read blanks there. Learning rates are the best
of two to four tried on these tasks, with a seed that is not in the table. About 3.5 minutes on one
core. `python scripts/3_prompting/peft_comparison.py [--seed N] [--device cpu|gpu] [--quick]
[--rates]`; --quick is two seeds and few steps, --rates prints the choice of rates. Read next:
tinylm/finetune/peft/lora.py.

Measured output (seconds of an earlier run):

    pretrained 58272 parameters for 1500 steps, 42 s
                                trained    bytes      s           seen       new pair      new order
    no words                          0        0      0     0.1 +- 0.2     0.0 +- 0.0     0.0 +- 0.0
    words                             0        0      0   100.0 +- 0.0    84.9 +- 0.1     0.0 +- 0.0
    full fine-tuning              58272   233088    1.7   100.0 +- 0.0   100.0 +- 0.0   83.5 +- 12.7
    last layer                    28368   113472    1.2    11.5 +- 2.0     7.9 +- 1.5     0.3 +- 0.1
    bitfit                         1104     4416    1.3    92.3 +- 3.0    72.5 +- 2.7     1.7 +- 0.8
    lora q, v                      1536     6144    2.1   100.0 +- 0.0    99.7 +- 0.2   60.7 +- 23.4
    lora all                       6144    24576    2.4   100.0 +- 0.0    99.6 +- 0.5   92.1 +- 13.5
    adapters, Houlsby              1744     6976    1.3    36.5 +- 2.7    11.3 +- 0.8     0.1 +- 0.1
    ia3                             576     2304    2.1    88.7 +- 3.2    43.1 +- 2.9     3.6 +- 1.7
    prefix, states                  384     1536    1.3    99.9 +- 0.1    97.6 +- 0.2     0.1 +- 0.1
    prefix, keys and values         768     3072    1.1   100.0 +- 0.0    97.7 +- 0.6     0.1 +- 0.1
    prompt tuning                   192      768    1.2   100.0 +- 0.0    94.7 +- 0.1     0.2 +- 0.2
    p-tuning (LSTM)               16584      768    1.4   100.0 +- 0.0    94.4 +- 0.2     0.1 +- 0.1
    exact rows of 500, percent, mean +- standard deviation over 3 seeds; 150 steps of 32 of 200
      examples
    learnt vectors take the place of words, seen, all 4 methods: -0.000667 [-0.00354, +0.0022], 3
      seeds: shows
    learnt vectors take the place of words, new pair, all 4 methods: +0.0953 [+0.0896, +0.101], 3
      seeds: shows
    learnt vectors teach what the model cannot do, prefix, states: +0.000667 [-0.0022, +0.00354], 3
      seeds: too small to tell; 0.1 could have been seen
    learnt vectors teach what the model cannot do, prefix, keys and values: +0.000667 [-0.0022,
      +0.00354], 3 seeds: too small to tell; 0.1 could have been seen
    learnt vectors teach what the model cannot do, prompt tuning: +0.002 [-0.00297, +0.00697], 3
      seeds: too small to tell; 0.1 could have been seen
    learnt vectors teach what the model cannot do, p-tuning (LSTM): +0.00133 [-0.00154, +0.0042], 3
      seeds: too small to tell; 0.1 could have been seen
    nearest to the prompt learnt for (rotate, 1), with cosines: rotate 0.75, 1 0.70, rotate 0.85, 1
      0.69

Vectors in front take the place of words for what the model can do already, with 192 to 768 numbers,
also for a pair of skills that never stood together: there they do better than the words. What it
cannot do, they do not teach: on the new order every prompt and prefix is at 0, where a gain of a
tenth would have been seen, and LoRA on all maps is the best in the mean. These figures are of 150
steps and one pretrained model (seeds draw examples and starts); adapters and the last layer come
behind the attention that this task has to redirect, and are slow here: they were not tried for
longer. The four vectors learnt for (rotate, 1) came to lie near its own two words, each twice.
"""

import argparse
import time

import numpy as np

from tinylm import backend
from tinylm.autograd import cross_entropy
from tinylm.backend import Random
from tinylm.finetune import evaluate, fit
from tinylm.finetune.freezing import count_trainable, freeze, trainable, unfreeze
from tinylm.finetune.peft.adapters import houlsby
from tinylm.finetune.peft.counts import counts
from tinylm.finetune.peft.ia3 import ia3
from tinylm.finetune.peft.lora import lora
from tinylm.finetune.peft.partial import bitfit, last_layers
from tinylm.finetune.peft.prefix import hidden_prefix, key_value_prefix
from tinylm.finetune.peft.prompt_encoder import BidirectionalLSTM, PromptEncoder
from tinylm.finetune.peft.soft_prompts import (
    INPUT,
    hybrid,
    nearest_words,
    prompt_tuning,
    vocabulary_start,
)
from tinylm.models import GPT, GPTConfig
from tinylm.pretrain import IGNORE, Batch
from tinylm.train.experiments.compare import ONLY_RUNS, Claim, mean_and_sd, weakest

LETTERS, LENGTH = 10, 6
ORDERS = {"copy": range(6), "reverse": range(5, -1, -1), "rotate": (2, 3, 4, 5, 0, 1)}
STEPS = 0, 1, 3
END, BLANK = LETTERS, LETTERS + 1  # after the letters to rewrite; in front, in the place of words
WORDS = {word: BLANK + 1 + i for i, word in enumerate((*ORDERS, *STEPS))}
PAIRS = [(o, s) for o in ORDERS for s in STEPS]
TASKS = {
    "seen": (ORDERS["rotate"], 1),
    "new pair": (ORDERS["reverse"], 3),
    "new order": ((0, 2, 4, 1, 3, 5), 1),
}
HARD = {"seen": ("rotate", 1), "new pair": ("reverse", 3)}
R, N = 4, 4  # rank and width; vectors of a prompt or prefix
EXAMPLES, HELD_OUT, BATCH = 200, 500, 32
# Accuracies, paired by the seed of examples and starts. Vectors may be a twentieth worse than words
# and still take their place; all four methods must do so.
PLACE = Claim("learnt vectors take the place of words", "3.3.2", least=-0.05, floor=0.0)
# A new order has no words: a tenth of the rows right is learnt by any measure.
TEACH = Claim("learnt vectors teach what the model cannot do", "3.3.2", least=0.1, limit=1.0)
VECTORS = "prefix, states", "prefix, keys and values", "prompt tuning", "p-tuning (LSTM)"
D = 48
CONFIG = GPTConfig(BLANK + 7, N + 2 * LENGTH, 2, 4, D)


def rows(order, step, n, rng):
    """n rows of letters, END, and the letters rewritten: (n, 13)."""
    letters = rng.integers(0, LETTERS, (n, LENGTH))
    rewritten = (letters[:, list(order)] + step) % LETTERS
    return np.concatenate([letters, np.full((n, 1), END), rewritten], axis=1)


class Rewriting:
    """A task for fit(): only the six rewritten letters are in the loss; a row is right as a whole."""

    def make_batch(self, examples, rng=None):
        ids = np.array(examples)
        targets = ids[:, 1:].copy()
        # (n, 12): the words or blanks in front are added by the model
        targets[:, :-LENGTH] = IGNORE
        return Batch(ids[:, :-1], targets)

    def loss(self, model, batch):
        loss = cross_entropy(model(batch.inputs), batch.targets, ignore_index=IGNORE)
        return loss, {"tokens": batch.tokens, "loss": loss.item()}

    def predict(self, model, batch):
        # Under the true letters before it, each next one: all six right <=> greedy decoding right.
        return list(backend.to_cpu(np.argmax(model(batch.inputs).data[:, -LENGTH:], axis=-1)))

    def measure(self, answers, examples):
        right = np.array(answers) == np.array(examples)[:, -LENGTH:]  # (n, 6)
        return {"accuracy": float(np.mean(right.all(axis=1)))}


def in_words(order, step):
    """The words in front of a row, each twice."""
    return [WORDS[order], WORDS[step]] * 2


def pretrain(seed, steps, device):
    """A GPT that rewrites by the words in front; behind blanks, a quarter of the rows, in any way."""
    model = GPT(CONFIG, seed).to(device)
    rng = Random(seed, "pretraining")

    def mixed(n):
        # the pair left out is a task later
        known = [pair for pair in PAIRS if pair != HARD["new pair"]]
        made = []
        for order, step in known:
            row = rows(ORDERS[order], step, n // len(known), rng)
            front = np.where(
                rng.uniform((len(row), 1)) < 0.75, in_words(order, step), BLANK
            )  # (n, 4)
            made += list(np.concatenate([front, row], axis=1))
        return made

    examples = mixed(min(steps, 400) * 64)
    fit(
        model,
        Rewriting(),
        examples,
        steps=steps,
        batch_size=64,
        learning_rate=4e-3,
        weight_decay=0.01,
        seed=seed,
    )
    return model


def p_tuning(model, seed):
    """Prompt tuning through an LSTM as wide as the model."""
    # vectors start as embeddings of random words
    start = vocabulary_start(model.tokens.weight, N, seed)
    network = BidirectionalLSTM(D, D // 2, D, Random(seed, "network"))
    return prompt_tuning(model, PromptEncoder(start, network.to(model.tokens.weight.device)))


def behind_blanks(change):
    """A change of the model as a method: its input comes behind four blanks."""

    def make(model, seed):
        # fixed blanks, then the input
        prompted = hybrid(model, [[BLANK] * N, INPUT])
        change(model, seed)
        return prompted

    return make


# name: (model, seed -> what is trained, learning rate); rates chosen among RATES by --rates
METHODS = {
    "full fine-tuning": (behind_blanks(lambda model, seed: unfreeze(model)), 3e-3),
    "last layer": (behind_blanks(lambda model, seed: last_layers(model, 1)), 3e-2),
    "bitfit": (behind_blanks(lambda model, seed: bitfit(model)), 1e-1),
    "lora q, v": (
        behind_blanks(
            lambda model, seed: lora(model, "qkv", r=R, alpha=2 * R, parts="qv", seed=seed)
        ),
        1e-2,
    ),
    "lora all": (behind_blanks(lambda model, seed: lora(model, r=R, alpha=2 * R, seed=seed)), 3e-2),
    "adapters, Houlsby": (behind_blanks(lambda model, seed: houlsby(model, R, seed=seed)), 1e-1),
    "ia3": (behind_blanks(lambda model, seed: ia3(model)), 1e-1),
    "prefix, states": (lambda model, seed: hidden_prefix(model, N, seed=seed), 1e-1),
    "prefix, keys and values": (lambda model, seed: key_value_prefix(model, N, seed=seed), 1e-1),
    "prompt tuning": (
        lambda model, seed: prompt_tuning(model, vocabulary_start(model.tokens.weight, N, seed)),
        1e-1,
    ),
    "p-tuning (LSTM)": (p_tuning, 3e-2),
}
RATES = 3e-3, 1e-2, 3e-2, 1e-1


def fresh(base):
    """A copy of the pretrained model."""
    model = GPT(base.config, 0).to(base.tokens.weight.device)
    model.load_state_dict(base.state_dict())
    return model.eval()


def data(task, seed):
    """(training rows, held-out rows) of a task."""
    # examples are drawn by seed and task, the same for all methods
    rng = Random(seed, "examples", task)
    return [list(rows(*TASKS[task], n, rng)) for n in (EXAMPLES, HELD_OUT)]


def adapt(base, name, task, seed, steps, rate=None):
    """Train a method on a task.

    returns  accuracy on held-out rows, how many numbers were trained, seconds, the tuned model
    """
    make, usual = METHODS[name]
    # every run starts from the pretrained weights
    tuned, (train, held_out) = make(fresh(base), seed), data(task, seed)
    began = time.process_time()
    fit(
        tuned,
        Rewriting(),
        train,
        steps=steps,
        batch_size=BATCH,
        learning_rate=rate or usual,
        weight_decay=0.0,
        seed=seed,
    )
    seconds = time.process_time() - began
    accuracy = evaluate(tuned, Rewriting(), held_out, 250)["accuracy"]
    return accuracy, count_trainable(tuned), seconds, tuned


def words(base, task, seed):
    """Accuracy with words in front: those of the task, or the best on its training rows."""
    train, held_out = data(task, seed)
    model = freeze(fresh(base))

    def prompted(pair):
        return hybrid(model, [in_words(*pair), INPUT])

    best = HARD.get(task) or max(
        PAIRS, key=lambda pair: evaluate(prompted(pair), Rewriting(), train, 250)["accuracy"]
    )
    return evaluate(prompted(best), Rewriting(), held_out, 250)["accuracy"]


def shown(values):
    """Mean and standard deviation of accuracies, in percent."""
    return mean_and_sd(100 * np.array(values), ".1f")


def choose_rates(base, steps):
    """Print the mean accuracy over tasks of each method and rate, of a seed not in the table."""
    for name in METHODS:
        reached = [
            np.mean([adapt(base, name, task, 1000, steps, rate)[0] for task in TASKS])
            for rate in RATES
        ]
        print(
            f"    {name:<26}"
            + "".join(f"{rate:>9g}: {100 * a:4.1f}" for rate, a in zip(RATES, reached)),
            flush=True,
        )


def table(base, seeds, steps):
    """Print the table; returns accuracies, method -> task -> list over seeds."""
    # numbers trained, as the papers count them
    formula = {**counts(base.config, R, N), "full fine-tuning": base.count_parameters()}
    print(f"{'':<26}{'trained':>9}{'bytes':>9}{'s':>7}" + "".join(f"{task:>15}" for task in TASKS))
    found = {"no words": {}, "words": {}}
    for task in TASKS:
        # no training in the first two rows: only another text in front
        found["words"][task] = [words(base, task, seed) for seed in seeds]
        blank = hybrid(fresh(base), [[BLANK] * N, INPUT])
        found["no words"][task] = [
            evaluate(blank, Rewriting(), data(task, seed)[1], 250)["accuracy"] for seed in seeds
        ]
    for name in found:
        print(
            f"{name:<26}{0:>9}{0:>9}{0:>7}"
            + "".join(f"{shown(found[name][task]):>15}" for task in TASKS)
        )
    for name in METHODS:
        found[name], spent = {}, []
        for task in TASKS:
            runs = [adapt(base, name, task, seed, steps) for seed in seeds]
            found[name][task], trained = [run[0] for run in runs], runs[0][1]
            spent += [run[2] for run in runs]
        # the counts of Fig. 3.7 by formula must be those of the trained arrays
        if formula.get(name, trained) != trained:
            raise AssertionError(
                f"{name} trains {trained} numbers, and {formula[name]} by its formula"
            )
        # What is stored is float32; of p-tuning only the vectors, the network is for training.
        stored = N * D if "p-tuning" in name else trained
        print(
            f"{name:<26}{trained:>9}{4 * stored:>9}{np.mean(spent):>7.1f}"
            + "".join(f"{shown(found[name][task]):>15}" for task in TASKS),
            flush=True,
        )
    return found


def verdicts(found):
    """Print the verdicts."""
    for task in HARD:
        each = [PLACE.judge(found[name][task], found["words"][task]) for name in VECTORS]
        print(f"{PLACE.text}, {task}, all {len(VECTORS)} methods: {weakest(each)}")
    for name in VECTORS:
        verdict = TEACH.judge(found[name]["new order"], found["no words"]["new order"])
        print(f"{TEACH.text}, {name}: {verdict}")


def read_prompt(base, seed, steps):
    """Print the words nearest to the vectors of a learnt prompt."""
    tuned = adapt(base, "prompt tuning", "seen", seed, steps)[3]
    names = {END: "end", **{i: str(word) for word, i in WORDS.items()}}
    prompt = next(iter(trainable(tuned).values()))  # (N, D)
    ids, cosines = nearest_words(prompt, tuned.model.tokens.weight, 1)
    nearest = ", ".join(
        f"{names.get(i, 'letter')} {c:.2f}" for i, c in zip(ids[:, 0].tolist(), cosines[:, 0])
    )
    print(f"nearest to the prompt learnt for (rotate, 1), with cosines: {nearest}")


def main(argv=None):
    """Pre-train, adapt by every method to every task, print the table and the verdicts."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seed", type=int, default=0, help="the first of the seeds")
    parser.add_argument("--device", default="cpu", choices=("cpu", "gpu"))
    parser.add_argument(
        "--quick",
        action="store_true",
        help="two seeds and few steps: the form of the table, not its figures",
    )
    parser.add_argument(
        "--rates",
        action="store_true",
        help="show how learning rates were chosen, instead of the table",
    )
    args = parser.parse_args(argv)
    backend.blas_threads(1)
    began = time.process_time()
    seeds = range(args.seed, args.seed + 3)
    pretraining, steps = 1500, 150
    if args.quick:
        seeds, pretraining, steps = seeds[:2], 60, 10
        print(ONLY_RUNS)
    base = pretrain(args.seed, pretraining, args.device)
    pretrained = time.process_time() - began
    count = base.count_parameters()
    print(f"pretrained {count} parameters for {pretraining} steps, {pretrained:.0f} s", flush=True)
    if args.rates:
        return choose_rates(base, steps)
    found = table(base, seeds, steps)
    print(
        f"exact rows of {HELD_OUT}, percent, mean +- standard deviation over {len(seeds)} seeds; "
        f"{steps} steps of {BATCH} of {EXAMPLES} examples"
    )
    verdicts(found)
    read_prompt(base, args.seed, steps)
    print(f"{time.process_time() - began:.0f} s of one core")


if __name__ == "__main__":
    main()
