//! A program that runs beside the test, and waits that end.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A program whose standard output is JSON objects, one a line (other lines are ignored), and which ends when its
/// standard input does. Killed when dropped.
pub(crate) struct Running {
    name: String,
    child: Child,
    stdin: Option<ChildStdin>,
    said: Arc<Mutex<Vec<Value>>>,
}

impl Running {
    /// Starts `command`; its standard error is added to `log`.
    pub(crate) fn start(name: &str, command: &mut Command, log: &Path) -> Self {
        let log = OpenOptions::new().create(true).append(true).open(log).unwrap();
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start ({error}): {command:?}"));
        let stdin = child.stdin.take();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let said = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&said);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if let Ok(object) = serde_json::from_str(&line) {
                    heard.lock().unwrap().push(object);
                }
            }
        });
        Self { name: name.to_owned(), child, stdin, said }
    }

    /// Everything it has said under this name so far.
    pub(crate) fn events(&self, event: &str) -> Vec<Value> {
        self.said.lock().unwrap().iter().filter(|it| it["event"] == event).cloned().collect()
    }

    /// The first thing it says under this name.
    pub(crate) fn wait_for(&self, event: &str) -> Value {
        until(&format!("{} to say {event}", self.name), 30, || self.events(event).pop())
    }

    /// Ends its standard input and waits for its end.
    pub(crate) fn finish(&mut self, seconds: u64) -> ExitStatus {
        self.stdin = None;
        until(&format!("the end of {}", self.name), seconds, || self.child.try_wait().unwrap())
    }

    /// SIGKILL: it gets no chance to tidy up.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Looks until there is something, at most so many seconds.
#[track_caller]
pub(crate) fn until<T>(what: &str, seconds: u64, mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(
            started.elapsed() < Duration::from_secs(seconds),
            "{seconds} s were not enough for {what}"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}
