"""Runs that are killed at any moment go on, with the same command, to the same weights.

``python -m tests.crash`` (``make crash``) kills many; ``test_crash.py`` a few.
"""
