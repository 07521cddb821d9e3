"""Links in a passage that could carry data away: those whose URL has a query string, a fragment or user information.

First Markdown and HTML links and images become their text; then what is left of such URLs, wherever it stands, becomes
host and path without a scheme. So what the first step does not recognise, the second still makes harmless: behind both
no URL with a `?`, a `#` or an `@` before its host is left. Links without any of these stay.
"""

from __future__ import annotations

import html
import re

_MAX_TEXT, _MAX_URL, _MAX_TAG = 500, 2_000, 4_000
"""Bounds of what is looked at from one place on: the work is linear in the text."""
_MAX_NESTED = 3

_ANGLED = rf"<[^<>\n]{{0,{_MAX_URL}}}+>"
_WITH_BRACKETS = rf"[^\s()<>]{{0,{_MAX_URL}}}+(?:\([^\s()]{{0,200}}+\)[^\s()]{{0,{_MAX_URL}}}+)?"
_TITLE = r"(?:\s{1,10}(?:\"[^\"]{0,500}+\"|'[^']{0,500}+'|\([^()]{0,500}+\)))?"
_MARKDOWN = re.compile(
    rf"!?\[(?P<text>(?:[^\[\]\\]|\\.){{0,{_MAX_TEXT}}}+)\]"
    rf"\(\s{{0,10}}(?P<url>{_ANGLED}|{_WITH_BRACKETS}){_TITLE}\s{{0,10}}\)",
    re.DOTALL,
)
_REFERENCE = re.compile(
    rf"^ {{0,3}}\[(?P<label>[^\[\]\n]{{1,{_MAX_TEXT}}}+)\]:[ \t]{{0,10}}\n?[ \t]{{0,10}}"
    rf"<?(?P<url>[^\s<>]{{1,{_MAX_URL}}}+)>?[^\n]{{0,500}}+$",
    re.MULTILINE,
)
_REFERS = re.compile(rf"!?\[(?P<text>[^\[\]]{{1,{_MAX_TEXT}}}+)\] ?\[(?P<label>[^\[\]]{{0,{_MAX_TEXT}}}+)\]")
_INSIDE = rf"(?:[^<>\"']|\"[^\"]{{0,{_MAX_TAG}}}+\"|'[^']{{0,{_MAX_TAG}}}+'){{0,{_MAX_TAG}}}+"
_TAG = re.compile(rf"<(?P<end>/?)(?P<name>[A-Za-z][A-Za-z0-9:-]{{0,40}}+)(?P<rest>{_INSIDE})>")
_ATTRIBUTE = re.compile(
    r"[\s/\"'](?P<name>[A-Za-z:-]{1,40}+)\s{0,10}=\s{0,10}(?P<value>\"[^\"]*+\"|'[^']*+'|[^\s\"'>]++)"
)
_LOADS = {
    "href", "src", "srcset", "xlink:href", "action", "formaction", "data", "poster", "background", "cite", "longdesc",
    "ping", "style", "content", "manifest", "srcdoc",
}  # fmt: skip
_URL = re.compile(
    r"(?:[A-Za-z][A-Za-z0-9+.-]{0,30}:[/\\]{2}|(?<![\w:/\\])[/\\]{2}(?=[\w-]{1,63}\.\w)|\bwww\.)"
    rf"[^\s<>\"]{{1,{_MAX_URL}}}+",
    re.IGNORECASE,
)
_BEHIND_URL = ".,;:!)]}'`*_|"
_CARRIES = re.compile(r"[?#]|&(?:quest|num|#0*(?:63|35)|#x0*(?:3f|23))\b", re.IGNORECASE)
_QUERY = re.compile(r"[?#]")
_SCHEME = re.compile(r"^(?:[A-Za-z][A-Za-z0-9+.-]{0,30}+:)?[/\\]{2,}+(?:[^/\\?#]*@)?")
_USER = re.compile(r"(?:(?<![A-Za-z0-9+.-])[A-Za-z][A-Za-z0-9+.-]{0,30}+:)?[/\\]{2,}+[^/\\?#]*@")


def strip_links(text: str) -> str:
    """The text without what could carry data away. Linear; a second time changes nothing."""
    if not _CARRIES.search(text) and "@" not in text and "&" not in text:
        return text
    for _ in range(_MAX_NESTED):  # an image within a link
        stripped = _MARKDOWN.sub(_text_of_link, text)
        if stripped == text:
            break
        text = stripped
    text = _without_references(text)
    text = _without_tags(text) if "<" in text else text
    return _URL.sub(_bare, text)


def carries_data(url: str) -> bool:
    """Whether the URL, or one within its path, has a query string, a fragment or user information."""
    url = html.unescape(url)
    return "?" in url or "#" in url or _USER.search(url) is not None


def _text_of_link(match: re.Match[str]) -> str:
    return match["text"] if carries_data(match["url"].replace("\\", "")) else match[0]


def _without_references(text: str) -> str:
    """`[text][label]` with `[label]: url` elsewhere."""
    labels = {_label(match["label"]) for match in _REFERENCE.finditer(text) if carries_data(match["url"])}
    if not labels:
        return text
    text = _REFERENCE.sub(lambda match: "" if _label(match["label"]) in labels else match[0], text)
    return _REFERS.sub(
        lambda match: match["text"] if _label(match["label"] or match["text"]) in labels else match[0], text
    )


def _label(text: str) -> str:
    return " ".join(text.split()).casefold()


def _without_tags(text: str) -> str:
    """Tags that load or lead to such a URL: an image becomes its `alt`, any other goes, with its end."""
    gone: list[str] = []

    def kept(match: re.Match[str]) -> str:
        name = match["name"].lower()
        if match["end"]:
            if name in gone:
                gone.remove(name)
                return ""
            return match[0]
        attributes = {
            found["name"].lower(): found["value"].strip("\"'") for found in _ATTRIBUTE.finditer(match["rest"])
        }
        if not any(carries_data(value) for key, value in attributes.items() if key in _LOADS):
            return match[0]
        if name not in _VOID and len(gone) < _MAX_OPEN:
            gone.append(name)
        return attributes.get("alt", "")

    return _TAG.sub(kept, text)


_VOID = {"img", "input", "link", "meta", "source", "embed", "track", "base", "area", "image"}
_MAX_OPEN = 100


def _bare(match: re.Match[str]) -> str:
    url = match[0]
    if not carries_data(url):
        return url
    behind = url[len(url.rstrip(_BEHIND_URL)) :]
    plain = _QUERY.split(html.unescape(url), maxsplit=1)[0]
    return _USER.sub("", _SCHEME.sub("", plain)).rstrip(_BEHIND_URL) + behind
