"""The documentation is checked: its commands run, its links have targets, and its names exist.

Rules for reading the pages:

- Every section (`## `) starts in an empty folder with a copy of `examples/`, a tutorial once for all its sections.
  `<!-- before: COMMAND -->` anywhere in it runs first, unseen.
- In ```console blocks the lines after `$ ` are run, all those of a section by one shell.
  A command exits with 0, unless the next one is `echo $?`.
  What is shown under a command is all that it prints, but for where lines break; `...` stands for anything.
- ```console no-run: REASON is not run.
  `make` is not run either, but `make demo` is taken for what its recipe says.
- ```jsonl NAME, ```toml NAME and ```python NAME put a file of that name into the folder.
- Other ```python blocks are doctests.
"""

import doctest
import os
import pkgutil
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

import click
import pytest

from lineage.core.model import finding
from lineage.serve.cli.main import main
from lineage.serve.http.api.questions import QUESTIONS
from tests.support.places import ROOT

TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
MANUAL = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *TUTORIALS)
DECISIONS = sorted((ROOT / "docs" / "adr").glob("[0-9]*.md"))
REFERENCE = sorted((ROOT / "docs" / "reference").glob("*.md"))
PAGES = (
    *MANUAL,
    *REFERENCE,
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    ROOT / "docs" / "adr" / "README.md",
    *DECISIONS,
)

FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BEFORE = re.compile(r"^<!-- before: (.*?) -->$", re.MULTILINE)
FILES = {"jsonl", "toml", "python"}
END_OF = "end of command"


@dataclass
class Block:
    """A code block: its language, the rest of its first line, and the text."""

    language: str
    rest: str
    text: str


@dataclass
class Section:
    """The text under a heading."""

    page: Path
    title: str
    text: str
    blocks: list[Block] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}: {self.title}"


@dataclass
class Command:
    """A command, and the output shown below it, or None."""

    line: str
    shown: str | None = None


def blocks_of(text: str) -> list[Block]:
    found = []
    for info, body in FENCE.findall(text):
        language, _, rest = info.partition(" ")
        found.append(Block(language, rest.strip(), body))
    return found


def sections_of(page: Path) -> Iterator[Section]:
    text = page.read_text(encoding="utf-8")
    fenced = [match.span() for match in FENCE.finditer(text)]
    starts = [
        match.start()
        for match in re.finditer(r"^## ", text, re.MULTILINE)
        if page not in TUTORIALS and not any(begin < match.start() < end for begin, end in fenced)
    ]
    for start, end in zip([0, *starts], [*starts, len(text)], strict=True):
        part = text[start:end]
        yield Section(page, part.partition("\n")[0].lstrip("# "), part, blocks_of(part))


def commands_of(block: Block) -> list[Command]:
    """Return the commands of a console block; a backslash at the end of a line continues it."""
    commands: list[Command] = []
    lines = iter(block.text.splitlines())
    for line in lines:
        if line.startswith("$ "):
            command = line.removeprefix("$ ")
            while command.endswith("\\"):
                command += "\n" + next(lines)
            commands.append(Command(command))
        elif commands:
            commands[-1].shown = f"{commands[-1].shown or ''}{line}\n"
    for command in commands:
        if command.shown is not None and not command.shown.strip():
            command.shown = None
    return commands


def recipe_of(target: str) -> str | None:
    """Return the recipe of a target of the Makefile."""
    match = re.search(
        rf"^{re.escape(target)}:[^\n]*\n((?:\t[^\n]*\n)*)",
        (ROOT / "Makefile").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    return match.group(1) if match else None


def runs(block: Block) -> bool:
    return block.language == "console" and not block.rest.startswith("no-run")


def is_doctest(block: Block) -> bool:
    return block.language == "python" and not block.rest


def to_be_run(block: Block) -> list[Command]:
    commands = []
    for command in commands_of(block):
        if command.line == "make demo":
            assert "$(BIN)/delegraph demo" in (recipe_of("demo") or "")
            commands.append(Command("delegraph demo", command.shown))
        elif not command.line.startswith("make"):
            commands.append(command)
    return commands


SECTIONS = [section for page in MANUAL for section in sections_of(page) if any(runs(block) for block in section.blocks)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder like a fresh clone after `make setup`, as far as the pages need it."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    command = tmp_path / ".venv" / "bin" / "delegraph"
    command.parent.mkdir(parents=True)
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); "
        "from lineage.serve.cli.main import main; main(prog_name='delegraph')"
    )
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -c {shlex.quote(code)} "$@"\n', encoding="utf-8")
    command.chmod(0o755)
    python = command.with_name("python")
    python.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n', encoding="utf-8")
    python.chmod(0o755)
    return tmp_path


