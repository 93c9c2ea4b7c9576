"""report.html of a run on series, and its pictures."""
