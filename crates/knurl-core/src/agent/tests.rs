//! What agents are called, and that strangers' words never get out.

use proptest::prelude::*;
use rstest::rstest;

use super::*;

fn visit(user_agent: &str) -> (AgentClass, &'static str, &'static str) {
    let agent = classify(Some(user_agent), Purpose::Visit);
    (agent.class, agent.browser, agent.os)
}

#[rstest]
#[case::chrome_windows(
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
    "chrome",
    "windows"
)]
#[case::chrome_android(
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Mobile Safari/537.36",
    "chrome",
    "android"
)]
#[case::chrome_cros(
    "Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
    "chrome",
    "chromeos"
)]
#[case::chrome_ios(
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/126.0.6478.54 Mobile/15E148 Safari/604.1",
    "chrome",
    "ios"
)]
#[case::edge(
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36 Edg/126.0.2592.56",
    "edge",
    "windows"
)]
#[case::opera(
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/125.0.0.0 Safari/537.36 OPR/111.0.0.0",
    "opera",
    "macos"
)]
#[case::samsung(
    "Mozilla/5.0 (Linux; Android 14; SM-S921B) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/25.0 Chrome/121.0.0.0 Mobile Safari/537.36",
    "samsung",
    "android"
)]
#[case::firefox_linux("Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0", "firefox", "linux")]
#[case::firefox_ios(
    "Mozilla/5.0 (iPad; CPU OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) FxiOS/127.0 Mobile/15E148 Safari/605.1.15",
    "firefox",
    "ios"
)]
#[case::safari_mac(
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Safari/605.1.15",
    "safari",
    "macos"
)]
#[case::safari_iphone(
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1",
    "safari",
    "ios"
)]
#[case::in_app_ios(
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148",
    "webview",
    "ios"
)]
#[case::in_app_android(
    "Mozilla/5.0 (Linux; Android 13; Pixel 6; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/126.0.0.0 Mobile Safari/537.36",
    "webview",
    "android"
)]
#[case::facebook_app(
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 [FBAN/FBIOS;FBAV/466.0]",
    "facebook",
    "ios"
)]
#[case::android_browser(
    "Mozilla/5.0 (Linux; U; Android 4.0.3; de-de) AppleWebKit/534.30 (KHTML, like Gecko) Version/4.0 Mobile Safari/534.30",
    "android",
    "android"
)]
#[case::ie11("Mozilla/5.0 (Windows NT 10.0; WOW64; Trident/7.0; rv:11.0) like Gecko", "ie", "windows")]
#[case::freebsd("Mozilla/5.0 (X11; FreeBSD amd64; rv:126.0) Gecko/20100101 Firefox/126.0", "firefox", "bsd")]
#[case::console(
    "Mozilla/5.0 (PlayStation; PlayStation 5/2.26) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/13.0 Safari/605.1.15",
    "safari",
    "console"
)]
#[case::tv(
    "Mozilla/5.0 (SMART-TV; Linux; Tizen 6.0) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/3.0 Chrome/76 TV Safari/537.36",
    "samsung",
    "tv"
)]
#[case::phone_that_sounds_like_a_bot(
    "Mozilla/5.0 (Linux; Android 9; CUBOT_X19) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Mobile Safari/537.36",
    "chrome",
    "android"
)]
#[case::feature_phone("DoCoMo/2.0 P903i(c100;TB;W24H12)", "feature phone", "other")]
fn a_browser_is_a_person(#[case] user_agent: &str, #[case] browser: &str, #[case] os: &str) {
    assert_eq!(visit(user_agent), (AgentClass::Human, browser, os));
}

#[rstest]
#[case("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "googlebot")]
#[case(
    "Mozilla/5.0 (Linux; Android 6.0.1; Nexus 5X) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Mobile Safari/537.36 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "googlebot"
)]
#[case("AdsBot-Google (+http://www.google.com/adsbot.html)", "googlebot")]
#[case(
    "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm) Chrome/116.0.1938.76 Safari/537.36",
    "bingbot"
)]
#[case("Mozilla/5.0 (compatible; YandexBot/3.0; +http://yandex.com/bots)", "yandexbot")]
#[case("Mozilla/5.0 (compatible; Baiduspider/2.0; +http://www.baidu.com/search/spider.html)", "baiduspider")]
#[case("Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)", "slackbot")]
#[case("facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)", "facebook")]
#[case("Twitterbot/1.0", "twitterbot")]
#[case("WhatsApp/2.23.20.0 A", "whatsapp")]
#[case("Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)", "discordbot")]
#[case("TelegramBot (like TwitterBot)", "telegrambot")]
#[case("LinkedInBot/1.0 (compatible; Mozilla/5.0; Apache-HttpClient +http://www.linkedin.com)", "linkedinbot")]
#[case("Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2; +https://openai.com/gptbot)", "gptbot")]
#[case("Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; ClaudeBot/1.0; +claudebot@anthropic.com)", "claudebot")]
#[case("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/126.0.0.0 Safari/537.36", "headless")]
#[case("Mozilla/5.0 zgrab/0.x", "scanner")]
#[case("SomethingNewBot/1.0", "other")]
#[case("Mozilla/5.0 (compatible; Something/1.0; +https://example.org/about)", "other")]
fn a_crawler_or_previewer_is_a_bot(#[case] user_agent: &str, #[case] name: &str) {
    let (class, browser, _) = visit(user_agent);
    assert_eq!((class, browser), (AgentClass::Bot, name));
}

