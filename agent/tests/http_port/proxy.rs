//! Proxies: for TLS alone, and never for this board itself.

use super::{
    form, reply,
    servers::{OK, Server},
    telemetry, try_http,
};
use signpost_core::http::{Cause, Outcome};

fn through(table: &str, proxy: &Server) -> String {
    format!("[{table}]\nproxy = \"http://someone:pw-secret@{}\"\n", proxy.address)
}

#[tokio::test]
async fn a_proxy_that_refuses_has_sent_nothing() {
    let refusal = "HTTP/1.1 407 Who are you\r\ncontent-length: 0\r\n\r\n";
    let mut proxy = Server::answering(refusal).await;
    let http = try_http(&through("network", &proxy)).unwrap();
    let outcome = http.exchange(form("https://idp.example/token?state=s-secret")).await;
    assert_eq!(outcome, Outcome::NotSent(Cause::Connect));
    let heard = String::from_utf8(proxy.heard().await).unwrap();
    assert!(heard.starts_with("CONNECT idp.example:443 HTTP/1.1\r\n"), "{heard}");
    assert!(heard.to_lowercase().contains("\r\nproxy-authorization: basic "), "{heard}");
    assert!(!heard.contains("secret"), "{heard}");
}

#[tokio::test]
async fn issuer_and_backend_may_have_a_proxy_each() {
    let (mut issuers, mut backends) = (Server::answering("").await, Server::answering("").await);
    let more = through("network", &issuers) + &through("telemetry", &backends);
    let http = try_http(&more).unwrap();
    http.exchange(form("https://idp.example/token")).await;
    http.exchange(telemetry("https://telemetry.example/v1/logs", b"")).await;
    let heard = |heard: Vec<u8>| String::from_utf8(heard).unwrap();
    assert!(heard(issuers.heard().await).starts_with("CONNECT idp.example:443"));
    assert!(heard(backends.heard().await).starts_with("CONNECT telemetry.example:443"));
    assert!(issuers.is_untouched() && backends.is_untouched());
}

#[tokio::test]
async fn invariant_7_plain_text_to_this_board_passes_no_proxy() {
    let mut proxy = Server::answering(OK).await;
    let mut issuer = Server::answering(OK).await;
    let http = try_http(&through("network", &proxy)).unwrap();
    reply(http.exchange(form(&issuer.url())).await);
    issuer.heard().await;
    assert!(proxy.is_untouched());
}
