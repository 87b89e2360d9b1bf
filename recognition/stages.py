"""What of a network learns, and what stays as an SR-FCN left it."""

from dataclasses import dataclass

from torch import nn

from codecsim.errors import UsageError
from recognition.methods import Method
from recognition.networks import SRFCN, RestoreFirst, ValenceCNN, start_from


@dataclass(frozen=True)
class Stages:
    """A network in training: what stays as it is, and what learns from its outputs.

    Attributes
    ----------
    frozen : applied once a frame, before training; None where nothing is frozen
    trained : takes what `frozen` gives, or luma
    started : parameters of `trained` that come from an SR-FCN, and are tuned more gently
    """

    frozen: nn.Module | None
    trained: nn.Module
    started: tuple[nn.Parameter, ...] = ()


def stages(method: Method, network: nn.Module, sr: SRFCN | None) -> Stages:
    """Put the layers of an SR-FCN into a network as the method wants it, and say what is to be trained.

    Raises
    ------
    UsageError
        If the method starts from an SR-FCN and there is none, or it is of another variant.
    """
    if method.start == "none":
        return Stages(None, network)
    if sr is None:
        raise UsageError(f"method {method.name} starts from the SR-FCN of factor {method.sr_scale}: train it first")
    if isinstance(network, RestoreFirst):
        network.restore.sr.load_state_dict(sr.state_dict())
        return Stages(network.restore, network.read)
    assert isinstance(network, ValenceCNN)
    start_from(network, sr)
    if method.start == "frozen":
        return Stages(network.features, network.regressor)
    return Stages(None, network, tuple(network.features.parameters()))
