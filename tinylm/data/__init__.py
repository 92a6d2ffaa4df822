"""Text on its way to a model: read, split, tokenized to a memory-mapped file, cut into windows or packed rows.

Book section 2.2.1 (data preparation). Everything here is NumPy on the CPU and imports neither autograd nor the
tokenizers: a tokenizer is any object with `encode_stream(chunks)` and `vocab_size`. Read in the order
text, split, tokenfile, prepare, windows, packing; `synthetic` makes corpora whose entropy is known.
"""
from tinylm.data.packing import BestFitPacking, GreedyPacking, Packed, best_fit
from tinylm.data.prepare import Prepared, prepare
from tinylm.data.split import split_documents, split_text
from tinylm.data.synthetic import MarkovChain, copy_task, cycle
from tinylm.data.text import python_documentation, read_text, stream_documents, stream_text, without_repeats
from tinylm.data.tokenfile import TokenFile, TokenWriter, write_tokens
from tinylm.data.windows import EvenWindows, RandomWindows

__all__ = [
    "BestFitPacking", "EvenWindows", "GreedyPacking", "MarkovChain", "Packed", "Prepared", "RandomWindows", "TokenFile",
    "TokenWriter", "best_fit", "copy_task", "cycle", "prepare", "python_documentation", "read_text", "split_documents",
    "split_text", "stream_documents", "stream_text", "without_repeats", "write_tokens",
]
