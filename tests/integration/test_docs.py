"""README and docs: links lead somewhere, the folders of the architecture page exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from backend.protocol import frames
from backend.server.app import create_app
from backend.server.errors import STATUS
from backend.server.inference import rig_library

ROOT = Path(__file__).resolve().parents[2]
PAGES = [*(ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "CHANGELOG")), *sorted((ROOT / "docs").glob("*.md"))]


def anchors(page: Path) -> set[str]:
    """The names that the forge gives to a page's headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken(page: Path) -> list[str]:
    found = []
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        place, _, anchor = link.partition("#")
        target = (page.parent / place).resolve() if place else page
        if "://" in link:
            continue
        if not target.exists() or (anchor and anchor not in anchors(target)):
            found.append(link)
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    assert broken(page) == []


def test_every_page_is_in_the_index():
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    pages = [page for page in PAGES if page.parent.name == "docs" and page.name != "index.md"]
    assert [page.name for page in pages if f"({page.name})" not in index] == []


def test_the_architecture_page_names_what_is_there():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:blender_addon|backend|models|tests)/[\w./]*)`", text))
    assert len(named) > 20
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []
    rooms = {f"{part}/{folder.name}/" for part in ("blender_addon", "backend", "models") for folder in (ROOT / part).iterdir()
             if folder.is_dir() and not folder.name.startswith((".", "__"))}  # fmt: skip
    assert sorted(rooms - named - {"blender_addon/protocol/"}) == []


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "CONTRIBUTING.md"], ids=lambda page: page.name)  # old names too
def test_source_files_that_a_page_names_exist(page):
    files = [
        path.as_posix() for folder in ("backend", "blender_addon", "docs", "models", "tests") for path in (ROOT / folder).rglob("*.py")
    ]
    named = re.findall(r"`(?:\S+ )*([\w/.-]+\.py)`", page.read_text(encoding="utf-8"))
    ours = [name for name in named if name not in ("build.py", "export_weights.py")]  # the second is NVIDIA's
    assert [name for name in ours if not any(path.endswith(f"/{name}") for path in files)] == []


BLENDERS = {"Allow Online Access", "Alpha Over", "Anti-Aliasing", "Apply", "Camera", "Cryptomatte", "Defocus", "Depth Combine", "Map UV",
            "Matte ID", "Movie Clip Editor", "Overlays", "Overwrite", "Placeholders", "Ray Visibility", "Standard", "Vector Blur"}  # fmt: skip


@pytest.mark.parametrize("name", ["README.md", "docs/install.md", "docs/troubleshooting.md", "docs/user-guide.md"])
def test_labels_that_a_page_names_are_in_the_interface(name):
    nodes = (node for path in (ROOT / "blender_addon").rglob("*.py") for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    texts = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    text = (ROOT / name).read_text(encoding="utf-8")
    labels = {part for found in re.findall(r"(?<![*\w])\*([A-Z][^*\n:.]+)\*(?!\*)", text) for part in found.split(" › ")}
    assert len(labels) > 2 or name == "docs/troubleshooting.md"
    assert sorted(labels - texts - BLENDERS) == []


def test_the_api_page_has_the_backends_paths_headers_and_statuses():
    text = (ROOT / "docs" / "http-api.md").read_text(encoding="utf-8")
    paths = set(create_app(rig_library(), "token").openapi()["paths"])
    assert set(re.findall(r"`(?:GET|POST|DELETE) (/v1/[\w/{}]+)`", text)) == paths
    names = {frames.ARRAY_SHAPE_HEADER, frames.ARRAY_TYPE_HEADER, frames.ARRAY_CHANNELS_HEADER, frames.PLACEMENT_HEADER}
    assert set(re.findall(r"`(X-[\w-]+)`", text)) == names | {frames.CLIENT_HEADER, frames.SUPERSEDE_HEADER}
    rows = re.findall(r"^\| ([\d, ]+) \| (`.*?`(?:, (?:`\w+`|…))*) \|", text, re.MULTILINE)
    said = {code: statuses for statuses, codes in rows for code in re.findall(r"`(\w+)`", codes)}
    assert {code: str(status) for code, status in STATUS.items()}.items() <= said.items()
