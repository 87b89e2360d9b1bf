"""The scale in which users set the quantiser of AV1 and VP9 encoders.

The bitstreams carry base_q_idx, 0 to 255; libvpx, libaom and SVT-AV1 let the user choose among 64 of these values, by
the table ``quantizer_to_qindex`` of libvpx (vp9/encoder/vp9_quantize.c), which the other two share: steps of 4, except
for the last two. Encoders also code frames with indices between those 64. Which quantiser such a frame then has is the
encoders' own choice, followed here: libvpx takes the next higher one, SVT-AV1 the nearest.
"""

QINDEX = (*range(0, 248, 4), 249, 255)
"""base_q_idx of every quantiser 0 to 63."""

VP9_QUANTIZER = tuple(float(next(q for q in range(64) if QINDEX[q] >= index)) for index in range(256))
"""Quantiser of every base_q_idx: the lowest whose index is not below it, as ``vp9_qindex_to_quantizer`` of libvpx."""

AV1_QUANTIZER = tuple(float(min(63, index + 2 >> 2)) for index in range(256))
"""Quantiser of every base_q_idx: (index + 2) >> 2, at most 63, as ``picture_qp`` of SVT-AV1."""
