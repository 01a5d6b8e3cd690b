"""The explicit loop: a list of phases run once, and the passes of one layer by itself."""

from fastnn._core.binding import list_rows

from fastnn._core.binding cimport Binding, address
from fastnn._core.phase_lists cimport Phases, run_list
from fastnn._core.structs cimport UPDATE_NONE, Step


def check_team(wrong_team, n_threads):
    """Raise where OpenMP gave another number of threads than asked for."""
    if wrong_team:
        raise RuntimeError(
            f"OpenMP did not start the {n_threads} threads of the plan; "
            "a limit such as OMP_THREAD_LIMIT is in force: pass a smaller n_threads"
        )


cdef run_once(Binding binding, Phases phases, const Step *step, x_rows):
    """All phases, without the GIL; `x_rows` are pointers to the rows of the batch."""
    cdef const void *rows = address(x_rows)
    cdef bint wrong_team
    with nogil:
        if binding.is_f32:
            wrong_team = run_list(&phases.todo, step, <const float *const *>rows)
        else:
            wrong_team = run_list(&phases.todo, step, <const double *const *>rows)
    check_team(wrong_team, binding.plan.n_threads)


cdef class LayerEngine:
    """One layer's plan, bound to its parameters and ready to run.

    Parameters
    ----------
    binding : Binding
        Of a plan that `make_layer_plan` made.
    """

    cdef Binding binding
    cdef Step step
    cdef Phases forward_phases, backward_phases

    def __init__(self, Binding binding):
        plan = binding.plan
        self.binding = binding
        self.step.kernels = &binding.kernels
        self.step.layers = binding.layers
        self.step.batch = plan.batch_size
        self.step.update = UPDATE_NONE
        self.step.gradient_scale = 1
        self.forward_phases = Phases(plan.forward, plan.n_threads)
        self.backward_phases = Phases(plan.backward, plan.n_threads)

    def forward(self, x, seed, number):
        """Output (batch, n_out) of x (batch, n_in), with the mask of step `number`.

        x is copied: it may change before `backward`.
        """
        self.step.seed = seed
        self.step.number = number
        run_once(self.binding, self.forward_phases, &self.step, list_rows(x))
        return self.binding.outputs[1].copy()

    def backward(self, dh):
        """dL/dx (batch, n_in) of dL/dh (batch, n_out); gradients go where the binding says."""
        self.binding.deltas[1][...] = dh
        run_once(self.binding, self.backward_phases, &self.step, None)
        return self.binding.deltas[0].copy()
