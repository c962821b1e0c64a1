"""Golden files of what explains a prediction: Grad-CAM against PyTorch, logistic regression against scikit-learn.

  python golden/scripts/explain.py        (from the root of the project, after nn.py)

golden/nn/grad_cam.safetensors, for the networks and inputs of classifier_a, classifier_b and unet (prediction mode,
float64):
  NAME.values      output of the last 3x3 convolution with the normalisation and the ReLU that directly follow
  NAME.gradient    derivative of the sum of the logits by it
  NAME.map         relu(sum_c mean(gradient_c) * values_c) per image
golden/eval/logistic.safetensors:
  x, y             rows of attributes (standardised: mean 0, sd 1 with divisor n) and outcomes
  coef_L, intercept_L, auroc_L for the L2 penalties L = 0.1, 1, 10 (scikit-learn's C = 1 / L, intercept not penalised)
  pd_grid, pd_J    partial dependence of the probability on attribute J at L = 1 over the grid
"""
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.numpy import load_file, save_file
from sklearn.inspection import partial_dependence
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

GOLDEN = Path(__file__).resolve().parents[1]
EPS = 1e-3


class Net:
    def __init__(self, name):
        arrays = load_file(GOLDEN / "nn" / f"{name}.safetensors")
        self.w = {k[2:]: torch.tensor(v).double() for k, v in arrays.items() if k.startswith("w.")}
        self.x = torch.tensor(arrays["x"]).double()
        self.eval_logits = arrays["eval_logits"]

    def conv(self, name, x):
        return F.conv2d(x, self.w[f"{name}.weight"], self.w.get(f"{name}.bias"), padding=self.w[f"{name}.weight"].shape[-1] // 2)

    def bn(self, name, x):
        w = self.w
        return F.batch_norm(x, w[f"{name}.running_mean"], w[f"{name}.running_var"], w[f"{name}.weight"], w[f"{name}.bias"], False, 0.0, EPS)

    def keep(self, x):
        self.kept = x
        x.retain_grad()
        return x

    def head(self, x):
        x = F.relu(F.linear(x.mean((2, 3)), self.w["dense.weight"], self.w["dense.bias"]))
        return F.linear(x, self.w["out.weight"], self.w["out.bias"])[:, 0]


def classifier_a(net, x):
    for i in range(4):
        x = F.relu(net.conv(f"conv.{i}", x))
        x = net.keep(x) if i == 3 else x
        x = net.bn(f"bn.{i}", F.max_pool2d(x, 2))
    return net.head(x)


def classifier_b(net, x):
    for i in range(3):
        x = net.bn(f"pair.{i}.bn1", F.relu(net.conv(f"pair.{i}.conv1", x)))
        x = F.relu(net.conv(f"pair.{i}.conv2", x))
        x = net.keep(x) if i == 2 else x
        x = F.max_pool2d(net.bn(f"pair.{i}.bn2", x), 2)
    return net.head(x)


def block(net, name, x, last=False):
    x = F.relu(net.bn(f"{name}.bn1", net.conv(f"{name}.conv1", x)))
    x = F.relu(net.bn(f"{name}.bn2", net.conv(f"{name}.conv2", x)))
    return net.keep(x) if last else x


def unet(net, x):
    skips = []
    for k in range(3):
        x = block(net, f"down.{k}", x)
        if k < 2:
            skips.append(x)
            x = F.max_pool2d(x, 2)
    for k in range(2):
        x = F.conv_transpose2d(x, net.w[f"up.{k}.weight"], net.w[f"up.{k}.bias"], stride=2)
        x = block(net, f"dec.{k}", torch.cat([skips.pop(), x], 1), last=k == 1)
    return net.conv("out", x)


def grad_cam():
    out = {}
    for name, forward in [("classifier_a", classifier_a), ("classifier_b", classifier_b), ("unet", unet)]:
        net = Net(name)
        z = forward(net, net.x.requires_grad_())
        assert np.allclose(z.detach().numpy(), net.eval_logits, atol=1e-5), name
        z.sum().backward()
        a, g = net.kept.detach(), net.kept.grad
        cam = F.relu((g.mean((2, 3), keepdim=True) * a).sum(1))
        for key, value in [("values", a), ("gradient", g), ("map", cam)]:
            out[f"{name}.{key}"] = value.numpy().astype(np.float32)
    save_file(out, GOLDEN / "nn" / "grad_cam.safetensors")


def logistic():
    rng = np.random.default_rng(7)
    n, p = 90, 5
    x = rng.normal(size=(n, p))
    x[:, 3] = 0.8 * x[:, 0] + 0.6 * x[:, 3]
    x = (x - x.mean(0)) / x.std(0)
    truth = 1.2 * x[:, 0] - 0.8 * x[:, 2] + 0.3
    y = rng.random(n) < 1 / (1 + np.exp(-truth))
    out = {"x": x, "y": y.astype(np.uint8)}
    for penalty in ["0.1", "1", "10"]:
        model = LogisticRegression(C=1 / float(penalty), solver="newton-cholesky", tol=1e-14, max_iter=200).fit(x, y)
        out[f"coef_{penalty}"] = model.coef_[0]
        out[f"intercept_{penalty}"] = model.intercept_
        out[f"auroc_{penalty}"] = np.array([roc_auc_score(y, model.decision_function(x))])
        if penalty == "1":
            grid = np.linspace(-1.5, 1.5, 7)
            out["pd_grid"] = grid
            for j in range(p):
                found = partial_dependence(model, x, [j], response_method="predict_proba", method="brute", custom_values={j: grid})
                out[f"pd_{j}"] = found["average"][0]
    out = {k: np.ascontiguousarray(v) for k, v in out.items()}
    save_file(out, GOLDEN / "eval" / "logistic.safetensors")


grad_cam()
logistic()