def run(script: str, folder: Path) -> str:
    env = {name: value for name, value in os.environ.items() if not name.startswith("DELEGRAPH_")}
    env |= {
        "PATH": os.pathsep.join([str(folder / ".venv" / "bin"), env["PATH"]]),
        "COLUMNS": "100",
        "LC_ALL": "C.UTF-8",
        "NO_COLOR": "1",
    }
    done = subprocess.run(
        ["sh"],
        check=False,
        input=script,
        cwd=folder,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=200,
    )
    return done.stdout


def run_block(commands: list[Command], folder: Path) -> list[tuple[int, str]]:
    """Run commands in one shell, and return the exit code and output of each."""
    script = "".join(
        f"{command.line}\ncode=$?; echo; echo '{END_OF} {number}:' $code; (exit $code)\n"
        for number, command in enumerate(commands)
    )
    output = run(script, folder)
    results = []
    for number, command in enumerate(commands):
        match = re.match(rf"(.*?)\n{END_OF} {number}: (\d+)\n", output, re.DOTALL)
        assert match, f"{command.line}\nnever ended; printed:\n{output}"
        results.append((int(match.group(2)), match.group(1)))
        output = output[match.end() :]
    return results


def is_shown_truly(shown: str, printed: str) -> bool:
    """Return whether the shown output is what was printed, except for white space and `...`."""
    parts = [re.escape(" ".join(part.split())) for part in shown.split("...")]
    pattern = r"\s*" + r".*?".join(part.replace(r"\ ", r"\s+") + r"\s*" for part in parts)
    return re.fullmatch(pattern, printed, re.DOTALL) is not None


@pytest.mark.slow
@pytest.mark.parametrize("section", SECTIONS, ids=str)
def test_examples_on_pages_print_what_they_show(section: Section, folder: Path):
    """
    Every command of a section works as typed, and prints what is shown.
    """
    for command in BEFORE.findall(section.text):
        [(code, printed)] = run_block([Command(command)], folder)
        assert 0 == code, f"{command}\n{printed}"
    for block in section.blocks:
        if block.rest and block.language in FILES:
            (folder / block.rest).write_text(block.text, encoding="utf-8")
    commands = [command for block in section.blocks if runs(block) for command in to_be_run(block)]
    results = run_block(commands, folder)
    followers = [command.line for command in commands[1:]] + [""]
    for command, (code, printed), follower in zip(commands, results, followers, strict=True):
        if command.shown is not None:
            assert is_shown_truly(command.shown, printed), f"$ {command.line}\n{printed}\nbut shown is\n{command.shown}"
        if follower != "echo $?":
            assert 0 == code, f"$ {command.line}\nexits with {code}\n{printed}"


@pytest.mark.parametrize(
    ("shown", "printed", "expected"),
    [
        ("a b\nc\n", "a\nb c\n\n", True),
        ("a ... c", "a b\nb c", True),
        ("a\n...\n", "a\nb\nc\n", True),
        ("a ...", "a", True),
        ("a", "a b", False),
        ("a c", "a b c", False),
        ("", "a", False),
    ],
)
def test_only_dots_replace_output(shown: str, printed: str, expected: bool):
    """
    The comparison ignores line breaks, and nothing else.
    """
    assert expected == is_shown_truly(shown, printed)


def test_a_block_that_is_not_run_says_why():
    """
    An unchecked block is an exception and states its reason.
    """
    for page in PAGES:
        for block in blocks_of(page.read_text(encoding="utf-8")):
            if block.language == "console" and block.rest:
                assert re.fullmatch(r"no-run: \S.*", block.rest), f"{page.name}: {block.rest}"


def test_every_make_target_that_is_named_exists():
    """
    Every target of `make` on a page is in the Makefile.
    """
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        inside = [block.text for block in blocks_of(text)] + re.findall(r"`([^`\n]+)`", text)
        for target in re.findall(r"^(?:\$ )?make ([a-z][a-z-]*)", "\n".join(inside), re.MULTILINE):
            assert recipe_of(target) is not None, f"{page.name} names make {target}"


