/* dispatch.h: the tables that the objects in isa/ export. */
#ifndef FNN_DISPATCH_H
#define FNN_DISPATCH_H

#include "fastnn.h"

#define X(name, NAME)                                    \
    extern const fnn_kernels_f32 fnn_table_##name##_f32; \
    extern const fnn_kernels_f64 fnn_table_##name##_f64;
#include "lists/isas.def"
#undef X

#endif
