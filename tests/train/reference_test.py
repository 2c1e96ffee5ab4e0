"""Judges the reference itself: against torchvision's model, finite differences, torch.optim, and published numbers."""
import dataclasses
import unittest

import numpy as np
import torch
import torch.nn.functional as F
from torchvision.models.regnet import BlockParams, RegNet

from cases import CASES, Case, find_case, step_inputs
from reference_model import Network, Relu, cross_entropy, sinkhorn, swapped_prediction
from reference_step import Trainer, run_steps, schedule_rate, update_parameter


def reference_shapes(case):
    network = Network(case)
    shapes = {name: tuple(p.shape) for name, p in network.named_parameters()}
    shapes.update({name + ".velocity": shape for name, shape in list(shapes.items())})
    shapes.update({name: tuple(b.shape) for name, b in network.named_buffers()})
    if case.queue:
        shapes.update({f"queue.{i}": (case.queue, case.head[-1]) for i in range(case.assign_crops)})
    return shapes


class Model(unittest.TestCase):
    def test_trunk_is_torchvisions(self):
        for family in ("regnetx", "regnety"):
            case = Case("torchvision", family=family, classes=7, strides=(2, 2, 2), bottleneck=1.0)
            inputs = step_inputs(case, reference_shapes(case))
            own = Trainer(case, {k[6:]: v for k, v in inputs.items() if k.startswith("state/")}, torch.float64).network
            blocks = BlockParams(list(case.depths), list(case.widths), list(case.group_widths), [1.0] * 3, [2, 2, 2],
                                 case.se_ratio if family == "regnety" else None)
            theirs = RegNet(blocks, num_classes=case.classes, stem_width=case.stem_width).double()
            missing = theirs.load_state_dict(own.state_dict(), strict=False)
            self.assertEqual([k for k in missing.missing_keys if "num_batches" not in k], [])
            self.assertEqual(missing.unexpected_keys, [])
            images = torch.randn(5, 3, 64, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
            labels = torch.tensor([0, 6, 3, 2, 2])
            losses = [F.cross_entropy(theirs(images), labels, label_smoothing=0.1),
                      cross_entropy(own([images]), labels, 0.1)]
            self.assertLess(abs(losses[0] - losses[1]), 1e-12)
            for loss in losses:
                loss.backward()
            other = dict(theirs.named_parameters())
            for name, parameter in own.named_parameters():
                self.assertLess((parameter.grad - other[name].grad).norm(), 1e-10 * (1 + parameter.grad.norm()), name)
            other = dict(theirs.named_buffers())
            for name, buffer in own.named_buffers():
                self.assertLess((buffer - other[name]).abs().max(), 1e-12, name)

    def test_gradient_is_the_losss_slope(self):
        for name in ("y_two_size_groups", "x_deep_head_plain", "supervised_smoothing"):
            # codes are constants of the gradient: hard codes do not move under small steps
            case = dataclasses.replace(find_case(name), hard=True)
            inputs = step_inputs(case, reference_shapes(case))
            state = {k[6:]: v for k, v in inputs.items() if k.startswith("state/")}
            pixels = [inputs[f"step/0/micro/0/images/{g}"] for g in range(len(case.crops))]
            labels = inputs.get("step/0/micro/0/labels")
            trainer = Trainer(case, state, torch.float64)
            _, _, gradients = trainer.micro_step(pixels, labels, False)
            generator = torch.Generator().manual_seed(5)
            direction = {n: torch.randn(g.shape, generator=generator, dtype=torch.float64)
                         for n, g in gradients.items()}
            slope = sum((gradients[n] * d).sum() for n, d in direction.items())
            step, losses = 1e-9, []  # small: no ReLU may change sides
            for sign in (1, -1):
                moved = Trainer(case, state, torch.float64)
                with torch.no_grad():
                    for n, d in direction.items():
                        moved.parameters[n].add_(sign * step * d)
                losses.append(moved.micro_step(pixels, labels, False)[0])
            numeric = (losses[0] - losses[1]) / (2 * step)
            self.assertLess(abs(numeric - slope), 1e-6 * (1 + abs(slope)), name)


class Losses(unittest.TestCase):
    def test_sinkhorn_marginals(self):
        scores = torch.randn(12, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
        codes = sinkhorn(scores, None, 0.5, 500, False)
        self.assertLess((codes.sum(1) - 1).abs().max(), 1e-12)
        self.assertLess((codes.sum(0) - 12 / 5).abs().max(), 1e-9)

    def test_sinkhorn_by_plain_loops(self):
        random = np.random.default_rng(2)
        scores, queue = random.standard_normal((3, 4)), random.standard_normal((5, 4))
        rows = np.concatenate([scores, queue])
        q = [[np.exp(rows[b, k] / 0.3) for b in range(8)] for k in range(4)]
        for _ in range(4):
            for k in range(4):
                total = sum(q[k])
                q[k] = [v / total / 4 for v in q[k]]
            for b in range(8):
                total = sum(q[k][b] for k in range(4))
                for k in range(4):
                    q[k][b] /= total * 8
        expected = np.array(q).T[:3] * 8
        got = sinkhorn(torch.from_numpy(scores), torch.from_numpy(queue), 0.3, 4, False).numpy()
        np.testing.assert_allclose(got, expected, rtol=1e-12)

    def test_swapped_prediction_by_plain_loops(self):
        random = np.random.default_rng(3)
        scores = random.standard_normal((4, 3, 5))
        codes = random.random((2, 3, 5))
        total = 0
        for i in range(2):
            for v in range(4):
                if v == i:
                    continue
                for b in range(3):
                    logits = scores[v, b] / 0.1
                    log_sum = np.log(np.exp(logits - logits.max()).sum()) + logits.max()
                    total -= sum(codes[i, b, k] * (logits[k] - log_sum) for k in range(5)) / 3 / 3 / 2
        got = swapped_prediction([torch.from_numpy(s) for s in scores], [torch.from_numpy(c) for c in codes], 0.1)
        self.assertAlmostEqual(got.item(), total, places=12)

    def test_cross_entropy(self):
        logits = torch.randn(6, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
        labels = torch.tensor([0, 8, 3, 3, 1, 2])
        for smoothing in (0, 0.1, 0.5):
            self.assertLess(abs(cross_entropy(logits, labels, smoothing) -
                                F.cross_entropy(logits, labels, label_smoothing=smoothing)), 1e-12)


class Optimizers(unittest.TestCase):
    def test_sgd_is_torchs(self):
        for nesterov in (False, True):
            case = Case("sgd", optimizer="sgd", nesterov=nesterov, weight_decay=0.1)
            generator = torch.Generator().manual_seed(6)
            own = torch.randn(3, 4, dtype=torch.float64, generator=generator)
            theirs = own.clone().requires_grad_()
            optimizer = torch.optim.SGD([theirs], 0.1, 0.9, weight_decay=0.1, nesterov=nesterov)
            velocity = torch.zeros_like(own)
            for _ in range(4):
                gradient = torch.randn(3, 4, dtype=torch.float64, generator=generator)
                theirs.grad = gradient
                optimizer.step()
                update_parameter(case, own, gradient, velocity, 0.1)
            self.assertLess((own - theirs).abs().max(), 1e-14)

    def test_larc_by_plain_loop(self):
        random = np.random.default_rng(7)
        for clip in (False, True):
            case = Case("larc", clip=clip, weight_decay=0.01, trust=0.02)
            p, v = random.standard_normal(6), np.zeros(6)
            own, velocity = torch.from_numpy(p.copy()), torch.zeros(6, dtype=torch.float64)
            for rate in (0.5, 0.001, 2.0):
                g = random.standard_normal(6)
                update_parameter(case, own, torch.from_numpy(g), velocity, rate)
                norm_p, norm_g = np.sqrt(sum(p * p)), np.sqrt(sum(g * g))
                ratio = 0.02 * norm_p / (norm_g + 0.01 * norm_p + 1e-8)
                if clip:
                    ratio = min(ratio / rate, 1)
                for i in range(6):
                    v[i] = 0.9 * v[i] + (g[i] + 0.01 * p[i]) * ratio
                    p[i] -= rate * v[i]
                np.testing.assert_allclose(own.numpy(), p, rtol=1e-13)

    def test_larc_leaves_zero_norms_alone(self):
        case = Case("larc", weight_decay=0.5)
        zero, velocity = torch.zeros(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)
        update_parameter(case, zero, torch.ones(3, dtype=torch.float64), velocity, 0.1)
        np.testing.assert_allclose(zero.numpy(), -0.1 * np.ones(3), rtol=1e-15)
        still, velocity = torch.ones(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)
        update_parameter(case, still, torch.zeros(3, dtype=torch.float64), velocity, 0.1)
        np.testing.assert_array_equal(still.numpy(), np.ones(3))

    def test_schedule_of_the_10b_run(self):
        steps, warmup = 126008, 0.043648
        values = [schedule_rate(s, steps, 0.15, 9.3, 0.0093, warmup) for s in (0, 5499, 5500, steps)]
        self.assertEqual(values[0], 0.15)
        self.assertAlmostEqual(values[1], 9.3 - 9.15 / 5500, places=3)
        self.assertAlmostEqual(values[2], 9.256, places=3)
        self.assertAlmostEqual(values[3], 0.0093, places=12)
        from_warmup = schedule_rate(5501, steps, 0.15, 9.3, 0.0093, warmup, cosine_from_run=False)
        self.assertAlmostEqual(from_warmup, 9.3, places=6)


class Steps(unittest.TestCase):
    def test_every_case_moves_what_it_should(self):
        for case in CASES:
            if case.name == "regnety_400mf" or case.precision != "fp32":
                continue
            inputs = step_inputs(case, reference_shapes(case))
            Relu.nearest = float("inf")
            outputs = run_steps(case, inputs)
            self.assertGreater(Relu.nearest, 4e-6, f"{case.name}: choose another seed")
            for name in Network(case).state_dict():
                frozen = name == "prototypes.weight" and case.frozen_steps > 0
                moved = not np.allclose(outputs[f"step/0/state/{name}"], inputs[f"state/{name}"], rtol=1e-6, atol=1e-9)
                self.assertEqual(moved, not frozen, f"{case.name} {name}")
            self.assertTrue(all(np.isfinite(v).all() for v in outputs.values()), case.name)

    def test_frozen_prototypes_stay(self):
        case = find_case("frozen_prototypes")
        inputs = step_inputs(case, reference_shapes(case))
        outputs = run_steps(case, inputs)
        name = "prototypes.weight"
        np.testing.assert_allclose(outputs[f"step/1/state/{name}"], inputs[f"state/{name}"], atol=1e-6)
        np.testing.assert_array_equal(outputs[f"step/1/state/{name}.velocity"], inputs[f"state/{name}.velocity"])
        self.assertGreater(np.abs(outputs[f"step/2/state/{name}"] - inputs[f"state/{name}"]).max(), 1e-5)


if __name__ == "__main__":
    unittest.main()
