//! Copies of a card, and cards in other boards (flash.md, promise 9), with the program itself.

use super::{binary::Unit, device::Device, servers::Servers};
use rustix::process::Signal;
use serde_json::Value;
use std::{fs, process::Command};

/// Runs the program until it is up, and asks it how it stands.
pub(crate) async fn status(device: &Device) -> Value {
    ask(device, "status").await
}

async fn ask(device: &Device, command: &'static str) -> Value {
    let unit = Unit::start(device, &[]);
    unit.tells("READY=1").await;
    let answer = answer(device, command).await;
    unit.signal(Signal::TERM);
    assert_eq!(unit.end().await.0, Some(0));
    answer
}

/// How a program that runs already stands.
pub(crate) async fn ask_running(device: &Device) -> Value {
    answer(device, "status").await
}

async fn answer(device: &Device, command: &'static str) -> Value {
    let config = device.config();
    let asked = tokio::task::spawn_blocking(move || {
        Command::new(env!("CARGO_BIN_EXE_signpost"))
            .args([command, "--json", "--config"])
            .arg(config)
            .output()
            .unwrap()
    });
    let answer = asked.await.unwrap();
    serde_json::from_slice(&answer.stdout).unwrap()
}

/// A device with a sign-in.
pub(crate) async fn signed_in(servers: &Servers) -> Device {
    let device = Device::new(servers);
    sign_in(servers, &device).await;
    device
}

async fn sign_in(servers: &Servers, device: &Device) {
    servers.world().approved = true;
    let unit = Unit::start(device, &[]);
    unit.tells("STATUS=online").await;
    unit.signal(Signal::TERM);
    assert_eq!(unit.end().await.0, Some(0));
    servers.world().approved = false;
}

fn bound_to_its_file(device: &Device) -> String {
    format!("bind = \"file:{}/board\"", device.root().display())
}

pub(crate) fn is_replaced(status: &Value) -> bool {
    let faults = status["faults"].as_array().unwrap();
    faults.iter().any(|fault| fault["code"] == "E16")
}

#[tokio::test]
async fn two_boots_from_one_image_end_as_two_devices_without_a_sign_in() {
    let servers = Servers::start().await;
    let first = signed_in(&servers).await;
    let copies = [(); 2].map(|()| Device::clone_of(&first, &servers));
    let original = status(&first).await;
    assert_eq!(original["grant"]["status"], "held");
    let mut ids = vec![original["device_id"].clone()];
    for copy in &copies {
        let found = status(copy).await;
        assert_eq!(found["grant"]["status"], "none", "{found}");
        assert!(is_replaced(&found), "{found}");
        let aside = fs::read(copy.path("state/tokens.flash.set-aside-1")).unwrap();
        assert!(!aside.is_empty());
        ids.push(found["device_id"].clone());
        // From its second start on it is a device like any other.
        let again = status(copy).await;
        assert_eq!((&again["device_id"], is_replaced(&again)), (&found["device_id"], false));
    }
    ids.sort_by_key(ToString::to_string);
    ids.dedup();
    assert_eq!(ids.len(), 3, "{ids:?}");
    assert_eq!(status(&first).await["grant"]["status"], "held", "nothing happened to it");
}

#[tokio::test]
async fn copies_made_before_the_first_start_are_devices_of_their_own() {
    let servers = Servers::start().await;
    let [one, two] = [(); 2].map(|()| Device::new(&servers));
    let (one, two) = (status(&one).await, status(&two).await);
    assert_ne!(one["device_id"], two["device_id"]);
    assert!(!is_replaced(&one) && !is_replaced(&two));
}

#[tokio::test]
async fn a_sign_in_from_before_stores_were_bound_holds_and_is_bound() {
    let servers = Servers::start().await;
    let device = Device::new(&servers);
    let bound = bound_to_its_file(&device);
    // What the first version made was bound to nothing.
    device.edit(&bound, "bind = \"none\"");
    sign_in(&servers, &device).await;
    device.edit("bind = \"none\"", &bound);
    let found = status(&device).await;
    assert_eq!((found["grant"]["status"].as_str(), is_replaced(&found)), (Some("held"), false));
    let copy = Device::clone_of(&device, &servers);
    assert_eq!(status(&copy).await["grant"]["status"], "none");
    assert_eq!(status(&device).await["grant"]["status"], "held");
}

#[tokio::test]
async fn a_board_that_cannot_be_told_yet_loses_nothing() {
    let servers = Servers::start().await;
    let device = signed_in(&servers).await;
    let board = fs::read(device.path("board")).unwrap();
    fs::remove_file(device.path("board")).unwrap();
    let (code, written) = Unit::start(&device, &[]).end().await;
    assert_eq!(code, Some(75), "{written}");
    let line = written.lines().last().unwrap();
    assert!(line.contains("store.bind: ") && line.contains("name a file"), "{line}");
    assert!(!device.path("state/tokens.flash.set-aside-1").exists());
    device.write("board", &board);
    assert_eq!(status(&device).await["grant"]["status"], "held");
}

#[tokio::test]
async fn check_tells_what_seals_and_what_that_does_not_keep_off() {
    let servers = Servers::start().await;
    let device = Device::new(&servers);
    let seal = |found: &Value| {
        let probes = found["probes"].as_array().unwrap();
        let seal = probes.iter().find(|probe| probe["name"] == "seal").unwrap();
        (seal["result"].as_str().unwrap().to_owned(), seal["detail"].as_str().unwrap().to_owned())
    };
    let (result, detail) = seal(&ask(&device, "check").await);
    assert_eq!(result, "ok");
    for told in ["a key file", "bound to the file of store.bind", "eMMC", "an older image"] {
        assert!(detail.contains(told), "{detail}");
    }
    let free = Device::new(&servers);
    free.edit(&bound_to_its_file(&free), "bind = \"none\"");
    let (result, detail) = seal(&ask(&free, "check").await);
    assert_eq!(result, "ok", "somebody asked for it");
    assert!(detail.contains("bound to no board"), "{detail}");
}

#[tokio::test]
async fn check_tells_a_credential_from_a_key_file() {
    let servers = Servers::start().await;
    let device = Device::new(&servers);
    fs::create_dir(device.path("credentials")).unwrap();
    device.write("credentials/signpost.key", &[7; 32]);
    let folder = device.path("credentials").display().to_string();
    let unit = Unit::start(&device, &[("CREDENTIALS_DIRECTORY", &folder)]);
    unit.tells("READY=1").await;
    let found = answer(&device, "check").await.to_string();
    unit.signal(Signal::TERM);
    assert_eq!(unit.end().await.0, Some(0));
    assert!(found.contains("a systemd credential; bound to"), "{found}");
    assert!(found.contains("TPM"), "{found}");
}
