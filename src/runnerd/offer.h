/* SPDX-License-Identifier: MIT */
/* What a module offers, out of the catalog that its process has sent: only what is needed, and of
 * that no more than a list for all gateways can bear.
 */
#ifndef AGW_RUNNERD_OFFER_H
#define AGW_RUNNERD_OFFER_H

#include <jansson.h>
#include <stdbool.h>

enum { OFFER_EXPORTS_MAX = 100, OFFER_NAMES_MAX = 1000 /* of tools and handoffs, of all exports */,
       OFFER_NAME_MAX = 128, OFFER_TEXT_MAX = 2000 };

/* {"gateway", "doc", "exports"} as in the catalog; a new reference. *cut: something was left out. */
json_t *offer_take(const json_t *catalog, bool *cut);

#endif
