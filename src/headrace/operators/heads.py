"""Entries of generated code: the loops over records of a source and over rows of an exchange."""

from __future__ import annotations

from collections.abc import Set
from itertools import count, repeat
from typing import TYPE_CHECKING

from headrace.event import REFUSALS, compile_decoder
from headrace.event.dtypes import BYTES, INT, STR, TIMESTAMP, DType, Kind
from headrace.event.schema import default_time
from headrace.operators.clock import any_ms, event_time
from headrace.operators.frame import Frame, Value, type_at
from headrace.operators.keys import key_text
from headrace.operators.traces import traced
from headrace.plan.model import Plan, PlannedStep
from headrace.plan.projection import Path
from headrace.time.instants import MAX_TIME_MS, from_ms, to_ms
from headrace.topology.nodes import Source
from headrace.topology.operator import Port

if TYPE_CHECKING:
    from headrace.operators.generator import Generator

RECORD_TIME = "record time"  # a property of records like those of meta, but without a name there


def source_head(g: Generator, step: PlannedStep, name: str) -> None:
    """Generate the loop over a batch of a source: decode, event time, watermark, then the steps."""
    node = step.node
    if not isinstance(node, Source):
        raise TypeError(name)
    lag, w = node.out_of_orderness_ms, g.writer
    frame, time = _source_frame(g, step, node, name)
    g.names.update(_from_ms=from_ms, _text=_text, _count=count, _repeat=repeat)
    next_time = f"nxt = min(t.next_ms + {lag}, {MAX_TIME_MS + 1})"
    g.refire = next_time
    g.failure = "t.fail(e, ch, records, len(values) - it.__length_hint__() - 1)"
    with w.block(f"def {name}(t, ch, records):"):
        prologue = w.mark()
        w.line("values = records.values")
        w.line(f"mx = max(ch.watermark_ms, ch.floor_ms) + {lag}")
        w.line(next_time)
        w.line("lim = t.watermarks.others(ch)")
        w.line("it = iter(values)")
        w.line("hs = records.headers")
        loop = w.mark()
        with w.block(None), g.guarded():
            _decode(g, name, time)
            with w.block("if ts > mx:"):
                with w.block("if ts >= nxt:"):
                    w.line(f"if ts > {MAX_TIME_MS}: raise _no_{name}(v, ts)")
                    w.line(f"t.fire(ch, ts - {lag})")
                    w.line(next_time)
                w.line("mx = ts")
            g.children(Port(step.id), frame, tail=True)
        w.line(f"ch.watermark_ms = max(ch.watermark_ms, mx - {lag})")
    w.fill(loop, [_loop(frame.used)])
    w.fill(prologue, g.prologue)


def _source_frame(g: Generator, step: PlannedStep, node: Source, name: str) -> tuple[Frame, list[str]]:
    """Compile the decoder; return the frame of its records and the lines that set ``ts``."""
    required = set(g.plan.required.get(Port(step.id), frozenset()))
    envelope = default_time(node.schema) if node.time is None else None
    decoder = compile_decoder(node.schema, required | ({envelope} if envelope else set()), full=node.full_validation)
    g.names.update(decoder.names)
    # several sources may enter one agent, each by its own decoder
    g.names.update({f"_decode_{name}": decoder.decode, f"_recover_{name}": decoder.recover, "_REFUSALS": REFUSALS})
    columns = {path: (decoder.access[path], type_at(step.columns, path)) for path in required}
    frame = Frame(
        schema=step.columns,
        columns=columns,
        time="ts",
        watermark=("mx", node.out_of_orderness_ms),
        bound="lim",
        raw_key="rk",
        raw="v",
        headers="hs",
        metas={
            "time": ("_from_ms(ts)", TIMESTAMP),
            "key": ("_text(rk)", STR.optional()),
            "topic": (repr(node.topic), STR),
            "partition": ("ch.partition", INT),
            "offset": ("off", INT),
        },
    )
    g.names[f"_no_{name}"] = event_time(node, envelope).fault
    if envelope is not None:
        return frame, _time_lines(g, (decoder.access[envelope], TIMESTAMP), name)
    if node.time is not None:
        return frame, _time_lines(g, g.value(node.time, frame), name)
    frame.used.add(RECORD_TIME)
    return frame, ["ts = rt"]


def _time_lines(g: Generator, value: Value, name: str) -> list[str]:
    code, dtype = value
    g.names.update(_to_ms=to_ms, _any_ms=any_ms)
    lines = [f"ts = {code}"]
    if dtype.nullable:
        lines.append(f"if ts is None: raise _no_{name}(v, None)")
    if dtype.kind is Kind.ANY:
        lines.append("ts = _any_ms(ts)")
    elif dtype.kind is not Kind.INT:
        lines.append("ts = _to_ms(ts)")
    return lines


