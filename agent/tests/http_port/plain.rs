//! Plain connections: requests, replies, and every way to fail without TLS.

use super::{
    answered_with, form, get, http, reply,
    servers::{OK, Server, read_request},
    telemetry, try_http,
};
use signpost::signing;
use signpost_core::http::{Cause, MAX_REPLY, Outcome, Request};
use signpost_core::jws::Unsigned;
use signpost_core::secret::Secret;
use signpost_core::time::Wall;
use std::{
    io::{Read, Write},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

#[tokio::test]
async fn a_form_goes_out_with_its_headers_and_the_reply_comes_back() {
    let mut server = Server::answering(
        "HTTP/1.1 503 Unwell\r\nContent-Type: application/json\r\nRetry-After: 7\r\n\
         Set-Cookie: a=b\r\nContent-Length: 11\r\n\r\n{\"error\":1}",
    )
    .await;
    let mut request = form(&server.url());
    request.headers.push(("authorization".into(), Secret::new("Basic c2VjcmV0")));
    let reply = reply(http().exchange(request).await);
    assert_eq!((reply.status, &reply.body[..]), (503, &b"{\"error\":1}"[..]));
    assert_eq!(reply.header("retry-after"), Some("7"));
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.header("set-cookie"), None, "nobody acts upon it");
    let heard = String::from_utf8(server.heard().await).unwrap().to_lowercase();
    assert!(heard.starts_with("post /token?state=s-secret http/1.1\r\n"), "{heard}");
    assert!(heard.contains("\r\ncontent-type: application/x-www-form-urlencoded\r\n"), "{heard}");
    assert!(heard.contains("\r\nuser-agent: signpost/"), "{heard}");
    assert!(heard.contains("\r\nauthorization: basic c2vjcmv0\r\n"), "{heard}");
    assert!(!heard.contains("accept-encoding"), "a compressed reply could be a bomb: {heard}");
    assert!(heard.ends_with("\r\n\r\ngrant_type=refresh_token&refresh_token=rt-secret"));
}

#[tokio::test]
async fn a_challenge_on_several_lines_is_one_and_of_other_headers_the_first_counts() {
    let answer = "HTTP/1.1 401 No\r\nWWW-Authenticate: Negotiate\r\nRetry-After: 7\r\n\
         WWW-Authenticate: Bearer error=\"insufficient_user_authentication\", max_age=\"5\"\r\n\
         Retry-After: 9\r\nContent-Length: 0\r\n\r\n";
    let reply = reply(answered_with(answer).await);
    assert_eq!(reply.header("retry-after"), Some("7"));
    let challenge = signpost_core::wire::Challenge::read(&reply).unwrap();
    assert_eq!(challenge.max_age, Some(5));
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let mut elsewhere = Server::answering(OK).await;
    let moved =
        format!("HTTP/1.1 307 Moved\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n", elsewhere.url());
    assert_eq!(reply(answered_with(moved).await).status, 307);
    assert!(elsewhere.is_untouched());
}

#[tokio::test]
async fn telemetry_is_compressed_as_configured_and_forms_never_are() {
    for coding in ["gzip", "zstd"] {
        let http = try_http(&format!("[telemetry]\ncompression = \"{coding}\"\n")).unwrap();
        // Above and below the size from which another thread compresses.
        for length in [100, 100_000] {
            let body = vec![7; length];
            let mut server = Server::answering(OK).await;
            reply(http.exchange(telemetry(&server.url(), &body)).await);
            let heard = server.heard().await;
            let head = heard.windows(4).position(|end| end == b"\r\n\r\n").unwrap() + 4;
            let text = String::from_utf8_lossy(&heard[..head]).to_lowercase();
            assert!(text.contains(&format!("\r\ncontent-encoding: {coding}\r\n")), "{text}");
            assert!(text.contains("\r\ncontent-type: application/x-protobuf\r\n"), "{text}");
            let inflated = match coding {
                "zstd" => zstd::stream::decode_all(&heard[head..]).unwrap(),
                _ => {
                    let mut inflated = Vec::new();
                    let mut decoder = flate2::read::GzDecoder::new(&heard[head..]);
                    decoder.read_to_end(&mut inflated).unwrap();
                    inflated
                }
            };
            assert_eq!(inflated, body);
        }
        // What would grow goes as it is.
        let mut server = Server::answering(OK).await;
        reply(http.exchange(telemetry(&server.url(), b"short")).await);
        let heard = String::from_utf8_lossy(&server.heard().await).to_lowercase();
        assert!(heard.ends_with("\r\n\r\nshort") && !heard.contains("encoding"), "{heard}");
    }
    let plain = try_http("[telemetry]\ncompression = \"none\"\n").unwrap();
    let mut server = Server::answering(OK).await;
    reply(plain.exchange(telemetry(&server.url(), b"as it is")).await);
    assert!(server.heard().await.ends_with(b"\r\n\r\nas it is"));
}

