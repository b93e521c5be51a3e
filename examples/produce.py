"""Write lines to a Kafka topic, one record each: ``python examples/produce.py TOPIC [FILE] [--key FIELD]``.

A plain producer, with nothing of Headrace: what reads the records does not care who wrote them. Lines are of FILE or
of standard input. ``--key`` is a field of the JSON on the line, such as ``data.order_id``; records of one key keep
their order.
"""

import argparse
import asyncio
import json
import os
import sys
from pathlib import Path

from aiokafka import AIOKafkaProducer

BROKERS = os.environ.get("HEADRACE_BROKERS", "localhost:9092")


def key_of(line: bytes, path: str | None) -> bytes | None:
    """Return the key of a line; None if it has none."""
    if path is None:
        return None
    try:
        value = json.loads(line)
        for name in path.split("."):
            value = value[name]
    except (ValueError, LookupError, TypeError):
        return None
    return str(value).encode()


async def produce(topic: str, lines: list[bytes], key: str | None) -> None:
    """Write the lines."""
    producer = AIOKafkaProducer(bootstrap_servers=BROKERS, compression_type="gzip", linger_ms=20)
    await producer.start()
    try:
        for line in lines:
            await producer.send(topic, line, key=key_of(line, key))
        await producer.flush()
    finally:
        await producer.stop()


def main() -> None:
    """Read the command line and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("topic")
    parser.add_argument("file", nargs="?", type=Path)
    parser.add_argument("--key", metavar="FIELD")
    given = parser.parse_args()
    data = given.file.read_bytes() if given.file else sys.stdin.buffer.read()
    lines = [line for line in data.splitlines() if line]
    asyncio.run(produce(given.topic, lines, given.key))
    sys.stdout.write(f"{len(lines)} records to {given.topic}\n")


if __name__ == "__main__":
    main()
