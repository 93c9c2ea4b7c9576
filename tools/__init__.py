"""The tools: scripts, each of which reads like the method, and the commands of ``tspcrep``."""
