"""What a codec is: its encoder and decoder in FFmpeg, its limits, and how the common settings are put to it.

``x264`` is the reference. A codec is one `Codec` record in `CODECS`; CONTRIBUTING says how to add one.
"""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Literal, TypeVar, get_args

from codecsim.errors import CodecError, UsageError

Mode = Literal["qp", "crf", "bitrate"]
MODES: tuple[Mode, ...] = get_args(Mode)

_Name = TypeVar("_Name", bound=str)

_X26X_PRESETS = (
    *("ultrafast", "superfast", "veryfast", "faster", "fast"),
    *("medium", "slow", "slower", "veryslow"),
)


@dataclass(frozen=True, slots=True)
class EncoderSettings:
    """How a codec is used, apart from the operating value (QP, CRF or bit rate) and the picture size.

    Attributes
    ----------
    codec : name in `CODECS`
    mode : "qp" constant quantiser, "crf" constant rate factor, "bitrate" average bit rate. QP is not CRF
    preset : encoder preset; None for the codec's default (`Codec.default_preset`)
    tune : encoder tuning; None for the encoder's default
    gop : longest distance between I frames in frames; None for the encoder's default (250 in x264)
    bframes : most B frames in a row; None for the encoder's default (3 in x264)
    low_delay : no frame is held back: no B frames, no lookahead
    pix_fmt : "gray" (4:0:0) or "yuv420p" (chroma planes constant at 128); None for the codec's first
    raw : the encoder's own options, as (name, value), applied last
    """

    codec: str = "x264"
    mode: Mode = "qp"
    preset: str | None = None
    tune: str | None = None
    gop: int | None = None
    bframes: int | None = None
    low_delay: bool = False
    pix_fmt: str | None = None
    raw: tuple[tuple[str, str], ...] = ()

    def to_json(self) -> str:
        """All that differs from the defaults, beside codec and mode: the column `options` of a sweep."""
        default = EncoderSettings(codec=self.codec, mode=self.mode)
        given = {name: value for name, value in asdict(self).items() if value != getattr(default, name)}
        return json.dumps(given, sort_keys=True)

    @classmethod
    def from_json(cls, codec: str, mode: str, options: str) -> "EncoderSettings":
        """Inverse of `to_json`; `UsageError` where the text is none that it wrote."""
        known = _one_of("mode", mode, MODES)
        try:
            given = json.loads(options)
            if "raw" in given:
                given["raw"] = tuple((name, value) for name, value in given["raw"])
            return cls(codec=codec, mode=known, **given)
        except (ValueError, TypeError, RecursionError) as error:
            raise UsageError(f"options of {codec} that are none: {options[:80]!r} ({error})") from error


@dataclass(frozen=True, slots=True)
class Codec:
    """One codec: who encodes and decodes it, and what it can code.

    Attributes
    ----------
    name : as users write it
    standard : whose bitstream it writes, as `codecsim.bitstream` knows it
    encoder, decoder : FFmpeg's names
    modes : rate-control modes that work at LR sizes
    qp_range, crf_range : lowest and highest allowed value
    min_side : smallest LR side in pixels that the encoder accepts
    pix_fmts : accepted pixel formats, the default first
    presets, default_preset, tunes : accepted names
    bframes : whether the number of B frames can be set
    suffix : file name suffix of the elementary stream
    av_options : (settings, operating value) to FFmpeg options
    """

    name: str
    standard: str
    encoder: str
    decoder: str
    modes: tuple[Mode, ...]
    qp_range: tuple[int, int]
    crf_range: tuple[int, int]
    min_side: int
    pix_fmts: tuple[str, ...]
    presets: tuple[str, ...]
    default_preset: str
    tunes: tuple[str, ...]
    bframes: bool
    suffix: str
    av_options: Callable[[EncoderSettings, float], Mapping[str, str]]

    def pix_fmt(self, settings: EncoderSettings) -> str:
        """The pixel format that `settings` stands for."""
        return settings.pix_fmt or self.pix_fmts[0]


def codec_of(settings: EncoderSettings) -> Codec:
    """The registered codec that `settings` names; `UsageError` where there is none."""
    _one_of("codec", settings.codec, tuple(CODECS))
    return CODECS[settings.codec]


def codec_of_stream(name: str) -> Codec:
    """The registered codec that a stream says it is of; `CodecError` where there is none."""
    if name not in CODECS:
        raise CodecError(f"codec {name!r} is not known here; there are: {', '.join(CODECS)}")
    return CODECS[name]


