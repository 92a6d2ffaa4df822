"""A verifier chooses among solutions of four models: best of 4 against a vote and the best model.

Book sections 3.2.4 (predict, then verify) and 4.4.4. The data: 1,319 questions of GSM8K, each with
one solution of four models, which are right in .217, .347, .390 and .563 of all cases (Cobbe et al.
2021). Which model wrote a solution is hidden: the four are shuffled for each question, and are put
apart again only to measure. The questions are cut into five folds; a verifier is trained on four of
them and chooses in the fifth, so that every question is held out once, and each fold has a seed of
its own. The verifiers are small decoders that read calculations by the origin of their numbers
(calculation_tokens.py); all begin untrained:

    outcome       the last token has the label of the answer
    every token   every token of the path has it
    language      as outcome, with the language-model loss of right solutions beside it
    process       labels of steps by their marks: a result that the gold solution has too, or not;
                  the score is that of the weakest step

A vote counts equal answers, and may weigh them by the verifier's probabilities. Rule: a claim shows
if it does by both of its intervals, over the five folds and over all questions. Sizes, epochs and
which variant the claims are about were chosen by seven pilots on two folds of these questions, with
seed 7. About 10 minutes on one core. `python scripts/4_alignment/gsm8k_verifier.py --data DIR
[--seed N] [--device cpu|gpu] [--quick]`: DIR (or TINYLM_DATA) has
reasoning/gsm8k_example_model_solutions.jsonl.gz; --quick is two folds and a fifth of the training.
Read next: tinylm/align/verifiers/outcome.py.

Measured output (one core of a busy machine):

        a random one                    0.379 (0.354 .. 0.407)
        any is right                    0.672 (0.652 .. 0.723)
        a vote                          0.482 (0.453 .. 0.526)
        best of 4, outcome              0.438 (0.420 .. 0.458)
        vote weighed by outcome         0.506 (0.489 .. 0.534)
        best of 4, every token          0.431 (0.403 .. 0.462)
        vote weighed by every token     0.494 (0.466 .. 0.538)
        best of 4, language             0.441 (0.413 .. 0.462)
        vote weighed by language        0.504 (0.462 .. 0.542)
        best of 4, process              0.393 (0.376 .. 0.419)
        vote weighed by process         0.481 (0.457 .. 0.535)
        always 175b_finetuning          0.347 (0.314 .. 0.364)
        always 175b_verification        0.563 (0.534 .. 0.636)  the best model
        always 6b_finetuning            0.217 (0.197 .. 0.240)
        always 6b_verification          0.390 (0.364 .. 0.424)
    right above wrong, of all solutions; and of those of one question
        outcome                         0.747 (0.729 .. 0.766)  0.685 (0.662 .. 0.718)
        every token                     0.729 (0.703 .. 0.753)  0.664 (0.617 .. 0.701)
        language                        0.750 (0.738 .. 0.762)  0.691 (0.658 .. 0.740)
        process                         0.643 (0.611 .. 0.672)  0.602 (0.571 .. 0.644)
    the outcome verifier takes the solution of
        175b_finetuning                 0.193 (0.170 .. 0.205)
        175b_verification               0.303 (0.288 .. 0.319)
        6b_finetuning                   0.165 (0.117 .. 0.205)
        6b_verification                 0.340 (0.318 .. 0.390)
    5 folds; 602 s of one core
    best of 4 by the outcome verifier > a random one (section 3.2.4): shows
        over 5 folds: +0.059 [+0.037, +0.081]; 0.042 could have been seen
        over 1319 questions: +0.059 [+0.040, +0.078]; 0.039 could have been seen
    best of 4 by the outcome verifier > a vote (section 3.2.4): shows the opposite
        over 5 folds: -0.044 [-0.073, -0.014]; 0.039 could have been seen
        over 1319 questions: -0.044 [-0.065, -0.022]; 0.031 could have been seen
    a vote weighed by the verifier > a vote (section 3.2.4): shows
        over 5 folds: +0.024 [+0.010, +0.038]; 0.024 could have been seen
        over 1319 questions: +0.024 [+0.010, +0.037]; 0.024 could have been seen
    a vote weighed by the verifier > always the best model (section 3.2.4): shows the opposite
        over 5 folds: -0.057 [-0.089, -0.025]; 0.042 could have been seen
        over 1319 questions: -0.057 [-0.078, -0.035]; 0.032 could have been seen
    a label at every token > at the last (section 3.2.4): too small to tell
        over 5 folds: -0.008 [-0.035, +0.019]; 0.037 could have been seen
        over 1319 questions: -0.008 [-0.024, +0.009]; 0.027 could have been seen
    the language-model loss beside it > none (section 3.2.4): too small to tell
        over 5 folds: +0.003 [-0.021, +0.027]; 0.034 could have been seen
        over 1319 questions: +0.003 [-0.012, +0.018]; 0.025 could have been seen
    labels of steps > the label of the answer (section 4.4.4): shows the opposite
        over 5 folds: -0.045 [-0.055, -0.034]; 0.021 could have been seen
        over 1319 questions: -0.045 [-0.066, -0.023]; 0.032 could have been seen

A solution that the outcome verifier prefers is right more often than one at random (0.44 against
0.38), but less often than a vote (0.48): it orders the solutions of one question rightly in 0.69 of
pairs, and agreement between four models is better evidence. Both together are better than either: a
vote weighed by the verifier has 0.51. Always the best model (0.56) stays ahead: the verifier, which
does not see names, takes that model's solution in only 0.30 of cases. A label at every token and
the language-model loss make no difference that could be seen; labels of steps by their marks are
worse than the label of the answer. Training verifiers of billions of parameters on 100 solutions a
question (Cobbe et al. 2021) is another thing than these small ones on four.
"""

