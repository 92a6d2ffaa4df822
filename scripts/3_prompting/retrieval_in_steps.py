"""One search before the answer, or a search for each step: questions that need two documents.

Book section 3.2.5 (RAG retrieves before prediction, tools during inference) and 3.2.2 (multi-hop
questions). "What is the capital of the country where Ada was born?" needs "Ada was born in Istria."
and "The capital of Istria is Dorham."; the second document shares no name with the question, so
only the first one tells what to search for. A world has 48 such documents, in an index for BM25.
One small GPT learns both ways on worlds of its own, as many tokens of each:

    before    the question is the query; k texts stand in the prompt, and the model writes those
              that it needs, and the answer
    during    the model writes {tool: web-search, query: ".."}, k texts take the place of the call,
              and it goes on with the next query or the answer

Questions of one and two hops are trained. Both ways get two texts a hop; "before" also gets twice
as many, and "given" is the same reader with all right texts among as many. Three hops are beyond
what was trained. Two layers of width 64, five seeds, about 7 minutes on one core. `python
scripts/3_prompting/retrieval_in_steps.py [--seed N] [--device cpu|gpu] [--quick]`; --quick is two
seeds and a tenth of the tokens. Read next: prompt/tools/retrieval_in_inference.py,
prompt/decompose/multi_hop.py.

Measured output (one core):

                                                     right   all documents found  texts  tokens
    1 hops, before                     0.55 (0.42 .. 0.62)   0.98 (0.93 .. 1.00)    2.0      54
    1 hops, before, twice the texts    0.23 (0.17 .. 0.28)   1.00 (1.00 .. 1.00)    4.0      76
    1 hops, given                      0.59 (0.53 .. 0.68)   1.00 (1.00 .. 1.00)    2.0      54
    1 hops, during                     0.66 (0.57 .. 0.75)   0.98 (0.93 .. 1.00)    2.0      77
    2 hops, before                     0.08 (0.05 .. 0.10)   0.09 (0.07 .. 0.10)    4.0      87
    2 hops, before, twice the texts    0.07 (0.00 .. 0.12)   0.28 (0.25 .. 0.33)    8.0     131
    2 hops, given                      0.57 (0.50 .. 0.72)   1.00 (1.00 .. 1.00)    4.0      86
    2 hops, during                     0.61 (0.47 .. 0.75)   0.67 (0.60 .. 0.80)    4.0     152
    3 hops, before                     0.06 (0.03 .. 0.10)   0.00 (0.00 .. 0.00)    6.0     109
    3 hops, given                      0.52 (0.35 .. 0.68)   1.00 (1.00 .. 1.00)    6.0     108
    3 hops, during                     0.07 (0.03 .. 0.12)   0.03 (0.00 .. 0.07)    3.7     158
    5 seeds; 391 s of one core
    two hops, as many texts: both documents found during > before (section 3.2.5): +0.58 [+0.483,
      +0.677], 5 seeds: shows
    two hops, as many texts: right during > before (section 3.2.5): +0.53 [+0.399, +0.661], 5 seeds:
      shows
    and during > before with twice the texts (section 3.2.5): +0.54 [+0.431, +0.649], 5 seeds: shows
    two hops: right with all documents given > as one search finds them (section 3.2.5): +0.49
      [+0.393, +0.587], 5 seeds: shows
    one hop: during costs at most 0.1 (section 3.2.5): +0.115 [-0.0472, +0.277], 5 seeds: shows
    three hops, not trained: right during > before (section 3.2.5): +0.01 [-0.0679, +0.0879], 5
      seeds: too small to tell; 0.18 could have been seen

One search before the answer finds both documents of two hops for 0.09 of the questions, since the
second shares no name with the question, and for 0.28 with twice the texts. A search in each step
finds them for 0.67, and 0.61 are answered right, as many as with the right texts given: one search
lacks texts, and the reader is the same. For one hop either way finds the document nearly always,
and the searches cost nothing that could be seen.

Three hops were not trained. With the right texts given half are answered, but hardly any model
searches a third time (3.7 texts, less than two searches): these steps do not go beyond the trained
number by themselves.
"""

import string
import sys

import numpy as np
from small_runs import main_of, read_once, small_gpt

