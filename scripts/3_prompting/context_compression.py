"""A context of six facts, read whole, cut short, put into weights, or squeezed into a few vectors:
what is still known?

Book sections 3.3.2.1 to 3.3.2.3: a context may be distilled into weights (eq. 3.13), into gist
tokens, into a soft context (eq. 3.25), or into the summaries of an AutoCompressor (Fig. 3.8), and
then costs fewer tokens or none. The contexts here are where each of six places leads, a token a
fact: a permutation drawn anew. The question is a way to some place; the answer are the next six
places, so that every fact matters and a cut one is missed. A GPT of two layers learns this with the
whole context in view; it is the teacher and the start of all others. Three seeds, about 4 minutes
on one core. `python scripts/3_prompting/context_compression.py [--seed N] [--device cpu|gpu]
[--quick]`; --quick is two seeds and a quarter of the steps. Read next:
finetune/context/context_distillation.py.

Measured output:

    columns: of a context of 6 tokens, those still read. tokens right, chance 0.17;
    divergence from the teacher with the whole context, nats a token; mean (least .. most over
      seeds)
    any context, tested on new ones
                         columns            tokens right              divergence
        whole context          6     0.99 (0.99 .. 1.00)     0.00 (0.00 .. 0.00)
        none                   0     0.30 (0.25 .. 0.35)     5.27 (4.56 .. 6.04)
        cut to 2               2     0.36 (0.34 .. 0.38)     0.92 (0.89 .. 0.95)
        at best 2              2                       -     0.40 (0.39 .. 0.40)
        cut to 4               4     0.59 (0.55 .. 0.63)     0.37 (0.33 .. 0.40)
        at best 4              4                       -     0.09 (0.09 .. 0.09)
        gist 1                 1     0.30 (0.25 .. 0.38)     0.80 (0.59 .. 0.91)
        gist 2                 2     0.47 (0.29 .. 0.80)     0.58 (0.15 .. 0.83)
        gist 4                 4     0.64 (0.35 .. 0.95)     0.32 (0.06 .. 0.57)
        replace 2              2     0.71 (0.59 .. 0.80)     0.22 (0.16 .. 0.29)
        accumulate 2           2     0.77 (0.69 .. 0.89)     0.18 (0.09 .. 0.25)
    one context, new questions
                         columns            tokens right              divergence
        whole context          6     0.96 (0.88 .. 1.00)     0.00 (0.00 .. 0.00)
        none                   0     0.17 (0.17 .. 0.18)     6.66 (6.03 .. 7.01)
        into weights           0     0.98 (0.94 .. 1.00)     0.01 (0.00 .. 0.03)
        soft 1                 1     0.23 (0.20 .. 0.28)     2.28 (1.82 .. 2.88)
        soft 2                 2     0.53 (0.32 .. 0.88)     1.01 (0.09 .. 1.68)
        soft 3                 3     0.80 (0.44 .. 1.00)     0.21 (0.01 .. 0.56)
        soft 6                 6     0.96 (0.88 .. 1.00)     0.00 (0.00 .. 0.01)
        random 6               6     0.17 (0.16 .. 0.17)     5.66 (4.80 .. 6.14)
    3 seed(s); 255 s of one core
    the context matters: whole context > cut to 4 > cut to 2 > none
      by divergence: +0.369 [+0.278, +0.461], 3 seeds: shows
      by tokens right: +0.0523 [-0.0727, +0.177], 3 seeds: too small to tell; 0.13 could have been
        seen
    two gist tokens hold more than two facts can: gist 2 > at best 2
      by divergence: -0.187 [-1.12, +0.745], 3 seeds: too small to tell; 0.93 could have been seen
    more gist tokens hold more: gist 4 > gist 2 > gist 1
      by divergence: +0.217 [-0.267, +0.701], 3 seeds: too small to tell; 0.48 could have been seen
      by tokens right: +0.171 [-0.375, +0.717], 3 seeds: too small to tell; 0.55 could have been
        seen
    two summaries hold more than two facts can: replace 2 > at best 2
      by divergence: +0.18 [+0.00571, +0.354], 3 seeds: shows
    summaries side by side hold more than replaced ones: accumulate 2 > replace 2
      by divergence: +0.0361 [-0.173, +0.245], 3 seeds: too small to tell; 0.21 could have been seen
      by tokens right: +0.0671 [-0.232, +0.366], 3 seeds: too small to tell; 0.3 could have been
        seen
    weights hold the context: into weights > none
      by divergence: +6.65 [+5.3, +8.01], 3 seeds: shows
      by tokens right: +0.807 [+0.73, +0.884], 3 seeds: shows
    trained vectors and not any vectors: soft 1 > random 6
      by divergence: +3.38 [+0.228, +6.53], 3 seeds: shows
      by tokens right: +0.0657 [-0.0391, +0.17], 3 seeds: too small to tell; 0.1 could have been
        seen
    more vectors hold more: soft 6 > soft 3 > soft 2 > soft 1
      by divergence: +1.28 [-2.13, +4.68], 3 seeds: too small to tell; 3.4 could have been seen
      by tokens right: +0.298 [-0.509, +1.1], 3 seeds: too small to tell; 0.81 could have been seen

Weights hold the whole context, also for questions that were not fitted, and as many vectors as the
context has tokens do so too. For contexts not seen in training, two summary vectors hold more than
any two facts could. Between the numbers of gist tokens or of soft vectors three seeds tell nothing:
500 steps are few, and when a compressor finds its trick is chance, so the spread is wide. The cuts
were trained for 150 steps and are far from what they could be; the bound "at best" stands for them.
"none" is the teacher itself without its context.
"""

