"""What an assertion without a message means to say: workers run without pytest, which would rewrite it."""

import re
import traceback
from types import FrameType, TracebackType

_LONGEST = 600
_NAME = re.compile(r"[A-Za-z_]\w*")


def explain(error: Exception) -> str:
    """Its message; of one without, the line that raised it, and what its names stand for."""
    if not isinstance(error, AssertionError):
        return "".join(traceback.format_exception(error)).strip()
    if str(error):
        return str(error)
    frame, line = _last(error.__traceback__)
    if frame is None:
        return repr(error)
    names = dict.fromkeys(name for name in _NAME.findall(line) if name in frame.f_locals)
    values = [f"  {name} = {_short(frame.f_locals[name])}" for name in names]
    return "\n".join([line, *values])


def _last(trace: TracebackType | None) -> tuple[FrameType | None, str]:
    frame = None
    while trace is not None:
        frame, trace = trace.tb_frame, trace.tb_next
    if frame is None:
        return None, ""
    return frame, traceback.extract_stack(frame, limit=1)[0].line or "assert"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