def check_settings(settings: EncoderSettings) -> None:
    """Refuse settings that the codec does not have.

    Raises
    ------
    UsageError
        Naming the value and what is allowed.
    """
    codec = codec_of(settings)
    _one_of(f"mode of {codec.name}", settings.mode, codec.modes)
    if settings.preset is not None:
        _one_of(f"preset of {codec.name}", settings.preset, codec.presets)
    if settings.tune is not None:
        _one_of(f"tune of {codec.name}", settings.tune, codec.tunes)
    if settings.pix_fmt is not None:
        _one_of(f"pixel format of {codec.name}", settings.pix_fmt, codec.pix_fmts)
    if settings.gop is not None and not 1 <= settings.gop <= 100_000:
        raise UsageError(f"GOP length {settings.gop}: 1 to 100000 frames are allowed, 1 for I frames only")
    if settings.bframes is not None:
        if not codec.bframes:
            able = ", ".join(name for name, other in CODECS.items() if other.bframes)
            raise UsageError(f"{codec.name} has no setting for the number of B frames; leave it out, or use {able}")
        if not 0 <= settings.bframes <= 16:
            raise UsageError(f"{settings.bframes} B frames: 0 to 16 are allowed")
        if settings.low_delay and settings.bframes:
            raise UsageError("low delay and B frames exclude each other: B frames are coded after later frames")
    for name, value in settings.raw:
        if not name or ":" in name + value or "=" in name + value:
            raise UsageError(f"encoder option {name!r} = {value!r}: write NAME=VALUE, without ':' or another '='")


def check_value(settings: EncoderSettings, value: float) -> None:
    """Refuse a QP, CRF or bit rate outside the codec's range with a `UsageError`."""
    codec = codec_of(settings)
    if settings.mode == "bitrate":
        if not 0 < value <= 1e6:
            raise UsageError(f"bit rate of {value:g} kbit/s: above 0 and up to 1000000 is allowed")
        return
    low, high = codec.qp_range if settings.mode == "qp" else codec.crf_range
    if not low <= value <= high:
        raise UsageError(f"{settings.mode.upper()} {value:g} is outside {codec.name}'s range of {low} to {high}")
    if settings.mode == "qp" and value != math.floor(value):
        raise UsageError(f"QP {value:g}: {codec.name} takes whole numbers from {low} to {high}")


def check_side(settings: EncoderSettings, side: int) -> None:
    """Refuse an LR side that the codec cannot code with a `UsageError`."""
    codec = codec_of(settings)
    if side < codec.min_side:
        able = ", ".join(name for name, other in CODECS.items() if other.min_side <= side)
        raise UsageError(
            f"{codec.name} cannot code {side}×{side} frames: its smallest side is {codec.min_side} pixels; "
            f"use a smaller factor s, or a codec that can ({able})"
        )


def _one_of(what: str, value: str, allowed: tuple[_Name, ...]) -> _Name:
    for choice in allowed:
        if value == choice:
            return choice
    raise UsageError(f"no {what} {value!r}; there are: {', '.join(allowed) or 'none'}")


def _preset(settings: EncoderSettings) -> str:
    return settings.preset or codec_of(settings).default_preset


def _generic(settings: EncoderSettings) -> dict[str, str]:
    return {} if settings.gop is None else {"g": str(settings.gop)}


def _bits_per_second(kbps: float) -> str:
    return str(round(kbps * 1000))


def _joined(options: Mapping[str, str]) -> str:
    return ":".join(f"{name}={value}" for name, value in options.items())


def _x264(settings: EncoderSettings, value: float) -> Mapping[str, str]:
    tunes = [tune for tune in (settings.tune, "zerolatency" if settings.low_delay else None) if tune]
    options = {"preset": _preset(settings)} | _generic(settings)
    if tunes:
        options["tune"] = "+".join(dict.fromkeys(tunes))
    if settings.bframes is not None:
        options["bf"] = str(settings.bframes)
    if settings.mode == "bitrate":
        options["b"] = _bits_per_second(value)
    else:
        options[settings.mode] = f"{value:g}"
    if settings.raw:
        options["x264-params"] = _joined(dict(settings.raw))
    return options


