"""Synthetic series, made as they are asked for and never stored."""

from tsrep.datasets.synthetic.corpus import SyntheticCorpus

__all__ = ["SyntheticCorpus"]
