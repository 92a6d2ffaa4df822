"""`tinylm data FILES --report`: clean, filter and deduplicate text, and see what each step removed.

FILES are files, folders (their text and code) and patterns. A document is a file, or with .jsonl
files a line (its "text"); --documents paragraph or line cuts text files smaller. `--preset prose`
has the thresholds of C4 and Gopher, made for web pages; `--preset code` has rules for programs: no
language, sentences or stop words, line lengths instead, and indentation stays. `--without STEP`
leaves a step out. `--out DIR` writes what is left as compressed shards.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinylm.cli.options import parse
from tinylm.errors import ConfigError
from tinylm.settings import at_least, one_of, setting


@dataclass
class DataConfig:
    """Settings of `tinylm data`."""

    report: bool = setting(False, "print what each step did")
    out: str = setting("", "write what is left into this new folder")
    documents: str = setting(
        "auto", "what is one document: file, paragraph, line; auto: file, or line of .jsonl"
    )
    skip_bad: bool = setting(False, "leave out lines that cannot be read, and count them")
    show: int = setting(0, "examples to print of what each step removed or changed", at_least(0))
    preset: str = setting(
        "prose", "rules for prose (web pages, articles, books) or for code", one_of("prose", "code")
    )
    languages: tuple[str, ...] = setting(
        (),
        "languages to keep, as ISO 639-1 codes; 'all' keeps "
        "every language; none: en of prose, all of code",
    )
    min_words: int | None = setting(
        None, "words of the shortest document kept; none: 50 of prose, 0 of code", at_least(0)
    )
    similarity: float = setting(
        0.8, "near copies share at least this part of their word 5-grams", at_least(0)
    )
    toxic_words: str = setting("", "file of words, one a line, in place of the few built in")
    toxic_most: float = setting(0.01, "part of a document's words that may be toxic", at_least(0))
    names: str = setting("", "file of names to mask, one a line")
    reference: str = setting("", "file or folder of good text; texts unlike it are dropped")
    held_out: str = setting(
        "", "file or folder of test texts; documents that share a word 13-gram are dropped"
    )
    without: tuple[str, ...] = setting((), "leave a step out; may be given several times")
    shard_mb: int = setting(64, "megabytes of text in one shard, with --out", at_least(1))


def main(argv: Sequence) -> None:
    """Run the steps over the documents, count, and write or show the rest."""
    config, words = parse(
        argv,
        DataConfig,
        positionals=("FILE...",),
        verb="data",
        about=__doc__,
        examples=(
            "tinylm data pages.jsonl --report",
            "tinylm data src/ --preset code --out clean",
            "tinylm data books/ --documents paragraph --report --show 2 --min-words 20",
            "tinylm data pages.jsonl --held-out test.txt --out clean",
        ),
    )
    from tinylm.data.clean.pipeline import Pipeline
    from tinylm.data.read.documents import read_documents
    from tinylm.data.read.shards import ShardWriter
    from tinylm.data.read.sources import find_texts
    from tinylm.reading import BadLines

    if not (config.report or config.out or config.show):
        raise ConfigError(
            "no output chosen: --report shows what each step removes, --out DIR writes what is left"
        )
    pipeline = Pipeline(steps(config), config.show)
    if left_out := find_texts(words).left_out_line():
        print(left_out)
    bad = BadLines(config.skip_bad)
    # A generator: documents pass the steps one by one, and are never all in memory.
    kept = pipeline(read_documents(words, config.documents, bad=bad))
    if config.out:
        with ShardWriter(config.out, config.shard_mb << 20) as shards:
            for text in kept:
                shards.add(text)
    else:
        # Steps count what passes them, so it must pass though nothing is written.
        for _ in kept:
            pass
    for step in pipeline.steps:  # without --show there are no examples
        for before, after in step.examples:
            print("\n".join(example(step.name, before, after)))
    for line in bad.report():
        print(line)
    report = pipeline.report()
    if not config.report:
        report = report[-1:]  # the total alone
    print("\n".join(report))
    print("\n".join(losses(config, pipeline)), end="")
    if config.out:
        print(f"written to {config.out}: {len(shards.shards)} shards")


def steps(config: DataConfig) -> list:
    """The steps of the preset, with the settings applied."""
    from tinylm.data.clean.pipeline import code_steps, standard_steps
    from tinylm.data.clean.toxicity import read_words

    names = ()
    if config.names:
        names = read_words(config.names)
    held_out = _paragraphs_if(config.held_out)
    if config.preset == "code":
        if config.languages or config.reference or config.toxic_words:
            raise ConfigError(
                "--preset code has no rule for --languages, --reference or "
                "--toxic-words: leave them out, or take --preset prose"
            )
        return code_steps(config.min_words or 0, config.similarity, names, held_out, config.without)
    languages = config.languages or ("en",)
    if "all" in languages:
        languages = ()  # no step for languages
    min_words = config.min_words
    if min_words is None:
        min_words = 50  # Rae et al. 2021 (Gopher): documents of 50 to 100,000 words
    toxic = None  # the built-in list
    if config.toxic_words:
        toxic = read_words(config.toxic_words)
    reference = _paragraphs_if(config.reference)
    return standard_steps(
        languages,
        min_words,
        config.similarity,
        toxic,
        config.toxic_most,
        names,
        reference,
        held_out,
        config.without,
    )


def paragraphs(path: str | Path) -> list[str]:
    """The paragraphs of a file or folder."""
    from tinylm.data.read.documents import read_documents

    return list(read_documents([path], "paragraph"))


def _paragraphs_if(path):
    """The paragraphs of a file or folder; None for no path."""
    if path:
        return paragraphs(path)
    return None


def losses(config: DataConfig, pipeline: Any) -> list[str]:
    """Warnings about steps that removed more than half, with remedies, as lines."""
    lines = pipeline.losses()
    if lines and config.preset == "prose":
        lines.append(
            "  also: --preset code for programs, --languages all, --min-words N for short documents"
        )
    return lines and [*lines, ""]


def example(name: str, before: str | None, after: str | None, width: int = 100) -> list[str]:
    """A document that a step dropped, or the place where a change begins, as lines."""
    if not after:
        return [f"{name} dropped: {_short(before, 0, width)}"]
    differ = (i for i, (a, b) in enumerate(zip(before, after)) if a != b)
    at = next(differ, min(len(before), len(after)))
    start = max(0, at - width // 4)
    return [
        f"{name} changed: {_short(before, start, width)}",
        f"{'':>{len(name)}}      to: {_short(after, start, width)}",
    ]


def _short(text, start, width):
    """`width` characters of a text from `start` on one line, with dots where it is cut."""
    shown = " ".join(text[start : start + width].split())
    if start:
        shown = "..." + shown
    if start + width < len(text):
        shown += "..."
    return shown
