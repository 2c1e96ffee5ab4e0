"""Compares the outputs of a step with the reference's, tensor by tensor, as relative L2 distances.

Limits for f32 (unit roundoff 6e-8): a gradient is a sum of some thousand terms behind a dozen layers, each of which
multiplies the relative error by a small factor; in small tensors the terms cancel, and PyTorch's own f32 gradients
are off by up to 1.1e-4 in these cases. 3e-4 for each tensor is far below any wrong term; all gradients of a step
together ("gradients") do not cancel and are held to 5e-5. Updates are judged by the change since the start, not by
the parameter, which hides them; the rounding of the parameter itself is allowed for. Biases in front of a BatchNorm
have no gradient but rounding: only its smallness is checked, and LARC, which makes much of a small gradient, may move
them ("noise").
"""
import numpy as np

LIMITS = {"loss": 1e-5, "usage": 1e-4, "features": 1e-4, "gradient": 3e-4, "gradients": 5e-5,
          "parameter": 1e-5, "update": 1e-3, "velocity": 1e-4, "statistic": 1e-5, "queue": 1e-5, "noise": 1e-3}
EXACT_LIMITS = {kind: 1e-8 for kind in LIMITS}
# Of bf16 PyTorch's own distance is the limit (closer_than): single tensors of few values may be anywhere.
NARROW_LIMITS = {kind: float("inf") for kind in LIMITS}
NARROW_KINDS = ("loss", "usage", "features", "gradients", "statistic")


def kind_of(key):
    if "/gradient/" in key:
        return "gradient"
    if "/state/" not in key:
        return key.rsplit("/", 1)[-1]
    name = key.split("/state/")[1]
    if name.endswith(".velocity"):
        return "velocity"
    if name.startswith("queue."):
        return "queue"
    return "statistic" if ".running_" in name else "parameter"


def tensor_of(key):
    name = key.split("/state/")[-1].split("/gradient/")[-1]
    return name[:-len(".velocity")] if name.endswith(".velocity") else name


def distance(got, expected):
    size = np.linalg.norm(expected)
    return np.linalg.norm(got - expected) / size if size > 0 else np.linalg.norm(got)


def compare(got, expected, inputs, zero_gradients=(), limits=LIMITS):
    """Returns {kind: (largest distance, key)} and a list of what is wrong."""
    worst, wrong, squares = {}, [], {}
    rounding = 1e-15 if limits is EXACT_LIMITS else 6e-8

    def judge(kind, key, value, limit):
        if not value <= worst.get(kind, (-1, ""))[0]:
            worst[kind] = (value, key)
        if not value <= limit:
            wrong.append(f"{key}: {kind} off by {value:.2e}, limit {limit:.0e}")

    for key in sorted(set(got) ^ set(expected)):
        wrong.append(f"{key}: only {'emitted' if key in got else 'in the reference'}")
    for key in sorted(set(got) & set(expected)):
        kind, value, right = kind_of(key), got[key].astype(np.float64), expected[key].astype(np.float64)
        if value.shape != right.shape:
            wrong.append(f"{key}: shape {value.shape}, expected {right.shape}")
            continue
        if tensor_of(key) in zero_gradients and kind in ("gradient", "velocity"):
            weight = expected[key.replace(".bias", ".weight")]
            limit = {id(LIMITS): 1e-5, id(NARROW_LIMITS): 5e-2}.get(id(limits), 1e-12)
            if kind == "gradient" and not np.linalg.norm(value) <= limit * np.linalg.norm(weight):
                wrong.append(f"{key}: no gradient expected, norm {np.linalg.norm(value):.2e}")
            continue
        if tensor_of(key) in zero_gradients:
            kind = "noise"
        judge(kind, key, distance(value, right), limits[kind])
        if kind == "gradient":
            step = key.split("/gradient/")[0]
            error, size = squares.get(step, (0, 0))
            squares[step] = error + np.sum((value - right) ** 2), size + np.sum(right ** 2)
        if kind == "parameter":
            start = inputs["state/" + tensor_of(key)].astype(np.float64)
            change, steps = right - start, int(key.split("/")[1]) + 1
            allowed = 2 * steps * rounding * np.linalg.norm(start)
            error = max(0, np.linalg.norm(value - right) - allowed)
            if np.linalg.norm(change) > 0:
                judge("update", key, error / np.linalg.norm(change), limits["update"])
    for step, (error, size) in squares.items():
        judge("gradients", step, np.sqrt(error / size), limits["gradients"])
    return worst, wrong


def closer_than(worst, yardstick, factor=1.2):
    """What is further off than `factor` times the yardstick, of the kinds that do not cancel. A loss is one number,
    which may be near by chance: a rounding of it to bf16 (2^-8) is always allowed."""
    allowed = {kind: max(factor * yardstick[kind][0], 2.0 ** -8 if kind == "loss" else 0)
               for kind in NARROW_KINDS if kind in worst}
    return [f"{kind} off by {worst[kind][0]:.2e}, PyTorch's by {yardstick[kind][0]:.2e}"
            for kind, most in allowed.items() if not worst[kind][0] <= most]


def report(name, worst):
    parts = [f"{kind} {value:.1e}" for kind, (value, _) in sorted(worst.items())]
    return f"{name}: largest distance: " + ", ".join(parts)
