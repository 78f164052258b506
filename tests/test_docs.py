"""What the documents point to is there."""

import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[1]


def _anchors(path):
    """As GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.*)", path.read_text(), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in plain}


@pytest.mark.parametrize(
    "name", ["README.md", "WORKSPACE_NOTES.md", "results/README.md"]
)
def test_links_lead_somewhere(name):
    """Files move, and headings change."""
    document = ROOT / name
    links = re.findall(
        r'(?:\]\(|src=")(?!http)([^")\s]+)[")]', document.read_text()
    )
    for link in links:
        path, _, anchor = link.partition("#")
        target = document.parent / path if path else document
        assert target.exists(), link
        assert not anchor or anchor in _anchors(target), link