import argparse
import dataclasses
import time

import numpy as np

from tinylm import backend
from tinylm.finetune import evaluate, fit
from tinylm.finetune.context.auto_compressor import AutoCompressor
from tinylm.finetune.context.context_distillation import AnswerLikelihood, ContextDistillation
from tinylm.finetune.context.contexts import ContextExample
from tinylm.finetune.context.gist import GistCompressor
from tinylm.finetune.context.sequence_distillation import hard_targets
from tinylm.finetune.context.soft_context import SoftContext, compress_context, random_context
from tinylm.models import GPT, GPTConfig
from tinylm.train.experiments.compare import ONLY_RUNS, Claim, mean_and_range, weakest

PLACES, WALK, BATCH = 6, 6, 64
FACTS = PLACES**2  # ids: a fact a -> b is a PLACES + b, the place a is FACTS + a
# of the teacher; a compressor; a cut; what is fitted to one context
STEPS, ADAPT, CUT, FEW = 300, 500, 150, 100
# Rankings, best first, each judged twice: by divergence from the teacher (less is better) and by
# tokens right (more is better, 1 is the most). Paired by seed: all come from its teacher. A ranking
# needs every one of its neighbors.
DIVERGENCE = Claim("by divergence", "3.3.2", larger=False, limit=0.0)
RIGHT = Claim("by tokens right", "3.3.2", limit=1.0)
RANKINGS = {
    "the context matters": ("whole context", "cut to 4", "cut to 2", "none"),
    "two gist tokens hold more than two facts can": ("gist 2", "at best 2"),
    "more gist tokens hold more": ("gist 4", "gist 2", "gist 1"),
    "two summaries hold more than two facts can": ("replace 2", "at best 2"),
    "summaries side by side hold more than replaced ones": ("accumulate 2", "replace 2"),
}
RANKINGS_OF_ONE = {
    "weights hold the context": ("into weights", "none"),
    "trained vectors and not any vectors": ("soft 1", "random 6"),
    "more vectors hold more": ("soft 6", "soft 3", "soft 2", "soft 1"),
}
ANY = (
    "whole context",
    "none",
    "cut to 2",
    "at best 2",
    "cut to 4",
    "at best 4",
    "gist 1",
    "gist 2",
    "gist 4",
    "replace 2",
    "accumulate 2",
)
ONE = ("whole context", "none", "into weights", "soft 1", "soft 2", "soft 3", "soft 6", "random 6")
COLUMNS = {"whole context": PLACES, "none": 0, "into weights": 0}


def permutation_facts(rng):
    """Where each place leads, and the tokens of these facts in a random order."""
    # a -> leads[a]
    leads = rng.permutation(PLACES)
    return leads, tuple(int(a * PLACES + leads[a]) for a in rng.permutation(PLACES))


