"""Golden networks: PyTorch's outputs, losses, gradients and Adam steps for small networks on random input.

  python golden/scripts/nn.py        (from the root of the project; versions in golden/requirements.txt)

Weights and inputs are float32 numbers; PyTorch computes in float64, so that the tolerance of the tests is our own
rounding. Batch norm: eps 1e-3, momentum 0.01 (PyTorch's meaning: share of the new; 1 - Keras's 0.99).
Adam: lr 1e-3, betas 0.9 / 0.999, eps 1e-7.

golden/nn/unet.safetensors, unet_residual.safetensors, unet_gated.safetensors, unet_nested.safetensors,
classifier_a.safetensors, classifier_b.safetensors:
  x, y             input and target
  w.NAME           first weights, running statistics included
  eval_logits      prediction mode with w
  train_logits     training mode with w; of unet_gated and unet_nested those of the side output behind them
  loss, g.NAME     loss (U-Net: 0.5 BCE + 0.5 Dice; classifiers: BCE with sample weights s) and all its gradients
  r.NAME           running statistics after that one forward pass
  losses, a.NAME   losses of 10 Adam steps on the same batch, and all weights after them
golden/nn/losses.safetensors: z, y, s and per loss `NAME` (value) and `d_NAME` (derivative by the logits)
"""
import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from pathlib import Path
from safetensors.numpy import save_file

OUT = Path(__file__).resolve().parents[1] / "nn"
EPS, MOMENTUM = 1e-3, 0.01


def conv(i, o, bias):
    return nn.Conv2d(i, o, 3, padding=1, bias=bias)


def bn(c):
    return nn.BatchNorm2d(c, eps=EPS, momentum=MOMENTUM)


class Block(nn.Module):
    def __init__(self, i, o):
        super().__init__()
        self.conv1, self.bn1, self.conv2, self.bn2 = conv(i, o, False), bn(o), conv(o, o, False), bn(o)

    def forward(self, x):
        return F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))


class UNet(nn.Module):
    def __init__(self, base, levels):
        super().__init__()
        c = [base << k for k in range(levels)]
        down = list(range(levels - 2, -1, -1))
        self.down = nn.ModuleList(Block(i, o) for i, o in zip([1] + c[:-1], c))
        self.up = nn.ModuleList(nn.ConvTranspose2d(c[k + 1], c[k], 2, 2) for k in down)
        self.dec = nn.ModuleList(Block(c[k + 1], c[k]) for k in down)
        self.out = nn.Conv2d(base, 1, 1)

    def forward(self, x):
        skips = []
        for k, d in enumerate(self.down):
            x = d(x)
            if k + 1 < len(self.down):
                skips.append(x)
                x = F.max_pool2d(x, 2)
        for u, d in zip(self.up, self.dec):
            x = d(torch.cat([skips.pop(), u(x)], 1))
        return self.out(x)


class Residual(nn.Module):
    """A block whose input is added before its second ReLU; the shortcut from the image and to other widths has weights."""

    def __init__(self, i, o, image=False):
        super().__init__()
        self.conv1, self.bn1, self.conv2, self.bn2 = conv(i, o, False), bn(o), conv(o, o, False), bn(o)
        self.projects = image or i != o
        if self.projects:
            self.proj, self.proj_bn = nn.Conv2d(i, o, 1, bias=False), bn(o)

    def forward(self, x):
        shortcut = self.proj_bn(self.proj(x)) if self.projects else x
        return F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))) + shortcut)


