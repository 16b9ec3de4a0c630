//! The command line, as scripts and people meet it.

use std::io::{Read as _, Write as _};
use std::num::NonZero;
use std::os::unix::net::UnixListener;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use rustix::pty::{OpenptFlags, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use serde_json::Value;
use signpost::ports::{Answer, Call};
use signpost::status::Status;

use crate::stage::{CODE, Folder, NAME, Stage, answer_status, fault, online, status};

fn signpost(folder: &Folder, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_signpost"));
    command.args(arguments).arg("--config").arg(folder.file());
    command.env_remove("SIGNPOST__CONTROL__SOCKET").stdin(Stdio::null());
    command
}

/// Runs it while the sockets of this thread's runtime are served.
async fn run(folder: &Folder, arguments: &[&str]) -> Told {
    let mut command = signpost(folder, arguments);
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    Told::from(output)
}

struct Told {
    code: Option<i32>,
    out: String,
    err: String,
}

impl From<Output> for Told {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }
}

impl Told {
    /// One line on standard error, and the code.
    #[track_caller]
    fn fails(&self, code: i32, why: &str) {
        assert_eq!(self.code, Some(code), "{}", self.err);
        assert_eq!(self.err.lines().count(), 1, "{}", self.err);
        assert!(self.err.starts_with("signpost: ") && self.err.contains(why), "{}", self.err);
    }

    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap()
    }
}

#[tokio::test]
async fn wrong_arguments_are_usage() {
    let folder = Folder::new();
    for arguments in
        [&["stauts"][..], &[], &["status", "--wait", "happy"], &["token", "--min-ttl", "x"]]
    {
        assert_eq!(run(&folder, arguments).await.code, Some(2), "{arguments:?}");
    }
    for arguments in [&["--help"][..], &["--version"], &["status", "--help"]] {
        let told = run(&folder, arguments).await;
        assert_eq!((told.code, &*told.err), (Some(0), ""), "{arguments:?}");
        assert!(!told.out.is_empty());
    }
}

#[tokio::test]
async fn wrong_configuration_names_file_key_and_remedy() {
    let folder = Folder::new();
    let mut file = std::fs::OpenOptions::new().append(true).open(folder.file()).unwrap();
    file.write_all(b"[device]\nid = 5\nlanguage = 7\n").unwrap();
    for command in ["run", "status", "token", "sign-out"] {
        let told = run(&folder, &[command]).await;
        told.fails(78, "signpost.toml:");
        assert!(told.err.contains("device.id") && told.err.contains("1 more"), "{}", told.err);
    }
    let told = run(&folder, &["token", "--json"]).await;
    assert_eq!((told.code, &told.json()["error"]), (Some(78), &"configuration".into()));

    let told = run(&folder, &["config", "check", folder.file().to_str().unwrap()]).await;
    assert_eq!((told.code, told.err.lines().count()), (Some(78), 2), "{}", told.err);
    std::fs::remove_file(folder.file()).unwrap();
    run(&folder, &["run"]).await.fails(78, "signpost.toml");
}

#[tokio::test]
async fn without_an_agent_it_says_how_to_start_one() {
    let folder = Folder::new();
    for command in [&["status"][..], &["token"], &["sign-in"], &["sign-out"]] {
        run(&folder, command).await.fails(69, "no agent listens there; start it");
    }
    let told = run(&folder, &["status", "--json"]).await;
    assert_eq!(told.json()["error"], "not_reachable");
    let told = run(&folder, &["status", "--wait", "online", "--timeout", "0"]).await;
    told.fails(69, "no agent listens there");
}

#[tokio::test]
async fn what_is_no_agent_is_not_believed() {
    let folder = Folder::new();
    for answer in
        [&b"SSH-2.0-OpenSSH_9\r\n\r\n"[..], b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{", b""]
    {
        let listener = UnixListener::bind(folder.path("control.sock")).unwrap();
        let other = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 4096]);
            stream.write_all(answer).unwrap();
        });
        run(&folder, &["status"]).await.fails(69, "no agent of this version");
        other.join().unwrap();
        std::fs::remove_file(folder.path("control.sock")).unwrap();
    }
}

