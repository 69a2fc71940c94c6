// The links a run works with: made through the API before it, removed with their owner after it.
//
// Promised: what a code leads to follows from the run and its number, so that every redirect's target can be checked; a run leaves nothing
// behind but the events of its links. Refused: links that were there before: a load run never touches anybody else's.

import http from 'k6/http';
import { sleep } from 'k6';
import exec from 'k6/execution';
import { settings } from './settings.js';

// `POST /urls/bulk` takes so many.
const BULK_MAX = 1000;

// A step before or after the load; not part of what is measured.
const ASIDE = { tags: { name: 'aside' }, timeout: '30s' };

export function headers(more) {
    return Object.assign({ 'Content-Type': 'application/json' }, settings.key ? { Authorization: `Bearer ${settings.key}` } : {}, more);
}

export function target(run, number) {
    return `https://example.com/load/${run}/${number}`;
}

// Ends the run: load on a server that is not set up would measure how fast it says no.
function must(answer, status, what) {
    if (answer.status !== status) {
        exec.test.abort(`${what} was answered ${answer.status} ${answer.body || answer.error}`);
    }
    return answer.status === status ? answer.json() : undefined;
}

export function make() {
    const run = `${Date.now().toString(36)}${Math.random().toString(36).slice(2, 8)}`;
    const params = Object.assign({ headers: headers() }, ASIDE);
    const person = JSON.stringify({ username: `load-${run}`, email: `load-${run}@example.com` });
    const owner = must(http.post(`${settings.url}/users`, person, params), 201, 'the user who owns the links');
    const codes = [];
    while (owner && codes.length < settings.links) {
        const count = Math.min(BULK_MAX, settings.links - codes.length);
        const wanted = Array.from({ length: count }, (_, at) => ({
            user_id: owner.id,
            original_url: target(run, codes.length + at),
            title: `load ${codes.length + at}`,
        }));
        const made = must(http.post(`${settings.url}/urls/bulk`, JSON.stringify(wanted), params), 201, 'the links');
        made.results.forEach((result) => codes.push([result.url.short_code, result.url.id]));
    }
    return { run, owner: owner.id, codes };
}

export function remove(links) {
    if (!links) return;
    const params = Object.assign({ headers: headers(), responseCallback: http.expectedStatuses(204, 404, 503) }, ASIDE);
    // A server that was loaded to its end gets a moment; after that its operator removes the user `load-…`.
    for (let attempt = 0; attempt < 10; attempt += 1) {
        if ([204, 404].includes(http.del(`${settings.url}/users/${links.owner}`, null, params).status)) return;
        sleep(1);
    }
}

// By popularity: the n-th link is asked for 1/n as often as the first (Zipf with exponent 1), which is what short links look like.
const heights = new Float64Array(settings.links);
for (let at = 0, sum = 0; at < settings.links; at += 1) {
    sum += 1 / (at + 1);
    heights[at] = sum;
}

export function pick() {
    const point = Math.random() * heights[settings.links - 1];
    let [low, high] = [0, settings.links - 1];
    while (low < high) {
        const middle = (low + high) >> 1;
        if (heights[middle] < point) low = middle + 1;
        else high = middle;
    }
    return low;
}
