//! An issuer and a backend in one, as small as the standards allow.

use std::sync::{Arc, Mutex, MutexGuard};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// What the servers were asked, and how they are to answer.
#[derive(Debug, Default)]
pub(crate) struct World {
    /// Codes that were given out.
    pub(crate) codes: u32,
    pub(crate) approved: bool,
    /// Refreshes are read, and never answered.
    pub(crate) hangs: bool,
    pub(crate) refreshes: u32,
    /// What is answered, with 400, to who asks for a code.
    pub(crate) refusal: Option<&'static str>,
    /// Seconds that an access token is good.
    pub(crate) lifetime: u32,
    /// `authorization` of what telemetry came, newest last.
    pub(crate) telemetry: Vec<String>,
}

/// The servers on one address; they end with the test's runtime.
#[derive(Clone)]
pub(crate) struct Servers {
    pub(crate) url: String,
    world: Arc<Mutex<World>>,
    changes: watch::Sender<()>,
}

impl Servers {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let world = World { lifetime: 3600, ..World::default() };
        let servers =
            Self { url, world: Arc::new(Mutex::new(world)), changes: watch::Sender::default() };
        let this = servers.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(this.clone().serve(stream));
            }
        });
        servers
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    /// Waits until the servers have seen what `wanted` says.
    pub(crate) async fn saw(&self, wanted: impl Fn(&World) -> bool) {
        let mut changes = self.changes.subscribe();
        while !wanted(&self.world()) {
            changes.changed().await.unwrap();
        }
    }

    async fn serve(self, mut stream: TcpStream) {
        while let Some((path, head, body)) = read(&mut stream).await {
            let Some((status, answer)) = self.answer(&path, &head, &body) else {
                return std::future::pending().await;
            };
            let answer = format!(
                "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n\
                 content-length: {}\r\n\r\n{answer}",
                answer.len()
            );
            let written = stream.write_all(answer.as_bytes()).await;
            self.changes.send_replace(());
            if written.is_err() {
                return;
            }
        }
    }

    fn answer(&self, path: &str, head: &str, body: &str) -> Option<(u16, String)> {
        let url = &self.url;
        let mut world = self.world();
        let lifetime = world.lifetime;
        Some(match path {
            "/.well-known/openid-configuration" => (
                200,
                format!(
                    r#"{{"issuer":"{url}","token_endpoint":"{url}/token",
                    "device_authorization_endpoint":"{url}/device"}}"#
                ),
            ),
            "/device" if world.refusal.is_some() => {
                (400, world.refusal.unwrap_or_default().to_owned())
            }
            "/device" => {
                world.codes += 1;
                let code = world.codes;
                (
                    200,
                    format!(
                        r#"{{"device_code":"dc-secret-{code}","user_code":"CODE-{code}",
                        "verification_uri":"{url}/go","expires_in":600,"interval":1}}"#
                    ),
                )
            }
            "/token" if body.contains("refresh_token") => {
                world.refreshes += 1;
                let number = world.refreshes;
                if world.hangs {
                    drop(world);
                    self.changes.send_replace(());
                    return None;
                }
                (200, tokens(number, lifetime))
            }
            "/token" if world.approved => (200, tokens(0, lifetime)),
            "/token" => (400, r#"{"error":"authorization_pending"}"#.into()),
            "/v1/logs" | "/v1/metrics" => {
                let bearer = head.lines().find_map(|line| line.strip_prefix("authorization: "));
                world.telemetry.push(bearer.unwrap_or_default().to_owned());
                (200, String::new())
            }
            _ => (404, "{}".into()),
        })
    }
}

fn tokens(number: u32, lifetime: u32) -> String {
    format!(
        r#"{{"access_token":"at-secret-{number}","token_type":"Bearer","expires_in":{lifetime},
        "refresh_token":"rt-secret-{number}"}}"#
    )
}

async fn read(stream: &mut TcpStream) -> Option<(String, String, String)> {
    let mut request = Vec::new();
    loop {
        if let Some(end) = request.windows(4).position(|end| end == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&request[..end]).into_owned();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.map_or(0, |length| length.parse().unwrap());
            if request.len() >= end + 4 + length {
                let path = head.split(' ').nth(1).unwrap().to_owned();
                let body = String::from_utf8_lossy(&request[end + 4..]).into_owned();
                return Some((path, head, body));
            }
        }
        let mut piece = [0; 4096];
        match stream.read(&mut piece).await {
            Ok(0) | Err(_) => return None,
            Ok(count) => request.extend(&piece[..count]),
        }
    }
}
