/* SPDX-License-Identifier: Apache-2.0 */
/* What a run tells: for people, or one JSON object a seed. Nothing of it depends on how long the
 * run took. */
#ifndef TERN_TOOLS_SIM_REPORT_H
#define TERN_TOOLS_SIM_REPORT_H

#include "tools/sim/world.h"

/* True when no promise is broken and every enabled fault has fired. */
bool report_is_good(const struct world *world);
/* `options` is what the world was made with; `brief`: a line, unless it is not good. */
void report_text(const struct world *world, const struct world_options *options, bool brief);
void report_json(const struct world *world, const struct world_options *options);

#endif