class AttentionGate(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.skip, self.skip_bn = nn.Conv2d(c, c // 2, 1, bias=False), bn(c // 2)
        self.up, self.up_bn = nn.Conv2d(c, c // 2, 1, bias=False), bn(c // 2)
        self.psi = nn.Conv2d(c // 2, 1, 1)

    def forward(self, skip, up):
        return skip * torch.sigmoid(self.psi(F.relu(self.skip_bn(self.skip(skip)) + self.up_bn(self.up(up)))))


class ResidualUNet(UNet):
    def __init__(self, base, levels):
        super().__init__(base, levels)
        c = [base << k for k in range(levels)]
        self.down = nn.ModuleList(Residual(i, o, k == 0) for k, (i, o) in enumerate(zip([1] + c[:-1], c)))
        self.dec = nn.ModuleList(Residual(c[k + 1], c[k]) for k in range(levels - 2, -1, -1))


class GatedUNet(UNet):
    """With a side output at the level above the finest."""

    def __init__(self, base, levels):
        super().__init__(base, levels)
        self.gate = nn.ModuleList(AttentionGate(base << k) for k in range(levels - 2, -1, -1))
        self.side = nn.ModuleDict({"1": nn.Conv2d(base * 2, 1, 1)})

    def forward(self, x):
        skips, ups = [], []
        for k, d in enumerate(self.down):
            x = d(x)
            if k + 1 < len(self.down):
                skips.append(x)
                x = F.max_pool2d(x, 2)
        for u, g, d in zip(self.up, self.gate, self.dec):
            up = u(x)
            x = d(torch.cat([g(skips.pop(), up), up], 1))
            ups.append(x)
        return (self.out(x), self.side["1"](ups[-2])) if self.training else self.out(x)


class NestedUNet(nn.Module):
    """U-Net++ of three levels, with a side output at node (0, 1)."""

    def __init__(self, base):
        super().__init__()
        c = [base, 2 * base, 4 * base]
        self.down = nn.ModuleList(Block(i, o) for i, o in zip([1] + c[:-1], c))
        up = lambda i: nn.ConvTranspose2d(c[i + 1], c[i], 2, 2)
        node = lambda i, j: Block((j + 1) * c[i], c[i])
        places = {"0": {"1": (0, 1), "2": (0, 2)}, "1": {"1": (1, 1)}}
        self.up = nn.ModuleDict({i: nn.ModuleDict({j: up(at[0]) for j, at in row.items()}) for i, row in places.items()})
        self.node = nn.ModuleDict({i: nn.ModuleDict({j: node(*at) for j, at in row.items()}) for i, row in places.items()})
        self.side = nn.ModuleDict({"1": nn.Conv2d(base, 1, 1)})
        self.out = nn.Conv2d(base, 1, 1)

    def forward(self, x):
        at = lambda i, j, skips, below: self.node[i][j](torch.cat([*skips, self.up[i][j](below)], 1))
        x00 = self.down[0](x)
        x10 = self.down[1](F.max_pool2d(x00, 2))
        x20 = self.down[2](F.max_pool2d(x10, 2))
        x01 = at("0", "1", [x00], x10)
        x11 = at("1", "1", [x10], x20)
        x02 = at("0", "2", [x00, x01], x11)
        return (self.out(x02), self.side["1"](x01)) if self.training else self.out(x02)


class ClassifierA(nn.Module):
    def __init__(self, widths, dense):
        super().__init__()
        self.conv = nn.ModuleList(conv(i, o, True) for i, o in zip([1] + widths[:-1], widths))
        self.bn = nn.ModuleList(bn(o) for o in widths)
        self.dense, self.out = nn.Linear(widths[-1], dense), nn.Linear(dense, 1)

    def forward(self, x):
        for c, b in zip(self.conv, self.bn):
            x = b(F.max_pool2d(F.relu(c(x)), 2))
        return self.out(F.relu(self.dense(x.mean((2, 3)))))[:, 0]


class Pair(nn.Module):
    def __init__(self, i, o):
        super().__init__()
        self.conv1, self.bn1, self.conv2, self.bn2 = conv(i, o, True), bn(o), conv(o, o, True), bn(o)

    def forward(self, x):
        return self.bn2(F.relu(self.conv2(self.bn1(F.relu(self.conv1(x))))))


class ClassifierB(nn.Module):
    def __init__(self, widths, dense):
        super().__init__()
        self.pair = nn.ModuleList(Pair(i, o) for i, o in zip([1] + widths[:-1], widths))
        self.dense, self.out = nn.Linear(widths[-1], dense), nn.Linear(dense, 1)

    def forward(self, x):
        for p in self.pair:
            x = F.max_pool2d(p(x), 2)
        return self.out(F.relu(self.dense(x.mean((2, 3)))))[:, 0]


def bce(z, y, s=None):
    return F.binary_cross_entropy_with_logits(z, y, weight=s)


def dice(z, y):
    p = torch.sigmoid(z)
    return 1 - (2 * (p * y).sum() + 1) / (p.sum() + y.sum() + 1)


def tversky(z, y, alpha=0.3, beta=0.7):
    p = torch.sigmoid(z)
    tp, fp, fn = (p * y).sum(), (p * (1 - y)).sum(), ((1 - p) * y).sum()
    return 1 - (tp + 1) / (tp + alpha * fp + beta * fn + 1)


def focal(z, y, gamma=2.0, alpha=0.25):
    p = torch.sigmoid(z)
    ce = F.binary_cross_entropy_with_logits(z, y, reduction="none")
    pt = p * y + (1 - p) * (1 - y)
    return ((alpha * y + (1 - alpha) * (1 - y)) * (1 - pt) ** gamma * ce).mean()


def both(z, y):
    return 0.5 * bce(z, y) + 0.5 * dice(z, y)


def supervised(outputs, y):
    """The last layer counts 2/3, the side output 1/3, against the mean of the truth over its pixels."""
    z, side = outputs
    return (2 * both(z, y) + both(side, F.avg_pool2d(y, y.shape[-1] // side.shape[-1]))) / 3


def flat(outputs):
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    return outputs[0] if len(outputs) == 1 else torch.cat([z.flatten() for z in outputs])


def save(name, arrays):
    OUT.mkdir(parents=True, exist_ok=True)
    save_file({k: np.ascontiguousarray(v, dtype=np.float32) for k, v in arrays.items()}, OUT / f"{name}.safetensors")


def named(prefix, net, only=""):
    return {f"{prefix}.{k}": v.detach().numpy().astype(np.float32) for k, v in net.state_dict().items() if only in k and "num_batches" not in k}


def golden(name, net, x, y, loss, extra):
    g = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for k, v in net.state_dict().items():
            if k.endswith("running_mean"):
                v.copy_(torch.randn(v.shape, generator=g) * 0.1)
            elif k.endswith("running_var"):
                v.copy_(torch.rand(v.shape, generator=g) + 0.5)
            elif "bn" in k and k.endswith(("weight", "bias")):
                v.add_(torch.randn(v.shape, generator=g) * 0.2)
    arrays = {"x": x.numpy(), "y": y.numpy(), **extra, **named("w", net)}
    net = net.double()
    x, y = x.double(), y.double()
    start = {k: v.clone() for k, v in net.state_dict().items()}
    net.eval()
    with torch.no_grad():
        arrays["eval_logits"] = net(x).numpy()
    net.train()
    z = net(x)
    arrays["train_logits"] = flat(z).detach().numpy()
    value = loss(z, y)
    value.backward()
    arrays["loss"] = np.array([value.item()])
    arrays |= {f"g.{k}": p.grad.numpy() for k, p in net.named_parameters()}
    arrays |= named("r", net, "running")
    net.load_state_dict(start)
    opt = torch.optim.Adam(net.parameters(), 1e-3, betas=(0.9, 0.999), eps=1e-7)
    losses = []
    for _ in range(10):
        opt.zero_grad()
        value = loss(net(x), y)
        value.backward()
        opt.step()
        losses.append(value.item())
    arrays["losses"] = np.array(losses)
    arrays |= named("a", net)
    save(name, arrays)


def main():
    torch.manual_seed(1)
    x = torch.rand(2, 1, 32, 32)
    y = (F.avg_pool2d(x, 5, 1, 2) > 0.5).float()
    golden("unet", UNet(4, 3), x, y, both, {})
    state = torch.get_rng_state()
    golden("unet_residual", ResidualUNet(4, 3), x, y, both, {})
    torch.manual_seed(2)  # no value so near to a kink that rounding decides about ten steps
    golden("unet_gated", GatedUNet(4, 3), x, y, supervised, {})
    golden("unet_nested", NestedUNet(4), x, y, supervised, {})
    torch.set_rng_state(state)
    x = torch.randn(4, 1, 32, 32)  # of both signs: a ReLU that is always open lets the batch norm cancel its bias
    y = torch.tensor([0.0, 1.0, 1.0, 0.0])
    s = torch.tensor([0.7, 1.6, 1.6, 0.7])
    weighted = lambda z, y: bce(z, y, s.double())
    golden("classifier_a", ClassifierA([4, 4, 8, 8], 8), x, y, weighted, {"s": s.numpy()})
    golden("classifier_b", ClassifierB([4, 4, 8], 8), x, y, weighted, {"s": s.numpy()})
    z = (torch.randn(3, 1, 8, 8) * 4).double()
    z.view(-1)[:4] = torch.tensor([60.0, -60.0, 120.0, -120.0])
    z = z.float().double()
    y = (torch.rand(3, 1, 8, 8) > 0.6).double()
    s = torch.tensor([0.5, 2.0, 1.0]).double()
    arrays = {"z": z.numpy(), "y": y.numpy(), "s": s.numpy()}
    for name, f in dict(bce=bce, dice=dice, bce_dice=both, tversky=tversky, focal=focal,
                        bce_weighted=lambda z, y: bce(z, y, s[:, None, None, None].expand_as(z))).items():
        t = z.clone().requires_grad_()
        value = f(t, y)
        value.backward()
        arrays[name], arrays[f"d_{name}"] = np.array([value.item()]), t.grad.numpy()
    save("losses", arrays)


main()
