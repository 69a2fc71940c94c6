//! What a `User-Agent` says of itself, in a bounded vocabulary (these words become roll-up keys and metric labels).
//!
//! The words of an agent are looked up one by one in a table of ours ([`words`]): it knows today's browsers, crawlers, link previewers
//! and programs, and costs a fraction of a microsecond. Only an agent in which it finds nothing (old phones, rare crawlers) is asked
//! of `woothee`, whose dozens of regular expressions cost many times that.

use url::Url;

use crate::click::{HEADER_BYTES_MAX, Purpose};

mod rare;
mod words;

use words::{Sign, Word};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AgentClass {
    Human,
    Bot,
    /// Announced as prefetch, whatever the agent.
    Prefetch,
    /// Programs: curl, libraries, monitoring.
    Tool,
    Unknown,
}

impl AgentClass {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Human => "human",
            Self::Bot => "bot",
            Self::Prefetch => "prefetch",
            Self::Tool => "tool",
            Self::Unknown => "unknown",
        }
    }

    /// Whether roll-ups count it under `human` (everything else is under `bot`).
    pub fn is_human(self) -> bool {
        matches!(self, Self::Human)
    }
}

/// `browser` and `os` come from fixed lists; `other` where none fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agent {
    pub class: AgentClass,
    pub browser: &'static str,
    pub os: &'static str,
}

/// What fits no word of ours.
pub const OTHER: &str = "other";

/// Never panics, linear in the length. Only the first [`HEADER_BYTES_MAX`] bytes are looked at.
pub fn classify(user_agent: Option<&str>, purpose: Purpose) -> Agent {
    let user_agent = user_agent.unwrap_or_default();
    let user_agent = &user_agent[..user_agent.floor_char_boundary(HEADER_BYTES_MAX)];
    let mut agent = read(user_agent);
    if purpose == Purpose::Prefetch {
        agent.class = AgentClass::Prefetch;
    }
    agent
}

/// Of each kind of word the one that says most: a program outweighs the browser it poses as, Edge outweighs the Chrome it contains.
#[derive(Default)]
struct Signs {
    bot: Option<&'static str>,
    tool: Option<&'static str>,
    browser: Option<(u8, &'static str)>,
    os: Option<(u8, &'static str)>,
}

fn read(user_agent: &str) -> Agent {
    let mut lower = [0; HEADER_BYTES_MAX];
    let lower = &mut lower[..user_agent.len().min(HEADER_BYTES_MAX)];
    lower.copy_from_slice(&user_agent.as_bytes()[..lower.len()]);
    lower.make_ascii_lowercase();
    let mut signs = Signs::default();
    words::each_word(lower, |word| signs.note(&word));
    let os = signs.os.map_or(OTHER, |(_, os)| os);
    match signs {
        Signs { bot: Some(name), .. } => Agent { class: AgentClass::Bot, browser: name, os },
        Signs { tool: Some(name), .. } => Agent { class: AgentClass::Tool, browser: name, os },
        // Android's own browser of old calls itself Safari.
        Signs { browser: Some((_, "safari")), .. } if os == "android" => Agent { class: AgentClass::Human, browser: "android", os },
        Signs { browser: Some((_, name)), .. } => Agent { class: AgentClass::Human, browser: name, os },
        _ => rare::read(user_agent, os),
    }
}

impl Signs {
    fn note(&mut self, word: &Word<'_>) {
        match word.sign() {
            Some(Sign::Bot(name)) => self.bot = self.bot.filter(|&known| known != OTHER).or(Some(name)),
            Some(Sign::Tool(name)) => self.tool = self.tool.or(Some(name)),
            Some(Sign::ToolFirst(name)) if word.preceding.is_none() => self.tool = self.tool.or(Some(name)),
            Some(Sign::Browser(rank, name)) => self.browser = self.browser.max(Some((rank, name))),
            Some(Sign::Os(rank, name)) => self.os = self.os.max(Some((rank, name))),
            Some(Sign::ToolFirst(_) | Sign::Nothing) => {}
            None if word.is_where_to_read() || word.ends_like_a_bot() => self.note_bot(),
            None => {}
        }
    }

    fn note_bot(&mut self) {
        self.bot = self.bot.or(Some(OTHER));
    }
}

/// The host of a `Referer`, lower case, without `www.`, at most 253 bytes; `None` (direct) where there is none or it is not a URL.
pub fn referrer_host(referrer: &str) -> Option<String> {
    let url = Url::parse(referrer).ok()?;
    let host = url.host_str()?.trim_end_matches('.');
    let short = host.strip_prefix("www.").filter(|rest| rest.contains('.')).unwrap_or(host);
    // Schemes unknown to WHATWG (`android-app://`) keep their host as it came.
    let is_host = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b':' | b'[' | b']');
    (!short.is_empty() && short.len() <= HOST_BYTES_MAX && short.bytes().all(is_host)).then(|| short.to_ascii_lowercase())
}

/// Of a name in DNS.
const HOST_BYTES_MAX: usize = 253;

#[cfg(test)]
mod tests;
