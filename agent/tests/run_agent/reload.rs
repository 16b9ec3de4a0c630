//! Another configuration while it runs, sockets that were open before it, and what it says of
//! itself in files.

use super::{binary::Unit, device::Device, servers::Servers};
use rustix::process::Signal;
use serde_json::Value;
use std::{
    fs,
    io::{Read, Write},
    os::unix::{
        fs::PermissionsExt,
        net::{UnixListener, UnixStream},
    },
    process::Stdio,
};
use tokio::process::Command;

/// The answer's status and body.
fn ask(device: &Device, socket: &str, request: &str) -> (String, Value) {
    let mut stream = UnixStream::connect(device.path(socket)).unwrap();
    read(&mut stream, request)
}

fn read(stream: &mut UnixStream, request: &str) -> (String, Value) {
    let request =
        format!("{request} HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head[9..12].to_owned(), serde_json::from_str(body).unwrap())
}

fn status(device: &Device) -> Value {
    ask(device, "run/control.sock", "GET /v1/status").1
}

#[tokio::test]
async fn a_reload_takes_the_new_configuration_and_keeps_the_code_on_show() {
    let servers = Servers::start().await;
    let device = Device::new(&servers);
    let unit = Unit::start(&device, &[]);
    unit.tells("STATUS=pairing").await;
    let code = status(&device)["pairing"]["user_code"].clone();
    assert!(code.is_string());
    device.edit("[telemetry]", "[device]\nid = \"another\"\n[telemetry]");
    assert_eq!(ask(&device, "run/control.sock", "POST /v1/reload").0, "200");
    unit.tells("RELOADING=1").await;
    unit.tells("READY=1").await;
    unit.tells("STATUS=pairing").await;
    let after = status(&device);
    assert_eq!((&after["device_id"], &after["pairing"]["user_code"]), (&"another".into(), &code));
    assert_eq!(servers.world().codes, 1, "nobody asked for another");
    unit.signal(Signal::TERM);
    unit.tells("STOPPING=1").await;
    let (code, written) = unit.end().await;
    assert_eq!(code, Some(0));
    assert!(written.contains("the configuration is read anew"), "{written}");
    assert!(written.contains("the configuration is another than before"), "{written}");
}

#[tokio::test]
async fn a_reload_with_a_bad_file_or_a_file_that_lacks_keeps_what_runs() {
    let servers = Servers::start().await;
    let device = Device::new(&servers);
    let unit = Unit::start(&device, &[]);
    unit.tells("STATUS=pairing").await;
    device.edit("[telemetry]", "[telemetry]\ncompression = \"best\"");
    let (code, answer) = ask(&device, "run/control.sock", "POST /v1/reload");
    assert_eq!((code.as_str(), &answer["error"]), ("400", &"invalid_configuration".into()));
    let problem = answer["error_description"].as_str().unwrap();
    assert!(problem.contains("telemetry.compression") && problem.contains("best"), "{problem}");
    let fault = status(&device)["faults"][0].clone();
    assert!(fault["detail"].as_str().unwrap().contains("telemetry.compression"), "{fault}");
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_signpost"));
    command.args(["reload", "--config"]).arg(device.config());
    assert_eq!(command.output().unwrap().status.code(), Some(78), "its own look at the files");
    // This one is right, but for what only shows when it is taken.
    device.edit("compression = \"best\"", "ca_file = \"/nowhere/ca.pem\"");
    unit.signal(Signal::HUP);
    unit.tells("RELOADING=1").await;
    unit.tells("READY=1").await;
    let fault = status(&device)["faults"][0].clone();
    assert!(fault["detail"].as_str().unwrap().contains("/nowhere/ca.pem"), "{fault}");
    assert_eq!(status(&device)["state"], "pairing");
    // What is mended is taken, and nothing is left of it.
    device.edit("ca_file = \"/nowhere/ca.pem\"", "");
    unit.signal(Signal::HUP);
    unit.tells("RELOADING=1").await;
    unit.tells("STATUS=pairing").await;
    assert_eq!(status(&device)["faults"], Value::Array(vec![]));
    unit.signal(Signal::TERM);
    assert_eq!(unit.end().await.0, Some(0));
}

#[tokio::test]
async fn a_socket_that_was_open_before_the_agent_is_served_by_it_and_outlives_it() {
    let servers = Servers::start().await;
    let device = Device::new(&servers);
    let path = device.path("run/token.sock");
    let listener = UnixListener::bind(&path).unwrap();
    // A program that starts first waits for its answer.
    let mut early = UnixStream::connect(&path).unwrap();
    let waiting = std::thread::spawn(move || read(&mut early, "GET /v1/status"));
    // Only the shell knows its process id before the agent has it.
    let mut shell = Command::new("/bin/sh");
    let script = "exec 3<&0 </dev/null; export LISTEN_PID=$$ LISTEN_FDS=1; exec \"$0\" \"$@\"";
    shell.args(["-c", script, env!("CARGO_BIN_EXE_signpost")]);
    let stdin = Stdio::from(std::os::fd::OwnedFd::from(listener.try_clone().unwrap()));
    let unit = Unit::start_with(shell, &device, &[], stdin);
    unit.tells("STATUS=pairing").await;
    let (code, answer) = tokio::task::spawn_blocking(|| waiting.join().unwrap()).await.unwrap();
    assert_eq!((code.as_str(), &answer["pairing"]), ("200", &Value::Null));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    unit.signal(Signal::HUP);
    unit.tells("RELOADING=1").await;
    unit.tells("READY=1").await;
    assert_eq!(ask(&device, "run/token.sock", "GET /v1/status").0, "200");
    unit.signal(Signal::TERM);
    assert_eq!(unit.end().await.0, Some(0));
    assert!(path.exists(), "it is not the agent's to take away");
    UnixStream::connect(&path).unwrap();
}

#[tokio::test]
async fn files_say_how_it_stands_and_nothing_private_and_go_with_it() {
    let servers = Servers::start().await;
    let device = Device::new(&servers);
    let metrics = device.path("signpost.prom");
    device.edit("[broker]", &format!("[metrics]\ntextfile = \"{}\"\n[broker]", metrics.display()));
    let unit = Unit::start(&device, &[]);
    unit.tells("STATUS=pairing").await;
    let code = status(&device)["pairing"]["user_code"].as_str().unwrap().to_owned();
    let file = device.path("run/status.json");
    let mut text = String::new();
    while !text.contains("\"pairing\"") {
        tokio::task::yield_now().await;
        text = fs::read_to_string(&file).unwrap_or_default();
    }
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o644);
    let written: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(written["schema"], 1);
    let prometheus = fs::read_to_string(&metrics).unwrap();
    assert!(prometheus.contains("signpost_state{state="), "{prometheus}");
    for text in [&text, &prometheus] {
        assert!(!text.contains(&code) && !text.contains("/go"), "{text}");
    }
    unit.signal(Signal::TERM);
    assert_eq!(unit.end().await.0, Some(0));
    assert!(!file.exists() && !metrics.exists(), "nobody keeps them any more");
}

