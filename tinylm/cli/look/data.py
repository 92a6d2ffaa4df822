"""`tinylm data FILES --report`: clean, filter and deduplicate text, and see what each step removed.

A document is a file, or with .jsonl files a line (its "text"); --documents paragraph or line cuts text files smaller.
Thresholds are those of C4 and Gopher, made for web pages. `--out DIR` writes what is left as compressed shards.
"""
from dataclasses import dataclass

from tinylm.cli.options import parse
from tinylm.errors import ConfigError
from tinylm.settings import at_least, setting


@dataclass
class DataConfig:
    """What `tinylm data` takes."""

    report: bool = setting(False, "print what each step did")
    out: str = setting("", "write what is left into this new folder")
    documents: str = setting("auto", "what is one document: file, paragraph, line; auto: file, or line of .jsonl")
    show: int = setting(0, "examples to print of what each step removed or changed", at_least(0))
    languages: tuple[str, ...] = setting(("en",), "languages to keep, as ISO 639-1 codes; 'all' keeps every language")
    min_words: int = setting(50, "words of the shortest document kept", at_least(0))
    similarity: float = setting(0.8, "near copies share this part of their word 5-grams", at_least(0))
    toxic_words: str = setting("", "file of words, one a line, in place of the few built in")
    toxic_most: float = setting(0.01, "part of a document's words that may be toxic", at_least(0))
    names: str = setting("", "file of names to mask, one a line")
    reference: str = setting("", "file or folder of good text: what is unlike it goes")
    held_out: str = setting("", "file or folder of test texts: what holds one of their word 13-grams goes")
    without: tuple[str, ...] = setting((), "leave a step out; may be given several times")
    shard_mb: int = setting(64, "megabytes of text in one shard, with --out", at_least(1))


def main(argv):
    """Run the steps over the documents, count, and write or show the rest."""
    config, words = parse(argv, DataConfig, positionals=("FILE...",), verb="data", about=__doc__, examples=(
        "tinylm data pages.jsonl --report", "tinylm data books/ --documents paragraph --report --show 2 --min-words 20",
        "tinylm data pages.jsonl --held-out test.txt --out clean"))
    from tinylm.data.clean.pipeline import Pipeline, standard_steps
    from tinylm.data.clean.toxicity import read_words
    from tinylm.data.read.documents import read_documents
    from tinylm.data.read.shards import ShardWriter

    if not (config.report or config.out or config.show):
        raise ConfigError("nothing asked for: --report shows what each step removes, --out DIR writes what is left")
    pipeline = Pipeline(standard_steps(
        () if "all" in config.languages else config.languages, config.min_words, config.similarity,
        read_words(config.toxic_words) if config.toxic_words else None, config.toxic_most,
        read_words(config.names) if config.names else (),
        list(read_documents([config.reference], "paragraph")) if config.reference else None,
        list(read_documents([config.held_out], "paragraph")) if config.held_out else None, config.without), config.show)
    kept = pipeline(read_documents(words, config.documents))
    if config.out:
        with ShardWriter(config.out, config.shard_mb << 20) as shards:
            for text in kept:
                shards.add(text)
    else:
        for _ in kept:
            pass
    for step in pipeline.steps if config.show else ():
        for before, after in step.examples:
            print("\n".join(example(step.name, before, after)))
    print("\n".join(pipeline.report()[0 if config.report else -1:]))
    if config.out:
        print(f"written to {config.out}: {len(shards.shards)} shards")


def example(name, before, after, width=100):
    """A document that a step dropped, or the place where a change begins, as lines."""
    if not after:
        return [f"{name} dropped: {_short(before, 0, width)}"]
    at = next((i for i, (a, b) in enumerate(zip(before, after)) if a != b), min(len(before), len(after)))
    start = max(0, at - width // 4)
    return [f"{name} changed: {_short(before, start, width)}", f"{'':>{len(name)}}      to: {_short(after, start, width)}"]


def _short(text, start, width):
    shown = " ".join(text[start:start + width].split())
    return ("..." if start else "") + shown + ("..." if start + width < len(text) else "")
