//! Talks to the running agent over its sockets: one request a connection, bounded in size and
//! time.

use std::env;
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use signpost_hal::clock;

use super::Options;
use super::exit::{Exit, Failure};
use crate::config::{self, Config, Loaded, Sources};

/// Where the agent listens unless it is configured otherwise.
const CONTROL: &str = "/run/signpost/control.sock";
const TOKENS: &str = "/run/signpost/token.sock";

/// For a whole exchange: longer than the agent takes for its longest answer.
const PATIENCE: Duration = Duration::from_secs(70);
/// Bytes of an answer at most.
const MOST_BYTES: u64 = 1 << 20;
/// Lines of an answer's header at most.
const MOST_LINES: usize = 32;

impl Options {
    /// The configuration that the agent runs on.
    pub(super) fn load(&self) -> Result<Loaded, Failure> {
        config::load(&self.sources()).map_err(|error| configuration(&error))
    }

    pub(super) fn sources(&self) -> Sources {
        let sources = match &self.config {
            Some(file) => Sources::file(file),
            None => Sources::installed(Path::new("/")),
        };
        sources.environment(env::vars_os())
    }

    pub(super) fn control(&self) -> Result<Agent, Failure> {
        self.agent(CONTROL, |config| config.control.socket.as_path())
    }

    pub(super) fn tokens(&self) -> Result<Agent, Failure> {
        self.agent(TOKENS, |config| config.broker.socket.as_path())
    }

    /// Whoever may not read the configuration, or has just broken it, still finds the agent at
    /// its usual place.
    fn agent(&self, usual: &str, socket: fn(&Config) -> &Path) -> Result<Agent, Failure> {
        match self.load() {
            Ok(loaded) => Ok(Agent { socket: socket(&loaded.config).to_owned() }),
            Err(_) if self.config.is_none() && Path::new(usual).exists() => {
                Ok(Agent { socket: usual.into() })
            }
            Err(failure) => Err(failure),
        }
    }
}

/// One line, however much is wrong.
pub(super) fn configuration(error: &config::ConfigError) -> Failure {
    let problems = error.problems();
    let first = problems.first().map(ToString::to_string).unwrap_or_default();
    let more = match problems.len() {
        0 | 1 => String::new(),
        count => format!(" (and {} more: see `signpost config check`)", count - 1),
    };
    Failure::new(Exit::Configuration, "configuration", format!("{first}{more}"))
}

/// The running agent, behind one of its sockets.
#[derive(Debug)]
pub(super) struct Agent {
    socket: PathBuf,
}

/// What it answered.
#[derive(Debug)]
pub(super) struct Answer {
    status: u16,
    body: Value,
    /// The body as it came, for programs.
    text: String,
}

impl Answer {
    /// As [`Answer::success`], and the body as the agent wrote it, on one line.
    pub(super) fn success_as_text(self) -> Result<(Value, String), Failure> {
        let text = format!("{}\n", self.text);
        Ok((self.success()?, text))
    }

    /// The body of a success; else what the agent says is wrong, with the exit code for it.
    pub(super) fn success(self) -> Result<Value, Failure> {
        if self.status == 200 {
            return Ok(self.body);
        }
        let error = self.body["error"].as_str().unwrap_or("unexpected");
        let text = match self.body["error_description"].as_str() {
            Some(text) => text.trim_end_matches('.').to_owned(),
            None => format!("the agent answers with HTTP status {}", self.status),
        };
        let exit = match self.status {
            503 => Exit::Later,
            403 => Exit::NotAllowed,
            400 if error == "invalid_request" => Exit::Usage,
            400 if error == "invalid_configuration" => Exit::Configuration,
            400 => Exit::NotAllowed,
            _ => Exit::Bug,
        };
        let text = if error == "unexpected" && self.status == 403 {
            "the agent lets root and its own user ask only; try sudo".to_owned()
        } else {
            text
        };
        Err(Failure { exit, error: error.to_owned(), text })
    }
}

