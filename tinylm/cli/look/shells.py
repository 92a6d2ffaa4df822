"""Completion scripts of bash, zsh and fish, each made from the Commands of completion.py.

A script is text: tables of words, and a few lines that choose among them by the words typed so far.
Nothing is run when it is made, and Python is not started when the tab key is pressed.
"""

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tinylm.cli.look.completion import Command


FIRST = "--help", "--version", "-h", "-V"  # what may stand in place of a verb


def bash(commands: "Sequence[Command]") -> str:
    """The script for bash 3.2 and newer.

    commands  list of completion.Command
    """
    verbs = [command.words[0] for command in commands if len(command.words) == 1]
    cases = [case for command in commands for case in _bash_cases(command)]
    return BASH.format(first=" ".join([*verbs, "help", *FIRST]), cases="\n".join(cases))


def _bash_cases(command):
    """The lines of a case statement for one command: its options, plain words, values."""
    name = " ".join(command.words)
    lines = [f"    {shlex.quote(name)})"]
    options = " ".join(option.name for option in command.options)
    lines += [f'        options="{options}"', f'        plain="{" ".join(command.plain)}"']
    lines.append(f"        files={int(command.files)}")
    values = [option for option in command.options if option.value != "none"]
    if values:
        lines.append('        case "$before" in')
        for option in values:
            given = {"choices": " ".join(option.choices), "path": "@files"}.get(option.value, "@")
            lines.append(f'            {option.name}) value="{given}" ;;')
        lines.append("        esac")
    return [*lines, "        ;;"]


BASH = """\
# Completion of tinylm for bash, written by `tinylm completion bash`.
_tinylm() {{
    local current before words at command options plain files value line
    current="${{COMP_WORDS[COMP_CWORD]}}"
    before="${{COMP_WORDS[COMP_CWORD-1]}}"
    # "--name=value" comes as three words: bash divides at "=".
    if [[ "$current" == "=" ]]; then
        current=""
    elif [[ "$before" == "=" && $COMP_CWORD -ge 2 ]]; then
        before="${{COMP_WORDS[COMP_CWORD-2]}}"
    fi
    COMPREPLY=()
    words=("${{COMP_WORDS[@]}}")
    at=$COMP_CWORD
    if [[ "${{words[1]}}" == help ]] && (( at > 1 )); then  # `help VERB` is `VERB --help`
        words=("${{words[0]}}" "${{words[@]:2}}")
        at=$(( at - 1 ))
    fi
    if (( at == 1 )); then
        COMPREPLY=( $(compgen -W "{first}" -- "$current") )
        return
    fi
    command="${{words[1]}}"
    if [[ "$command" == align ]] && (( at > 2 )); then
        command="align ${{words[2]}}"
    fi
    options="" plain="" files=0 value=""
    case "$command" in
{cases}
    esac
    case "$value" in
    "")
        if [[ "$current" == -* ]]; then
            COMPREPLY=( $(compgen -W "$options" -- "$current") )
            return
        fi
        ;;
    @files)
        plain="" files=1
        ;;
    @)
        return
        ;;
    *)
        plain="$value" files=0
        ;;
    esac
    COMPREPLY=( $(compgen -W "$plain" -- "$current") )
    if (( files )); then
        while IFS= read -r line; do
            COMPREPLY+=( "$line" )
        done < <(compgen -f -- "$current")
        # Folders get a slash, and spaces a backslash; bash 3 has no compopt.
        compopt -o filenames 2> /dev/null
    fi
}}
complete -F _tinylm tinylm
"""


def zsh(commands: "Sequence[Command]") -> str:
    """The script for zsh, a function of $fpath with the name _tinylm."""
    verbs = [
        f"        {_single(command.words[0] + ':' + _no_colon(command.about))}"
        for command in commands
        if len(command.words) == 1
    ]
    cases = []
    for command in commands:
        cases.append(f"    {shlex.quote(' '.join(command.words))})")
        cases.append("        _arguments -S \\")
        for option in command.options:
            cases.append(f"            {_single(_zsh_option(option))} \\")
        cases.append(f"            {_single('*:word:' + _zsh_words(command))}")
        cases.append("        ;;")
    return ZSH.replace("@verbs", "\n".join(verbs)).replace("@cases", "\n".join(cases))


