// What the environment may say, read once. Promised: nothing but this machine is loaded unless somebody says that it may be.
//
//   KNURL_LOAD_URL       where Knurl (or nginx before it) answers            http://127.0.0.1:8080
//   KNURL_LOAD_KEY       an API key; or KNURL_LOAD_KEY_FILE, which holds it
//   KNURL_LOAD_LINKS     links the set-up creates, chosen by popularity      1000
//   KNURL_LOAD_SECONDS   how long the main part of a profile lasts           the profile's own
//   KNURL_LOAD_RATE      arrivals a second, where a profile has a rate       the profile's own
//   KNURL_LOAD_P95_MS    your own objective for a redirect's 95th centile    the profile's own
//   KNURL_LOAD_SUMMARY   the file the summary is written to                  none
//   KNURL_LOAD_ANYWHERE  1: another machine may be loaded; be sure that it is yours

const LOOPBACK = /^http:\/\/(127\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}|localhost|\[::1\])(:[0-9]+)?$/;

// Numbers that are no numbers would become NaN and a run without load.
function number(name, fallback) {
    const said = __ENV[name];
    if (said === undefined || said === '') return fallback;
    const value = Number(said);
    if (!(value > 0)) throw new Error(`${name} is not a number above 0: ${said}`);
    return value;
}

function key() {
    if (__ENV.KNURL_LOAD_KEY) return __ENV.KNURL_LOAD_KEY;
    return __ENV.KNURL_LOAD_KEY_FILE ? open(__ENV.KNURL_LOAD_KEY_FILE).trim() : '';
}

function url() {
    const said = (__ENV.KNURL_LOAD_URL || 'http://127.0.0.1:8080').replace(/\/+$/, '');
    if (!LOOPBACK.test(said) && __ENV.KNURL_LOAD_ANYWHERE !== '1') {
        throw new Error(`KNURL_LOAD_URL is not on this machine: ${said}. KNURL_LOAD_ANYWHERE=1 if you may load it`);
    }
    return said;
}

export const settings = {
    url: url(),
    key: key(),
    links: number('KNURL_LOAD_LINKS', 1000),
    summary: __ENV.KNURL_LOAD_SUMMARY || '',
    seconds: (fallback) => number('KNURL_LOAD_SECONDS', fallback),
    rate: (fallback) => number('KNURL_LOAD_RATE', fallback),
    p95_ms: (fallback) => number('KNURL_LOAD_P95_MS', fallback),
};
