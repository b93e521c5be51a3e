"""Where records go: topics of the log, files, the terminal."""

from headrace.runtime.outputs.files import FileOutput, StreamOutput
from headrace.runtime.outputs.logs import LogOutput, LogStaging, Partitioner
from headrace.runtime.outputs.routing import Outputs, Tee

__all__ = ["FileOutput", "LogOutput", "LogStaging", "Outputs", "Partitioner", "StreamOutput", "Tee"]
