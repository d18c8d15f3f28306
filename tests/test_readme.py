"""The README's examples are run, not only read."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import PARROTS, ROOT
from tests.man_page import PAGE, page

README = (ROOT / "README.md").read_text()
SHELL_BLOCKS = re.findall(r"```sh\n(.*?)```", README, re.S)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copy(PARROTS, tmp_path / "photo.png")
    return tmp_path


def test_python_examples(folder, monkeypatch):
    monkeypatch.chdir(folder)
    blocks = re.findall(r"```python\n(.*?)```", README, re.S)
    assert blocks
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})


def run_shell_block(block: str, folder: Path) -> None:
    for line in block.strip().splitlines():
        command = shlex.split(line, comments=True)
        assert command[0] == "compass"
        result = subprocess.run(
            [sys.executable, "-m", *command], cwd=folder, capture_output=True, text=True, check=False
        )
        assert result.returncode == 0, (line, result.stderr)


@pytest.mark.slow
def test_shell_examples(folder):
    (folder / "photos").mkdir()
    shutil.copy(PARROTS, folder / "photos" / "other.png")
    run_shell_block(SHELL_BLOCKS[0], folder)
    assert (folder / "web" / "other.cmps").exists()
    sizes = {}
    for name in ("small.png", "large.png"):
        with Image.open(folder / name) as image:
            sizes[name] = image.size
    assert sizes == {"small.png": (80, 60), "large.png": (320, 240)}


@pytest.mark.slow
def test_measuring_ones_own_pictures(folder):
    (folder / "photos").mkdir()
    (folder / "photo.png").rename(folder / "photos" / "photo.png")
    run_shell_block(SHELL_BLOCKS[1], folder)
    report = (folder / "report" / "report.md").read_text()
    assert re.search(r"\| simulcast-webp \| -\d\d\.\d % \| -\d\d\.\d % \| -\d\d\.\d % \| measured \|", report)


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


PAGES = sorted(
    page.relative_to(ROOT) for folder in (".", "conformance", "docs", "results") for page in ROOT.glob(f"{folder}/*.md")
)
PAGES += sorted(page.relative_to(ROOT) for page in ROOT.glob("docs/*/*.md"))


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_links_of_every_page_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", (ROOT / page).read_text()):
        assert ((ROOT / page).parent / target).exists(), target


def test_the_manual_page_is_of_this_command():
    assert PAGE.read_text() == page(), "python -m tests.man_page writes it"
