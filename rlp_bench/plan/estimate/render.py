"""Renders a prediction as tables, text and JSON."""

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
    """Prints the table, the stages that do not fit with possible changes, and the assumptions."""
    if prediction.shape is None:
        why = f": {prediction.problem}" if prediction.problem else "; no trainer describes its work"
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
    """The prediction as JSON values."""
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
        return [label, *[""] * 8, "its trainer does not describe its work", *[""] * 4]
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
    """One line with the possible changes, each with the resulting memory."""
    assert prediction.device is not None
    changes = advise(plan, prediction, label)
    tried = "; ".join(
        f"{change.what}: {gigabytes(change.total)}{', fits' if change.fits else ''}" for change in changes
    )
    return (
        f"{label} does not fit: needs {gigabytes(needs.memory.total)} per device ({needs.memory.moment}), has "
        f"{gigabytes(prediction.device.room)}; try: {tried or 'a device with more memory'}"
    )


def _notes(prediction: Prediction) -> list[str]:
    """The assumptions behind the table."""
    lengths, limits = prediction.lengths, prediction.limits
    assumed = "the limits" if lengths == limits else "from --lengths"
    notes = [
        "Memory per device: the peak of each kind and of their sum, with its phase (load, write, read, train, update).",
        f"Time for prompts of {lengths.prompt:g} and responses of {lengths.response:g} tokens ({assumed}), memory for "
        f"{limits.prompt:g} and {limits.response:g}. Each stage is assumed to produce its maximum number of rows.",
    ]
    device = prediction.device
    if device is None:
        return [
            *notes,
            'Fit, time and cost are unknown: name a device with compute.accelerator = "...".',
        ]
    if prediction.seconds is not None:
        held = f"{prediction.devices} device{'s' if prediction.devices > 1 else ''}"
        price = "no price given" if prediction.price is None else f"${prediction.price:g} per device-hour"
        notes.append(
            f"Total: {duration(prediction.seconds)} on {held}: {money(prediction.cost)} ({price}), without loading, "
            "saving, judging and evaluation."
        )
    notes.append(
        f"Assumed for {device.name}: {device.share:.0%} of its peak FLOP/s and {device.bandwidth_share:.0%} of its "
        "peak bandwidth; docs/scale.md gives the sources."
    )
    return notes


def gigabytes(count: float) -> str:
    """`27.0 GB`; below one gigabyte in MB."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def money(dollars: float | None) -> str:
    """`$12.30`; `unknown` for None."""
    return "unknown" if dollars is None else f"${dollars:,.2f}"