#[rstest]
#[case("curl/8.5.0", "curl")]
#[case("Wget/1.21.4", "wget")]
#[case("python-requests/2.32.3", "python")]
#[case("Python/3.12 aiohttp/3.9.5", "python")]
#[case("Go-http-client/1.1", "go")]
#[case("okhttp/4.12.0", "okhttp")]
#[case("Apache-HttpClient/4.5.14 (Java/17.0.2)", "java")]
#[case("Java/17.0.2", "java")]
#[case("axios/1.7.2", "axios")]
#[case("node", "node")]
#[case("PostmanRuntime/7.39.0", "postman")]
#[case("Mozilla/5.0 (Windows NT; Windows NT 10.0; de-DE) WindowsPowerShell/5.1.19041.4291", "powershell")]
#[case("Mozilla/5.0+(compatible; UptimeRobot/2.0; http://www.uptimerobot.com/)", "monitor")]
#[case("kube-probe/1.29", "monitor")]
#[case("Prometheus/2.52.0", "monitor")]
#[case("Dalvik/2.1.0 (Linux; U; Android 13; Pixel 6 Build/TQ3A)", "dalvik")]
fn a_program_is_a_tool(#[case] user_agent: &str, #[case] name: &str) {
    let (class, browser, _) = visit(user_agent);
    assert_eq!((class, browser), (AgentClass::Tool, name));
}

#[rstest]
#[case::none(None)]
#[case::empty(Some(""))]
#[case::dash(Some("-"))]
#[case::mozilla(Some("Mozilla/5.0"))]
#[case::noise(Some("\u{fffd}\u{fffd}(((("))]
fn an_agent_that_says_nothing_is_unknown(#[case] user_agent: Option<&str>) {
    let unknown = Agent { class: AgentClass::Unknown, browser: OTHER, os: OTHER };
    assert_eq!(classify(user_agent, Purpose::Visit), unknown);
    assert!(!unknown.class.is_human());
}

#[test]
fn what_is_announced_as_prefetch_is_prefetch_whatever_the_agent() {
    for user_agent in [None, Some("curl/8"), Some("Googlebot/2.1"), Some("Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Firefox/127.0")]
    {
        assert_eq!(classify(user_agent, Purpose::Prefetch).class, AgentClass::Prefetch);
    }
}

#[rstest]
#[case("https://Example.org/a?b#c", Some("example.org"))]
#[case("https://www.example.org/", Some("example.org"))]
#[case("https://www.com/", Some("www.com"))]
#[case("https://example.org.", Some("example.org"))]
#[case("http://user@example.org:8080/", Some("example.org"))]
#[case("https://bücher.example/", Some("xn--bcher-kva.example"))]
#[case("http://[2001:DB8::1]/", Some("[2001:db8::1]"))]
#[case("android-app://com.Slack/", Some("com.slack"))]
#[case("", None)]
#[case("-", None)]
#[case("about:blank", None)]
#[case("/path", None)]
#[case("example.org", None)]
#[case("https://", None)]
#[case("https://./", None)]
#[case("x://a b/", None)]
#[case("x://a%20b\u{fffd}/", None)]
fn a_referrer_is_known_by_its_host(#[case] referrer: &str, #[case] host: Option<&str>) {
    assert_eq!(referrer_host(referrer).as_deref(), host);
}

#[test]
fn a_referrer_host_has_up_to_253_bytes() {
    let host = |len: usize| format!("https://{}.example/", ["a".repeat(60).as_str(); 5].join(".").split_at(len - 8).0);
    assert_eq!(referrer_host(&host(253)).map(|host| host.len()), Some(253));
    assert_eq!(referrer_host(&host(254)), None);
}

proptest! {
    #[test]
    fn any_agent_is_classified_in_words_of_ours(user_agent in "(?s:.){0,600}|([A-Za-z]{0,12}[ /;()+.-]{0,2}){0,60}", prefetch in any::<bool>()) {
        let purpose = if prefetch { Purpose::Prefetch } else { Purpose::Visit };
        let agent = classify(Some(&user_agent), purpose);
        for word in [agent.browser, agent.os] {
            prop_assert!(word.len() <= 16 && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b" .".contains(&byte)));
        }
    }

    #[test]
    fn any_referrer_has_a_host_fit_for_a_key_or_none(referrer in "(https?://|[a-z-]{1,8}://)?(?s:.){0,300}|https?://[a-zA-Z.0-9ü-]{1,300}") {
        if let Some(host) = referrer_host(&referrer) {
            prop_assert!((1..=253).contains(&host.len()) && host.bytes().all(|byte| byte.is_ascii_graphic() && !byte.is_ascii_uppercase()));
        }
    }
}
