// What all profiles share: options with thresholds, the links before and after, the clock of the part that counts.

import exec from 'k6/execution';
import { sleep } from 'k6';
import { Gauge } from 'k6/metrics';
import { make, remove } from './links.js';
import { settings } from './settings.js';
import { KINDS, TREND_STATS } from './summary.js';

const seconds = new Gauge('knurl_load_seconds');
const users = new Gauge('knurl_load_users');

// For an operator who waits: beyond this a server hangs, however busy the machine is.
const HANGS_MS = 10000;

// `limits`: kind of request -> thresholds of its duration. Others have to end, and are shown.
export function options(scenario, limits, more) {
    const thresholds = { checks: ['rate==1'], http_req_failed: ['rate==0'] };
    for (const kind of KINDS) {
        thresholds[`http_req_duration{name:${kind}}`] = (limits && limits[kind]) || [`max<${HANGS_MS}`];
    }
    return {
        scenarios: { load: Object.assign({ gracefulStop: '15s' }, scenario) },
        thresholds: Object.assign(thresholds, (more && more.thresholds) || {}),
        summaryTrendStats: TREND_STATS,
        setupTimeout: '120s',
        teardownTimeout: '120s',
        // Of a machine that is loaded on purpose: one connection a user, kept, as browsers do.
        noConnectionReuse: false,
        discardResponseBodies: false,
    };
}

// The tiers of the hackathon: so many people at once, each with a moment between two things that he does.
export function people(users, default_seconds) {
    const duration = settings.seconds(default_seconds);
    return {
        executor: 'ramping-vus',
        startVUs: 0,
        stages: [
            { duration: '5s', target: users },
            { duration: `${duration}s`, target: users },
            { duration: '2s', target: 0 },
        ],
        gracefulRampDown: '15s',
    };
}

// 0.1 to 0.4 s: 500 people are some 2000 requests a second.
export function pause() {
    sleep(0.1 + 0.3 * Math.random());
}

// How long it has lasted, and how many were at it.
export function clock() {
    seconds.add((Date.now() - exec.scenario.startTime) / 1000);
    users.add(exec.instance.vusActive);
}

export const setup = make;
export const teardown = remove;