def _text(key: bytes | None) -> str | None:
    return None if key is None else key.decode(errors="replace")


def _decode(g: Generator, name: str, time: list[str]) -> None:
    w = g.writer
    w.line(f"try: r = _decode_{name}(v)")
    w.line(f"except _REFUSALS: r = _recover_{name}(v)")
    for line in time:
        w.line(line)
    w.line(f"if ts < 0: raise _no_{name}(v, ts)")


def _loop(used: Set[str]) -> str:
    """Return the loop's head: it walks only the columns of the batch that its body uses."""
    walks, names = ["it"], ["v"]
    if RECORD_TIME in used:
        names.append("rt")
        walks.append("(records.times if records.times is not None else _repeat(t.now_ms))")
    if "key" in used:
        names.append("rk")
        walks.append("(records.keys if records.keys is not None else _repeat(None))")
    if "offset" in used:
        names.append("off")
        walks.append("(records.offsets if records.offsets is not None else _count(ch.position))")
    if len(names) == 1:
        return "for v in it:"
    return f"for {', '.join(names)} in zip({', '.join(walks)}):"


def exchange_head(g: Generator, step: PlannedStep, name: str) -> None:
    """Generate the loop over rows that other tasks sent: each carries its time, watermark and key."""
    w = g.writer
    paths = exchange_columns(g.plan, step)
    trace = "tr" if step.id in g.traced else None
    fields = ["ts", "w", "b", "k", *(f"x{n}" for n in range(len(paths))), *filter(None, [trace])]
    types = dict(step.columns.fields)
    key = [(f"k{n}", dtype) for n, (_, dtype) in enumerate(step.key)]
    columns: dict[Path, Value] = {p: (f"x{n}", type_at(step.columns, p)) for n, p in enumerate(paths)}
    columns |= {(column,): (code, types[column]) for (column, _), (code, _) in zip(step.key, key, strict=True)}
    g.names.update(_from_ms=from_ms, _key_text=key_text)
    nothing = ("None", STR.optional())
    metas: dict[str, Value] = {"topic": nothing, "partition": nothing, "offset": nothing}
    whole = "k0" if len(key) == 1 else "k"
    metas |= {"time": ("_from_ms(ts)", TIMESTAMP), "key": (f"_key_text({whole})", STR)}
    bound = "(wm if wm < lim else lim)"
    frame = Frame(
        step.columns, columns, "ts", ("own", 0), bound, key=tuple(key), key_code=whole, trace=trace, metas=metas
    )
    g.refire = "nxt = t.next_ms"
    shown = ", ".join(f"{'.'.join(p)!r}: x{n}" for n, p in enumerate(paths))
    g.failure = f"t.fail_row(e, {step.id!r}, k, ts, {{{shown}}})"
    with w.block(f"def {name}(t, ch, rows):"):
        prologue = w.mark()
        w.line("floor = ch.floor_ms")
        w.line("wm = ch.watermark_ms")
        w.line("lim = t.watermarks.others(ch)")
        w.line("nxt = t.next_ms")
        w.line("it = iter(rows)")
        with w.block(f"for {', '.join(fields)} in it:"), g.guarded():
            # each row by its own input: several may meet in one list, and one may be far ahead
            w.line("own = w if w > floor else floor")
            w.line("if b < w: w = b")
            with w.block("if w > wm:"):
                w.line("wm = w")
                with w.block("if wm >= nxt:"):
                    w.line("t.fire(ch, wm)")
                    w.line("nxt = t.next_ms")
            if key:
                w.line(f"{''.join(f'{code}, ' for code, _ in key)}= k")
            g.children(Port(step.id), frame, tail=True)
        w.line("ch.watermark_ms = max(ch.watermark_ms, wm)")
    w.fill(prologue, g.prologue)


def exchange_columns(plan: Plan, step: PlannedStep) -> list[Path]:
    """Return the columns that travel with a row, beside the key, in order."""
    keys = {name for name, _ in step.key}
    return sorted(p for p in plan.required.get(Port(step.id), frozenset()) if p[0] not in keys)


def exchange_types(plan: Plan, step: PlannedStep) -> tuple[list[DType], list[DType]]:
    """Return the types of the key columns and of the columns of a row that travels, its trace among them."""
    columns = [type_at(step.columns, path) for path in exchange_columns(plan, step)]
    return [dtype for _, dtype in step.key], [*columns, *([BYTES] if step.id in traced(plan) else [])]
