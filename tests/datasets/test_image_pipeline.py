import json
import subprocess
import sys

import numpy as np
import pytest
from safetensors import safe_open
from sklearn.decomposition import PCA, FastICA
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import Binarizer

from qkd_pl import QNN, KDTrainer, load_model
from qkd_pl.datasets.image_pipeline import PixelScaler, image_pipeline, pipeline_state, restore_pipeline
from qkd_pl.deployment.planning import plan
from qkd_pl.errors import FileFormatError, InvalidInputError
from qkd_pl.networks.models import trained


@pytest.fixture
def images(rng):
    return rng.integers(0, 256, size=(40, 4, 4)).astype(np.uint8)


@pytest.fixture
def pipeline(images):
    return image_pipeline("phase", 3).fit(images)


@pytest.fixture
def classifier(rng):
    network = QNN(3, 1, embedding="phase")
    return trained(network, rng.uniform(0, 2 * np.pi, network.weights_shape))


def test_bits_are_thresholded_principal_components(images, pipeline):
    """Against the eigenvectors of the covariance matrix."""
    pixels = images.reshape(40, 16) / 255
    centred = pixels - pixels.mean(axis=0)
    _, vectors = np.linalg.eigh(centred.T @ centred)
    principal = vectors[:, ::-1][:, :3]
    fitted = pipeline.named_steps["pca"].components_
    np.testing.assert_allclose(np.abs(np.sum(fitted * principal.T, axis=1)), 1.0)
    np.testing.assert_array_equal(pipeline.transform(images), centred @ fitted.T > 0.5)


@pytest.mark.parametrize("change", [lambda x: x / 255, lambda x: x * 2.0, lambda x: x - 1.0])
def test_pixels_on_another_scale_are_refused(images, pipeline, change):
    with pytest.raises(InvalidInputError, match="images are taken with pixels 0 to 255"):
        pipeline.transform(change(images.astype(float)))


def test_no_images_give_no_logits(classifier, pipeline, images):
    assert classifier.with_preprocessing(pipeline).logits(images[:0]).shape == (0, 2)


def test_what_a_model_file_cannot_hold_is_refused_before_it_is_saved(classifier, images):
    random = PCA(n_components=3, svd_solver="randomized", random_state=np.random.RandomState(0))
    pipeline = Pipeline([("pixels", PixelScaler()), ("pca", random)]).fit(images)
    with pytest.raises(InvalidInputError, match="step 'pca': random_state is a RandomState"):
        classifier.with_preprocessing(pipeline)


def test_black_images_are_images(images, pipeline):
    assert pipeline.transform(0.0 * images).shape == (40, 3)


def test_amplitudes_are_the_pixels(images):
    np.testing.assert_array_equal(
        image_pipeline("amplitude").fit(images).transform(images) * 255, images.reshape(40, 16)
    )


def test_an_embedding_that_takes_no_images_is_refused():
    with pytest.raises(InvalidInputError, match=r"embedding='state'.*'phase', 'amplitude'"):
        image_pipeline("state")


@pytest.mark.parametrize("embedding", ["phase", "amplitude"])
def test_a_pipeline_survives_its_state(images, embedding):
    before = image_pipeline(embedding, 3).fit(images)
    steps, arrays = pipeline_state(before)
    after = restore_pipeline(json.loads(json.dumps(steps)), arrays)
    assert repr(after) == repr(before)
    np.testing.assert_array_equal(after.transform(images[:7]), before.transform(images[:7]))


def test_a_restored_pca_can_invert(pipeline, images):
    restored = restore_pipeline(*pipeline_state(pipeline)).named_steps["pca"]
    pixels = images.reshape(40, 16) / 255
    np.testing.assert_allclose(
        restored.inverse_transform(restored.transform(pixels)),
        pipeline.named_steps["pca"].inverse_transform(pipeline.named_steps["pca"].transform(pixels)),
    )


