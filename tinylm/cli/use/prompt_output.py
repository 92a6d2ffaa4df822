"""What `tinylm prompt` prints: answers, figures, and a table of methods.

Replies and documents are texts of others: what would move the cursor of a terminal, or turn the
direction of a line, is printed as an escape (../terminal.py). --json has them as they are. Read
next: prompt.py.
"""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tinylm.cli.terminal import visible

if TYPE_CHECKING:
    from tinylm.data.read.items import Item
    from tinylm.prompt.evaluation.compare import Row, Summary
    from tinylm.prompt.evaluation.runner import Record


LONGEST = 200  # characters that are shown of a reply without an answer
MOST = 10  # questions that could not be answered are named


def answer_line(record: "Record", item: "Item", count: int) -> str:
    """An answer for the eye: its number, the answer, and whether it is right."""
    shown = record.value
    if record.error:
        shown = f"(not answered: {record.error})"
    elif shown is None:
        shown = f"(no answer could be read from {_beginning(record.text)!r})"
    shown = visible(shown)
    # One question without a gold answer: nothing to number, nothing to judge.
    if count == 1 and item.answer is None:
        return shown
    mark = {True: "right", False: visible(f"wrong, it is {item.answer}"), None: ""}[record.right]
    return f"{record.item + 1:>4}  {shown}  {mark}".rstrip()


def _beginning(text):
    """A text, or the first of its characters and dots."""
    if len(text) <= LONGEST:
        return text
    return f"{text[:LONGEST].rstrip()} .."


def summary_lines(name: str, summary: "Summary", items: "Sequence[Item]") -> str:
    """The figures of a method on items as text."""
    lines = [
        f"{name}: {len(items)} questions, {summary.unread} without an answer that could be read"
    ]
    if summary.count:
        lines.append(
            f"  right      {summary.right} of {summary.count}: {summary.accuracy:.3f}, "
            f"95 % interval {summary.low:.3f} to {summary.high:.3f}"
        )
    lines.append(
        f"  a question {summary.tokens:.0f} tokens, {summary.calls:.1f} calls, "
        f"{summary.seconds:.2f} seconds"
    )
    if summary.shortened:
        lines.append(f"  {summary.shortened} prompts had no room for all demonstrations or texts")
    lines += report_lines(summary.report)
    return "\n".join([*lines, *failed_lines(summary.failed, items)])


def report_lines(report: dict[str, Any]) -> list[str]:
    """What a method reports beside its answers, a line each: the prompt that it found, or how many
    tokens are left.

    report  {name: number or text}
    """
    width = max(map(len, report), default=0)
    lines = []
    for name, value in report.items():
        if isinstance(value, str):
            # A text of several lines is one.
            shown = visible(json.dumps(value, ensure_ascii=False))
        else:
            shown = f"{value:,.6g}"
        lines.append(f"  {name:{width}}  {shown}")
    return lines


def failed_lines(failed: tuple[tuple[int, str], ...], items: "Sequence[Item]") -> list[str]:
    """The questions that could not be answered, a line each: number, first line, and why.

    failed  ((number of the item, reason), ..)
    """
    if not failed:
        return []
    lines = [f"  not answered, and counted as wrong: {len(failed)} of {len(items)}"]
    for number, reason in failed[:MOST]:
        first = items[number].question.strip().splitlines()[0]
        lines.append(visible(f"    {number + 1:>4}  {first:.40}: {reason}"))
    if len(failed) > MOST:
        lines.append(f"    and {len(failed) - MOST} more")
    return lines


def comparison_table(rows: "Sequence[Row]") -> str:
    """The rows of a comparison as a table."""
    width = max(len(row.name) for row in rows)
    lines = [
        f"{'method':{width}}  right  95 % interval  unread  tokens  calls  seconds  "
        "plain, as many tokens       difference"
    ]
    for row in rows:
        s = row.summary
        line = (
            f"{row.name:{width}}  {s.accuracy:5.3f}  {s.low:.3f} .. {s.high:.3f}"
            f"  {s.unread:6}  {s.tokens:6.0f}  {s.calls:5.1f}  {s.seconds:7.2f}"
        )
        if row.plain is not None:
            # Columns of one width, whichever of the three it is.
            difference, low, high = row.difference
            cost = f"({row.samples:3} samples)"
            if row.scored:
                cost = "(scored)     "
            elif row.samples == 1:
                cost = "(  1 sample) "
            line += (
                f"  {row.plain.accuracy:5.3f} {cost}  {difference:+.3f} [{low:+.3f}, {high:+.3f}]"
            )
        lines.append(line)
    return "\n".join(lines)
