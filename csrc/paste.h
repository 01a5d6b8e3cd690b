/* paste.h: FNN_NAME(name) -> name_f32 or name_f64, whichever FNN_DTYPE says at the point of use. */
#ifndef FNN_PASTE_H
#define FNN_PASTE_H

#define FNN_PASTE_(a, b) a##_##b
#define FNN_PASTE(a, b) FNN_PASTE_(a, b)
#define FNN_NAME(name) FNN_PASTE(name, FNN_DTYPE)

#endif
