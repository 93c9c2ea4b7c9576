"""Damaged files for every reader: a value or one line, in ten seconds and four gigabytes.

``python -m tests.fuzz`` (``make fuzz``) spends ten minutes on it; ``test_fuzz.py`` a few inputs.
"""
