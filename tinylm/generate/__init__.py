"""Decoding: from a language model to text. Read protocol/, then sample.py, stop.py and loop.py; the
rooms:

protocol    the interface that every decoder uses, and scores of given texts
cache       keys and values: all, the last n, in pages, in few bits, shared
fast        one sequence as fast as NumPy can
strategies  beams, contrast, speculation, constraints
retrieval   nearest neighbors, BM25, kNN-LM, RAG
measure     long contexts, foresight, compression
"""

from tinylm.generate.cache.key_value import KeyValueCache, cache_bytes
from tinylm.generate.cache.paged import PagedCache, PagePool
from tinylm.generate.cache.quantized import QuantizedCache
from tinylm.generate.cache.shared import SharedCache
from tinylm.generate.cache.window import WindowCache
from tinylm.generate.fast.folded import FastDecoder
from tinylm.generate.loop import generate, generate_batch, generate_text, stream_text
from tinylm.generate.measure.compression import compress, decompress
from tinylm.generate.protocol.enumerable import EnumerableLM
from tinylm.generate.protocol.language_model import ModelLM, as_language_model
from tinylm.generate.protocol.score import (
    conditional_logprob,
    exhaustive_map,
    perplexity,
    sequence_logprob,
)
from tinylm.generate.protocol.streaming import StreamingLM
from tinylm.generate.retrieval.bm25 import InvertedIndex
from tinylm.generate.retrieval.knn_lm import KNNLM, build_datastore
from tinylm.generate.retrieval.neighbors import ClusteredIndex, knn_search
from tinylm.generate.retrieval.rag import RAG
from tinylm.generate.sample import Sampling
from tinylm.generate.strategies.beam import (
    beam_search,
    diverse_beam_search,
    gnmt_penalty,
    power_penalty,
)
from tinylm.generate.strategies.constrained import (
    ConstrainedLM,
    StringSet,
    TokenAutomaton,
    constrained_generate,
)
from tinylm.generate.strategies.contrastive import contrastive_decode, contrastive_search
from tinylm.generate.strategies.regular import Regular
from tinylm.generate.strategies.rerank import rescore_nbest
from tinylm.generate.strategies.speculative import speculative_generate
from tinylm.generate.strategies.stochastic_beam import stochastic_beam_search
from tinylm.generate.trace import trace_generation

__all__ = [
    "as_language_model",
    "beam_search",
    "build_datastore",
    "cache_bytes",
    "ClusteredIndex",
    "compress",
    "conditional_logprob",
    "constrained_generate",
    "ConstrainedLM",
    "contrastive_decode",
    "contrastive_search",
    "decompress",
    "diverse_beam_search",
    "EnumerableLM",
    "exhaustive_map",
    "FastDecoder",
    "generate",
    "generate_batch",
    "generate_text",
    "gnmt_penalty",
    "InvertedIndex",
    "KeyValueCache",
    "knn_search",
    "KNNLM",
    "ModelLM",
    "PagedCache",
    "PagePool",
    "perplexity",
    "power_penalty",
    "QuantizedCache",
    "RAG",
    "Regular",
    "rescore_nbest",
    "Sampling",
    "sequence_logprob",
    "SharedCache",
    "speculative_generate",
    "stochastic_beam_search",
    "stream_text",
    "StreamingLM",
    "StringSet",
    "TokenAutomaton",
    "trace_generation",
    "WindowCache",
]
