"""The documentation names only what exists: targets, commands, settings, metrics, and pages to go on to."""

import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from urllib.parse import unquote

import click
import pytest

from simulator.options import Behaviour
from simulator.options import Settings as SimulatorSettings
from smsapp.cli.main import main
from smsapp.config import Settings

ROOT = Path(__file__).parent.parent.parent
PAGES = sorted(
    [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "SECURITY.md", *(ROOT / "docs").rglob("*.md")]
)

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def code(page: Path) -> Iterator[str]:
    """Yield each line of the page's code blocks, and each piece of code between its words."""
    fenced = False
    for line in page.read_text().splitlines():
        if line.strip().startswith("```"):
            fenced = not fenced
        elif fenced or line.startswith("    "):
            yield line
        else:
            yield from re.findall(r"`([^`]+)`", line)


@pages
def test_every_make_target_exists(page: Path) -> None:
    targets = set(re.findall(r"(?m)^([a-z]+):.*## ", (ROOT / "Makefile").read_text()))
    named = {name for piece in code(page) for name in re.findall(r"^(?: {4})?(?:\$ )?make ([a-z]+)", piece)}

    assert named - targets == set()


@pages
def test_every_command_exists(page: Path) -> None:
    for piece in code(page):
        for words in re.findall(r"python -m smsapp ((?:[a-z][\w-]*(?: |$))+)", piece):
            command: click.Command = main
            for word in words.split():
                if isinstance(command, click.Group):
                    assert word in command.commands, piece
                    command = command.commands[word]


@pages
def test_every_variable_and_constant_exists(page: Path) -> None:
    name = r"[A-Z]+(?:_[A-Z0-9]+)+"
    code_of_ours = "".join(file.read_text() for file in (ROOT / "smsapp").rglob("*.py"))
    configuration = "".join((ROOT / file).read_text() for file in (".env.example", "Procfile", "Dockerfile"))
    known = set(re.findall(rf"\b{name}\b", code_of_ours + configuration))
    known |= {field.upper() for field in Settings.model_fields}
    known |= {
        f"SIMULATOR_{item.name.upper()}" for kind in (SimulatorSettings, Behaviour) for item in fields(kind)
    }
    named = {found[1] for piece in code(page) if (found := re.fullmatch(rf"({name})(?:=.*)?", piece))}

    assert named - known == set()


@pages
def test_every_metric_is_told(page: Path) -> None:
    told = "".join((ROOT / "smsapp" / name).read_text() for name in ("metrics.py", "health/gauges.py"))

    for piece in code(page):
        for name in re.findall(r"\bsmsapp_[a-z_]+", piece):
            assert f'"{name}"' in told or f'"{name.removesuffix("_total")}"' in told, name


@pages
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        goal = (page.parent / unquote(path)).resolve() if path else page
        assert goal.exists(), target
        if anchor:
            assert anchor in anchors(goal), target


def anchors(page: Path) -> set[str]:
    """Return what GitHub makes of the page's headings."""
    headings = re.findall(r"(?m)^#+ (.+)$", page.read_text())
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
