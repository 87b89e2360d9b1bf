"""Codecs: what is accepted, what is refused with which words, and how settings survive the trip to JSON."""

import itertools

import pytest

from codecsim.codecs import CODECS, EncoderSettings, check_settings, check_side, check_value
from codecsim.encode import check_encoder
from codecsim.errors import UsageError


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (EncoderSettings(codec="h264"), "no codec 'h264'; there are: x264, x265, svtav1, vp9"),
        (EncoderSettings(preset="fastest"), "no preset of x264 'fastest'; there are: ultrafast, superfast"),
        (EncoderSettings(tune="psnrr"), "no tune of x264 'psnrr'; there are: film"),
        (EncoderSettings("svtav1", mode="bitrate"), "no mode of svtav1 'bitrate'; there are: qp, crf"),
        (EncoderSettings("vp9", pix_fmt="gray"), "no pixel format of vp9 'gray'; there are: yuv420p"),
        (EncoderSettings(gop=0), "GOP length 0: 1 to 100000 frames are allowed, 1 for I frames only"),
        (EncoderSettings(bframes=17), "17 B frames: 0 to 16 are allowed"),
        (
            EncoderSettings("vp9", bframes=2),
            "vp9 has no setting for the number of B frames; leave it out, or use x264, x265",
        ),
        (EncoderSettings(bframes=2, low_delay=True), "low delay and B frames exclude each other"),
        (EncoderSettings(raw=(("ref", "1:qp=0"),)), "encoder option 'ref' = '1:qp=0': write NAME=VALUE"),
    ],
)
def test_settings_that_a_codec_lacks_are_refused(settings: EncoderSettings, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_settings(settings)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("codec", "mode", "value", "message"),
    [
        ("x264", "qp", 52, "QP 52 is outside x264's range of 0 to 51"),
        ("x264", "qp", -1, "QP -1 is outside x264's range of 0 to 51"),
        ("x264", "qp", 24.5, "QP 24.5: x264 takes whole numbers from 0 to 51"),
        ("svtav1", "qp", 0, "QP 0 is outside svtav1's range of 1 to 63"),
        ("x265", "crf", 51.5, "CRF 51.5 is outside x265's range of 0 to 51"),
        ("x264", "bitrate", 0, "bit rate of 0 kbit/s: above 0"),
    ],
)
def test_values_outside_the_range_are_refused(codec: str, mode: str, value: float, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_value(EncoderSettings.from_json(codec, mode, "{}"), value)
    assert message in str(caught.value)


def test_a_side_that_is_too_small_names_the_limit_and_who_can() -> None:
    with pytest.raises(UsageError) as caught:
        check_side(EncoderSettings(codec="x265"), 16)
    assert str(caught.value) == (
        "x265 cannot code 16×16 frames: its smallest side is 17 pixels; "
        "use a smaller factor s, or a codec that can (x264, svtav1, vp9)"
    )


@pytest.mark.parametrize("codec", CODECS)
def test_an_option_that_the_encoder_would_ignore_is_refused(codec: str) -> None:
    check_encoder(EncoderSettings(codec=codec), 30, 24)
    with pytest.raises(UsageError, match=f"{codec} does not take the option nonsense=1; see"):
        check_encoder(EncoderSettings(codec=codec, raw=(("nonsense", "1"),)), 30, 24)


def test_every_preset_and_tune_of_the_registry_opens_its_encoder() -> None:
    for codec in CODECS.values():
        for preset, tune in itertools.chain(((p, None) for p in codec.presets), ((None, t) for t in codec.tunes)):
            check_encoder(EncoderSettings(codec=codec.name, preset=preset, tune=tune), 30, 24)


@pytest.mark.parametrize(
    "settings",
    [
        EncoderSettings(),
        EncoderSettings("x265", "crf", "slow", "psnr", 12, 0, False, "yuv420p", (("ref", "1"), ("b-adapt", "0"))),
        EncoderSettings("vp9", low_delay=True),
    ],
)
def test_settings_survive_json(settings: EncoderSettings) -> None:
    assert EncoderSettings.from_json(settings.codec, settings.mode, settings.to_json()) == settings
    assert EncoderSettings().to_json() == "{}"


@pytest.mark.parametrize(
    "options", ["", "{", "3", "[1]", '{"quality": 1}', '{"raw": 1}', '{"raw": [1]}', "[" * 100_000]
)
def test_options_that_no_settings_wrote_are_refused(options: str) -> None:
    with pytest.raises(UsageError, match="options of x264 that are none: "):
        EncoderSettings.from_json("x264", "qp", options)
