"""A report of headings, text, tables and pictures, written as Markdown and as one HTML file.

The HTML file holds its pictures itself and asks the network for nothing.
"""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from urllib.parse import quote

from paco_seg.comparison.tables import text_table


@dataclass(frozen=True)
class Heading:
    """A heading; level 1 is the title."""

    text: str
    level: int = 2


@dataclass(frozen=True)
class Text:
    """A paragraph; ``*word*`` is emphasised, ```word``` is code."""

    text: str


@dataclass(frozen=True)
class Items:
    """A list of points, marked up like :class:`Text`."""

    items: Sequence[str]


@dataclass(frozen=True)
class Table:
    """A table; the first column is text, the others are numbers."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Picture:
    """A picture file beside the report, and what it shows."""

    file: str
    caption: str


@dataclass(frozen=True)
class Gallery:
    """Pictures in a grid, as many beside each other as there is room for."""

    pictures: Sequence[Picture]


@dataclass(frozen=True)
class Legend:
    """Names with their colours, each (R, G, B) of 0 to 255."""

    entries: Sequence[tuple[str, Sequence[int]]]


Block = Heading | Text | Items | Table | Picture | Gallery | Legend

_PAGE = Template("""\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; color: #222; max-width: 72rem; margin: 2rem auto;
  padding: 0 1rem; }
h1, h2, h3 { line-height: 1.2; margin-top: 2rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .75rem; border-bottom: 1px solid #ddd; text-align: right;
  white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
thead th { border-bottom: 2px solid #888; }
figure { margin: 1.5rem 0; }
img { max-width: 100%; height: auto; }
figcaption { color: #555; font-size: .9rem; }
code { background: #f3f3f3; padding: 0 .2rem; }
.gallery { display: grid; gap: 1rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 32rem), 1fr)); }
.gallery figure { margin: 0; }
.legend { display: flex; flex-wrap: wrap; gap: .3rem 1rem; padding: 0; list-style: none; }
.legend span { display: inline-block; width: 1em; height: 1em; margin-right: .4em;
  vertical-align: -.1em; border: 1px solid #888; }
</style>
</head>
<body>
$body
</body>
</html>
""")


def as_markdown(blocks: Sequence[Block]) -> str:
    """Return the report as Markdown; pictures are links to their files."""
    parts = []
    for block in blocks:
        if isinstance(block, Heading):
            parts.append(f'{"#" * block.level} {_without_tags(block.text)}')
        elif isinstance(block, Text):
            parts.append(_without_tags(block.text))
        elif isinstance(block, Items):
            parts.append('\n'.join(f'- {_without_tags(item)}' for item in block.items))
        elif isinstance(block, Table):
            header, *rows = (
                [_without_tags(cell).replace('|', '\\|') for cell in row]
                for row in (block.header, *block.rows)
            )
            parts.append(text_table(header, rows))
        elif isinstance(block, Legend):
            names = (f'{name} (#{bytes(colour).hex()})' for name, colour in block.entries)
            parts.append(_without_tags(', '.join(names)))
        else:
            pictures = block.pictures if isinstance(block, Gallery) else [block]
            parts += [f'![{_without_tags(p.caption)}]({p.file})' for p in pictures]
    return '\n\n'.join(parts) + '\n'


def _without_tags(text: str) -> str:
    """Keep a name such as ``<void>`` from being read as HTML; code is shown as it is."""
    parts = re.split(r'(`[^`]+`)', text)  # every other part is code
    parts[::2] = [part.replace('<', '\\<') for part in parts[::2]]
    return ''.join(parts)


def as_html(blocks: Sequence[Block], folder: Path, *, embed: bool = True) -> str:
    """Return the report as an HTML page.

    Args:
        blocks: what it shows.
        folder: where the pictures are.
        embed: whether the page holds the pictures itself, or names their files: a page of many
            pictures opens at once then, and stays in the folder.

    Raises:
        FileNotFoundError: a picture to embed is not there.
    """
    body = '\n'.join(_html(block, folder, embed) for block in blocks)
    title = next((block.text for block in blocks if isinstance(block, Heading)), 'Report')
    return _PAGE.substitute(title=html.escape(title), body=body)


def _html(block: Block, folder: Path, embed: bool) -> str:
    if isinstance(block, Heading):
        return f'<h{block.level}>{_marked(block.text)}</h{block.level}>'
    if isinstance(block, Text):
        return f'<p>{_marked(block.text)}</p>'
    if isinstance(block, Items):
        return '<ul>' + ''.join(f'<li>{_marked(item)}</li>' for item in block.items) + '</ul>'
    if isinstance(block, Table):
        head = ''.join(f'<th scope="col">{_marked(cell)}</th>' for cell in block.header)
        rows = ''.join(
            '<tr>' + ''.join(f'<td>{_marked(cell)}</td>' for cell in row) + '</tr>\n'
            for row in block.rows
        )
        return (
            f'<div class="wide"><table><thead><tr>{head}</tr></thead>\n<tbody>{rows}</tbody>'
            '</table></div>'
        )
    if isinstance(block, Gallery):
        figures = '\n'.join(_html(picture, folder, embed) for picture in block.pictures)
        return f'<div class="gallery">{figures}</div>'
    if isinstance(block, Legend):
        entries = ''.join(
            f'<li><span style="background: #{bytes(colour).hex()}"></span>{html.escape(name)}</li>'
            for name, colour in block.entries
        )
        return f'<ul class="legend">{entries}</ul>'
    source = quote(block.file)
    if embed:
        data = base64.b64encode((folder / block.file).read_bytes()).decode('ascii')
        kind = 'jpeg' if block.file.endswith('.jpg') else 'png'
        source = f'data:image/{kind};base64,{data}'
    caption = html.escape(block.caption)
    return (
        f'<figure><img src="{source}" alt="{caption}" loading="lazy">'
        f'<figcaption>{caption}</figcaption></figure>'
    )


def _marked(text: str) -> str:
    escaped = html.escape(text)
    parts = re.split(r'`([^`]+)`', escaped)  # every other part is code
    for index, part in enumerate(parts):
        if index % 2:
            parts[index] = f'<code>{part}</code>'
        else:
            parts[index] = re.sub(r'\*([^*\s][^*]*)\*', r'<em>\1</em>', part)
    return ''.join(parts)
