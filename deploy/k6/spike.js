// A link goes round the world: forty times the rate within two seconds. Redirects are served, all of them; everything else may be refused, with
// a word when to come again.
import { act } from './knurl/asks.js';
import { clock, options as shared, setup, teardown } from './knurl/profile.js';
import { settings } from './knurl/settings.js';
import { summarise } from './knurl/summary.js';

const RATE = settings.rate(2000);
const CALM = Math.max(1, Math.round(RATE / 40));

export const options = shared(
    {
        executor: 'ramping-arrival-rate', startRate: CALM, timeUnit: '1s', preAllocatedVUs: 200, maxVUs: 1000,
        stages: [
            { duration: '10s', target: CALM },
            { duration: '2s', target: RATE },
            { duration: `${settings.seconds(20)}s`, target: RATE },
            { duration: '2s', target: CALM },
            { duration: '15s', target: CALM },
        ],
    },
    { redirect: [`p(95)<${settings.p95_ms(500)}`] },
);

export default function (links) {
    act(links, true);
    clock();
}

export { setup, teardown };
export const handleSummary = summarise('spike');
