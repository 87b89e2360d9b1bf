"""SR-FCN and the valence CNN of Cheng et al. 2017, in two variants, as plain modules.

Every network takes float32 luma in 0 … 1, shape=(N, 1, 96, 96): LR frames come already enlarged by bicubic (section 4
of the paper, and the authors' code). What a variant does to its input it does itself, so that a network, its variant
and its weights are all that a prediction depends on.

==============  =============================================  ================================================
variant         `paper` (as the text says)                     `released` (as the authors' code does)
==============  =============================================  ================================================
input           each image's mean taken off, its deviation     luma as it is
                brought to 0.25
third pool      by quadrants: 2×2                              4×4 windows, stride 4, rounded up: 5×5
inputs to FC    1 024                                          6 400
parameters      1 333 849                                      2 946 649
SR-FCN starts   Xavier                                         Gaussian, σ = 0.001
==============  =============================================  ================================================

Neither pads its convolutions: 96 → 92 → 46 → 42 → 21 → 17. The text leaves open over what the mean and the contrast of
an image are taken; here it is the image itself.
"""

from collections.abc import Callable
from typing import Literal, get_args

from torch import Tensor, nn
from torch.nn import functional

from codecsim.corpus import HR_SIDE
from codecsim.errors import UsageError
from recognition.winners import largest

Variant = Literal["paper", "released"]
VARIANTS: tuple[Variant, ...] = get_args(Variant)

SR_BORDER = 8
"""Pixels on each side that the unpadded SR-FCN cannot reconstruct: four 5×5 convolutions take 2 each."""

_SMALLEST_CONTRAST = 1 / 255  # an even image stays even, and its noise is not made a face
_CONTRAST = 0.25
"""Deviation that `paper` brings an image to, in luma of 0 … 1: that of a usual picture. The text gives none. With 1, at
the stated learning rate of 0.01 with momentum 0.9, SR-FCN diverged within 60 steps of 16 frames with each of three
seeds, and the CNN's loss leapt from 1 to 13; with 0.25 neither happened."""


class ValenceCNN(nn.Module):
    """The target CNN: three convolutions, one hidden layer, linear outputs.

    Parameters
    ----------
    variant : `paper` or `released`
    outputs : numbers predicted a frame: 1 for valence, 2 for valence and arousal

    Source
    ------
    Cheng et al. 2017, section 3.2 and Figure 3(b).
    """

    def __init__(self, *, variant: Variant, outputs: int = 1) -> None:
        super().__init__()
        self.variant = check_variant(variant)
        self.features = Features(variant)
        self.regressor = Regressor(self.features.n_outputs, outputs)
        initialise(self, xavier)

    def forward(self, x: Tensor) -> Tensor:
        """Luma, shape=(N, 1, 96, 96), to predictions, shape=(N, outputs)."""
        predictions: Tensor = self.regressor(self.features(x))
        return predictions


class Features(nn.Module):
    """The convolutions of the valence CNN, whose shapes SR-FCN shares."""

    def __init__(self, variant: Variant) -> None:
        super().__init__()
        self.variant = variant
        self.conv1 = nn.Conv2d(1, 64, 5)
        self.conv2 = nn.Conv2d(64, 128, 5)
        self.conv3 = nn.Conv2d(128, 256, 5)
        self.n_outputs = 256 * (4 if variant == "paper" else 25)

    def forward(self, x: Tensor) -> Tensor:
        """Luma, shape=(N, 1, 96, 96), to features, shape=(N, 1024 or 6400)."""
        x = normalise(x, self.variant)[0]
        # The largest of rectified values is the rectified largest: pooling first leaves a quarter to rectify.
        x = functional.relu(functional.max_pool2d(self.conv1(x), 2))  # (N, 64, 46, 46)
        x = functional.relu(functional.max_pool2d(self.conv2(x), 2))  # (N, 128, 21, 21)
        if self.variant == "paper":
            # 17×17 outputs by quadrants; the middle row and column belong to both sides
            x = largest(x, self.conv3, window=9, stride=8)  # (N, 256, 2, 2)
        else:
            x = functional.max_pool2d(self.conv3(x), 4, 4, ceil_mode=True)  # (N, 256, 5, 5) of 17×17
        return functional.relu(x).flatten(1)


