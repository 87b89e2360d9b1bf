"""XML files that nobody vouches for."""

from pathlib import Path

import pytest

from codecsim.errors import SourceError
from codecsim.sources.datasets.markup import Element, read_elements

BOMB = '<!DOCTYPE a [<!ENTITY b "bbbb">' + "".join(
    f'<!ENTITY b{n} "{f"&b{n - 1};" * 10}">' if n else '<!ENTITY b0 "&b;">' for n in range(20)
)


def xml(folder: Path, content: str | bytes) -> Path:
    path = folder / "S001-001.xml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_elements_come_in_their_order_with_their_lines(tmp_path: Path) -> None:
    text = '<?xml version="1.0"?>\r\n<a>\r\n <b x="1 &amp; 2" y=\'é\'/><!-- <c/> -->\r\n<d>text</d></a>\r\n'
    assert read_elements(xml(tmp_path, text)) == [
        Element(2, "a", {}),
        Element(3, "b", {"x": "1 & 2", "y": "é"}),
        Element(4, "d", {}),
    ]


def test_other_encodings_are_read(tmp_path: Path) -> None:
    text = '<?xml version="1.0" encoding="{}"?><a x="é"/>'
    for encoding in ("ISO-8859-1", "UTF-16"):
        content = text.format(encoding).encode(encoding)
        assert read_elements(xml(tmp_path, content)) == [Element(1, "a", {"x": "é"})]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            BOMB + "]><a>&b19;</a>",
            "line 1: a document type declaration (<!DOCTYPE); for safety such files are not read",
        ),
        ('<?xml version="1.0"?>\n<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>', "line 2: a document type declaration"),
        ("<a>\n<b>\n</a>", "line 3: not XML (mismatched tag)"),
        ("<a>&b;</a>", "line 1: not XML (undefined entity)"),
        ("", "line 1: not XML (no element found)"),
        (b"\xff\xfe\x00", "line 1: not XML"),
        ('<?xml version="1.0" encoding="klingon"?><a/>', "line 1: not XML (unknown encoding: klingon)"),
        (b"<a>" + b" " * 2**20 + b"</a>", "more than 1048576 bytes; annotations are small XML files"),
    ],
)
def test_what_is_not_safe_or_not_xml_is_refused_with_its_line(tmp_path: Path, content: str | bytes, said: str) -> None:
    with pytest.raises(SourceError) as caught:
        read_elements(xml(tmp_path, content))
    assert str(caught.value).startswith(f"{tmp_path}/S001-001.xml")
    assert said in str(caught.value)


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"none.xml: cannot be read"):
        read_elements(tmp_path / "none.xml")
