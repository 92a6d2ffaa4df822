"""Tokenizers that others published, read from their files with all of their meaning, or refused by
name.

strict.py      objects of JSON of which every field must be read
normalize.py   what happens to a text before it is split; patterns.py, charsmap.py: what it needs
split.py       the pieces that the model never joins
models.py      BPE, WordPiece, Unigram, words: a piece becomes ids
added.py       texts that are one token whatever the model makes of them
decoders.py    tokens become text; frame.py: special tokens around a text
pipeline.py    all of them together: the tokenizer of a tokenizer.json; cuts.py: of texts larger
               than memory
settings.py    tokenizer_config.json; agree.py: it and a tokenizer.json together
vocabularies.py  vocab.json with merges.txt, and vocab.txt
folder.py      the tokenizer of a folder, whatever files it lies in
"""

from tinylm.tokenizers.published.folder import FolderTokenizer, begin_of, read_tokenizer
from tinylm.tokenizers.published.pieces import PieceTokenizer
from tinylm.tokenizers.published.pipeline import PipelineTokenizer

__all__ = ["FolderTokenizer", "PieceTokenizer", "PipelineTokenizer", "begin_of", "read_tokenizer"]