impl Agent {
    pub(super) fn get(&self, path: &str) -> Result<Answer, Failure> {
        self.exchange(&format!("GET {path} HTTP/1.1\r\nhost: agent\r\nconnection: close\r\n\r\n"))
    }

    pub(super) fn post(&self, path: &str) -> Result<Answer, Failure> {
        self.exchange(&format!(
            "POST {path} HTTP/1.1\r\nhost: agent\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
        ))
    }

    fn exchange(&self, request: &str) -> Result<Answer, Failure> {
        let bytes = self.raw_exchange(request).map_err(|error| self.failure(&error))?;
        parse(&bytes).ok_or_else(|| {
            self.unreachable("what answers there is no agent of this version; restart it")
        })
    }

    fn raw_exchange(&self, request: &str) -> io::Result<Vec<u8>> {
        let until = clock::boot() + PATIENCE;
        let mut stream = UnixStream::connect(&self.socket)?;
        stream.set_write_timeout(Some(PATIENCE))?;
        // Whoever is turned away at the door hears why, even where the request goes nowhere.
        let written = stream.write_all(request.as_bytes());
        let mut bytes = Vec::new();
        let mut buffer = [0; 8 << 10];
        loop {
            let left = until.saturating_sub(clock::boot());
            if left.is_zero() || bytes.len() as u64 > MOST_BYTES {
                return Err(io::ErrorKind::TimedOut.into());
            }
            stream.set_read_timeout(Some(left))?;
            match stream.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => bytes.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) if !bytes.is_empty() => break,
                Err(error) => return Err(error),
            }
        }
        if bytes.is_empty() { written.map(|()| bytes) } else { Ok(bytes) }
    }

    fn failure(&self, error: &io::Error) -> Failure {
        let kind = error.kind();
        if kind == io::ErrorKind::PermissionDenied {
            let text = format!(
                "not allowed to use {}: it is for root and the agent's own user; try sudo",
                self.socket.display()
            );
            Failure::new(Exit::NotAllowed, "not_allowed", text)
        } else if kind == io::ErrorKind::NotFound || kind == io::ErrorKind::ConnectionRefused {
            self.unreachable(
                "no agent listens there; start it (systemctl start signpost, or signpost run)",
            )
        } else if kind == io::ErrorKind::TimedOut || kind == io::ErrorKind::WouldBlock {
            self.unreachable("the agent does not answer; see its journal (journalctl -u signpost)")
        } else {
            self.unreachable(&error.to_string())
        }
    }

    fn unreachable(&self, why: &str) -> Failure {
        let text = format!("{}: {why}", self.socket.display());
        Failure::new(Exit::Unreachable, "not_reachable", text)
    }
}

/// The answer in `bytes`, which end where the connection did.
fn parse(bytes: &[u8]) -> Option<Answer> {
    let mut lines = [httparse::EMPTY_HEADER; MOST_LINES];
    let mut head = httparse::Response::new(&mut lines);
    let httparse::Status::Complete(length) = head.parse(bytes).ok()? else { return None };
    let declared = head.headers.iter().find(|it| it.name.eq_ignore_ascii_case("content-length"))?;
    let declared: usize = std::str::from_utf8(declared.value).ok()?.trim().parse().ok()?;
    let body = bytes[length..].get(..declared)?;
    let text = String::from_utf8(body.to_vec()).ok()?;
    let body = if text.is_empty() { Value::Null } else { serde_json::from_str(&text).ok()? };
    Some(Answer { status: head.code?, body, text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_answer_counts() {
        let whole = b"HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n{\"a\": true}";
        assert_eq!(parse(whole).unwrap().body["a"], true);
        for cut in 0..whole.len() {
            assert!(parse(&whole[..cut]).is_none(), "cut at {cut}");
        }
        assert!(parse(b"SSH-2.0-OpenSSH\r\n\r\n").is_none());
    }
}
