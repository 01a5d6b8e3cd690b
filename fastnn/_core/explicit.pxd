# Phases that are run once, in a region of their own.
from fastnn._core.binding cimport Binding
from fastnn._core.phase_lists cimport Phases
from fastnn._core.structs cimport Step

cdef run_once(Binding binding, Phases phases, const Step *step, x_rows)
