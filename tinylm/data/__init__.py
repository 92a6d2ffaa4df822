"""Text on its way to a model: read, split, tokenized to a memory-mapped file, cut into windows or packed rows.

Book section 2.2.1 (data preparation). Everything here is NumPy on the CPU and imports neither autograd nor the
tokenizers: a tokenizer is any object with `encode_stream(chunks)` and `vocab_size`. Read in the order
text, split, tokenfile, prepare, windows, packing; `synthetic` makes corpora whose entropy is known, `long_tasks` texts
that ask for something said long before.

Before all that, text is chosen: documents, cleaning, quality, repetition, language_id, ngram, classifier, toxicity, dedup,
contamination, privacy, composed in pipeline; mixture and shards bring the sources to the model; memorization and
bias measure what stayed in. `junk` makes a corpus whose junk is known.
"""
from tinylm.data.contamination import Contamination
from tinylm.data.dedup import ExactDuplicates, MinHash, NearDuplicates
from tinylm.data.documents import read_documents
from tinylm.data.language_id import LanguageId
from tinylm.data.mixture import MixtureSampler, mixture_weights
from tinylm.data.packing import BestFitPacking, GreedyPacking, Packed, best_fit
from tinylm.data.pipeline import Pipeline, Step, standard_steps
from tinylm.data.prepare import Prepared, prepare
from tinylm.data.privacy import Masker, masked
from tinylm.data.shards import Shards, ShardWriter
from tinylm.data.split import split_documents, split_text
from tinylm.data.synthetic import MarkovChain, copy_task, cycle
from tinylm.data.text import python_documentation, read_text, stream_documents, stream_text, without_repeats
from tinylm.data.tokenfile import TokenFile, TokenWriter, write_tokens
from tinylm.data.windows import EvenWindows, RandomWindows

__all__ = [
    "BestFitPacking", "Contamination", "EvenWindows", "ExactDuplicates", "GreedyPacking", "LanguageId", "MarkovChain",
    "Masker", "MinHash", "MixtureSampler", "NearDuplicates", "Packed", "Pipeline", "Prepared", "RandomWindows",
    "ShardWriter", "Shards", "Step", "TokenFile", "TokenWriter", "best_fit", "copy_task", "cycle", "masked",
    "mixture_weights", "prepare", "python_documentation", "read_documents", "read_text", "split_documents",
    "split_text", "standard_steps", "stream_documents", "stream_text", "without_repeats", "write_tokens",
]
