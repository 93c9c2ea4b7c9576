"""report.html of runs on point clouds, and its pictures."""
