"""Markdown, as docs/ is written in, as web pages."""

from __future__ import annotations

from backend.project.pages import SHIPPED, block, blocks, guide, page


def body(markdown: str) -> str:
    return "\n".join(block(kind, lines) for kind, lines in blocks(markdown.splitlines()))


def test_headings_have_the_anchors_that_links_use():
    assert body("## Duplicating, linking *and* more") == '<h2 id="duplicating-linking-and-more">Duplicating, linking <em>and</em> more</h2>'


def test_lists_take_the_lines_that_go_on():
    assert body("Two:\n- one\n  more\n- two\n\n1. first") == (
        "<p>Two:</p>\n<ul><li>one\nmore</li><li>two</li></ul>\n<ol><li>first</li></ol>"
    )


def test_a_table_without_a_head_has_none():
    assert body("| | |\n|---|---|\n| a | b |") == "<table><tr><td>a</td><td>b</td></tr></table>"
    assert body("| x |\n|---|\n| `a\\|b` |") == "<table><tr><th>x</th></tr><tr><td><code>a|b</code></td></tr></table>"


def test_code_is_not_read_as_anything_else():
    assert body("Run\n\n    a *b* <c>\n\n```\n# d\n```") == "<p>Run</p>\n<pre>a *b* &lt;c&gt;</pre>\n<pre># d</pre>"
    assert body("`*a*` & **b**") == "<p><code>*a*</code> &amp; <strong>b</strong></p>"


def test_links_lead_to_pages_that_are_there():
    assert body("[a](light.md#x) [b](#y) [c](https://z) [d](training.md) [e](http-api.md)") == (
        '<p><a href="light.html#x">a</a> <a href="#y">b</a> <a href="https://z">c</a> d e</p>'
    )


def test_nothing_of_the_guides_markdown_is_left_over():
    for name, content in guide():
        if name.endswith(".html"):
            lines = content.decode().splitlines()
            assert not [line for line in lines if line.startswith(("|", "- ", "#")) or "](" in line or "**" in line], name


def test_a_page_has_a_title_and_the_way_to_the_others():
    text = page("# Light & more\n\nText.")
    assert "<title>StyleRig: Light &amp; more</title>" in text and all(f'href="{name}.html"' in text for name in SHIPPED)