#[tokio::test]
async fn a_connection_is_used_again_while_it_is_fresh() {
    let server = Server::doing(|mut stream, heard| async move {
        let _ = heard.send(b"a connection".to_vec());
        while !read_request(&mut stream).await.is_empty() {
            stream.write_all(OK).await.unwrap();
        }
    });
    let mut server = server.await;
    let http = http();
    for _ in 0..3 {
        reply(http.exchange(get(&server.url())).await);
    }
    server.heard().await;
    assert!(server.is_untouched(), "one connection for all");
}

#[tokio::test]
async fn what_was_never_connected_was_not_sent() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let refused = http().exchange(form(&format!("http://{closed}/"))).await;
    assert_eq!(refused, Outcome::NotSent(Cause::Connect));
    // A label of 64 letters has no address anywhere, and no server has to be asked for it.
    let nameless = http().exchange(form(&format!("http://{}.example/", "a".repeat(64)))).await;
    assert_eq!(nameless, Outcome::NotSent(Cause::Dns));
}

#[tokio::test]
async fn what_is_no_request_is_not_sent() {
    let mut server = Server::answering(OK).await;
    let mut request = form(&server.url());
    request.headers.push(("x-tenant".into(), Secret::new("two\r\nlines: 1")));
    assert_eq!(http().exchange(request).await, Outcome::NotSent(Cause::Broken));
    assert_eq!(http().exchange(get("no address")).await, Outcome::NotSent(Cause::Broken));
    assert!(server.is_untouched());
}

#[tokio::test]
async fn a_connection_that_ends_before_the_answer_loses_it() {
    assert_eq!(answered_with("").await, Outcome::Lost(Cause::Broken), "closed without a word");
    let reset = Server::doing(|mut stream, _| async move {
        read_request(&mut stream).await;
        stream.set_zero_linger().unwrap();
    });
    let outcome = http().exchange(form(&reset.await.url())).await;
    assert_eq!(outcome, Outcome::Lost(Cause::Broken), "reset");
}

