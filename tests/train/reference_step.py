"""Whole training steps in PyTorch from the formulas: micro-steps, LARC or SGD, prototype rules, queue, schedule.

Takes the same named arrays as step_driver.c and gives the same names back, so that the two can be compared one by one.
"""
import math

import numpy as np
import torch

from reference_model import BatchNorm, Network, cross_entropy, sinkhorn, swapped_prediction


def schedule_rate(step, steps, start, peak, end, warmup_fraction=None, warmup_steps=0, shape="cosine",
                  cosine_from_run=True, milestones=(), gamma=0.1):
    """As released: the cosine sees the share of the whole run, so the rate drops a little after warm-up. fvcore ends an
    interval a millionth of the run early, so that a warm-up share that means a whole step ends on that step."""
    where = step / steps
    warmup = warmup_steps / steps if warmup_fraction is None else warmup_fraction
    in_warmup = step < warmup_steps if warmup_fraction is None else where + 1e-6 < warmup_fraction
    if in_warmup:
        return start + (peak - start) * where / warmup
    if shape == "constant":
        return peak
    if shape == "step":
        return peak * gamma ** sum(where >= m for m in milestones)
    if not cosine_from_run:
        where = max(0, (where - warmup) / (1 - warmup))
    return end + 0.5 * (peak - end) * (1 + math.cos(math.pi * where))


def update_parameter(case, parameter, gradient, velocity, rate):
    """One update in place. 1-D parameters are excluded from decay and LARC when the case says so."""
    plain = not case.decay_norm_and_bias and parameter.dim() == 1
    decay = 0.0 if plain else case.weight_decay
    if case.optimizer == "larc" and not plain:
        parameter_norm, gradient_norm = parameter.norm(), gradient.norm()
        if parameter_norm != 0 and gradient_norm != 0:
            ratio = case.trust * parameter_norm / (gradient_norm + decay * parameter_norm + case.larc_epsilon)
            if case.clip:
                ratio = torch.clamp(ratio / rate, max=1)
            gradient = (gradient + decay * parameter) * ratio
    else:
        gradient = gradient + decay * parameter
    velocity.mul_(case.momentum).add_(gradient)
    direction = gradient + case.momentum * velocity if case.nesterov else velocity
    parameter.sub_(rate * direction)


