"""Do the documents know the words of a question? A reason to refuse before any model is called.

A small model rarely answers "No answer!", whatever it is told. But a question about a king of
Spain, of which no document has the word "king" or "Spain", needs no model to be refused:

    coverage = sum of idf(w) over words w of the question that the texts have
               / sum of idf(w) over all words of the question

Rare words count most, and a word of no document has the largest idf. Read first: answer.py;
generate/retrieval/bm25.py for idf.
"""

from tinylm.data.clean.words import words


def coverage(index, question, texts):
    """The share of a question's words, weighted by their rarity, that some texts have.

    index     InvertedIndex of all documents: gives idf(word)
    question  str;  texts  list of str, the passages found
    returns   0 .. 1; 1 for a question without words
    """
    asked = set(words(question))
    known = {word for text in texts for word in words(text)}
    whole = sum(index.idf(word) for word in asked)
    if not whole:
        return 1.0
    return sum(index.idf(word) for word in asked & known) / whole
