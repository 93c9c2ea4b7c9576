"""``report.html`` of runs on series, and its pictures."""
