"""Any position between two frames, also from a model that only knows the middle."""

from torch import Tensor

from dataset_tools.interpolators import Interpolator

_DEPTH = 5  # halvings: the position is met to 1/64 of the gap, and exactly for 2, 4, 8, 16 and 32 times the frames


class AnyTimestep:
    """An interpolator that halves the gap again and again where its model refuses a timestep.

    Attributes:
        name, weights_sha256: Of the model.
    """

    def __init__(self, model: Interpolator) -> None:
        """Wrap ``model``."""
        self.name, self.weights_sha256 = model.name, model.weights_sha256
        self._model = model
        self._halve = False

    def interpolate(self, img0: Tensor, img1: Tensor, timestep: float = 0.5) -> Tensor:
        """Return the frame at ``timestep``; see ``dataset_tools.interpolators.Interpolator.interpolate``."""
        if not self._halve or timestep == 0.5:
            try:
                return self._model.interpolate(img0, img1, timestep)
            except ValueError:
                if timestep == 0.5:
                    raise
                self._halve = True
        low, high = 0.0, 1.0
        middle = img0
        for _ in range(_DEPTH):
            middle, place = self._model.interpolate(img0, img1, 0.5), (low + high) / 2
            if abs(place - timestep) < 2.0 ** -(_DEPTH + 1):
                break
            if timestep < place:
                img1, high = middle, place
            else:
                img0, low = middle, place
        return middle
