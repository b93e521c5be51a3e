"""How RocksDB is set up: bounded memory, whatever the number of stores."""

from __future__ import annotations

from rocksdict import BlockBasedIndexType, BlockBasedOptions, Cache, DBCompressionType, Options

from headrace.state.rocksdb_memory import WriteBudget

_BLOOM_BITS = 10  # one false positive in a hundred
_ARENA_BYTES = 64 << 10  # RocksDB's own default, 1 MB a family, would fill the budget with empty families
_OPEN_FILES = 512  # half of the usual limit of a process


class RocksOptions:
    """Makes the options of one database and of its families, which share a cache and a write budget."""

    def __init__(self, block_cache_bytes: int, budget: WriteBudget) -> None:
        """Make the shared parts."""
        self._budget = budget
        table = BlockBasedOptions()
        table.set_block_cache(Cache(block_cache_bytes))
        table.set_bloom_filter(_BLOOM_BITS, block_based=False)
        # Otherwise indexes and filters live outside of the cache and grow with the data.
        table.set_cache_index_and_filter_blocks(True)
        table.set_pin_l0_filter_and_index_blocks_in_cache(True)
        # In parts of 4 KB: the filter of a whole file may not fit into one of the cache's 64 shards, and would then
        # be read anew for every get (measured: 50 us in place of 2).
        table.set_index_type(BlockBasedIndexType.two_level_index_search())
        table.set_partition_filters(True)
        table.set_metadata_block_size(4096)
        table.set_pin_top_level_index_and_filter(True)
        table.set_format_version(5)
        self._table = table

    def make(self) -> Options:
        """Return options for the database or for one family; a family may have half of the write budget."""
        options = Options(raw_mode=True)
        options.create_if_missing(create_if_missing=True)
        options.set_block_based_table_factory(self._table)
        options.set_compression_type(DBCompressionType.lz4())
        options.set_write_buffer_manager(self._budget.manager)
        options.set_write_buffer_size(self._budget.limit // 2)
        options.set_max_write_buffer_number(2)
        options.set_arena_block_size(_ARENA_BYTES)
        options.set_target_file_size_base(16 << 20)
        options.set_max_bytes_for_level_base(64 << 20)
        # Bounds what is replayed at a start, and the disk that rarely written stores hold on to.
        options.set_max_total_wal_size(4 * self._budget.limit)
        options.set_bytes_per_sync(1 << 20)
        options.set_max_open_files(_OPEN_FILES)
        options.set_max_background_jobs(2)
        options.set_keep_log_file_num(2)
        options.set_max_log_file_size(1 << 20)
        options.set_stats_dump_period_sec(0)
        options.set_stats_persist_period_sec(0)
        return options
