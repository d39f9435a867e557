"""Every Python block of README.md and docs/ runs, and every link between them leads somewhere.

Blocks of one page run in order in one process, as a reader would type them.
"""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import stoker

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")
LIMIT_S = 120


def name(page):
    return str(page.relative_to(ROOT))


def blocks(page):
    return BLOCK.findall(page.read_text(encoding="utf-8"))


@pytest.mark.slow
@pytest.mark.usefixtures("everything_installed")
@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=name)
def test_the_python_of_a_page_runs(page, tmp_path):
    script = tmp_path / "page.py"
    script.write_text("\n".join(blocks(page)), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=LIMIT_S, cwd=tmp_path, check=False,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"})
    assert done.returncode == 0, done.stderr[-3000:]
    assert "StokerWarning" not in done.stderr


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_of_a_page_lead_to_files(page):
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{target} is not there"


@pytest.mark.slow
def test_the_readme_prints_what_it_says_it_prints():
    """The numbers differ from run to run; the form of the lines does not."""
    done = subprocess.run(
        [sys.executable, "-c", blocks(ROOT / "README.md")[0]], capture_output=True, text=True, timeout=LIMIT_S, check=True)
    promised = re.search(r"^prints\n\n((?:    .*\n)+)", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    lines = [line.strip() for line in promised.group(1).splitlines()]
    printed = done.stdout.splitlines()
    assert [line.split(" steps")[0] for line in printed[:3]] == [line.split(" steps")[0] for line in lines[:3]]
    assert all("loss" in line and "waited for data" in line for line in printed[:3])
    assert printed[3].startswith("stoker: ")


def arguments(call):
    """Its arguments with their defaults, as the reference writes them; with a star where names begin to be needed."""
    written, needs_star = [], True
    for argument in inspect.signature(call).parameters.values():
        if argument.kind is argument.KEYWORD_ONLY and needs_star:
            written, needs_star = [*written, "*"], False
        default = getattr(argument.default, "__name__", None) if isinstance(argument.default, type) else repr(argument.default)
        written.append(argument.name if argument.default is argument.empty else f"{argument.name}={default}")
    return ", ".join(written)


@pytest.mark.parametrize("public", stoker.__all__)
def test_the_reference_has_every_public_name_with_its_arguments(public):
    text = " ".join((ROOT / "docs" / "reference.md").read_text(encoding="utf-8").split())
    thing = getattr(stoker, public)
    assert f"stoker.{public}" in text or f"| `{public}` |" in text
    if inspect.isfunction(thing) or thing is stoker.Feed:
        assert f"stoker.{public}({arguments(thing)})" in text
