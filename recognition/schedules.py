"""How long, how fast and on how much a network is trained: every number with its reason."""

from dataclasses import dataclass

from codecsim.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Phase:
    """Training of one network by stochastic gradient descent.

    Attributes
    ----------
    iterations : steps, at most
    batch : frames a step
    learning_rate : of layers that start at random
    started_learning_rate : of layers that start from an SR-FCN
    bias_factor : biases learn so many times as fast
    last_layer_factor : the last layer learns so many times as fast
    momentum, weight_decay : as the text says
    check_every : steps between looks at the held-out fold
    check_frames : frames of the fold that are looked at, evenly spread over it
    learnt : score of the fold, CCC or a gain in dB, from which on something has been learnt; no rate is divided before
    patience : looks without a better one after which every rate is divided by 10
    drops : such divisions; when another is due, training ends
    patch : side of the patches that an SR-FCN learns from, in pixels; 0 for whole frames
    """

    iterations: int
    batch: int
    learning_rate: float = 0.01
    started_learning_rate: float = 0.001
    bias_factor: float = 1.0
    last_layer_factor: float = 1.0
    momentum: float = 0.9
    weight_decay: float = 5e-4
    check_every: int
    check_frames: int
    learnt: float = 0.05
    patience: int
    drops: int = 2
    patch: int = 0

    def __post_init__(self) -> None:
        if min(self.iterations, self.batch, self.check_every, self.patience) < 1 or self.check_frames < 2:
            raise UsageError(
                "a schedule needs 1 iteration, frame a batch, step a look and look to wait, and 2 frames to look at, "
                "or more"
            )
        if self.patch and not 17 <= self.patch <= 96:
            raise UsageError(f"patches of {self.patch} pixels: 17 to 96 are allowed, since an SR-FCN takes 16 off")


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How all the networks of a method are trained.

    Attributes
    ----------
    name, summary : for people
    sr : an SR-FCN
    scratch : a CNN from random weights
    tuned : a CNN whose convolutions start from an SR-FCN
    frozen : what follows convolutions, or restored frames, that stay as they are
    """

    name: str
    summary: str
    sr: Phase
    scratch: Phase
    tuned: Phase
    frozen: Phase


SCHEDULES = {
    each.name: each
    for each in (
        Schedule(
            name="paper",
            summary="30 000 steps of 128, 60 000 tuned, 120 000 frozen: the text, and the scripts where it is silent",
            sr=Phase(iterations=30_000, batch=128, check_every=1000, check_frames=1000, patience=30, patch=32),
            scratch=Phase(iterations=30_000, batch=128, check_every=500, check_frames=4000, patience=10),
            tuned=Phase(iterations=60_000, batch=128, check_every=500, check_frames=4000, patience=10),
            frozen=Phase(iterations=120_000, batch=128, check_every=1000, check_frames=4000, patience=10),
        ),
        Schedule(
            name="released",
            summary="as the authors' scripts: SR-FCN 500 000 steps at 0.0001, biases twice as fast",
            sr=Phase(
                iterations=500_000,
                batch=128,
                learning_rate=1e-4,
                last_layer_factor=0.1,
                check_every=5000,
                check_frames=1000,
                patience=100,
                patch=32,
            ),
            scratch=Phase(iterations=30_000, batch=128, bias_factor=2, check_every=500, check_frames=4000, patience=10),
            tuned=Phase(iterations=60_000, batch=128, bias_factor=2, check_every=500, check_frames=4000, patience=10),
            frozen=Phase(
                iterations=120_000, batch=128, bias_factor=2, check_every=1000, check_frames=4000, patience=10
            ),
        ),
        Schedule(
            name="gpu",
            summary="3 600 steps of 32, all layers at 0.04: a quarter of a minute a method on one data-centre GPU",
            sr=Phase(iterations=600, batch=128, check_every=250, check_frames=500, patience=4, patch=32),
            # lr-4, fold: 38 400 frames in batches of 32 at 0.04 came to 0.69, of 8 at 0.01 to 0.67;
            # 22 400 of 32 at 0.04 to 0.52, at 0.02 to 0.48
            scratch=Phase(
                iterations=3600, batch=32, learning_rate=0.04, check_every=240, check_frames=1000, patience=2
            ),
            tuned=Phase(
                iterations=3600,
                batch=32,
                learning_rate=0.04,
                started_learning_rate=0.04,
                check_every=240,
                check_frames=1000,
                patience=2,
            ),
            frozen=Phase(iterations=8000, batch=128, check_every=400, check_frames=1000, patience=5),
        ),
        Schedule(
            name="cpu",
            summary="2 000 steps of 8, all layers at 0.01: a quarter of an hour a method and core",
            sr=Phase(iterations=600, batch=16, check_every=100, check_frames=32, patience=6, patch=32),
            # lr-4, fold: 16 000 frames in batches of 8 came to 0.40, of 16 to 0.31; 8 800 of 4 to 0.08, of 8 to 0.13
            scratch=Phase(iterations=2000, batch=8, check_every=200, check_frames=400, patience=3),
            tuned=Phase(
                iterations=2000,
                batch=8,
                # joint-3 in batches of 16: 2 000 steps at 0.001 came to a fold CCC of 0.47, 1 000 at 0.01 to 0.53
                started_learning_rate=0.01,
                check_every=200,
                check_frames=400,
                patience=3,
            ),
            # 128 000 frames in batches of 16 came to 0.01, 512 000 of 128, within a minute, to 0.14 (non-joint-3)
            frozen=Phase(iterations=8000, batch=128, check_every=400, check_frames=400, patience=5),
        ),
    )
}


def get_schedule(name: str) -> Schedule:
    """The schedule of a name."""
    if name not in SCHEDULES:
        raise UsageError(f"no schedule {name!r}; there are {', '.join(SCHEDULES)}")
    return SCHEDULES[name]
