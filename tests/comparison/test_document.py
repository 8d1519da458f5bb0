"""One report, twice: Markdown with links to pictures, HTML with the pictures in it."""

import base64
import re

import pytest

from paco_seg.comparison.document import (
    Heading,
    Items,
    Picture,
    Table,
    Text,
    as_html,
    as_markdown,
)

BLOCKS = [
    Heading('Title <1>', 1),
    Text('Of *CE* and `--seeds <3>` & more.'),
    Items(['one', '*two*']),
    Table(['System', 'mIoU'], [['a|b', '1.0']]),
    Picture('p.png', 'What "it" shows'),
]


def test_markdown():
    assert as_markdown(BLOCKS) == (
        '# Title \\<1>\n\nOf *CE* and `--seeds <3>` & more.\n\n- one\n- *two*\n\n'
        '| System | mIoU |\n|--------|------|\n| a\\|b   | 1.0  |\n\n![What "it" shows](p.png)\n'
    )


def test_html_holds_its_pictures_and_asks_for_nothing(tmp_path):
    (tmp_path / 'p.png').write_bytes(b'picture')
    page = as_html(BLOCKS, tmp_path)
    assert '<title>Title &lt;1&gt;</title>' in page
    assert '<p>Of <em>CE</em> and <code>--seeds &lt;3&gt;</code> &amp; more.</p>' in page
    assert '<li>one</li><li><em>two</em></li>' in page
    assert '<td>a|b</td><td>1.0</td>' in page
    (source,) = re.findall(r'src="([^"]*)"', page)
    kind, data = source.split(',')
    assert kind == 'data:image/png;base64'
    assert base64.b64decode(data) == b'picture'
    assert not re.findall(r'https?:|<script|<link|url\(', page)


def test_a_missing_picture_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        as_html(BLOCKS, tmp_path)
