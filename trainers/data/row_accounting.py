"""Row accounting of a stage: rows in = rows used + rows dropped by reason."""


class RowAccount:
    """Counts the input rows of a stage that were dropped, by reason."""

    def __init__(self, rows_in: int) -> None:
        self.rows_in = rows_in
        self.drops: dict[str, int] = {}
        self.notes: dict[str, float] = {}

    def drop(self, reason: str, rows: int = 1) -> None:
        """Counts dropped rows; the reason becomes the metric `dropped_<reason>`."""
        self.drops[reason] = self.drops.get(reason, 0) + rows

    def note(self, name: str, amount: float) -> None:
        """Adds a metric that is not a drop."""
        self.notes[name] = float(amount)

    def count(self, name: str, amount: int = 1) -> None:
        """Adds to a metric that is not a drop; it is absent where nothing was counted."""
        if amount:
            self.notes[name] = self.notes.get(name, 0.0) + amount

    def close(self, rows_used: int) -> dict[str, float]:
        """The metrics rows_in, rows_used and dropped_*.

        Raises:
            AssertionError: rows are unaccounted for, which is a bug.
        """
        lost = self.rows_in - rows_used - sum(self.drops.values())
        if lost:
            raise AssertionError(
                f"{lost} of {self.rows_in} rows are unaccounted for: {rows_used} used, drops {self.drops}"
            )
        drops = {f"dropped_{reason}": float(rows) for reason, rows in sorted(self.drops.items())}
        return {"rows_in": float(self.rows_in), "rows_used": float(rows_used), **drops, **self.notes}
