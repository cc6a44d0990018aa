/* SPDX-License-Identifier: Apache-2.0 */
/* How the lines of quarantine_blame.c begin, for quarantine.c, which reads them. */
#ifndef TERN_ACTORS_QUARANTINE_INTERNAL_H
#define TERN_ACTORS_QUARANTINE_INTERNAL_H

#include "actors/quarantine.h"

#define QUARANTINE_MAIL "mail to="
#define QUARANTINE_ENTRY "entry of="
#define QUARANTINE_INPUT "input"
#define QUARANTINE_HELLO "hello"

#endif
