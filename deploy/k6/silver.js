// 200 people at once, who visit, create and read (the second tier of the hackathon).
import { act } from './knurl/asks.js';
import { clock, options as shared, pause, people, setup, teardown } from './knurl/profile.js';
import { settings } from './knurl/settings.js';
import { summarise } from './knurl/summary.js';

export const options = shared(people(200, 60), {
    redirect: [`p(95)<${settings.p95_ms(50)}`, 'p(99)<200'],
    create: ['p(95)<200'],
});

export default function (links) {
    act(links, false);
    clock();
    pause();
}

export { setup, teardown };
export const handleSummary = summarise('silver');
