"""`codecsim prepare` for the data sets of image files: the whole command, on small trees in their layouts."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from codecsim.corpus import Corpus
from tests.clips import carphone_faces
from tests.codecsim.sources.footage import carphone_rgb
from tests.pipelines.command import codecsim, program, refusal


def afewva(root: Path) -> None:
    points = np.random.default_rng(4).uniform((50, 40), (110, 100), (68, 2)).tolist()
    for clip, actor in (("001", "Ann"), ("002", "Bob")):
        (root / clip).mkdir(parents=True)
        known = {"landmarks": points, "valence": -3, "arousal": 10}
        frames = {f"{number:05d}": known for number in range(3)}
        (root / clip / f"{clip}.json").write_text(json.dumps({"actor": actor, "video_id": clip, "frames": frames}))
        for name in frames:
            Image.fromarray(carphone_rgb()[int(name)]).save(root / clip / f"{name}.png")


def affwild2(root: Path) -> None:
    for split, video in (("Train_Set", "1-30-1280x720"), ("Validation_Set", "video2_left")):
        (root / "VA_Set" / split).mkdir(parents=True)
        (root / "VA_Set" / split / f"{video}.txt").write_text("valence,arousal\n0.1,0.2\n-5,-5\n0.3,0.4\n")
        (root / "cropped_aligned" / video).mkdir(parents=True)
        for number in (1, 2, 3):
            face = Image.fromarray(carphone_faces()[number]).resize((112, 112))
            face.save(root / "cropped_aligned" / video / f"{number:05d}.jpg")


def rafdb(root: Path) -> None:
    (root / "EmoLabel").mkdir(parents=True)
    (root / "Image" / "aligned").mkdir(parents=True)
    names = ["train_00001", "train_00002", "test_0001"]
    (root / "EmoLabel" / "list_patition_label.txt").write_text("".join(f"{name}.jpg 4\n" for name in names))
    for number, name in enumerate(names):
        face = Image.fromarray(carphone_faces()[number]).resize((100, 100))
        face.save(root / "Image" / "aligned" / f"{name}_aligned.jpg")


def ckplus(root: Path) -> None:
    for subject, label in (("S005", "   3.0000000e+00\n"), ("S010", "   7.0000000e+00\n"), ("S011", "")):
        folder = root / "cohn-kanade-images" / subject / "001"
        folder.mkdir(parents=True)
        for number in (1, 2, 3):
            still = Image.fromarray(carphone_rgb()[number]).resize((640, 490)).convert("L")
            still.save(folder / f"{subject}_001_{number:08d}.png", compress_level=1)
        (root / "Emotion" / subject / "001").mkdir(parents=True)
        if label:
            (root / "Emotion" / subject / "001" / f"{subject}_001_00000003_emotion.txt").write_text(label)


SETS: dict[str, tuple[Callable[[Path], None], tuple[str, ...], str]] = {
    "afewva": (afewva, ("--folds", "2", "--fps", "24"), "2 sequences, 6 frames"),
    "affwild2": (affwild2, ("--fps", "25"), "2 sequences, 6 frames"),
    "rafdb": (rafdb, (), "3 sequences, 3 frames"),
    "ckplus": (ckplus, ("--folds", "2", "--unlabelled"), "3 sequences, 9 frames"),
}


@pytest.mark.parametrize("name", SETS)
def test_a_data_set_becomes_a_corpus_and_is_taken_up_again(tmp_path: Path, name: str) -> None:
    build, options, held = SETS[name]
    root, out = tmp_path / "data", tmp_path / "corpus.h5"
    build(root)
    before = sorted(root.rglob("*"))
    command = ("prepare", name, root, "--out", out, "--workers", "1", *options)
    first = codecsim(*command, exit_code=0)
    assert first.stdout.startswith(f"{out}: {held}, ")
    assert sorted(root.rglob("*")) == before
    made = codecsim(*command, exit_code=0)
    assert f"{held}, " in made.stdout
    assert "; 0 of " in made.stdout
    with Corpus(out) as corpus:
        assert corpus.attribute("data_set") == name
        given = json.loads(corpus.attribute("options"))
        splits = {each.split for each in corpus.sequences()}
        rates = {each.fps for each in corpus.sequences()}
    assert (given, rates, splits) == {
        "afewva": ({"fps": 24, "n_folds": 2}, {24}, {"fold_0", "fold_1"}),
        "affwild2": ({"fps": 25}, {25}, {"train", "dev"}),
        "rafdb": ({}, {1}, {"train", "test"}),
        "ckplus": ({"unlabelled": True, "n_folds": 2}, {30}, {"fold_0", "fold_1"}),
    }[name]


@pytest.mark.parametrize("name", SETS)
def test_what_is_made_does_not_depend_on_the_number_of_workers(tmp_path: Path, name: str) -> None:
    build, options, _ = SETS[name]
    build(tmp_path / "data")
    digests = []
    for workers in (1, 2):
        out = tmp_path / f"{workers}.h5"
        program("prepare", name, tmp_path / "data", "--out", out, "--workers", workers, *options, exit_code=0)
        with Corpus(out) as corpus:
            digests.append([(each.name, each.digest, each.recording) for each in corpus.sequences()])
    assert digests[0] == digests[1]


@pytest.mark.parametrize("name", SETS)
def test_a_folder_that_holds_something_else(tmp_path: Path, name: str) -> None:
    (tmp_path / "data").mkdir()
    out = tmp_path / "corpus.h5"
    for root in (tmp_path / "data", tmp_path / "gone"):
        message = refusal(codecsim("prepare", name, root, "--out", out, exit_code=1))
        assert message.startswith(f"{root}: no ")
        assert " here: looked for " in message
        assert "; ROOT is the folder that holds " in message
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_what_is_left_out_is_said(tmp_path: Path) -> None:
    affwild2(tmp_path / "data")
    (tmp_path / "data" / "cropped_aligned" / "video2_left" / "00002.jpg").unlink()
    said = codecsim("prepare", "affwild2", tmp_path / "data", "--out", tmp_path / "c.h5", "--workers", "1", exit_code=0)
    assert "Note: video2_left: 1 of 3 rows of labels have no image and were left out." in " ".join(said.stderr.split())


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--fps", "0", "0.0 is not in the range 0<x<=1000."),
        ("--fps", "fast", "'fast' is not a valid float range."),
        ("--folds", "1", "1 is not in the range x>=2."),
    ],
)
def test_values_out_of_range(tmp_path: Path, option: str, value: str, message: str) -> None:
    said = codecsim("prepare", "afewva", tmp_path, "--out", tmp_path / "c.h5", option, value, exit_code=2)
    assert refusal(said) == f"Invalid value for '{option}': {message}"


def test_more_folds_than_subjects_are_a_fault_of_usage(tmp_path: Path) -> None:
    afewva(tmp_path / "data")
    said = codecsim("prepare", "afewva", tmp_path / "data", "--out", tmp_path / "c.h5", exit_code=2)
    assert refusal(said) == ("5 folds of 2 subjects: 2 folds or more are allowed, and a subject for each of them")
