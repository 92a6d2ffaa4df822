"""From files of text to batches of token ids   (book section 2.2.1, data preparation).

Everything here is NumPy on the CPU and imports neither autograd nor the tokenizers: a tokenizer is
any object with `encode_stream(chunks)` and `vocab_size`. The rooms, in the order of use:

    read       from files to texts and examples
    clean      which texts are kept: cleaning, quality, duplicates, contamination, privacy
    mix        how much of each source
    batches    from text to rows of ids: split, token files, windows, packing
    synthetic  corpora whose correct predictions are known
    measure    memorization, bias, collapse, exact match and overlap
"""

from tinylm.data.batches.packing import BestFitPacking, GreedyPacking, Packed, best_fit
from tinylm.data.batches.prepare import Prepared, prepare
from tinylm.data.batches.split import split_documents, split_text
from tinylm.data.batches.tokenfile import TokenFile, TokenWriter, write_tokens
from tinylm.data.batches.windows import EvenWindows, RandomWindows
from tinylm.data.clean.contamination import Contamination
from tinylm.data.clean.dedup import ExactDuplicates, MinHash, NearDuplicates
from tinylm.data.clean.language_id import LanguageId
from tinylm.data.clean.pipeline import Pipeline, Step, standard_steps
from tinylm.data.clean.privacy import Masker, masked
from tinylm.data.mix.mixture import MixtureSampler, mixture_weights
from tinylm.data.read.documents import read_documents
from tinylm.data.read.shards import Shards, ShardWriter
from tinylm.data.read.text import (
    frequent_characters,
    python_documentation,
    read_text,
    stream_documents,
    stream_text,
    without_repeats,
)
from tinylm.data.synthetic.markov import MarkovChain, copy_task, cycle

__all__ = [
    "BestFitPacking",
    "Contamination",
    "EvenWindows",
    "ExactDuplicates",
    "GreedyPacking",
    "LanguageId",
    "MarkovChain",
    "Masker",
    "MinHash",
    "MixtureSampler",
    "NearDuplicates",
    "Packed",
    "Pipeline",
    "Prepared",
    "RandomWindows",
    "ShardWriter",
    "Shards",
    "Step",
    "TokenFile",
    "TokenWriter",
    "best_fit",
    "copy_task",
    "cycle",
    "frequent_characters",
    "masked",
    "mixture_weights",
    "prepare",
    "python_documentation",
    "read_documents",
    "read_text",
    "split_documents",
    "split_text",
    "standard_steps",
    "stream_documents",
    "stream_text",
    "without_repeats",
    "write_tokens",
]
