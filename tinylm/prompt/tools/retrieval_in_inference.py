"""Retrieval before prediction, and retrieval during inference   (book section 3.2.5).

    RAG     question -> search -> prompt with texts -> all tokens
    tools   question -> some tokens, a call -> search -> more tokens -> ...

Both create a context by calling something outside of the model, and Pr(y | context) does not depend
on who called. What differs is when: RAG searches once, for the question, before the first token;
a model with tools searches when it needs to, for what it has worked out so far. Read next:
annotated.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from tinylm.data.read.items import Item
from tinylm.generate.retrieval.bm25 import InvertedIndex
from tinylm.prompt.answer import Answer
from tinylm.prompt.protocol.text_lm import TextLM
from tinylm.prompt.rag.answer import retrieval_answer
from tinylm.prompt.tools.answer import tool_answer
from tinylm.prompt.tools.registry import Tools, searcher

SEARCH = "web-search"


@dataclass(frozen=True)
class Retrieval:
    """One search.

    query      str
    found      list of (document number, score)
    generated  tokens that the model had generated for this question before it
    """

    query: str
    found: list
    generated: int


class Watched:
    """A retriever that records when it is called.

    lm         TextLM whose generated tokens are counted from now on
    retriever  has search(query, k) and documents
    """

    def __init__(self, lm: TextLM, retriever: InvertedIndex) -> None:
        self.lm, self.retriever, self.documents = lm, retriever, retriever.documents
        self.retrievals, self._before = [], lm.account.copy()

    def search(self, query: str, k: int) -> list[tuple[int, float]]:
        """As the retriever's."""
        found = self.retriever.search(query, k)
        # 0 with RAG; with tools, all that was written before this call
        generated = self.lm.account.since(self._before).generated_tokens
        self.retrievals.append(Retrieval(query, found, generated))
        return found


def retrieval_before(
    lm: TextLM,
    item: Item,
    demonstrations: Sequence[Item] = (),
    *,
    retriever: InvertedIndex,
    **options: Any,
) -> Answer:
    """The answer by RAG; options of retrieval_answer.

    returns  Answer; details["retrievals"] is a list of one Retrieval, before the first token
    """
    watched = Watched(lm, retriever)
    answer = retrieval_answer(lm, item, demonstrations, retriever=watched, **options)
    return _with_retrievals(answer, watched)


def retrieval_during(
    lm: TextLM,
    item: Item,
    demonstrations: Sequence[Item] = (),
    *,
    retriever: InvertedIndex,
    k: int = 1,
    **options: Any,
) -> Answer:
    """The answer by a model that searches while it writes; options of tool_answer.

    k        texts of a search
    returns  Answer; details["retrievals"] has a Retrieval for each call that was run
    """
    watched = Watched(lm, retriever)
    tools = Tools({SEARCH: searcher(watched, k)})
    answer = tool_answer(lm, item, demonstrations, tools=tools, **options)
    return _with_retrievals(answer, watched)


def _with_retrievals(answer, watched):
    return replace(answer, details=answer.details | {"retrievals": watched.retrievals})
