//! The words agents are made of, and what each says.

use Sign::{Bot, Browser, Nothing, Os, Tool, ToolFirst};

/// Where several words of a kind are found, the higher rank wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    Bot(&'static str),
    Tool(&'static str),
    /// Too common a word to mean a program anywhere but in front.
    ToolFirst(&'static str),
    Browser(u8, &'static str),
    Os(u8, &'static str),
    /// Looks like a bot, is none.
    Nothing,
}

/// A run of letters and digits, in lower case, with its hash.
#[derive(Clone, Copy)]
pub(super) struct Word<'a> {
    text: &'a [u8],
    hash: u32,
    /// The byte before it; `None` at the very front.
    pub(super) preceding: Option<u8>,
}

/// The words of a text that is already in lower case.
pub(super) fn each_word(lower: &[u8], mut note: impl FnMut(Word<'_>)) {
    let (mut from, mut hash) = (0, HASH_START);
    for (at, &byte) in lower.iter().enumerate() {
        if byte.is_ascii_lowercase() || byte.is_ascii_digit() {
            hash = hash_step(hash, byte);
            continue;
        }
        if from < at {
            note(Word { text: &lower[from..at], hash, preceding: from.checked_sub(1).map(|before| lower[before]) });
        }
        (from, hash) = (at + 1, HASH_START);
    }
    if from < lower.len() {
        note(Word { text: &lower[from..], hash, preceding: from.checked_sub(1).map(|before| lower[before]) });
    }
}

impl Word<'_> {
    pub(super) fn sign(&self) -> Option<Sign> {
        let mut slot = slot_of(self.hash);
        loop {
            let (word, sign) = WORDS.get(usize::from(SLOTS[slot]))?;
            if word.as_bytes() == self.text {
                return Some(*sign);
            }
            slot = (slot + 1) % SLOTS.len();
        }
    }

    /// Well-behaved crawlers say where to read about them: `(+https://…)`.
    pub(super) fn is_where_to_read(&self) -> bool {
        self.preceding == Some(b'+') && self.text.starts_with(b"http")
    }

    pub(super) fn ends_like_a_bot(&self) -> bool {
        let tails: &[&str] = match self.text.last() {
            Some(b't') => &["bot"],
            Some(b's') => &["bots"],
            Some(b'r') => &["spider", "crawler", "scraper", "fetcher", "archiver"],
            Some(b'l') => &["crawl"],
            Some(b'w') => &["preview"],
            _ => &[],
        };
        tails.iter().any(|tail| self.text.ends_with(tail.as_bytes()))
    }
}

/// FNV-1a: one multiplication a byte, and it can be run by the compiler.
const HASH_START: u32 = 0x811c_9dc5;

const fn hash_step(hash: u32, byte: u8) -> u32 {
    (hash ^ byte as u32).wrapping_mul(0x0100_0193)
}

const fn slot_of(hash: u32) -> usize {
    ((hash ^ (hash >> 15)) % SLOTS_LEN as u32) as usize
}

const SLOTS_LEN: usize = 1 << 10;
const EMPTY: u16 = u16::MAX;

/// Where in [`WORDS`] the word of a hash is; the next slot where another word sits there. A quarter full, so that nearly every word
/// that is in no table is known to be so at the first look.
static SLOTS: [u16; SLOTS_LEN] = {
    assert!(WORDS.len() < SLOTS_LEN / 2);
    let mut slots = [EMPTY; SLOTS_LEN];
    let mut at = 0;
    while at < WORDS.len() {
        let word = WORDS[at].0.as_bytes();
        let (mut hash, mut byte) = (HASH_START, 0);
        while byte < word.len() {
            hash = hash_step(hash, word[byte]);
            byte += 1;
        }
        let mut slot = slot_of(hash);
        while slots[slot] != EMPTY {
            slot = (slot + 1) % SLOTS_LEN;
        }
        slots[slot] = at as u16;
        at += 1;
    }
    slots
};

/// Sorted, lower case.
#[rustfmt::skip]
const WORDS: &[(&str, Sign)] = &[
    ("ab", ToolFirst("load test")),
    ("adidxbot", Bot("bingbot")),
    ("adsbot", Bot("googlebot")),
    ("ahrefsbot", Bot("ahrefsbot")),
    ("ahrefssiteaudit", Bot("ahrefsbot")),
    ("aiohttp", Tool("python")),
    ("amazonbot", Bot("amazonbot")),
    ("android", Os(6, "android")),
    ("anthropic", Bot("claudebot")),
    ("apachebench", Tool("load test")),
    ("apis", Bot("googlebot")),
    ("appengine", Bot("googlebot")),
    ("applebot", Bot("applebot")),
    ("appletv", Os(7, "tv")),
    ("applewebkit", Browser(1, "webview")),
    ("archive", Bot("archive.org")),
    ("archiver", Bot("archive.org")),
    ("aria2", Tool("aria2")),
    ("axios", Tool("axios")),
    ("baiduspider", Bot("baiduspider")),
    ("bingbot", Bot("bingbot")),
    ("bingpreview", Bot("bingbot")),
    ("blackbox", Tool("monitor")),
    ("bot", Bot("other")),
    ("brave", Browser(9, "brave")),
    ("bravia", Os(7, "tv")),
    ("bytedancewebview", Browser(8, "tiktok")),
    ("bytespider", Bot("bytespider")),
    ("cardyb", Bot("bluesky")),
    ("ccbot", Bot("ccbot")),
    ("censysinspect", Bot("scanner")),
    ("cfnetwork", Tool("cfnetwork")),
    ("chatgpt", Bot("chatgpt")),
    ("checkly", Tool("monitor")),
    ("chrome", Browser(5, "chrome")),
    ("chromium", Browser(5, "chrome")),
    ("claude", Bot("claudebot")),
    ("claudebot", Bot("claudebot")),
    ("cohere", Bot("cohere")),
    ("crawler", Bot("other")),
    ("crios", Browser(5, "chrome")),
    ("crkey", Os(7, "tv")),
    ("cros", Os(6, "chromeos")),
    ("cubot", Nothing),
    ("curl", Tool("curl")),
    ("cypress", Bot("headless")),
    ("dalvik", Tool("dalvik")),
    ("dart", ToolFirst("dart")),
    ("darwin", Os(4, "macos")),
    ("datadog", Tool("monitor")),
    ("ddg", Browser(9, "duckduckgo")),
    ("dirbuster", Bot("scanner")),
    ("discordbot", Bot("discordbot")),
    ("dotbot", Bot("dotbot")),
    ("duckduckbot", Bot("duckduckbot")),
    ("duckduckgo", Browser(9, "duckduckgo")),
    ("edg", Browser(9, "edge")),
    ("edga", Browser(9, "edge")),
    ("edge", Browser(9, "edge")),
    ("edgios", Browser(9, "edge")),
    ("electronheadless", Bot("headless")),
    ("elinks", Browser(9, "text")),
    ("embedly", Bot("embedly")),
    ("externalagent", Bot("facebook")),
    ("externalfetcher", Bot("facebook")),
    ("facebookcatalog", Bot("facebook")),
    ("facebookexternalhit", Bot("facebook")),
    ("facebot", Bot("facebook")),
    ("faraday", Tool("ruby")),
    ("fban", Browser(8, "facebook")),
    ("fbav", Browser(8, "facebook")),
    ("fedora", Os(2, "linux")),
    ("feedfetcher", Bot("googlebot")),
    ("firefox", Browser(6, "firefox")),
    ("freebsd", Os(5, "bsd")),
    ("freshping", Tool("monitor")),
    ("fxios", Browser(6, "firefox")),
    ("gatling", Tool("load test")),
    ("go", ToolFirst("go")),
    ("gobuster", Bot("scanner")),
    ("googlebot", Bot("googlebot")),
    ("googlehc", Tool("monitor")),
    ("googleother", Bot("googlebot")),
    ("googleproducer", Bot("googlebot")),
    ("googlesites", Bot("googlebot")),
    ("got", ToolFirst("node")),
    ("gptbot", Bot("gptbot")),
    ("gsa", Browser(8, "google app")),
    ("gtmetrix", Bot("lighthouse")),
    ("guzzlehttp", Tool("php")),
    ("haproxy", Tool("monitor")),
    ("harmonyos", Os(7, "harmonyos")),
    ("hbbtv", Os(7, "tv")),
    ("headless", Bot("headless")),
    ("headlesschrome", Bot("headless")),
    ("healthchecker", Tool("monitor")),
    ("hetrixtools", Tool("monitor")),
    ("hey", ToolFirst("load test")),
    ("httpclient", Tool("java")),
    ("httpie", Tool("httpie")),
    ("httpx", Tool("python")),
    ("huaweibrowser", Browser(9, "huawei")),
    ("hyper", ToolFirst("rust")),
    ("ia", Bot("archive.org")),
    ("iemobile", Browser(7, "ie")),
    ("iframely", Bot("iframely")),
    ("imgproxy", Bot("slackbot")),
    ("insomnia", Tool("insomnia")),
    ("inspectiontool", Bot("googlebot")),
    ("instagram", Browser(8, "instagram")),
    ("ipad", Os(8, "ios")),
    ("iphone", Os(8, "ios")),
    ("ipod", Os(8, "ios")),
    ("java", ToolFirst("java")),
    ("jmeter", Tool("load test")),
    ("k6", Tool("load test")),
    ("kaios", Os(9, "kaios")),
    ("kube", Tool("monitor")),
    ("libwww", Tool("perl")),
    ("lighthouse", Bot("lighthouse")),
    ("linkedinapp", Browser(8, "linkedin")),
    ("linkedinbot", Bot("linkedinbot")),
    ("linux", Os(2, "linux")),
    ("locust", Tool("load test")),
    ("lwp", Tool("perl")),
    ("lynx", Browser(9, "text")),
    ("mac", Os(4, "macos")),
    ("macintosh", Os(4, "macos")),
    ("masscan", Bot("scanner")),
    ("mastodon", Bot("mastodon")),
    ("mediapartners", Bot("googlebot")),
    ("micromessenger", Browser(8, "wechat")),
    ("microsoftpreview", Bot("teams")),
    ("miuibrowser", Browser(9, "xiaomi")),
    ("mj12bot", Bot("mj12bot")),
    ("monit", ToolFirst("monitor")),
    ("mqqbrowser", Browser(9, "qq")),
    ("msie", Browser(7, "ie")),
    ("msnbot", Bot("bingbot")),
    ("nagios", Tool("monitor")),
    ("netbsd", Os(5, "bsd")),
    ("newrelicpinger", Tool("monitor")),
    ("nikto", Bot("scanner")),
    ("nintendo", Os(9, "console")),
    ("nmap", Bot("scanner")),
    ("node", ToolFirst("node")),
    ("nuclei", Bot("scanner")),
    ("okhttp", Tool("okhttp")),
    ("openbsd", Os(5, "bsd")),
    ("openharmony", Os(7, "harmonyos")),
    ("opera", Browser(9, "opera")),
    ("opios", Browser(9, "opera")),
    ("opr", Browser(9, "opera")),
    ("opt", Browser(9, "opera")),
    ("opx", Browser(9, "opera")),
    ("pagespeed", Bot("lighthouse")),
    ("pecl", ToolFirst("php")),
    ("perl", ToolFirst("perl")),
    ("perplexity", Bot("perplexitybot")),
    ("perplexitybot", Bot("perplexitybot")),
    ("petalbot", Bot("petalbot")),
    ("phantomjs", Bot("headless")),
    ("php", ToolFirst("php")),
    ("pingdom", Tool("monitor")),
    ("pinterest", Browser(8, "pinterest")),
    ("pinterestbot", Bot("pinterestbot")),
    ("playstation", Os(9, "console")),
    ("playwright", Bot("headless")),
    ("postmanruntime", Tool("postman")),
    ("powershell", Tool("powershell")),
    ("prometheus", Tool("monitor")),
    ("ptst", Bot("lighthouse")),
    ("puppeteer", Bot("headless")),
    ("pycurl", Tool("python")),
    ("python", ToolFirst("python")),
    ("qqbrowser", Browser(9, "qq")),
    ("qwantify", Bot("qwantify")),
    ("redditbot", Bot("redditbot")),
    ("reqwest", Tool("rust")),
    ("rogerbot", Bot("rogerbot")),
    ("roku", Os(7, "tv")),
    ("ruby", ToolFirst("ruby")),
    ("safari", Browser(3, "safari")),
    ("samsungbrowser", Browser(9, "samsung")),
    ("scrapy", Tool("python")),
    ("screaming", Bot("screaming frog")),
    ("searchbot", Bot("chatgpt")),
    ("selenium", Bot("headless")),
    ("semrushbot", Bot("semrushbot")),
    ("seznambot", Bot("seznambot")),
    ("silk", Browser(9, "silk")),
    ("site24x7", Tool("monitor")),
    ("skypeuripreview", Bot("skype")),
    ("slackbot", Bot("slackbot")),
    ("slimerjs", Bot("headless")),
    ("slurp", Bot("yahoo")),
    ("smarttv", Os(7, "tv")),
    ("snapchat", Browser(8, "snapchat")),
    ("sogou", Bot("sogou")),
    ("spider", Bot("other")),
    ("sqlmap", Bot("scanner")),
    ("statuscake", Tool("monitor")),
    ("storebot", Bot("googlebot")),
    ("telegrambot", Bot("telegrambot")),
    ("tiktok", Browser(8, "tiktok")),
    ("tizen", Os(7, "tv")),
    ("trident", Browser(7, "ie")),
    ("trill", Browser(8, "tiktok")),
    ("twitter", Browser(8, "twitter")),
    ("twitterbot", Bot("twitterbot")),
    ("typhoeus", Tool("ruby")),
    ("ubuntu", Os(2, "linux")),
    ("ucbrowser", Browser(9, "uc")),
    ("ucweb", Browser(9, "uc")),
    ("undici", Tool("node")),
    ("updown", Tool("monitor")),
    ("uptime", Tool("monitor")),
    ("uptimerobot", Tool("monitor")),
    ("ureq", Tool("rust")),
    ("urllib", Tool("python")),
    ("urllib3", Tool("python")),
    ("validator", Bot("other")),
    ("vegeta", Tool("load test")),
    ("viber", Bot("viber")),
    ("vivaldi", Browser(9, "vivaldi")),
    ("vkshare", Bot("vk")),
    ("w3m", Browser(9, "text")),
    ("web0s", Os(7, "tv")),
    ("webos", Os(7, "tv")),
    ("wget", Tool("wget")),
    ("whale", Browser(9, "whale")),
    ("whatsapp", Bot("whatsapp")),
    ("win64", Os(5, "windows")),
    ("windows", Os(5, "windows")),
    ("windowspowershell", Tool("powershell")),
    ("wordpress", ToolFirst("php")),
    ("wpscan", Bot("scanner")),
    ("wrk", Tool("load test")),
    ("wv", Browser(6, "webview")),
    ("x11", Os(2, "linux")),
    ("xbox", Os(9, "console")),
    ("yabrowser", Browser(9, "yandex")),
    ("yandexaccessibilitybot", Bot("yandexbot")),
    ("yandexbot", Bot("yandexbot")),
    ("yandeximages", Bot("yandexbot")),
    ("yandexmobilebot", Bot("yandexbot")),
    ("zabbix", Tool("monitor")),
    ("zgrab", Bot("scanner")),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_of_the_table_is_found() {
        assert!(WORDS.is_sorted_by(|(a, _), (b, _)| a < b));
        for (word, expected) in WORDS {
            let mut found = Vec::new();
            each_word(format!("({word})").as_bytes(), |word| found.push((word.sign(), word.preceding)));
            assert_eq!(found, [(Some(*expected), Some(b'('))], "{word}");
        }
    }

    #[test]
    fn a_word_that_is_not_in_the_table_says_nothing() {
        each_word(b"mozilla like gecko khtml x86 64", |word| assert_eq!(word.sign(), None));
    }
}
