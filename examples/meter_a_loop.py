"""A loop of one's own: joules and grams while it runs, phases, a record, a stop at a budget.

python examples/meter_a_loop.py
greenbench export runs --to codecarbon
"""

from greenbench.integrations.session import EnergySession


def step(batch: int) -> float:
    """Stand in for a training step."""
    return sum(i * batch for i in range(20_000)) / 1e9


with EnergySession(region="FRA", seconds=30, record="runs", label="loop") as energy:
    assert energy.meter is not None
    energy.phase("train")
    energy.meter.declare(loss="lower")
    for number, batch in enumerate(energy.steps(range(200)), start=1):
        loss = step(batch)
        if number % 100 == 0:
            energy.meter.log(step=number, loss=loss)
            print(number, loss, energy.figures())
    energy.phase("evaluate")
    step(1)

for phase in energy.meter.phases:
    print(phase.path, phase.joules(), "J")
