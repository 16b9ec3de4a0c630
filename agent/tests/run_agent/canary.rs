//! Design invariant 7, for the whole program: whatever was secret in a life with a sign-in, renewals
//! and a sign-out is looked for in all that it wrote.

use super::{binary::Unit, device::Device, servers::Servers};
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

/// Marks of access tokens, refresh tokens and device codes.
const SECRETS: [&str; 3] = ["at-secret-", "rt-secret-", "dc-secret-"];
/// What only panels and the control socket may show.
const PRIVATE: [&str; 2] = ["CODE-1", "/go"];

/// What `path` of a socket answers.
async fn ask(socket: PathBuf, method: &'static str, path: &'static str) -> String {
    let asked = move || {
        let mut stream = UnixStream::connect(socket).unwrap();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    };
    tokio::task::spawn_blocking(asked).await.unwrap()
}

/// Where a needle is found in the files of a folder.
fn holding(folder: PathBuf, needle: &[u8]) -> Vec<PathBuf> {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let plain = files.filter(|path| path.is_file());
    let holds = |path: &PathBuf| {
        let bytes = fs::read(path).unwrap();
        bytes.windows(needle.len()).any(|window| window == needle)
    };
    plain.filter(holds).collect()
}

#[tokio::test]
async fn invariant_7_nothing_secret_is_in_logs_status_metrics_or_flash() {
    let servers = Servers::start().await;
    let device = Device::new(&servers);
    servers.world().lifetime = 2;
    let [control, tokens] = ["run/control.sock", "run/token.sock"].map(|name| device.path(name));
    let unit = Unit::start(&device, &[("SIGNPOST_LOG", "trace")]);
    unit.tells("STATUS=pairing").await;
    let mut public = vec![ask(tokens.clone(), "GET", "/v1/status").await];
    public.push(ask(control.clone(), "GET", "/metrics").await);
    let whole = ask(control.clone(), "GET", "/v1/status").await;
    assert!(whole.contains("CODE-1"), "it may be seen here: {whole}");
    servers.world().approved = true;
    servers.saw(|world| world.refreshes >= 3 && !world.telemetry.is_empty()).await;
    public.push(ask(tokens.clone(), "GET", "/v1/status").await);
    public.push(ask(control.clone(), "GET", "/metrics").await);
    let private = [whole, ask(control.clone(), "GET", "/v1/check").await];
    let check = || {
        let file = device.path("state/signpost.key");
        let key = fs::read(&file).unwrap();
        assert_eq!(holding(device.path("state"), &key), [file], "where it belongs, and found");
        for secret in SECRETS {
            let at = holding(device.path("state"), secret.as_bytes());
            assert!(at.is_empty(), "{at:?} in plain");
        }
    };
    check();
    let signed_out = ask(control, "POST", "/v1/sign-out").await;
    assert!(signed_out.starts_with("HTTP/1.1 200"), "{signed_out}");
    check();
    unit.signal(rustix::process::Signal::TERM);
    let (code, written) = unit.end().await;
    assert_eq!(code, Some(0));
    assert!(written.contains("signed out") || written.contains("signed in"), "{written}");
    public.push(written);
    for text in public.iter().chain(&private) {
        let found: Vec<_> = SECRETS.iter().filter(|secret| text.contains(**secret)).collect();
        assert!(found.is_empty(), "{found:?} in {text}");
    }
    for text in &public {
        let found: Vec<_> = PRIVATE.iter().filter(|private| text.contains(**private)).collect();
        assert!(found.is_empty(), "{found:?} in {text}");
    }
}
