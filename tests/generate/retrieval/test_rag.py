"""Retrieval-augmented generation: the template to the letter, and a model that reads what was
found.
"""

import pytest

from tinylm.generate import conditional_logprob, generate_text
from tinylm.generate.retrieval.bm25 import InvertedIndex, expand_query
from tinylm.generate.retrieval.rag import RAG, fill_template, rag_prompt
from tinylm.tokenizers import ByteTokenizer

FACTS = ["Oslo is in Norway.", "Kyoto is in Japan.", "Quito is in Ecuador."]


@pytest.mark.parametrize(
    "pieces, expected",
    [
        ([], "input: Where is Kyoto?\noutput: _____"),
        (FACTS[1:2], "message = Kyoto is in Japan.\ninput: Where is Kyoto?\noutput: _____"),
        (
            FACTS,
            "message = Oslo is in Norway. Kyoto is in Japan. Quito is in Ecuador.\ninput: Where is Kyoto?\noutput: _____",
        ),
    ],
)
def test_the_template_is_filled_to_the_letter(pieces, expected):
    assert fill_template(pieces, "Where is Kyoto?") == expected
    assert rag_prompt(pieces, "Where is Kyoto?") == expected[: -len("_____")]


def test_the_most_relevant_pieces_come_first():
    rag = RAG(None, None, InvertedIndex(FACTS), k=2)
    assert rag.retrieve("Kyoto, is it in Japan?") == [
        FACTS[1],
        FACTS[0],
    ]  # the others tie on "is in"
    assert RAG(None, None, InvertedIndex(FACTS), k=0).prompt("Where is Kyoto?") == rag_prompt(
        [], "Where is Kyoto?"
    )


def test_the_query_may_be_expanded():
    related = {"nippon": ["japan"]}
    rag = RAG(None, None, InvertedIndex(FACTS), k=1, expand=lambda x: expand_query(x, related))
    assert rag.retrieve("nippon") == [FACTS[1]]


def test_answers_and_scores_are_those_of_the_model_given_the_prompt(gpt):
    tokenizer = ByteTokenizer()
    model = gpt(vocab_size=tokenizer.vocab_size, context=128)
    rag = RAG(model, tokenizer, InvertedIndex(FACTS), k=1)
    prompt = "message = Kyoto is in Japan.\ninput: Where is Kyoto?\noutput: "
    assert rag.answer("Where is Kyoto?", 6, seed=3) == generate_text(
        model, tokenizer, prompt, 6, seed=3
    )
    by_hand = conditional_logprob(model, tokenizer.encode(prompt), tokenizer.encode("Japan"))
    assert rag.logprob("Where is Kyoto?", "Japan") == by_hand
    # A start token stands before all of it.
    rag = RAG(model, tokenizer, InvertedIndex(FACTS), k=1, bos=7)
    started = [7, *tokenizer.encode(prompt)]
    assert rag.answer("Where is Kyoto?", 6, seed=3) == generate_text(
        model, tokenizer, started, 6, seed=3
    )
    by_hand = conditional_logprob(model, started, tokenizer.encode("Japan"))
    assert rag.logprob("Where is Kyoto?", "Japan") == by_hand