#[tokio::test]
async fn status_is_one_object_or_plain_words() {
    let mut shown = status("pairing");
    shown.faults = vec![fault()];
    let stage = Stage::set(move |_| answer_status(&shown));
    let told = run(&stage.folder, &["status", "--json"]).await;
    assert_eq!((told.code, told.out.lines().count()), (Some(0), 1));
    assert!(told.out.starts_with("{\"schema\":1,"), "{}", told.out);
    assert_eq!((&told.json()["schema"], &told.json()["state"]), (&1.into(), &"pairing".into()));
    let told = run(&stage.folder, &["status"]).await;
    let expected = "\
Sign in this device
  Open       https://idp.example.com/device
  Code       WDJB-MJHT  (14 min left)
  Telemetry  12 requests (3 MiB) waiting: somebody has to sign in first, for 2 h
  Device     greenhouse-7, Signpost 0.1.0

E02 No network, since 2026-11-20 12:03 UTC (2 h ago)
  idp.example has no address
  Check cable or WiFi.
";
    assert_eq!(told.out, expected);

    let stage = Stage::set(|_| answer_status(&online()));
    let expected = "\
Online
  Signed in  as anna@acme.example, since 2026-11-17 09:00 UTC (3 days ago)
  Telemetry  all delivered, last 2026-11-20 14:03 UTC (1 min ago)
  Device     greenhouse-7, Signpost 0.1.0
";
    assert_eq!(run(&stage.folder, &["status"]).await.out, expected);
}

#[tokio::test]
async fn status_waits_for_a_state() {
    let mut states = ["starting", "pairing", "online", "online"].into_iter();
    let stage = Stage::set(move |_| answer_status(&status(states.next().unwrap_or("fault"))));
    let told = run(&stage.folder, &["status", "--wait", "online", "--json"]).await;
    assert_eq!((told.code, &told.json()["state"]), (Some(0), &"online".into()));
    assert_eq!(stage.calls().len(), 3);

    let stage = Stage::set(|_| answer_status(&status("pairing")));
    let told = run(&stage.folder, &["status", "--wait", "online", "--timeout", "0"]).await;
    told.fails(75, "the state is pairing, not online");
}

#[tokio::test]
async fn what_others_chose_does_not_act_on_the_terminal() {
    let mut shown = online();
    if let Some(account) = &mut shown.grant.account {
        account.name = Some("\x1b]0;owned\x07\r\nroot".into());
    }
    let stage = Stage::set(move |_| answer_status(&shown));
    let out = run(&stage.folder, &["status"]).await.out;
    assert!(!out.contains('\x1b') && !out.contains('\r') && !out.contains('\x07'), "{out:?}");
}

#[tokio::test]
async fn token_says_who_has_to_act() {
    for (answer, code, error) in [
        (Answer::SignInNeeded, 75, "login_required"),
        (Answer::TryLater(Duration::from_secs(9)), 75, "temporarily_unavailable"),
        (Answer::Refused, 77, "invalid_scope"),
    ] {
        let mut answer = Some(answer);
        let stage = Stage::set(move |_| answer.take());
        let told = run(&stage.folder, &["token", "--json", "--scope", "a"]).await;
        assert_eq!((told.code, &told.json()["error"]), (Some(code), &error.into()));
        assert_eq!(told.err.lines().count(), 1);
    }
    let stage = Stage::set(|_| None);
    run(&stage.folder, &["token", "--scope", "a\"b"]).await.fails(2, "scope is not made of");
}

