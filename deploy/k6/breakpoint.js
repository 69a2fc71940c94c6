// How much is too much? The rate grows evenly until redirects are slow or wrong, or nobody is free to ask: then it ends, and says at which rate.
// That a threshold breaks is the result here, not a failure; `make load` knows that. k6 on the same machine takes its share of it.
import exec from 'k6/execution';
import { Gauge } from 'k6/metrics';
import { act } from './knurl/asks.js';
import { clock, options as shared, setup, teardown } from './knurl/profile.js';
import { settings } from './knurl/settings.js';
import { summarise } from './knurl/summary.js';

const RATE = settings.rate(10000);
const STEEPNESS_S = settings.seconds(180);
const reached = new Gauge('knurl_load_rate');

function ends(threshold) {
    return [{ threshold, abortOnFail: true, delayAbortEval: '5s' }];
}

export const options = shared(
    {
        executor: 'ramping-arrival-rate', startRate: 50, timeUnit: '1s', preAllocatedVUs: 200, maxVUs: 1000,
        stages: [{ duration: `${STEEPNESS_S}s`, target: RATE }],
    },
    { redirect: ends(`p(95)<${settings.p95_ms(100)}`) },
    { thresholds: { checks: ends('rate==1'), http_req_failed: ends('rate==0'), dropped_iterations: ends('count<200') } },
);

export default function (links) {
    act(links, true);
    reached.add(50 + (RATE - 50) * exec.scenario.progress);
    clock();
}

export { setup, teardown };
export const handleSummary = summarise('breakpoint');
