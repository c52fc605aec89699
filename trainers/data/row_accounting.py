"""Rows in = rows used + listed drops, at every stage."""


class RowAccount:
    """Counts what became of each row that a stage was given."""

    def __init__(self, rows_in: int) -> None:
        self.rows_in = rows_in
        self.drops: dict[str, int] = {}
        self.notes: dict[str, float] = {}

    def drop(self, reason: str, rows: int = 1) -> None:
        """Counts rows that are not used; the reason becomes the metric `dropped_<reason>`."""
        self.drops[reason] = self.drops.get(reason, 0) + rows

    def note(self, name: str, amount: float) -> None:
        """A further metric that is not a drop."""
        self.notes[name] = float(amount)

    def close(self, rows_used: int) -> dict[str, float]:
        """The metrics rows_in, rows_used and dropped_*.

        Raises:
            AssertionError: rows have gone missing without a word, which is a bug.
        """
        lost = self.rows_in - rows_used - sum(self.drops.values())
        if lost:
            raise AssertionError(
                f"{lost} of {self.rows_in} rows vanished: {rows_used} used, drops {self.drops}"
            )
        drops = {f"dropped_{reason}": float(rows) for reason, rows in sorted(self.drops.items())}
        return {"rows_in": float(self.rows_in), "rows_used": float(rows_used), **drops, **self.notes}
