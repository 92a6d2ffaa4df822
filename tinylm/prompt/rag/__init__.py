"""Retrieval-augmented generation: texts are found for a question, and the model answers from them
(book section 3.2.5).

In order: chunks.py (documents as passages), retrievers.py (which of them belong to a question),
prompt.py (question and numbered texts), citations.py (which texts an answer cites), answer.py (all
of it as a method), evaluate.py (closed book, oracle and retrieved; refusals; texts against memory),
coverage.py (does a text know the words of a question?), training_data.py (examples for
fine-tuning), index_file.py and document_index.py (an index of files, kept beside them).
"""

from tinylm.prompt.rag.answer import answer_from, retrieval_answer
from tinylm.prompt.rag.chunks import Passage, all_passages, merged, passages
from tinylm.prompt.rag.citations import Citation, find_citations
from tinylm.prompt.rag.document_index import DocumentIndex, open_index
from tinylm.prompt.rag.evaluate import closed_book, context_reliance, refusals, three_contexts
from tinylm.prompt.rag.prompt import NO_ANSWER, RagPrompt, is_refusal
from tinylm.prompt.rag.retrievers import Dense, Hybrid, Reranked, question_likelihood
from tinylm.prompt.rag.training_data import encode_rag, rag_examples

__all__ = [
    "NO_ANSWER",
    "Citation",
    "Dense",
    "DocumentIndex",
    "Hybrid",
    "Passage",
    "RagPrompt",
    "Reranked",
    "all_passages",
    "answer_from",
    "closed_book",
    "context_reliance",
    "encode_rag",
    "find_citations",
    "is_refusal",
    "merged",
    "open_index",
    "passages",
    "question_likelihood",
    "rag_examples",
    "refusals",
    "retrieval_answer",
    "three_contexts",
]
