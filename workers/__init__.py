"""The workers of the reference fleet: one module per kind of pod, naming the topologies it runs."""
