"""The pages of the project name files and commands that are there, and agree about versions."""

import re
import shlex
from pathlib import Path

import pytest

import tinylm
from tinylm.autograd import registry
from tinylm.book import rows
from tinylm.cli import VERBS, main

ROOT = Path(tinylm.__file__).resolve().parent.parent
PAGE = "CONTRIBUTING.md"

if not (ROOT / PAGE).is_file():
    pytest.skip("only the package is installed", allow_module_level=True)


def page(name=PAGE):
    return (ROOT / name).read_text(encoding="utf-8")


def commands():
    """The commands of the indented blocks, `a && b` as two."""
    lines = re.findall(r"^ {4,}((?:tinylm|pytest|python|pip|ruff) .*)$", page(), re.M)
    return [part for line in lines for part in line.split(" && ")]


def paths(text):
    """What looks like the path of a file or folder of the repository, in backticks."""
    quoted = re.findall(r"`([^`\s]+)`", text)
    return [
        name for name in quoted if re.fullmatch(r"[\w./-]+(/|\.(py|md|tsv|toml)|\.ci/run)", name)
    ]


def test_the_page_has_commands_and_files():
    assert len(commands()) >= 15 and len(set(paths(page()))) >= 15


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "CHANGELOG.md"])
def test_every_file_that_a_page_names_is_there(name):
    missing = [path for path in paths(page(name)) if not (ROOT / path).exists()]
    assert missing == []


@pytest.mark.parametrize("command", commands())
def test_every_command_names_what_is_there(command, capsys):
    program, *words = shlex.split(command)
    if program == "python":
        assert words[:1] == ["-m"] and words[1] == "pytest" or (ROOT / words[0]).is_file()
    if program == "pytest" or words[:2] == ["-m", "pytest"]:
        tests = [word for word in words if word.startswith("tests/")]
        assert all((ROOT / test).exists() for test in tests)
    if program != "tinylm":
        return
    verb, *rest = words
    assert verb in VERBS
    assert main([verb, "--help"]) == 0
    offered = capsys.readouterr().out
    for option in [word for word in rest if word.startswith("--")]:
        assert re.search(rf"--(\[no-\])?{option[2:]}\b", offered), option
    if verb == "gradcheck" and rest and not rest[0].startswith("--"):
        assert rest[0] in registry.load_all()
    if "--mutate" in rest:
        assert rest[rest.index("--mutate") + 1] in {row.id for row in rows()}


def test_the_citation_has_the_version_of_the_package():
    text = page("CITATION.cff")
    assert re.search(r"^version: (\S+)$", text, re.M)[1] == tinylm.__version__
    for field in ("cff-version: 1.2.0", "title: ", "authors:", "message: ", "license: MIT"):
        assert field in text  # the first four are required by the format
    yaml = pytest.importorskip("yaml")
    assert yaml.safe_load(text)["type"] == "software"


def test_the_changelog_tells_of_this_version():
    assert f"## {tinylm.__version__}\n" in page("CHANGELOG.md")


def test_versions_of_python_are_the_same_everywhere():
    setup, ci = page("setup.py"), page(".ci/run")
    named = set(re.findall(r"Python :: (3\.\d+)", setup))
    least = re.search(r'python_requires=">=(3\.\d+)"', setup)[1]
    assert least == min(named, key=lambda version: int(version[2:]))
    tried = set(re.search(r"for version in ([\d. ]+);", ci)[1].split())
    # The least and the newest, beside the one that runs all of .ci/run.
    assert tried <= named and {least, max(named, key=lambda version: int(version[2:]))} <= tried
    target = re.search(r'target-version = "py(3)(\d+)"', page("pyproject.toml"))
    assert f"{target[1]}.{target[2]}" == least
