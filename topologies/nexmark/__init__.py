"""Nexmark: queries over the stream of an auction house, as databases and stream processors are measured by.

One topology per query, ``q0`` to ``q8``, each reading the topic ``nexmark.events`` that
:mod:`topologies.nexmark.generator` makes. What each query takes its words to mean is in its module.
"""
