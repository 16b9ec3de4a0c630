//! The sockets with a driver's answers behind them, and a client that can be as rude as it likes.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use signpost::config::{self, Loaded, Sources};
use signpost::ports::{Answer, Call};
use signpost::shell::calls::{Asked, Calls};
use signpost::shell::sockets::{Inherited, Limits, Sockets};
use signpost::status::{Account, Delivery, Fault, Flash, Grant, Pairing, Status};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// No test waits longer for anything.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// Bytes of the code and names that some readers must not see.
pub(crate) const CODE: &str = "WDJB-MJHT";
pub(crate) const NAME: &str = "anna@acme.example";

/// A folder with a configuration whose sockets lie in it.
pub(crate) struct Folder {
    folder: tempfile::TempDir,
    pub(crate) loaded: Loaded,
}

impl Folder {
    pub(crate) fn new() -> Self {
        Self::with("")
    }

    pub(crate) fn with(more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("signpost.toml");
        let at = folder.path().display();
        let text = format!(
            r#"
[issuer]
url = "https://idp.example.com"
client_id = "device"
[store]
tokens = {{ path = "{at}/tokens.flash" }}
spool = {{ path = "{at}/spool.flash", size = "1 MiB" }}
[telemetry]
listen = ["127.0.0.1:0", "unix:{at}/otlp.sock"]
[broker]
socket = "{at}/token.sock"
[control]
socket = "{at}/control.sock"
{more}
"#
        );
        std::fs::File::create(&file).unwrap().write_all(text.as_bytes()).unwrap();
        let loaded = config::load(&Sources::file(&file)).unwrap();
        Self { folder, loaded }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.path("signpost.toml")
    }
}

/// Sockets that are being served.
pub(crate) struct Stage {
    pub(crate) folder: Folder,
    pub(crate) intake: std::net::SocketAddr,
    pub(crate) asked: Arc<Mutex<Vec<String>>>,
    count: watch::Receiver<usize>,
    pub(crate) serving: JoinHandle<()>,
    stop: Option<mpsc::Sender<()>>,
    held: Arc<Mutex<Vec<Asked>>>,
}

impl Stage {
    /// `answer`: the driver's word; `None` keeps the caller waiting.
    pub(crate) fn set(answer: impl FnMut(&Call) -> Option<Answer> + Send + 'static) -> Self {
        Self::within(Limits::default(), Folder::new(), answer)
    }

    pub(crate) fn within(
        limits: Limits,
        folder: Folder,
        mut answer: impl FnMut(&Call) -> Option<Answer> + Send + 'static,
    ) -> Self {
        let sockets =
            Sockets::bind_within(&folder.loaded.config, limits, &Inherited::default()).unwrap();
        let intake = sockets.intake_addresses()[0];
        let (calls, mut inner) = Calls::new();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let held = Arc::new(Mutex::new(Vec::new()));
        let (counter, count) = watch::channel(0);
        let (stop, mut stopped) = mpsc::channel::<()>(1);
        let (log, waiting) = (Arc::clone(&asked), Arc::clone(&held));
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    Some(it) = inner.recv() => {
                        log.lock().unwrap().push(format!("{:?}", it.call));
                        match answer(&it.call) {
                            Some(answer) => drop(it.answer.send(answer)),
                            None => waiting.lock().unwrap().push(it),
                        }
                        counter.send_modify(|count| *count += 1);
                    }
                    _ = stopped.recv() => inner.close(),
                    else => break,
                }
                if inner.is_closed() {
                    break;
                }
            }
        });
        let serving = tokio::spawn(sockets.serve(calls));
        Self { folder, intake, asked, count, serving, stop: Some(stop), held }
    }

    /// Waits until the driver has been asked so often.
    pub(crate) async fn asked_times(&mut self, times: usize) {
        timeout(SOON, self.count.wait_for(|count| *count >= times)).await.unwrap().unwrap();
    }

    /// Answers all who were kept waiting.
    pub(crate) fn release(&self, mut answer: impl FnMut() -> Answer) {
        for asked in self.held.lock().unwrap().drain(..) {
            let _ = asked.answer.send(answer());
        }
    }

    /// Waits until somebody who was kept waiting has left.
    pub(crate) async fn withdrawn(&self) {
        let asked = self.held.lock().unwrap().pop();
        asked.unwrap().answer.closed().await;
    }

    /// The driver takes no more calls.
    pub(crate) fn stop(&mut self) {
        self.stop = None;
    }

    pub(crate) fn calls(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    pub(crate) async fn control(&self, request: &str) -> Reply {
        self.unix("control.sock", request).await
    }

    pub(crate) async fn tokens(&self, request: &str) -> Reply {
        self.unix("token.sock", request).await
    }

    async fn unix(&self, name: &str, request: &str) -> Reply {
        let stream = UnixStream::connect(self.folder.path(name)).await.unwrap();
        exchange(stream, request.as_bytes()).await
    }

    pub(crate) async fn tcp(&self) -> TcpStream {
        TcpStream::connect(self.intake).await.unwrap()
    }

    /// Posts to the intake's TCP socket.
    pub(crate) async fn post(&self, path: &str, headers: &str, body: &[u8]) -> Reply {
        exchange(self.tcp().await, &post(path, headers, body)).await
    }
}