#[tokio::test]
async fn a_reader_who_leaves_is_no_failure() {
    let folder = Folder::new();
    let mut command = signpost(&folder, &["config", "sample"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let told = Told::from(child.wait_with_output().unwrap());
    assert_eq!((told.code, &*told.err), (Some(0), ""));
}

/// What a sign-in looks like from the first look on; the last one stays.
fn sign_in_stage(looks: Vec<Status>) -> Stage {
    let mut looks = looks.into_iter();
    let mut last = None;
    Stage::set(move |call| {
        if matches!(call, Call::SignIn) {
            return Some(Answer::Done);
        }
        last = looks.next().or(last.take());
        answer_status(last.as_ref().unwrap())
    })
}

fn before() -> Status {
    Status { pairing: None, ..status("waiting") }
}

#[tokio::test]
async fn sign_in_shows_the_code_and_says_how_it_ended() {
    let stage = sign_in_stage(vec![before(), status("pairing"), online()]);
    let told = run(&stage.folder, &["sign-in"]).await;
    assert_eq!((told.code, &*told.err), (Some(0), ""));
    assert!(told.out.contains(CODE) && told.out.contains("open https://idp.example.com/device"));
    assert!(told.out.ends_with(&format!("Signed in as {NAME}.\n")), "{}", told.out);

    for (why, code) in [("denied", 77), ("wrong-account", 77), ("refused", 77), ("expired", 75)] {
        let ended = Status { pairing_ended: Some(why), ..before() };
        let stage = sign_in_stage(vec![before(), status("pairing"), ended]);
        let told = run(&stage.folder, &["sign-in"]).await;
        assert_eq!((told.code, told.err.lines().count()), (Some(code), 1), "{why}");
    }
}

/// On a terminal the code stands there while it waits, and what is left is how it ended.
#[tokio::test]
async fn sign_in_on_a_terminal_takes_the_code_away_again() {
    let stage = sign_in_stage(vec![before(), status("pairing"), status("pairing"), online()]);
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    unlockpt(&master).unwrap();
    let (rows, columns) = (45, 100);
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&master, size).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
    let slave = std::fs::OpenOptions::new().write(true).open(name).unwrap();
    let mut command = signpost(&stage.folder, &["sign-in"]);
    let seen = tokio::task::spawn_blocking(move || {
        let mut child = command.stdout(slave).spawn().unwrap();
        drop(command);
        let (mut master, mut shown) = (std::fs::File::from(master), Vec::new());
        // Ends with an error when the last writer has gone.
        let _ = master.read_to_end(&mut shown);
        (child.wait().unwrap().code(), shown)
    });
    let (code, shown) = seen.await.unwrap();
    assert_eq!(code, Some(0));
    let cells = [rows, columns].map(|it| NonZero::new(it).unwrap());
    let mut screen = vt100::Parser::new(cells[0], cells[1], 1_000);
    let at = shown.windows(CODE.len()).position(|it| it == CODE.as_bytes()).unwrap();
    screen.process(&shown[..at + CODE.len()]);
    assert!(screen.screen().contents().contains(CODE));
    screen.process(&shown[at + CODE.len()..]);
    let left = screen.screen().contents();
    assert!(left.contains(&format!("Signed in as {NAME}.")), "{left}");
    assert!(!left.contains(CODE), "{left}");
}

#[tokio::test]
async fn sign_in_beside_a_grant_waits_for_the_new_one() {
    let beside = || Status { pairing: status("").pairing, ..online() };
    let mut anew = online();
    anew.grant.signed_in_at = Some("2026-11-20T14:05:00Z".into());
    let stage = sign_in_stage(vec![online(), online(), beside(), anew]);
    let told = run(&stage.folder, &["sign-in"]).await;
    assert_eq!(told.code, Some(0));
    let code = told.out.find(CODE).expect("the code is shown first");
    assert!(told.out.find("Signed in as").is_some_and(|at| at > code), "{}", told.out);
}

#[tokio::test]
async fn sign_in_need_not_wait() {
    let stage = sign_in_stage(vec![before(), before(), status("pairing")]);
    let told = run(&stage.folder, &["sign-in", "--no-wait"]).await;
    assert_eq!(told.code, Some(0));
    assert!(told.out.contains(CODE));
    let stage = sign_in_stage(vec![before(), status("pairing")]);
    run(&stage.folder, &["sign-in", "--timeout", "0"]).await.fails(75, "nobody has approved yet");
}

#[tokio::test]
async fn sign_out_says_what_is_still_to_come() {
    let looks_at = |revocation, after: Status| {
        let mut before = online();
        before.grant.revocation = revocation;
        let mut looks = [before, after].into_iter();
        Stage::set(move |call| match call {
            Call::SignOut => Some(Answer::Done),
            Call::Status { .. } => answer_status(&looks.next().unwrap()),
            Call::Token { .. }
            | Call::Proof { .. }
            | Call::SignIn
            | Call::Reset
            | Call::TestPanels
            | Call::Reload
            | Call::Accept { .. } => None,
        })
    };
    let pending =
        Status { faults: vec![signpost::status::Fault { code: "E23", ..fault() }], ..before() };
    let told = run(&looks_at("this-device", pending).folder, &["sign-out"]).await;
    assert!(told.out.contains("leave the device connected"), "{}", told.out);
    for (revocation, says) in TAKEN_ALONG {
        let told = run(&looks_at(revocation, before()).folder, &["sign-out"]).await.out;
        assert!(told.starts_with("Signed out. ") && told.contains(says), "{revocation}: {told}");
        assert_eq!(told.lines().count(), 1, "{told}");
    }
}

/// What a sign-out ends at the issuer, and what is told of it.
const TAKEN_ALONG: [(&str, &str); 3] = [
    ("this-device", "this device's sign-in alone"),
    ("all-of-user", "all of this user's devices"),
    ("nothing", "end the sign-in there, too"),
];

#[tokio::test]
async fn a_reset_is_asked_after_and_says_what_the_device_is_called_now() {
    let renamed = Status { device_id: "sp-0123456789".into(), ..before() };
    let stage = |revocation, after: Status| {
        let mut before = online();
        before.grant.revocation = revocation;
        let mut looks = [before, after].into_iter();
        Stage::set(move |call| match call {
            Call::Reset => Some(Answer::Done),
            Call::Status { .. } => answer_status(&looks.next().unwrap()),
            Call::Token { .. }
            | Call::Proof { .. }
            | Call::SignIn
            | Call::SignOut
            | Call::TestPanels
            | Call::Reload
            | Call::Accept { .. } => None,
        })
    };
    for (revocation, says) in TAKEN_ALONG {
        let told = run(&stage(revocation, renamed.clone()).folder, &["reset", "--yes"]).await.out;
        let wiped = "Everything is wiped; the device is sp-0123456789 now. ";
        assert!(told.starts_with(wiped) && told.contains(says), "{revocation}: {told}");
    }
    let stage = stage("this-device", before());
    run(&stage.folder, &["reset"]).await.fails(2, "say --yes if that is meant");
    assert!(!stage.calls().contains(&"Reset".to_owned()), "nothing was wiped");
}

#[tokio::test]
async fn a_test_of_panels_asks_the_agent_to_draw_and_then_what_failed() {
    let failed = signpost::status::Fault {
        code: "E22",
        class: "configuration",
        title: "Panel fault",
        detail: Some("panel.front gets no answer at address 0x27 on i2c-1".into()),
        ..fault()
    };
    let shown = Status { faults: vec![failed], ..online() };
    let stage = Stage::set(move |call| match call {
        Call::TestPanels | Call::Reload => Some(Answer::Done),
        Call::Status { .. } => answer_status(&shown),
        Call::Token { .. }
        | Call::Proof { .. }
        | Call::SignIn
        | Call::SignOut
        | Call::Reset
        | Call::Accept { .. } => None,
    });
    let told = run(&stage.folder, &["check", "--panels", "--json"]).await;
    assert_eq!(stage.calls()[0], "TestPanels");
    let json = told.json();
    let panels = json["probes"].as_array().unwrap().iter().find(|it| it["name"] == "panels");
    let detail = panels.unwrap()["detail"].as_str().unwrap();
    assert_eq!(detail, "E22 Panel fault: panel.front gets no answer at address 0x27 on i2c-1");
}

#[tokio::test]
async fn panels_are_tested_without_an_agent_too() {
    let folder = Folder::with(
        "[panel.lcd]\nkind = \"hd44780\"\nbus = \"i2c-250\"\n\
         [panel.fifo]\nkind = \"json\"\npath = \"/nowhere/screens\"\n\
         [lamp.status]\nline = \"gpiochip250:1\"\n",
    );
    let told = run(&folder, &["check", "--panels", "--json"]).await;
    assert_eq!(told.code, Some(1), "{}", told.out);
    let json = told.json();
    let of = |name: &str| {
        let probes = json["probes"].as_array().unwrap();
        let probe = probes.iter().find(|it| it["name"] == name).unwrap();
        assert_eq!(probe["result"], "failed");
        probe["detail"].as_str().unwrap().to_owned()
    };
    assert!(of("panel.lcd").contains("/dev/i2c-250 does not exist: load module i2c-dev"));
    assert!(of("panel.fifo").contains("/nowhere/screens does not exist"));
    assert!(of("lamp.status").contains("/dev/gpiochip250 does not exist"));
    // Without the flag nothing is touched, and what is missing is found all the same.
    let told = run(&folder, &["check"]).await;
    assert!(told.out.contains("panel.lcd finds that /dev/i2c-250"), "{}", told.out);
}

#[tokio::test]
async fn check_fails_where_something_failed() {
    let shown = Status { faults: vec![fault()], ..online() };
    let stage = Stage::set(move |_| answer_status(&shown));
    let told = run(&stage.folder, &["check", "--json"]).await;
    assert_eq!((told.code, &*told.err), (Some(1), ""));
    assert_eq!(told.json()["result"], "failed");
    let told = run(&stage.folder, &["check"]).await;
    assert!(told.out.contains("failed   issuer"), "{}", told.out);
    assert!(told.out.contains("Check cable or WiFi."), "{}", told.out);

    let stage = Stage::set(|_| answer_status(&online()));
    let told = run(&stage.folder, &["check", "--json"]).await;
    assert_eq!((told.code, &told.json()["result"]), (Some(0), &"ok".into()));

    // Without an agent: what can be seen from outside, and its stores are not made.
    let folder = Folder::new();
    let told = run(&folder, &["check", "--json"]).await;
    assert_eq!(told.code, Some(0), "{}", told.out);
    assert!(!folder.path("tokens.flash").exists());
}

#[tokio::test]
async fn the_command_itself_asks_the_issuer_beside_an_agent() {
    let stage = Stage::set(|_| answer_status(&online()));
    let mut command = signpost(&stage.folder, &["check", "--issuer", "--json"]);
    // Nobody listens there.
    command.env("SIGNPOST__ISSUER__URL", "http://127.0.0.1:1");
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let told = Told::from(output);
    assert_eq!(told.code, Some(1), "{}", told.out);
    let json = told.json();
    let result = |name: &str| {
        let probes = json["probes"].as_array().unwrap();
        probes.iter().find(|it| it["name"] == name).unwrap()["result"].clone()
    };
    assert_eq!((result("agent"), result("issuer.tls")), ("ok".into(), "failed".into()));
    assert_eq!(stage.calls().len(), 1, "the agent is asked how it stands: {:?}", stage.calls());
}

#[tokio::test]
async fn config_commands_print() {
    let folder = Folder::new();
    let told = run(&folder, &["config", "show"]).await;
    assert!(told.out.contains("issuer.client_id = \"device\""), "{}", told.out);
    assert!(run(&folder, &["config", "sample"]).await.out.contains("[issuer]"));
    assert!(run(&folder, &["config", "unit"]).await.out.contains("[Service]"));
    let told = run(&folder, &["config", "check", folder.file().to_str().unwrap()]).await;
    assert_eq!((told.code, &*told.out), (Some(0), "ok\n"));
}

/// `/dev/full` takes nothing: unlike a reader who leaves, that is a failure.
#[tokio::test]
async fn output_that_cannot_be_written_is_told() {
    let folder = Folder::new();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = signpost(&folder, &["config", "sample"]).stdout(full).output().unwrap();
    Told::from(output).fails(75, "cannot print");
}