import argparse
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from calculation_tokens import CalculationTokens, with_answer

from tinylm import backend
from tinylm.align.rewards.marked import marked_text
from tinylm.align.rewards.process_model import ProcessModeling, ProcessRewardModel
from tinylm.align.rewards.step_labels import step_labels
from tinylm.align.verifiers.outcome import OutcomeVerification, OutcomeVerifier
from tinylm.align.verifiers.paths import JudgedPath
from tinylm.align.verifiers.scorers import PathScorer, outcome_judge, process_judge
from tinylm.align.verifiers.selection import best_is_right, vote_is_right
from tinylm.data.read.solutions import read_solutions
from tinylm.finetune import fit
from tinylm.finetune.metrics import auc
from tinylm.models import GPT, GPTConfig
from tinylm.train.experiments.compare import ONLY_RUNS, Claim, mean_and_range, weakest

SOLUTIONS = "reasoning/gsm8k_example_model_solutions.jsonl.gz"
FOLDS, PATHS = 5, 4
EPOCHS, RATE, BATCH = 4, 2e-3, 32
CONTEXT = 192

# The rules, written before the run. Scores are shares of right choices.
RANDOM = Claim("best of 4 by the outcome verifier > a random one", "3.2.4", least=0.02)
MAJORITY = Claim("best of 4 by the outcome verifier > a vote", "3.2.4", least=0.01)
WEIGHED = Claim("a vote weighed by the verifier > a vote", "3.2.4", least=0.01)
COLUMN = Claim("a vote weighed by the verifier > always the best model", "3.2.4", least=0.01)
TOKEN = Claim("a label at every token > at the last", "3.2.4", least=0.01)
LANGUAGE = Claim("the language-model loss beside it > none", "3.2.4", least=0.01)
STEPS = Claim("labels of steps > the label of the answer", "4.4.4", least=0.01)


@dataclass(frozen=True)
class Question:
    """A question with the solutions of four models in a random order.

    item       Item
    solutions  list of Solution
    """

    item: object
    solutions: list

    @property
    def right(self):
        """(4,) which of them are."""
        return np.array([one.correct for one in self.solutions], float)

    @property
    def texts(self):
        """The paths, each with its answer on the last line."""
        return [with_answer(one.text, one.answer) for one in self.solutions]