def _zsh_option(option):
    """A specification of _arguments: --name=[help]:value:words."""
    about = option.about.replace("\\", "").replace("[", "(").replace("]", ")")
    if option.value == "none":
        return f"{option.name}[{_no_colon(about)}]"
    action = {"choices": f"({' '.join(option.choices)})", "path": "_files"}.get(option.value, " ")
    return f"*{option.name}=[{_no_colon(about)}]:value:{action}"


def _zsh_words(command):
    """The action for plain words: some words, files, or both."""
    words = f"({' '.join(command.plain)})"
    if command.plain and command.files:
        # The space in front keeps zsh from passing options of its own to it.
        return f" _alternative 'words:word:{words}' 'files:file:_files'"
    if command.plain:
        return words
    if command.files:
        return "_files"
    return " "


def _no_colon(text):
    """A text in which no colon ends a part of a specification."""
    return text.replace(":", "\\:")


def _single(text):
    """A text in single quotes."""
    return "'" + text.replace("'", "'\\''") + "'"


ZSH = """\
#compdef tinylm
# Completion of tinylm for zsh, written by `tinylm completion zsh`.
_tinylm() {
    local command
    local -a verbs
    verbs=(
@verbs
        'help:the page of a verb'
    )
    if (( CURRENT == 2 )); then
        _describe -t verbs verb verbs
        _values option --help --version -h -V
        return
    fi
    shift words
    (( CURRENT-- ))
    if [[ $words[1] == help ]]; then  # `help VERB` is `VERB --help`
        if (( CURRENT == 2 )); then
            _describe -t verbs verb verbs
            return
        fi
        shift words
        (( CURRENT-- ))
    fi
    command=$words[1]
    if [[ $command == align ]] && (( CURRENT > 2 )); then
        command="align $words[2]"
        shift words
        (( CURRENT-- ))
    fi
    case $command in
@cases
    esac
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _tinylm "$@"
else
    compdef _tinylm tinylm
fi
"""


def fish(commands: "Sequence[Command]") -> str:
    """The script for fish 3 and newer."""
    lines = [FISH.rstrip("\n")]
    for command in commands:
        if len(command.words) == 1:
            verb, about = command.words[0], _single_fish(command.about)
            lines.append(f"complete -c tinylm -n __tinylm_first -a {verb} -d {about}")
    lines.append("complete -c tinylm -n __tinylm_first -a help -d 'the page of a verb'")
    lines.append("complete -c tinylm -n __tinylm_first -s V -l version -d 'the version'")
    for command in commands:
        condition = f"-n '__tinylm_at {' '.join(command.words)}'"
        if command.plain:
            lines.append(f"complete -c tinylm {condition} -a '{' '.join(command.plain)}'")
        if command.files:
            lines.append(f"complete -c tinylm {condition} -F")
        for option in command.options:
            value = {
                "none": "",
                "choices": f" -x -a '{' '.join(option.choices)}'",
                "path": " -r -F",
                "other": " -x",
            }[option.value]
            about = _single_fish(option.about)
            lines.append(f"complete -c tinylm {condition} -l {option.name[2:]}{value} -d {about}")
    return "\n".join(lines) + "\n"


def _single_fish(text):
    """A text in single quotes, as fish has them."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


FISH = """\
# Completion of tinylm for fish, written by `tinylm completion fish`.
function __tinylm_first
    set -l words (commandline -opc)
    test (count $words) -eq 1; or begin
        test (count $words) -eq 2; and test "$words[2]" = help
    end
end
function __tinylm_at
    set -l words (commandline -opc)
    if test "$words[2]" = help
        set -e words[2]
    end
    test (count $words) -ge 2; and test "$words[2]" = "$argv[1]"; or return 1
    # Behind `tinylm align METHOD` the settings are those of the method.
    if test "$argv[1]" = align
        if test (count $argv) -eq 1
            test (count $words) -eq 2
        else
            test (count $words) -ge 3; and test "$words[3]" = "$argv[2]"
        end
    end
end
complete -c tinylm -f
"""

SHELLS = {"bash": bash, "zsh": zsh, "fish": fish}
