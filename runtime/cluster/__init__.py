"""The same graph on many machines, over dask.distributed.

The client (:mod:`runtime.cluster.executor`) keeps the plan, the cache and the files. It runs light nodes
itself, and gives the heavy ones to dask as tasks, each to the worker that :mod:`runtime.cluster.placement`
chooses. A worker process (:mod:`runtime.cluster.worker_session`) keeps models in memory, runs one node at a
time, and is asked for what it reports (:mod:`runtime.cluster.link`).

Importing this package or :mod:`runtime.cluster.start` does not import distributed.
"""