class Regressor(nn.Module):
    """The fully connected layers of the valence CNN."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(inputs, 300)
        self.dropout = nn.Dropout(0.5)
        self.output = nn.Linear(300, outputs)

    def forward(self, features: Tensor) -> Tensor:
        """Features, shape=(N, inputs), to predictions, shape=(N, outputs)."""
        predictions: Tensor = self.output(self.dropout(functional.relu(self.hidden(features))))
        return predictions


class SRFCN(nn.Module):
    """SR-FCN: four convolutions that reconstruct HR luma from enlarged LR luma.

    Source
    ------
    Cheng et al. 2017, section 3.2 and Figure 3(a).
    """

    def __init__(self, *, variant: Variant) -> None:
        super().__init__()
        self.variant = check_variant(variant)
        self.conv1 = nn.Conv2d(1, 64, 5)
        self.conv2 = nn.Conv2d(64, 128, 5)
        self.conv3 = nn.Conv2d(128, 256, 5)
        self.reconstruct = nn.Conv2d(256, 1, 5)
        initialise(self, xavier if variant == "paper" else narrow_gaussian)

    def forward(self, x: Tensor, *, is_normalised: bool = False) -> Tensor:
        """Luma, shape=(N, 1, H, W), to the HR luma of its middle, shape=(N, 1, H − 16, W − 16).

        With `is_normalised`, the same between pixels that are normalised already: of a part of a frame, say.
        """
        x, mean, contrast = (x, 0.0, 1.0) if is_normalised else normalise(x, self.variant)
        x = functional.relu(self.conv1(x))
        x = functional.relu(self.conv2(x))
        x = functional.relu(self.conv3(x))
        reconstructed: Tensor = self.reconstruct(x)
        return reconstructed if is_normalised else reconstructed * contrast + mean


class SuperResolve(nn.Module):
    """SR-FCN on whole frames: the border that it cannot reach keeps the bicubic pixels."""

    def __init__(self, sr: SRFCN) -> None:
        super().__init__()
        self.sr = sr

    def forward(self, x: Tensor) -> Tensor:
        """Luma to luma, shape=(N, 1, 96, 96), in 0 … 1."""
        whole = x.clone()
        whole[..., SR_BORDER:-SR_BORDER, SR_BORDER:-SR_BORDER] = self.sr(x).clamp(0, 1)
        return whole


def normalise(x: Tensor, variant: Variant) -> tuple[Tensor, Tensor | float, Tensor | float]:
    """What a variant does to luma, shape=(N, 1, H, W), and the mean and contrast that undo it."""
    if variant == "released":
        return x, 0.0, 1.0
    mean = x.mean((2, 3), keepdim=True)
    x = x - mean
    deviation = x.square().mean((2, 3), keepdim=True).sqrt()  # torch.std takes ten times as long
    contrast = deviation.clamp_min(_SMALLEST_CONTRAST) / _CONTRAST
    return x / contrast, mean, contrast


class RestoreFirst(nn.Module):
    """Two networks in a row: one restores frames, another reads them."""

    def __init__(self, restore: SuperResolve, read: ValenceCNN) -> None:
        super().__init__()
        self.restore = restore
        self.read = read

    def forward(self, x: Tensor) -> Tensor:
        """Luma, shape=(N, 1, 96, 96), to predictions, shape=(N, outputs)."""
        predictions: Tensor = self.read(self.restore(x))
        return predictions


def start_from(network: ValenceCNN, sr: SRFCN) -> None:
    """Give the convolutions of `network` the first three layers of SR-FCN (section 3.2: "partial initialization").

    Raises
    ------
    UsageError
        If the two are of different variants: they see different inputs.
    """
    if network.variant != sr.variant:
        raise UsageError(f"an SR-FCN of variant {sr.variant} cannot start a CNN of variant {network.variant}")
    wanted = set(network.features.state_dict())
    network.features.load_state_dict({name: value for name, value in sr.state_dict().items() if name in wanted})


def check_variant(variant: str) -> Variant:
    """`variant` if there is such a one."""
    for known in VARIANTS:
        if variant == known:
            return known
    raise UsageError(f"no variant {variant!r} of the networks; there are: {', '.join(VARIANTS)}")


def count_parameters(network: nn.Module) -> int:
    """Numbers that a network learns or keeps from its start."""
    return sum(each.numel() for each in network.parameters())


def initialise(network: nn.Module, fill: Callable[[Tensor], None]) -> None:
    """Draw the weights of all layers with `fill`; biases start at 0, as in the authors' code."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            fill(layer.weight)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]


def xavier(weight: Tensor) -> None:
    """Caffe's Xavier filler: uniform in ±√(3 / inputs of a unit)."""
    bound = (3 / weight[0].numel()) ** 0.5
    nn.init.uniform_(weight, -bound, bound)


def narrow_gaussian(weight: Tensor) -> None:
    """The Gaussian filler of the authors' SR-FCN."""
    nn.init.normal_(weight, std=1e-3)


assert HR_SIDE == 96  # the shapes above are of this side