#[tokio::test]
async fn a_report_holds_what_support_needs_and_nothing_private() {
    let servers = Servers::start().await;
    let device = Device::new(&servers);
    let unit = Unit::start(&device, &[]);
    unit.tells("STATUS=pairing").await;
    let code = status(&device)["pairing"]["user_code"].as_str().unwrap().to_owned();
    let run = |json: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_signpost"));
        command.arg("report").args(json).arg("--config").arg(device.config());
        let output = command.output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    let report: Value = serde_json::from_str(&run(&["--json"])).unwrap();
    assert_eq!(report["status"]["state"], "pairing");
    assert!(report["checks"].as_array().unwrap().len() > 5);
    assert!(report["configuration"].to_string().contains("issuer.client_id"));
    let text = run(&[]);
    assert!(text.contains("## status") && text.contains("kernel: "), "{text}");
    for text in [text, report.to_string()] {
        assert!(!text.contains(&code) && !text.contains("/go"), "{text}");
    }
    unit.signal(Signal::TERM);
    assert_eq!(unit.end().await.0, Some(0));
}

#[tokio::test]
async fn a_token_that_no_rule_hands_out_any_more_is_gone_after_a_reload() {
    let servers = Servers::start().await;
    let device = Device::new(&servers);
    servers.world().approved = true;
    let uid = rustix::process::getuid().as_raw();
    let file = device.path("collector.token");
    let rule = format!(
        "[broker.allow.collector]\nuid = {uid}\nscopes = [\"t\"]\nfile = \"{}\"\n",
        file.display()
    );
    device.edit("[control]", &format!("{rule}[control]"));
    let unit = Unit::start(&device, &[]);
    unit.tells("STATUS=online").await;
    while !file.exists() {
        tokio::task::yield_now().await;
    }
    device.edit(&rule, "");
    unit.signal(Signal::HUP);
    unit.tells("RELOADING=1").await;
    unit.tells("STATUS=online").await;
    assert!(!file.exists());
    unit.signal(Signal::TERM);
    assert_eq!(unit.end().await.0, Some(0));
}
