"""The way from an array to a trained GPT: what runs is on it, in an order that can be read."""

import ast
import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

from tinylm.book import path
from tinylm.cli import main
from tinylm.data import RandomWindows
from tinylm.generate import generate
from tinylm.models import GPT, GPTConfig
from tinylm.optim import AdamW, FlatParameters
from tinylm.optim.schedule import cosine
from tinylm.pretrain import CausalLM
from tinylm.tokenizers import CharTokenizer
from tinylm.train import Trainer

FILES = [step.file for step in path.steps()]
BESIDE = [file for files in path.BESIDE.values() for file in files]


def train_and_write():
    text = "the cat sat on the mat. " * 20
    tokenizer = CharTokenizer.from_text(text)
    ids = tokenizer.encode(text)
    model = GPT(GPTConfig(tokenizer.vocab_size, 16, n_layer=1, n_head=2, d_model=16), 0)
    optimizer = AdamW(FlatParameters(model.named_parameters()))
    windows = RandomWindows(ids, 16, 4, 0)
    Trainer(model, CausalLM(), optimizer, windows.batch, 4, lambda s: cosine(s, 2), seed=0).run(2)
    x = model(np.array(ids[None, :4]))
    (x * x + x.mean(-1, keepdims=True) - x @ x.mT @ x)[0].sum().backward()
    list(generate(model, ids[:4], 4, temperature=0.8))


@pytest.fixture(scope="module")
def ran():
    """The files below tinylm/ of which a function ran while a GPT was trained and wrote."""
    found = set()

    def watch(frame, event, arg):
        if event == "call":
            found.add(frame.f_code.co_filename)

    before = sys.getprofile()
    sys.setprofile(watch)
    try:
        train_and_write()
    finally:
        sys.setprofile(before)
    here = [Path(name) for name in found if Path(name).is_relative_to(path.PACKAGE)]
    return {one.relative_to(path.PACKAGE).as_posix() for one in here}


def test_what_runs_is_on_the_way_or_named_beside_it(ran):
    new = ran - {*FILES, *BESIDE}
    assert not new, f"put into tinylm/book/path.py, on the way or beside it: {sorted(new)}"


def test_what_is_on_the_way_runs_but_for_the_plain_twins(ran):
    assert set(FILES) - ran <= {"autograd/kernels/composed.py"}


def used_by(file):
    """The files below tinylm/ that define what a file imports at its top."""
    tree = ast.parse((path.PACKAGE / file).read_text(encoding="utf-8"))
    names = set()
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module.startswith("tinylm"):
            module = importlib.import_module(node.module)
            for one in node.names:
                thing = getattr(module, one.name)
                names.add(getattr(thing, "__module__", getattr(thing, "__name__", "")))
                names.add(getattr(thing, "__name__", ""))
    return {name.removeprefix("tinylm.").replace(".", "/") + ".py" for name in names if name}


def test_no_file_uses_one_that_comes_later():
    assert "autograd/kernels/linear.py" in used_by("nn/linear.py")
    for i, file in enumerate(FILES):
        assert not used_by(file) & set(FILES[i + 1 :]), file


def test_lines_are_counted_in_the_files_as_they_are():
    source = (
        '"""Title.\n\nMore."""\n\n\ndef f(x):\n    """Doc."""\n    # why\n    return """a\nb"""\n'
    )
    assert path.code_lines(source) == {6, 9, 10}
    for file in FILES:
        lines, code = path.lines_of(file)
        assert lines == (path.PACKAGE / file).read_bytes().count(b"\n") and 0 < code < lines


def test_the_page_has_every_file_once_and_sums_that_agree():
    page = path.page()
    assert [file for file in FILES if page.count(f" {file} ") != 1] == []
    lines = sum(path.lines_of(file)[0] for file in FILES)
    assert f"all: {len(FILES)} files, {lines:,} lines" in page
    assert len(page.splitlines()) < 60 and max(map(len, page.splitlines())) <= 100
    evening = [step.file for step in path.steps() if step.first]
    assert f"*: {len(evening)} files" in page and len(evening) <= 5


def test_the_command_prints_the_page(capsys):
    assert main(["book", "--path"]) == 0
    assert capsys.readouterr().out == path.page() + "\n"
    assert main(["book", "--path", "--all"]) == 0
    page = capsys.readouterr().out.replace("\n  ", " ")
    assert [name for name in BESIDE if name.removesuffix(".py") not in page] == []


def test_what_is_beside_the_way_is_there_and_not_on_it():
    assert not set(BESIDE) & set(FILES)
    assert [file for file in BESIDE if not (path.PACKAGE / file).is_file()] == []
