"""Golden files: surfaces against surface-distance, classifiers against scikit-learn, means over slices against SciPy.

The surface-distance package is from 2018: the NumPy and SciPy names it uses are put back before it is imported.
"""

import os
import sys

import numpy as np
import scipy.ndimage as ndi
from safetensors.numpy import save_file
from sklearn import metrics
from sklearn.calibration import calibration_curve

for name, value in {"bool": bool, "Inf": np.inf, "NaN": np.nan}.items():
    if name not in np.__dict__:
        setattr(np, name, value)
for name in ("filters", "morphology"):
    if not hasattr(getattr(ndi, name, None), "correlate"):
        setattr(ndi, name, ndi)
import surface_distance as sd  # noqa: E402
from surface_distance import lookup_tables  # noqa: E402

OUT = os.path.join(os.path.dirname(__file__), "..", "eval")
rng = np.random.default_rng(20261123)


def surfel():
    spacings = np.array([[1.0, 1.0, 1.0], [5.0, 0.7, 0.7], [2.5, 0.9, 1.3]])
    areas = np.stack([lookup_tables.create_table_neighbour_code_to_surface_area(s) for s in spacings])
    save_file({"spacings": spacings, "areas": areas}, os.path.join(OUT, "surfel.safetensors"))


def blob(shape, sigma, share):
    field = ndi.gaussian_filter(rng.normal(size=shape), sigma)
    return field > np.quantile(field, 1 - share)


def pairs():
    a = blob((18, 30, 26), 3.0, 0.2)
    yield "blobs", a, ndi.binary_dilation(a, iterations=1) & blob((18, 30, 26), 2.0, 0.8), [1.0, 1.0, 1.0]
    yield "thick", a, np.roll(a, (1, 3, -2), (0, 1, 2)), [5.0, 0.7, 0.7]
    yield "noise", blob((10, 12, 14), 0.4, 0.4), blob((10, 12, 14), 0.4, 0.4), [2.0, 1.1, 0.6]
    far = np.zeros((12, 20, 20), bool)
    far[2:4, 3:6, 3:7] = True
    other = np.zeros_like(far)
    other[9, 15:19, 14:18] = True
    yield "apart", far, other, [3.0, 1.0, 1.0]
    point = np.zeros((5, 6, 7), bool)
    point[0, 0, 0] = True
    full = np.ones_like(point)
    yield "border", full, point, [1.0, 2.0, 0.5]
    yield "same", a, a, [1.5, 1.0, 1.0]
    yield "flat", blob((40, 50), 3.0, 0.3), blob((40, 50), 3.0, 0.3), [0.8, 1.1]


def surface():
    out = {}
    for name, truth, pred, spacing in pairs():
        d = sd.compute_surface_distances(truth, pred, spacing)
        out[f"{name}.truth"] = truth.astype(np.uint8)
        out[f"{name}.pred"] = pred.astype(np.uint8)
        out[f"{name}.spacing"] = np.array(([1.0] + list(spacing))[-3:])
        out[f"{name}.expected"] = np.array(
            [sd.compute_robust_hausdorff(d, 95), sd.compute_robust_hausdorff(d, 100)]
            + [sd.compute_surface_dice_at_tolerance(d, t) for t in (1.0, 2.0, 5.0)]
            + list(sd.compute_average_surface_distance(d))
        )
    save_file(out, os.path.join(OUT, "surface.safetensors"))


def classify():
    out = {}
    n = 200
    labels = rng.random(n) < 0.35
    smooth = 1 / (1 + np.exp(-rng.normal(size=n) - 1.5 * labels + 0.7))
    cases = {"smooth": smooth, "ties": np.round(smooth * 10) / 10, "bad": rng.random(n)}
    for name, scores in cases.items():
        scores = scores.astype(np.float32)
        wide = scores.astype(np.float64)
        fpr, tpr, thresholds = metrics.roc_curve(labels, wide, drop_intermediate=False)
        precision, recall, _ = metrics.precision_recall_curve(labels, wide)
        called = scores >= np.float32(0.5)
        tn, fp, fn, tp = metrics.confusion_matrix(labels, called).ravel()
        index = tpr - fpr
        index = np.where(np.isfinite(thresholds), np.round(index, 12), -np.inf)
        prob_true, prob_pred = calibration_curve(labels, wide, n_bins=10)
        # scikit-learn ends with (1, 0), runs downwards in recall, and stops where recall is 1
        keep = slice(0, -1)
        arrays = {
            "fpr": fpr,
            "tpr": tpr,
            "thresholds": thresholds,
            "precision": precision[keep][::-1],
            "recall": recall[keep][::-1],
            "measures": np.array([
                metrics.accuracy_score(labels, called),
                metrics.precision_score(labels, called),
                metrics.recall_score(labels, called),
                metrics.f1_score(labels, called),
                metrics.recall_score(labels, called, pos_label=False),
                metrics.roc_auc_score(labels, wide),
                metrics.average_precision_score(labels, wide),
            ]),
            "confusion": np.array([tn, fp, fn, tp], float),
            "youden": np.array([thresholds[np.argmax(index)]]),
            "prob_true": prob_true,
            "prob_pred": prob_pred,
            "brier": np.array([metrics.brier_score_loss(labels, wide)]),
        }
        out[f"{name}.scores"] = scores
        out[f"{name}.labels"] = labels.astype(np.uint8)
        for part, array in arrays.items():
            out[f"{name}.{part}"] = np.ascontiguousarray(array, dtype=np.float64)
    save_file(out, os.path.join(OUT, "classify.safetensors"))


def near():
    """Means over slices by a triangle, where some slices are missing: two convolutions, the second of what is there."""
    random = np.random.default_rng(7)
    p = random.random((30, 6))
    there = random.random(30) < 0.8
    out = {"p": p.astype(np.float32), "there": there.astype(np.uint8)}
    for name, reach in {"none": 0.0, "part": 0.6, "one": 1.0, "two_and_a_half": 2.5, "eight": 8.0}.items():
        far = int(np.ceil(reach))
        weights = np.maximum(0, reach + 1 - np.abs(np.arange(-far, far + 1)))
        over = lambda x: ndi.convolve1d(x, weights, axis=0, mode="constant")
        shown = there[:, None].astype(np.float64)
        mean = over(out["p"].astype(np.float64) * shown) / np.maximum(over(shown), 1e-12)
        out[f"{name}.reach"] = np.array([reach])
        out[f"{name}.mean"] = np.ascontiguousarray(mean)
    save_file(out, os.path.join(OUT, "near.safetensors"))


if __name__ == "__main__":
    os.makedirs(OUT, exist_ok=True)
    sys.exit(surfel() or surface() or classify() or near())
