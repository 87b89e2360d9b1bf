"""Small trees in the layout of MMI."""

from pathlib import Path

from tests.codecsim.sources.footage import Pixels, carphone_rgb, write_video

N_FRAMES = 25


def annotation(emotion: str | None) -> str:
    """Text of SID.xml; without an emotion where it is None."""
    tag = "" if emotion is None else f'    <Metatag Name="Emotion" Value="{emotion}"/>\n'
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<Annotation>\n'
        f'    <Metatag Name="Naturalism" Value="1"/>\n{tag}</Annotation>\n'
    )


def write_session(
    root: Path,
    number: int,
    clip: str,
    emotion: str | None,
    *,
    view: str = "0",
    frames: Pixels | None = None,
) -> Path:
    """A session of one clip: the first frames of the talking head, or others, uint8 (n, H, W, 3)."""
    folder = root / f"Sessions/{number}"
    folder.mkdir(parents=True)
    frames = carphone_rgb()[:N_FRAMES] if frames is None else frames
    write_video(folder / f"{clip}.avi", frames, codec="mpeg4", options={"b": "2000000"})
    (folder / f"{clip}.xml").write_text(annotation(emotion))
    (folder / f"{clip}-oao_aucs.xml").write_text("<ActionUnits/>")
    (folder / "session.xml").write_text(
        f'<?xml version="1.0" encoding="UTF-8"?>\n<session id="{number}">\n'
        f'  <track filename="{clip}.avi" type="Video" view="{view}">\n    <annotation filename="{clip}.xml"/>\n'
        "  </track>\n</session>\n"
    )
    return folder
