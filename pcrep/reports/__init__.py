"""report.html of a run on points, and its pictures."""
