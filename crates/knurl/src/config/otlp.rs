//! Where traces are sent: `http://HOST[:PORT][/PATH]`, and how it is spoken to.
//!
//! Refused: `https`. Traces go to a collector beside the node (or in its pod, or its network), which has certificates, credentials and
//! the patience that the way to a vendor takes.

use std::net::IpAddr;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtlpProtocol {
    Grpc,
    /// Protobuf over HTTP/1.1.
    Http,
}

impl OtlpProtocol {
    fn port(self) -> u16 {
        match self {
            Self::Grpc => 4317,
            Self::Http => 4318,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtlpEndpoint {
    pub protocol: OtlpProtocol,
    /// A name or an address, without brackets.
    pub host: String,
    pub port: u16,
    /// Of HTTP; gRPC has its own.
    pub path: String,
}

impl OtlpEndpoint {
    pub fn parse(text: &str, protocol: OtlpProtocol) -> Option<Self> {
        let url = url::Url::parse(text).ok()?;
        let plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty() && url.password().is_none();
        if url.scheme() != "http" || !plain {
            return None;
        }
        let host = url.host_str()?.trim_matches(['[', ']']).to_owned();
        let path = match (protocol, url.path()) {
            (OtlpProtocol::Grpc, "/") => String::new(),
            (OtlpProtocol::Grpc, _) => return None,
            (OtlpProtocol::Http, "/") => "/v1/traces".to_owned(),
            (OtlpProtocol::Http, path) => path.to_owned(),
        };
        // `url` forgets a port that is the scheme's own.
        let named = text.trim_end_matches('/').ends_with(":80") || text.contains(":80/");
        let port = url.port().unwrap_or(if named { 80 } else { protocol.port() });
        (port != 0).then_some(Self { protocol, host, port, path })
    }

    /// For `Host` and `:authority`.
    pub fn authority(&self) -> String {
        match self.host.parse() {
            Ok(IpAddr::V6(ip)) => format!("[{ip}]:{}", self.port),
            _ => format!("{}:{}", self.host, self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::{OtlpEndpoint, OtlpProtocol::*};

    #[rstest]
    #[case("http://127.0.0.1:4317", Grpc, Some("127.0.0.1:4317 "))]
    #[case("http://otel/", Grpc, Some("otel:4317 "))]
    #[case("http://otel", Http, Some("otel:4318 /v1/traces"))]
    #[case("http://otel:80/", Http, Some("otel:80 /v1/traces"))]
    #[case("http://[::1]:9/x/y", Http, Some("[::1]:9 /x/y"))]
    #[case("http://otel:4317/x", Grpc, None)]
    #[case("https://otel:4317", Grpc, None)]
    #[case("http://user:pw@otel", Http, None)]
    #[case("http://otel?x=1", Http, None)]
    #[case("http://otel:0", Http, None)]
    #[case("otel:4317", Grpc, None)]
    fn an_endpoint_is_read_or_refused(#[case] text: &str, #[case] protocol: super::OtlpProtocol, #[case] read: Option<&str>) {
        let endpoint = OtlpEndpoint::parse(text, protocol);
        assert_eq!(endpoint.map(|endpoint| format!("{} {}", endpoint.authority(), endpoint.path)).as_deref(), read);
    }
}
