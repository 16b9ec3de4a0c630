//! `signpost sign-in`.

use std::path::Path;
use std::time::Duration;

use clap::Args;
use serde_json::Value;
use signpost_hal::clock;
use signpost_hal::panel::{Panel as _, Port, Terminal};
use signpost_hal::screen::{Screen, SignIn, Surface, layout};
use tokio::runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Options;
use super::agent::Agent;
use super::exit::{Exit, Failure};
use super::output::{self, harmless};
use super::status::look;

/// Between two looks at the agent.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// End once the code is shown
    #[arg(long)]
    no_wait: bool,
    /// For how many seconds to wait at most
    #[arg(long, value_name = "S", default_value_t = 1800)]
    timeout: u32,
}

pub(super) fn run(options: &Options, arguments: &Arguments) -> Result<Exit, Failure> {
    let agent = options.control()?;
    let before = look(&agent)?;
    agent.post("/v1/sign-in")?.success()?;
    let cannot = |error: std::io::Error| {
        Failure::new(Exit::Bug, "server_error", format!("cannot wait: {error}"))
    };
    let runtime = runtime::Builder::new_current_thread().enable_all().build().map_err(cannot)?;
    runtime.block_on(async {
        let stop = Stop::new().map_err(cannot)?;
        let mut watch = Watch { agent, before, stop, board: Board::open(arguments.no_wait) };
        let ended = watch.follow(arguments).await;
        watch.board.clear();
        ended
    })
}

/// Ctrl-C and its relatives: the terminal must be put right before this ends.
struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Whether somebody wants to stop within `span`.
    async fn within(&mut self, span: Duration) -> bool {
        let stopped = async {
            tokio::select! {
                _ = self.interrupt.recv() => {}
                _ = self.terminate.recv() => {}
            }
        };
        tokio::time::timeout(span, stopped).await.is_ok()
    }
}

/// Follows one sign-in to its end.
struct Watch {
    agent: Agent,
    before: Value,
    stop: Stop,
    board: Board,
}

impl Watch {
    async fn follow(&mut self, arguments: &Arguments) -> Result<Exit, Failure> {
        let until = clock::boot() + Duration::from_secs(arguments.timeout.into());
        let mut waits_for = String::new();
        loop {
            let status = look(&self.agent)?;
            if let Some(ended) = ended(&self.before, &status) {
                self.board.clear();
                return output::print(&ended?).map(|()| Exit::Done);
            }
            match sign_in(&status["pairing"]) {
                Some(sign_in) => {
                    waits_for.clear();
                    self.board.show(sign_in)?;
                    if arguments.no_wait {
                        return Ok(Exit::Done);
                    }
                }
                None => {
                    self.board.clear();
                    let now = in_the_way(&status);
                    if now != waits_for {
                        output::print(&format!("{now}\n"))?;
                        waits_for = now;
                    }
                }
            }
            if clock::boot() >= until {
                let text = "nobody has approved yet; the sign-in goes on at the device, \
                            `signpost status` shows its code";
                return Err(Failure::new(Exit::Later, "timeout", text));
            }
            if self.stop.within(LOOK_AGAIN).await {
                let text = "no longer waiting; the sign-in goes on at the device";
                return Err(Failure::new(Exit::Later, "interrupted", text));
            }
        }
    }
}

/// How it ended, if it did, in a sentence.
fn ended(before: &Value, status: &Value) -> Option<Result<String, Failure>> {
    if !status["pairing"].is_null() || status["state"] == "pairing" {
        return None;
    }
    let grant = &status["grant"];
    let held_before = before["grant"]["status"] == "held";
    let is_new = !held_before || grant["signed_in_at"] != before["grant"]["signed_in_at"];
    match status["pairing_ended"].as_str() {
        Some("resumed") => {
            Some(Ok("The earlier sign-in works again; no new one is needed.\n".to_owned()))
        }
        Some(why) => {
            let exit = match why {
                "denied" | "wrong-account" | "refused" | "bad-identity" => Exit::NotAllowed,
                _ => Exit::Later,
            };
            Some(Err(Failure::new(exit, why, ended_in_words(why))))
        }
        None if grant["status"] == "held" && is_new => {
            let account = &grant["account"];
            let name = account["name"].as_str().or(account["subject"].as_str());
            let name = name.map(|name| format!(" as {}", harmless(name))).unwrap_or_default();
            Some(Ok(format!("Signed in{name}.\n")))
        }
        None => None,
    }
}

