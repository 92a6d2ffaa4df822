"""Decoding: from a language model to text. Read protocol.py first, then sample.py, generate.py and score.py.

Searching: beam.py, stochastic_beam.py, contrastive.py. Inside a language: regular.py, constrained.py. Faster: fast.py,
speculative.py. Memory: cache.py, window_cache.py, paged_cache.py, quantized_cache.py, shared_cache.py. Looking things up:
neighbors.py, knn_lm.py, bm25.py, rag.py. Judging: score.py, long_context.py, rerank.py. Compressing: arithmetic_coding.py.
"""
from tinylm.generate.arithmetic_coding import compress, decompress
from tinylm.generate.beam import beam_search, diverse_beam_search, gnmt_penalty, power_penalty
from tinylm.generate.bm25 import InvertedIndex
from tinylm.generate.cache import KeyValueCache, cache_bytes
from tinylm.generate.constrained import ConstrainedLM, StringSet, TokenAutomaton, constrained_generate
from tinylm.generate.contrastive import contrastive_decode, contrastive_search
from tinylm.generate.enumerable import EnumerableLM
from tinylm.generate.fast import FastDecoder
from tinylm.generate.generate import generate, generate_batch, generate_text, stream_text
from tinylm.generate.knn_lm import KNNLM, build_datastore
from tinylm.generate.neighbors import ClusteredIndex, knn_search
from tinylm.generate.paged_cache import PagedCache, PagePool
from tinylm.generate.protocol import ModelLM, as_language_model
from tinylm.generate.quantized_cache import QuantizedCache
from tinylm.generate.rag import RAG
from tinylm.generate.regular import Regular
from tinylm.generate.rerank import rescore_nbest
from tinylm.generate.sample import Sampling
from tinylm.generate.score import conditional_logprob, exhaustive_map, perplexity, sequence_logprob
from tinylm.generate.shared_cache import SharedCache
from tinylm.generate.speculative import speculative_generate
from tinylm.generate.stochastic_beam import stochastic_beam_search
from tinylm.generate.trace import trace_generation
from tinylm.generate.window_cache import StreamingLM, WindowCache

__all__ = ["as_language_model", "beam_search", "build_datastore", "cache_bytes", "ClusteredIndex", "compress",
           "conditional_logprob", "constrained_generate", "ConstrainedLM", "contrastive_decode", "contrastive_search",
           "decompress", "diverse_beam_search", "EnumerableLM", "exhaustive_map", "FastDecoder", "generate",
           "generate_batch", "generate_text", "gnmt_penalty", "InvertedIndex", "KeyValueCache", "knn_search", "KNNLM",
           "ModelLM", "PagedCache", "PagePool", "perplexity", "power_penalty", "QuantizedCache", "RAG", "Regular",
           "rescore_nbest", "Sampling", "sequence_logprob", "SharedCache", "speculative_generate",
           "stochastic_beam_search", "stream_text", "StreamingLM", "StringSet", "TokenAutomaton", "trace_generation",
           "WindowCache"]
