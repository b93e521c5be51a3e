"""State: named stores of bytes with atomic writes across them.

:mod:`headrace.state.protocol` says what the engine needs, :mod:`headrace.state.memory` and
:mod:`headrace.state.rocksdb` provide it, :mod:`headrace.state.keys` turns keys into sortable bytes.
Nothing is imported here, so that a program without a data directory never loads RocksDB.
"""
