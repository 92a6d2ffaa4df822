"""Objectives of encoder-decoders: corrupt a text, then write the original   (book section 1.2.3;
Table 1.1).

In order: noise.py (BART's five kinds of noise), seq2seq.py, sentinels.py (T5), ul2.py,
text_to_text.py.
"""
