"""Which images lack an alternative text, with html.parser on what markdown-it renders as the oracle of Markdown."""

from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from captioner.alt.html import html_images
from captioner.alt.images import NOWHERE, ImageTag, with_alternatives
from captioner.alt.markdown import markdown_images

HTML = """\
<!doctype html><!-- <img src="comment.png"> -->
<script>var a = '<img src="script.png">';</script><style>/* <img src="style.png"> */</style>
<p>é <img src=a.png><IMG
  SRC='b.png' title="a > b"/><img alt src="c.png"><img alt="" src="d.png"><img src="e.png" role="presentation"></p>
<img src="f.png" alt="said"><img src="g.png" aria-label="said"><img src="h.png" aria-hidden="true">
<img src="https://example.org/i.png"><img src="//example.org/j.png"><img src="data:image/png;base64,aa">
"""
MARKDOWN = """\
# Heading ![](a.png) #

> - ![](b.png) text ![said](c.png)
>   more ![][r] [![ ](d.png)](x)

| a ![](e.png) | ![](e.png) |
|---|---|
| x | ![](f.png) <img src="g.png"> |

1. <img src=h.png>
   <p>
    <IMG src=i.png><!-- <img src=no.png> -->

```
![](code.png)
```
    ![](code.png)
`![](code.png)` ![](<j%20k.png> "t") \\![](escaped.png) ![](http://example.org/l.png) ![m.png]

Setext ![](n.png)
===
[r]: r.png
[m.png]: m.png
"""


class Seen(HTMLParser):
    """The images of a page as a browser would show them: source and alternative text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.images: list[tuple[str | None, str | None]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "img":
            self.images.append((dict(attrs).get("src"), dict(attrs).get("alt")))


def wanting(images: list[ImageTag]) -> list[ImageTag]:
    return [image for image in images if image.is_wanting and not image.is_remote]


def rendered(text: str) -> list[tuple[str | None, str | None]]:
    return Seen(MarkdownIt("commonmark").enable("table").render(text)).images


def test_images_of_html() -> None:
    found = html_images(HTML)
    assert [(image.source, image.line) for image in wanting(found)] == [("a.png", 3), ("b.png", 3)]
    assert [image.source for image in found if image.decorative] == ["c.png", "d.png", "e.png", "h.png"]
    assert sum(image.is_remote for image in found) == 3
    new = with_alternatives(HTML, [(image, 'a "dog" & <cat>') for image in wanting(found)])
    assert new.replace(' alt="a &quot;dog&quot; &amp; &lt;cat&gt;"', "") == HTML
    assert [alt for source, alt in Seen(new).images if source in ("a.png", "b.png")] == ['a "dog" & <cat>'] * 2
    assert wanting(html_images(new)) == []


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_images_of_markdown(ending: str) -> None:
    text = MARKDOWN.replace("\n", ending)
    found = wanting(markdown_images(text))
    sources = ["a", "b", "r", "d", "e", "e", "f", "g", "h", "i", "j%20k", "n"]
    assert [image.source for image in found] == [f"{name}.png" for name in sources]
    assert [image.line for image in found] == [1, 3, 4, 4, 6, 6, 8, 8, 10, 12, 18, 20]
    new = with_alternatives(text, [(image, "two *dogs*, [a] & b") for image in found])
    before, after = rendered(text), rendered(new)
    assert [source for source, _ in after] == [source for source, _ in before]
    changed = [(source, alt) for (source, alt), old in zip(after, before, strict=True) if (source, alt) != old]
    assert changed == [(image.source, "two *dogs*, [a] & b") for image in found]
    removed = new.replace(r"two \*dogs\*, \[a\] \& b", "").replace(' alt="two *dogs*, [a] &amp; b"', "")
    assert removed == text.replace("![ ]", "![]")
    assert wanting(markdown_images(new)) == []


PIECES = (
    "![](a.png)", "![ ](b.png)", "![x](c.png)", '<img src="d.png">', "`![](e.png)`", '<!-- <img src="f.png"> -->', "\n",
    "\n\n", "> ", "- ", "    ", "| ", "|---|---|\n", "# ", "```", "[", "](u)", "\t", "word ", "\\", "<p>", "*",
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
def test_whatever_the_markdown_only_what_is_shown_is_edited(text: str) -> None:
    found = [image for image in wanting(markdown_images(text)) if image.place != NOWHERE]
    new = with_alternatives(text, [(image, "dog") for image in found])
    before, after = rendered(text), rendered(new)
    assert [source for source, _ in after] == [source for source, _ in before]
    assert sum(alt == "dog" for _, alt in after) == len(found)
    assert new.replace(' alt="dog"', "").replace("![dog]", "![]") == text.replace("![ ](", "![](") or "![ ]" in text


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="<img src=a>'\"/!-\n\r x", max_size=60))
def test_whatever_the_html_the_rest_stays(text: str) -> None:
    found = wanting(html_images(text))
    new = with_alternatives(text, [(image, "dog") for image in found])
    assert new.replace(' alt="dog"', "") == text
    assert len(new) == len(text) + len(found) * len(' alt="dog"')


def test_a_file_in_an_unknown_encoding_gets_ascii_alone() -> None:
    text = b'<p>\xe9<img src="a.png">'.decode("utf-8", "surrogateescape")
    new = with_alternatives(text, [(wanting(html_images(text))[0], "собака")])
    assert new.encode("utf-8", "surrogateescape").startswith(b'<p>\xe9<img alt="&#1089;')