def load(data, seed):
    """The questions in a random order, their solutions shuffled: list of Question."""
    solutions = read_solutions(Path(data) / SOLUTIONS)
    rng, questions = np.random.default_rng([seed, 0]), []
    for start in range(0, len(solutions), PATHS):
        four = solutions[start : start + PATHS]
        questions.append(Question(four[0].item, [four[i] for i in rng.permutation(PATHS)]))
    return [questions[i] for i in rng.permutation(len(questions))]


def outcomes(read, questions):
    """A JudgedPath of each solution."""
    found = []
    for one in questions:
        for text, solution in zip(one.texts, one.solutions):
            opened, steps = read(one.item.question, text)
            ids = np.concatenate([opened, *steps])
            found.append(JudgedPath(ids, len(opened), solution.correct))
    return found


def labeled_steps(read, questions):
    """A MarkedText of each solution: a step is correct if the gold solution has its result too.

    A line without a mark has the label of the one before it; what comes after a step that is not
    correct has no label.
    """
    found = []
    for one in questions:
        for text in one.texts:
            opened, steps = read(one.item.question, text)
            labels, label = [], "correct"
            for step in step_labels(text, one.item.rationale, one.item.answer):
                if step.label in ("incorrect", "neutral"):
                    label = "incorrect"
                labels.append(label)
                if label == "incorrect":
                    break
            labels = labels[: len(steps)]
            found.append(marked_text(opened, steps[: len(labels)], labels))
    return found


def trained(model, task, examples, epochs, seed, device):
    """A model after so many epochs."""
    model.to(device)
    options = {"batch_size": BATCH, "learning_rate": RATE, "weight_decay": 0.1, "seed": seed}
    fit(model, task, examples, epochs=epochs, **options)
    return model


def verifiers(read, questions, seed, share, device):
    """{name: PathScorer}"""
    settings = {"positions": "rope", "norm": "rms", "dropout": 0.1}
    config = GPTConfig(read.size, CONTEXT, 2, 4, 64, **settings)
    epochs, judged, found = EPOCHS * share, outcomes(read, questions), {}
    for name, at, language in (
        ("outcome", "last", 0.0),
        ("every token", "token", 0.0),
        ("language", "last", 1.0),
    ):
        model = OutcomeVerifier(GPT(config, seed), seed)
        trained(model, OutcomeVerification(at, language), judged, epochs, seed, device)
        found[name] = PathScorer(outcome_judge(model), read)
    model = ProcessRewardModel(GPT(config, seed), seed=seed)
    trained(model, ProcessModeling(), labeled_steps(read, questions), epochs, seed, device)
    found["process"] = PathScorer(process_judge(model, "least"), read)
    return found


def scored(scorers, questions):
    """{name: (Q, 4) scores}"""
    found = {}
    for name, scorer in scorers.items():
        rows = [scorer.read(q.item.question, text) for q in questions for text in q.texts]
        found[name] = np.reshape(scorer.judge(rows), (-1, PATHS))
    return found


def choices(questions, scores):
    """{way to choose: (Q,) probability that the choice is right}"""
    right = np.array([q.right for q in questions])  # (Q, 4)
    answers = [[one.answer for one in q.solutions] for q in questions]
    found = {"a random one": right.mean(axis=1), "any is right": right.max(axis=1)}
    found["a vote"] = np.array([vote_is_right(a, r) for a, r in zip(answers, right)])
    for name, values in scores.items():
        found[f"best of 4, {name}"] = best_is_right(values, right)
        rows = zip(answers, right, values)
        found[f"vote weighed by {name}"] = np.array([vote_is_right(*row) for row in rows])
    for model in sorted({one.model for one in questions[0].solutions}):
        of = [[one.model for one in q.solutions].index(model) for q in questions]
        found[f"always {model}"] = right[np.arange(len(of)), of]
    return found


def picked(questions, values):
    """How often each model's solution is the choice: {model: share}."""
    names = [q.solutions[i].model for q, i in zip(questions, values.argmax(axis=1))]
    return {name: names.count(name) / len(names) for name in sorted(set(names))}


