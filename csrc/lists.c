/* lists.c: the lists as data, for whoever enumerates them: the engine, the tests, the documents. */
#include "fastnn.h"

const char *const fnn_isas[FNN_N_ISAS] = {
#define X(name, NAME) #name,
#include "lists/isas.def"
#undef X
};

const char *const fnn_functions[FNN_N_FUNCTIONS] = {
#define X(name, NAME) #name,
#include "lists/functions.def"
#undef X
};

const fnn_activation_info fnn_activations[FNN_N_ACTIVATIONS] = {
#define X(name, NAME, shape, source, coefficient) \
    {#name, FNN_##shape, FNN_##source, FNN_##coefficient},
#include "lists/activations.def"
#undef X
};

const fnn_loss_info fnn_losses[FNN_N_LOSSES] = {
#define X(name, NAME, shape, merged_activation, targets) \
    {#name, FNN_ACTIVATION_##merged_activation, #targets},
#include "lists/losses.def"
#undef X
};

const fnn_optimizer_info fnn_optimizers[FNN_N_OPTIMIZERS] = {
#define X(name, NAME, n_slots) {#name, n_slots},
#include "lists/optimizers.def"
#undef X
};
