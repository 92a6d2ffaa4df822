"""GSM8K: grade-school word problems with worked solutions   (book section 3.1.4.5; Cobbe et al.
2021).

    {"question": "... 8 games of 2 hours ...",
     "answer": "He plays 8*2=<<8*2=16>>16 hours.\\n#### 16"}

A solution computes inside marks <<expression=result>>, which a calculator can check or fill in, and
its last line is "####" and a number. Read next: measure/numbers.py; items.py.
"""

import re

from tinylm.data.measure.numbers import extract_gsm8k_answer
from tinylm.errors import DataError
from tinylm.reading import json_text

MARK = "####"
# An annotation, as (expression, result).
ANNOTATION = re.compile(r"<<([^<>=]*)=([^<>=]*)>>")


def gsm8k_fields(record: dict[str, str]) -> dict[str, str]:
    """The fields of an Item from a record of GSM8K.

    returns  {"question", "answer": the number as text without commas, "rationale": the solution
             with its annotations, without the last line}
    raises   DataError for other fields, or an answer that does not end with "####" and a number
    """
    if not isinstance(record, dict) or set(record) != {"question", "answer"}:
        raise DataError(
            f"a record of GSM8K has the fields 'question' and 'answer', not {record!r:.80}"
        )
    rationale, mark, last = json_text(record, "answer").rpartition(MARK)
    answer = extract_gsm8k_answer(mark + last)
    # Nothing but the number may follow, up to its commas.
    if answer is None or last.strip().replace(",", "") != answer:
        raise DataError(
            f"a solution of GSM8K ends with {MARK} and a number, not with "
            f"{record['answer'][-40:]!r}"
        )
    return {
        "question": json_text(record, "question").strip(),
        "answer": answer,
        "rationale": rationale.strip(),
    }


def without_annotations(text: str) -> str:
    """A solution as people write it: <<8*2=16>>16 becomes 16."""
    return ANNOTATION.sub("", text)
