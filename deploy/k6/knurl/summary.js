// The end of a run: a table for people on standard output, JSON for programs where KNURL_LOAD_SUMMARY says.
//
// Of the trends k6 keeps for each kind of request this shows those that a threshold names, so every profile names all of them.

import { settings } from './settings.js';

export const KINDS = ['redirect', 'create', 'change', 'stats', 'list', 'miss'];
export const TREND_STATS = ['count', 'med', 'p(95)', 'p(99)', 'max'];

function broken(metrics) {
    return Object.entries(metrics).flatMap(([name, metric]) =>
        Object.entries(metric.thresholds || {}).filter(([, verdict]) => !verdict.ok).map(([rule]) => `${name}: ${rule}`));
}

function value(metrics, name, field, fallback) {
    return metrics[name] && metrics[name].values[field] !== undefined ? metrics[name].values[field] : fallback;
}

function condensed(profile, data) {
    const metrics = data.metrics;
    const kinds = {};
    for (const kind of KINDS) {
        const took = metrics[`http_req_duration{name:${kind}}`];
        if (!took || !took.values.count) continue;
        const { count, med, max } = took.values;
        kinds[kind] = { count, p50_ms: med, p95_ms: took.values['p(95)'], p99_ms: took.values['p(99)'], max_ms: max };
    }
    const requests = Object.values(kinds).reduce((sum, kind) => sum + kind.count, 0);
    // Set-up and what removes it are neither counted nor timed here.
    const seconds = value(metrics, 'knurl_load_seconds', 'max', 0) || data.state.testRunDurationMs / 1000;
    return {
        profile,
        url: settings.url,
        seconds,
        users_max: value(metrics, 'knurl_load_users', 'max', 0),
        requests,
        requests_per_s: requests / seconds,
        kinds,
        failed_rate: value(metrics, 'http_req_failed', 'rate', 0),
        checks: { passed: value(metrics, 'checks', 'passes', 0), failed: value(metrics, 'checks', 'fails', 0) },
        clicks_answered: value(metrics, 'knurl_clicks_answered', 'count', 0),
        refused: value(metrics, 'knurl_refused', 'count', 0),
        dropped_iterations: value(metrics, 'dropped_iterations', 'count', 0),
        rate_reached: value(metrics, 'knurl_load_rate', 'max', undefined),
        thresholds_broken: broken(metrics),
    };
}

function cell(value, width, digits) {
    return value.toFixed(digits).padStart(width);
}

function text(summary) {
    const lines = [`\n${summary.profile} on ${summary.url}: ${summary.requests} requests in ${summary.seconds.toFixed(1)} s, ` +
        `${summary.requests_per_s.toFixed(0)} a second, ${summary.users_max} users at most\n`];
    lines.push('              count    p50 ms    p95 ms    p99 ms    max ms');
    for (const [kind, took] of Object.entries(summary.kinds)) {
        const times = [took.p50_ms, took.p95_ms, took.p99_ms, took.max_ms].map((ms) => cell(ms, 10, 2)).join('');
        lines.push(`  ${kind.padEnd(9)} ${cell(took.count, 7, 0)}${times}`);
    }
    lines.push(`\n  checks: ${summary.checks.passed} passed, ${summary.checks.failed} failed; failed requests: ` +
        `${(summary.failed_rate * 100).toFixed(4)} %; refused: ${summary.refused}; arrivals nobody was free for: ${summary.dropped_iterations}`);
    if (summary.rate_reached) lines.push(`  the rate that was reached: ${summary.rate_reached.toFixed(0)} a second`);
    lines.push(summary.thresholds_broken.length ? `  BROKEN: ${summary.thresholds_broken.join('; ')}` : '  every threshold held');
    lines.push('', row(summary));
    return `${lines.join('\n')}\n\n`;
}

// For docs/reference/performance.md: its columns are those of the table there.
function row(summary) {
    const { redirect, create } = summary.kinds;
    const of = (took, name) => (took ? took[name].toFixed(1) : '-');
    const cells = [
        summary.profile, summary.users_max, summary.requests_per_s.toFixed(0),
        of(redirect, 'p50_ms'), of(redirect, 'p95_ms'), of(redirect, 'p99_ms'), of(create, 'p95_ms'),
        `${(summary.failed_rate * 100).toFixed(2)} %`, summary.refused, summary.checks.failed,
        summary.thresholds_broken.length ? `BROKE: ${summary.thresholds_broken.join('; ')}` : 'held',
    ];
    return `| ${cells.join(' | ')} |`;
}

export function summarise(profile) {
    return (data) => {
        const summary = condensed(profile, data);
        const out = { stdout: text(summary) };
        if (settings.summary) out[settings.summary] = `${JSON.stringify(summary, null, 2)}\n`;
        return out;
    };
}
