"""Retrieval-augmented generation: texts are found for a question, and the model answers from them
(book section 3.2.5).

In order: chunks.py (documents as passages), retrievers.py (which of them belong to a question).
"""

from tinylm.prompt.rag.chunks import Passage, all_passages, merged, passages
from tinylm.prompt.rag.retrievers import Dense, Hybrid, Reranked, question_likelihood

__all__ = [
    "Dense",
    "Hybrid",
    "Passage",
    "Reranked",
    "all_passages",
    "merged",
    "passages",
    "question_likelihood",
]