from tinylm.data.synthetic.draws import distinct, generator
from tinylm.data.synthetic.prompted.multi_hop import (
    KnowledgeGraph,
    hop_question,
    multi_hop_items,
    read_hops,
)
from tinylm.finetune.instruct.conversations import pack
from tinylm.generate.retrieval.bm25 import InvertedIndex
from tinylm.prompt import TextModel
from tinylm.prompt.decompose.multi_hop import retrieved, sentences
from tinylm.prompt.evaluation.judge import is_right
from tinylm.prompt.rag import RagPrompt, answer_from
from tinylm.prompt.reasoning.conclusion import read_conclusion
from tinylm.prompt.tools import Tools, encode_calls
from tinylm.prompt.tools.annotated import Called, with_calls, with_results
from tinylm.prompt.tools.answer import ToolPrompt
from tinylm.prompt.tools.markers import format_marker
from tinylm.prompt.tools.registry import searcher
from tinylm.prompt.tools.retrieval_in_inference import (
    SEARCH,
    retrieval_before,
    retrieval_during,
)
from tinylm.tokenizers import UnigramTokenizer
from tinylm.train.experiments.compare import Claim, mean_and_range

PEOPLE, DOCUMENTS = 12, 48  # of a world: two facts a person, and 12 capitals with their rivers
TEXTS = 2  # for each hop
TRAINED, BEYOND = (1, 2), 3  # hops
# With half of the tokens the searches found both documents of a third of the questions (seed 100).
TOKENS, ROW, BATCH, RATE = 1_500_000, 160, 3, 5e-3
ASKED = 40  # questions of each number of hops
# Training gives the instructions their meaning, so they are short.
READ = RagPrompt("Answer from the texts.", refuse=False, text_name="Text")
CALL = ToolPrompt("Search for the facts.", explain=False)
END, SO = "<|end|>", "So the answer is: {}"
WAYS = "before", "before, twice the texts", "given", "during"
COLUMNS = "right", "found", "texts", "tokens"
# Written before the run; scores are shares of the questions, one a seed.
FOUND = Claim("two hops, as many texts: both documents found during > before", "3.2.5", least=0.1)
RIGHT = Claim("two hops, as many texts: right during > before", "3.2.5", least=0.1)
TWICE = Claim("and during > before with twice the texts", "3.2.5", least=0.1)
READER = Claim(
    "two hops: right with all documents given > as one search finds them", "3.2.5", least=0.1
)
ONE = Claim("one hop: during costs at most 0.1", "3.2.5", least=-0.1, floor=0.0)
FARTHER = Claim("three hops, not trained: right during > before", "3.2.5", least=0.1)


def question(hops, seed):
    """(Item, InvertedIndex): a question about a world of its own, and the world's documents."""
    # With all other facts as distractors the context is the whole world.
    (item,) = multi_hop_items(1, seed, hops, PEOPLE, DOCUMENTS - hops)
    return item, InvertedIndex(sentences(item.context))


# Training.


def texts_given(item, index, count, rng):
    """The right texts of a question among those that a search finds, in random order."""
    right = sentences(item.rationale)
    found = [text for text in retrieved(index, item.question, 2 * count) if text not in right]
    return distinct(right + found[: count - len(right)], count, rng)


def to_read(item, index, rng):
    """(prompt, pieces): texts in the prompt; those that are needed, and the answer."""
    hops = len(sentences(item.rationale))
    # both numbers of texts that are tested
    count = TEXTS * hops * int(rng.integers(1, 3))
    texts = texts_given(item, index, count, rng)
    return READ.prompt(item.question, texts), [f" {item.rationale} {SO.format(item.answer)}"]


def to_search(item, index):
    """(prompt, pieces) of the answer with a search for each hop."""
    start, relations = read_hops(item.question)
    nodes = KnowledgeGraph.read(item.context).walk(start, relations)
    search, pieces = searcher(index, TEXTS), []
    for node, relation in zip(nodes, relations):
        # The query of a hop is the question of that hop alone, about what the last one has found.
        query = hop_question(node, [relation])
        pieces += [" ", Called(format_marker(SEARCH, {"query": query}), search(query))]
    return CALL.prompt(item, Tools({})), [*pieces, f" {SO.format(item.answer)}"]


def tokenizer():
    """Every word of both ways is a token."""
    texts = []
    for seed in range(200):
        item, index = question(TRAINED[-1], seed)
        rng = generator(seed, "words")
        for prompt, pieces in (to_read(item, index, rng), to_search(item, index)):
            texts += [prompt, with_calls(pieces), with_results(pieces)]
    # A call that fails is followed by its error, which may have any of these characters.
    letters = string.ascii_letters + string.digits + string.punctuation
    return UnigramTokenizer.of_words(texts, letters, [END])


