"""`tinylm rag DOCS... "question"`: answer from one's own files, or refuse where they do not know.

DOCS are files, folders and patterns. Their passages are indexed once, in the folder that holds them
all (.tinylm-index.npz), and again where a file has changed. The passages that fit the question best
are put before it; the sources of the answer are printed with their files. A question is refused if
too few of its rare words are in the passages (--covered), or by the model itself. Without a
question, the lines of the standard input are questions. --show prints the passages alone.
"""

import json
import sys
from dataclasses import dataclass

from tinylm.cli.options import parse
from tinylm.errors import ConfigError
from tinylm.reading import standard_input
from tinylm.settings import at_least, between, one_of, setting

EXAMPLES = (
    'tinylm rag notes/ "Who wrote the report?"',
    'tinylm rag docs/*.md "How is it installed?" --model RUN --passages 4 --trace',
    'tinylm rag notes/ "Who wrote the report?" --show',
)


@dataclass
class RagConfig:
    """Settings of `tinylm rag`."""

    model: str = setting("smollm2", "a run, or published weights")
    passages: int = setting(3, "passages before the question", at_least(1))
    size: int = setting(100, "words of a passage at most", at_least(1))
    overlap: int = setting(20, "words that neighboring passages share at most", at_least(0))
    embed: str = setting("", "search by meaning too, with these sentence vectors: minilm")
    index: str = setting("", "path of the index; none: beside the documents")
    covered: float = setting(
        0.4,
        "refuse if the passages have less than this share of the question's words, rare ones "
        "weighing most; 0: never",
        between(0, 1),
    )
    show: bool = setting(False, "print the passages and their scores; no model is opened")
    json: bool = setting(False, "print a JSON object a question")
    trace: bool = setting(False, "show the prompt")
    max_tokens: int = setting(96, "tokens of an answer at most", at_least(1))
    seed: int = setting(1337, "of the sampling options of the model's files, if it has any")
    raw: bool = setting(False, "continue the prompt as plain text, without the chat template")
    device: str = setting("cpu", "cpu or gpu")
    bits: str = setting("32", "bits of a weight while decoding: 32, 8 or 4", one_of("32", "8", "4"))


def main(argv):
    """Index the documents and answer the questions."""
    config, words = parse(
        argv,
        RagConfig,
        positionals=("DOCS...", "[QUESTION]"),
        verb="rag",
        about=__doc__,
        examples=EXAMPLES,
    )
    paths, questions = documents_and_questions(words)
    index = opened_index(paths, config)
    for name, reason in index.left_out.items():
        print(f"tinylm rag: {name} is left out: {reason}", file=sys.stderr)
    if not index.saved:
        print("tinylm rag: the index cannot be written there; --index PATH", file=sys.stderr)
    if config.show:
        for question in questions:
            show_passages(index, question, config)
        return
    from tinylm.prompt import TextModel
    from tinylm.prompt.protocol.opened import BITS

    chat = False if config.raw else None
    lm = TextModel.open(config.model, config.device, BITS[config.bits], chat=chat)
    for question in questions:
        answer_question(lm, index, question, config)


def documents_and_questions(words):
    """The last word is the question, if it is no file or folder and matches none.

    returns  (paths, list of questions)
    raises   ConfigError without any document
    """
    from pathlib import Path

    *paths, last = words
    if Path(last).exists() or any(c in last for c in "*[") and list(Path().glob(last)):
        paths, questions = words, [line for line in standard_input().splitlines() if line.strip()]
    else:
        questions = [last]
    if not paths:
        raise ConfigError(
            f"no documents: {last!r} is no file or folder. tinylm rag DOCS... QUESTION"
        )
    return paths, questions


def opened_index(paths, config):
    """The DocumentIndex, brought up to date."""
    from tinylm.prompt.rag.document_index import open_index

    embed = None
    if config.embed:
        from tinylm.models.published.sentence_encoder import load_sentence_encoder

        embed = load_sentence_encoder(config.embed)
    return open_index(
        paths,
        config.index or None,
        size=config.size,
        overlap=config.overlap,
        embed=embed,
        embedder=config.embed,
    )


def show_passages(index, question, config):
    """Print the passages found for a question, the best first."""
    found = index.search(question, config.passages)
    if config.json:
        rows = [{"score": score, **vars(index.passages[number])} for number, score in found]
        print(json.dumps({"question": question, "passages": rows}, ensure_ascii=False))
        return
    for number, score in found:
        passage = index.passages[number]
        print(f"{score:8.3f}  {place(passage)}\n{passage.text.strip()}\n")
    if not found:
        print("no passage has a word of the question")


def place(passage):
    """Where a passage stands: its file, and its characters."""
    return f"{passage.document}, characters {passage.start} to {passage.end}"


def answer_question(lm, index, question, config):
    """Print the answer to a question, and its sources."""
    from tinylm.data.read.items import Item
    from tinylm.prompt.answer import Answer
    from tinylm.prompt.rag.answer import retrieval_answer
    from tinylm.prompt.rag.coverage import coverage
    from tinylm.prompt.rag.prompt import NO_ANSWER

    found = index.search(question, config.passages)
    texts = [index.documents[number] for number, _ in found]
    share = coverage(index.stored.inverted(), question, texts)
    with lm.tracing() as trace:
        if share < config.covered:
            details = {"texts": [], "retrieved": found, "refused": "words of the question"}
            answer = Answer(NO_ANSWER, "", details)
        else:
            answer = retrieval_answer(
                lm,
                Item(question),
                retriever=index,
                k=config.passages,
                seed=config.seed,
                max_tokens=config.max_tokens,
            )
    shown = len(answer.details["texts"])
    sources = [index.passages[number] for number, _ in answer.details["retrieved"][:shown]]
    if config.json:
        result = {
            "question": question,
            "answer": answer.value,
            "refused": answer.details["refused"],
            "covered": share,
            "sources": [vars(source) for source in sources],
        }
        if config.trace:
            result["trace"] = trace.as_list()
        print(json.dumps(result, ensure_ascii=False))
        return
    if config.trace:
        print(trace.text())
    if answer.value is None:
        print("(the reply was empty)")
    elif answer.value == NO_ANSWER:
        print(f"The documents do not hold the answer ({answer.details['refused']}).")
    else:
        print(answer.value)
    for number, source in enumerate(sources, 1):
        print(f"  [{number}] {place(source)}")
