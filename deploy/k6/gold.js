// 500 people at once, who visit, create and read (the third tier of the hackathon).
import { act } from './knurl/asks.js';
import { clock, options as shared, pause, people, setup, teardown } from './knurl/profile.js';
import { settings } from './knurl/settings.js';
import { summarise } from './knurl/summary.js';

export const options = shared(people(500, 60), {
    redirect: [`p(95)<${settings.p95_ms(100)}`, 'p(99)<400'],
    create: ['p(95)<400'],
});

export default function (links) {
    act(links, false);
    clock();
    pause();
}

export { setup, teardown };
export const handleSummary = summarise('gold');