/// Why a sign-in ended without a grant, and what to do.
pub(super) fn ended_in_words(why: &str) -> &'static str {
    match why {
        "expired" => "nobody approved in time; run `signpost sign-in` again",
        "denied" => "somebody refused the sign-in; run `signpost sign-in` again",
        "wrong-account" => {
            "this device belongs to somebody else; use the owner's account, or sign out first"
        }
        "refused" => "the issuer refuses this client; `signpost status` says what to do",
        "bad-identity" => {
            "the issuer's id_token does not stand up to its checks; `signpost status` says more"
        }
        "signed-out" => "it was ended by a sign-out; run `signpost sign-in` again",
        "resumed" => "the earlier sign-in works again; no new one is needed",
        _ => "the sign-in ended; `signpost status` says how it stands",
    }
}

/// What there is to wait for before a code comes.
fn in_the_way(status: &Value) -> String {
    let faults = status["faults"].as_array().into_iter().flatten();
    let worst = faults.filter(|it| it["class"] != "storage").find_map(|fault| {
        Some(format!(
            "{} {}: {}",
            fault["code"].as_str()?,
            fault["title"].as_str()?,
            fault["advice"].as_str()?
        ))
    });
    match worst {
        _ if status["state"] == "pairing" => "Approved; saving the sign-in.".to_owned(),
        Some(fault) => harmless(&fault),
        None => "Asking the sign-in service for a code.".to_owned(),
    }
}

fn sign_in(pairing: &Value) -> Option<SignIn> {
    let text = |key: &str| pairing[key].as_str().map(str::to_owned);
    Some(SignIn {
        user_code: text("user_code")?,
        verification_uri: text("verification_uri")?,
        verification_uri_complete: text("verification_uri_complete"),
        expires: clock::boot() + Duration::from_secs(pairing["expires_in"].as_u64()?),
    })
}

/// Where the code is shown: on the terminal like a panel, which takes it away again, or as lines
/// for whoever reads them.
enum Board {
    Terminal(Box<Terminal<Port>>),
    Lines(Option<String>),
}

impl Board {
    /// `stays`: what is shown must outlive this command.
    fn open(stays: bool) -> Self {
        if stays || !output::is_terminal() {
            return Self::Lines(None);
        }
        // Whoever has changed users may use the terminal, but not open it by its name.
        let ways = ["/proc/self/fd/1", "/dev/tty"].map(Path::new);
        match ways.into_iter().find_map(|way| Terminal::open(way).ok()) {
            Some(terminal) => Self::Terminal(Box::new(terminal)),
            None => Self::Lines(None),
        }
    }

    fn show(&mut self, sign_in: SignIn) -> Result<(), Failure> {
        let now = clock::boot();
        match self {
            Self::Terminal(terminal) => {
                // A terminal that has gone shows nothing; the sign-in goes on.
                let _ = terminal.show(&Screen::SignIn(sign_in), now);
                Ok(())
            }
            Self::Lines(shown) if shown.as_ref() == Some(&sign_in.user_code) => Ok(()),
            Self::Lines(shown) => {
                *shown = Some(sign_in.user_code.clone());
                let frame = layout(&Screen::SignIn(sign_in), Surface::Serial, 0, now);
                let lines = frame.lines.iter().map(|line| format!("{}\n", line.text));
                output::print(&lines.collect::<String>())
            }
        }
    }

    fn clear(&mut self) {
        if let Self::Terminal(terminal) = self {
            let _ = terminal.clear();
        }
    }
}
