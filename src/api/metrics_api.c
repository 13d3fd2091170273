/* SPDX-License-Identifier: MIT */
/* Exposes the counters. */
#include "api/handlers.h"
#include "store/metrics.h"

int metrics_api_text(struct exchange *x)
{
    x->answer.content_type = "text/plain; version=0.0.4; charset=utf-8";
    return metrics_write_text(&x->answer.text) == 0 ? 0
                                                    : err_set(&x->err, AGW_ENOMEM, "metrics");
}

int metrics_api_json(struct exchange *x)
{
    json_t *metrics = metrics_json();

    x->answer.json =
        metrics == NULL ? NULL
                        : json_pack("{s:I,s:s,s:o}", "generation",
                                    (json_int_t)x->policy->config->generation, "config_hash",
                                    x->policy->config->hash, "metrics", metrics);
    return x->answer.json == NULL ? err_set(&x->err, AGW_ENOMEM, "metrics") : 0;
}
