"""Model families as configurations of parts   (book chapters 1 and 2).

decoder    GPT and its descendants
encoder    BERT, T5, BART, ELECTRA, XLNet
early      n-grams, word vectors, recurrent models
low_bit    arithmetic in few bits
published  weights that others trained
"""

from tinylm.models.decoder.gpt import GPT, GPTConfig
