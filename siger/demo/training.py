"""
What a worker does for a demonstration: jobs that really compute, in plain Python, and are over soon.

A training job fits a small neural network (eight inputs, one hidden layer, one output) to generated data by gradient
descent on minibatches, and tells how the loss falls. A data processing job generates rows, standardises them and counts
them into a histogram. An inference job trains a little and then predicts. Whatever parameters say, it ends within some
ten seconds.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Iterator
from typing import Any, Final, Protocol

__all__ = ["Network", "demonstrate", "generate"]

INPUTS: Final = 8
HIDDEN: Final = 8
EXAMPLES: Final = 256
LONGEST: Final = 10.0
"""
Seconds that a training may take; then it is complete with the epochs that it has made.
"""
#: Seconds for an epoch, so that there is something to watch, and between looks whether to go on.
_EPOCH: Final = 0.5
_PACE: Final = 0.05

Example = tuple[list[float], float]


class Job(Protocol):
    """
    What the demonstration needs of a L{JobContext<siger.worker.context.JobContext>}.
    """

    @property
    def type(self) -> str:
        """
        The type of the job.
        """

    @property
    def params(self) -> dict[str, Any]:
        """
        Its parameters.
        """

    async def progress(self, percent: float, message: str = "") -> None:
        """
        Say how far it is.
        """

    async def log(self, line: str, level: str = "info") -> None:
        """
        Keep a line.
        """

    async def check(self) -> None:
        """
        Go no further once the job is to stop.
        """


def generate(count: int, seed: int = 1) -> list[Example]:
    """
    Points whose labels depend on them in a way that no straight line tells.
    """
    source = random.Random(seed)
    examples = []
    for _ in range(count):
        point = [source.gauss(0, 1) for _ in range(INPUTS)]
        inside = point[0] * point[1] + 0.5 * point[2] - 0.3 * point[3] ** 2 + source.gauss(0, 0.1) > 0
        examples.append((point, 1.0 if inside else 0.0))
    return examples


class Network:
    """
    Eight inputs, eight hidden units of tanh, and a probability.
    """

    def __init__(self, seed: int = 1) -> None:
        source = random.Random(seed)
        self._inner = [[source.gauss(0, 0.4) for _ in range(INPUTS)] for _ in range(HIDDEN)]
        self._inner_bias = [0.0] * HIDDEN
        self._outer = [source.gauss(0, 0.4) for _ in range(HIDDEN)]
        self._outer_bias = 0.0

    def _forward(self, point: list[float]) -> tuple[list[float], float]:
        hidden = [
            math.tanh(sum(w * x for w, x in zip(row, point, strict=True)) + bias)
            for row, bias in zip(self._inner, self._inner_bias, strict=True)
        ]
        total = sum(w * h for w, h in zip(self._outer, hidden, strict=True)) + self._outer_bias
        return hidden, 1 / (1 + math.exp(-max(-30.0, min(30.0, total))))

    def predict(self, point: list[float]) -> float:
        """
        How probable a label of 1 is.
        """
        return self._forward(point)[1]

    def learn(self, batch: list[Example], rate: float) -> float:
        """
        One step down the gradient of the cross entropy.

        @return: the loss before it.
        """
        loss = 0.0
        outer, inner = [0.0] * HIDDEN, [[0.0] * INPUTS for _ in range(HIDDEN)]
        outer_bias, inner_bias = 0.0, [0.0] * HIDDEN
        for point, label in batch:
            hidden, guess = self._forward(point)
            loss -= math.log(max(1e-12, guess if label else 1 - guess))
            error = guess - label
            outer_bias += error
            for unit in range(HIDDEN):
                outer[unit] += error * hidden[unit]
                back = error * self._outer[unit] * (1 - hidden[unit] ** 2)
                inner_bias[unit] += back
                for index, value in enumerate(point):
                    inner[unit][index] += back * value
        step = rate / len(batch)
        self._outer_bias -= step * outer_bias
        for unit in range(HIDDEN):
            self._outer[unit] -= step * outer[unit]
            self._inner_bias[unit] -= step * inner_bias[unit]
            for index in range(INPUTS):
                self._inner[unit][index] -= step * inner[unit][index]
        return loss / len(batch)

    def accuracy(self, examples: list[Example]) -> float:
        """
        How many labels it gets right, of all.
        """
        return sum((self.predict(point) > 0.5) == (label > 0.5) for point, label in examples) / len(examples)


async def demonstrate(job: Job) -> dict[str, Any]:
    """
    Handle a job of any type.
    """
    if job.type == "inference":
        return await _infer(job)
    if job.type == "data_processing":
        return await _process(job)
    return await _train(job)


def _number(job: Job, name: str, default: float, low: float, high: float) -> float:
    """
    A parameter within bounds; what is no number means the default.
    """
    value = job.params.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return default
    return min(high, max(low, float(value)))


def _batches(examples: list[Example], size: int, source: random.Random) -> Iterator[list[Example]]:
    shuffled = source.sample(examples, len(examples))
    for start in range(0, len(shuffled), size):
        yield shuffled[start : start + size]


async def _train(job: Job) -> dict[str, Any]:
    """
    Train for C{epochs} with C{batch_size} and C{learning_rate}.
    """
    epochs = int(_number(job, "epochs", 10, 1, 100))
    size = int(_number(job, "batch_size", 32, 1, EXAMPLES))
    # Rates for large models are small ones; this model is small, and wants to get somewhere in few epochs.
    rate = min(1.0, max(0.2, 50 * _number(job, "learning_rate", 0.01, 1e-6, 10.0)))
    network, examples, held_out = Network(), generate(EXAMPLES), generate(EXAMPLES, seed=2)
    await job.log(f"training on {EXAMPLES} examples: {epochs} epochs, batches of {size}, step {rate:g}")
    losses: list[float] = []
    started = time.monotonic()
    for epoch in range(1, epochs + 1):
        losses.append(await _epoch(job, network, examples, size, rate, epoch, min(_EPOCH, 0.8 * LONGEST / epochs)))
        await job.log(f"epoch {epoch}/{epochs}: loss {losses[-1]:.4f}")
        await job.progress(100 * epoch / epochs, f"epoch {epoch} of {epochs}, loss {losses[-1]:.4f}")
        if time.monotonic() - started > LONGEST:
            await job.log(f"stopped after {epoch} epochs, as a demonstration should not take longer", "error")
            break
    return {
        "epochs": len(losses),
        "first_loss": round(losses[0], 6),
        "loss": round(losses[-1], 6),
        "losses": [round(loss, 6) for loss in losses],
        "accuracy": round(network.accuracy(held_out), 4),
    }


async def _epoch(
    job: Job, network: Network, examples: list[Example], size: int, rate: float, epoch: int, seconds: float
) -> float:
    """
    Pass once over all examples, in an order of its own, taking so many seconds at least.
    """
    losses = []
    started = time.monotonic()
    for batch in _batches(examples, size, random.Random(epoch)):
        losses.append(network.learn(batch, rate) * len(batch))
        await job.check()
    await _rest(job, started + seconds)
    return sum(losses) / len(examples)


async def _rest(job: Job, until: float) -> None:
    while (left := until - time.monotonic()) > 0:
        await asyncio.sleep(min(_PACE, left))
        await job.check()


async def _process(job: Job) -> dict[str, Any]:
    """
    Generate C{rows}, standardise them, and count them.
    """
    rows, buckets = int(_number(job, "rows", 20_000, 1, 500_000)), 12
    source, started = random.Random(1), time.monotonic()
    total = squares = 0.0
    values: list[float] = []
    for start in range(0, rows, 1000):
        chunk = [source.lognormvariate(0, 0.5) for _ in range(min(1000, rows - start))]
        values += chunk
        total += sum(chunk)
        squares += sum(value * value for value in chunk)
        await job.progress(70 * len(values) / rows, f"{len(values)} of {rows} rows")
        await _rest(job, started + 4 * _EPOCH * len(values) / rows)
        await job.check()
    mean = total / rows
    deviation = math.sqrt(max(0.0, squares / rows - mean * mean)) or 1.0
    await job.log(f"{rows} rows: mean {mean:.4f}, deviation {deviation:.4f}")
    histogram = [0] * buckets
    for index, value in enumerate(values):
        histogram[max(0, min(buckets - 1, int((value - mean) / deviation * 2) + 3))] += 1
        if index % 1000 == 0:
            await job.progress(70 + 30 * index / rows, "counting")
            await job.check()
    return {"rows": rows, "mean": round(mean, 6), "deviation": round(deviation, 6), "histogram": histogram}


async def _infer(job: Job) -> dict[str, Any]:
    """
    Train briefly, then predict for C{samples} points.
    """
    samples = int(_number(job, "samples", 64, 1, 2000))
    network = Network()
    for epoch in range(1, 6):
        await _epoch(job, network, generate(EXAMPLES), 16, 0.5, epoch, _EPOCH / 2)
        await job.progress(10 * epoch, "warming up")
    points = generate(samples, seed=3)
    answers = []
    for index, (point, _) in enumerate(points):
        answers.append(network.predict(point))
        if index % 50 == 0:
            await job.progress(50 + 50 * index / samples, f"{index} of {samples} predictions")
            await job.check()
    await job.log(f"{samples} predictions")
    return {
        "predictions": [round(answer, 4) for answer in answers[:100]],
        "samples": samples,
        "accuracy": round(network.accuracy(points), 4),
    }
