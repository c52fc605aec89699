"""The prediction as people read it."""

from typing import Any

from rlp_bench.display import duration, short, show, table
from rlp_bench.plan.estimate.advice import advise
from rlp_bench.plan.estimate.estimate import Needs, Prediction
from rlp_bench.plan.graph import Plan

COLUMNS = [
    "stage", ">devices", ">trained", ">weights", ">optimizer", ">activations", ">KV cache", ">a device", "at", "fits",
    ">tokens", ">FLOPs", ">time", ">cost",
]  # fmt: skip


def show_prediction(plan: Plan, prediction: Prediction) -> None:
    """Prints the table, what does not fit and what would help, and what the numbers assume."""
    if prediction.shape is None:
        why = f": {prediction.problem}" if prediction.problem else "; no trainer says what it does"
        show(f"Memory, time and cost are not predicted{why}.")
        return
    rows = [_row(label, needs) for label, needs in prediction.stages.items()]
    if rows:
        show(table(_title(prediction), COLUMNS, rows))
    for label, needs in prediction.stages.items():
        if needs is not None and needs.fits is False:
            show(_does_not_fit(plan, prediction, label, needs))
    show(*_notes(prediction))


def as_json(plan: Plan, prediction: Prediction) -> dict[str, Any]:
    """The same as plain values."""
    device = prediction.device
    return {
        "shape": None if prediction.shape is None else prediction.shape.source,
        "parameters": None if prediction.shape is None else prediction.shape.parameters,
        "problem": prediction.problem,
        "accelerator": None if device is None else device.name,
        "memory_bytes": None if device is None else device.memory,
        "usable_bytes": None if device is None else device.room,
        "devices": prediction.devices,
        "price_per_hour": prediction.price,
        "prompt_tokens": prediction.lengths.prompt,
        "response_tokens": prediction.lengths.response,
        "seconds": prediction.seconds,
        "cost": prediction.cost,
        "stages": {
            label: None
            if needs is None
            else {**needs.json(), "changes": [change.json() for change in advise(plan, prediction, label)]}
            for label, needs in prediction.stages.items()
        },
    }


def _title(prediction: Prediction) -> str:
    assert prediction.shape is not None
    device = prediction.device
    where = "no accelerator named" if device is None else f"{prediction.devices} x {device.name}"
    return f"predicted: {prediction.shape.source}, {short(prediction.shape.parameters)} parameters, {where}"


def _row(label: str, needs: Needs | None) -> list[str]:
    if needs is None:
        return [label, *[""] * 8, "its trainer does not say what it does", *[""] * 4]
    memory, amount = needs.memory, needs.amount
    tokens = amount.trained + amount.read + amount.written
    parts = [
        max(getattr(moment, part) for moment in needs.moments)
        for part in ("weights", "optimizer", "activations", "cache")
    ]
    return [
        label,
        str(needs.setup.devices),
        short(needs.trained) if needs.trained else "",
        *[gigabytes(part) if part else "" for part in parts],
        gigabytes(memory.total) if memory.total else "",
        memory.moment,
        {True: "yes", False: "no", None: "unknown"}[needs.fits],
        short(tokens) if tokens else "",
        f"{amount.flops:.2g}" if amount.flops else "",
        duration(needs.seconds.total if needs.seconds else None),
        money(needs.cost),
    ]


def _does_not_fit(plan: Plan, prediction: Prediction, label: str, needs: Needs) -> str:
    """One line with what would help, each with the memory that it leads to."""
    assert prediction.device is not None
    changes = advise(plan, prediction, label)
    tried = "; ".join(
        f"{change.what}: {gigabytes(change.total)}{', fits' if change.fits else ''}" for change in changes
    )
    return (
        f"{label} does not fit: needs {gigabytes(needs.memory.total)} a device ({needs.memory.moment}), has "
        f"{gigabytes(prediction.device.room)}; try: {tried or 'a device with more memory'}"
    )


def _notes(prediction: Prediction) -> list[str]:
    """What has to be known to read the table."""
    lengths, limits = prediction.lengths, prediction.limits
    assumed = "as long as allowed" if lengths == limits else "of --lengths"
    notes = [
        "Memory of a device: the most of each kind, and of all at the worst moment (load, write, read, train, update).",
        f"Time for prompts of {lengths.prompt:g} and responses of {lengths.response:g} tokens ({assumed}), memory for "
        f"{limits.prompt:g} and {limits.response:g}. Rows that a stage makes are taken to be all it could.",
    ]
    device = prediction.device
    if device is None:
        return [
            *notes,
            'Whether it fits, time and cost are unknown: name a device, compute.accelerator = "...".',
        ]
    if prediction.seconds is not None:
        held = f"{prediction.devices} device{'s' if prediction.devices > 1 else ''}"
        price = "no price stated" if prediction.price is None else f"${prediction.price:g} a device-hour"
        notes.append(
            f"Together {duration(prediction.seconds)} on {held}: {money(prediction.cost)} ({price}); loading, saving, "
            "judging and evaluation are not in it."
        )
    notes.append(
        f"Of {device.name}: {device.share:.0%} of its FLOP/s and {device.bandwidth_share:.0%} of its bandwidth are "
        "taken to be reached; docs/scale.md says where that is from."
    )
    return notes


def gigabytes(count: float) -> str:
    """`27.0 GB`; megabytes below one."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def money(dollars: float | None) -> str:
    """`$12.30`; `unknown` for None."""
    return "unknown" if dollars is None else f"${dollars:,.2f}"