pub(crate) fn post(path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
         content-length: {length}\r\n{headers}\r\n"
    );
    [head.as_bytes(), body].concat()
}

pub(crate) fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let line = |line: &'_ &str| {
            line.split_once(':').is_some_and(|(key, _)| key.eq_ignore_ascii_case(name))
        };
        self.head.lines().find(line)?.split_once(':').map(|(_, value)| value.trim())
    }
}

/// Sends `request` and reads to the end, whatever becomes of the sending.
pub(crate) async fn exchange(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    request: &[u8],
) -> Reply {
    let _ = stream.write_all(request).await;
    read_reply(&mut stream).await
}

pub(crate) async fn read_reply(stream: &mut (impl AsyncRead + Unpin)) -> Reply {
    let mut bytes = Vec::new();
    let _ = timeout(SOON, stream.read_to_end(&mut bytes)).await.expect("an end in time");
    parse(&bytes).unwrap_or_else(|| panic!("no reply in {:?}", String::from_utf8_lossy(&bytes)))
}

pub(crate) fn parse(bytes: &[u8]) -> Option<Reply> {
    let end = bytes.windows(4).position(|it| it == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(Reply { status, head, body: bytes[end + 4..].to_vec() })
}

pub(crate) fn path_exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// A status with everything that only some may see.
pub(crate) fn status(state: &'static str) -> Status {
    Status {
        schema: 1,
        version: "0.1.0".into(),
        device_id: "greenhouse-7".into(),
        generated_at: Some("2026-11-20T14:05:00Z".into()),
        state,
        pairing: Some(Pairing {
            user_code: CODE.into(),
            verification_uri: "https://idp.example.com/device".into(),
            verification_uri_complete: Some(format!("https://idp.example.com/device?c={CODE}")),
            expires_in: 872,
        }),
        pairing_ended: None,
        own_name: None,
        grant: Grant {
            status: "none",
            account: None,
            signed_in_at: None,
            last_refresh_at: None,
            expires_at: None,
            revocation: "this-device",
        },
        clock: "usable",
        delivery: Delivery {
            status: "holding",
            reason: Some("sign-in"),
            records: 12,
            bytes: 3 << 20,
            oldest_age: Some(7_300),
            last_success_at: None,
            dropped: 0,
            dropped_by: Default::default(),
        },
        flash: Flash { written_today: 4_096, written_per_day: None, life_days: None, worn: 3 },
        faults: vec![],
    }
}

/// Signed in, and all is well.
pub(crate) fn online() -> Status {
    let now = "2026-11-20T14:03:22Z".to_owned();
    Status {
        pairing: None,
        own_name: None,
        grant: Grant {
            status: "held",
            account: Some(Account { subject: Some("anna".into()), name: Some(NAME.into()) }),
            signed_in_at: Some("2026-11-17T09:00:00Z".into()),
            last_refresh_at: Some(now.clone()),
            expires_at: None,
            revocation: "this-device",
        },
        delivery: Delivery {
            status: "idle",
            reason: None,
            records: 0,
            bytes: 0,
            oldest_age: None,
            last_success_at: Some(now),
            dropped: 0,
            dropped_by: Default::default(),
        },
        ..status("online")
    }
}

pub(crate) fn fault() -> Fault {
    Fault {
        code: "E02",
        class: "network",
        title: "No network",
        advice: "Check cable or WiFi.",
        detail: Some("idp.example has no address".into()),
        since: Some("2026-11-20T12:03:00Z".into()),
    }
}

pub(crate) fn answer_status(status: &Status) -> Option<Answer> {
    Some(Answer::Status(Box::new(status.clone())))
}
