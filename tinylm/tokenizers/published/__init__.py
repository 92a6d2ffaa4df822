"""Tokenizers that others published: a file is read in full, or the field is named that is not.

strict.py      objects of JSON of which every field must be read
normalize.py   how a text is changed before it is split (patterns.py, charsmap.py)
split.py       the pieces that the model never joins
models.py      BPE, WordPiece, Unigram, words: a piece becomes ids
added.py       texts that are one token whatever the model would make of them
decoders.py    tokens become text
frame.py       special tokens around a text
pipeline.py    all of them together: a tokenizer.json (cuts.py: of texts larger than memory)
scored.py      SentencePiece: how pieces are chosen
pieces.py      the tokenizer of a SentencePiece model
sentencepiece.py  its files (protobuf.py); families.py: what model families add to them
vocabularies.py   vocab.json with merges.txt, and vocab.txt
settings.py    tokenizer_config.json; agree.py: it and a tokenizer.json together
folder.py      the tokenizer of a folder, whichever of these files it holds
"""

from tinylm.tokenizers.published.folder import FolderTokenizer, begin_of, read_tokenizer
from tinylm.tokenizers.published.pieces import PieceTokenizer
from tinylm.tokenizers.published.pipeline import PipelineTokenizer

__all__ = ["FolderTokenizer", "PieceTokenizer", "PipelineTokenizer", "begin_of", "read_tokenizer"]
