"""The store of positions: how far each input was read and each task has come, written with every checkpoint."""

from __future__ import annotations

import msgspec

from headrace.state.protocol import Backend, Batch
from headrace.time.instants import START_OF_TIME_MS
from headrace.time.watermark import Channel

POSITIONS = "positions"

_pack, _unpack = msgspec.msgpack.encode, msgspec.msgpack.decode


def task_watermark(backend: Backend, topology: str, agent: str, partition: int) -> int:
    """Return the event time, epoch milliseconds, that a task had reached at the last checkpoint."""
    saved = backend.store(POSITIONS).get(_task_key(topology, agent, partition))
    return _unpack(saved, type=int) if saved else START_OF_TIME_MS


def put_task_watermark(batch: Batch, topology: str, agent: str, partition: int, watermark_ms: int) -> None:
    """Write how far a task has come."""
    batch.put(POSITIONS, _task_key(topology, agent, partition), _pack(watermark_ms))


def restore_channel(backend: Backend, topology: str, channel: Channel) -> bool:
    """Give a channel its position and watermark of the last checkpoint; False: there are none."""
    saved = backend.store(POSITIONS).get(_channel_key(topology, channel))
    if saved is None:
        return False
    channel.position, channel.watermark_ms, channel.floor_ms = _unpack(saved)
    return True


def put_channel(batch: Batch, topology: str, channel: Channel) -> None:
    """Write a channel's position and watermark."""
    value = _pack((channel.position, channel.watermark_ms, channel.floor_ms))
    batch.put(POSITIONS, _channel_key(topology, channel), value)


def _task_key(topology: str, agent: str, partition: int) -> bytes:
    return f"task/{topology}/{agent}/{partition}".encode()


def _channel_key(topology: str, channel: Channel) -> bytes:
    return f"channel/{topology}/{channel.source}/{channel.partition}/{channel.name}".encode()
