//! The token socket.

use std::time::Duration;

use signpost::ports::{Answer, Call};
use signpost_core::session::TokenKey;

use crate::stage::{Stage, answer_status, get, status};

#[tokio::test]
async fn who_may_have_tokens_sees_no_code() {
    let stage = Stage::set(|_| answer_status(&status("pairing")));
    assert_eq!(stage.tokens(&get("/v1/status")).await.status, 200);
    assert_eq!(stage.calls(), ["Status { private: false }"]);
}

#[tokio::test]
async fn a_query_becomes_a_key() {
    let (keys, mut asked) = tokio::sync::mpsc::unbounded_channel();
    let stage = Stage::set(move |call| {
        if let Call::Token { key, min_ttl } = call {
            keys.send((key.clone(), *min_ttl)).unwrap();
        }
        Some(Answer::SignInNeeded)
    });
    let query = "/v1/token?resource=https%3A%2F%2Fapi.example&scope=b+a&scope=c&min_ttl=90";
    stage.tokens(&get(query)).await;
    let scopes = ["a", "b", "c"].map(String::from);
    let key = TokenKey::new(Some("https://api.example".into()), &scopes);
    assert_eq!(asked.recv().await.unwrap(), (key, Duration::from_secs(90)));
    stage.tokens(&get("/v1/token")).await;
    assert_eq!(asked.recv().await.unwrap(), (TokenKey::default(), Duration::ZERO));
}

#[tokio::test]
async fn a_query_that_makes_no_sense_never_gets_to_the_driver() {
    let stage = Stage::set(|_| None);
    let long = "x".repeat(9_000);
    for query in [
        "scopes=a",
        "resource=api",
        "resource=https%3A%2F%2Fa%2F%23b",
        "resource=https%3A%2F%2Fa&resource=https%3A%2F%2Fb",
        "min_ttl=-1",
        "min_ttl=soon",
        "min_ttl=86401",
        "min_ttl=1&min_ttl=2",
        "scope=%22",
        "scope=a%0ab",
        "scope=%C3%A4",
        &format!("scope={long}"),
        &format!("scope={}", "a+".repeat(40)),
    ] {
        let reply = stage.tokens(&get(&format!("/v1/token?{query}"))).await;
        assert_eq!(reply.status, 400, "{query}");
        let body = reply.json();
        assert_eq!(body["error"], "invalid_request", "{query}");
        assert!(body["error_description"].as_str().unwrap().ends_with('.'), "{body}");
    }
    assert_eq!(stage.calls(), [""; 0]);
}

#[tokio::test]
async fn refusals_have_oauth_s_names() {
    let answers = [
        ("", Answer::SignInNeeded, 503, "login_required"),
        ("", Answer::Refused, 400, "invalid_scope"),
        ("?resource=https%3A%2F%2Fa", Answer::Refused, 400, "invalid_target"),
        ("", Answer::TryLater(Duration::from_secs(10)), 503, "temporarily_unavailable"),
        ("", Answer::Done, 500, "server_error"),
    ];
    for (query, answer, status, error) in answers {
        let mut answer = Some(answer);
        let stage = Stage::set(move |_| answer.take());
        let reply = stage.tokens(&get(&format!("/v1/token{query}"))).await;
        assert_eq!((reply.status, &reply.json()["error"]), (status, &error.into()));
        assert_eq!(reply.header("retry-after").is_some(), status == 503);
    }
}
