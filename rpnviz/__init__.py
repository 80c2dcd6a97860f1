"""rpnviz: what a Region Proposal Network's trainer does to every ground-truth box, and why."""

__version__ = "0.1.0"
