"""Scripts that each made one table or plot in ``results/``.

They need a checkout and are not part of the installed package. Run one as ``python -m edgeau.benchmarks.studies.NAME``.
"""