def run(questions, seed, folds, share, device):
    """Measurements of each fold: list of (questions, scores, choices)."""
    read, found = CalculationTokens(), []
    for fold in range(folds):
        held = questions[fold::FOLDS]
        rest = [q for i, q in enumerate(questions) if i % FOLDS != fold]
        scores = scored(verifiers(read, rest, seed + fold, share, device), held)
        found.append((held, scores, choices(held, scores)))
        print(f"fold {fold}: {time.process_time():.0f} s", file=sys.stderr)
    return found


def show(runs):
    """Print the table: mean (least .. most) over folds."""
    best = best_model(runs)
    for name in runs[0][2]:
        cell = mean_and_range([found[name].mean() for _, _, found in runs], ".3f")
        print(f"    {name:<32}{cell}" + "  the best model" * (name == best))
    print("right above wrong, of all solutions; and of those of one question")
    for name in runs[0][1]:
        whole = [auc(s[name].ravel(), rights(held).ravel()) for held, s, _ in runs]
        inside = [np.mean(within(s[name], rights(held))) for held, s, _ in runs]
        print(f"    {name:<32}{mean_and_range(whole)}  {mean_and_range(inside)}")
    shares = [picked(held, s["outcome"]) for held, s, _ in runs]
    names = sorted(set().union(*shares))
    print("the outcome verifier takes the solution of")
    for name in names:
        print(f"    {name:<32}{mean_and_range([one.get(name, 0.0) for one in shares])}")


def rights(questions):
    """(Q, 4) which solutions are right."""
    return np.array([q.right for q in questions])


def within(scores, right):
    """The auc of each question that has right and wrong solutions."""
    mixed = (right.sum(axis=1) % PATHS) != 0
    return [auc(s, r) for s, r in zip(scores[mixed], right[mixed])]


def best_model(runs):
    """Name of the choice "always the model that is right most often"."""
    names = [name for name in runs[0][2] if name.startswith("always")]
    return max(names, key=lambda name: np.mean([found[name].mean() for _, _, found in runs]))


def verdicts(runs):
    """Print both intervals of every claim, over folds and over questions, and the verdict."""
    best, vote = "best of 4, outcome", "vote weighed by outcome"
    for claim, claimed, other in (
        (RANDOM, best, "a random one"),
        (MAJORITY, best, "a vote"),
        (WEIGHED, vote, "a vote"),
        (COLUMN, vote, best_model(runs)),
        (TOKEN, "best of 4, every token", best),
        (LANGUAGE, "best of 4, language", best),
        (STEPS, "best of 4, process", best),
    ):
        a, b = ([found[name] for _, _, found in runs] for name in (claimed, other))
        folds = claim.judge([x.mean() for x in a], [x.mean() for x in b])
        questions = claim.judge(np.concatenate(a), np.concatenate(b))
        print(f"{claim.text} (section {claim.section}): {weakest([folds, questions]).word}")
        for kind, one in (("folds", folds), ("questions", questions)):
            interval = f"{one.effect:+.3f} [{one.low:+.3f}, {one.high:+.3f}]"
            print(f"    over {one.seeds} {kind}: {interval}; {one.seen:.3f} could have been seen")


def main(argv=None):
    """Train and choose in every fold, print the table and the verdicts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default=os.environ.get("TINYLM_DATA"), help="folder of the data")
    parser.add_argument("--seed", type=int, default=100)
    parser.add_argument("--device", default="cpu", choices=("cpu", "gpu"))
    parser.add_argument("--quick", action="store_true", help="two folds, a fifth of the training")
    args = parser.parse_args(argv)
    if args.data is None:
        parser.error("give --data, or set TINYLM_DATA")
    backend.blas_threads(1)
    folds, share = FOLDS, 1.0
    if args.quick:
        folds, share = 2, 0.2
        print(ONLY_RUNS)
    runs = run(load(args.data, args.seed), args.seed, folds, share, args.device)
    show(runs)
    print(f"{folds} folds; {time.process_time():.0f} s of one core")
    verdicts(runs)


if __name__ == "__main__":
    main()
