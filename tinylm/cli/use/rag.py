"""`tinylm rag DOCS... "question"`: answer from one's own files, or refuse where they do not know.

DOCS are files, folders and patterns. Their passages are indexed once, in the folder that holds them
all (.tinylm-index.npz), and again where a file has changed. The passages that fit the question best
are put before it, numbered, and the model is to cite them. The answer is printed with its
citations, [1], and after it the passages that it cites, with their files; if a passage lacks most
words of the statement, it is marked as unsupported. Passages that were given and not cited stand
apart. With --rerank the model first orders the best passages that were found by how probable each
makes the question. A question is refused if too few of its rare words are in them (--covered), if
there are none, or by the model itself. Without a question, the lines of the standard input are
questions. --show prints the passages alone.
"""

import glob
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinylm.cli.options import parse, refuse
from tinylm.cli.terminal import one_line, visible
from tinylm.cli.use.text_model import TextModelConfig, open_text_model
from tinylm.errors import ConfigError, DataError
from tinylm.json_text import json_text
from tinylm.reading import standard_input
from tinylm.settings import at_least, between, setting

if TYPE_CHECKING:
    from tinylm.prompt.rag.chunks import Passage
    from tinylm.prompt.rag.document_index import DocumentIndex


EXAMPLES = (
    'tinylm rag notes/ "Who wrote the report?"',
    'tinylm rag docs/*.md "How is it installed?" --model RUN --passages 4 --trace',
    'tinylm rag notes/ "Who wrote the report?" --show',
    'tinylm rag notes/ "Who wrote the report?" --embed minilm --rerank 20',
)

NO_MODEL = "--show prints the passages, and no model answers"


@dataclass
class RagConfig:
    """Settings of `tinylm rag`."""

    model: str = setting("smollm2", "a run, or published weights")
    passages: int = setting(3, "passages before the question", at_least(1))
    size: int = setting(100, "words of a passage at most", at_least(1))
    overlap: int = setting(20, "words that neighboring passages share at most", at_least(0))
    embed: str = setting("", "search by meaning too, with these sentence vectors: minilm")
    stem: bool = setting(False, "compare English words by their stems: towns finds town")
    rerank: int = setting(
        0,
        "passages found that the model orders by the probability of the question after each; 0: "
        "the order of the search",
        at_least(0),
    )
    index: str = setting("", "path of the index; none: beside the documents")
    covered: float = setting(
        0.4,
        "refuse if the passages have less than this share of the question's words, rare ones "
        "weighing most; 0: never",
        between(0, 1),
    )
    show: bool = setting(
        False, "print the passages and their scores; without --rerank no model is opened"
    )
    json: bool = setting(False, "print a JSON object a question")
    trace: bool = setting(False, "show the prompt")
    max_tokens: int = setting(96, "tokens of an answer at most", at_least(1))
    seed: int = setting(1337, "of the sampling options of the model's files, if it has any")


def main(argv: Sequence[str]) -> None:
    """Index the documents and answer the questions."""
    given = {}
    config, opening, words = parse(
        argv,
        RagConfig,
        TextModelConfig,
        positionals=("DOCS...", "[QUESTION]"),
        verb="rag",
        about=__doc__,
        examples=EXAMPLES,
        given=given,
    )
    if config.show:
        own = ("model", "max_tokens", "covered", "trace", "seed")
        refuse(given, own, NO_MODEL, RagConfig)
        refuse(given, vars(opening), NO_MODEL, TextModelConfig)
    paths, questions = documents_and_questions(words)
    index = opened_index(paths, config)
    # A file that cannot be read is left out, and the others are searched.
    for name, reason in index.left_out.items():
        print(visible(f"tinylm rag: {name} is left out: {reason}"), file=sys.stderr)
    if index.not_text:
        print(f"tinylm rag: {index.not_text}", file=sys.stderr)
    if not index.saved:
        # Not an error: the answers are right, but the next call reads all files again.
        print("tinylm rag: the index cannot be written there; --index PATH", file=sys.stderr)
    lm = None
    # Only now: wrong paths are found before the weights are read. --show alone needs no model.
    if config.rerank or not config.show:
        lm = open_text_model(config.model, opening)
    for number, question in enumerate(questions, 1):
        try:
            if config.show:
                show_passages(lm, index, question, config)
            else:
                answer_question(lm, index, question, config)
        except DataError as error:  # a ConfigError, of a setting, is that of every question
            if len(questions) == 1:
                raise
            # One question that is too long does not end the others.
            shown = visible(f"{question:.40}")
            line = f"tinylm rag: question {number}, {shown}: {one_line(error)}"
            print(line, file=sys.stderr)
            if config.json:
                print(json_text({"question": question, "answer": None, "error": str(error)}))


