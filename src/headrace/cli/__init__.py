"""The ``headrace`` command: one module per command; what is slow to import is imported when it runs."""
