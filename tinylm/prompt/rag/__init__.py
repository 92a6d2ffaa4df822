"""Retrieval-augmented generation: texts are found for a question, and the model answers from them
(book section 3.2.5).

In order: chunks.py (documents as passages), retrievers.py (which of them belong to a question),
prompt.py (question and numbered texts), citations.py (which texts an answer cites), answer.py (all
of it as a method).
"""

from tinylm.prompt.rag.answer import answer_from, retrieval_answer
from tinylm.prompt.rag.chunks import Passage, all_passages, merged, passages
from tinylm.prompt.rag.citations import Citation, find_citations
from tinylm.prompt.rag.prompt import NO_ANSWER, RagPrompt, is_refusal
from tinylm.prompt.rag.retrievers import Dense, Hybrid, Reranked, question_likelihood

__all__ = [
    "NO_ANSWER",
    "Citation",
    "Dense",
    "Hybrid",
    "Passage",
    "RagPrompt",
    "Reranked",
    "all_passages",
    "answer_from",
    "find_citations",
    "is_refusal",
    "merged",
    "passages",
    "question_likelihood",
    "retrieval_answer",
]
