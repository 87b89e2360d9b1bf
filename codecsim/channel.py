"""A channel that loses packets, in bursts or one by one, and which coded frames are lost with them.

The channel is in one of two states. In the good one every packet arrives, in the bad one every packet is lost. Before
each packet it goes from good to bad with probability p, and from bad to good with probability r. So in the long run a
share p / (p + r) of the packets is lost, and a run of lost ones is 1 / r long on average. A channel is named by these
two, `loss` and `burst`, from which follow::

    r = 1 / burst        p = loss / (burst × (1 − loss))

Losses are independent of each other where p = 1 − r, that is, for a burst of 1 / (1 − loss).

A frame of n bytes takes ceil(n / 1200) packets, and is lost where one of them is. The first coded frame always arrives,
and the parameter sets before it: no session begins without them, and encoders here repeat the very same ones later.

Source
------
Gilbert 1960, "Capacity of a burst-noise channel"; Elliott 1963, "Estimates of error rates for codes on burst-noise
channels". The general model loses packets in both states; here the good one loses none and the bad one all of them.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from codecsim.errors import UsageError

PACKET_BYTES = 1200
"""Most bytes of a coded frame in a packet.

With the headers of RTP (12), UDP (8) and IPv6 (40) it stays below 1280 bytes, the least that every IPv6 link takes in
one piece, and far below the 1500 of Ethernet. WebRTC's senders use the same limit.
"""


@dataclass(frozen=True, order=True)
class Channel:
    """A channel that loses packets; `channel` makes one of what is asked for.

    Attributes
    ----------
    loss : share of the packets that are lost in the long run, 0 ≤ loss < 1
    burst : mean number of packets in a run of lost ones; 0 where none is lost
    seed : of the draw, 0 or more; −1 where none is lost
    """

    loss: float
    burst: float
    seed: int

    @property
    def is_independent(self) -> bool:
        """Whether a packet is lost with the same probability whatever became of the one before."""
        return self == INTACT or self.burst == _independent(self.loss)

    def lost_packets(self, n_packets: int, key: str) -> npt.NDArray[np.bool_]:
        """Which packets of a stream are lost, shape=(n_packets,).

        The draw depends on this channel and the content key of the stream alone. One seed draws the same numbers at
        every rate: of two channels of independent losses, or of the same burst and no less clustered than independent
        losses are, what the better one loses the worse one loses too.

        Parameters
        ----------
        n_packets : of the stream
        key : its content key
        """
        lost = np.zeros(n_packets, np.bool_)
        if self == INTACT:
            return lost
        stays_bad, turns_bad = 1 - 1 / self.burst, self.loss / (self.burst * (1 - self.loss))
        is_bad = None
        for index, draw in enumerate(_uniform(n_packets, self.seed, key).tolist()):
            threshold = self.loss if is_bad is None else stays_bad if is_bad else turns_bad
            lost[index] = is_bad = draw < threshold
        return lost

    def lost_frames(self, n_bytes: npt.NDArray[np.integer], key: str) -> npt.NDArray[np.bool_]:
        """Which coded frames of a stream are lost, shape=(T,); never the first.

        Parameters
        ----------
        n_bytes : of each coded frame, in decoding order, shape=(T,)
        key : content key of the stream
        """
        n_packets = -(-np.asarray(n_bytes, np.int64) // PACKET_BYTES)
        starts = np.concatenate([[0], np.cumsum(n_packets)])
        before = np.concatenate([[0], np.cumsum(self.lost_packets(int(starts[-1]), key))])
        lost: npt.NDArray[np.bool_] = before[starts[1:]] > before[starts[:-1]]
        lost[:1] = False
        return lost


INTACT = Channel(0.0, 0.0, -1)
"""The channel that loses nothing."""


def channel(loss: float, burst: float | None = None, seed: int = 0) -> Channel:
    """The channel of a loss rate; `INTACT` for 0.

    Parameters
    ----------
    loss : share of the packets that are lost in the long run
    burst : mean number of packets in a run of lost ones; None for losses that are independent of each other
    seed : of the draw

    Raises
    ------
    UsageError
        If the loss is not from 0 up to 1 (1 excluded), the seed is below 0, or no channel has such bursts: they are of
        1 packet or more, and so short that good packets fit between them, burst ≥ loss / (1 − loss).
    """
    if not 0 <= loss < 1:
        hint = f"; did you mean {loss / 100:g}, {loss:g} %?" if 1 <= loss < 100 else ""
        raise UsageError(f"loss {loss:g}: a share of the packets, from 0 up to but not 1, is needed{hint}")
    if seed < 0:
        raise UsageError(f"loss seed {seed}: 0 or more is needed")
    least = max(1.0, loss / (1 - loss))
    if burst is not None and not least <= burst < np.inf:
        raise UsageError(f"bursts of {burst:g} packets at loss {loss:g}: a mean of {least:g} or more is needed")
    if loss == 0:
        return INTACT
    return Channel(float(loss), _independent(loss) if burst is None else float(burst), int(seed))


def _independent(loss: float) -> float:
    """The mean run of lost packets where each is lost on its own."""
    return 1 / (1 - loss)


def _uniform(n: int, seed: int, key: str) -> npt.NDArray[np.float64]:
    """Numbers from 0 up to 1, of 53 random bits each. NumPy promises its raw bits for good, their use not."""
    digest = hashlib.sha256(f"{seed} {key}".encode()).digest()
    bits = np.random.PCG64(np.random.SeedSequence(int.from_bytes(digest, "big"))).random_raw(n)
    return np.asarray((np.asarray(bits, np.uint64) >> np.uint64(11)) * 2.0**-53)
