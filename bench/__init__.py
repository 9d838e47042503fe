"""The benchmark: how fast and in how much memory flow logs land, beside other ways to do it.

Belongs here: what is measured, on what, against whom, and the table of it. Nothing that the
pipeline itself uses; the package is run from a checkout, as `python -m bench`.
"""