def question(leads, context, rng):
    """A way of one to three places, and where it goes on from there."""
    way = rng.integers(0, PLACES, int(rng.integers(1, 4))).tolist()
    answer = [way[-1]]
    for _ in range(WALK):
        # the way goes on for WALK places
        answer.append(int(leads[answer[-1]]))
    return ContextExample(
        context, tuple(FACTS + a for a in way), tuple(FACTS + a for a in answer[1:])
    )


def questions(count, seed, same=None):
    """Questions about contexts of their own, or, with `same` given, all about the context drawn
    from that seed.
    """
    rng = np.random.default_rng(seed)
    if same is None:
        return [question(*permutation_facts(rng), rng) for _ in range(count)]
    about = permutation_facts(np.random.default_rng(same))
    return [question(*about, rng) for _ in range(count)]


def short(examples, keep):
    """The same examples, with the last `keep` tokens of the context as the short one."""
    return [dataclasses.replace(e, short=e.context[len(e.context) - keep :]) for e in examples]


def new_questions(examples, others):
    """Those of `others` whose question is not among the examples."""
    # a question is its way: with one context, equal ways have equal answers
    asked = {e.question for e in examples}
    return [e for e in others if e.question not in asked]


def make_model(seed, device):
    """Untied, and with embeddings ten times GPT-2's: with 0.02 the same model learnt nothing in 400
    steps.
    """
    model = GPT(GPTConfig(FACTS + PLACES, 24, 2, 4, 64, norm="rms", bias=False, tied=False), seed)
    model.tokens.weight.data *= 10
    return model.to(device)


def copy(model):
    """A model of its own with the same weights."""
    # the seed does not matter: all weights are replaced
    twin = GPT(model.config, 0)
    twin.load_state_dict(model.state_dict())
    return twin.to(model.tokens.weight.device)


def at_best(examples, keep):
    """The least divergence of any reader of the last `keep` facts from a certain teacher.

    A place whose fact is neither kept nor seen on the way leads with equal chance to each of the
    places that no known fact leads to: log(PLACES - known) nats.
    """
    nats = []
    for e in examples:
        # a fact a PLACES + b is a -> b
        known = dict(divmod(fact, PLACES) for fact in e.context[len(e.context) - keep :])
        way = [place - FACTS for place in (e.question[-1], *e.answer)]
        for a, b in zip(way, way[1:]):
            nats.append(0.0 if a in known else np.log(PLACES - len(known)))
            known[a] = b
    # tokens right have no bound here: they depend on how a reader guesses
    return np.nan, float(np.mean(nats))


def measure(student, teacher, examples):
    """(share of the answers' tokens that are right, divergence from the teacher in nats a token)."""
    task = ContextDistillation(teacher)
    batch = task.make_batch(examples).to(teacher.tokens.weight.device)
    loss = task.loss(student.eval(), batch)[1]["loss"]
    return evaluate(student, task, examples)["agreement"], loss


def learnt(student, teacher, examples, steps, seed, rate):
    """A student after distillation."""
    fit(
        student,
        ContextDistillation(teacher),
        examples,
        steps=steps,
        batch_size=BATCH,
        learning_rate=rate,
        weight_decay=0.0,
        seed=seed,
    )
    return student


def any_context(teacher, seed, steps):
    """Students for any context, tested on new ones: name -> (right, divergence)."""
    # every step reads new contexts
    data = questions(steps * BATCH, [seed, 1])
    test = questions(256, [seed, 2])
    found = {
        "whole context": measure(teacher, teacher, short(test, PLACES)),
        "none": measure(teacher, teacher, test),
    }
    makers = {f"gist {k}": lambda k=k: GistCompressor(copy(teacher), k, seed) for k in (1, 2, 4)}
    # Two segments of three facts: their summaries replace each other, or stand side by side.
    makers["replace 2"] = lambda: AutoCompressor(
        copy(teacher), 2, "replace", bptt=None, segment=3, seed=seed
    )
    makers["accumulate 2"] = lambda: AutoCompressor(
        copy(teacher), 1, "accumulate", bptt=None, segment=3, seed=seed
    )
    for keep in (2, 4):
        # a teacher's copy adapted to the shorter context
        student = learnt(copy(teacher), teacher, short(data, keep), min(steps, CUT), seed, 1e-3)
        found[f"cut to {keep}"] = measure(student, teacher, short(test, keep))
        found[f"at best {keep}"] = at_best(test, keep)
    for name, make in makers.items():
        found[name] = measure(learnt(make(), teacher, data, steps, seed, 2e-3), teacher, test)
    return found


