"""ARFF files, however they are written, and what is wrong with them."""

from pathlib import Path

import numpy as np
import pytest

from codecsim.errors import SourceError
from codecsim.sources.datasets.arff import read_arff

HEADER = (
    "@relation gold\n\n@attribute Instance_name string\n@attribute frameTime numeric\n@attribute GoldStandard numeric\n"
)


def arff(folder: Path, text: str) -> Path:
    path = folder / "gold.arff"
    path.write_bytes(text.encode())
    return path


@pytest.mark.parametrize(
    "text",
    [
        HEADER + "\n@data\n\ndev_1,0,-0.5\ndev_1,0.04,?\n",
        (HEADER + "\n@data\n\ndev_1,0.00,-0.5 \ndev_1,0.04,? \n\n").replace("\n", "\r\n"),
        "% from Weka\n@RELATION 'a b'\n@ATTRIBUTE Instance_name STRING\n@Attribute 'frameTime'\treal\n"
        "@attribute \"GoldStandard\" Integer\n@Data\n% rows\n'dev_1' , 0 , -5e-1\n%\n dev_1,4e-2 ,?",
        HEADER + '@data\n"dev_1",0,-.5\n"dev_1",.04,?\n',
    ],
)
def test_numbers_and_strings_are_read_however_they_are_written(tmp_path: Path, text: str) -> None:
    read = read_arff(arff(tmp_path, text))
    assert read.attributes == ("Instance_name", "frameTime", "GoldStandard")
    assert read.strings == {"Instance_name": ["dev_1", "dev_1"]}
    np.testing.assert_array_equal(read.numbers["frameTime"], [0, 0.04])
    np.testing.assert_array_equal(read.column("goldstandard"), [-0.5, np.nan])
    lines = text.replace("\r", "").split("\n")
    assert [lines[number - 1].lstrip(" '\"")[:5] for number in read.lines] == ["dev_1", "dev_1"]


def test_commas_and_blanks_in_quotes_belong_to_the_string(tmp_path: Path) -> None:
    text = "@attribute 'the name' string\n@attribute n numeric\n@data\n'a, b',1\nit's c,2\n?,3\n"
    read = read_arff(arff(tmp_path, text))
    assert read.strings == {"the name": ["a, b", "it's c", ""]}
    assert read.column("n").tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no @data line"),
        (HEADER, "no @data line; is it a whole ARFF file?"),
        ("@relation x\n@data\n1\n", "no @attribute line"),
        (HEADER + "@data\n\n%\n", "no row after @data in line 6"),
        ("time,valence\n0,1\n", "line 1: 'time,valence' is no line of an ARFF header"),
        ("@relation x\n@attribute frameTime\n@data\n1\n", "line 2: an attribute is written '@attribute NAME TYPE'"),
        (
            "@attribute kind {a,b}\n@data\na\n",
            "line 1: an attribute of type '{a,b}'; numeric ones and strings",
        ),
        ("@attribute when date\n@data\n1\n", "line 1: an attribute of type 'date'"),
        ("\n\n@attribute n real\n@attribute n real\n@data\n1,2\n", "line 4: a second attribute 'n'"),
        (HEADER + "@data\ndev_1,0,1\ndev_1,0.04\n", "line 8: 2 values, the header has 3 attributes"),
        (HEADER + "@data\ndev_1,0,1\ndev_1,0.04,high\n", "line 8, attribute 'GoldStandard': 'high' is not a number"),
        (HEADER + "@data\ndev_1,0,inf\n", "line 7, attribute 'GoldStandard': 'inf' is not a number"),
        (HEADER + "@data\n{1 0.04, 2 1}\n", "line 7: a sparse row; dense ones are read"),
        (HEADER + "@data\n'dev_1,0,1\n", 'line 7: "\'dev_1,0,1": a quote that is not closed, or text after one'),
        (HEADER + "@data\n'dev'_1,0,1\n", "line 7: \"'dev'_1,0,1\": a quote that is not closed, or text after one"),
        (HEADER + "@data\ndev_1,0,\n", "line 7, attribute 'GoldStandard': '' is not a number"),
    ],
)
def test_wrong_files_are_refused_with_their_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SourceError) as caught:
        read_arff(arff(tmp_path, text))
    assert str(caught.value).startswith(str(tmp_path / "gold.arff"))
    assert said in str(caught.value)


def test_a_missing_attribute_and_a_missing_file_are_said(tmp_path: Path) -> None:
    read = read_arff(arff(tmp_path, HEADER + "@data\ndev_1,0,1\n"))
    with pytest.raises(SourceError, match=r"no numeric attribute 'valence'; it has Instance_name, frameTime, Gold"):
        read.column("valence")
    with pytest.raises(SourceError, match="no such file of labels"):
        read_arff(tmp_path / "none.arff")
    with pytest.raises(SourceError, match="a directory, not an ARFF file of labels"):
        read_arff(tmp_path)


def test_rows_are_as_those_of_scipy_where_scipy_reads_them(tmp_path: Path) -> None:
    from scipy.io import arff as scipy_arff

    rng = np.random.default_rng(0)
    rows = "".join(f"{n * 0.04:.2f},{value:.6f}\r\n" for n, value in enumerate(rng.normal(size=50)))
    path = arff(tmp_path, "@relation x\r\n@attribute t numeric\r\n@attribute v real\r\n@DATA\r\n" + rows)
    theirs, _ = scipy_arff.loadarff(path)
    ours = read_arff(path)
    np.testing.assert_array_equal(ours.column("t"), theirs["t"])
    np.testing.assert_array_equal(ours.column("v"), theirs["v"])
