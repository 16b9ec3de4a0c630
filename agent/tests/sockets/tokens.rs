//! The token socket.

use std::fs::{Permissions, set_permissions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::{Gid, Uid, geteuid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};
use signpost::ports::{Answer, Call};
use signpost::shell::sockets::Limits;
use signpost::signing;
use signpost_core::jws::Unsigned;
use signpost_core::secret::Secret;
use signpost_core::session::{AccessToken, Generation, TokenKey};
use signpost_core::time::Wall;

use crate::stage::{Folder, Reply, Stage, answer_status, get, parse, post, status};

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
    stage.tokens(&get("/v1/token?audience=api%3A%2F%2Fb&scope=a")).await;
    let key = TokenKey::new(None, &["a".into()]).exchanged("api://b".into());
    assert_eq!(asked.recv().await.unwrap(), (key, Duration::ZERO));
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
        "audience=",
        "audience=a%20b",
        "audience=a&audience=b",
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

/// Asks as a program of this user and these groups, which takes root.
async fn ask_as(socket: PathBuf, user: u32, groups: &'static [u32], request: String) -> Reply {
    let asked = std::thread::spawn(move || {
        let gid = |group: &u32| Gid::from_raw(*group);
        // The kernel's calls change this thread alone.
        set_thread_groups(&groups.iter().map(gid).collect::<Vec<_>>()).unwrap();
        let own = Gid::from_raw(65_534);
        set_thread_res_gid(own, own, own).unwrap();
        let user = Uid::from_raw(user);
        set_thread_res_uid(user, user, user).unwrap();
        let mut stream = UnixStream::connect(socket).unwrap();
        let _ = stream.write_all(request.as_bytes());
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        bytes
    });
    let bytes = tokio::task::spawn_blocking(move || asked.join().unwrap()).await.unwrap();
    parse(&bytes).unwrap()
}

#[tokio::test]
async fn rules_decide_by_user_and_group_who_may_have_which_token() {
    if !geteuid().is_root() {
        // Nobody else can take on other users.
        return;
    }
    let folder = Folder::with(
        "[broker.allow.dashboard]\nuid = 4001\nscopes = [\"read\"]\n\
         [broker.allow.staff]\ngroup = \"daemon\"\nscopes = [\"read\", \"write\"]\n",
    );
    set_permissions(folder.path(""), Permissions::from_mode(0o755)).unwrap();
    let socket = folder.path("token.sock");
    let stage = Stage::within(Limits::default(), folder, |call| match call {
        Call::Status { .. } => answer_status(&status("pairing")),
        Call::Token { .. }
        | Call::Proof { .. }
        | Call::SignIn
        | Call::SignOut
        | Call::Reset
        | Call::TestPanels
        | Call::Reload
        | Call::Accept { .. } => Some(Answer::SignInNeeded),
    });
    let ask = |user, groups, path: &str| ask_as(socket.clone(), user, groups, get(path));
    // The group daemon is 1 on every Debian.
    for (user, groups, path, code, error) in [
        (4001, &[][..], "/v1/token", 503, "login_required"),
        (4001, &[], "/v1/token?scope=write", 403, "invalid_scope"),
        (4001, &[], "/v1/token?resource=https%3A%2F%2Fa", 403, "invalid_target"),
        (4002, &[1], "/v1/token?scope=write", 503, "login_required"),
    ] {
        let reply = ask(user, groups, path).await;
        assert_eq!((reply.status, &reply.json()["error"]), (code, &error.into()), "{user} {path}");
    }
    assert_eq!(ask(4002, &[], "/v1/token").await.status, 403, "no rule speaks of it");
    assert_eq!(ask(4001, &[], "/v1/status").await.status, 200);
    let narrowed = |scopes: &str| {
        format!(
            "Token {{ key: TokenKey {{ resource: None, scopes: [{scopes}], by: SignIn }}, min_ttl: 0ns }}"
        )
    };
    let expected =
        [narrowed("\"read\""), narrowed("\"write\""), "Status { private: false }".to_owned()];
    assert_eq!(stage.calls(), expected, "nothing else got to the driver");
}

fn access(token_type: &str) -> Answer {
    let access = AccessToken {
        token: Secret::new("at-1"),
        token_type: token_type.into(),
        expires: None,
        scope: None,
        generation: Generation::default(),
    };
    Answer::Token(access, Some(Duration::from_secs(60)))
}

fn proof_request(body: &str) -> String {
    String::from_utf8(post("/v1/proof", "content-type: application/json\r\n", body.as_bytes()))
        .unwrap()
}

#[tokio::test]
async fn a_proof_comes_with_the_token_that_it_is_for() {
    let key = signing::make_device_key().unwrap();
    let stage = Stage::set(move |call| match call {
        Call::Token { .. } => Some(access("DPoP")),
        Call::Proof { method, url, nonce, access } => {
            let now = Wall::new(Duration::from_secs(1_800_000_000));
            let (request, jti) = ((method.as_str(), url.as_str()), "j".to_owned());
            let (key, access) = (key.clone(), Some(access));
            let proof = Unsigned::proof(key, request, access, nonce.as_deref(), jti, now);
            Some(Answer::Proof(Box::new(proof)))
        }
        Call::Status { .. }
        | Call::SignIn
        | Call::SignOut
        | Call::Reset
        | Call::TestPanels
        | Call::Reload
        | Call::Accept { .. } => None,
    });
    let body = r#"{"htm":"GET","htu":"https://api.example/x","nonce":"n-1"}"#;
    let reply = stage.tokens(&proof_request(body)).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let reply = reply.json();
    assert_eq!((&reply["access_token"], &reply["token_type"]), (&"at-1".into(), &"DPoP".into()));
    assert_eq!(reply["proof"].as_str().unwrap().split('.').count(), 3);
}

#[tokio::test]
async fn where_tokens_are_not_bound_there_is_no_proof() {
    let mut answers = vec![access("Bearer"), access("DPoP"), Answer::Refused, Answer::SignInNeeded];
    answers.reverse();
    let stage = Stage::set(move |_| answers.pop());
    let body = r#"{"htm":"GET","htu":"https://api.example/x"}"#;
    for (status, error) in
        [(400, "invalid_request"), (400, "invalid_request"), (503, "login_required")]
    {
        let reply = stage.tokens(&proof_request(body)).await;
        assert_eq!((reply.status, &reply.json()["error"]), (status, &error.into()));
    }
    assert_eq!(stage.tokens(&proof_request("{}")).await.status, 400);
    assert_eq!(stage.tokens(&proof_request(&"x".repeat(9_000))).await.status, 400);
    assert_eq!(stage.tokens(&get("/v1/proof")).await.status, 405);
}