def slug(heading: str) -> str:
    """Return the anchor of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.replace("`", "").strip().lower()).replace(" ", "-")


def test_links_have_targets():
    """
    A relative link names an existing file or heading.
    """
    for page in PAGES:
        text = FENCE.sub("", page.read_text(encoding="utf-8"))
        for link in re.findall(r"\]\(([^)\s]+)\)", text):
            if re.match(r"[a-z]+:", link):
                continue
            path, _, anchor = link.partition("#")
            target = (page.parent / path).resolve() if path else page
            assert target.exists(), f"{page.name} links to {link}"
            if anchor:
                headings = re.findall(r"^#+ (.+)$", FENCE.sub("", target.read_text(encoding="utf-8")), re.MULTILINE)
                assert anchor in {slug(heading) for heading in headings}, f"{page.name} links to {link}"


@pytest.mark.parametrize("command", main.list_commands(click.Context(main)))
def test_every_command_is_named_in_the_docs(command: str):
    """
    Every command can be found in the manual.
    """
    assert any(re.search(rf"`?delegraph {command}\b", page.read_text(encoding="utf-8")) for page in MANUAL)


def test_every_option_that_is_named_exists():
    """
    An option that a page names is one of the command line, or of the benchmark that it is given to.
    """
    context = click.Context(main)
    commands = [main.get_command(context, name) for name in main.list_commands(context)]
    commands += [inner for group in commands if isinstance(group, click.Group) for inner in group.commands.values()]
    known = {option for command in commands for param in command.params for option in param.opts}
    known |= {"--help", "--version"}
    for page in (*MANUAL, *DECISIONS):
        for code in re.findall(r"`([^`\n]+)`", FENCE.sub("", page.read_text(encoding="utf-8"))):
            benchmark = re.match(r"python -m (benchmarks\.\w+)", code)
            source = (ROOT / f"{benchmark[1].replace('.', '/')}.py").read_text(encoding="utf-8") if benchmark else ""
            for option in re.findall(r"(?<![\w-])--[a-z][a-z-]+", code):
                assert option in known or f'"{option}"' in source, f"{page.name} names {option}"


def test_files_modules_and_functions_that_are_named_exist():
    """
    A file, module or function of ours on a page exists.
    """
    for page in (*MANUAL, *DECISIONS):
        for code in re.findall(r"`([^`\n]+)`", FENCE.sub("", page.read_text(encoding="utf-8"))):
            if re.fullmatch(r"(?:ingest|lineage|schemas|tests|docs|examples|benchmarks)/[\w./-]*", code):
                assert (ROOT / code).exists(), f"{page.name} names {code}"
            elif re.fullmatch(r"(?:ingest|lineage|schemas)(?:\.\w+)+", code):
                try:
                    pkgutil.resolve_name(code)
                except (ImportError, AttributeError) as error:
                    raise AssertionError(f"{page.name} names {code}") from error


def test_every_kind_of_finding_is_explained():
    """
    Every kind is in the rule of authority.
    """
    page = (ROOT / "docs" / "rule-of-authority.md").read_text(encoding="utf-8")
    explained = set(re.findall(r"`([a-z-]+)`", page.partition("\n## 8. Gaps and findings\n")[2].partition("\n## ")[0]))
    kinds = set(re.findall(r"``([a-z-]+)``", finding.__doc__ or ""))

    assert kinds
    assert kinds <= explained


RULE = ROOT / "docs" / "rule-of-authority.md"
CLAUSE = re.compile(r"^(?:\| )?\*\*(\d+\.\d+)\*\*", re.MULTILINE)
CITED = re.compile(r"\b[Cc]lauses?\s+((?:(?:,\s|\sand\s|\sto\s)?\d+\.\d+)+)")
SECTION_CITED = re.compile(r"\b[Ss]ection\s(\d+) of docs/rule-of-authority\.md")
# Working documents that are not in the repository, so a reader could not open a citation.
ELSEWHERE = re.compile(r"\b(?:DESIGN|CATALOGUE|HOUSE|WORDING|STANDARDS|STYLE)\b|\b(?:SOURCES|FACTS)(?:\.md| section)")


def clauses() -> list[str]:
    """Return the numbers of the clauses of the rule of authority, in order."""
    return CLAUSE.findall(RULE.read_text(encoding="utf-8"))


def texts() -> Iterator[tuple[str, str]]:
    """Yield every file of code, tests and docs with its path."""
    for folder in ("ingest", "lineage", "schemas", "tests", "docs", "benchmarks", "compose", "examples", ".github"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in {".py", ".md", ".toml", ".yml", ".html", ".css", ".js", ".avsc"}:
                yield str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")
    for path in sorted(ROOT.glob("*.*")):
        if path.suffix in {".md", ".toml", ".yml"}:
            yield path.name, path.read_text(encoding="utf-8")


def test_the_clauses_of_the_rule_are_numbered_in_order():
    """
    Clauses are cited by number: each section counts from 1, without missing or repeated numbers.
    """
    sections = RULE.read_text(encoding="utf-8").split("\n## ")[1:]

    assert sections
    for number, section in enumerate(sections, start=1):
        assert section.startswith(f"{number}. ")
        found = CLAUSE.findall(section)
        assert [f"{number}.{place}" for place in range(1, len(found) + 1)] == found
        assert found


def test_every_clause_that_is_cited_exists():
    """
    A clause number in the code names the sentence that it implements.
    """
    known = set(clauses())
    sections = {clause.partition(".")[0] for clause in known}
    cited = set()
    for name, text in texts():
        for found in CITED.findall(text):
            numbers = set(re.findall(r"\d+\.\d+", found))
            assert numbers <= known, f"{name} cites {numbers - known}"
            cited |= numbers
        assert set(SECTION_CITED.findall(text)) <= sections, name

    assert {"1.1", "6.8", "7.7"} <= cited


def test_no_file_cites_a_document_that_is_not_in_the_repository():
    """
    A reader must be able to open every cited document.
    """
    for name, text in texts():
        if name != "tests/test_docs.py":
            found = [match.group() for match in ELSEWHERE.finditer(text)]
            assert not found, f"{name} cites {found}"


def test_every_invariant_names_its_test():
    """
    Each invariant names the test that checks it.
    """
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    listed = text.partition("\n## Invariants\n")[2].partition("\n## ")[0]
    invariants = re.findall(r"^(\d+)\. (.*(?:\n   .*)*)", listed, re.MULTILINE)

    assert [str(number) for number in range(1, len(invariants) + 1)] == [number for number, _ in invariants]
    assert invariants
    for number, invariant in invariants:
        tests = re.findall(r"`(tests/[\w/]+\.py)`", invariant)
        assert tests, f"invariant {number} names no test"
        for test in tests:
            assert (ROOT / test).exists(), f"invariant {number} names {test}"


def test_every_decision_is_in_the_list():
    """
    The list has each decision record once, in order, with its title and with the first word of its status.
    """
    listed = re.findall(
        r"^\| \[(\d{4})\]\(([^)]+)\) \| (.+?) \| (\w+).*? \|$",
        (ROOT / "docs" / "adr" / "README.md").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    records = [page.read_text(encoding="utf-8").split("\n", 3) for page in DECISIONS]

    assert len(DECISIONS) == len({page.name[:4] for page in DECISIONS})
    assert [
        (page.name[:4], page.name, title.removeprefix("# "), re.split(r"\W", status)[0].lower())
        for page, (title, _, status, _) in zip(DECISIONS, records, strict=True)
    ] == sorted((number, name, f"{number}: {title}", status) for number, name, title, status in listed)


@pytest.mark.slow
@pytest.mark.parametrize(
    "section",
    [section for page in MANUAL for section in sections_of(page) if any(is_doctest(block) for block in section.blocks)],
    ids=str,
)
def test_examples_in_python_run(section: Section):
    """
    Doctests on pages pass.
    """
    examples = "\n".join(block.text for block in section.blocks if is_doctest(block))
    test = doctest.DocTestParser().get_doctest(examples, {}, str(section), str(section.page), 0)
    report: list[str] = []
    doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, out=report.append)

    assert [] == report
    assert test.examples


EXAMPLES = [
    path.relative_to(ROOT)
    for package in ("ingest", "lineage", "schemas")
    for path in sorted((ROOT / package).rglob("*.py"))
    if ">>> " in path.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("path", EXAMPLES, ids=str)
def test_examples_in_docstrings_run(path: Path):
    """
    What an example in a docstring prints is what it shows.
    """
    found = doctest.DocTestFinder().find(import_module(".".join(path.with_suffix("").parts)))
    report: list[str] = []
    for test in found:
        doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, out=report.append)

    assert [] == report
    assert any(test.examples for test in found)


def test_every_path_of_the_http_api_is_named():
    """
    docs/http-api.md names each path, and the paths that it names exist.
    """
    text = (ROOT / "docs" / "http-api.md").read_text(encoding="utf-8")
    named = set(re.findall(r"/v1/([a-z]+)(?=\?|`)", text))
    there = {question.path.split("/")[1] for question in QUESTIONS}

    assert there <= named | set(re.findall(r"/v1/([a-z]+)/", text))
    assert named <= there | {"live", "events"}
