"""What package authors wrote in Markdown, as HTML that can do no harm.

HTML in the text stays text, links lead nowhere but to the web, and images are those of the package itself:
nobody's server learns who reads a page here. Headings go below those of the page.
"""

# ruff: noqa: ARG001 - the renderer hands every rule the same

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import OptionsDict
from markupsafe import Markup

# The page's own headings reach down to the second level.
_BELOW = 2
_DEEPEST = 6
# Longer texts are shown as they are: rendering them would keep everybody waiting.
MAX_RENDERED = 200_000


def render(text: str, image_url: Callable[[str], str | None]) -> Markup:
    """Return `text` as HTML; `image_url` says where an image it names is to be had, if anywhere."""
    tokens = _parse(text)
    return Markup(_renderer.render(tokens, _parser.options, {"image_url": image_url}))  # noqa: S704 - made here


@lru_cache(maxsize=64)
def _parse(text: str) -> Sequence[Token]:
    """Return the tokens of a text, its headings moved below those of the page, with no level left out."""
    tokens = _parser.parse(text)
    headings = [token for token in tokens if token.type in {"heading_open", "heading_close"}]
    highest = min((int(token.tag[1:]) for token in headings), default=1)
    level = _BELOW
    for token in headings:
        if token.nesting > 0:
            level = min(int(token.tag[1:]) - highest + _BELOW + 1, level + 1, _DEEPEST)
        token.tag = f"h{level}"
    return tokens


def _link(self: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: Any) -> str:
    href = str(tokens[index].attrGet("href") or "")
    if not href.startswith(("https://", "http://", "mailto:")):
        # A path in the vendor's own repository leads nowhere here.
        return "<a>"
    return f'<a href="{_escaped(href)}" rel="noopener noreferrer nofollow">'


def _image(self: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: Any) -> str:
    token = tokens[index]
    told = self.renderInlineAsText(token.children or [], options, env)
    url = env["image_url"](str(token.attrGet("src") or ""))
    if url is None:
        return f'<span class="quiet">[{_escaped(told) or "image"}]</span>'
    return f'<img src="{_escaped(url)}" alt="{_escaped(told)}" loading="lazy">'


def _table(self: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: Any) -> str:
    return '<div class="scroll" tabindex="0"><table class="table">'


def _table_end(
    self: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: Any
) -> str:
    return "</table></div>"


def _cell(self: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: Any) -> str:
    # Alignment would be a style attribute, which pages do not allow.
    return f"<{tokens[index].tag}>"


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")


def _made() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False, "linkify": False, "maxNesting": 20})
    parser.enable(["table", "strikethrough"])
    for name, rule in (
        ("link_open", _link),
        ("image", _image),
        ("table_open", _table),
        ("table_close", _table_end),
        ("th_open", _cell),
        ("td_open", _cell),
    ):
        parser.add_render_rule(name, rule)
    return parser


_parser = _made()
_renderer: Any = _parser.renderer
