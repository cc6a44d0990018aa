/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/node/node_seams.h"

const struct seams *node_seams(void) {
    return seams_system();
}
