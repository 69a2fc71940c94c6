// Readers and writers at their own rates: redirects by popularity (Zipf) while links are made, changed and asked about.
import * as asks from './knurl/asks.js';
import { clock, options as shared, setup, teardown } from './knurl/profile.js';
import { settings } from './knurl/settings.js';
import { summarise } from './knurl/summary.js';
import { pick } from './knurl/links.js';

const RATE = settings.rate(500);

function arrivals(exec, share) {
    return {
        executor: 'constant-arrival-rate', exec, rate: Math.max(1, Math.round(RATE * share)), timeUnit: '1s', duration: `${settings.seconds(60)}s`,
        preAllocatedVUs: 20, maxVUs: 300, gracefulStop: '15s',
    };
}

export const options = shared({}, {
    redirect: [`p(95)<${settings.p95_ms(50)}`],
    create: ['p(95)<200'],
    change: ['p(95)<200'],
}, { thresholds: { dropped_iterations: ['count==0'] } });
options.scenarios = { readers: arrivals('read', 0.8), writers: arrivals('write', 0.1), owners: arrivals('own', 0.1) };

export function read(links) {
    asks.redirect(links);
    clock();
}

export function write(links) {
    const link = asks.create(links, false);
    if (link && Math.random() < 0.5) asks.change(link, false);
}

export function own(links) {
    if (Math.random() < 0.8) asks.stats(links.codes[pick()][1], false);
    else asks.list(links, false);
}

export { setup, teardown };
export const handleSummary = summarise('mixed');
