"""The leaderboard as a table: rows collected from reports, columns, formats."""
