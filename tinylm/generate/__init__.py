"""Decoding: from a language model to text. Read protocol.py first, then sample.py, generate.py and score.py."""
from tinylm.generate.cache import KeyValueCache, cache_bytes
from tinylm.generate.enumerable import EnumerableLM
from tinylm.generate.fast import FastDecoder
from tinylm.generate.generate import generate, generate_batch, generate_text, stream_text
from tinylm.generate.protocol import ModelLM, as_language_model
from tinylm.generate.sample import Sampling
from tinylm.generate.score import conditional_logprob, exhaustive_map, perplexity, sequence_logprob
from tinylm.generate.trace import trace_generation

__all__ = ["as_language_model", "cache_bytes", "conditional_logprob", "EnumerableLM", "exhaustive_map", "FastDecoder",
           "generate", "generate_batch", "generate_text", "KeyValueCache", "ModelLM", "perplexity", "Sampling",
           "sequence_logprob", "stream_text", "trace_generation"]
