"""Schema of a sweep file: which columns there are, of which type, and what each means.

Layout (``schema = "codecsim-sweep"``, ``schema_version = 1``)::

    /streams/COLUMN     one 1-D dataset a column, a row a stream
    /packets/COLUMN     one 1-D dataset a column, a row a coded frame, in decoding order within its stream
    /features/NAME      one 2-D dataset a vector-valued measure, a row a stream; only where it was asked for
    /bitstream          uint8, all elementary streams end to end
    /predictions/COLUMN one 1-D dataset a column, a row a series of numbers over frames: what a network told of one
                        stream, or of frames that were never coded; and what the corpus says. Where there is any
    /predicted          float32, all series end to end

A column with a default may be missing: a file from before it was thought of opens as if each of its rows held the
default, and has the column once it is written anew.

Root attributes: `grids`, the sweeps that were asked for (JSON list), `versions` (JSON object), and `corpora`, where
their corpora lay (JSON list of paths, seen from the folder of the file). A part, what one batch of jobs leaves until
the end of a sweep, is a small sweep file.
"""

from dataclasses import dataclass

import numpy as np

from codecsim.bitstream import PURPOSES

SCHEMA = "codecsim-sweep"
SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class Column:
    """One column: `dtype` is a NumPy type, or "text" for UTF-8 of fixed width.

    `default` is what rows hold in files that were written before there was the column; None: all files have it.
    """

    name: str
    dtype: str
    meaning: str
    default: float | None = None


_LEDGER_MEANINGS = {
    "bits_parameter_sets": "SPS, PPS, VPS or sequence header",
    "bits_sei": "supplemental enhancement information, encoder banner included",
    "bits_nal_overhead": "start codes, NAL or OBU headers, emulation prevention",
    "bits_slice_headers": "slice or frame headers",
    "bits_slice_data_i": "slice data of I slices or key frames",
    "bits_slice_data_p": "slice data of P slices or inter frames",
    "bits_slice_data_b": "slice data of B slices",
    "bits_other": "delimiters, filler and whatever else",
}

STREAM_COLUMNS = (
    Column("key", "text", "content key: SHA-256 of frames' digest, fps, factor, resampling, codec, options, encoder"),
    Column("sequence", "text", "name of the sequence"),
    Column("subject", "text", "who is seen, where known"),
    Column("split", "text", "train, dev or test, where known"),
    Column("codec", "text", "name in the registry of codecs"),
    Column("encoder", "text", "encoder build that wrote the bits"),
    Column("options", "text", "encoder settings that differ from the defaults, JSON"),
    Column("mode", "text", "qp, crf or bitrate"),
    Column("scale", "int64", "factor s: HR side / LR side"),
    Column("qp_requested", "float32", "QP asked for; NaN in the other modes"),
    Column("crf_requested", "float32", "CRF asked for; NaN in the other modes"),
    Column("bitrate_kbps_requested", "float32", "bit rate asked for, kbit/s; NaN in the other modes"),
    Column("qp_mean", "float32", "mean over the frames of the QP in the bitstream"),
    Column("n_frames", "int64", "frames coded, decoded again and counted"),
    Column("width", "int64", "LR width, pixels"),
    Column("height", "int64", "LR height, pixels"),
    Column("coded_width", "int64", "width padded to whole macroblocks or coding blocks, pixels"),
    Column("coded_height", "int64", "height padded likewise, pixels"),
    Column("fps", "float64", "mean frames a second of source time"),
    Column("n_bytes", "int64", "bytes of the elementary stream"),
    Column("offset", "int64", "where it starts in /bitstream"),
    Column("first_packet", "int64", "its first row in /packets"),
    Column("n_packets", "int64", "its rows in /packets"),
    *(Column(purpose, "int64", _LEDGER_MEANINGS[purpose]) for purpose in PURPOSES),
    Column("bits_total", "int64", "8 × n_bytes, and the sum of the columns above"),
    Column("bpp_lr", "float64", "bits_total / (n_frames × LR pixels): bits per transmitted pixel, the paper's bpp"),
    Column("bpp_hr", "float64", "bits_total / (n_frames × 96 × 96): comparable between factors"),
    Column("rate_kbps", "float64", "bits_total × fps / n_frames / 1000"),
    Column("psnr_lr_db", "float64", "PSNR of the decoded against the LR frames, dB: codec loss alone"),
    Column("ssim_lr", "float64", "SSIM likewise; NaN below 11 pixels a side, where its window does not fit"),
    Column("psnr_hr_db", "float64", "PSNR of the decoded and enlarged against the HR frames, dB"),
    Column("ssim_hr", "float64", "SSIM likewise"),
    Column("strred", "float64", "ST-RRED of the decoded and enlarged against the HR frames; NaN unless asked for"),
    Column("encode_seconds", "float32", "wall-clock time of the encoder"),
    Column("stream_sha256", "text", "SHA-256 of the elementary stream"),
    Column("decoded_sha256", "text", "SHA-256 of the decoded LR frames"),
)

PREDICTION_COLUMNS = (
    Column("sequence", "text", "name of the sequence"),
    Column("key", "text", "content key of the stream whose frames were shown; empty for frames that were never coded"),
    Column("scale", "int64", "factor s of the frames that were shown; 1: HR"),
    Column("method", "text", "name of the method; truth: what the corpus says"),
    Column("label", "text", "what is told, such as valence"),
    Column("seed", "int64", "training seed of the network; -1 where there is none"),
    Column("weights", "text", "SHA-256 of the network's weights; of the corpus' labels it is empty"),
    Column("precision", "text", "arithmetic of the network: fp32, tf32 or bf16"),
    Column("delay_seconds", "float64", "how long labels lag behind frames, as the network was trained"),
    Column("every", "int64", "every so many frames were shown, from the first one on"),
    Column("n_values", "int64", "length of the series"),
    Column("offset", "int64", "where it starts in /predicted"),
    Column("loss", "float64", "share of the packets that the channel loses; 0 where nothing was dropped", 0.0),
    Column("burst", "float64", "mean packets in a run of lost ones; 0 where nothing was dropped", 0.0),
    Column("loss_seed", "int64", "seed of the losses; -1 where nothing was dropped", -1),
    Column("n_concealed", "int64", "frames of the stream that were lost or did not come out, shown or not", 0),
    Column("n_damaged", "int64", "frames of the stream that differ from those without losses, shown or not", 0),
)

FEATURES = {"li3ddct": 315}
"""Vector-valued measures and their lengths."""

PACKET_COLUMNS = (
    Column("stream", "int32", "row in /streams"),
    Column("pts", "int32", "display time, frames"),
    Column("dts", "int32", "decoding time, frames"),
    Column("n_bytes", "int32", "bytes of the coded frame, headers before it included"),
    Column("pict_type", "S1", "I, P or B"),
    Column("key", "bool", "whether decoding can start here"),
    Column("qp", "float32", "QP in the bitstream: of the slices of the frame, their mean"),
)


def storage_dtype(column: Column) -> np.dtype:
    """NumPy type in which a column is held; text as UTF-8 bytes whose width grows with its content."""
    return np.dtype("S1" if column.dtype == "text" else column.dtype)
