"""Where records go: topics of the log, files, the terminal."""

from headrace.runtime.outputs.devices import StreamOutput
from headrace.runtime.outputs.files import FileOutput
from headrace.runtime.outputs.logs import LogOutput, LogStaging
from headrace.runtime.outputs.routing import Outputs, Tee

__all__ = ["FileOutput", "LogOutput", "LogStaging", "Outputs", "StreamOutput", "Tee"]
