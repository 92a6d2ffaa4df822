"""Multi-hop questions: one retrieval for each hop   (book section 3.2.2; Mavi et al. 2024).

    What is the capital of the country where Albert Einstein was born?
    1. Where was Albert Einstein born?      retrieve, read: Germany
    2. What is the capital of Germany?      retrieve, read: Berlin

A search with the whole question finds the sentence about Einstein, and hardly the one about Berlin,
with which it shares no name: the second query has words of the first answer. Questions with known
hops are in data/synthetic/prompted/multi_hop.py. Read next: scan.py.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

from tinylm.data.read.items import Item
from tinylm.data.synthetic.prompted.multi_hop import hop_question, read_hops
from tinylm.errors import DataError
from tinylm.generate.retrieval.bm25 import InvertedIndex
from tinylm.prompt.answer import Answer, check_counts
from tinylm.prompt.decompose.plan import decompose
from tinylm.prompt.decompose.successive import Asker
from tinylm.prompt.in_context.few_shot import FewShotPrompt
from tinylm.prompt.in_context.fitted import dropped_of, fit_context
from tinylm.prompt.protocol.text_lm import TextLM
from tinylm.prompt.reasoning.conclusion import first_line, first_option


def sentences(text: str) -> list[str]:
    """The sentences of a text: list of str."""
    return [sentence for sentence in re.split(r"(?<=[.!?])\s+", text.strip()) if sentence]


def known_hops(item: Item, pairs: Sequence[tuple[str, str]]) -> str | None:
    """G_i that reads the hops of a generated question: the next one, with the last answer in its
    words, or None after the last.
    """
    start, relations = read_hops(item.question)
    if len(pairs) == len(relations):
        return None
    # p_i is about a_{i-1}, the first about the name in the question.
    subject = start
    if pairs:
        subject = pairs[-1][1]
    return hop_question(subject, relations[len(pairs) : len(pairs) + 1])


def retrieved(index: InvertedIndex, query: str, k: int) -> list[str]:
    """The k best documents for a query, best first: list of str."""
    return [index.documents[number] for number, _ in index.search(query, k)]


class HopSolver:
    """S_i of a model that reads what is retrieved for a question.

    index      InvertedIndex;  k  documents for each question
    others     as of multi_hop
    retrieved  the documents of each call so far;  text  the last reply
    fits       Fitted of each call: passages differ in length, and so does the room beside them
    """

    def __init__(
        self,
        lm: TextLM,
        index: InvertedIndex,
        demonstrations: Sequence[Item] = (),
        *,
        k: int,
        read: Callable,
        seed: int,
        max_tokens: int,
    ) -> None:
        self.lm, self.index, self.demonstrations, self.k = lm, index, demonstrations, k
        self.read, self.form = read, FewShotPrompt()
        self.options = {"seed": seed, "max_tokens": max_tokens}
        self.retrieved, self.text, self.fits = [], "", []

    def answer(self, question: str) -> str | None:
        """The answer to a question, str or None."""
        self.retrieved.append(retrieved(self.index, question, self.k))
        # Only what this question has found: passages of earlier hops would distract.
        query = Item(question, context=" ".join(self.retrieved[-1]))
        fitted = fit_context(
            self.lm,
            lambda kept: self.form.prompt(query, kept),
            self.demonstrations,
            self.options["max_tokens"],
        )
        self.fits.append(fitted)
        stop = self.form.stop_for(self.lm, fitted.kept)
        self.text = self.lm.complete(fitted.text, stop=stop, **self.options).text
        return self.lm.parsed("hop", self.read(self.text.strip(), query))

    def solve(self, problem: str, whole: Item, pairs: Sequence[tuple[str, str]]) -> str:
        """S_i; an answer that cannot be read is empty."""
        return self.answer(problem) or ""

    def conclude(self, whole: Item, pairs: Sequence[tuple[str, str]]) -> str:
        """S_0: the last hop's answer."""
        if not pairs:
            return self.answer(whole.question)
        return pairs[-1][1] or None


def multi_hop(
    lm: TextLM,
    item: Item,
    demonstrations: Sequence[Item] = (),
    *,
    index: InvertedIndex | None = None,
    k: int = 2,
    generate: Callable | None = None,
    most: int = 4,
    read: Callable = first_line,
    seed: int = 0,
    max_tokens: int = 32,
) -> Answer:
    """Answer a question hop by hop.

    demonstrations  Items in front of every reading prompt
    index           InvertedIndex of what may be retrieved; None: sentences of the item's context
    k               documents that are retrieved for each hop
    generate        G_i: (item, pairs) -> the next question or None; None: the model, which does not
                    see the context (successive.py)
    most            hops at most
    read            reader of a hop's answer (reasoning/conclusion.py)
    returns         Answer: the last hop's, or that of the question itself if there was no hop;
                    details: "pairs", "retrieved" (the documents of each call), "plan", and the
                    "dropped" demonstrations
    raises          DataError without a context or an index
    """
    check_counts("multi_hop", k=k)
    check_counts("multi_hop", least=0, most=most)
    if index is None:
        if not item.context:
            raise DataError("multi_hop: there is nothing to retrieve: give a context or an index")
        index = InvertedIndex(sentences(item.context))
    if generate is None:
        # G_i plans by the question and the answers so far; S_i alone reads passages.
        asker = Asker(lm, seed=seed)

        def generate(problem, pairs):
            return asker.generate(Item(problem.question), pairs)

    options: dict[str, Any] = {"k": k, "read": read, "seed": seed, "max_tokens": max_tokens}
    solver = HopSolver(lm, index, demonstrations, **options)
    plan = decompose(item, generate, solver.solve, solver.conclude, most)
    value = plan.answer
    # The last hop ends in words, and the question wants one of its options.
    if value is not None and item.options:
        value = first_option(value, item)
    lm.parsed("answer", value)
    details = {"pairs": plan.pairs, "retrieved": solver.retrieved, "plan": plan}
    details["dropped"] = dropped_of(solver.fits)
    return Answer(value, solver.text, details)