def documents_and_questions(words: Sequence[str]) -> tuple:
    """The last word is the question, if it is no file or folder and matches none.

    returns  (paths, list of questions)
    raises   ConfigError without any document, or for an empty word, such as a variable that is not
             set
    """
    # DOCS and the question are told apart by what is there, as both are words.
    *paths, last = words
    if not last.strip():
        raise ConfigError("the question is empty: write it in quotation marks after the documents")
    if not all(path.strip() for path in paths):
        raise ConfigError("the path of a document is empty: give a file, a folder or a pattern")
    if _is_path(last):
        # All words are documents: the questions are lines of the standard input.
        paths, questions = words, [line for line in standard_input().splitlines() if line.strip()]
    else:
        questions = [last]
    if not paths:
        raise ConfigError(
            f"no documents: {last!r} is no file or folder. tinylm rag DOCS... QUESTION"
        )
    return paths, questions


def _is_path(word):
    """True if a word is a file or folder, or a pattern that matches one."""
    try:
        if Path(word).exists():
            return True
        return any(c in word for c in "*[") and any(glob.iglob(word, recursive=True))
    except (OSError, ValueError, re.error):  # too long for a name, or no pattern
        return False


def opened_index(paths: Sequence[str], config: RagConfig) -> "DocumentIndex":
    """The DocumentIndex, brought up to date."""
    from tinylm.prompt.rag.document_index import open_index

    embed = stem = None
    if config.stem:
        stem = "porter"
    if config.embed:
        # The vectors of all passages are kept in the index, beside its words.
        from tinylm.models.published.sentence_encoder import load_sentence_encoder

        embed = load_sentence_encoder(config.embed)
    return open_index(
        paths,
        config.index or None,
        size=config.size,
        overlap=config.overlap,
        embed=embed,
        embedder=config.embed,
        stem=stem,
    )


def retriever_of(lm: Any, index: Any, config: RagConfig) -> Any:
    """What finds the passages: the index, or the model's order of the best that it finds."""
    if not config.rerank:
        return index
    from tinylm.prompt.rag.retrievers import Reranked, question_likelihood

    return Reranked(index, question_likelihood(lm), config.rerank)


def show_passages(lm: Any, index: Any, question: str, config: RagConfig) -> None:
    """Print the passages found for a question, the best first. lm: with --rerank."""
    found = retriever_of(lm, index, config).search(question, config.passages)
    if config.json:
        # The score is that of the search, BM25 or both searches fused, or of the question after the
        # passage, in nats a token: it ranks, no more.
        rows = [{"score": score, **vars(index.passages[number])} for number, score in found]
        print(json_text({"question": question, "passages": rows}))
        return
    for number, score in found:
        passage = index.passages[number]
        print(f"{score:8.3f}  {place(passage, config)}\n{visible(passage.text.strip())}\n")
    if not found:
        print("no passage has a word of the question")


def place(passage: "Passage", config: RagConfig) -> str:
    """Where a passage stands: its file, and its characters."""
    file = passage.document
    if config.index:
        # An index names files from its own folder, and this one may be anywhere.
        file = os.path.relpath(Path(config.index).parent / file)
    return visible(f"{file}, characters {passage.start} to {passage.end}")