def one_context(teacher, seed, steps):
    """Students of one context, fitted to 64 questions and measured on others.

    returns  name -> (right, divergence)
    """
    asked = hard_targets(
        teacher, questions(64, [seed, 4], same=[seed, 3]), WALK
    )  # answers of the teacher
    test = new_questions(asked, questions(256, [seed, 5], same=[seed, 3]))
    found = {
        "whole context": measure(teacher, teacher, short(test, PLACES)),
        "none": measure(teacher, teacher, test),
    }
    found["into weights"] = measure(
        learnt(copy(teacher), teacher, asked, steps, seed, 1e-3), teacher, test
    )
    # vectors in front, fitted by gradient descent; the teacher stays frozen
    for kappa in (1, 2, 3, 6):
        soft = compress_context(
            teacher,
            ContextDistillation(teacher),
            asked,
            kappa,
            seed,
            steps=steps,
            batch_size=32,
            learning_rate=0.05,
        )
        found[f"soft {kappa}"] = measure(soft, teacher, test)
    found["random 6"] = measure(
        SoftContext(teacher, random_context(teacher, PLACES, seed + 1)), teacher, test
    )
    return found


def run(seed, scale, device):
    """Both tables of one seed."""
    teacher = make_model(seed, device)
    steps = round(STEPS * max(scale, 0.8))  # half a teacher would teach nothing
    fit(
        teacher,
        AnswerLikelihood(),
        short(questions(20_000, [seed, 0]), PLACES),
        steps=steps,
        batch_size=BATCH,
        learning_rate=3e-3,
        weight_decay=0.0,
        seed=seed,
    )
    general = any_context(teacher, seed, round(ADAPT * scale))
    return general, one_context(teacher, seed, round(FEW * scale))


def show(title, names, tables):
    """Print one table: a row for each student, mean (least .. most) over seeds."""
    print(title)
    print(f"    {'':<16}{'columns':>8}{'tokens right':>24}{'divergence':>24}")
    for name in names:
        columns = COLUMNS.get(name)
        if columns is None:
            columns = int(name.split()[-1])
        values = np.array([table[name] for table in tables]).T  # (2, seeds)
        cells = [
            mean_and_range(column, ".2f").replace("nan (nan .. nan)", "-") for column in values
        ]
        print(f"    {name:<16}{columns:>8}" + "".join(f"{cell:>24}" for cell in cells))


def verdicts(rankings, tables):
    """Print the verdicts of rankings: claim -> names, best first."""
    for text, ranking in rankings.items():
        print(f"{text}: {' > '.join(ranking)}")
        for i, claim in ((1, DIVERGENCE), (0, RIGHT)):
            scores = [[table[name][i] for table in tables] for name in ranking]
            # a bound has no tokens right
            if not np.isnan(scores).any():
                steps = [claim.judge(a, b) for a, b in zip(scores, scores[1:])]
                print(f"  {claim.text}: {weakest(steps)}")


def main(argv=None):
    """Train and measure every seed, print both tables and the verdicts."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seed", type=int, default=0, help="the first of the seeds")
    parser.add_argument("--device", default="cpu", choices=("cpu", "gpu"))
    parser.add_argument("--quick", action="store_true", help="two seeds, few steps")
    args = parser.parse_args(argv)
    backend.blas_threads(1)
    began = time.process_time()
    seeds, scale = range(args.seed, args.seed + 3), 1.0
    if args.quick:
        seeds, scale = seeds[:2], 0.25
        print(ONLY_RUNS)
    tables = [run(seed, scale, args.device) for seed in seeds]
    print(
        f"columns: of a context of {PLACES} tokens, those still read. "
        f"tokens right, chance {1 / PLACES:.2f};\ndivergence from the teacher with the whole context, "
        "nats a token; mean (least .. most over seeds)"
    )
    # tables of any context, and of one, a dict for each seed
    general, single = ([both[i] for both in tables] for i in (0, 1))
    show("any context, tested on new ones", ANY, general)
    show("one context, new questions", ONE, single)
    print(f"{len(tables)} seed(s); {time.process_time() - began:.0f} s of one core")
    verdicts(RANKINGS, general)
    verdicts(RANKINGS_OF_ONE, single)


if __name__ == "__main__":
    main()
