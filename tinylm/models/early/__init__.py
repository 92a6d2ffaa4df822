"""Language models before transformers   (book sections 2.1 and 1.1).

In order: ngram.py, nplm.py (feed-forward), word2vec.py, glove.py, recurrent.py. cases.py has the
gradient checks.
"""