def answer_question(lm: Any, index: Any, question: str, config: RagConfig) -> None:
    """Print the answer to a question, and the passages that the model was given."""
    from tinylm.data.read.items import Item
    from tinylm.prompt.rag.answer import retrieval_answer
    from tinylm.prompt.rag.coverage import coverage
    from tinylm.prompt.rag.prompt import NO_ANSWER, RagPrompt

    seen = []  # the texts in the prompt: those that fit, given to the check before the model

    def check(texts):
        seen.extend(texts)
        if not texts:
            return no_text(index, question, config)
        share, missing = coverage(index.words, question, texts)
        if share < config.covered:
            return too_few(share, missing)

    with lm.tracing() as trace:
        answer = retrieval_answer(
            lm,
            Item(question),
            retriever=retriever_of(lm, index, config),
            k=config.passages,
            form=RagPrompt(cite=True),
            check=check,
            seed=config.seed,
            max_tokens=config.max_tokens,
        )
    refused, passages = answer.details["refused"], answer.details["passages"]
    citations = answer.details["citations"]
    # The model itself wrote the words of a refusal.
    if refused == "words":
        refused = "the model finds no answer in the passages"
    # After a refusal by the model too: how much of the question the texts have.
    if config.json:
        share, missing = coverage(index.words, question, seen)
        result = {
            "question": question,
            "answer": answer.value,
            "cited_answer": answer.text,  # as it was written, with its citations
            "refused": refused,
            "covered": share,
            "missing": missing,
            "passages": [vars(passage) for passage in passages],
            "citations": [{**vars(one), "supported": one.supported} for one in citations],
        }
        if config.trace:
            result["trace"] = trace.as_list()
        print(json_text(result))
        return
    if config.trace:
        print(visible(trace.text()))
    if answer.value is None:
        print("(the reply was empty)")
    elif answer.value == NO_ANSWER:
        print(f"refused: {refused}")
    else:
        print(visible(answer.text))
    print("\n".join(sources(passages, citations, config)), end="\n" * bool(passages))


def sources(passages: Sequence, citations: Sequence, config: RagConfig) -> list[str]:
    """The passages that an answer cites, and those that it does not cite: lines to print.

    passages   list of Passage, as they are numbered in the prompt
    citations  list of Citation (prompt/rag/citations.py)
    """
    numbers = list(dict.fromkeys(one.number for one in citations))
    cited, others = [], []
    for number in numbers:
        if number > len(passages) or number < 1:
            cited.append(f"  [{number}] is none of the passages")
    for number, passage in enumerate(passages, 1):
        line = f"  [{number}] {place(passage, config)}"
        if number not in numbers:
            others.append(line)
            continue
        cited.append(line)
        for one in citations:
            if one.number == number and not one.supported:
                cited.append(
                    f"      unsupported: {one.support:.0%} of the words of {one.statement!r:.60} "
                    "are in it"
                )
    lines = []
    if cited:
        lines += ["passages cited:", *cited]
    if others:
        lines += ["passages given and not cited:", *others]
    return lines


def no_text(index: Any, question: str, config: RagConfig) -> str:
    """Why a prompt has no text: nothing was found, or nothing fits."""
    found = len(index.search(question, config.passages))
    if not found:
        return "no passage has a word of the question"
    return (
        f"none of the {found} passages found fits into the model's context: lower --size "
        f"{config.size} or --max-tokens {config.max_tokens}, or use a model with a longer context"
    )


def too_few(share: float, missing: Sequence[str]) -> str:
    """Why a question is refused of whose words the texts have only a share."""
    return (
        f"{share:.2f} of the question's words, rare ones weighing most, are in the passages "
        f"(missing: {', '.join(missing)}); --covered 0 answers anyway"
    )