class Trainer:
    def __init__(self, case, state, dtype):
        self.case, self.dtype = case, dtype
        self.network = Network(case).to(dtype)
        self.parameters = dict(self.network.named_parameters())
        self.statistics = {name: tensor for name, tensor in self.network.named_buffers()}
        self.velocities, self.queue = {}, None
        with torch.no_grad():
            for name, tensor in {**self.parameters, **self.statistics}.items():
                tensor.copy_(torch.from_numpy(state[name].copy()))
        for name in self.parameters:
            self.velocities[name] = torch.from_numpy(state[name + ".velocity"].copy()).to(dtype)
        if case.queue:
            self.queue = [torch.from_numpy(state[f"queue.{i}"].copy()).to(dtype) for i in range(case.assign_crops)]

    def images(self, pixels, mean, std):
        x = torch.from_numpy(pixels.copy()).to(self.dtype).permute(0, 3, 1, 2) / 255
        return (x - x.new_tensor(mean).view(1, 3, 1, 1)) / x.new_tensor(std).view(1, 3, 1, 1)

    def swav_loss(self, groups, queue_active):
        case = self.case
        embedding, scores = self.network(groups)
        micro_batch = case.batch // case.accumulate
        per_crop = list(scores.split(micro_batch))
        codes = []
        with torch.no_grad():
            for i in range(case.assign_crops):
                queue_scores = None
                if self.queue is not None and queue_active:
                    queue_scores = self.queue[i] @ self.network.prototypes.weight.t()
                codes.append(sinkhorn(per_crop[i], queue_scores, case.epsilon, case.iterations, case.hard))
                if self.queue is not None:
                    rows = embedding[i * micro_batch:(i + 1) * micro_batch]
                    self.queue[i] = torch.cat([rows, self.queue[i][:-micro_batch]])
        return swapped_prediction(per_crop, codes, case.temperature), sum(code.sum(0) for code in codes)

    def micro_step(self, pixels, labels, queue_active):
        groups = [self.images(group, self.case.mean, self.case.std) for group in pixels]
        if self.case.classes:
            logits = self.network(groups)  # crop-major: each crop has its picture's label
            repeated = torch.from_numpy(labels.copy()).long().repeat(len(logits) // len(labels))
            loss, usage = cross_entropy(logits, repeated, self.case.label_smoothing), None
        else:
            loss, usage = self.swav_loss(groups, queue_active)
        gradients = torch.autograd.grad(loss, list(self.parameters.values()))
        return loss.detach(), usage, dict(zip(self.parameters, gradients))

    def update(self, gradients, rate, prototypes_active):
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                if name == "prototypes.weight" and not prototypes_active:
                    continue
                update_parameter(self.case, parameter, gradients[name], self.velocities[name], rate)
            if not self.case.classes:
                rows = self.parameters["prototypes.weight"]
                rows.div_(rows.norm(dim=1, keepdim=True))

    def state(self):
        named = {**self.parameters, **self.statistics}
        named.update({name + ".velocity": tensor for name, tensor in self.velocities.items()})
        if self.queue is not None:
            named.update({f"queue.{i}": tensor for i, tensor in enumerate(self.queue)})
        return {name: tensor.detach().double().numpy().copy() for name, tensor in named.items()}


def run_steps(case, inputs, dtype=torch.float64):
    """The outputs of step_driver.c for `inputs`, in `dtype`."""
    trainer = Trainer(case, {k[6:]: v for k, v in inputs.items() if k.startswith("state/")}, dtype)
    outputs = {}
    if "features/images" in inputs:
        trainer.network.eval()
        with torch.no_grad():
            images = trainer.images(inputs["features/images"], case.mean, case.std)
            outputs["features"] = trainer.network.features(images).double().numpy()
        trainer.network.train()
    for step in range(int(inputs["steps"][0])):
        rate, prototypes_active, queue_active = (float(v) for v in inputs[f"step/{step}/scalars"])
        total = None
        for micro in range(case.accumulate):
            prefix = f"step/{step}/micro/{micro}"
            pixels = [inputs[f"{prefix}/images/{g}"] for g in range(len(case.crops))]
            loss, usage, gradients = trainer.micro_step(pixels, inputs.get(f"{prefix}/labels"), queue_active)
            outputs[f"{prefix}/loss"] = loss.double().numpy().reshape(1)
            if usage is not None:
                outputs[f"{prefix}/usage"] = usage.double().numpy()
            part = {name: g / case.accumulate for name, g in gradients.items()}
            total = part if total is None else {name: total[name] + g for name, g in part.items()}
        outputs.update({f"step/{step}/gradient/{name}": g.double().numpy() for name, g in total.items()})
        trainer.update(total, rate, prototypes_active)
        outputs.update({f"step/{step}/state/{name}": v for name, v in trainer.state().items()})
    return outputs


def settle_statistics(case, inputs):
    """Sets running statistics to those of the evaluation pictures: deep networks with random ones blow up."""
    trainer = Trainer(case, {k[6:]: v for k, v in inputs.items() if k.startswith("state/")}, torch.float64)
    for module in trainer.network.modules():
        if isinstance(module, BatchNorm):
            module.momentum = 1
    with torch.no_grad():
        trainer.network.features(trainer.images(inputs["features/images"], case.mean, case.std))
    inputs.update({f"state/{name}": tensor.numpy().astype("<f4") for name, tensor in trainer.statistics.items()})


def zero_gradients(case):
    return Network(case).biases_before_norm()