def _x265(settings: EncoderSettings, value: float) -> Mapping[str, str]:
    # One thread a job. With CTUs of 64 (the default) or 32, x265 4.2 gives other bits on every run where the frame is a
    # single CTU (it reads memory that it never wrote); 16 is its smallest, so frames need more than 16 pixels.
    # Its cutree, which CRF and bit-rate modes use, writes past its buffers on frames this small.
    params = {"log-level": "none", "pools": "none", "frame-threads": "1", "ctu": "16", "cutree": "0"}
    options = {"preset": _preset(settings)} | _generic(settings)
    if settings.tune or settings.low_delay:
        options["tune"] = settings.tune or "zerolatency"
    if settings.low_delay:
        params |= {"bframes": "0", "rc-lookahead": "0", "b-adapt": "0", "scenecut": "0"}
    if settings.bframes is not None:
        params["bframes"] = str(settings.bframes)
    match settings.mode:
        case "qp":
            params["qp"] = f"{value:g}"
        case "crf":
            options["crf"] = f"{value:g}"
        case "bitrate":
            options["b"] = _bits_per_second(value)
    options["x265-params"] = _joined(params | dict(settings.raw))
    return options


def _svtav1(settings: EncoderSettings, value: float) -> Mapping[str, str]:
    # lp=1: one thread a job, so that the bits do not depend on the machine. Adaptive quantisation makes CRF of CQP;
    # SVT-AV1 has it only from 64 pixels on, and no bit-rate mode without it.
    params = {"lp": "1", "rc": "0", "aq-mode": "0" if settings.mode == "qp" else "2", settings.mode: f"{value:g}"}
    if settings.tune:
        params["tune"] = {"vq": "0", "psnr": "1", "ssim": "2"}[settings.tune]
    if settings.low_delay:
        params["pred-struct"] = "1"
    params |= dict(settings.raw)
    return {"preset": _preset(settings), "svtav1-params": _joined(params)} | _generic(settings)


def _vp9(settings: EncoderSettings, value: float) -> Mapping[str, str]:
    options = {"deadline": "good", "cpu-used": _preset(settings), "row-mt": "0"} | _generic(settings)
    if settings.tune:
        options["tune"] = settings.tune
    if settings.low_delay:
        options["lag-in-frames"] = "0"
    match settings.mode:
        case "qp":
            options |= {"crf": f"{value:g}", "qmin": f"{value:g}", "qmax": f"{value:g}", "b": "0"}
        case "crf":
            options |= {"crf": f"{value:g}", "b": "0"}
        case "bitrate":
            options["b"] = _bits_per_second(value)
    return options | dict(settings.raw)


CODECS: dict[str, Codec] = {
    codec.name: codec
    for codec in (
        Codec(
            name="x264",
            standard="h264",
            encoder="libx264",
            decoder="h264",
            modes=MODES,
            qp_range=(0, 51),
            crf_range=(0, 51),
            min_side=1,
            pix_fmts=("gray", "yuv420p"),
            presets=(*_X26X_PRESETS, "placebo"),
            default_preset="medium",
            tunes=("film", "animation", "grain", "stillimage", "psnr", "ssim", "fastdecode", "zerolatency"),
            bframes=True,
            suffix=".264",
            av_options=_x264,
        ),
        Codec(
            name="x265",
            standard="hevc",
            encoder="libx265",
            decoder="hevc",
            modes=MODES,
            qp_range=(0, 51),
            crf_range=(0, 51),
            min_side=17,
            pix_fmts=("gray", "yuv420p"),
            presets=_X26X_PRESETS,
            default_preset="medium",
            tunes=("psnr", "ssim", "grain", "fastdecode", "zerolatency", "animation"),
            bframes=True,
            suffix=".265",
            av_options=_x265,
        ),
        Codec(
            name="svtav1",
            standard="av1",
            encoder="libsvtav1",
            decoder="libdav1d",
            modes=("qp", "crf"),
            qp_range=(1, 63),
            crf_range=(1, 63),
            min_side=4,
            pix_fmts=("yuv420p",),
            presets=tuple(map(str, range(14))),
            default_preset="8",
            tunes=("vq", "psnr", "ssim"),
            bframes=False,
            suffix=".obu",
            av_options=_svtav1,
        ),
        Codec(
            name="vp9",
            standard="vp9",
            encoder="libvpx-vp9",
            decoder="vp9",
            modes=MODES,
            qp_range=(0, 63),
            crf_range=(0, 63),
            min_side=1,
            pix_fmts=("yuv420p",),
            presets=tuple(map(str, range(9))),
            default_preset="1",
            tunes=("psnr", "ssim"),
            bframes=False,
            suffix=".ivf",
            av_options=_vp9,
        ),
    )
}