def lessons(words, tokens, seed):
    """Rows of new questions, half of the tokens for each way: list of Encoded."""
    rng, found = generator(seed, "lessons"), []
    for write in (lambda item, index: to_read(item, index, rng), to_search):
        used = 0
        while used < tokens / 2:
            item, index = question(int(rng.choice(TRAINED)), int(rng.integers(1 << 40)))
            prompt, pieces = write(item, index)
            # no loss on what a search returns
            rows = encode_calls(words, prompt, pieces, end=words.special[END])
            used += sum(map(len, rows))
            found += rows
    return found


def trained_model(words, tokens, seed, device):
    """A TextModel that has read so many tokens."""
    model = small_gpt(words.vocab_size, 512, seed, d_hidden=64, head_width=32, positions="alibi")
    read_once(model.to(device), pack(lessons(words, tokens, seed), ROW), BATCH, RATE, seed)
    return TextModel.of(model, words, ends=(words.special[END],))


# The measurements.


def ways(hops):
    """The ways that are tested: no training has as many texts as twice those of three hops."""
    return [way for way in WAYS if hops in TRAINED or way != WAYS[1]]


def answered(lm, way, item, index, rng):
    """The Answer of a way, and the texts that it was given."""
    hops = len(sentences(item.rationale))
    k, longest = TEXTS * hops, 40 * (hops + 1)  # more tokens than a hop has in either way
    if way == "given":
        texts = texts_given(item, index, k, rng)
        return answer_from(lm, item, texts, form=READ, max_tokens=longest), texts
    options = {"retriever": index, "max_tokens": longest}
    if way == "during":
        options |= {"k": TEXTS, "form": CALL, "max_calls": hops}
        answer = retrieval_during(lm, item, **options)
    else:
        if way == "before, twice the texts":
            k *= 2
        answer = retrieval_before(lm, item, k=k, form=READ, **options)
    found = [number for search in answer.details["retrievals"] for number, _ in search.found]
    return answer, [index.documents[number] for number in found]


def asked(lm, way, pairs, seed):
    """A way on questions: {"right", "found": share, "texts", "tokens": mean of a question}.

    pairs  list of (Item, InvertedIndex)
    """
    rows = []
    for number, (item, index) in enumerate(pairs):
        before = lm.account.copy()
        answer, texts = answered(lm, way, item, index, generator(seed, f"given {number}"))
        spent = lm.account.since(before)
        found = set(sentences(item.rationale)) <= set(texts)
        # In both ways the answer stands behind the steps.
        _, value = read_conclusion(answer.text, item)
        rows.append((is_right(value, item), found, len(texts), spent.tokens))
    return dict(zip(COLUMNS, np.mean(rows, axis=0)))


def run(words, seed, tokens, count, device):
    """All measurements of one seed: {(hops, way): dict of asked()}."""
    lm, found = trained_model(words, tokens, seed, device), {}
    for hops in (*TRAINED, BEYOND):
        # another stream of worlds than in training, whose seeds are below 2^40
        first = (1 << 41) + 1000 * seed
        pairs = [question(hops, first + i) for i in range(count)]
        for way in ways(hops):
            found[hops, way] = asked(lm, way, pairs, seed)
            line = f"{hops} hops, {way}: {found[hops, way]['right']:.2f}"
            print(f"seed {seed}, {line}", file=sys.stderr, flush=True)
    return found


def show(runs):
    """Print right answers and found documents, mean (least .. most) over seeds, and the cost."""
    print(f"{'':<32}{'right':>22}{'all documents found':>22}{'texts':>7}{'tokens':>8}")
    for hops in (*TRAINED, BEYOND):
        for way in ways(hops):
            rows = [r[hops, way] for r in runs]
            right, found, texts, tokens = ([row[name] for row in rows] for name in COLUMNS)
            cells = f"{mean_and_range(right, '.2f'):>22}{mean_and_range(found, '.2f'):>22}"
            title = f"{hops} hops, {way}"
            print(f"{title:<32}{cells}{np.mean(texts):>7.1f}{np.mean(tokens):>8.0f}")


def verdicts(runs):
    """Print the verdict of every claim."""

    def of(hops, way, name="right"):
        return [r[hops, way][name] for r in runs]

    before, twice, right_texts, during = WAYS
    print(FOUND.line(of(2, during, "found"), of(2, before, "found")))
    print(RIGHT.line(of(2, during), of(2, before)))
    print(TWICE.line(of(2, during), of(2, twice)))
    print(READER.line(of(2, right_texts), of(2, before)))
    print(ONE.line(of(1, during), of(1, before)))
    print(FARTHER.line(of(BEYOND, during), of(BEYOND, before)))


main = main_of(__doc__, tokenizer, run, show, verdicts, (TOKENS, ASKED), quick=5)

if __name__ == "__main__":
    main()
