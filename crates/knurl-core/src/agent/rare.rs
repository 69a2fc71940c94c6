//! Agents of which our own table knows no word: `woothee` knows many old and rare ones.

use super::{Agent, AgentClass, OTHER};

/// `os`: what our own table found, for where `woothee` finds none.
pub(super) fn read(user_agent: &str, os: &'static str) -> Agent {
    let nothing = Agent { class: AgentClass::Unknown, browser: OTHER, os };
    let Some(found) = woothee::parser::Parser::new().parse(user_agent) else { return nothing };
    let class = match found.category {
        "crawler" => AgentClass::Bot,
        "misc" => AgentClass::Tool,
        "pc" | "smartphone" | "mobilephone" | "appliance" => AgentClass::Human,
        _ => AgentClass::Unknown,
    };
    let os = if os == OTHER { os_word(found.os) } else { os };
    Agent { class, browser: browser_word(found.name), os }
}

fn browser_word(name: &str) -> &'static str {
    match name {
        "Internet Explorer" => "ie",
        "Edge" => "edge",
        "Chrome" => "chrome",
        "Safari" => "safari",
        "Firefox" => "firefox",
        "Opera" => "opera",
        "Vivaldi" => "vivaldi",
        "SamsungBrowser" => "samsung",
        "Yandex Browser" => "yandex",
        "Webview" => "webview",
        "docomo" | "au by KDDI" | "SoftBank Mobile" | "WILLCOM" | "emobile" | "jig browser" => "feature phone",
        _ => OTHER,
    }
}

fn os_word(name: &str) -> &'static str {
    match name {
        "Android" => "android",
        "iOS" | "iPhone" | "iPad" | "iPod" => "ios",
        "Linux" => "linux",
        "BSD" => "bsd",
        "ChromeOS" => "chromeos",
        _ if name.starts_with("Windows") => "windows",
        _ if name.starts_with("Mac OS") => "macos",
        _ if ["PlayStation", "Nintendo", "Xbox"].iter().any(|console| name.starts_with(console)) => "console",
        _ => OTHER,
    }
}