#[tokio::test]
async fn an_answer_that_is_cut_short_is_lost() {
    for cut in [
        "HTTP/1.1 200 OK\r\nconte",
        "HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n{\"access_token\":",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{\"acc",
    ] {
        assert_eq!(answered_with(cut).await, Outcome::Lost(Cause::Broken), "{cut}");
    }
}

#[tokio::test]
async fn an_exchange_that_ends_after_any_byte_is_lost_unless_nothing_is_missing() {
    let http = http();
    let answered_with = async |bytes: &str| {
        let server = Server::answering(bytes).await;
        http.exchange(form(&server.url())).await
    };
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
    let body = "{\"access_token\":\"at-secret\"}";
    let framed = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
    for cut in 0..framed.len() {
        assert_eq!(answered_with(&framed[..cut]).await, Outcome::Lost(Cause::Broken), "{cut}");
    }
    assert_eq!(reply(answered_with(&framed).await).body, body.as_bytes());
    // Who does not say how long it is has said all when the connection ends.
    let head = format!("{head}\r\n");
    let unframed = format!("{head}{body}");
    for cut in 0..=unframed.len() {
        let outcome = answered_with(&unframed[..cut]).await;
        match cut.checked_sub(head.len()) {
            None => assert_eq!(outcome, Outcome::Lost(Cause::Broken), "{cut}"),
            Some(rest) => assert_eq!(reply(outcome).body, body.as_bytes()[..rest], "{cut}"),
        }
    }
    let mut whole = Server::answering(OK).await;
    reply(http.exchange(form(&whole.url())).await);
    for cut in 1..=whole.heard().await.len() {
        let reset = Server::doing(move |mut stream, _| async move {
            stream.read_exact(&mut vec![0; cut]).await.unwrap();
            stream.set_zero_linger().unwrap();
        });
        let outcome = http.exchange(form(&reset.await.url())).await;
        assert_eq!(outcome, Outcome::Lost(Cause::Broken), "{cut} bytes of the request");
    }
}

#[tokio::test]
async fn what_is_no_http_is_lost() {
    for garbage in ["SSH-2.0-OpenSSH_9.2\r\n", "\0\0\0\0", "HTTP/1.1 OK\r\n\r\n", "<html>\r\n\r\n"]
    {
        assert_eq!(answered_with(garbage).await, Outcome::Lost(Cause::Broken), "{garbage}");
    }
    let endless_head = format!("HTTP/1.1 200 OK\r\n{}", "x-more: of the same\r\n".repeat(50_000));
    assert_eq!(answered_with(endless_head).await, Outcome::Lost(Cause::Broken));
}

#[tokio::test]
async fn silence_ends_at_the_limit() {
    let silent = Server::doing(|mut stream, _| async move {
        read_request(&mut stream).await;
        std::future::pending().await
    });
    let outcome = http().exchange(form(&silent.await.url())).await;
    assert_eq!(outcome, Outcome::Lost(Cause::Timeout));
}

#[tokio::test]
async fn a_slow_drip_ends_at_the_limit() {
    let slow = Server::doing(|mut stream, _| async move {
        read_request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 60000\r\n\r\n").await.unwrap();
        let mut drops = tokio::time::interval(Duration::from_millis(20));
        while stream.write_all(b" ").await.is_ok() {
            drops.tick().await;
        }
    });
    let outcome = http().exchange(form(&slow.await.url())).await;
    assert_eq!(outcome, Outcome::Lost(Cause::Timeout));
}

#[tokio::test]
async fn a_reply_that_is_too_large_is_not_read_to_its_end() {
    let announced = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", MAX_REPLY + 1);
    assert_eq!(answered_with(announced).await, Outcome::Lost(Cause::TooLarge));
    let endless = Server::doing(|mut stream, heard| async move {
        read_request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        while stream.write_all(&[b' '; 4096]).await.is_ok() {}
        let _ = heard.send(b"they hung up".to_vec());
    });
    let mut endless = endless.await;
    let outcome = http().exchange(form(&endless.url())).await;
    assert_eq!(outcome, Outcome::Lost(Cause::TooLarge));
    endless.heard().await;
    let undeclared = [b"HTTP/1.1 200 OK\r\n\r\n", &[b' '; MAX_REPLY + 1][..]].concat();
    assert_eq!(answered_with(undeclared).await, Outcome::Lost(Cause::TooLarge));
    let most = [
        format!("HTTP/1.1 200 OK\r\ncontent-length: {MAX_REPLY}\r\n\r\n").as_bytes(),
        &[b' '; MAX_REPLY],
    ]
    .concat();
    assert_eq!(reply(answered_with(most).await).body.len(), MAX_REPLY);
}

#[tokio::test]
async fn what_is_to_be_signed_is_signed_and_put_in_and_without_a_key_nothing_is_sent() {
    let mut server = Server::answering(OK).await;
    let now = Wall::new(Duration::from_secs(1_800_000_000));
    let key = signing::make_device_key().unwrap();
    let proof = Unsigned::proof(key, ("POST", "https://a"), None, None, "j".into(), now);
    let assertion = Unsigned::assertion("c", "https://a", "j".into(), now);
    let request = Request { unsigned: vec![proof, assertion.clone()], ..form(&server.url()) };

    let pem = rcgen::KeyPair::generate().unwrap().serialize_pem();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(pem.as_bytes()).unwrap();
    let http = try_http(&format!("private_key_file = \"{}\"\n", file.path().display())).unwrap();
    assert!(!format!("{http:?} {request:?}").contains("PRIVATE"));
    reply(http.exchange(request).await);
    let heard = String::from_utf8(server.heard().await).unwrap();
    let jws = |text: &str| {
        text.split(['.', '-', '_']).all(|it| it.bytes().all(|b| b.is_ascii_alphanumeric()))
    };
    let header = heard.lines().find_map(|line| line.strip_prefix("dpop: ")).unwrap();
    assert!(header.matches('.').count() == 2 && jws(header), "{header}");
    let (_, field) = heard.split_once("rt-secret&client_assertion=").unwrap();
    assert!(field.matches('.').count() == 2 && jws(field), "{field}");

    let unsigned = Request { unsigned: vec![assertion], ..form(&server.url()) };
    let outcome = super::http().exchange(unsigned).await;
    assert_eq!(outcome, Outcome::NotSent(Cause::Unsigned));
    assert!(server.is_untouched());
}
