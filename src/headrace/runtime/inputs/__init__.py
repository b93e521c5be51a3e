"""Where records come from: files read in place by position, and the log."""

from headrace.runtime.inputs.base import Input, Slice
from headrace.runtime.inputs.opening import expand, is_stream, open_followed, open_input

__all__ = ["Input", "Slice", "expand", "is_stream", "open_followed", "open_input"]