def test_incomplete_or_unknown_state_is_refused(pipeline):
    steps, arrays = pipeline_state(pipeline)
    for changed in (None, np.zeros(16, int), np.full(16, np.nan)):
        others = {name: array for name, array in arrays.items() if name != "pca.mean_"}
        with pytest.raises(FileFormatError, match=r"pca\.mean_ is missing, or is not of finite numbers"):
            restore_pipeline(steps, others if changed is None else {**others, "pca.mean_": changed})
    with pytest.raises(FileFormatError, match="'pca': mean_ or explained_variance_ does not fit components_"):
        restore_pipeline(steps, {**arrays, "pca.mean_": np.zeros(15)})
    for parameters, message in (
        ({**steps[2]["parameters"], "surprise": 1}, "parameters must be copy, threshold"),
        ({"copy": True, "threshold": "0.5"}, "threshold must be a float"),
    ):
        with pytest.raises(FileFormatError, match=f"'bits': {message}"):
            restore_pipeline([*steps[:2], {**steps[2], "parameters": parameters}], arrays)


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([("ica", FastICA(2))], r"step 'ica' is a FastICA; allowed: \['PixelScaler', 'PCA', 'Binarizer'\]"),
        ([("pca", PCA(2)), ("bits", Binarizer())], "step 'pca' is not fitted"),
        ([("pca", type("PCA", (PCA,), {})(2))], "step 'pca' is a PCA; allowed"),
    ],
)
def test_what_a_file_cannot_hold_is_refused_when_it_is_attached(classifier, steps, message):
    with pytest.raises(InvalidInputError, match=message):
        classifier.with_preprocessing(Pipeline(steps))


def test_a_model_with_preprocessing_takes_raw_images(classifier, pipeline, images):
    whole = classifier.with_preprocessing(pipeline)
    expected = classifier.logits(pipeline.transform(images))
    np.testing.assert_array_equal(whole.logits(images), expected)
    np.testing.assert_array_equal(whole.predict(images), expected.argmax(axis=1))
    assert whole.score(images, expected.argmax(axis=1)) == 1.0
    np.testing.assert_array_equal(whole.with_preprocessing(None).logits(pipeline.transform(images)), expected)


def test_images_of_another_size_are_refused(classifier, pipeline, images):
    with pytest.raises(
        InvalidInputError, match=r"inputs of shape \(40, 4, 3\) cannot be preprocessed.*12 features.*16"
    ):
        classifier.with_preprocessing(pipeline).logits(images[:, :, :3])


_PRINT_LOGITS = """
import sys
import numpy as np
from qkd_pl import load_model
print(load_model(sys.argv[1]).logits(np.load(sys.argv[2])).tobytes().hex())
"""


def test_a_saved_student_classifies_raw_images_in_another_process(classifier, pipeline, images, tmp_path):
    model = classifier.with_preprocessing(pipeline)
    model.save(tmp_path / "model.safetensors")
    np.save(tmp_path / "images.npy", images)
    command = [
        sys.executable,
        "-c",
        _PRINT_LOGITS,
        *(str(tmp_path / name) for name in ("model.safetensors", "images.npy")),
    ]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert printed.strip() == model.logits(images).tobytes().hex()


def test_the_file_names_the_steps_and_holds_their_arrays(classifier, pipeline, tmp_path):
    path = tmp_path / "model.safetensors"
    classifier.with_preprocessing(pipeline).save(path)
    with safe_open(path, framework="numpy") as stored:
        manifest = json.loads(stored.metadata()["qkd_pl"])
        assert set(stored.keys()) == {
            *("weights", "preprocessing.pca.mean_", "preprocessing.pca.components_"),
            "preprocessing.pca.explained_variance_",
        }
    assert [step["type"] for step in manifest["preprocessing"]] == ["PixelScaler", "PCA", "Binarizer"]
    assert "scikit-learn" in manifest["versions"]


def test_a_model_without_preprocessing_has_none_after_loading(classifier, tmp_path):
    classifier.save(tmp_path / "model.safetensors")
    assert load_model(tmp_path / "model.safetensors").preprocessing is None


def test_a_model_with_preprocessing_can_be_planned_and_can_teach(pipeline, images, rng):
    network = QNN(3, 1, embedding="phase")
    weights = rng.uniform(0, 2 * np.pi, network.weights_shape)
    model = trained(network, weights).with_preprocessing(pipeline)
    bits, labels = pipeline.transform(images), rng.integers(0, 2, 40)
    priced = plan(model, images[:5], "manila").cost
    assert priced == plan(model.with_preprocessing(None), bits[:5], "manila").cost
    trainer = KDTrainer(iterations=3, seed=1)
    student = trainer.fit(network, (bits, labels), teacher=model.logits(images))
    other = trainer.fit(network, (bits, labels), teacher=model.with_preprocessing(None))
    np.testing.assert_array_equal(student.weights, other.weights)


def test_a_scaler_needs_no_fit(images):
    assert PixelScaler().transform(images).max() <= 1.0
    assert Pipeline([("pixels", PixelScaler())]).transform(images).shape == (40, 16)
