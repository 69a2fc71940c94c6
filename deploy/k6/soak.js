// The same rate for a long time: what leaks, grows or tires shows here. 10 minutes, unless KNURL_LOAD_SECONDS says more.
import { act } from './knurl/asks.js';
import { clock, options as shared, setup, teardown } from './knurl/profile.js';
import { settings } from './knurl/settings.js';
import { summarise } from './knurl/summary.js';

export const options = shared(
    {
        executor: 'constant-arrival-rate', rate: settings.rate(300), timeUnit: '1s', duration: `${settings.seconds(600)}s`,
        preAllocatedVUs: 50, maxVUs: 500,
    },
    { redirect: [`p(95)<${settings.p95_ms(50)}`, 'p(99)<250'], create: ['p(95)<200'] },
    // An arrival for which nobody was free is a request that was never sent: a rate that was not kept proves nothing.
    { thresholds: { dropped_iterations: ['count==0'] } },
);

export default function (links) {
    act(links, false);
    clock();
}

export { setup, teardown };
export const handleSummary = summarise('soak');
