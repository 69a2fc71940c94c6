// Is everything right? A few people do everything once, in seconds. Says nothing of speed: its only limits on time are those of a hang.
import { check, sleep } from 'k6';
import * as asks from './knurl/asks.js';
import { clock, options as shared, setup, teardown } from './knurl/profile.js';
import { settings } from './knurl/settings.js';
import { summarise } from './knurl/summary.js';

const PEOPLE = 4;
const ROUNDS = 5;
const CLICKS = 2;
// Several nodes: a click that another one answered is in the counts as soon as that node has delivered it.
const COUNTED_WITHIN_S = 20;

const redirect = settings.p95_ms(0) ? { redirect: [`p(95)<${settings.p95_ms(0)}`] } : {};

export const options = shared(
    { executor: 'per-vu-iterations', vus: PEOPLE, iterations: ROUNDS, maxDuration: '120s' },
    redirect,
    { thresholds: { iterations: [`count==${PEOPLE * ROUNDS}`], knurl_clicks_answered: ['count>0'] } },
);

export default function (links) {
    for (let visit = 0; visit < 5; visit += 1) asks.redirect(links);
    asks.list(links, false);
    asks.miss(false);
    const link = asks.create(links, false);
    if (link) {
        asks.change(link, false);
        asks.visit(link.short_code, link.original_url);
        let counted = asks.stats(link.id, false);
        for (let waited = 0; counted < CLICKS && waited < COUNTED_WITHIN_S; waited += 0.2) {
            sleep(0.2);
            counted = asks.stats(link.id, false);
        }
        check(counted, { 'every answered click is counted, once': (count) => count === CLICKS });
    }
    clock();
}

export { setup, teardown };
export const handleSummary = summarise('smoke');
