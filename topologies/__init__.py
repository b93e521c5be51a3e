"""The topologies of the reference fleet: one module each, with a ``topology`` in it."""
