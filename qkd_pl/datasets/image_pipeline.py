"""Classical preprocessing of images, as a scikit-learn pipeline that a model file can hold without pickle."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.decomposition import PCA
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import Binarizer

from qkd_pl.checks import check_choice, kind_of
from qkd_pl.errors import FileFormatError, InvalidInputError

ImageEmbedding = Literal["phase", "amplitude"]


class PixelScaler(TransformerMixin, BaseEstimator):
    """Flattens images ``(n, …)`` of pixels 0..255 to ``(n, pixels)`` float64 in [0, 1]; there is nothing to fit."""

    def fit(self, images: np.ndarray, labels: Any = None) -> "PixelScaler":
        """Nothing to learn."""
        return self

    def transform(self, images: np.ndarray) -> np.ndarray:
        """Pixels divided by 255, shape ``(n, pixels)``.

        Raises:
            InvalidInputError: the pixels are not 0..255, or look as if they had been divided already.
        """
        images = np.asarray(images)
        low, high = images.min(initial=0), images.max(initial=0)
        is_divided = images.dtype.kind == "f" and high <= 1 and bool((images % 1).any())
        if low < 0 or high > 255 or is_divided:
            raise InvalidInputError(f"the pixels are {low:g} to {high:g}; images are taken with pixels 0 to 255")
        return images.reshape(len(images), -1) / 255.0

    def __sklearn_is_fitted__(self) -> bool:
        return True


#: The steps that a model file can hold, and the fitted arrays that make each of them up.
_STEPS: dict[str, tuple[type, tuple[str, ...]]] = {
    "PixelScaler": (PixelScaler, ()),
    "PCA": (PCA, ("mean_", "components_", "explained_variance_")),
    "Binarizer": (Binarizer, ()),
}
#: Parameters that a fitted step still uses.
_USED = ("whiten", "copy", "threshold")


def image_pipeline(embedding: ImageEmbedding, n_components: int = 15) -> Pipeline:
    """An unfitted pipeline from raw images to the inputs of a QNN.

    Args:
        embedding: ``"phase"``: principal components, not rescaled, as bits (above 0.5 or not); ``"amplitude"``: all
            pixels, which the embedding itself pads with zeros and normalises.
        n_components: number of bits; for ``"phase"`` only.
    """
    check_choice("embedding", embedding, ("phase", "amplitude"))
    if embedding == "amplitude":
        return Pipeline([("pixels", PixelScaler())])
    # Exact; the solver that scikit-learn chooses by itself for few images is a random one.
    components = PCA(n_components=n_components, svd_solver="covariance_eigh")
    return Pipeline([("pixels", PixelScaler()), ("pca", components), ("bits", Binarizer(threshold=0.5))])


def check_pipeline(pipeline: Pipeline) -> None:
    """Refuse a pipeline that a model file cannot hold.

    Raises:
        InvalidInputError: names the step.
    """
    for name, step in pipeline.steps:
        kind, arrays = _STEPS.get(type(step).__name__, (None, ()))
        if type(step) is not kind:
            raise InvalidInputError(f"preprocessing step {name!r} is {kind_of(step)}; allowed: {list(_STEPS)}")
        if missing := [array for array in arrays if not hasattr(step, array)]:
            raise InvalidInputError(f"preprocessing step {name!r} is not fitted: it has no {missing[0]}")
    for described in pipeline_state(pipeline)[0]:
        for parameter, value in described["parameters"].items():
            if not isinstance(value, bool | int | float | str | None | np.number):
                raise InvalidInputError(
                    f"preprocessing step {described['name']!r}: {parameter} is {kind_of(value)}; a model file "
                    "holds numbers and texts"
                )


def pipeline_state(pipeline: Pipeline) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
    """A fitted pipeline as a JSON-able list of its steps, and its arrays as ``<step>.<attribute>``."""
    steps: list[dict[str, Any]] = []
    arrays: dict[str, np.ndarray] = {}
    for name, step in pipeline.steps:
        kind = type(step).__name__
        steps.append({"name": name, "type": kind, "parameters": step.get_params(deep=False)})
        arrays |= {f"{name}.{attribute}": getattr(step, attribute) for attribute in _STEPS[kind][1]}
    return steps, arrays


def restore_pipeline(steps: Sequence[Mapping[str, Any]], arrays: Mapping[str, np.ndarray]) -> Pipeline:
    """The inverse of :func:`pipeline_state`.

    Args:
        steps: each with ``name``, ``type`` (a key of the steps that can be held) and ``parameters``.
        arrays: by ``<step>.<attribute>``.

    Raises:
        FileFormatError: a parameter or array is missing, unknown or not what the step has.
    """
    return Pipeline([(step["name"], _restore_step(step, arrays)) for step in steps])


def _restore_step(described: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Any:
    name, parameters = described["name"], described["parameters"]
    kind, attributes = _STEPS[described["type"]]
    known = kind().get_params(deep=False)
    for parameter, default in known.items():
        # Of those that are not used once a step is fitted, only their names are of interest.
        numeric = isinstance(default, float) and isinstance(parameters.get(parameter), int | float)
        if parameter in _USED and not (numeric or isinstance(parameters.get(parameter), type(default))):
            raise FileFormatError(f"preprocessing step {name!r}: {parameter} must be {kind_of(default)}")
    if parameters.keys() != known.keys():
        raise FileFormatError(f"preprocessing step {name!r}: parameters must be {', '.join(known) or 'none'}")
    step = kind(**parameters)
    for attribute in attributes:
        setattr(step, attribute, _numbers(arrays, f"{name}.{attribute}"))
    if isinstance(step, PCA):
        if step.components_.ndim != 2:
            raise FileFormatError(f"preprocessing step {name!r}: components_ has shape {step.components_.shape}")
        step.n_components_, step.n_features_in_ = step.components_.shape
        if (step.explained_variance_.shape, step.mean_.shape) != ((step.n_components_,), (step.n_features_in_,)):
            raise FileFormatError(f"preprocessing step {name!r}: mean_ or explained_variance_ does not fit components_")
    return step


def _numbers(arrays: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    array = arrays.get(name)
    if array is None or array.dtype.kind != "f" or not np.isfinite(array).all():
        raise FileFormatError(f"preprocessing: {name} is missing, or is not of finite numbers")
    return array
