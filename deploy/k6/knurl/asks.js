// What is asked of Knurl, and whether the answer has the shape it promises. Every profile asks with these.
//
// An answer that is wrong fails a check, and every profile has the threshold that no check fails. A refusal (429, 503) is right only where the
// profile means to ask for too much, and then only with its `Retry-After` and the shape of every error.

import http from 'k6/http';
import { check } from 'k6';
import { Counter } from 'k6/metrics';
import { headers, pick, target } from './links.js';
import { settings } from './settings.js';

export const refused = new Counter('knurl_refused');
export const clicks = new Counter('knurl_clicks_answered');

const PROBLEM = 'application/problem+json';

// k6 asks for each of its callbacks by identity: made once.
const expect = {};
function expecting(statuses, refusals) {
    const name = statuses.join() + refusals;
    expect[name] = expect[name] || http.expectedStatuses(...statuses, ...(refusals ? [429, 503] : []));
    return expect[name];
}

function json(answer) {
    try {
        return answer.json();
    } catch (_) {
        return {};
    }
}

function is_problem(answer, code) {
    const body = json(answer);
    const fits = (answer.headers['Content-Type'] || '').startsWith(PROBLEM) && body.status === answer.status;
    return fits && typeof body.request_id === 'string' && body.error === body.detail && (!code || body.code === code);
}

// True where it was refused as refusals are; whoever asked then checks nothing else.
function was_refused(answer, refusals) {
    if (!refusals || (answer.status !== 429 && answer.status !== 503)) return false;
    refused.add(1);
    return check(answer, { 'a refusal says when to come again': (a) => Number(a.headers['Retry-After']) > 0 && is_problem(a) });
}

function params(name, statuses, refusals, more) {
    return Object.assign({ headers: headers(), tags: { name }, timeout: '15s', responseCallback: expecting(statuses, refusals) }, more);
}

// A redirect is never refused, whatever the load: no profile allows that.
const VISIT = { tags: { name: 'redirect' }, redirects: 0, responseType: 'none', timeout: '15s', responseCallback: http.expectedStatuses(302) };

export function visit(code, leads_to) {
    const answer = http.get(`${settings.url}/${code}`, VISIT);
    if (answer.status === 302) clicks.add(1);
    check(answer, {
        'a redirect leads to its target': (a) => a.status === 302 && a.headers.Location === leads_to,
        'a redirect is not stored': (a) => a.headers['Cache-Control'] === 'private, no-store',
    });
}

export function redirect(links) {
    const number = pick();
    visit(links.codes[number][0], target(links.run, number));
}

export function miss(refusals) {
    const code = `zz${Math.random().toString(36).slice(2, 12)}`;
    const answer = http.get(`${settings.url}/${code}`, params('miss', [404], refusals, { headers: {}, redirects: 0 }));
    if (was_refused(answer, refusals)) return;
    check(answer, { 'a code that leads nowhere is 404': (a) => a.status === 404 && is_problem(a, 'link_not_found') });
}

// Makes a link and follows it at once: what was acknowledged is there, on whichever node.
export function create(links, refusals) {
    const leads_to = target(links.run, `new-${Math.random().toString(36).slice(2)}`);
    const body = JSON.stringify({ user_id: links.owner, original_url: leads_to });
    const answer = http.post(`${settings.url}/urls`, body, params('create', [201], refusals));
    if (was_refused(answer, refusals)) return undefined;
    const link = json(answer);
    const right = check(answer, {
        'a create is the link that was asked for': (a) =>
            a.status === 201 && Number.isInteger(link.id) && link.original_url === leads_to && link.user_id === links.owner,
        'a create has a code, and says where it is': (a) =>
            /^[0-9A-Za-z]{1,64}$/.test(link.short_code) && link.is_active === true && (a.headers.Location || '').endsWith(`/urls/${link.id}`),
    });
    if (!right) return undefined;
    visit(link.short_code, leads_to);
    return link;
}

export function change(link, refusals) {
    const title = `changed ${Math.random().toString(36).slice(2)}`;
    const answer = http.put(`${settings.url}/urls/${link.id}`, JSON.stringify({ title }), params('change', [200], refusals));
    if (was_refused(answer, refusals)) return;
    check(answer, { 'a change is in its answer': (a) => a.status === 200 && json(a).title === title && json(a).id === link.id });
}

// The link's clicks as they are counted.
export function stats(id, refusals) {
    const answer = http.get(`${settings.url}/urls/${id}/stats`, params('stats', [200], refusals));
    if (was_refused(answer, refusals)) return undefined;
    const body = json(answer);
    check(answer, {
        'statistics add up': (a) =>
            a.status === 200 && body.url_id === id && body.click_count === body.human_count + body.bot_count && Array.isArray(body.buckets),
    });
    return body.click_count;
}

export function list(links, refusals) {
    const page = `${settings.url}/users/${links.owner}/urls?page=1&per_page=20`;
    const answer = http.get(page, params('list', [200], refusals));
    if (was_refused(answer, refusals)) return;
    const rows = json(answer);
    check(answer, {
        'a page is an array of its length, with the total': (a) =>
            a.status === 200 && Array.isArray(rows) && rows.length === Math.min(20, links.codes.length) &&
            Number(a.headers['X-Total-Count']) >= links.codes.length && rows[0].user_id === links.owner,
    });
}

// One thing that one person does: nine times of ten a visit.
export function act(links, refusals) {
    const dice = Math.random();
    if (dice < 0.9) redirect(links);
    else if (dice < 0.94) create(links, refusals);
    else if (dice < 0.97) stats(links.codes[pick()][1], refusals);
    else if (dice < 0.99) list(links, refusals);
    else miss(refusals);
}
